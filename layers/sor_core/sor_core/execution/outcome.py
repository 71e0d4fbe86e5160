"""What came of an order, in exact sums over its attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sor_core.domain.money import BPS, exact, round_significant
from sor_core.domain.trading import VenueOrder
from sor_core.execution.record import OrderRecord

_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sums of an order as far as it is known."""

    filled: Decimal
    """Base asset."""
    remaining: Decimal
    """Base asset of what was ordered and did not fill (of a quote-sized order: of what was decided)."""
    at_risk: Decimal
    """Base asset that may have filled, or may still fill, without our knowing."""
    notional: Decimal
    """Quote asset paid or received, fees apart."""
    fees: Mapping[str, Decimal]
    """By the asset they were taken in."""
    average_price: Decimal | None
    slippage_bps: Decimal | None
    """side x (average price - arrival mid) / arrival mid, before fees."""
    savings_bps: Decimal | None
    """Against the best single venue's total cost on the books of the decision; None where none could
    fill as much, or a fee in a third asset has no price here."""
    exchange: str | None
    """The venue that filled most; before a fill the one selected."""


def outcome(record: OrderRecord) -> Outcome:
    """Add up what came of an order."""
    terms, filled, notional = record.terms, record.filled, record.quote_filled
    fees: dict[str, Decimal] = defaultdict(Decimal)
    by_venue: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for attempt in record.attempts:
            by_venue[attempt.venue] += attempt.filled
            for asset, fee in _fees(attempt.order).items():
                fees[asset] += fee
        ordered = terms.base if terms.order.amount is None else terms.order.amount
        average = round_significant(notional / filled, _DIGITS) if filled else None
        slippage = savings = None
        if filled:
            reference = terms.arrival_mid * filled
            slippage = (notional - reference) / reference * BPS * record.side.sign
            fee_bps = _fee_bps(record, fees, reference)
            if terms.best_single_cost_bps is not None and fee_bps is not None:
                savings = round_significant(terms.best_single_cost_bps - slippage - fee_bps, _DIGITS)
            slippage = round_significant(slippage, _DIGITS)
        resting = sum((a.may_fill for a in record.attempts if a.order is not None), Decimal(0))
        return Outcome(
            filled=filled,
            remaining=max(Decimal(0), ordered - filled),
            at_risk=record.may_fill - resting,
            notional=notional,
            fees={asset: fee for asset, fee in sorted(fees.items()) if fee},
            average_price=average,
            slippage_bps=slippage,
            savings_bps=savings,
            exchange=max(by_venue, key=lambda v: by_venue[v]) if filled else terms.selected,
        )


def _fees(order: VenueOrder | None) -> Mapping[str, Decimal]:
    if order is None:
        return {}
    if order.fills is None or not order.fills_complete:
        return order.fees or {}
    found: dict[str, Decimal] = defaultdict(Decimal)
    for fill in order.fills:
        found[fill.fee_asset] += fill.fee
    return found


def _fee_bps(record: OrderRecord, fees: Mapping[str, Decimal], reference: Decimal) -> Decimal | None:
    symbol = record.terms.order.symbol
    if any(asset not in {symbol.base, symbol.quote} for asset in fees):
        return None
    average = record.quote_filled / record.filled
    in_quote = fees.get(symbol.quote, Decimal(0)) + fees.get(symbol.base, Decimal(0)) * average
    return in_quote / reference * BPS


def net_amounts(record: OrderRecord) -> Mapping[str, Decimal]:
    """By how much each asset of the account changed, fees included: exact, signed."""
    symbol, sign = record.terms.order.symbol, record.side.sign
    with exact():
        changes: dict[str, Decimal] = defaultdict(Decimal)
        changes[symbol.base] += sign * record.filled
        changes[symbol.quote] -= sign * record.quote_filled
        for attempt in record.attempts:
            for asset, fee in _fees(attempt.order).items():
                changes[asset] -= fee
    return {asset: change for asset, change in changes.items() if change}
