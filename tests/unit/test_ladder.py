from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import SupportsIndex, overload

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sor_core.domain.order import Side
from sor_core.routing.ladder import (
    FINEST_PLACES,
    FinerThanScaleError,
    Ladder,
    MalformedBookError,
    Scale,
    numbers,
    scaled_int,
)
from sor_core.routing.score import depth_beyond, depth_of, held_in_band, liquidity_score, notional_of
from sor_core.routing.walk import FIRST_BLOCK, walk

SCALE = Scale(2, 3)
climb = partial(walk, scale=SCALE, enough_size=None, enough_notional=None)


class Counted(list[list[str]]):
    """Levels that count how many were taken out."""

    looked = 0

    def __iter__(self) -> Iterator[list[str]]:
        raise AssertionError("all levels were asked for")

    @overload
    def __getitem__(self, at: SupportsIndex) -> list[str]: ...
    @overload
    def __getitem__(self, at: slice) -> list[list[str]]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> list[str] | list[list[str]]:
        found = list.__getitem__(self, at)
        self.looked += len(found) if isinstance(at, slice) else 1
        return found


def one_by_one(
    levels: list[list[str]], side: Side, cap: int | None, enough_size: int | None, enough_notional: int | None
) -> tuple[list[tuple[int, int]], bool] | type[Exception]:
    """What `walk` is to do, in its plainest form."""
    taken: list[tuple[int, int]] = []
    depth = notional = previous = 0
    for level in levels:
        try:
            price, size = (scaled_int(level[n], places) for n, places in ((0, 2), (1, 3)))
        except (MalformedBookError, FinerThanScaleError) as error:
            return type(error)
        if price <= 0 or (previous and (price - previous) * side.sign < 0):
            return MalformedBookError
        previous = price
        if cap is not None and (price - cap) * side.sign > 0:
            return taken, True
        if size:
            taken.append((price, size))
        depth, notional = depth + size, notional + price * size
        if (enough_size and depth >= enough_size) or (enough_notional and notional >= enough_notional):
            break
    return taken, False


ODD_LEVELS = st.sampled_from(
    [["100.00", "0"], ["99.5", "1"], ["x", "1"], ["100,1", "1"], ["101.00", "1.0000"], ["101.001", "1"]]
)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[list[str]], Side]:
    """Mostly clean books of one format, some with odd levels here and there."""
    side = draw(st.sampled_from(Side))
    price_places, size_places = draw(st.sampled_from((0, 1, 2, 5))), draw(st.sampled_from((0, 2, 3, 6)))
    price, levels = 100_000 if side is Side.BUY else 900_000, []
    for _ in range(draw(st.integers(1, 300))):
        price += side.sign * draw(st.integers(0, 500)) // 10 ** max(0, 2 - price_places)
        at = Decimal(price).scaleb(-min(2, price_places))
        size = Decimal(draw(st.integers(1, 5000))).scaleb(-min(3, size_places))
        levels.append([f"{at:.{price_places}f}", f"{size:.{size_places}f}"])
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        levels.insert(draw(st.integers(0, len(levels))), draw(ODD_LEVELS))
    return levels, side


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**14), st.integers(0, 8))
def test_conversion_is_exact(digits: int, places: int) -> None:
    value = Decimal(digits).scaleb(-places)

    assert scaled_int(f"{value:f}", 8) == value.scaleb(8)


PLAIN = (
    st.decimals(0, 10**19, allow_nan=False, places=0)
    | st.decimals(0, 10**7, allow_nan=False, places=9)
    | st.integers(2**53 - 3, 2**53 + 3).map(Decimal)
)
"""Around all that a double can hold of a decimal, and of an integer."""


