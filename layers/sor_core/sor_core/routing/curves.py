"""Cost curves of venues, and their marginal costs lot by lot. All integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


class Curve:
    """What one venue asks for each size. All integers; `unit_costs` ascending, may be negative."""

    __slots__ = ("costs", "ends", "fixed", "hi", "lo", "lot", "unit_costs")

    def __init__(
        self, unit_costs: Sequence[int], sizes: Sequence[int], *, lot: int, lo: int, hi: int, fixed: int = 0
    ) -> None:
        self.unit_costs = list(unit_costs)
        self.ends = list(accumulate(sizes, initial=0))
        self.costs = list(accumulate(map(int.__mul__, unit_costs, sizes), initial=0))
        self.lot = lot
        self.lo = max(lot, -(-lo // lot) * lot)
        self.hi = min(hi, self.ends[-1]) // lot * lot
        self.fixed = fixed

    @property
    def usable(self) -> bool:
        """Whether any size but 0 is allowed."""
        return self.lo <= self.hi

    def cost(self, size: int) -> int:
        """Least cost of `size`, fixed cost not counted."""
        i = bisect_right(self.ends, size) - 1
        rest = size - self.ends[i]
        return self.costs[i] + (rest * self.unit_costs[i] if rest else 0)

    def best_size(self, price: int, *, largest: bool = True) -> int:
        """A size within the bounds (lots relaxed) that minimises cost(size) - price x size."""
        i = bisect_right(self.unit_costs, price) if largest else bisect_left(self.unit_costs, price)
        return min(max(self.ends[i], self.lo), self.hi)


@dataclass(frozen=True, slots=True)
class Run:
    """`count` equal bundles; each costs `cost` and takes `parts` (position in the set, size)."""

    cost: int
    count: int
    parts: tuple[tuple[int, int], ...]


def marginal_runs(curve: Curve, at: int, start: int, end: int) -> list[Run]:
    """Marginal costs of `curve`'s lots between two sizes, ascending; equal neighbours as one run."""
    lot, ends, unit_costs = curve.lot, curve.ends, curve.unit_costs
    part = ((at, lot),)
    runs: list[Run] = []
    size = start
    i = bisect_right(ends, size) - 1
    while size < end:
        while ends[i + 1] <= size:
            i += 1
        whole = (min(ends[i + 1], end) - size) // lot
        if whole:
            runs.append(Run(unit_costs[i] * lot, whole, part))
            size += whole * lot
        else:  # this lot straddles levels
            runs.append(Run(curve.cost(size + lot) - curve.cost(size), 1, part))
            size += lot
    return runs


def marginal_price(chosen: Sequence[Curve], total: int) -> int:
    """Least price of a level at which the relaxed sizes reach `total`."""
    prices = sorted({c for curve in chosen for c in curve.unit_costs})
    return prices[
        bisect_left(
            prices, total, key=lambda price: sum(c.best_size(price) for c in chosen), hi=len(prices) - 1
        )
    ]
