"""Making a placement fit a venue's trading rules, or saying why it cannot: nothing is sent to find out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from sor_core.domain.instrument import Instrument, TradingStatus
from sor_core.domain.money import ceil_to_step, exact, floor_to_step, plain
from sor_core.domain.order import Side
from sor_core.domain.trading import OrderKind, Placement, Refusal, RejectReason

_TAKES: dict[TradingStatus, frozenset[OrderKind]] = {
    TradingStatus.TRADING: frozenset(OrderKind),
    TradingStatus.LIMIT_ONLY: frozenset(OrderKind) - {OrderKind.MARKET},
    TradingStatus.POST_ONLY: frozenset({OrderKind.POST_ONLY}),
    # Whether an order would reduce a position is not known here.
    TradingStatus.REDUCE_ONLY: frozenset(),
    TradingStatus.CANCEL_ONLY: frozenset(),
    TradingStatus.HALTED: frozenset(),
}


def fit(placement: Placement, instrument: Instrument) -> Placement | Refusal:
    """Round a placement to the venue's steps and hold it against its limits.

    The size goes down to the lot. The price goes to the tick on the safe side: down when buying, up
    when selling, so that the worst price is never worse than was asked. A market order's quote size
    goes down to the tick.

    Returns
    -------
    Placement or Refusal
        The placement as the venue takes it, or what is wrong with it: FILTER_SIZE, FILTER_PRICE,
        FILTER_NOTIONAL (a market order by size has no price to tell its notional by, so there the
        venue decides), HALTED, or UNKNOWN_SYMBOL where the rules are another market's.

    Examples
    --------
    >>> from sor_core.domain.instrument import Symbol
    >>> symbol = Symbol.parse("BTC/USDT")
    >>> rules = Instrument(
    ...     "kraken",
    ...     symbol,
    ...     "XBTUSDT",
    ...     tick=Decimal("0.1"),
    ...     lot=Decimal("0.001"),
    ...     min_size=Decimal("0.001"),
    ...     max_size=None,
    ...     min_notional=Decimal(5),
    ...     max_notional=None,
    ...     status=TradingStatus.TRADING,
    ... )
    >>> asked = Placement(
    ...     "kraken", symbol, Side.SELL, OrderKind.LIMIT_IOC, "0" * 32, Decimal("0.0019"), Decimal("60000.01")
    ... )
    >>> fitted = fit(asked, rules)
    >>> (fitted.size, fitted.limit_price)
    (Decimal('0.001'), Decimal('60000.1'))
    """
    if (placement.venue, placement.symbol) != (instrument.venue, instrument.symbol):
        return Refusal(RejectReason.UNKNOWN_SYMBOL, "the trading rules are those of another market")
    if placement.kind not in _TAKES[instrument.status]:
        return Refusal(RejectReason.HALTED, f"the market is {instrument.status}")
    size = None if placement.size is None else floor_to_step(placement.size, instrument.lot)
    price = _safe_price(placement, instrument.tick)
    budget = None if placement.quote_size is None else floor_to_step(placement.quote_size, instrument.tick)
    refusal = _size_refusal(size, instrument) or _notional_refusal(size, price, budget, instrument)
    if price is not None and not price:
        refusal = Refusal(RejectReason.FILTER_PRICE, f"the price is less than a tick of {instrument.tick}")
    if refusal is not None:
        return refusal
    return replace(placement, size=size, limit_price=price, quote_size=budget)


def _safe_price(placement: Placement, tick: Decimal) -> Decimal | None:
    if placement.limit_price is None:
        return None
    step = floor_to_step if placement.side is Side.BUY else ceil_to_step
    return step(placement.limit_price, tick)


def _size_refusal(size: Decimal | None, instrument: Instrument) -> Refusal | None:
    if size is None:
        return None
    if size < instrument.min_size or not size:
        least = plain(max(instrument.min_size, instrument.lot))
        return Refusal(RejectReason.FILTER_SIZE, f"the size is under the minimum of {least}")
    if instrument.max_size is not None and size > instrument.max_size:
        return Refusal(
            RejectReason.FILTER_SIZE, f"the size is over the maximum of {plain(instrument.max_size)}"
        )
    return None


def _notional_refusal(
    size: Decimal | None, price: Decimal | None, budget: Decimal | None, instrument: Instrument
) -> Refusal | None:
    if budget is not None:
        notional = budget
    elif size is not None and price is not None:
        with exact():
            notional = size * price
    else:
        return None
    if notional < instrument.min_notional or not notional:
        return Refusal(
            RejectReason.FILTER_NOTIONAL,
            f"the notional is under the minimum of {plain(instrument.min_notional)}",
        )
    if instrument.max_notional is not None and notional > instrument.max_notional:
        return Refusal(
            RejectReason.FILTER_NOTIONAL,
            f"the notional is over the maximum of {plain(instrument.max_notional)}",
        )
    return None
