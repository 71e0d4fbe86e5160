"""Kraken's orders, fills, balances and fees in the domain's words.

Its answers name pairs in several ways (see `symbols.names`), and list what was asked for by id under
that id.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.calls import loggable
from sor_core.adapters.venues.kraken import facts, symbols
from sor_core.adapters.venues.kraken.answers import result
from sor_core.domain.account import AccountFees, Balance, FeeSchedule
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact, round_significant
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Fill,
    OrderState,
    VenueOrder,
)

_AVERAGE_DIGITS = 20
_BPS_IN_PERCENT = 100
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}

_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=wire.LATEST_MS / 1000)]


class _Description(msgspec.Struct):
    pair: str
    type: str
    price: str = "0"


class _Order(msgspec.Struct):
    status: str
    descr: _Description
    vol: str
    vol_exec: str
    cost: str
    fee: str
    price: str
    oflags: str = ""
    opentm: _Seconds = 0.0
    closetm: _Seconds = 0.0
    cl_ord_id: str | None = None
    reason: str | None = None
    trades: list[str] = []


class _Trade(msgspec.Struct):
    ordertxid: str
    pair: str
    time: _Seconds
    price: str
    vol: str
    fee: str
    maker: bool | None = None


class _OpenOrders(msgspec.Struct):
    open: dict[str, _Order]


class _ClosedOrders(msgspec.Struct):
    closed: dict[str, _Order]


class _Trades(msgspec.Struct):
    trades: dict[str, _Trade]


class _Balance(msgspec.Struct):
    balance: str
    hold_trade: str = "0"


class _Fee(msgspec.Struct):
    fee: str


class _TradeVolume(msgspec.Struct):
    fees: dict[str, _Fee]
    fees_maker: dict[str, _Fee] = {}


_OPEN = msgspec.json.Decoder(_OpenOrders)
_CLOSED = msgspec.json.Decoder(_ClosedOrders)
_QUERIED = msgspec.json.Decoder(dict[str, _Order])
_TRADES = msgspec.json.Decoder(_Trades)
_QUERIED_TRADES = msgspec.json.Decoder(dict[str, _Trade])
_BALANCES = msgspec.json.Decoder(dict[str, _Balance])
_VOLUME = msgspec.json.Decoder(_TradeVolume)


def parse_open_orders(answer: Answer, symbol: Symbol, sought: str | None = None) -> list[VenueOrder]:
    """Read *Get Open Orders*: those of the symbol; see `_orders` for `sought`."""
    return _orders(result(answer, _OPEN).open, symbol, sought)


def rows_of_open_orders(answer: Answer) -> int:
    """Count the orders of *Get Open Orders*, whichever their pairs."""
    return len(result(answer, _OPEN).open)


def rows_of_closed_orders(answer: Answer) -> int:
    """Count the orders of a page of *Get Closed Orders*, whichever their pairs."""
    return len(result(answer, _CLOSED).closed)


def rows_of_trades(answer: Answer) -> int:
    """Count the trades of a page of *Get Trades History*, whichever their pairs."""
    return len(result(answer, _TRADES).trades)


def parse_closed_orders(
    answer: Answer, symbol: Symbol, sought: str | None = None
) -> tuple[list[VenueOrder], int]:
    """Read a page of *Get Closed Orders*: those of the symbol, and how many there are of all."""
    closed = result(answer, _CLOSED).closed
    return _orders(closed, symbol, sought), len(closed)


def parse_queried_order(answer: Answer, symbol: Symbol, order_id: str) -> tuple[VenueOrder, list[str]] | None:
    """Read *Query Orders Info* of one order: the order and the ids of its trades; None if it is missing."""
    queried = result(answer, _QUERIED)
    if order_id not in queried:
        return None
    told = queried[order_id]
    if not symbols.names(told.descr.pair, symbol):
        raise wire.malformed(facts.VENUE, "an order in another pair")
    return _order(order_id, told, symbol), told.trades


def parse_queried_trades(answer: Answer, order: VenueOrder, fee_asset: str) -> list[Fill]:
    """Read *Query Trades Info* of an order's trades."""
    trades = result(answer, _QUERIED_TRADES)
    if any(trade.ordertxid != order.venue_order_id for trade in trades.values()):
        raise wire.malformed(facts.VENUE, "a trade of another order")
    return [_fill(trade_id, trade, fee_asset) for trade_id, trade in trades.items()]


def parse_trades(answer: Answer, symbol: Symbol) -> tuple[list[Fill], int]:
    """Read a page of *Get Trades History*: the fills in the symbol, and how many there are of all.

    It does not tell in which asset a fee was taken: with `facts.FEE_IN_QUOTE`, as all our orders
    have it, in quote asset.
    """
    trades = result(answer, _TRADES).trades
    fills = [
        _fill(trade_id, trade, symbol.quote)
        for trade_id, trade in trades.items()
        if symbols.names(trade.pair, symbol)
    ]
    return fills, len(trades)


