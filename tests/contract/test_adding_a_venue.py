"""docs/adding-a-venue.md, followed to the letter in a copy of the repository: a fourth venue, routed over."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local.template import REPOSITORY

DOC = REPOSITORY / "docs" / "adding-a-venue.md"
BLOCK = re.compile(r"^`([^`\s]+)`:\n\n```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTS = re.compile(r'^make test ARGS="(.*)"$', re.MULTILINE)
COPIED = (
    "README.md",
    "docs",
    "events",
    "functions",
    "layers",
    "local",
    "ops",
    "tests",
    "template.yaml",
    "pyproject.toml",
)
RUN_TIMEOUT_S = 120
ASKS = [["60010.0", "0.3", "0", "2"], ["60020.0", "0.4", "0", "1"], ["60100.0", "40", "0", "9"]]
BIDS = [["59990.0", "0.5", "0", "2"], ["59900.0", "40", "0", "9"]]


def changed(text: str, change: str, where: str) -> str:
    """Apply a block of `diff` without line numbers: each hunk's old lines must stand there once."""
    for hunk in re.split(r"^@@\n", change, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        assert text.count(old) == 1, f"{where} has not, or more than once:\n{old}"
        text = text.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with every block of the page written, in the page's order."""
    root = tmp_path_factory.mktemp("four_venues")
    leave = shutil.ignore_patterns("__pycache__", "*.png", "*.svg")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=leave)
        else:
            shutil.copy(source, root / name)
    blocks = BLOCK.findall(DOC.read_text())
    assert len(blocks) > 10
    for name, kind, content in blocks:
        path = root / name
        assert path.exists() is (kind == "diff"), f"{name}: a file is written once, then changed"
        path.parent.mkdir(exist_ok=True)
        path.write_text(changed(path.read_text(), content, name) if kind == "diff" else content)
    return root


def run(copy: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ours, in a copy of ours
        [sys.executable, *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "layers" / "sor_core"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )


def pytest_in(copy: Path, arguments: str) -> int:
    """Run what the page says, and give how many tests passed."""
    chosen, _, expression = arguments.partition(" -k ")
    selected = ["-k", expression.strip("'")] if expression else []
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen.split(), *selected)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"^(\d+) passed", done.stdout.splitlines()[-1])
    assert passed, done.stdout[-300:]
    return int(passed[1])


def test_the_venue_passes_the_tests_that_the_page_names(copy: Path) -> None:
    market_data, deployment = TESTS.findall(DOC.read_text())
    assert pytest_in(copy, market_data) > 100
    assert run(copy, "-m", "ops.dashboards").returncode == 0
    assert pytest_in(copy, deployment) > 15


def test_what_the_page_writes_is_as_the_rest_is_written(copy: Path) -> None:
    written = [
        name for name, kind, _ in BLOCK.findall(DOC.read_text()) if name.startswith(("layers/", "tests/"))
    ]
    for arguments in (("check",), ("format", "--check")):
        done = run(copy, "-m", "ruff", *arguments, "--no-cache", *written)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def okx() -> Iterator[tuple[str, list[str]]]:
    """OKX as its documentation shows it, over HTTP, and what it was asked."""
    asked: list[str] = []
    rules = {"instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "state": "live"}
    steps = {"tickSz": "0.1", "lotSz": "0.00000001", "minSz": "0.00001", "maxLmtSz": "9999999999"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            data = {
                "/api/v5/market/books": {"asks": ASKS, "bids": BIDS, "ts": str(time.time_ns() // 1_000_000)},
                "/api/v5/public/instruments": {**rules, **steps},
            }[urlsplit(self.path).path]
            body = json.dumps({"code": "0", "msg": "", "data": [data]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_order_is_routed_over_it(copy: Path, okx: tuple[str, list[str]]) -> None:
    url, asked = okx
    done = run(copy, "try_okx.py", SOR_OKX_URL=url, SOR_MAX_LATENCY_MS="10000", SOR_MIN_LIQUIDITY_SCORE="0")
    assert done.returncode == 0, done.stderr[-3000:]
    status, _, body = done.stdout.splitlines()[-1].partition(" ")
    answer = json.loads(body, parse_float=Decimal)
    assert status == "200", body
    assert (status, answer["selected_exchange"], answer["amount"]) == ("200", "okx", Decimal("0.5"))
    assert answer["expected_price"] == (60010 * Decimal("0.3") + 60020 * Decimal("0.2")) / Decimal("0.5")
    assert [book["venue"] for book in answer["books"]] == ["okx"]
    assert sorted({urlsplit(path).path for path in asked}) == [
        "/api/v5/market/books",
        "/api/v5/public/instruments",
    ]
