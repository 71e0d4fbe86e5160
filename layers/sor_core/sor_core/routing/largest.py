"""How much of a target can be filled at all: the first of the aims of `routing.allocate`.

Curves of one lot are taken together: a set of them reaches every multiple of the lot between the sum
of its least sizes and the sum of its largest ones, so what all sets reach is a few spans, made curve by
curve. Then one span of each lot is chosen. So the work grows with the curves and the spans, not with
the sets of curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

from sor_core.routing.curves import Curve
from sor_core.routing.lattice import largest_reachable, split_exactly, tractable

MOST_SPANS = 200
"""Spans kept of one lot and number of legs: minimums equal to maximums, all different, can make more."""
MOST_CHOICES = 5_000
"""Choices of a span of each lot tried before the largest total found so far is returned."""


@dataclass(frozen=True, slots=True)
class _Span:
    """With so many curves used, every multiple of the lot from `low` to `high` can be had."""

    lot: int
    legs: int
    low: int
    high: int


def largest_total(curves: Sequence[Curve], target: int, max_legs: int) -> int:
    """Largest reachable sum of sizes not above `target`, over at most `max_legs` curves.

    Lots that `lattice.tractable` does not admit are not used together.
    """
    if not curves or max_legs == 0:
        return 0
    unit = gcd(*(c.lot for c in curves))
    ordered = sorted(curves, key=lambda c: -c.hi)
    ceiling = min(target // unit * unit, sum([c.hi for c in ordered[:max_legs]]))
    best = _filled_greedily(ordered, target, max_legs, ceiling)
    return best if best == ceiling else _Choice(ordered, target, max_legs, ceiling, best).largest()


def _filled_greedily(ordered: Sequence[Curve], target: int, max_legs: int, ceiling: int) -> int:
    """The total of the largest curves whose minimums fit: nearly always all that can be had."""
    together: dict[int, _Span] = {}
    low = high = legs = best = 0
    for curve in ordered:
        if low + curve.lo > target:
            continue
        low, high, legs = low + curve.lo, high + curve.hi, legs + 1
        had = together.get(curve.lot, _Span(curve.lot, 0, 0, 0))
        together[curve.lot] = _Span(curve.lot, 0, had.low + curve.lo, had.high + curve.hi)
        if high >= ceiling or legs == max_legs:
            best = max(best, _most_of(list(together.values()), target))
        if best == ceiling or legs == max_legs:
            break
    return best


def some_set(curves: Sequence[Curve], total: int, max_legs: int) -> tuple[int, ...] | None:
    """The positions of curves that reach `total`, a `largest_total`, together; None if none were found."""
    choice = _Choice(curves, total, max_legs, total, 0)
    if choice.largest() < total:
        return None
    members: list[int] = []
    for span, amount in zip(choice.chosen, _amounts(choice.chosen, total), strict=True):
        positions = [i for i, c in enumerate(curves) if c.lot == span.lot and c.lo <= total]
        found = _members([curves[i] for i in positions], total, choice.limit, span.legs, amount)
        if found is None:
            return None
        members += [positions[i] for i in found]
    return tuple(sorted(members))


class _Choice:
    """Choosing a span of each lot."""

    def __init__(self, curves: Sequence[Curve], target: int, max_legs: int, ceiling: int, best: int) -> None:
        self._target, self._max_legs, self._ceiling, self._best = target, max_legs, ceiling, best
        self._tried = 0
        self.chosen: list[_Span] = []
        self.limit = max_legs if max_legs < len(curves) else None
        fit = [c for c in curves if c.lo <= target]
        lots = sorted({c.lot for c in fit}, reverse=True)
        self._spans = [_spans_of([c for c in fit if c.lot == lot], target, self.limit) for lot in lots]

    def largest(self) -> int:
        """The largest total."""
        self._visit(0, [], 0, 0)
        return self._best

    def _visit(self, at: int, chosen: list[_Span], low: int, high: int) -> None:
        later = sum([spans[0].high for spans in self._spans[at:]])
        if self._best == self._ceiling or min(self._target, high + later) <= self._best:
            return
        if at == len(self._spans):
            self._tried += 1
            most = _most_of(chosen, self._target) if self._tried <= MOST_CHOICES else 0
            if most > self._best:
                self._best, self.chosen = most, chosen
            return
        legs = sum([span.legs for span in chosen])
        for span in self._spans[at]:
            if low + span.low <= self._target and legs + span.legs <= self._max_legs:
                self._visit(at + 1, [*chosen, span], low + span.low, high + span.high)
            if self._tried > MOST_CHOICES:
                return
        self._visit(at + 1, chosen, low, high)


_Reached = dict[int, list[tuple[int, int]]]
"""By legs (0 where they do not count), from and to what can be had."""


def _reached(curves: Sequence[Curve], target: int, max_legs: int | None) -> list[_Reached]:
    """All that curves of one lot reach up to a target: of none, the first, the first two, ..."""
    history: list[_Reached] = [{}]
    for curve in curves:
        grown: _Reached = {0 if max_legs is None else 1: [(curve.lo, curve.hi)]}
        for legs, spans in history[-1].items():
            more = [(a + curve.lo, b + curve.hi) for a, b in spans if a + curve.lo <= target]
            if max_legs is None or legs < max_legs:
                grown.setdefault(0 if max_legs is None else legs + 1, []).extend(more)
        after = dict(history[-1])
        for legs, spans in grown.items():
            after[legs] = _merged([*after.get(legs, []), *spans], curve.lot)
        history.append(after)
    return history


def _spans_of(curves: Sequence[Curve], target: int, max_legs: int | None) -> list[_Span]:
    """What curves of one lot reach, the largest first."""
    last = _reached(curves, target, max_legs)[-1]
    found = [_Span(curves[0].lot, legs, low, high) for legs, spans in last.items() for low, high in spans]
    return sorted(found, key=lambda span: (-span.high, span.legs))


def _members(
    curves: Sequence[Curve], target: int, max_legs: int | None, legs: int, amount: int
) -> list[int] | None:
    """The positions of curves of one lot that reach an amount, by the way back through `_reached`."""
    history = _reached(curves, target, max_legs)
    found: list[int] = []
    for at in reversed(range(len(curves))):
        if any(low <= amount <= high for low, high in history[at].get(legs, [])):
            continue  # without this one, too
        curve, before = curves[at], max(0, legs - 1)
        found.append(at)
        if curve.lo <= amount <= curve.hi and before == 0:
            return found
        # What the others leave to it: within its bounds, and they within a span of theirs.
        left = [
            max(low, amount - curve.hi)
            for low, high in history[at].get(before, [])
            if low <= amount - curve.lo and amount - curve.hi <= high
        ]
        if not left:
            return None
        amount, legs = left[0], before
    return None


def _merged(spans: list[tuple[int, int]], lot: int) -> list[tuple[int, int]]:
    """The same multiples of the lot in as few spans as can be."""
    spans.sort()
    merged = spans[:1]
    for low, high in spans[1:]:
        if low > merged[-1][1] + lot:
            merged.append((low, high))
        elif high > merged[-1][1]:
            merged[-1] = merged[-1][0], high
    return merged[-MOST_SPANS:]


def _most_of(chosen: Sequence[_Span], target: int) -> int:
    """Largest sum not above `target` with all of `chosen`, one of each lot, used (their least sizes fit)."""
    if not chosen:
        return 0
    if not lots_divide(span.lot for span in chosen):
        curves = [_free(span) for span in chosen]
        return largest_reachable(curves, target) if tractable(curves) else 0
    return sum(_filled(chosen, target))


def _filled(chosen: Sequence[_Span], target: int) -> list[int]:
    """What each takes, lots dividing each other: from the coarsest lot down.

    Exact, for a coarse lot that fits can always replace finer ones of the same or a smaller sum.
    """
    total = sum([span.low for span in chosen])
    taken = {}
    for span in sorted(chosen, key=lambda span: -span.lot):
        more = min(span.high - span.low, (target - total) // span.lot * span.lot)
        taken[span.lot] = span.low + more
        total += more
    return [taken[span.lot] for span in chosen]


def _amounts(chosen: Sequence[_Span], total: int) -> list[int]:
    if lots_divide(span.lot for span in chosen):
        return _filled(chosen, total)
    return split_exactly([_free(span) for span in chosen], total) or [0] * len(chosen)


def _free(span: _Span) -> Curve:
    return Curve([0], [span.high], lot=span.lot, lo=span.low, hi=span.high)


def lots_divide(lots: Iterable[int]) -> bool:
    """Whether every lot is a multiple of every finer one."""
    ordered = sorted(set(lots))
    return all(coarse % fine == 0 for fine, coarse in pairwise(ordered))
