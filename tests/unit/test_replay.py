"""Replaying recorded books: the yardsticks by hand, the files it writes, the files it refuses."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.app import sor
from cli.recording import RecordingError, Row, Sides, read_rows
from cli.replay import BEST_SINGLE, EQUAL_SPLIT, Outcome, Plan, instrument_from, replay_row
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side, Strategy
from sor_core.settings import Settings

RECORDED = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "data"
    / "books"
    / "three_venues_BTC-USDT_2024-08-08.jsonl.gz"
)
BTC_USDT = Symbol("BTC", "USDT")
ROW = Row(
    1_700_000_000_000,
    {
        "a": Sides([["99.9", "10.00"]], [["100.1", "1.00"], ["100.4", "9.00"]]),
        "b": Sides([["99.9", "10.00"]], [["100.2", "1.00"], ["100.3", "9.00"]]),
    },
)


DEEP = Row(
    ROW.ts_ms,
    {
        name: Sides([["99.9", "100000"]], [[price, f"{float(size) * 1000}"] for price, size in book.asks])
        for name, book in ROW.venues.items()
    },
)
"""Deep enough for the least liquidity score that the default policy wants."""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sor, ["replay", *arguments])


def recording(path: Path, *rows: Row) -> Path:
    lines = [json.dumps({"meta": {"kind": "made up"}})]
    for row in rows:
        venues = {name: {"bids": s.bids, "asks": s.asks} for name, s in row.venues.items()}
        lines.append(json.dumps({"ts": row.ts_ms, "venues": venues}))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def outcomes(amount: str, side: Side = Side.BUY) -> dict[str, Outcome]:
    plan = Plan(
        symbol=BTC_USDT,
        side=side,
        amount=Decimal(amount),
        strategies=(Strategy.COST_OPTIMIZATION,),
        max_slippage_bps=Decimal(100),
        instruments={
            name: instrument_from(name, BTC_USDT, book, None, None, Decimal(5))
            for name, book in ROW.venues.items()
        },
        fees_bps={"a": Decimal(10), "b": Decimal(20)},
        latencies_ms={"a": 50.0, "b": 50.0},
        policy=Settings.from_env({"SOR_MIN_LIQUIDITY_SCORE": "0"}).policy,
    )
    return {outcome.way: outcome for outcome in replay_row(ROW, plan)}


def test_the_yardsticks_are_filled_level_by_level() -> None:
    found = outcomes("4")

    # a: 100.1 + 3 x 100.4 = 401.3, fee 10 bps; b: 100.2 + 3 x 100.3 = 401.1, fee 20 bps; mid 100.
    assert found[BEST_SINGLE].venues == {"a": Decimal(4)}
    assert found[BEST_SINGLE].slippage_bps == pytest.approx(32.5)
    assert found[BEST_SINGLE].fee_bps == pytest.approx(401.3 * 10 / 400)
    # Two each: 100.1 + 100.4 and 100.2 + 100.3.
    assert found[EQUAL_SPLIT].venues == {"a": Decimal(2), "b": Decimal(2)}
    assert found[EQUAL_SPLIT].slippage_bps == pytest.approx(25.0)
    assert found["cost_optimization"].total_cost_bps <= found[EQUAL_SPLIT].total_cost_bps


def test_what_cannot_be_filled_is_said() -> None:
    found = outcomes("14")

    assert found[BEST_SINGLE].refusal == "no venue can fill it alone"
    assert found[EQUAL_SPLIT].filled == Decimal(14)
    assert outcomes("40")["cost_optimization"].refusal.startswith("insufficient_depth")
    assert outcomes("40")[EQUAL_SPLIT].filled == Decimal(20)


def test_steps_are_the_finest_that_the_book_shows() -> None:
    rules = instrument_from(
        "a", BTC_USDT, Sides([["9.50000", "1.2300"]], [["9.6", "4"]]), None, Decimal("0.1"), Decimal(0)
    )

    assert (rules.tick, rules.lot) == (Decimal("0.1"), Decimal("0.1"))


def test_a_replay_prints_a_table_and_writes_csv_and_picture(tmp_path: Path) -> None:
    books = recording(tmp_path / "books.jsonl.gz", DEEP, Row(DEEP.ts_ms + 1000, DEEP.venues))
    table, picture = tmp_path / "out.csv", tmp_path / "out.svg"

    result = run(
        str(books), "--side", "buy", "--amount", "4000", "--fees", "b=20,10",
        "--strategy", "cost_optimization", "--csv", str(table), "--picture", str(picture),
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "2 of 2" in result.stdout
    assert "fees in bps: a 10, b 20" in result.stdout
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["way"] for row in rows[:3]] == ["cost_optimization", BEST_SINGLE, EQUAL_SPLIT]
    assert [row["venues"] for row in rows[1:3]] == ["a:4000", "a:2000 b:2000"]
    assert len(rows) == 6
    assert "cost_optimization" in picture.read_text(encoding="utf-8")


def test_the_same_replay_draws_the_same_picture(tmp_path: Path) -> None:
    books = recording(tmp_path / "books.jsonl.gz", DEEP)
    drawn = []
    for name in ("one.svg", "two.svg"):
        result = run(str(books), "--side", "sell", "--amount", "1", "--picture", str(tmp_path / name))
        assert result.exit_code == 0, result.output
        drawn.append((tmp_path / name).read_bytes())

    assert drawn[0] == drawn[1]


def test_an_order_that_no_row_fills_is_told_with_the_reason(tmp_path: Path) -> None:
    result = run(str(recording(tmp_path / "b.gz", ROW)), "--side", "buy", "--amount", "4")

    assert result.exit_code == 1
    assert "liquidity_below_minimum" in result.stderr


BAD_FILES = {
    "empty": (b"", "has no row"),
    "text": (b"not books\n", "line 1 is not"),
    "other json": (b'{"ts": 1}\n', "line 1 is not"),
    "no venues": (b'{"ts": 1, "venues": {}}\n', "line 1 is not"),
    "no levels": (b'{"ts": 1, "venues": {"a": {"bids": [], "asks": []}}}\n', "without levels"),
    "odd levels": (
        b'{"ts": 1, "venues": {"a": {"bids": [1], "asks": [2]}}}\n',
        "line 1: a, bids, level 1 is not",
    ),
    "cut short": (gzip.compress(b"x" * 100_000)[:60], "cannot be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, told = BAD_FILES[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)

    result = run(str(path), "--side", "buy", "--amount", "1")

    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "odd",
    [
        ["x", "1"],
        None,
        ["100.3"],
        ["nan", "1"],
        ["100.3", 10**400],
        ["9" * 400, "1"],
        ["1", "-1"],
        7,
        {},
        [["1"], "1"],
        "12",
        ["1", 2.5],
        ["1e5", "1"],
    ],
)
def test_a_deep_level_that_is_none_is_told_with_its_place(tmp_path: Path, odd: object) -> None:
    asks = [["100.1", "500"], ["100.2", "500"]]
    rows = [
        {"ts": ROW.ts_ms, "venues": {"a": {"bids": [["99.9", "500"]], "asks": levels}}}
        for levels in (asks, [*asks, odd])
    ]
    path = tmp_path / "books.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    result = run(str(path), "--side", "buy", "--amount", "1")

    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "line 2: a, asks, level 3 is not [price, size] in plain decimals" in result.stderr


def test_rows_with_other_venues_are_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "b.gz", ROW, Row(ROW.ts_ms, {"a": ROW.venues["a"]}))

    with pytest.raises(RecordingError, match="line 3 has not the venues"):
        list(read_rows(path, lambda _: None))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--fees", "nobody=3"),
        ("--fees", "a=1000"),
        ("--picture", "x.pdf"),
        ("--limit", "0"),
        ("--lot", "x"),
        ("--max-slippage-bps", "10000"),
        ("--max-slippage-bps", "5000.1"),
    ],
)
def test_wrong_options_are_exit_code_2(tmp_path: Path, arguments: tuple[str, str]) -> None:
    books = recording(tmp_path / "books.jsonl.gz", ROW)

    assert run(str(books), "--side", "buy", "--amount", "1", *arguments).exit_code == 2


def test_the_real_recording(tmp_path: Path) -> None:
    if not RECORDED.exists():
        pytest.skip("../shared/data is not here")
    table = tmp_path / "out.csv"

    result = run(str(RECORDED), "--side", "buy", "--amount", "5", "--limit", "10", "--csv", str(table))

    assert result.exit_code == 0, result.output
    assert "10 of 10" in result.stdout
    with table.open(encoding="utf-8") as file:
        costs = {(row["ts_ms"], row["way"]): Decimal(row["total_cost_bps"]) for row in csv.DictReader(file)}
    for (ts, way), cost in costs.items():
        if way in {BEST_SINGLE, EQUAL_SPLIT}:
            assert costs[ts, "cost_optimization"] <= cost + Decimal("0.01")  # lots leave dust
