"""The benchmarks still run, with as few rounds as there can be: their figures are not looked at."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as all_of_them
from benchmarks import allocation, bytes_to_decision, cold_start, gather, refresh, warm
from benchmarks.books import make_bodies
from benchmarks.ccxt_router import Ccxt
from benchmarks.emulator import MACHINES
from benchmarks.measuring import Row, Timing, at_least, at_most
from benchmarks.world import World, world

on_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES,
    reason="Lambda's runtime interface emulator runs on Linux, x86_64 or arm64",
)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as started:
        yield started


def complete(rows: list[Row], count: int) -> bool:
    return len(rows) == count and all(row.what and row.ours for row in rows)


def test_both_routers_read_the_same_books() -> None:
    bodies = make_bodies(50)
    ours = bytes_to_decision.Ours.over(bodies, 50)
    ccxt_books = Ccxt.over(bodies).books()
    for market in ours.markets():
        levels = ccxt_books[market.venue]["asks"]
        assert [(float(str(p)), float(str(s))) for p, s, *_ in market.book.asks] == [
            (level[0], level[1]) for level in levels
        ]


def test_both_routers_buy_the_same() -> None:
    bodies = make_bodies(50)
    ours = bytes_to_decision.Ours.over(bodies, 50)
    for order in bytes_to_decision.orders(ours.markets()).values():
        decision = ours.decision(order)
        parts = Ccxt.over(bodies).walk(float(order.amount or 0))
        bought = {leg.venue: float(leg.amount) for leg in decision.legs}
        assert sum(bought.values()) == pytest.approx(sum(parts.values()))


def test_bytes_to_decision() -> None:
    assert complete(bytes_to_decision.measure(rounds=2, levels=(50,)), 5)


def test_allocation() -> None:
    assert allocation.row(10, 50, 2)[:2] == ["10", "50"]


@on_linux
def test_cold_start(around: World, tmp_path: Path) -> None:
    assert complete(cold_start.measure(around, tmp_path, 1, ["health_probe"]), 2)


@on_linux
def test_warm(around: World, tmp_path: Path) -> None:
    assert complete(warm.measure(around, tmp_path, 2), 5)


@on_linux
def test_gather(around: World, tmp_path: Path) -> None:
    assert complete(gather.measure(around, tmp_path, 1, 1), 6)


def test_refresh(around: World) -> None:
    asked, told = refresh.wave(around, refresh.Crowd(processes=2, requests=4))
    assert sum(each.routed for each in told) == 4
    assert all(1 <= count <= 2 for count in asked.values())


def test_a_row_says_whether_its_target_is_met() -> None:
    one, three = Timing([1.0, 1.0]), Timing([3.0, 3.0])
    assert at_most("", three, one, 3, "").met is True
    assert at_most("", three, one, 2.9, "").met is False
    assert at_most("", three, one, None, "").met is None
    assert at_least("", one, three, 3, "").met is True
    assert at_least("", one, three, 3.1, "").met is False


def test_figures_replace_earlier_ones() -> None:
    figures = all_of_them.section([("warm", Row("what", "1 ms"))])
    once = all_of_them.written_into(f"before\n{all_of_them.BEGIN}\nold\n{all_of_them.END}\nafter\n", figures)
    assert "old" not in once
    assert "| warm | what | 1 ms |" in once
    assert (once.startswith("before\n"), once.endswith("\nafter\n")) == (True, True)
    assert all_of_them.written_into(once, figures) == once
    with pytest.raises(ValueError, match="write between"):
        all_of_them.written_into("nothing", figures)
