"""Coinbase's orders, fills, balances and fees in the domain's words."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from sor_core.adapters.venues import wire
from sor_core.adapters.venues.calls import loggable
from sor_core.adapters.venues.coinbase import facts, symbols
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
_NO_REASONS = {"", "REJECT_REASON_UNSPECIFIED"}


class _Order(msgspec.Struct):
    """Numbers that are not set may be empty, and what is empty may be left out."""

    order_id: str
    product_id: str
    side: str
    status: str
    client_order_id: str
    order_configuration: dict[str, dict[str, Any] | None] = {}
    filled_size: str | None = None
    filled_value: str | None = None
    number_of_fills: str | None = None
    average_filled_price: str | None = "0"
    total_fees: str | None = "0"
    created_time: str | None = None
    last_fill_time: str | None = None
    reject_reason: str | None = ""
    cancel_message: str | None = ""


class _OneOrder(msgspec.Struct):
    order: _Order


class _OrderList(msgspec.Struct):
    orders: list[_Order]
    has_next: bool = False
    cursor: str | None = ""


class _Fill(msgspec.Struct):
    trade_id: str
    order_id: str
    product_id: str
    price: str
    size: str
    commission: str
    trade_time: str
    size_in_quote: bool = False
    liquidity_indicator: str = ""


class _FillList(msgspec.Struct):
    fills: list[_Fill]
    cursor: str | None = ""


class _Amount(msgspec.Struct):
    value: str
    currency: str


class _Account(msgspec.Struct):
    currency: str
    available_balance: _Amount
    hold: _Amount | None = None
    active: bool = True


class _AccountList(msgspec.Struct):
    accounts: list[_Account]
    has_next: bool = False
    cursor: str | None = ""


class _FeeTier(msgspec.Struct):
    taker_fee_rate: str
    maker_fee_rate: str


class _Summary(msgspec.Struct):
    fee_tier: _FeeTier


_ORDER = msgspec.json.Decoder(_OneOrder)
_ORDERS = msgspec.json.Decoder(_OrderList)
_FILLS = msgspec.json.Decoder(_FillList)
_ACCOUNTS = msgspec.json.Decoder(_AccountList)
_SUMMARY = msgspec.json.Decoder(_Summary)


def parse_order(body: bytes, symbol: Symbol) -> VenueOrder:
    """Read *Get Order*."""
    return _order(wire.decode(facts.VENUE, _ORDER, body).order, symbol)


def parse_orders(body: bytes, symbol: Symbol) -> tuple[list[VenueOrder], str]:
    """Read a page of *List Orders* of one product, and the cursor of the next, empty at the end."""
    page = wire.decode(facts.VENUE, _ORDERS, body)
    return [_order(order, symbol) for order in page.orders], _next(page)


def parse_fills(body: bytes, symbol: Symbol) -> tuple[list[Fill], str]:
    """Read a page of *List Fills* of one product, and the cursor of the next, empty at the end."""
    page = wire.decode(facts.VENUE, _FILLS, body)
    # A cursor comes with the last page, too; only an empty page is certainly the end.
    return [_fill(fill, symbol) for fill in page.fills], (page.cursor or "") if page.fills else ""


def parse_balances(body: bytes) -> tuple[dict[str, Balance], str]:
    """Read a page of *List Accounts*, and the cursor of the next, empty at the end.

    An asset may have several accounts; they are added up.
    """
    page = wire.decode(facts.VENUE, _ACCOUNTS, body)
    balances: dict[str, Balance] = {}
    for account in page.accounts:
        if account.active:
            asset = symbols.common_asset(account.currency)
            balances[asset] = _sum(balances.get(asset), _balance(account))
    return balances, _next(page)


def _next(page: _OrderList | _AccountList) -> str:
    """Give the cursor of the next page, empty at the end; half a list is not passed off as a whole one."""
    if page.has_next and not page.cursor:
        raise wire.malformed(facts.VENUE, "a list that goes on, without a cursor")
    return (page.cursor or "") if page.has_next else ""


def merged(balances: Mapping[str, Balance], more: Mapping[str, Balance]) -> Mapping[str, Balance]:
    """Add up two pages of balances."""
    return {**balances, **{asset: _sum(balances.get(asset), each) for asset, each in more.items()}}


def parse_account_fees(body: bytes, symbol: Symbol) -> AccountFees:
    """Read *Get Transaction Summary*: one tier for all spot products, taken in quote asset."""
    tier = wire.decode(facts.VENUE, _SUMMARY, body).fee_tier
    with exact():
        fees = FeeSchedule(
            taker_fee_bps=wire.number(facts.VENUE, "taker_fee_rate", tier.taker_fee_rate) * BPS,
            maker_fee_bps=wire.number(facts.VENUE, "maker_fee_rate", tier.maker_fee_rate) * BPS,
            asset=symbol.quote,
        )
    return AccountFees(facts.VENUE, symbol, buy=fees, sell=fees)


def _order(told: _Order, symbol: Symbol) -> VenueOrder:
    if symbols.shared_book(told.product_id) != symbols.shared_book(symbols.venue_symbol(symbol)):
        raise wire.malformed(facts.VENUE, "an order in another product")
    side, state = _SIDES.get(told.side), facts.ORDER_STATES.get(told.status)
    if side is None or state is None:
        raise wire.malformed(facts.VENUE, "an order whose side or status is not documented")
    filled = _number("filled_size", told.filled_size)
    value = _number("filled_value", told.filled_value)
    if not filled and (told.filled_size is None or _number("number_of_fills", told.number_of_fills)):
        # Nothing filled is a claim that quantity elsewhere is risked on: it must be made.
        raise wire.malformed(facts.VENUE, "an order that does not tell how much of it is filled")
    if state is OrderState.OPEN and filled:
        state = OrderState.PARTIALLY_FILLED
    created_ms = _time_ms(told.created_time)
    return VenueOrder(
        venue=facts.VENUE,
        symbol=symbol,
        venue_order_id=told.order_id,
        client_order_id=told.client_order_id,
        side=side,
        state=state,
        filled_size=filled,
        quote_filled=value,
        average_price=_average(filled, value, _number("average_filled_price", told.average_filled_price)),
        size=_configured(told, "base_size"),
        limit_price=_configured(told, "limit_price"),
        fees={symbol.quote: _number("total_fees", told.total_fees)},
        created_at_ms=created_ms,
        updated_at_ms=_time_ms(told.last_fill_time) or created_ms,
        detail=loggable(_detail(told)),
    )


def _average(filled: Decimal, value: Decimal, told: Decimal) -> Decimal | None:
    if not filled:
        return None
    return told or round_significant(value / filled, _AVERAGE_DIGITS)


def _configured(told: _Order, name: str) -> Decimal | None:
    """Read a term of the order's configuration, which has one entry, named after the kind."""
    for terms in told.order_configuration.values():
        if terms is not None and terms.get(name):
            return wire.number(facts.VENUE, name, terms[name])
    return None


