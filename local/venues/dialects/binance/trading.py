"""Binance's order entry (Binance Spot API docs, "Trading endpoints", "Filters")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from local.venues.account import InsufficientFundsError
from local.venues.credentials import Permission
from local.venues.desk import DuplicateClientIdError, WouldTakeError
from local.venues.dialects.binance.account import SELF_TRADE_DEFAULT, order_ids, order_terms
from local.venues.dialects.binance.market_data import (
    MOST_OPEN_ORDERS,
    PRICE_BAND,
    largest_market,
    symbol_status,
)
from local.venues.dialects.binance.wire import (
    BNB_FACTOR,
    CLIENT_ID_FORM,
    BinanceError,
    Parameters,
    amount,
    symbol_name,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import exact, is_multiple
from local.venues.noise import mix
from local.venues.orders import FeeIn, Kind, Order, SelfTrade, Side, Ticket, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_ORDER_PARAMETERS = (
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "newOrderRespType",
    "selfTradePreventionMode",
)
_SELF_TRADE = {
    "EXPIRE_TAKER": SelfTrade.TAKER,
    "EXPIRE_MAKER": SelfTrade.MAKER,
    "EXPIRE_BOTH": SelfTrade.BOTH,
    "NONE": SelfTrade.NEITHER,
}


def _ticket(given: Parameters, listing: Listing, view: ExchangeView) -> Ticket:
    """Understand an order; the errors are those of a request that is not well-formed."""
    side_word = given.choice("side", -1117, "Invalid side.", "BUY", "SELL")
    kind_word = given.choice("type", -1116, "Invalid orderType.", "LIMIT", "MARKET", "LIMIT_MAKER")
    if side_word is None or kind_word is None:
        name = "side" if side_word is None else "type"
        message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise BinanceError(-1102, message)
    force = given.choice("timeInForce", -1115, "Invalid timeInForce.", "GTC", "IOC", "FOK")
    price, quantity, budget = (
        given.decimal("price"),
        given.decimal("quantity"),
        given.decimal("quoteOrderQty"),
    )
    _check_combination(kind_word, force, price, quantity, budget)
    side = Side(side_word.lower())
    mode = given.choice("selfTradePreventionMode", -1130, _NOT_A_MODE, *_SELF_TRADE) or SELF_TRADE_DEFAULT
    market = kind_word == "MARKET"
    return Ticket(
        symbol=listing.symbol,
        side=side,
        kind=Kind.MARKET if market else Kind.LIMIT,
        time_in_force=TimeInForce.IOC if market else TimeInForce((force or "GTC").lower()),
        # What is received pays the fee ("Commission FAQ").
        fee_in=FeeIn.BASE if side is Side.BUY else FeeIn.QUOTE,
        client_order_id=given.text("newClientOrderId", CLIENT_ID_FORM) or _made_up_id(view),
        price=price,
        base_size=quantity,
        quote_size=budget,
        post_only=kind_word == "LIMIT_MAKER",
        self_trade=_SELF_TRADE[mode],
        words={"selfTradePreventionMode": mode},
    )


_NOT_A_MODE = "Data sent for parameter 'selfTradePreventionMode' is not valid."


def _check_combination(
    kind: str, force: str | None, price: Decimal | None, quantity: Decimal | None, budget: Decimal | None
) -> None:
    """Which parameters a type needs and which it must not have."""
    given = {"timeInForce": force, "quantity": quantity, "price": price, "quoteOrderQty": budget}
    needed = {"LIMIT": ("timeInForce", "quantity", "price"), "LIMIT_MAKER": ("quantity", "price")}.get(
        kind, ()
    )
    for name in needed:
        if given[name] is None:
            message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            raise BinanceError(-1102, message)
    if kind == "MARKET" and quantity is None and budget is None:
        message = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
        raise BinanceError(-1102, message)
    unwanted = {
        "LIMIT": ("quoteOrderQty",),
        "LIMIT_MAKER": ("quoteOrderQty", "timeInForce"),
        "MARKET": ("timeInForce", "price", *(("quoteOrderQty",) if quantity is not None else ())),
    }[kind]
    for name in unwanted:
        if given[name] is not None:
            raise BinanceError(-1106, f"Parameter '{name}' sent when not required.")


def _made_up_id(view: ExchangeView) -> str:
    """An id for an order that came without one."""
    return f"{mix(view.exchange.seed, view.at_ms, view.desk.next_number):022x}"


def _check_filters(ticket: Ticket, listing: Listing, view: ExchangeView) -> None:
    """The symbol's filters ("Filters"): what they refuse never reaches the matching engine."""
    price, quantity = ticket.price, ticket.base_size
    average = view.average_price(listing.symbol, minutes=5)
    if price is not None:
        if not is_multiple(price, listing.tick) or price > listing.tick * 100_000_000:
            raise _filter_failure("PRICE_FILTER")
        if not average / PRICE_BAND <= price <= average * PRICE_BAND:
            raise _filter_failure("PERCENT_PRICE_BY_SIDE")
    if quantity is not None:
        if not (listing.min_size <= quantity <= listing.max_size and is_multiple(quantity, listing.lot)):
            raise _filter_failure("LOT_SIZE")
        if ticket.kind is Kind.MARKET and quantity > largest_market(listing):
            raise _filter_failure("MARKET_LOT_SIZE")
    with exact():
        notional = ticket.quote_size if quantity is None else (price or average) * quantity
    if notional is None or notional < listing.min_notional:
        raise _filter_failure("NOTIONAL")
    if ticket.kind is Kind.LIMIT and notional > listing.max_notional:
        raise _filter_failure("NOTIONAL")
    resting = [order for order in view.desk.all_open_orders() if order.ticket.symbol == listing.symbol]
    if len(resting) >= MOST_OPEN_ORDERS:
        raise _filter_failure("MAX_NUM_ORDERS")


