"""Scores: estimates on absolute scales, in floats because nothing is paid by them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter, mul

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side
from sor_core.routing.ladder import MalformedBookError

LIQUIDITY_BAND_BPS = 50.0
"""Depth counts for the liquidity score up to this far from the arrival mid."""

FRESHNESS_MS = 20_000.0
"""After this age a book's level is taken to be there still with probability 1/e."""

_PRICE, _SIZE = itemgetter(0), itemgetter(1)

_SCORE_SPAN = 10_000.0
"""Full scale over the notional that scores about 0.75: four decades between thin and full."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What a side of a book offers."""

    notional_in_band: float
    """Quote, within `LIQUIDITY_BAND_BPS` of the arrival mid."""
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
        in_band, in_cap = (levels[: _reach(levels, side, price)] for price in (edge, cap))
        notional = sum(map(mul, map(float, map(_PRICE, in_band)), map(float, map(_SIZE, in_band))))
        size = sum(map(float, map(_SIZE, in_cap)))
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    if not (0 <= notional < math.inf and 0 <= size < math.inf):
        raise MalformedBookError("a level is not positive")
    return Depth(notional, size)


def _reach(levels: Sequence[RawLevel], side: Side, price: float) -> int:
    """How many levels are at `price` or better."""
    sign = side.sign
    return bisect_right(levels, price * sign, key=lambda level: float(level[0]) * sign)  # type: ignore[arg-type]


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