def _detail(told: _Order) -> str:
    reason = told.reject_reason or ""
    return reason if reason not in _NO_REASONS else told.cancel_message or ""


def _fill(told: _Fill, symbol: Symbol) -> Fill:
    if symbols.shared_book(told.product_id) != symbols.shared_book(symbols.venue_symbol(symbol)):
        raise wire.malformed(facts.VENUE, "a fill in another product")
    price = wire.step(facts.VENUE, "price", told.price)
    size = wire.number(facts.VENUE, "size", told.size)
    return Fill(
        fill_id=told.trade_id,
        price=price,
        # Of an order by quote asset, the fill's size is what was paid.
        size=round_significant(size / price, _AVERAGE_DIGITS) if told.size_in_quote else size,
        fee=wire.number(facts.VENUE, "commission", told.commission),
        fee_asset=symbol.quote,
        venue_order_id=told.order_id,
        is_maker={"MAKER": True, "TAKER": False}.get(told.liquidity_indicator),
        at_ms=wire.rfc3339_ms(facts.VENUE, told.trade_time),
    )


def _balance(account: _Account) -> Balance:
    return Balance(
        free=_number("available_balance", account.available_balance.value),
        held=Decimal(0) if account.hold is None else _number("hold", account.hold.value),
    )


def _sum(one: Balance | None, other: Balance) -> Balance:
    if one is None:
        return other
    with exact():
        return Balance(one.free + other.free, one.held + other.held)


def _number(field: str, text: str | None) -> Decimal:
    return wire.number(facts.VENUE, field, text) if text else Decimal(0)


def _time_ms(text: str | None) -> int | None:
    return None if text is None or text in {"", facts.UNSET_TIME} else wire.rfc3339_ms(facts.VENUE, text)
