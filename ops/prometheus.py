"""A real Prometheus server on this machine, without installing one: Debian's package, unpacked.

It is looked for on the PATH, then under ``.build/prometheus``, then asked of ``apt-get download``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).resolve().parents[1] / ".build" / "prometheus"
DOWNLOAD_S = 120
START_S = 20.0


class UnavailableError(Exception):
    """There is no Prometheus here, and none could be had."""


def binary(name: str) -> Path:
    """Find ``prometheus`` or ``promtool``; raises `UnavailableError`."""
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    unpacked = FOLDER / "unpacked" / "usr" / "bin" / name
    if not unpacked.exists():
        _fetch()
    return unpacked


def _fetch() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        if not list(FOLDER.glob("prometheus_*.deb")):
            _run("apt-get", "download", "prometheus")
        [package, *_] = FOLDER.glob("prometheus_*.deb")
        _run("dpkg", "-x", package.name, "unpacked")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnavailableError("Debian's package prometheus cannot be had here") from error


def _run(*command: str) -> None:
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=DOWNLOAD_S)  # noqa: S603


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, params: Mapping[str, str]) -> Any:
        """Ask its API; raises `httpx.HTTPStatusError` with what it says of a bad query."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=dict(params), timeout=10, trust_env=False)
        return answer.raise_for_status().json()["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """Answer a query as of now: rows of ``metric`` and ``value``."""
        return list(self.get("query", {"query": query})["result"])

    def over(self, query: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """Answer a query over a time: rows of ``metric`` and ``values``."""
        asked = {"query": query, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        return list(self.get("query_range", asked)["result"])


@contextlib.contextmanager
def running(target: str, folder: Path, *, every_s: int = 1, path: str = "/metrics") -> Iterator[Server]:
    """Run a server that scrapes ``host:port`` as job ``sor``, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scrape = {
        "job_name": "sor",
        "scrape_interval": f"{every_s}s",
        "scrape_timeout": f"{every_s}s",
        "metrics_path": path,
        "static_configs": [{"targets": [target]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"scrape_configs": [scrape]}), encoding="utf-8")  # JSON is YAML, too
    command: list[str | Path] = [
        binary("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait(f"http://{address}/-/ready", process)
        yield Server(f"http://{address}")
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=1, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise UnavailableError("Prometheus does not start; see prometheus.log")