@seed(20261122)
@settings(max_examples=500, deadline=None)
@given(
    st.lists(PLAIN, min_size=1, max_size=5),
    st.integers(-3, 8),
    st.lists(st.sampled_from((0, 0, 1, 8, 10, 30, 44)), min_size=5, max_size=5),
    st.integers(0, FINEST_PLACES),
)
def test_many_numbers_at_once_are_the_same_as_each_alone(
    values: list[Decimal], shift: int, zeros: list[int], places: int
) -> None:
    texts = [f"{value.scaleb(-shift):f}" for value in values]
    texts = [text + "0" * more if "." in text else text for text, more in zip(texts, zeros, strict=False)]
    scale = Scale(0, places)
    try:
        expected: object = [size for size in (scaled_int(text, places) for text in texts) if size]
    except (MalformedBookError, FinerThanScaleError) as error:
        expected = type(error)

    try:
        found: object = climb([["1", text] for text in texts], Side.BUY, scale=scale, cap=None).sizes
    except (MalformedBookError, FinerThanScaleError) as error:
        found = type(error)

    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        *("-1", "-0", "+1", " 1", "\n1", "1\t", "\r1", "1e2", "1,2", "[1", "1]", '"1"', "1.", "01", "0", ""),
        *("\ud800", "\u0661"),
    ],
)
@pytest.mark.parametrize("column", [0, 1])
def test_an_odd_text_among_others_is_read_as_it_would_be_alone(text: str, column: int) -> None:
    level = ["1.00", "1.00"]
    level[column] = text
    levels = [["1.00", "1.00"], level, ["1.00", "1.00"]]

    try:
        found: object = climb(levels, Side.BUY, cap=None).sizes
    except MalformedBookError as error:
        found = type(error)

    expected = one_by_one(levels, Side.BUY, None, None, None)
    assert found == (expected if isinstance(expected, type) else [size for _, size in expected[0]])


@pytest.mark.parametrize("whole", [1, 9, 10**6 - 1, 10**14, 2**49, 2**52, 2**53, 2**53 + 1])
def test_a_number_next_to_a_whole_one_is_not_taken_for_it(whole: int) -> None:
    for digits in range(1, 38 - len(str(whole))):
        hidden = f"{whole}.{'0' * (digits - 1)}1"
        with pytest.raises(FinerThanScaleError):
            climb([["1", "1"], ["1", hidden]], Side.BUY, scale=Scale(0, 0), cap=None)


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 9_999_999_999_999_999])
def test_a_whole_number_that_no_double_holds_is_exact(number: int) -> None:
    assert climb([["1", str(number)]], Side.BUY, scale=Scale(0, 0), cap=None).depth == number


@pytest.mark.parametrize("neighbour", ["1", "1.0", "01"])
def test_too_long_a_number_is_malformed_however_its_neighbour_is_written(neighbour: str) -> None:
    levels = [["1.0", neighbour], ["2.0", "5." + "0" * 44]]

    with pytest.raises(MalformedBookError):
        climb(levels, Side.BUY, cap=None)


@seed(20261122)
@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.text('0123456789.eE+-_,[]"n \n\u0661', max_size=5)
        | st.from_regex(r"[0-9]{1,25}(\.[0-9]{0,25})?\Z"),
        max_size=5,
    )
)
def test_summed_numbers_are_the_doubles_of_plain_decimals_and_nothing_else(texts: list[str]) -> None:
    plain = all(re.fullmatch(r"[0-9]+(\.[0-9]*)?", text, re.ASCII) for text in texts)

    if not plain:
        with pytest.raises(MalformedBookError):
            numbers(texts)
        return
    assert numbers(texts) == [float(text) for text in texts]


@pytest.mark.parametrize("odd", [10**400, "9" * 400, "1e400", None, 5, "-3", "nan", "inf", " 1", "1_0"])
@pytest.mark.parametrize("at", [1, 50])
def test_an_odd_size_within_reach_is_malformed_however_deep(odd: object, at: int) -> None:
    levels: list[list[object]] = [[f"{100 + n / 1000}", "1"] for n in range(100)]
    levels[at][1] = odd

    with pytest.raises(MalformedBookError):
        depth_of(levels, Side.BUY, 100.0, 100.2)
    with pytest.raises(MalformedBookError):
        held_in_band(levels, Side.BUY, 100.0, math.inf)


@pytest.mark.parametrize("odd", [["150", "x"], ["150", "1"], ["150", "-1"]])
def test_what_comes_after_the_first_level_out_of_reach_does_not_count(odd: list[str]) -> None:
    levels = [["100", "5"], odd, ["100.1", "9"]]

    assert depth_of(levels, Side.BUY, 100.0, 101.0, read=1) == depth_of(levels[:1], Side.BUY, 100.0, 101.0)
    assert held_in_band(levels, Side.BUY, 100.0, math.inf) == 500


