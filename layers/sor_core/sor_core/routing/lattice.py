"""Exact splits where lots do not divide each other, such as 0.03 and 0.05.

Curves of one lot are merged into a class: their marginal costs, cheapest first. What remains is to
choose how many lots of each class, with the sum of sizes fixed: a knapsack with one equation and
convex costs. Filling the classes by cost per unit up to the total gives the optimum with a fraction
of one lot. An integer optimum differs from it by at most 2D+1 lots in all, where D is the coarsest
lot in units of the greatest common divisor (Eisenbrand and Weismantel 2018, theorem for one
equation), so a dynamic programme over that neighbourhood finds it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd, lcm

from sor_core.routing.curves import Curve, Run, marginal_runs

COARSEST = 64
"""Largest D that is worth the programme's time; beyond it the caller goes on without this set."""


def tractable(chosen: Sequence[Curve]) -> bool:
    """Whether the set's lots are few enough steps apart to be solved here."""
    lots = [c.lot for c in chosen]
    return max(lots) // gcd(*lots) <= COARSEST


@dataclass(frozen=True, slots=True)
class _Class:
    """All curves of one lot: runs of equal marginal cost, cheapest first."""

    lot: int
    runs: Sequence[Run]
    ends: Sequence[int]
    """Lots up to and with each run, from 0."""
    costs: Sequence[int]
    """Cost of as many lots."""

    def cost(self, lots: int) -> int:
        """Least cost of so many lots."""
        i = bisect_right(self.ends, lots) - 1
        rest = lots - self.ends[i]
        return self.costs[i] + (rest * self.runs[i].cost if rest else 0)

    def take(self, lots: int, sizes: list[int]) -> None:
        """Add the cheapest so many lots to the sizes they belong to."""
        for run in self.runs:
            part = min(lots, run.count)
            for at, size in run.parts:
                sizes[at] += size * part
            lots -= part


def _classes(chosen: Sequence[Curve]) -> list[_Class]:
    classes = []
    for lot in sorted({c.lot for c in chosen}):
        runs = [
            run for at, c in enumerate(chosen) if c.lot == lot for run in marginal_runs(c, at, c.lo, c.hi)
        ]
        runs.sort(key=lambda run: run.cost)
        ends = list(accumulate((run.count for run in runs), initial=0))
        costs = list(accumulate((run.cost * run.count for run in runs), initial=0))
        classes.append(_Class(lot, runs, ends, costs))
    return classes


def _relaxed(classes: Sequence[_Class], rest: int) -> list[int]:
    """Lots per class when filled by cost per unit up to `rest`, the last one dropped if it passes."""
    common = lcm(*(c.lot for c in classes))
    runs = sorted(
        ((run.cost * (common // c.lot), at, run.count) for at, c in enumerate(classes) for run in c.runs)
    )
    lots = [0] * len(classes)
    for _, at, count in runs:
        part = min(count, rest // classes[at].lot)
        lots[at] += part
        rest -= part * classes[at].lot
        if part < count:
            break
    return lots


def _windows(classes: Sequence[_Class], rest: int) -> list[range]:
    unit = gcd(*(c.lot for c in classes))
    reach = 2 * (max(c.lot for c in classes) // unit) + 2
    return [
        range(max(0, near - reach), min(c.ends[-1], near + reach) + 1)
        for c, near in zip(classes, _relaxed(classes, rest), strict=True)
    ]


def split_exactly(chosen: Sequence[Curve], total: int) -> list[int] | None:
    """Least-cost sizes, all of `chosen` used, summing to `total`; None if there are none."""
    sizes = [c.lo for c in chosen]
    rest = total - sum(sizes)
    if rest < 0:
        return None
    classes = _classes(chosen)
    windows = _windows(classes, rest)
    table: list[Mapping[int, tuple[int, int]]] = []
    reached: dict[int, tuple[int, int]] = {0: (0, 0)}
    for at, (c, window) in enumerate(zip(classes, windows, strict=True)):
        later = range(at + 1, len(classes))
        least = rest - sum(classes[i].lot * windows[i][-1] for i in later)
        most = rest - sum(classes[i].lot * windows[i][0] for i in later)
        costs = [(n * c.lot, c.cost(n), n) for n in window]
        grown: dict[int, tuple[int, int]] = {}
        for size, (cost, _) in reached.items():
            for more, extra, n in costs:
                if not least <= size + more <= most:
                    continue
                found = grown.get(size + more)
                if found is None or cost + extra < found[0]:
                    grown[size + more] = (cost + extra, n)
        table.append(grown)
        reached = grown
    if rest not in reached:
        return None
    for c, step in zip(reversed(classes), reversed(table), strict=True):
        n = step[rest][1]
        c.take(n, sizes)
        rest -= n * c.lot
    return sizes


def largest_reachable(chosen: Sequence[Curve], target: int) -> int:
    """Largest sum of sizes not above `target` with all of `chosen` used; 0 if there is none."""
    low, high = sum(c.lo for c in chosen), sum(c.hi for c in chosen)
    if low > target:
        return 0
    if high <= target:
        return high
    rest = target - low
    classes = _classes(chosen)
    sums = {0}
    for c, window in zip(classes, _windows(classes, rest), strict=True):
        sums = {s + n * c.lot for s in sums for n in window if s + n * c.lot <= rest}
    ordered = sorted(sums)
    return low + (ordered[bisect_left(ordered, rest + 1) - 1] if ordered else 0)
