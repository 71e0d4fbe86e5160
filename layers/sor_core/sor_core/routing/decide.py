"""The decision: pure, from what was seen to legs, costs and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal

from sor_core.domain.decision import (
    Alternative,
    BookUsed,
    Costs,
    Decision,
    Leg,
    NoRoute,
    NoRouteReason,
    Reason,
)
from sor_core.domain.errors import VenueFailure
from sor_core.domain.market import Exclusion, Policy, VenueMarket, Why
from sor_core.domain.money import BPS, exact, plain
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.routing.allocate import Split
from sor_core.routing.budget import largest_within_budget
from sor_core.routing.candidates import Field, build_field, price_cap
from sor_core.routing.certificate import make_certificate
from sor_core.routing.score import fill_probability
from sor_core.routing.screen import admits, mid_of, not_allowed, touch_or_exclusion
from sor_core.routing.strategies import Candidate, Pricing, rank, size_alone, solve

PRICE_DIGITS = 15
"""Significant digits of averages: as many as survive a reader's double."""

_AVERAGE = Context(prec=PRICE_DIGITS)  # made once: making one costs as much as using it thrice
_NOTHING = Decimal(0)


def decide(
    order: Order,
    markets: Sequence[VenueMarket],
    failures: Sequence[Exclusion],
    policy: Policy,
    now_ms: int,
) -> Decision | NoRoute:
    """Decide where `order` goes.

    Parameters
    ----------
    order
        What the caller wants.
    markets
        Every venue that answered, in any order.
    failures
        Every venue that did not, or was not asked, with the reason.
    policy
        What the operator configured.
    now_ms
        Unix milliseconds, for the age of books.
    """
    with exact():
        excluded = list(failures)
        eligible, touches = [], []
        for market in sorted(markets, key=lambda m: m.venue):  # the order of arrival is chance
            if not admits(order, market.venue):
                excluded.append(not_allowed(market.venue))
                continue
            seen = touch_or_exclusion(market, order.side, policy, now_ms)
            if isinstance(seen, Exclusion):
                excluded.append(seen)
            else:
                eligible.append(market)
                touches.append(seen)
        excluded.sort(key=lambda e: e.venue)
        if not eligible:
            return _no_venue(excluded)
        mid = mid_of(touches)
        cap = price_cap(order, mid)
        field = build_field(order, eligible, mid, cap, policy)
        excluded = sorted([*excluded, *field.excluded], key=lambda e: e.venue)
        return _route(order, field, cap, excluded, now_ms)


def _route(
    order: Order, field: Field, cap: Decimal, excluded: Sequence[Exclusion], now_ms: int
) -> Decision | NoRoute:
    pricing = field.pricing
    if not field.candidates:
        return _nothing_fits(order, field, cap, excluded)
    ranked = rank(field.candidates, pricing, field.target)
    if order.quote_amount is None:
        split = solve(ranked, pricing, field.target, order.max_legs)
        short = field.target - split.total >= min(c.lot for c in ranked)
    else:
        split, short = largest_within_budget(order, ranked, pricing)
    filled = pricing.scale.to_size(split.total)
    if split.total == 0 and not short:
        smallest = plain(pricing.scale.to_size(min(c.lo for c in ranked)))
        detail = f"the budget does not buy the {smallest} {order.symbol.base} that a venue takes at least"
        if order.side is Side.SELL:
            detail = f"the {smallest} {order.symbol.base} that a venue takes at least bring more than that"
        return NoRoute(NoRouteReason.BELOW_MINIMUM, detail, filled, tuple(excluded))
    if split.total == 0 or (short and order.type is OrderType.MARKET):
        return _too_little(order, field, cap, excluded, filled)
    return _assemble(order, field, ranked, split, cap, excluded, now_ms)


