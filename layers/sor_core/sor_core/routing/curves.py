"""Cost curves of venues, and their marginal costs lot by lot. All integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Self

from sor_core.routing.ladder import Ladder


class Curve:
    """What one venue asks for each size. All integers.

    A level's unit cost is ``factor x value + addend``; values ascend and may be negative, the factor
    is positive. So curves of one book that differ in fee or surcharge share its sums: the cost of a
    size is ``factor x`` (value times size, summed) ``+ addend x size``.
    """

    __slots__ = ("addend", "ends", "factor", "fixed", "hi", "lo", "lot", "values", "worths")

    def __init__(
        self, unit_costs: Sequence[int], sizes: Sequence[int], *, lot: int, lo: int, hi: int, fixed: int = 0
    ) -> None:
        self.values = unit_costs
        self.ends: Sequence[int] = list(accumulate(sizes, initial=0))
        self.worths: Sequence[int] = list(accumulate(map(mul, unit_costs, sizes), initial=0))
        self.factor, self.addend, self.fixed = 1, 0, fixed
        self.lot = lot
        self.lo = max(lot, -(-lo // lot) * lot)
        self.hi = min(hi, self.ends[-1]) // lot * lot

    @classmethod
    def of(
        cls, ladder: Ladder, *, factor: int, addend: int, lot: int, lo: int, hi: int, fixed: int = 0
    ) -> Self:
        """Put a price on a ladder's levels; `factor` > 0."""
        curve = cls.__new__(cls)
        curve.values, curve.ends, curve.worths = ladder.values, ladder.ends, ladder.worths
        curve.factor, curve.addend, curve.fixed = factor, addend, fixed
        curve.lot, curve.lo = lot, max(lot, -(-lo // lot) * lot)
        curve.hi = min(hi, ladder.depth) // lot * lot
        return curve

    def _copy(self) -> Self:
        # copy.copy goes through pickling's protocol, which costs as much as a whole bisection.
        curve = self.__class__.__new__(self.__class__)
        curve.values, curve.ends, curve.worths = self.values, self.ends, self.worths
        curve.factor, curve.addend, curve.fixed = self.factor, self.addend, self.fixed
        curve.lot, curve.lo, curve.hi = self.lot, self.lo, self.hi
        return curve

    def rescaled(self, factor: int, addend: int, fixed: int) -> Self:
        """The same levels and bounds, unit costs times `factor` (> 0) plus `addend`."""
        curve = self._copy()
        curve.factor, curve.addend, curve.fixed = self.factor * factor, self.addend * factor + addend, fixed
        return curve

    def closed(self) -> Self:
        """The same levels with no size allowed."""
        curve = self._copy()
        curve.hi = 0
        return curve

    @property
    def usable(self) -> bool:
        """Whether any size but 0 is allowed."""
        return self.lo <= self.hi

    @property
    def unit_costs(self) -> list[int]:
        """Unit cost of every level, ascending."""
        return [self.factor * value + self.addend for value in self.values]

    def unit_cost(self, level: int) -> int:
        """Unit cost of a level, by its number; negative numbers count from the worst."""
        return self.factor * self.values[level] + self.addend

    def levels_between(self, low: int, high: int) -> range:
        """The numbers of the levels whose unit cost is more than `low` and less than `high`."""
        first = bisect_right(self.values, (low - self.addend) // self.factor)
        return range(first, bisect_left(self.values, -((self.addend - high) // self.factor)))

    def cost(self, size: int) -> int:
        """Least cost of `size`, fixed cost not counted."""
        i = bisect_right(self.ends, size) - 1
        rest = size - self.ends[i]
        worth = self.worths[i] + rest * self.values[i] if rest else self.worths[i]
        return self.factor * worth + self.addend * size

    def best(self, price: int) -> tuple[int, int]:
        """Largest size within the bounds (lots relaxed) that minimises cost(size) - price x size.

        Returned with its cost, fixed cost not counted.
        """
        i = bisect_right(self.values, (price - self.addend) // self.factor)
        size = self.ends[i]
        if self.lo <= size <= self.hi:
            return size, self.factor * self.worths[i] + self.addend * size
        size = self.lo if size < self.lo else self.hi
        return size, self.cost(size)

    def best_size(self, price: int, *, largest: bool = True) -> int:
        """A size within the bounds (lots relaxed) that minimises cost(size) - price x size."""
        if largest:
            i = bisect_right(self.values, (price - self.addend) // self.factor)
        else:
            i = bisect_left(self.values, -((self.addend - price) // self.factor))
        return min(max(self.ends[i], self.lo), self.hi)


@dataclass(frozen=True, slots=True)
class Run:
    """`count` equal bundles; each costs `cost` and takes `parts` (position in the set, size)."""

    cost: int
    count: int
    parts: tuple[tuple[int, int], ...]


def marginal_runs(curve: Curve, at: int, start: int, end: int) -> list[Run]:
    """Marginal costs of `curve`'s lots between two sizes, ascending; equal neighbours as one run."""
    lot, ends = curve.lot, curve.ends
    part = ((at, lot),)
    runs: list[Run] = []
    size = start
    i = bisect_right(ends, size) - 1
    while size < end:
        while ends[i + 1] <= size:
            i += 1
        whole = (min(ends[i + 1], end) - size) // lot
        if whole:
            runs.append(Run(curve.unit_cost(i) * lot, whole, part))
            size += whole * lot
        else:  # this lot straddles levels
            runs.append(Run(curve.cost(size + lot) - curve.cost(size), 1, part))
            size += lot
    return runs


def marginal_price(chosen: Sequence[Curve], total: int, between: tuple[int, int] | None = None) -> int:
    """Least price of a level at which the relaxed sizes reach `total`; they must suffice for it.

    With `between` it is more than the first of the two prices, and the second if no lower one will do.
    """
    low, high = between or (min([c.unit_cost(0) for c in chosen]) - 1, max([c.unit_cost(-1) for c in chosen]))
    for curve in chosen:  # after a curve's turn none of its levels is left between the two
        levels = curve.levels_between(low, high)
        first, last = levels.start, levels.stop
        while first < last:
            middle = (first + last) // 2
            price = curve.unit_cost(middle)
            if sum([c.best_size(price) for c in chosen]) >= total:
                last, high = middle, price
            else:
                first, low = middle + 1, price
    return high
