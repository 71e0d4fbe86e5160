"""Binance's orders, fills, balances and fees in the domain's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from sor_core.adapters.venues import wire
from sor_core.adapters.venues.binance import facts, symbols
from sor_core.adapters.venues.calls import loggable
from sor_core.domain.account import AccountFees, Balance, FeeSchedule
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import BPS, exact, round_significant
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Fill,
    OrderState,
    VenueOrder,
)

_AVERAGE_DIGITS = 20
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}


class _OrderFill(msgspec.Struct, rename="camel"):
    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int


class _Order(msgspec.Struct, rename="camel"):
    """The answers to a new order, to a question after one and to a cancel, and rows of lists.

    A new order answered with less than was asked for (ACK) has only the ids.
    """

    symbol: str
    order_id: int
    client_order_id: str
    orig_client_order_id: str = ""
    status: str = ""
    side: str = ""
    type: str = ""
    price: str = "0"
    orig_qty: str = "0"
    executed_qty: str | None = None
    orig_quote_order_qty: str = "0"
    quote_filled: str | None = msgspec.field(name="cummulativeQuoteQty", default=None)
    transact_time: int | None = None
    time: int | None = None
    update_time: int | None = None
    expiry_reason: str = ""
    fills: list[_OrderFill] | None = None


class _Trade(msgspec.Struct, rename="camel"):
    id: int
    order_id: int
    symbol: str
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_maker: bool


class _Balance(msgspec.Struct):
    asset: str
    free: str
    locked: str


class _Account(msgspec.Struct):
    balances: list[_Balance]


class _Rates(msgspec.Struct):
    maker: str
    taker: str
    buyer: str
    seller: str


class _Discount(msgspec.Struct, rename="camel"):
    enabled_for_account: bool
    enabled_for_symbol: bool
    discount_asset: str | None = None
    discount: str = "1"


class _Commission(msgspec.Struct, rename="camel"):
    symbol: str
    standard_commission: _Rates
    special_commission: _Rates
    tax_commission: _Rates
    discount: _Discount


_ORDER = msgspec.json.Decoder(_Order)
_ORDERS = msgspec.json.Decoder(list[_Order])
_TRADES = msgspec.json.Decoder(list[_Trade])
_ACCOUNT = msgspec.json.Decoder(_Account)
_COMMISSION = msgspec.json.Decoder(_Commission)


def parse_new_order(body: bytes, symbol: Symbol, side: Side) -> VenueOrder:
    """Read *New order*. The side counts only where the answer (an ACK) does not tell it."""
    return _order(wire.decode(facts.VENUE, _ORDER, body), symbol, side)


def parse_order(body: bytes, symbol: Symbol) -> VenueOrder:
    """Read *Query order* or *Cancel order*."""
    return _order(wire.decode(facts.VENUE, _ORDER, body), symbol, None)


def parse_orders(body: bytes, symbol: Symbol) -> list[VenueOrder]:
    """Read *Current open orders* or *All orders* of one symbol."""
    return [_order(order, symbol, None) for order in wire.decode(facts.VENUE, _ORDERS, body)]


def parse_fills(body: bytes, symbol: Symbol) -> list[Fill]:
    """Read *Account trade list* of one symbol."""
    trades = wire.decode(facts.VENUE, _TRADES, body)
    if any(trade.symbol != symbols.venue_symbol(symbol) for trade in trades):
        raise wire.malformed(facts.VENUE, "a trade in another symbol")
    return [
        Fill(
            fill_id=str(trade.id),
            price=wire.number(facts.VENUE, "price", trade.price),
            size=wire.number(facts.VENUE, "qty", trade.qty),
            fee=wire.number(facts.VENUE, "commission", trade.commission),
            fee_asset=symbols.common_asset(trade.commission_asset),
            venue_order_id=str(trade.order_id),
            is_maker=trade.is_maker,
            at_ms=wire.plausible_ms(facts.VENUE, trade.time),
        )
        for trade in trades
    ]


def parse_balances(body: bytes) -> Mapping[str, Balance]:
    """Read *Account information*."""
    return {
        symbols.common_asset(each.asset): Balance(
            free=wire.number(facts.VENUE, "free", each.free),
            held=wire.number(facts.VENUE, "locked", each.locked),
        )
        for each in wire.decode(facts.VENUE, _ACCOUNT, body).balances
    }


def parse_account_fees(body: bytes, symbol: Symbol) -> AccountFees:
    """Read *Query Commission Rates*: three kinds of commission, of which one may be discounted.

    A commission is taken from what is received, base asset when buying and quote asset when selling,
    or with the discount from the discount's asset (Commission FAQ).
    """
    told = wire.decode(facts.VENUE, _COMMISSION, body)
    if told.symbol != symbols.venue_symbol(symbol):
        raise wire.malformed(facts.VENUE, "the commission of another symbol")
    discount = told.discount
    discounted = discount.enabled_for_account and discount.enabled_for_symbol
    factor = discount_factor(wire.number(facts.VENUE, "discount", discount.discount)) if discounted else None
    paid_in = symbols.common_asset(discount.discount_asset) if discounted and discount.discount_asset else ""
    return AccountFees(
        venue=facts.VENUE,
        symbol=symbol,
        buy=_schedule(told, "buyer", factor, paid_in or symbol.base),
        sell=_schedule(told, "seller", factor, paid_in or symbol.quote),
    )


def discount_factor(discount: Decimal) -> Decimal:
    """Say what share of the standard commission is left to pay with the discount.

    Binance's documentation tells ``discount`` in two ways: 0.75 where the commission is multiplied
    by it (Query Commission Rates) and 0.25 where it is reduced by it (Test New Order). Both mean a
    quarter off, so the larger of the two readings is right for both, and never promises too much.
    """
    if discount > 1:
        raise wire.malformed(facts.VENUE, "a discount of more than everything")
    return max(discount, 1 - discount)


def _schedule(told: _Commission, by_side: str, factor: Decimal | None, asset: str) -> FeeSchedule:
    with exact():
        return FeeSchedule(
            taker_fee_bps=_fee(told, "taker", by_side, factor) * BPS,
            maker_fee_bps=_fee(told, "maker", by_side, factor) * BPS,
            asset=asset,
        )


def _fee(told: _Commission, by_role: str, by_side: str, factor: Decimal | None) -> Decimal:
    standard, special, tax = (
        sum(
            (wire.number(facts.VENUE, name, getattr(rates, name)) for name in (by_role, by_side)),
            Decimal(0),
        )
        for rates in (told.standard_commission, told.special_commission, told.tax_commission)
    )
    return standard * (Decimal(1) if factor is None else factor) + special + tax


def _order(told: _Order, symbol: Symbol, side: Side | None) -> VenueOrder:
    if told.symbol != symbols.venue_symbol(symbol):
        raise wire.malformed(facts.VENUE, "an order in another symbol")
    side = _SIDES.get(told.side, None if told.side else side)
    state = facts.ORDER_STATES.get(told.status) if told.status else OrderState.PENDING
    if side is None or state is None:
        raise wire.malformed(facts.VENUE, "an order whose side or status is not documented")
    if told.status and (told.executed_qty is None or told.quote_filled is None):
        # Nothing filled is a claim that quantity elsewhere is risked on: it must be made.
        raise wire.malformed(facts.VENUE, "an order that does not tell how much of it is filled")
    filled, quote_filled = (
        wire.number(facts.VENUE, "executedQty", told.executed_qty or "0"),
        wire.number(facts.VENUE, "cummulativeQuoteQty", told.quote_filled or "0"),
    )
    if state is OrderState.OPEN and filled:
        state = OrderState.PARTIALLY_FILLED
    by_quote = wire.number(facts.VENUE, "origQuoteOrderQty", told.orig_quote_order_qty)
    fills = _fills(told)
    return VenueOrder(
        venue=facts.VENUE,
        symbol=symbol,
        venue_order_id=str(told.order_id),
        # A cancel has a client id of its own.
        client_order_id=told.orig_client_order_id or told.client_order_id,
        side=side,
        state=state,
        filled_size=filled,
        quote_filled=quote_filled,
        average_price=round_significant(quote_filled / filled, _AVERAGE_DIGITS) if filled else None,
        size=None if by_quote else wire.number(facts.VENUE, "origQty", told.orig_qty) or None,
        limit_price=wire.number(facts.VENUE, "price", told.price) or None,
        fees=_fees(fills, filled),
        fills=fills,
        created_at_ms=told.time if told.time is not None else told.transact_time,
        updated_at_ms=told.update_time if told.update_time is not None else told.transact_time,
        detail=loggable(told.expiry_reason),
    )


def _fills(told: _Order) -> tuple[Fill, ...] | None:
    if told.fills is None:
        return None
    return tuple(
        Fill(
            fill_id=str(fill.trade_id),
            price=wire.number(facts.VENUE, "price", fill.price),
            size=wire.number(facts.VENUE, "qty", fill.qty),
            fee=wire.number(facts.VENUE, "commission", fill.commission),
            fee_asset=symbols.common_asset(fill.commission_asset),
            venue_order_id=str(told.order_id),
            at_ms=told.transact_time,
        )
        for fill in told.fills
    )


def _fees(fills: Sequence[Fill] | None, filled: Decimal) -> Mapping[str, Decimal] | None:
    """Add up the fees by asset; None where the fills listed are not all there are."""
    if fills is None:
        return None
    fees: dict[str, Decimal] = {}
    with exact():
        if sum((fill.size for fill in fills), Decimal(0)) != filled:
            return None
        for fill in fills:
            fees[fill.fee_asset] = fees.get(fill.fee_asset, Decimal(0)) + fill.fee
    return fees
