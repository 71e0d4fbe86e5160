"""`sor record` against simulated venues: what it writes is read by `sor replay` and played by the venues."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.app import sor
from cli.recording import read_rows
from local.venues import VenuesConfig
from local.venues.recorded import read_recording
from tests.e2e.conftest import VenuesThread

VENUES = ["binance", "coinbase", "kraken"]


def record(file: Path, gateway: str, *options: str) -> Result:
    return CliRunner().invoke(sor, ["record", str(file), "--every", "0.25", "--gateway", gateway, *options])


@pytest.mark.parametrize("name", ["books.jsonl", "books.jsonl.gz"])
def test_what_is_recorded_is_replayed_and_played(venues: VenuesThread, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    done = record(file, venues.url, "--rows", "3", "--depth", "20", "--symbol", "ETH/USDT")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert (file.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")

    rows = list(read_rows(file, lambda _: None))
    assert [list(row.venues) for row in rows] == [VENUES] * 3
    assert all(len(side) == 20 for row in rows for b in row.venues.values() for side in (b.bids, b.asks))
    assert all(after.ts_ms - row.ts_ms > 100 for row, after in itertools.pairwise(rows))
    assert rows[0].venues != rows[2].venues

    played = read_recording(file, "BTC/USDT")
    assert (played.symbol, len(played.offsets_ms)) == ("ETH/USDT", 3)
    replayed = CliRunner().invoke(sor, ["replay", str(file), "--side", "buy", "--amount", "1"])
    assert replayed.exit_code == 0, replayed.output
    assert "3 of 3" in replayed.stdout


def test_the_venues_play_it_as_it_was(
    venues: VenuesThread, start_venues: Callable[[VenuesConfig], VenuesThread], tmp_path: Path
) -> None:
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    record(first, venues.url, "--rows", "1", "--depth", "5")
    playing = start_venues(VenuesConfig(port=0, rate_limits=False, recording=read_recording(first, "")))
    record(again, playing.url, "--rows", "1", "--depth", "5")
    (was,), (shown,) = (list(read_rows(file, lambda _: None)) for file in (first, again))
    assert shown.venues == was.venues


def test_a_row_without_a_venue_is_left_out_and_told(venues: VenuesThread, tmp_path: Path) -> None:
    fault = {"venue": "kraken", "endpoint": "book", "fault": "error_5xx", "count": 1}
    timer = threading.Timer(0.4, venues.post, ("/sim/faults", fault))
    timer.start()
    file = tmp_path / "books.jsonl"
    done = record(file, venues.url, "--rows", "8")
    timer.join()
    assert done.exit_code == 0, done.output
    assert "a row is left out: kraken: " in done.stderr
    assert "7 rows of binance, coinbase, kraken in " in done.stderr
    assert len(list(read_rows(file, lambda _: None))) == 7


def test_no_first_row_is_exit_code_3_and_leaves_no_file(venues: VenuesThread, tmp_path: Path) -> None:
    for options, said in ((("--symbol", "NONE/USDT"), "unknown_symbol"), (("--venues", "kraken"), "kraken")):
        venues.post("/sim/faults", {"endpoint": "book", "fault": "error_5xx", "venue": "kraken"})
        done = record(tmp_path / "books.jsonl", venues.url, *options)
        assert done.exit_code == 3
        assert said in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_alone(venues: VenuesThread, tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"
    file.write_text("mine")
    done = record(file, venues.url, "--rows", "1")
    assert done.exit_code == 1
    assert "there already" in done.stderr
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    "options", [("--venues", "bitmex"), ("--rows", "0"), ("--depth", "5001"), ("--every", "0.1")]
)
def test_wrong_options_are_exit_code_2(tmp_path: Path, options: tuple[str, str]) -> None:
    file = tmp_path / "books.jsonl"
    assert CliRunner().invoke(sor, ["record", str(file), *options]).exit_code == 2
    assert not file.exists()
