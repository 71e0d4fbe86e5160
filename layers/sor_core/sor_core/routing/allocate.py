"""Split an order over venues at least cost, exactly, in integers.

The problem. Each venue offers a convex cost curve (its levels at all-in unit prices, ascending), a
lot, bounds lo..hi (multiples of the lot) and a fixed cost for being used at all. Choose for each
venue 0 or a multiple of its lot within its bounds, at most `max_legs` of them not 0, so that,
lexicographically, (1) the total is as large as possible without passing the target, (2) cost plus
fixed costs are least, (3) legs are fewest, (4) the venues that come first in the given order carry
the most.

How. (3) and (4) are folded into the integers of (2) as smaller digits, so one exact minimum
decides all three. The only things that are not convex are on/off and the lots. Branch and bound
runs over on/off: relaxing both, a price lambda for one unit of the total gives the Lagrangian
bound (Everett 1963; for fixed costs: Geoffrion 1974), whose best lambda is found by bisection.
With the on-set fixed and lots that divide each other, the marginal costs of the finest lot are
merged, bundled into the next coarser lot, merged again and so on: each step keeps the marginal
costs ascending, so taking the cheapest first is exact. Lots that do not divide each other are for
`routing.lattice`; where even that is too much, that set of venues is passed over and the cost is
not claimed to be least (`lower_bound` shows by how much it may miss).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sor_core.routing.curves import Curve, Run, marginal_price, marginal_runs
from sor_core.routing.largest import largest_total, lots_divide, some_set
from sor_core.routing.lattice import split_exactly, tractable

MAX_NODES = 2_000
"""Nodes of branch and bound before the best found so far is returned unproven."""


@dataclass(frozen=True, slots=True)
class Split:
    """A solution: one size per curve given, in their order."""

    sizes: tuple[int, ...]
    total: int
    cost: int
    """Sum of the curves' costs and the fixed costs of those used."""
    lower_bound: int
    """No admissible split of `total` costs less. Equal to `cost` when proven."""