def _assemble(
    order: Order,
    field: Field,
    ranked: Sequence[Candidate],
    split: Split,
    cap: Decimal,
    excluded: Sequence[Exclusion],
    now_ms: int,
) -> Decision:
    pricing = field.pricing
    chosen = [(c, size) for c, size in zip(ranked, split.sizes, strict=True) if size]
    chosen.sort(key=lambda pair: -pair[1])  # stable: equal sizes keep the better venue first
    legs = tuple([_leg(c, size, pricing) for c, size in chosen])
    costs = _costs([(leg.amount, leg.notional, leg.fee) for leg in legs], pricing)
    # The one venue of an unsplit order gives alone what it gives here.
    singles = {
        c.market.venue: costs if split.total == size else _alone(c, split.total, pricing)
        for c, size in zip(ranked, split.sizes, strict=True)
    }
    # A venue whose own lot keeps it from the last bit could still have taken the order.
    lots = {c.market.venue: c.market.instrument.lot for c in ranked}
    whole = {v: s for v, s in singles.items() if s is not None and costs.amount - s.amount < lots[v]}
    best_single = min(whole, key=lambda v: (whole[v].total_cost_bps, v), default=None)
    selected = legs[0].venue
    seen = [c.market for c in ranked]
    return Decision(
        selected=selected,
        reason=_reason(order.strategy, legs, ranked, whole),
        strategy=order.strategy,
        legs=legs,
        costs=costs,
        arrival_mid=pricing.mid,
        price_cap=cap,
        remaining=_remaining(order, split, pricing),
        remaining_quote=None
        if order.quote_amount is None
        else order.quote_amount - costs.notional - costs.fee * order.side.sign,
        confidence=_confidence(chosen, pricing, now_ms),
        best_single_venue=best_single,
        savings_bps=None if best_single is None else whole[best_single].total_cost_bps - costs.total_cost_bps,
        optimality_gap_bps=_gap_bps(split, costs.amount, pricing),
        certificate=make_certificate(ranked, split, pricing),
        alternatives=_alternatives(ranked, selected, singles),
        books=tuple([BookUsed(m.venue, m.book.age_ms(now_ms), m.source) for m in seen]),
        excluded=tuple(excluded),
        decided_at_ms=now_ms,
        oldest_book_at_ms=min([m.book.received_at_ms for m in seen]),
    )


def _gap_bps(split: Split, amount: Decimal, pricing: Pricing) -> Decimal:
    if split.cost == split.lower_bound:
        return Decimal(0)
    places = pricing.scale.price_places + pricing.scale.size_places + pricing.cost_places
    gap = Decimal(split.cost - split.lower_bound).scaleb(-places)
    return _AVERAGE.plus(gap / (pricing.mid * amount) * BPS)


def _alternatives(
    ranked: Sequence[Candidate], selected: str, singles: Mapping[str, Costs | None]
) -> tuple[Alternative, ...]:
    found = []
    for candidate in ranked:
        market = candidate.market
        alone = singles[market.venue]
        if market.venue != selected and alone is not None:
            found.append(
                Alternative(
                    market.venue, alone, candidate.liquidity_score, market.latency_ms, market.reliability
                )
            )
    return tuple(found)


def _remaining(order: Order, split: Split, pricing: Pricing) -> Decimal:
    if order.amount is None:
        return Decimal(0)
    return order.amount - pricing.scale.to_size(split.total)


def _taken(candidate: Candidate, size: int, pricing: Pricing) -> tuple[Decimal, Decimal, Decimal]:
    """(amount, notional, fee) of taking `size` from a candidate's book, exact."""
    notional = pricing.scale.to_notional(candidate.ladder.notional(size))
    return pricing.scale.to_size(size), notional, notional * candidate.market.fees.taker_fee_bps / BPS


def _costs(parts: Sequence[tuple[Decimal, Decimal, Decimal]], pricing: Pricing) -> Costs:
    amount = sum([p[0] for p in parts], _NOTHING)
    notional = sum([p[1] for p in parts], _NOTHING)
    fee = sum([p[2] for p in parts], _NOTHING)
    reference = pricing.mid * amount
    slippage = (notional - reference) / reference * BPS * pricing.side.sign
    return Costs(
        amount,
        notional,
        fee,
        expected_price=_AVERAGE.divide(notional, amount),
        slippage_bps=_AVERAGE.plus(slippage),
        fee_bps=_AVERAGE.plus(fee / reference * BPS),
    )


def _alone(candidate: Candidate, target: int, pricing: Pricing) -> Costs | None:
    size = size_alone(candidate, target)
    return _costs([_taken(candidate, size, pricing)], pricing) if size else None


