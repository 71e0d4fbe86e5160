"""From a decision to legs that can be sent, and the terms under which an order is accepted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sor_core.domain.decision import Decision, Leg
from sor_core.domain.instrument import Instrument
from sor_core.domain.market import VenueMarket
from sor_core.domain.money import BPS, ceil_to_step, exact, floor_to_step
from sor_core.domain.order import Order, OrderType, Side
from sor_core.domain.trading import OrderKind
from sor_core.execution.record import PlannedLeg, Terms, TimeInForce, cost_bound

BUDGET_ROOM_BPS = Decimal(5)
"""How far beyond the last level expected a budget's legs may go: every bps more buys that much less."""
DUST_BPS = 1
"""A rest of at most this, in basis points of the order, is not worth another round (`routing.candidates`)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an order may take; see docs/configuration.md."""

    most_rounds: int
    execution_ms: int
    review_after_ms: int
    strict: bool


def terms(
    order: Order, tif: TimeInForce, decision: Decision, decision_id: str, pace: Pace, now_ms: int, digest: str
) -> Terms:
    """The terms of an order that a decision fills, wholly or up to its limit."""
    with exact():
        single = (
            None if decision.savings_bps is None else decision.savings_bps + decision.costs.total_cost_bps
        )
        base = decision.costs.amount
        rest = decision.remaining
        if (
            order.type is OrderType.LIMIT
            and order.amount is not None
            and rest * BPS > order.amount * DUST_BPS
        ):
            base = order.amount
    return Terms(
        order=order,
        time_in_force=tif,
        decision_id=decision_id,
        selected=decision.selected,
        reason=decision.reason,
        arrival_mid=decision.arrival_mid,
        price_cap=decision.price_cap,
        base=base,
        budget=order.quote_amount,
        expected_price=decision.costs.expected_price,
        expected_savings_bps=decision.savings_bps,
        best_single_venue=decision.best_single_venue,
        best_single_cost_bps=single,
        most_rounds=pace.most_rounds,
        give_up_at_ms=now_ms + pace.execution_ms,
        review_after_ms=pace.review_after_ms,
        strict=pace.strict,
        receipt_digest=digest,
    )


def resting_terms(
    order: Order,
    leg: PlannedLeg,
    arrival_mid: Decimal,
    cap: Decimal,
    decision_id: str,
    pace: Pace,
    now_ms: int,
) -> Terms:
    """The terms of a limit order of which nothing can be filled at once."""
    base = leg.size
    if order.amount is not None:
        with exact():
            dust = (order.amount - leg.size) * BPS <= order.amount * DUST_BPS
        base = leg.size if dust else order.amount
    return Terms(
        order=order,
        time_in_force=TimeInForce.GTC,
        decision_id=decision_id,
        selected=leg.venue,
        reason="rests",
        arrival_mid=arrival_mid,
        price_cap=cap,
        base=base,
        budget=None,
        expected_price=None,
        expected_savings_bps=None,
        best_single_venue=None,
        best_single_cost_bps=None,
        most_rounds=pace.most_rounds,
        give_up_at_ms=now_ms + pace.execution_ms,
        review_after_ms=pace.review_after_ms,
        strict=pace.strict,
    )


def legs_of(
    legs: Sequence[Leg],
    side: Side,
    cap: Decimal,
    budget: Decimal | None,
    instruments: Mapping[str, Instrument],
) -> tuple[PlannedLeg, ...]:
    """A decision's legs as LIMIT IOC orders at the cap, whose worst case stays within a buyer's budget."""
    planned = [
        PlannedLeg(
            leg.venue, leg.amount, _limit(leg, side, cap, budget, instruments[leg.venue]), OrderKind.LIMIT_IOC
        )
        for leg in legs
    ]
    if budget is None or side is Side.SELL:
        return tuple(planned)
    fees = {leg.venue: leg.fee_bps for leg in legs}
    with exact():
        worst = sum((cost_bound(side, p.size, p.limit_price, fees[p.venue]) for p in planned), Decimal(0))
        if worst > budget:
            planned = [
                replace(p, size=floor_to_step(p.size * budget / worst, instruments[p.venue].lot))
                for p in planned
            ]
    return tuple(p for p in planned if p.size)


def _limit(leg: Leg, side: Side, cap: Decimal, budget: Decimal | None, instrument: Instrument) -> Decimal:
    if budget is None or side is Side.SELL:
        return floor_to_step(cap, instrument.tick) if side is Side.BUY else ceil_to_step(cap, instrument.tick)
    with exact():
        near = leg.worst_price * (1 + BUDGET_ROOM_BPS / BPS)
    return min(floor_to_step(cap, instrument.tick), ceil_to_step(near, instrument.tick))


def resting_leg(
    markets: Sequence[VenueMarket], side: Side, size: Decimal, price: Decimal, avoid: Sequence[str]
) -> PlannedLeg | None:
    """Where a limit order's rest waits: at the lowest maker fee of the venues that can hold it, if any."""
    able = []
    for market in markets:
        rules = market.instrument
        amount = floor_to_step(size, rules.lot)
        limit = floor_to_step(price, rules.tick) if side is Side.BUY else ceil_to_step(price, rules.tick)
        with exact():
            hold = cost_bound(side, amount, limit, market.fees.taker_fee_bps) or amount
            fits = amount >= max(rules.min_size, rules.lot) and amount * limit >= rules.min_notional
            fits = fits and (rules.max_size is None or amount <= rules.max_size)
            fits = fits and (rules.max_notional is None or amount * limit <= rules.max_notional)
        if fits and rules.status.takes_limit_ioc and market.venue not in avoid and _holds(market, hold):
            able.append((market.fees.maker_fee_bps, market.latency_ms, market.venue, amount, limit))
    if not able:
        return None
    _, _, venue, amount, limit = min(able)
    return PlannedLeg(venue, amount, limit, OrderKind.LIMIT_GTC)


def _holds(market: VenueMarket, hold: Decimal) -> bool:
    return market.funds is None or market.funds >= hold


def rest_of(order: Order, base: Decimal, cap: Decimal) -> Order:
    """What is left of an order, as one to decide anew: never beyond the cap frozen at acceptance."""
    return replace(
        order, type=OrderType.LIMIT, amount=base, quote_amount=None, price=cap, max_slippage_bps=None
    )
