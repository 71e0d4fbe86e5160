"""``python -m local.venues`` as a process: how it starts, how it refuses to, how it ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.simulated_venues import DATA

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDING = DATA / "books" / "three_venues_BTC-USDT_2024-08-08.jsonl.gz"


def command(variables: Mapping[str, str]) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOR_")}
    return subprocess.Popen(
        [sys.executable, "-m", "local.venues"],
        cwd=REPOSITORY,
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = command({"SOR_VENUES_PORT": "0", **variables})
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("venues ready on http://127.0.0.1:"), line
        yield process, line.removeprefix("venues ready on ")
    finally:
        process.kill()
        process.communicate()


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_cleanly(number: signal.Signals) -> None:
    with running() as (process, url):
        assert get(f"{url}/binance/api/v3/ping") == {}
        started = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")
    assert time.monotonic() - started < 2


def refused(variables: Mapping[str, str]) -> str:
    process = command(variables)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert out == ""
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SOR_VENUES_PORT": "eighty"}, "SOR_VENUES_PORT: expected a port number"),
        ({"SOR_VENUES_PORT": "65536"}, "SOR_VENUES_PORT: expected a port number"),
        ({"SOR_VENUES_SEED": "1.5"}, "SOR_VENUES_SEED: expected a whole number"),
        ({"SOR_VENUES_RATE_LIMITS": "maybe"}, "SOR_VENUES_RATE_LIMITS: expected on or off"),
        ({"SOR_VENUES_HOST": "no.such.host.invalid"}, "SOR_VENUES_HOST: expected an address"),
        ({"SOR_VENUES_HOST": "192.0.2.1", "SOR_VENUES_PORT": "0"}, "SOR_VENUES_HOST: expected an address"),
        ({"SOR_VENUES_BOOKS": "no/such/file"}, "SOR_VENUES_BOOKS: expected a readable file"),
        ({"SOR_VENUES_BOOKS": "pyproject.toml"}, "SOR_VENUES_BOOKS: expected JSON lines"),
    ],
)
def test_a_bad_variable_is_named_in_one_line(variables: dict[str, str], said: str) -> None:
    assert f"venues cannot start: {said}" in refused(variables)


def test_a_taken_port_is_named_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused({"SOR_VENUES_PORT": str(port)})
    assert f"SOR_VENUES_PORT: expected a free port, but {port} on 127.0.0.1 is taken" in said


def test_a_recorded_market_that_a_venue_does_not_list_is_named(tmp_path: Path) -> None:
    row = {"bids": [["99", "1"]], "asks": [["101", "1"]]}
    path = tmp_path / "books.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"ts": 1, "venues": {"binance": row}}).encode()))
    said = refused({"SOR_VENUES_BOOKS": str(path), "SOR_VENUES_BOOKS_SYMBOL": "BTC/USD"})
    assert "SOR_VENUES_BOOKS_SYMBOL: expected a market that binance lists" in said


@pytest.mark.skipif(not RECORDING.exists(), reason=f"no {RECORDING}")
def test_the_recorded_books_play_from_their_first_row() -> None:
    with gzip.open(RECORDING, "rt") as lines:
        rows = [json.loads(next(lines)) for _ in range(6)][1:]
    with running(SOR_VENUES_BOOKS=str(RECORDING)) as (_, url):
        depth = get(f"{url}/binance/api/v3/depth?symbol=BTCUSDT&limit=100")
        kraken = get(f"{url}/kraken/0/public/Depth?pair=XBTUSDT")
        other = get(f"{url}/binance/api/v3/depth?symbol=ETHUSDT")
    assert isinstance(depth, dict)
    assert isinstance(kraken, dict)
    assert isinstance(other, dict)
    # Which of the first seconds it is depends on how fast this machine is.
    assert {"bids": depth["bids"], "asks": depth["asks"]} in [row["venues"]["spot"] for row in rows]
    prices = [float(level[0]) for level in kraken["result"]["XBTUSDT"]["bids"]]
    assert prices in [[float(price) for price, _ in row["venues"]["coinm"]["bids"]] for row in rows]
    assert len(other["bids"]) == 100, "other markets are generated"
