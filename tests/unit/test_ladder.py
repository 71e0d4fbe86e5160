from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sor_core.domain.order import Side
from sor_core.routing.ladder import (
    FinerThanScaleError,
    MalformedBookError,
    Scale,
    scaled_int,
    walk,
)
from sor_core.routing.score import depth_of, holds_in_band, liquidity_score, notional_of

SCALE = Scale(2, 3)
climb = partial(walk, scale=SCALE, enough_size=None, enough_notional=None)


class Counted(list[list[str]]):
    """Levels that count how many were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[list[str]]:
        for level in list.__iter__(self):
            self.looked += 1
            yield level


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**14), st.integers(0, 8))
def test_conversion_is_exact(digits: int, places: int) -> None:
    value = Decimal(digits).scaleb(-places)

    assert scaled_int(f"{value:f}", 8) == value.scaleb(8)


@pytest.mark.parametrize(
    "text", ["", ".", ".5", "-1", "+1", "1e3", " 1", "1_0", "NaN", "٣", "1.2.3", None, 5, "9" * 41]
)
def test_what_is_no_plain_decimal_is_malformed(text: object) -> None:
    with pytest.raises(MalformedBookError):
        scaled_int(text, 8)


def test_finer_than_the_scale_is_told_apart() -> None:
    assert scaled_int("1.2300000000", 2) == 123
    with pytest.raises(FinerThanScaleError):
        scaled_int("1.234", 2)


def test_work_grows_with_the_levels_consumed() -> None:
    levels = Counted([[f"{100 + n}", "1"] for n in range(5000)])

    ladder = walk(levels, Side.BUY, SCALE, cap=None, enough_size=3000, enough_notional=None)

    assert levels.looked == 3
    assert (ladder.depth, ladder.capped) == (3000, False)


def test_the_cap_ends_the_walk() -> None:
    levels = [["100", "1"], ["101", "1"], ["102", "1"]]

    buying = climb(levels, Side.BUY, cap=10_100)
    selling = climb(levels[::-1], Side.SELL, cap=10_100)

    assert (buying.prices, buying.capped) == ((10_000, 10_100), True)
    assert (selling.prices, selling.capped) == ((10_200, 10_100), True)


def test_empty_levels_are_passed_over_and_disorder_is_malformed() -> None:
    ladder = walk(
        [["100", "0"], ["101", "1"]], Side.BUY, SCALE, cap=None, enough_size=None, enough_notional=None
    )
    assert ladder.prices == (10_100,)
    with pytest.raises(MalformedBookError):
        climb([["101", "1"], ["100", "1"]], Side.BUY, cap=None)


@seed(20261122)
@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e9), st.floats(0.01, 1e9))
def test_liquidity_grows_with_depth_and_stays_in_range(notional: float, more: float) -> None:
    score = liquidity_score(notional, 1e7)

    assert 0 <= score <= liquidity_score(notional + more, 1e7) <= 10


def test_liquidity_scale() -> None:
    assert liquidity_score(0, 1e7) == 0
    assert liquidity_score(1e7, 1e7) == pytest.approx(10)
    assert liquidity_score(1e5, 1e7) == pytest.approx(5.0, abs=0.02)


@pytest.mark.parametrize("score", [0.0, 2.0, 7.5, 10.0])
def test_the_notional_of_a_score_gives_that_score(score: float) -> None:
    assert liquidity_score(notional_of(score, 5e6), 5e6) == pytest.approx(score)


@seed(20261122)
@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=12), st.floats(0, 2e4))
def test_the_quick_look_agrees_with_the_whole_depth(sizes: list[int], notional: float) -> None:
    levels = [[str(100 + n / 10), str(size)] for n, size in enumerate(sizes)]
    whole = depth_of(levels, Side.BUY, 100.0, 100.0).notional_in_band

    assert holds_in_band(levels, Side.BUY, 100.0, notional) == (whole >= notional)
