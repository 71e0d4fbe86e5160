"""From venues that may take part to integers: reach, bounds and scores of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Self

from sor_core.domain.instrument import Instrument
from sor_core.domain.market import Exclusion, Policy, VenueMarket, Why
from sor_core.domain.money import BPS, floor_to_step, plain
from sor_core.domain.order import Order, Side
from sor_core.routing.curves import Curve
from sor_core.routing.ladder import (
    FINEST_PLACES,
    FinerThanScaleError,
    Ladder,
    MalformedBookError,
    Scale,
    places_of,
    touch,
)
from sor_core.routing.score import Depth, depth_beyond, liquidity_score
from sor_core.routing.strategies import Candidate, Pricing
from sor_core.routing.walk import walk

DUST_BPS = 1
"""What an order may leave unfilled for a venue's coarse lot, in basis points of its size."""


@dataclass(frozen=True, slots=True)
class Field:
    """All that compete for an order, on one scale."""

    pricing: Pricing
    candidates: tuple[Candidate, ...]
    target: int
    """Base to fill, rounded down to `size_step`; for a quote-sized order all that the reach holds."""
    excluded: tuple[Exclusion, ...]
    beyond_cap: bool
    """Whether some book goes on beyond the price cap."""
    short_of_funds: bool
    """Whether some venue could serve more if the account had more there."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far every book is walked."""

    cap: Decimal
    mid_float: float
    enough_size: int | None
    """Base at which the order is covered; None for a quote-sized one."""

    @classmethod
    def of(cls, order: Order, mid: Decimal, cap: Decimal, scale: Scale) -> Self:
        """Put an order's reach on a scale."""
        enough = None if order.amount is None else _floor(order.amount, scale.size_places)
        return cls(cap, float(mid), enough)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an order sees of one book."""

    ladder: Ladder
    depth: Depth
    venue_cap: Decimal
    """The price cap on the venue's tick."""


def price_cap(order: Order, mid: Decimal) -> Decimal:
    """The worst admissible price: the limit, the slippage bound, or the tighter of both."""
    sign = order.side.sign
    bounds = [order.price] if order.price is not None else []
    if order.max_slippage_bps is not None:
        bounds.append(mid * (1 + sign * order.max_slippage_bps / BPS))
    return min(bounds) if order.side is Side.BUY else max(bounds)


