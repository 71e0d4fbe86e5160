"""docs/resolution.md: the table of assumptions has the numbers that the code goes by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sor_core.adapters.venues.binance import facts as binance
from sor_core.adapters.venues.coinbase import facts as coinbase
from sor_core.adapters.venues.kraken import facts as kraken
from sor_core.domain.trading import Fence
from sor_core.execution import protocol

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "resolution.md").read_text(encoding="utf-8")
COLUMNS = ("Binance", "Coinbase", "Kraken")
WINDOWS_MS = (binance.WINDOW_MS, coinbase.WINDOW_MS, kraken.WINDOW_MS)
FENCES: tuple[Fence, ...] = (binance.FENCE, coinbase.FENCE, kraken.FENCE)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table() -> dict[str, list[str]]:
    """The first row of each name, its cells by venue."""
    rows: dict[str, list[str]] = {}
    for line in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE):
        name, *told = cells(line)
        rows.setdefault(name, told)
    return rows


def test_there_is_one_table_with_a_column_for_each_venue() -> None:
    lines = re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)
    assert cells(lines[0]) == ["", *COLUMNS]
    assert sum(set(line) <= set("|-") for line in lines) == 1
    assert {len(cells(line)) for line in lines} == {4}


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("Window", list(WINDOWS_MS)),
        ("Settle", [fence.settle_ms for fence in FENCES]),
        ("Visible", [fence.visible_ms for fence in FENCES]),
        (
            "`fence_at` after preparing",
            [
                window_ms + fence.settle_ms + fence.visible_ms
                for window_ms, fence in zip(WINDOWS_MS, FENCES, strict=True)
            ],
        ),
    ],
)
def test_the_tables_numbers_are_the_facts(row: str, values: list[int]) -> None:
    assert table()[row] == [f"{value:,}" for value in values]


def test_the_tables_words_are_the_facts() -> None:
    rows = table()
    assert [told.partition(",")[0] == "yes" for told in rows["Absence proves"]] == [
        fence.absence_proves for fence in FENCES
    ]
    [binances, coinbases, krakens] = rows["We repeat the request"]
    assert binances == krakens == "never"
    assert coinbases.endswith(f"at most {protocol.MOST_REPLAYS} times")
    reason = rows["Why so long"][0]
    assert reason.startswith(f"{binance.ENGINE_WAIT_MS:,} that the API waits")
    assert f"and {binance.SETTLE_GRACE_MS:,} between its servers' clocks" in reason


def test_two_absences_are_needed() -> None:
    assert {2: "Two of them, at least"}[protocol.ABSENCES_NEEDED] in PAGE
