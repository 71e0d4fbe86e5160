"""Scores: estimates on absolute scales, in floats because nothing is paid by them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side
from sor_core.routing.ladder import Ladder, MalformedBookError, Scale, number, numbers, priced

LIQUIDITY_BAND_BPS = 50.0
"""Depth counts for the liquidity score up to this far from the arrival mid."""

FRESHNESS_MS = 20_000.0
"""After this age a book's level is taken to be there still with probability 1/e."""

BLOCK = 8
"""Levels looked at, and shown in a receipt, are a multiple of it, or all."""

_SCORE_SPAN = 10_000.0
"""Full scale over the notional that scores about 0.75: four decades between thin and full."""
_MOST = 1e100
"""Base: a sum beyond it is no book's, and might end in infinity."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What a side of a book offers."""

    notional_in_band: float
    """Quote, within `LIQUIDITY_BAND_BPS` of the mid, each unit of base valued at the mid."""
    size_within_cap: float
    """Base, at the price cap or better."""


def depth_of(levels: Sequence[RawLevel], side: Side, mid: float, cap: float, read: int = 0) -> Depth:
    """Sum a side's levels up to the band's edge and up to the price cap.

    The levels are best first. Those past the `read` that were walked are looked at one by one up to
    the first beyond both, or the end of its block, one at least; beyond that block, prices are looked
    at only as a bisection comes by them, and sizes only up to the farther of the two.

    Raises
    ------
    MalformedBookError
        If what is looked at is no level, or out of order.
    """
    limits = mid * (side.sign + LIQUIDITY_BAND_BPS / 10_000), cap * side.sign
    looked, worst = _looked_at(levels, side, read, max(limits))
    in_band, in_cap = [_within(levels, side, limit, looked, worst) for limit in limits]
    nearer, farther = (in_band, in_cap) if in_band <= in_cap else (in_cap, in_band)
    try:
        sizes = numbers([level[1] for level in levels[:farther]])
    except (IndexError, TypeError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    far = sum(sizes)
    near = far if nearer == farther else sum(sizes[:nearer])
    if far >= _MOST:
        raise MalformedBookError("more than there can be")
    return Depth((near if in_band == nearer else far) * mid, near if in_cap == nearer else far)


def depth_beyond(
    ladder: Ladder, levels: Sequence[RawLevel], side: Side, mid: float, cap: float, scale: Scale
) -> Depth:
    """`depth_of` of a book that was walked to a ladder within `cap`; raises what it does."""
    edge = mid * (side.sign + LIQUIDITY_BAND_BPS / 10_000)
    if not ladder.whole or (ladder.capped and cap * side.sign < edge):
        return depth_of(levels, side, mid, cap, ladder.read)
    _looked_at(levels, side, ladder.read, max(edge, cap * side.sign))
    in_band = ladder.ends[bisect_right(ladder.values, math.floor(edge * 10.0**scale.price_places))]
    return Depth(float(scale.to_size(in_band)) * mid, float(scale.to_size(ladder.depth)))


def _looked_at(levels: Sequence[RawLevel], side: Side, read: int, farthest: float) -> tuple[int, float]:
    """How many levels are looked at one by one, and the value (the price, negative for a sell) of the last.

    A level beyond `farthest` ends it: of that one only the price counts.
    """
    end = min(len(levels), (read // BLOCK + 1) * BLOCK)
    start = max(0, min(read, end) - 1)
    value = -math.inf
    for at in range(start, end):
        price, size = priced(levels[at])
        if price <= 0:
            raise MalformedBookError("a price is not positive")
        if price * side.sign < value:
            raise MalformedBookError("levels out of order")
        value = price * side.sign
        if value > farthest:
            return at + 1, value
        number(size)
    return end, value


def _within(levels: Sequence[RawLevel], side: Side, limit: float, looked: int, worst: float) -> int:
    """How many levels have a value of `limit` or better; the first `looked` are in order up to `worst`."""
    key = _VALUES[side]
    if worst > limit:
        return bisect_right(levels, limit, 0, looked, key=key)
    if looked == len(levels) or key(levels[-1]) <= limit:
        return len(levels)  # the usual case, without a search
    return bisect_right(levels, limit, looked, key=key)


_VALUES: Mapping[Side, Callable[[RawLevel], float]] = {
    Side.BUY: lambda level: priced(level)[0],
    Side.SELL: lambda level: -priced(level)[0],
}


def held_in_band(levels: Sequence[RawLevel], side: Side, mid: float, enough: float) -> float:
    """The notional within the band, each unit valued at the mid; no further looked at than to `enough`.

    Raises
    ------
    MalformedBookError
        If a level looked at is none, or out of order; of one beyond the band only the price counts.
    """
    edge = mid * (side.sign + LIQUIDITY_BAND_BPS / 10_000)
    held, value = 0.0, -math.inf
    for level in levels:
        if held * mid >= enough:
            break
        price, size = priced(level)
        if price <= 0 or price * side.sign < value:
            raise MalformedBookError("levels out of order")
        value = price * side.sign
        if value > edge:
            break
        held += number(size)
        if held >= _MOST:
            raise MalformedBookError("more than there can be")
    return held * mid


def notional_of(score: float, full_notional: float) -> float:
    """The notional that `liquidity_score` gives this score."""
    return full_notional / _SCORE_SPAN * math.expm1(score / 10.0 * math.log1p(_SCORE_SPAN))


def liquidity_score(notional: float, full_notional: float) -> float:
    """0..10, logarithmic in the quote notional near the mid; 10 at `full_notional` or more.

    ``10 log(1 + d/u) / log(1 + D/u)`` with d the notional, D the full scale and u = D/10,000: it
    grows with every further unit of depth, and each tenfold adds 2.5.
    """
    unit = full_notional / _SCORE_SPAN
    return min(10.0, 10.0 * math.log1p(notional / unit) / math.log1p(_SCORE_SPAN))


def fill_probability(
    *, amount: float, depth: float, reliability: float, age_ms: float, latency_ms: float
) -> float:
    """Estimated probability that a leg fills whole within its cap.

    ``reliability x (1 - amount / 2 depth) x exp(-(age + latency) / 20 s)``: it falls with the
    share of the admissible depth that the leg takes and with the age that the book will have when
    the order arrives; it grows with the venue's reliability.
    """
    share = min(1.0, amount / depth) if depth > 0 else 1.0
    return reliability * (1.0 - share / 2.0) * math.exp(-(age_ms + latency_ms) / FRESHNESS_MS)


def aged(confidence: float, legs: int, waited_ms: float) -> float:
    """A confidence after its books have grown older by `waited_ms`: every leg's freshness falls."""
    return confidence * math.exp(-legs * waited_ms / FRESHNESS_MS)