def limit_price(cap: Decimal, instrument: Instrument, side: Side) -> Decimal:
    """The cap on the venue's tick, rounded so that it is never worse than the cap; within `exact()`."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (cap / instrument.tick).to_integral_value(rounding) * instrument.tick


def build_field(
    order: Order, markets: Sequence[VenueMarket], mid: Decimal, cap: Decimal, policy: Policy
) -> Field:
    """Walk every book as far as the order can reach; venues that cannot serve it are excluded."""
    scale = Scale(
        max(places_of(m.instrument.tick) for m in markets), max(places_of(m.instrument.lot) for m in markets)
    )
    try:
        return _build(order, markets, mid, cap, policy, scale)
    except FinerThanScaleError:
        # Some venue shows levels finer than its own steps: pay for bigger integers, once.
        return _build(order, markets, mid, cap, policy, Scale(FINEST_PLACES, FINEST_PLACES))


def _build(
    order: Order,
    markets: Sequence[VenueMarket],
    mid: Decimal,
    cap: Decimal,
    policy: Policy,
    scale: Scale,
) -> Field:
    fee_places = max(places_of(m.fees.taker_fee_bps / BPS) for m in markets)
    pricing = Pricing.of(order, scale, fee_places, mid, policy)
    reach = Reach.of(order, mid, cap, scale)
    found: list[Candidate] = []
    excluded: list[Exclusion] = []
    beyond = False
    for market in markets:
        try:
            outcome, capped = _candidate(order, market, reach, pricing)
        except MalformedBookError as error:
            excluded.append(Exclusion(market.venue, Why.MALFORMED_BOOK, str(error)))
            continue
        except FinerThanScaleError:
            if min(scale.price_places, scale.size_places) < FINEST_PLACES:
                raise
            detail = f"finer than {FINEST_PLACES} decimal places"
            excluded.append(Exclusion(market.venue, Why.MALFORMED_BOOK, detail))
            continue
        beyond = beyond or capped
        if isinstance(outcome, Exclusion):
            excluded.append(outcome)
        else:
            found.append(outcome)
    most = sum(c.hi for c in found) if reach.enough_size is None else reach.enough_size
    step = size_step(found, most)
    short = any(e.why is Why.NO_FUNDS for e in excluded) or any(c.short_of_funds for c in found)
    return Field(pricing, tuple(found), most // step * step, tuple(excluded), beyond, short)


def size_step(candidates: Sequence[Candidate], size: int) -> int:
    """The coarsest lot that is at most `DUST_BPS` of a size; the finest lot where none is.

    An order is rounded down to it: no venue is chosen, and no leg opened, for the sake of less.
    """
    lots = [c.lot for c in candidates]
    return max((lot for lot in lots if lot * 10_000 <= size * DUST_BPS), default=min(lots, default=1))


def look(order: Order, market: VenueMarket, reach: Reach, scale: Scale) -> Seen:
    """Walk a book and sum its depth.

    Raises
    ------
    MalformedBookError, FinerThanScaleError
        As `routing.walk.walk` and `routing.score.depth_of` do.
    """
    levels = market.book.asks if order.side is Side.BUY else market.book.bids
    venue_cap = limit_price(reach.cap, market.instrument, order.side)
    ladder = walk(
        levels,
        order.side,
        scale,
        cap=_towards(order.side, venue_cap, scale),
        enough_size=reach.enough_size,
        enough_notional=_enough_notional(order, market, venue_cap, scale),
    )
    depth = depth_beyond(ladder, levels, order.side, reach.mid_float, float(venue_cap), scale)
    return Seen(ladder, depth, venue_cap)


def _candidate(
    order: Order, market: VenueMarket, reach: Reach, pricing: Pricing
) -> tuple[Candidate | Exclusion, bool]:
    seen = look(order, market, reach, pricing.scale)
    full = pricing.policy.full_liquidity_notional(market.instrument.symbol.quote)
    score = liquidity_score(seen.depth.notional_in_band, float(full))
    return _bounded(market, seen, score, reach, pricing), seen.ladder.capped


def _bounded(
    market: VenueMarket, seen: Seen, score: float, reach: Reach, pricing: Pricing
) -> Candidate | Exclusion:
    ladder, venue_cap = seen.ladder, seen.venue_cap
    instrument, scale = market.instrument, pricing.scale
    if not ladder.values:
        return Exclusion(market.venue, Why.NO_DEPTH, f"nothing at {plain(venue_cap)} or better")
    lot = scale.size(instrument.lot)
    lo, most = _size_bounds(instrument, ladder, _towards(pricing.side, venue_cap, scale), lot, scale)
    if reach.enough_size is not None:
        most = min(most, reach.enough_size // lot * lot)
    if most < lo:
        smallest = plain(scale.to_size(lo))
        detail = f"takes no less than {smallest} {instrument.symbol.base} here"
        return Exclusion(market.venue, Why.BELOW_MINIMUM, detail)
    hi = most
    funded = funded_size(market, venue_cap, pricing.side)
    if funded is not None:
        hi = scale.size(min(funded, scale.to_size(most)))
        if hi < lo:
            detail = f"has funds for {plain(funded)} {instrument.symbol.base}"
            return Exclusion(market.venue, Why.NO_FUNDS, detail)
    all_in = pricing.all_in_factor(market)
    factor, surcharge, fixed = pricing.terms(market, all_in, score)
    curve = Curve.of(ladder, factor=factor, addend=surcharge, lot=lot, lo=lo, hi=hi, fixed=fixed)
    within = seen.depth.size_within_cap
    return Candidate(market, ladder, curve, score, within, venue_cap, all_in, short_of_funds=hi < most)


def funded_size(market: VenueMarket, venue_cap: Decimal, side: Side) -> Decimal | None:
    """The largest size on the lot that the funds cover at the worst price with fee; None if unknown."""
    if market.funds is None:
        return None
    worst = venue_cap * (1 + market.fees.taker_fee_bps / BPS) if side is Side.BUY else Decimal(1)
    return floor_to_step(market.funds / worst, market.instrument.lot)


def _size_bounds(instrument: Instrument, ladder: Ladder, cap: int, lot: int, scale: Scale) -> tuple[int, int]:
    """Least and largest size, on the lot, that the venue's rules and its book admit.

    A venue may value an order at its limit price or at the market: the minimum notional is met at
    the lower of the two, the maximum at the higher.
    """
    best = ladder.price(0)
    places = scale.price_places + scale.size_places
    least = max(
        lot,
        _ceil(instrument.min_size, scale.size_places),
        -(-_ceil(instrument.min_notional, places) // min(best, cap)),
    )
    most = ladder.depth
    if instrument.max_size is not None:
        most = min(most, _floor(instrument.max_size, scale.size_places))
    if instrument.max_notional is not None:
        most = min(most, _floor(instrument.max_notional, places) // max(best, cap))
    return -(-least // lot) * lot, most // lot * lot


def _floor(value: Decimal, places: int) -> int:
    return int(value.scaleb(places).to_integral_value(ROUND_FLOOR))


def _ceil(value: Decimal, places: int) -> int:
    return int(value.scaleb(places).to_integral_value(ROUND_CEILING))


def _towards(side: Side, cap: Decimal, scale: Scale) -> int:
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return int(cap.scaleb(scale.price_places).to_integral_value(rounding))


def _enough_notional(order: Order, market: VenueMarket, venue_cap: Decimal, scale: Scale) -> int | None:
    if order.quote_amount is None:
        return None
    # Selling, the fee comes out of what is received, so a little more than the budget is needed;
    # and one lot beyond it, for the depth is rounded down to the lot.
    gross = order.quote_amount / (1 - market.fees.taker_fee_bps / BPS)
    beyond = market.instrument.lot * max(venue_cap, touch(market.book.bids), touch(market.book.asks))
    return _floor(gross + beyond, scale.price_places + scale.size_places) + 1
