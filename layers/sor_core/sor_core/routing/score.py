"""Scores: estimates on absolute scales, in floats because nothing is paid by them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side
from sor_core.routing.ladder import Ladder, MalformedBookError, Scale

LIQUIDITY_BAND_BPS = 50.0
"""Depth counts for the liquidity score up to this far from the arrival mid."""

FRESHNESS_MS = 20_000.0
"""After this age a book's level is taken to be there still with probability 1/e."""

_SCORE_SPAN = 10_000.0
"""Full scale over the notional that scores about 0.75: four decades between thin and full."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What a side of a book offers."""

    notional_in_band: float
    """Quote, within `LIQUIDITY_BAND_BPS` of the mid, each unit of base valued at the mid."""
    size_within_cap: float
    """Base, at the price cap or better."""


def depth_of(levels: Sequence[RawLevel], side: Side, mid: float, cap: float) -> Depth:
    """Sum a side's levels up to the band's edge and up to the price cap.

    The levels are best first, as `routing.ladder.walk` makes sure of those that are traded on.

    Raises
    ------
    MalformedBookError
        If a level within reach is no number.
    """
    edge = mid * (1 + side.sign * LIQUIDITY_BAND_BPS / 10_000)
    try:
        in_band, in_cap = _reach(levels, side, edge), _reach(levels, side, cap)
        nearer, farther = sorted((in_band, in_cap))
        near = sum(map(float, [level[1] for level in levels[:nearer]]))  # type: ignore[arg-type]
        far = near + sum(map(float, [level[1] for level in levels[nearer:farther]]))  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    if not 0 <= near <= far < math.inf:
        raise MalformedBookError("a level is not positive")
    return Depth((near if in_band == nearer else far) * mid, near if in_cap == nearer else far)


def depth_of_whole(ladder: Ladder, side: Side, mid: float, cap: float, scale: Scale) -> Depth | None:
    """`depth_of` from a ladder, where that has all the levels within reach; None where it has not."""
    edge = mid * (side.sign + LIQUIDITY_BAND_BPS / 10_000)
    if not ladder.whole or (ladder.capped and cap * side.sign < edge):
        return None
    in_band = ladder.ends[bisect_right(ladder.values, math.floor(edge * 10.0**scale.price_places))]
    return Depth(float(scale.to_size(in_band)) * mid, float(scale.to_size(ladder.depth)))


def _reach(levels: Sequence[RawLevel], side: Side, price: float) -> int:
    """How many levels are at `price` or better."""
    sign = side.sign
    if levels and float(levels[-1][0]) * sign <= price * sign:  # type: ignore[arg-type]
        return len(levels)  # the usual case, without a search
    return bisect_right(levels, price * sign, key=lambda level: float(level[0]) * sign)  # type: ignore[arg-type]


def holds_in_band(levels: Sequence[RawLevel], side: Side, mid: float, notional: float) -> bool:
    """Whether a side's `depth_of` reaches a notional; looks no further than it must.

    Raises
    ------
    MalformedBookError
        If a level looked at is no number.
    """
    edge = mid * (1 + side.sign * LIQUIDITY_BAND_BPS / 10_000)
    held = 0.0
    try:
        for level in levels:
            if held >= notional or (float(level[0]) - edge) * side.sign > 0:  # type: ignore[arg-type]
                break
            held += float(level[1]) * mid  # type: ignore[arg-type]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    return held >= notional


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