def parse_balances(answer: Answer) -> Mapping[str, Balance]:
    """Read *Get Extended Balance*.

    Names with a point (``ETH2.S``, ``USD.M``) are of staked and otherwise bound balances, which do
    not trade: they are left out.
    """
    balances = result(answer, _BALANCES)
    return {symbols.common_asset(name): _balance(each) for name, each in balances.items() if "." not in name}


def parse_account_fees(answer: Answer, symbol: Symbol) -> AccountFees:
    """Read *Get Trade Volume* of one pair: percents, taken in quote asset as our orders ask.

    Pairs without a maker fee of their own cost makers what they cost takers.
    """
    told = result(answer, _VOLUME)
    taker = _percent(told.fees, symbol)
    if taker is None:
        raise wire.malformed(facts.VENUE, "no fees of the pair")
    maker = _percent(told.fees_maker, symbol)
    fees = FeeSchedule(taker, taker if maker is None else maker, symbol.quote)
    return AccountFees(facts.VENUE, symbol, buy=fees, sell=fees)


def fee_asset(order: VenueOrder) -> str:
    """Give the asset in which an order pays its fees."""
    return next(iter(order.fees or {}), order.symbol.base)


def _orders(told: Mapping[str, _Order], symbol: Symbol, sought: str | None) -> list[VenueOrder]:
    """Take those of the symbol.

    Where a client order id was asked for (`sought`), a row that may be it and cannot be told to be
    (no id, or a pair spelt in a way we do not know) is not passed over: then nobody knows.
    """
    for row in told.values():
        client_order_id = _client_order_id(row.cl_ord_id)
        ours = symbols.names(row.descr.pair, symbol)
        if sought is not None and (client_order_id is None or (client_order_id == sought and not ours)):
            raise wire.malformed(facts.VENUE, "an order that may be the one asked for, or not")
    return [
        _order(order_id, order, symbol)
        for order_id, order in told.items()
        if symbols.names(order.descr.pair, symbol)
    ]


def _order(order_id: str, told: _Order, symbol: Symbol) -> VenueOrder:
    side, state = _SIDES.get(told.descr.type), facts.ORDER_STATES.get(told.status)
    if side is None or state is None:
        raise wire.malformed(facts.VENUE, "an order whose side or status is not documented")
    flags = told.oflags.split(",")
    size = None if facts.BY_QUOTE_FLAG in flags else wire.number(facts.VENUE, "vol", told.vol)
    filled = wire.number(facts.VENUE, "vol_exec", told.vol_exec)
    cost = wire.number(facts.VENUE, "cost", told.cost)
    fee = wire.number(facts.VENUE, "fee", told.fee)
    closed_ms = round(told.closetm * 1000) or None
    return VenueOrder(
        venue=facts.VENUE,
        symbol=symbol,
        venue_order_id=order_id,
        client_order_id=_client_order_id(told.cl_ord_id),
        side=side,
        state=_state(state, filled, size),
        filled_size=filled,
        quote_filled=cost,
        average_price=_average(filled, cost, told.price),
        size=size,
        limit_price=wire.number(facts.VENUE, "descr.price", told.descr.price) or None,
        fees={symbol.quote: fee} if facts.FEE_IN_QUOTE in flags else None,
        created_at_ms=round(told.opentm * 1000) or None,
        updated_at_ms=closed_ms or round(told.opentm * 1000) or None,
        detail=loggable(told.reason or ""),
    )


def _state(state: OrderState, filled: Decimal, size: Decimal | None) -> OrderState:
    if state is OrderState.OPEN and filled:
        return OrderState.PARTIALLY_FILLED
    if state is OrderState.FILLED and size is not None and filled < size:
        # "closed" says that it ended; what was not filled then is not going to be.
        return OrderState.CANCELLED
    return state


def _client_order_id(told: str | None) -> str | None:
    """Give it in the form that we send: Kraken also knows the one with dashes."""
    return told.replace("-", "").lower() if told else None


def _average(filled: Decimal, cost: Decimal, told: str) -> Decimal | None:
    if not filled:
        return None
    price = wire.number(facts.VENUE, "price", told)
    return price or round_significant(cost / filled, _AVERAGE_DIGITS)


def _fill(trade_id: str, told: _Trade, fee_asset: str) -> Fill:
    return Fill(
        fill_id=trade_id,
        price=wire.number(facts.VENUE, "price", told.price),
        size=wire.number(facts.VENUE, "vol", told.vol),
        fee=wire.number(facts.VENUE, "fee", told.fee),
        fee_asset=fee_asset,
        venue_order_id=told.ordertxid,
        is_maker=told.maker,
        at_ms=round(told.time * 1000),
    )


def _balance(told: _Balance) -> Balance:
    with exact():
        held = wire.number(facts.VENUE, "hold_trade", told.hold_trade)
        free = wire.number(facts.VENUE, "balance", told.balance) - held
    return Balance(free=max(free, Decimal(0)), held=held)


def _percent(fees: Mapping[str, _Fee], symbol: Symbol) -> Decimal | None:
    for pair, each in fees.items():
        if symbols.names(pair, symbol):
            with exact():
                return wire.number(facts.VENUE, "fee", each.fee) * _BPS_IN_PERCENT
    return None