def _leg(candidate: Candidate, size: int, pricing: Pricing) -> Leg:
    market, ladder = candidate.market, candidate.ladder
    amount, notional, fee = _taken(candidate, size, pricing)
    return Leg(
        venue=market.venue,
        amount=amount,
        limit_price=candidate.limit_price,
        worst_price=pricing.scale.to_price(ladder.price(ladder.last_level(size))),
        notional=notional,
        fee=fee,
        fee_bps=market.fees.taker_fee_bps,
        latency_ms=market.latency_ms,
        liquidity_score=candidate.liquidity_score,
        reliability=market.reliability,
    )


def _reason(
    strategy: Strategy, legs: Sequence[Leg], ranked: Sequence[Candidate], whole: dict[str, Costs]
) -> Reason:
    if len(ranked) == 1:
        return Reason.ONLY_VENUE
    if len(legs) > 1:
        return Reason.SPLIT
    match strategy:
        case Strategy.LOWEST_LATENCY:
            return Reason.LOWEST_LATENCY
        case Strategy.BEST_LIQUIDITY:
            return Reason.BEST_LIQUIDITY
        case Strategy.COST_OPTIMIZATION:
            return Reason.LOWEST_TOTAL_COST
        case Strategy.BEST_EXECUTION:
            mine = whole[legs[0].venue]
            if all(mine.slippage_bps <= other.slippage_bps for other in whole.values()):
                return Reason.BEST_PRICE
            if all(mine.total_cost_bps <= other.total_cost_bps for other in whole.values()):
                return Reason.LOWEST_TOTAL_COST
            return Reason.BEST_SCORE


def _confidence(chosen: Sequence[tuple[Candidate, int]], pricing: Pricing, now_ms: int) -> float:
    result = 1.0
    for candidate, size in chosen:
        market = candidate.market
        result *= fill_probability(
            amount=float(pricing.scale.to_size(size)),
            depth=candidate.depth_within_cap,
            reliability=market.reliability,
            age_ms=market.book.age_ms(now_ms),
            latency_ms=market.latency_ms,
        )
    return result


def _no_venue(excluded: Sequence[Exclusion]) -> NoRoute:
    asked = [e for e in excluded if e.why != Why.NOT_ALLOWED]
    if asked and all(e.why == VenueFailure.UNKNOWN_SYMBOL for e in asked):
        return NoRoute(NoRouteReason.UNKNOWN_SYMBOL, "no venue asked lists it", Decimal(0), tuple(excluded))
    detail = "every venue is excluded: " + ", ".join(f"{e.venue} {e.why}" for e in excluded)
    return NoRoute(NoRouteReason.NO_VENUE, detail, Decimal(0), tuple(excluded))


def _nothing_fits(order: Order, field: Field, cap: Decimal, excluded: Sequence[Exclusion]) -> NoRoute:
    own = {e.why for e in field.excluded}
    if field.short_of_funds or Why.NO_DEPTH in own:
        return _too_little(order, field, cap, excluded, Decimal(0))
    if Why.BELOW_MINIMUM in own:
        detail = "; ".join(f"{e.venue} {e.detail}" for e in field.excluded if e.why == Why.BELOW_MINIMUM)
        return NoRoute(NoRouteReason.BELOW_MINIMUM, detail, Decimal(0), tuple(excluded))
    return _no_venue(excluded)


def _too_little(
    order: Order, field: Field, cap: Decimal, excluded: Sequence[Exclusion], filled: Decimal
) -> NoRoute:
    reason = NoRouteReason.SLIPPAGE if field.beyond_cap else NoRouteReason.INSUFFICIENT_DEPTH
    if field.short_of_funds:
        reason = NoRouteReason.INSUFFICIENT_FUNDS
    side = "at or below" if order.side is Side.BUY else "at or above"
    legs = "" if order.max_legs is None else f" over at most {order.max_legs} venues"
    detail = (
        f"only {plain(filled)} {order.symbol.base} can be filled {side} {plain(cap)}"
        f" {order.symbol.quote}{legs}"
    )
    return NoRoute(reason, detail, filled, tuple(excluded))