def test_sums_that_no_double_holds_are_malformed() -> None:
    with pytest.raises(MalformedBookError):
        depth_of([["100", "9" * 150]], Side.BUY, 100.0, 101.0)


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

    assert levels.looked == FIRST_BLOCK
    assert (ladder.depth, ladder.capped, ladder.whole) == (3000, False, False)


def test_more_levels_are_looked_at_only_as_the_sizes_let_expect() -> None:
    levels = Counted([[f"{100 + n}", "1"] for n in range(5000)])

    walk(levels, Side.BUY, SCALE, cap=None, enough_size=400_000, enough_notional=None)

    assert levels.looked < 400 * 1.2


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(books(), st.none() | st.integers(1, 200_000), st.none() | st.integers(1, 10**10), st.data())
def test_walking_in_blocks_is_walking_one_by_one(
    book: tuple[list[list[str]], Side],
    enough_size: int | None,
    enough_notional: int | None,
    data: st.DataObject,
) -> None:
    levels, side = book
    cap = data.draw(st.none() | st.integers(100_000, 900_000))
    expected = one_by_one(levels, side, cap, enough_size, enough_notional)

    def walked() -> Ladder:
        return walk(levels, side, SCALE, cap=cap, enough_size=enough_size, enough_notional=enough_notional)

    if isinstance(expected, type):
        with pytest.raises(expected):
            walked()
        return
    ladder = walked()
    assert (list(zip(ladder.prices, ladder.sizes, strict=True)), ladder.capped) == expected
    if ladder.prices:
        assert ladder.notional(ladder.depth) == sum(price * size for price, size in expected[0])
    if ladder.whole:
        assert expected == one_by_one(levels, side, cap, None, None)


@seed(20261122)
@settings(max_examples=100, deadline=None)
@given(books(), st.floats(500, 10_000))
def test_a_whole_ladder_gives_the_depth_that_its_book_does(
    book: tuple[list[list[str]], Side], mid: float
) -> None:
    levels, side = book
    cap = int(mid * (1 + side.sign * 0.01) * 100)
    if isinstance(one_by_one(levels, side, None, None, None), type):
        return
    ladder = climb(levels, side, cap=cap)
    found = depth_beyond(ladder, levels, side, mid, cap / 100, SCALE)

    expected = depth_of(levels, side, mid, cap / 100)
    assert found.size_within_cap == pytest.approx(expected.size_within_cap)
    assert found.notional_in_band == pytest.approx(expected.notional_in_band)


@pytest.mark.parametrize("cap", [10_020, 10_060])
def test_a_ladder_that_does_not_reach_the_bands_edge_does_not_tell_the_depth(cap: int) -> None:
    levels = [["100.00", "1.0"], ["100.20", "1.0"], ["100.30", "1.0"]]

    depth = depth_beyond(climb(levels, Side.BUY, cap=cap), levels, Side.BUY, 100.0, cap / 100, SCALE)

    assert depth.notional_in_band == pytest.approx(300)
    assert depth.size_within_cap == pytest.approx(2 if cap == 10_020 else 3)


def test_the_cap_ends_the_walk() -> None:
    levels = [["100", "1"], ["101", "1"], ["102", "1"]]

    buying = climb(levels, Side.BUY, cap=10_100)
    selling = climb(levels[::-1], Side.SELL, cap=10_100)

    assert (buying.prices, buying.capped) == ([10_000, 10_100], True)
    assert (selling.prices, selling.capped) == ([10_200, 10_100], True)


def test_empty_levels_are_passed_over_and_disorder_is_malformed() -> None:
    ladder = walk(
        [["100", "0"], ["101", "1"]], Side.BUY, SCALE, cap=None, enough_size=None, enough_notional=None
    )
    assert ladder.prices == [10_100]
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

    assert (held_in_band(levels, Side.BUY, 100.0, notional) >= notional) == (whole >= notional)
    assert held_in_band(levels, Side.BUY, 100.0, math.inf) == pytest.approx(whole)
