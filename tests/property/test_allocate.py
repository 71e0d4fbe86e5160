"""The allocation against an exhaustive dynamic programme that shares no code or idea with it."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from time import process_time

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sor_core.routing.allocate import Split, allocate
from sor_core.routing.curves import Curve
from sor_core.routing.largest import largest_total, some_set

CHAINS = ((1,), (1, 2), (1, 2, 4), (1, 5, 10), (2, 6), (3,), (1, 3, 6, 12))
OTHERS = ((2, 3), (3, 5), (1, 2, 3), (4, 6), (2, 5, 7), (6, 10, 15))
"""Lots that do not divide each other."""


def exhaustive(curves: Sequence[Curve], target: int, max_legs: int) -> tuple[int, int, int, int]:
    """(total, cost, legs, ranks) of the lexicographically best choice, by trying every size."""
    best: dict[tuple[int, int], tuple[int, int]] = {(0, 0): (0, 0)}
    for rank, curve in enumerate(curves):
        grown = dict(best)
        for size in range(curve.lo, curve.hi + 1, curve.lot):
            cost = curve.cost(size) + curve.fixed
            for (total, legs), (before, ranks) in best.items():
                if total + size > target or legs == max_legs:
                    continue
                key, value = (total + size, legs + 1), (before + cost, ranks + rank * size)
                if key not in grown or value < grown[key]:
                    grown[key] = value
        best = grown
    total = max(t for t, _ in best)
    cost, legs, ranks = min((c, n, r) for (t, n), (c, r) in best.items() if t == total)
    return total, cost, legs, ranks


def priced(curves: Sequence[Curve], split: Split) -> tuple[int, int, int, int]:
    used = [(r, c, x) for r, (c, x) in enumerate(zip(curves, split.sizes, strict=True)) if x]
    for _, curve, size in used:
        assert curve.lo <= size <= curve.hi
        assert size % curve.lot == 0
    return (
        sum(x for _, _, x in used),
        sum(c.cost(x) + c.fixed for _, c, x in used),
        len(used),
        sum(r * x for r, _, x in used),
    )


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Curve], int, int]:
    lots = draw(st.sampled_from(CHAINS + OTHERS))
    curves = []
    for _ in range(draw(st.integers(1, 5))):
        sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
        cost = st.integers(-20, 30) if draw(st.booleans()) else st.integers(5, 12)
        costs = sorted(draw(st.lists(cost, min_size=len(sizes), max_size=len(sizes))))
        curves.append(
            Curve(
                costs,
                sizes,
                lot=draw(st.sampled_from(lots)),
                lo=draw(st.sampled_from((0, 1, 5, 12))),
                hi=draw(st.integers(1, sum(sizes))),
                fixed=draw(st.sampled_from((0, 0, 7, 40))),
            )
        )
    target = draw(st.integers(1, 60))
    # Curves that can take no part have no rank: leave them out of the comparison.
    usable = [c for c in curves if c.usable and c.lo <= target]
    return usable, target, draw(st.integers(1, 5))


@seed(20261122)
@settings(max_examples=1500, deadline=None)
@given(problems())
def test_allocation_equals_the_exhaustive_optimum(problem: tuple[list[Curve], int, int]) -> None:
    curves, target, max_legs = problem

    split = allocate(curves, target, max_legs)

    assert priced(curves, split) == exhaustive(curves, target, max_legs)
    assert split.total == sum(split.sizes)
    assert split.lower_bound == split.cost


@seed(20261123)
@settings(max_examples=1500, deadline=None)
@given(problems(), st.integers(1, 60))
def test_the_largest_total_is_that_of_trying_every_size(
    problem: tuple[list[Curve], int, int], target: int
) -> None:
    curves, _, max_legs = problem

    expected, *_ = exhaustive(curves, target, max_legs)

    assert largest_total(curves, target, max_legs) == expected
    members = some_set(curves, expected, max_legs) if expected else ()
    assert members is not None
    assert len(members) <= max_legs
    assert exhaustive([curves[i] for i in members], expected, max_legs)[0] == expected


@pytest.mark.parametrize("max_legs", [None, 7])
@pytest.mark.parametrize("lots", [(100,), (100, 300, 50), (20, 50)])
def test_how_much_can_be_filled_takes_no_longer_for_more_sets_of_venues(
    lots: tuple[int, ...], max_legs: int | None
) -> None:
    # Thirty venues of coarse lots, and one that cannot make up what they leave.
    coarse = [Curve([5 + n % 3], [5000], lot=lots[n % len(lots)], lo=0, hi=5000) for n in range(30)]
    fine = Curve([5], [103], lot=1, lo=101, hi=103)
    unit = gcd(*lots)

    started = process_time()
    split = allocate([*coarse, fine], 5055, max_legs)
    took_seconds = process_time() - started

    # 5,055 is 50 coarse units and 55: with the fine one, 103 of it and what the others can add.
    assert split.total == max(5055 // unit * unit, (5055 - 103) // unit * unit + 103)
    assert took_seconds < 1


def test_minimums_that_are_maximums_too_are_combined() -> None:
    rigid = [Curve([1], [size], lot=1, lo=size, hi=size) for size in (7, 11, 13, 29)]

    assert largest_total(rigid, 45, 4) == 42
    assert largest_total(rigid, 45, 1) == 29
    assert largest_total([], 45, 1) == 0


def test_lots_too_far_apart_are_not_mixed() -> None:
    # 999 and 1000 are 999,000 steps apart: each is used alone, or with a lot that divides it.
    coarse = Curve([5], [5000], lot=1000, lo=1000, hi=5000)
    odd = Curve([4], [5000], lot=999, lo=999, hi=4995)
    fine = Curve([90], [5000], lot=1, lo=1, hi=5000)

    assert allocate([coarse, odd], 1999).sizes == (0, 1998)
    assert allocate([coarse, odd, fine], 2001).sizes in {(2000, 0, 1), (0, 1998, 3)}


def test_the_cheapest_venue_wins_although_its_first_level_is_not_the_cheapest() -> None:
    shallow = Curve([10, 50], [1, 100], lot=1, lo=1, hi=101, fixed=30)
    deep = Curve([12], [101], lot=1, lo=1, hi=101, fixed=30)

    assert allocate([shallow, deep], 10).sizes == (0, 10)


@pytest.mark.parametrize("target", [1, 99, 12_345_678_901_234_567_890])
def test_large_integers_stay_exact(target: int) -> None:
    curve = Curve([10**30 + 1], [10**25], lot=1, lo=1, hi=10**25)

    split = allocate([curve], target)

    assert split.cost == target * (10**30 + 1)


def test_nothing_fits() -> None:
    curve = Curve([1], [10], lot=4, lo=8, hi=8)

    assert allocate([curve], 7) == Split((0,), 0, 0, 0)
    assert allocate([], 7) == Split((), 0, 0, 0)
