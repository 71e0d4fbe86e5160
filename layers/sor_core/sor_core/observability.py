"""Structured logs: one line per decision and per thing that went wrong, as JSON."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from aws_lambda_powertools import Logger

SERVICE = "sor"
_LIBRARIES = ("boto3", "botocore", "httpcore", "httpx", "urllib3")
_CALLER = 3
"""Frames up to who said it, for the line's `location`."""
_MOST_CAUSES = 4
_MOST_FRAMES = 6


class Log(Protocol):
    """What the core says; fields are names of our own and values without bodies or secrets."""

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        ...

    def warning(self, event: str, **fields: object) -> None:
        """Something failed and was dealt with."""
        ...


class PowertoolsLog:
    """`Log` on Powertools' JSON logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def info(self, event: str, **fields: object) -> None:
        """Write one line at INFO."""
        self._logger.info(event, extra=_named(fields), stacklevel=_CALLER)

    def warning(self, event: str, **fields: object) -> None:
        """Write one line at WARNING."""
        self._logger.warning(event, extra=_named(fields), stacklevel=_CALLER)

    def failed(self, error: Exception) -> None:
        """Write one line at ERROR about an exception that nobody expected: its kind, its causes and where.

        Never what it says, for in that may stand what was asked. Lambda's runtime prints that beside.
        """
        found: BaseException | None = error
        kinds: list[str] = []
        while found is not None and len(kinds) < _MOST_CAUSES:
            kinds.append(type(found).__name__)
            found = found.__cause__ or found.__context__
        frames = [
            f"{frame.f_globals.get('__name__')}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(error.__traceback__)
        ]
        told = {"error": kinds[0], "causes": kinds[1:], "where": frames[-_MOST_FRAMES:]}
        self._logger.error("invocation failed", extra=_named(told), stacklevel=_CALLER)


def _named(fields: Mapping[str, object]) -> dict[str, Any]:
    return dict(fields)


def make_logger(level: str) -> Logger:
    """Make the process's logger.

    At DEBUG every request to a venue is a line, too: method, address, status. (`make_client` of
    `adapters.pool` cuts off the query, in which the signature stands.) What other libraries say of their
    own accord is kept to warnings at every level: botocore tells headers and bodies, secrets among them.
    """
    logger = Logger(service=SERVICE, level=level, use_rfc3339=True, utc=True)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    requests = logging.getLogger("httpx")
    if level == "DEBUG":
        requests.setLevel(logging.INFO)
        requests.handlers = [logger.registered_handler]
    requests.propagate = level != "DEBUG"
    return logger