def allocate(curves: Sequence[Curve], target: int, max_legs: int | None = None) -> Split:
    """Solve the problem of the module's head for `target` > 0.

    Returns the empty split (total 0) where nothing can be filled.
    """
    usable = [i for i, c in enumerate(curves) if c.usable and c.lo <= target]
    limit = min(len(usable), max_legs if max_legs is not None else len(usable))
    total = largest_total([curves[i] for i in usable], target, limit)
    empty = Split((0,) * len(curves), 0, 0, 0)
    if total == 0:
        return empty
    search = _Search(
        [_with_ties(curves[i], rank, len(usable), total) for rank, i in enumerate(usable)], total
    )
    search.run(limit)
    if search.best is None:  # cut short before it came by a set of venues that reaches the total
        search.take(some_set([curves[i] for i in usable], total, limit))
    if search.best is None:
        return empty
    sizes = [0] * len(curves)
    for i, size in zip(usable, search.best, strict=True):
        sizes[i] = size
    cost = sum(c.cost(x) + c.fixed for c, x in zip(curves, sizes, strict=True) if x)
    # Dropping the digits that break ties rounds the bound down, so it stays a bound. A search cut short
    # does not know of ties: it claims a little less than the cost.
    bound = cost
    if not search.proven:
        bound = min(cost - (search.nodes > MAX_NODES), search.bound // _tie_base(len(usable), total))
    return Split(tuple(sizes), total, cost, bound)


def _tie_base(venues: int, total: int) -> int:
    """A digit larger than every sum of ranks and legs that breaks ties."""
    return (venues + 1) * _leg_base(venues, total)


def _leg_base(venues: int, total: int) -> int:
    return venues * total + 1


def _with_ties(curve: Curve, rank: int, venues: int, total: int) -> Curve:
    """The same curve with legs and rank as smaller digits of its integers."""
    base = _tie_base(venues, total)
    return curve.rescaled(base, rank, curve.fixed * base + _leg_base(venues, total))


# (2)-(4) the least cost at that total -----------------------------------------------------------


@dataclass(slots=True)
class _Search:
    """Branch and bound over which curves are used."""

    curves: list[Curve]
    total: int
    best: tuple[int, ...] | None = None
    best_cost: int = 0
    bound: int = 0
    """Least bound of anything cut off without proof."""
    proven: bool = True
    nodes: int = 0
    _seen: set[tuple[int, ...]] = field(default_factory=set)

    def run(self, max_legs: int) -> None:
        self._visit([], list(range(len(self.curves))), max_legs)

    def take(self, members: tuple[int, ...] | None) -> None:
        """Solve one set of curves and keep that."""
        if members:
            self._leaf(members, self.bound)

    def _visit(self, on: list[int], free: list[int], max_legs: int) -> None:
        room = max_legs - len(on)
        low = sum([self.curves[i].lo for i in on])
        free = [i for i in free if low + self.curves[i].lo <= self.total] if room else []
        high = sum([self.curves[i].hi for i in on])
        high += sum(sorted([self.curves[i].hi for i in free], reverse=True)[:room])
        if low > self.total or high < self.total:
            return
        self.nodes += 1
        relaxed = self._relax(on, free, room)
        if self.best is not None and relaxed.bound >= self.best_cost:
            return
        if self.nodes > MAX_NODES:
            self._unproven(relaxed.bound)
            return
        self._leaf(tuple(sorted({*on, *relaxed.chosen})), relaxed.bound)
        if not free or (self.best is not None and relaxed.bound >= self.best_cost):
            return
        # Branch where going against the relaxation costs most: that side is pruned soonest.
        pick = max(free, key=lambda i: abs(relaxed.gains[i]))
        rest = [i for i in free if i != pick]
        with_pick, without = ([*on, pick], rest), (on, rest)
        for branch in (with_pick, without) if pick in relaxed.chosen else (without, with_pick):
            self._visit(*branch, max_legs)

    def _relax(self, on: list[int], free: list[int], room: int) -> _Relaxed:
        """Best Lagrangian bound with `on` fixed and at most `room` of `free`; lots relaxed."""
        low = min([c.unit_cost(0) for c in self.curves]) - 1
        high = max([c.unit_cost(-1) for c in self.curves]) + 1
        at_high = self._at(high, on, free, room)
        # Fixed costs and minimums can hold a curve back beyond its worst level: raise the price.
        # It ends: at a high enough price the curves with most to give are chosen, and they suffice.
        step = high - low
        while at_high.size < self.total:
            low, high, step = high, high + step, step * 4
            at_high = self._at(high, on, free, room)
        bracket = _Bracket(low, high, at_high, at_high)
        # The total is passed at the price of a level, or where a curve becomes worth its fixed cost
        # or minimum; only if it is neither (a limit on legs can do that) the integers are bisected.
        for curve in [self.curves[i] for i in (*on, *free)]:
            levels = curve.levels_between(bracket.low, bracket.high)
            self._narrow(bracket, levels, curve.unit_cost, on, free, room)
        switches = sorted({self._worth_from(i, bracket.low) for i in free})
        self._narrow_to(bracket, [p for p in switches if bracket.low < p < bracket.high], on, free, room)
        self._narrow_to(bracket, [bracket.high - 1], on, free, room)
        while bracket.high - bracket.low > 1:
            self._narrow_to(bracket, [(bracket.low + bracket.high) // 2], on, free, room)
        best, at_high = bracket.best, bracket.at_high
        return _Relaxed(best.bound, at_high.size, at_high.chosen, best.gains)

    def _narrow_to(
        self, bracket: _Bracket, prices: Sequence[int], on: list[int], free: list[int], room: int
    ) -> None:
        self._narrow(bracket, range(len(prices)), prices.__getitem__, on, free, room)

    def _narrow(
        self,
        bracket: _Bracket,
        numbers: range,
        price_of: Callable[[int], int],
        on: list[int],
        free: list[int],
        room: int,
    ) -> None:
        """Bisect over numbered, ascending prices, all strictly within the bracket."""
        first, last = numbers.start, numbers.stop
        while first < last:
            middle = (first + last) // 2
            price = price_of(middle)
            found = self._at(price, on, free, room)
            if found.bound > bracket.best.bound:
                bracket.best = found
            if found.size >= self.total:
                last, bracket.high, bracket.at_high = middle, price, found
            else:
                first, bracket.low = middle + 1, price

    def _worth_from(self, i: int, price: int) -> int:
        """The least price from which curve `i` is worth using, its size being that at `price`."""
        size, cost = self.curves[i].best(price)
        return -(-(self.curves[i].fixed + cost) // size)

    def _at(self, price: int, on: list[int], free: list[int], room: int) -> _Relaxed:
        gains: dict[int, int] = {}
        bound, total = price * self.total, 0
        worth: list[tuple[int, int, int]] = []
        for i in on:
            curve = self.curves[i]
            size, cost = curve.best(price)
            gains[i] = gain = curve.fixed + cost - price * size
            bound += gain
            total += size
        for i in free:
            curve = self.curves[i]
            size, cost = curve.best(price)
            gains[i] = gain = curve.fixed + cost - price * size
            if gain <= 0:
                worth.append((gain, i, size))
        if len(worth) > room:
            worth = sorted(worth)[:room]
        for gain, _, size in worth:
            bound += gain
            total += size
        return _Relaxed(bound, total, tuple([i for _, i, _ in worth]), gains)

    def _leaf(self, members: tuple[int, ...], bound: int) -> None:
        if members in self._seen:
            return
        self._seen.add(members)
        chosen = [self.curves[i] for i in members]
        if lots_divide(c.lot for c in chosen):
            solved = _split_among(chosen, self.total)
        elif tractable(chosen):
            solved = split_exactly(chosen, self.total)
        else:
            self._unproven(bound)
            return
        if solved is None:
            return
        cost = sum(c.fixed + c.cost(x) for c, x in zip(chosen, solved, strict=True))
        if self.best is None or cost < self.best_cost:
            sizes = [0] * len(self.curves)
            for i, x in zip(members, solved, strict=True):
                sizes[i] = x
            self.best, self.best_cost = tuple(sizes), cost

    def _unproven(self, bound: int) -> None:
        self.bound = bound if self.proven else min(self.bound, bound)
        self.proven = False


@dataclass(frozen=True, slots=True)
class _Relaxed:
    bound: int
    size: int
    chosen: tuple[int, ...]
    gains: dict[int, int]
    """Per curve what using it at this price adds to the bound (negative: worth using)."""


@dataclass(slots=True)
class _Bracket:
    """Prices below and at which the total is passed, and what was found at them."""

    low: int
    high: int
    at_high: _Relaxed
    best: _Relaxed


def _split_among(chosen: Sequence[Curve], total: int) -> list[int] | None:
    """Least-cost sizes, all of `chosen` used, summing to `total` exactly; None if impossible."""
    if not chosen or not sum(c.lo for c in chosen) <= total <= sum(c.hi for c in chosen):
        return None
    if len(chosen) == 1:
        return [total] if total % chosen[0].lot == 0 else None
    price = marginal_price(chosen, total)
    # The best sizes on the lot grid lie within n coarsest lots of the relaxed ones (proximity of
    # separable convex programmes: Hochbaum and Shanthikumar 1990); walk only that window.
    window = (len(chosen) + 1) * max(c.lot for c in chosen)
    sizes: list[int] = []
    by_lot: dict[int, list[Run]] = {}
    for at, c in enumerate(chosen):
        start = max(c.lo, (c.best_size(price, largest=False) - window) // c.lot * c.lot)
        end = min(c.hi, (c.best_size(price) + window) // c.lot * c.lot)
        sizes.append(start)
        if end > start:
            by_lot.setdefault(c.lot, []).extend(marginal_runs(c, at, start, end))
    return _fill(sizes, total - sum(sizes), by_lot)


def _fill(sizes: list[int], rest: int, by_lot: dict[int, list[Run]]) -> list[int] | None:
    """Add exactly `rest` to `sizes` at least cost, from the finest lot to the coarsest."""

    def take(parts: tuple[tuple[int, int], ...], times: int) -> None:
        for at, size in parts:
            sizes[at] += size * times

    runs: list[Run] = []
    finer = 0
    for lot in sorted(by_lot):
        if finer:
            odd, runs = _bundle(runs, rest % lot // finer, lot // finer)
            if odd is None or rest % finer:
                return None
            for parts, times in odd:
                take(parts, times)
            rest -= rest % lot
        runs = sorted([*runs, *by_lot[lot]], key=lambda run: run.cost)
        finer = lot
    if rest < 0 or (finer and rest % finer) or (rest and not finer):
        return None
    left = rest // finer if finer else 0
    for run in runs:
        times = min(left, run.count)
        take(run.parts, times)
        left -= times
    return sizes if left == 0 else None


def _bundle(
    runs: Sequence[Run], odd: int, per: int
) -> tuple[list[tuple[tuple[tuple[int, int], ...], int]] | None, list[Run]]:
    """Take the cheapest `odd` lots, then bind the others, cheapest first, into bundles of `per`.

    Returns the odd lots as (parts, times), None if there are too few lots, and the bundles; an
    incomplete last bundle is dropped, for it cannot be used without breaking the coarser lot.
    """
    taken: list[tuple[tuple[tuple[int, int], ...], int]] = []
    bundles: list[Run] = []
    cost = have = 0
    parts: list[tuple[int, int]] = []
    for run in runs:
        count = run.count
        if odd:
            single = min(odd, count)
            taken.append((run.parts, single))
            odd -= single
            count -= single
        while count:
            if not have and count >= per:
                whole = count // per
                bundles.append(Run(run.cost * per, whole, tuple((a, s * per) for a, s in run.parts)))
                count -= whole * per
                continue
            more = min(per - have, count)
            cost += run.cost * more
            parts.extend((a, s * more) for a, s in run.parts)
            have += more
            count -= more
            if have == per:
                bundles.append(Run(cost, 1, tuple(parts)))
                cost = have = 0
                parts = []
    return (None if odd else taken), bundles
