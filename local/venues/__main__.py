"""``python -m local.venues``: serve the simulated venues until a signal ends them."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys

from local.venues.config import ConfigError, VenuesConfig, config_from_environment
from local.venues.server import start

_BAD_START = 2


async def _serve(config: VenuesConfig) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        venues = await start(config)
    except OSError as error:
        _complain(_why_not(config, error))
        return _BAD_START
    print(f"venues ready on {venues.url}", flush=True)
    await stop.wait()
    await venues.aclose()
    return 0


def _why_not(config: VenuesConfig, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno in {None, errno.EADDRNOTAVAIL}:
        return f"SOR_VENUES_HOST: expected an address of this machine, not {config.host!r}"
    if error.errno == errno.EADDRINUSE:
        return f"SOR_VENUES_PORT: expected a free port, but {config.port} on {config.host} is taken"
    return f"SOR_VENUES_PORT: expected a port that may be listened on, not {config.port}: {error.strerror}"


def _complain(text: str) -> None:
    print(f"venues cannot start: {' '.join(text.split())}", file=sys.stderr)


def main() -> int:
    """Read the environment and serve; gives the exit code."""
    try:
        config = config_from_environment(os.environ)
    except ConfigError as error:
        _complain(str(error))
        return _BAD_START
    return asyncio.run(_serve(config))


if __name__ == "__main__":
    sys.exit(main())
