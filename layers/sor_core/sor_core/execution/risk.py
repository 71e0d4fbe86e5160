"""What is checked before money moves. Pure: the counters' own ceilings are held by the ledger's writes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from statistics import median

from sor_core.domain.money import BPS, exact, plain, round_significant
from sor_core.domain.order import Order, OrderType, Side
from sor_core.execution.limits import Limits, of_quote
from sor_core.execution.protocol import TradingMode
from sor_core.execution.request import RefusalReason, Refused

_NOTIONAL_PLACES = 8


def refuse_order(order: Order, limits: Limits, mode: TradingMode) -> Refused | None:
    """Hold an order against what can be said before the market is looked at."""
    if limits.symbols is not None and order.symbol not in limits.symbols:
        allowed = ", ".join(sorted(map(str, limits.symbols)))
        return Refused(RefusalReason.SYMBOL_NOT_ALLOWED, f"orders are allowed in {allowed}")
    if not mode.admits(order.side):
        if mode is TradingMode.HALTED:
            return Refused(RefusalReason.HALTED, "trading is halted")
        return Refused(RefusalReason.REDUCE_ONLY, "only orders that sell are taken")
    return None


def refuse_decision(
    order: Order,
    base: Decimal,
    arrival_mid: Decimal,
    price_cap: Decimal,
    mids: Sequence[Decimal],
    limits: Limits,
) -> Refused | None:
    """Hold a decided order against the price collar and its notional limit.

    Parameters
    ----------
    order
        As asked.
    base
        The most it may fill, base asset.
    arrival_mid, price_cap
        Of the decision.
    mids
        Each venue's own mid, also of venues that were left out: their median is the reference.
    limits
        As configured.
    """
    quote = order.symbol.quote
    with exact():
        reference = Decimal(median(mids)) if mids else arrival_mid
        for what, price in (("the price cap", price_cap), ("the arrival mid", arrival_mid)):
            if (
                what == "the price cap"
                and order.type is OrderType.LIMIT
                and not _marketable(order.side, price, reference)
            ):
                continue  # a limit away from the market costs nothing by itself
            distance = abs(price - reference) / reference * BPS
            if distance > limits.collar_bps:
                detail = (
                    f"{what} lies {plain(round_significant(distance, 4))} bps from the median of the venues' "
                    f"mids, {plain(reference)}; {plain(limits.collar_bps)} are allowed"
                )
                return Refused(RefusalReason.PRICE_COLLAR, detail, _bound(order, price_cap, what))
        # After the collar: what a price far off makes of the notional is the price's fault.
        notional = base * max(price_cap, arrival_mid)
        most = of_quote(limits.order_notionals, quote)
        if notional > most:
            told = plain(round(notional, _NOTIONAL_PLACES))
            detail = f"{told} {quote} at worst, at most {plain(most)} are allowed"
            by_size = order.price is None or base * arrival_mid > most
            return Refused(RefusalReason.ORDER_NOTIONAL, detail, _size(order) if by_size else "price")
    return None


def refuse_unrouted(
    order: Order, price_cap: Decimal, mids: Sequence[Decimal], limits: Limits
) -> Refused | None:
    """Hold an order for which there is no route against the same limits, the median of `mids` for the market.

    An amount or a price with a digit too many is told as such, not as the want of money or depth it makes.
    A price away from the market counts for nothing here: it is why there is no route, or the order rests.
    """
    with exact():
        reference = Decimal(median(mids))
        base = order.quote_amount / reference if order.amount is None and order.quote_amount else order.amount
        if order.type is OrderType.LIMIT and not _marketable(order.side, price_cap, reference):
            price_cap = reference
    return refuse_decision(order, base or Decimal(0), reference, price_cap, mids, limits)


def _size(order: Order) -> str:
    return "amount" if order.quote_amount is None else "quote_amount"


def _bound(order: Order, price_cap: Decimal, what: str) -> str:
    """The field that makes the price cap; none makes the arrival mid."""
    if what != "the price cap":
        return ""
    return "price" if order.price == price_cap else "max_slippage_bps"


def _marketable(side: Side, price: Decimal, reference: Decimal) -> bool:
    return price > reference if side is Side.BUY else price < reference