def _filter_failure(name: str) -> BinanceError:
    return BinanceError(-1013, f"Filter failure: {name}")


def _understood(request: ApiRequest, view: ExchangeView, *known: str) -> tuple[Parameters, Ticket]:
    given = Parameters(request, *known)
    listing = given.listing()
    ticket = _ticket(given, listing, view)
    _check_filters(ticket, listing, view)
    if symbol_status(view) != "TRADING":
        raise BinanceError(-1013, "Market is closed.")
    return given, ticket


def _new_order(request: ApiRequest, view: ExchangeView) -> object:
    given, ticket = _understood(request, view, *_ORDER_PARAMETERS)
    shape = given.choice(
        "newOrderRespType",
        -1130,
        "Data sent for parameter 'newOrderRespType' is not valid.",
        "ACK",
        "RESULT",
        "FULL",
    )
    try:
        order = view.desk.place(ticket, view.at_ms, view.conditions)
    except DuplicateClientIdError:
        raise BinanceError(-2010, "Duplicate order sent.") from None
    except WouldTakeError:
        raise BinanceError(-2010, "Order would immediately match and take.") from None
    except InsufficientFundsError:
        raise BinanceError(-2010, "Account has insufficient balance for requested action.") from None
    return _placed(order, view, shape or ("ACK" if ticket.post_only else "FULL"))


def _placed(order: Order, view: ExchangeView, shape: str) -> dict[str, Any]:
    answer = {
        "symbol": symbol_name(view.listings[order.ticket.symbol]),
        "orderId": int(order.order_id),
        "orderListId": -1,
        "clientOrderId": order.ticket.client_order_id,
        "transactTime": order.placed_at_ms,
    }
    if shape == "ACK":
        return answer
    answer |= {**order_terms(order), "workingTime": order.placed_at_ms}
    if shape == "FULL":
        answer["fills"] = [
            {
                "price": amount(fill.price),
                "qty": amount(fill.size),
                "commission": amount(fill.fee),
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.number,
            }
            for fill in order.fills
        ]
    return answer


def _test_order(request: ApiRequest, view: ExchangeView) -> object:
    given, _ = _understood(request, view, *_ORDER_PARAMETERS, "computeCommissionRates")
    wanted = given.choice(
        "computeCommissionRates", -1130, "Invalid data sent for a parameter.", "true", "false"
    )
    if wanted != "true":
        return {}
    rules = view.desk.rules
    none = {"maker": amount(Decimal(0)), "taker": amount(Decimal(0))}
    return {
        "standardCommissionForOrder": {"maker": amount(rules.maker_rate), "taker": amount(rules.taker_rate)},
        "specialCommissionForOrder": none,
        "taxCommissionForOrder": none,
        "discount": {
            "enabledForAccount": view.desk.fee_asset is not None,
            "enabledForSymbol": view.desk.fee_asset is not None,
            "discountAsset": "BNB",
            "discount": amount(BNB_FACTOR),
        },
    }


def _cancel_order(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(
        request, "symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"
    )
    listing = given.listing()
    order_id, client_order_id = order_ids(given)
    only = given.choice(
        "cancelRestrictions",
        -1145,
        "Invalid cancelRestrictions",
        "ONLY_NEW",
        "ONLY_PARTIALLY_FILLED",
    )
    order = view.desk.find_open(order_id=order_id, client_order_id=client_order_id)
    if order is None or order.ticket.symbol != listing.symbol:
        raise BinanceError(-2011, "Unknown order sent.")
    if only is not None and (only == "ONLY_NEW") == bool(order.fills):
        raise BinanceError(-2011, "Order was not canceled due to cancel restrictions.")
    return _canceled(order, view, given.text("newClientOrderId", CLIENT_ID_FORM) or _made_up_id(view))


def _canceled(order: Order, view: ExchangeView, client_order_id: str) -> dict[str, Any]:
    view.desk.cancel(order, view.now_ms)
    return {
        "symbol": symbol_name(view.listings[order.ticket.symbol]),
        "origClientOrderId": order.ticket.client_order_id,
        "orderId": int(order.order_id),
        "orderListId": -1,
        "clientOrderId": client_order_id,
        "transactTime": view.now_ms,
        **order_terms(order),
    }


def _cancel_all(request: ApiRequest, view: ExchangeView) -> object:
    listing = Parameters(request, "symbol").listing()
    orders = [order for order in view.desk.all_open_orders() if order.ticket.symbol == listing.symbol]
    if not orders:
        raise BinanceError(-2011, "Unknown order sent.")
    client_order_id = _made_up_id(view)
    return [_canceled(order, view, client_order_id) for order in orders]


def _route(
    method: str, path: str, endpoint: Endpoint, answer: Callable[[ApiRequest, ExchangeView], object]
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    return Route((method,), f"/api/v3/{path}", endpoint, handle, Permission.TRADE)


ROUTES: Sequence[Route] = (
    _route("POST", "order", Endpoint.PLACE_ORDER, _new_order),
    _route("POST", "order/test", Endpoint.TEST_ORDER, _test_order),
    _route("DELETE", "order", Endpoint.CANCEL_ORDER, _cancel_order),
    _route("DELETE", "openOrders", Endpoint.CANCEL_ORDER, _cancel_all),
)
"""Binance's paths that trade."""
