"""Binance's questions about the account (Binance Spot API docs, "Account endpoints")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from local.venues.credentials import Permission
from local.venues.dialects.binance.market_data import ORDERS_A_DAY, ORDERS_IN_10_S, rate_limit
from local.venues.dialects.binance.wire import BNB_FACTOR, BinanceError, Parameters, amount, symbol_name
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.money import ZERO
from local.venues.orders import EndReason, Fill, Kind, Order, Side, Status, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_DAY_MS = 86_400_000
_EXPIRY_REASONS = {
    EndReason.IOC_REMAINDER: "UNFILLED_IOC_QUANTITY_EXPIRED",
    EndReason.FOK_UNFILLED: "UNFILLED_FOK_ORDER_EXPIRED",
    EndReason.NO_LIQUIDITY: "INSUFFICIENT_LIQUIDITY",
}
SELF_TRADE_DEFAULT = "EXPIRE_MAKER"


def _account(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "omitZeroBalances")
    omit = given.choice("omitZeroBalances", -1130, "Invalid data sent for a parameter.", "true", "false")
    rules = view.desk.rules
    balances = sorted(view.desk.account.balances.items())
    return {
        "makerCommission": int(rules.maker_rate * 10_000),
        "takerCommission": int(rules.taker_rate * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {**_rates(rules.maker_rate, rules.taker_rate)},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": view.now_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": amount(balance.free), "locked": amount(balance.held)}
            for asset, balance in balances
            if omit != "true" or balance.total
        ],
        "permissions": ["SPOT"],
        "uid": 354_937_868,
    }


def _rates(maker: Decimal, taker: Decimal) -> dict[str, str]:
    return {
        "maker": amount(maker),
        "taker": amount(taker),
        "buyer": amount(ZERO),
        "seller": amount(ZERO),
    }


def _commission(request: ApiRequest, view: ExchangeView) -> object:
    listing = Parameters(request, "symbol").listing()
    rules = view.desk.rules
    return {
        "symbol": symbol_name(listing),
        "standardCommission": _rates(rules.maker_rate, rules.taker_rate),
        "specialCommission": _rates(ZERO, ZERO),
        "taxCommission": _rates(ZERO, ZERO),
        "discount": {
            "enabledForAccount": view.desk.fee_asset is not None,
            "enabledForSymbol": view.desk.fee_asset is not None,
            "discountAsset": "BNB",
            "discount": amount(BNB_FACTOR),
        },
    }


def order_status(order: Order) -> str:
    """Where an order stands, in Binance's word."""
    match order.status:
        case Status.OPEN:
            return "PARTIALLY_FILLED" if order.fills else "NEW"
        case Status.FILLED:
            return "FILLED"
        case Status.CANCELED:
            return "CANCELED"
        case Status.EXPIRED:
            return "EXPIRED_IN_MATCH" if order.reason is EndReason.SELF_TRADE else "EXPIRED"


def order_terms(order: Order) -> dict[str, Any]:
    """The fields of an order that every answer about it has."""
    ticket = order.ticket
    limit = "LIMIT_MAKER" if ticket.post_only else "LIMIT"
    terms = {
        "price": amount(ticket.price or ZERO),
        "origQty": amount(order.size),
        "executedQty": amount(order.filled),
        "origQuoteOrderQty": amount(ticket.quote_size or ZERO),
        "cummulativeQuoteQty": amount(order.spent),
        "status": order_status(order),
        # A market order is shown as GTC.
        "timeInForce": (TimeInForce.GTC if ticket.kind is Kind.MARKET else ticket.time_in_force).upper(),
        "type": limit if ticket.kind is Kind.LIMIT else "MARKET",
        "side": ticket.side.upper(),
        "selfTradePreventionMode": ticket.words.get("selfTradePreventionMode", SELF_TRADE_DEFAULT),
    }
    if order.reason in _EXPIRY_REASONS:
        terms["expiryReason"] = _EXPIRY_REASONS[order.reason]
    return terms


def _described(order: Order, view: ExchangeView) -> dict[str, Any]:
    listing = view.listings[order.ticket.symbol]
    return {
        "symbol": symbol_name(listing),
        "orderId": int(order.order_id),
        "orderListId": -1,
        "clientOrderId": order.ticket.client_order_id,
        **order_terms(order),
        "stopPrice": amount(ZERO),
        "icebergQty": amount(ZERO),
        "time": order.placed_at_ms,
        "updateTime": order.updated_at_ms,
        "isWorking": True,
        "workingTime": order.placed_at_ms,
    }


def _query_order(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "orderId", "origClientOrderId")
    listing = given.listing()
    order_id, client_order_id = order_ids(given)
    order = view.desk.find(view.at_ms, order_id=order_id, client_order_id=client_order_id)
    if order is None or order.ticket.symbol != listing.symbol:
        raise BinanceError(-2013, "Order does not exist.")
    return _described(order, view)


def order_ids(given: Parameters) -> tuple[str | None, str | None]:
    """The ids that name an order; one of them must be there."""
    number = given.whole("orderId")
    client_order_id = given.text("origClientOrderId", r"^[a-zA-Z0-9-_]{1,36}$")
    if number is None and client_order_id is None:
        message = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        raise BinanceError(-1102, message)
    return None if number is None else str(number), client_order_id


def _open_orders(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol")
    wanted = given.listing().symbol if "symbol" in given else None
    return [
        _described(order, view)
        for order in view.desk.open_orders(view.at_ms)
        if wanted in {None, order.ticket.symbol}
    ]


def _window(given: Parameters) -> tuple[int, int]:
    """Start and end of a question about the past, at most a day apart."""
    start, end = given.whole("startTime"), given.whole("endTime")
    if start is not None and end is not None and end - start > _DAY_MS:
        raise BinanceError(-1127, "More than 24 hours between startTime and endTime.")
    if end is None:
        end = 2**62 if start is None else start + _DAY_MS
    return (0 if start is None else start), end


def _all_orders(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "orderId", "startTime", "endTime", "limit")
    listing = given.listing()
    first = given.whole("orderId")
    start, end = _window(given)
    found = [
        order
        for order in view.desk.orders(view.at_ms)
        if order.ticket.symbol == listing.symbol
        and start <= order.placed_at_ms <= end
        and (first is None or order.number >= first)
    ]
    limit = given.limit(default=500, most=1000)
    chosen = found[:limit] if first is not None or "startTime" in given else found[-limit:]
    return [_described(order, view) for order in chosen]


def _my_trades(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "orderId", "startTime", "endTime", "fromId", "limit")
    listing = given.listing()
    order_id, first = given.whole("orderId"), given.whole("fromId")
    start, end = _window(given)
    found = [
        fill
        for fill in view.desk.fills(view.at_ms)
        if fill.order.ticket.symbol == listing.symbol
        and start <= fill.at_ms <= end
        and (first is None or fill.number >= first)
        and order_id in {None, fill.order.number}
    ]
    limit = given.limit(default=500, most=1000)
    chosen = found[:limit] if first is not None or "startTime" in given else found[-limit:]
    return [_trade(fill, symbol_name(listing)) for fill in chosen]


def _trade(fill: Fill, name: str) -> dict[str, Any]:
    return {
        "symbol": name,
        "id": fill.number,
        "orderId": int(fill.order.order_id),
        "orderListId": -1,
        "price": amount(fill.price),
        "qty": amount(fill.size),
        "quoteQty": amount(fill.cost),
        "commission": amount(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.at_ms,
        "isBuyer": fill.order.ticket.side is Side.BUY,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def _order_counts(request: ApiRequest, view: ExchangeView) -> object:
    Parameters(request)
    placed = [order.placed_at_ms for order in view.desk.orders(2**62)]
    counts = ((ORDERS_IN_10_S, "SECOND", 10, 10_000), (ORDERS_A_DAY, "DAY", 1, _DAY_MS))
    return [
        {
            **rate_limit("ORDERS", interval, number, limit),
            "count": sum(at_ms // window_ms == view.now_ms // window_ms for at_ms in placed),
        }
        for limit, interval, number, window_ms in counts
    ]


def _route(
    path: str, endpoint: Endpoint, answer: Callable[[ApiRequest, ExchangeView], object], weight: int
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    def weigh(request: ApiRequest) -> int:
        if path == "openOrders":
            return weight if request.first("symbol") else 80
        return 5 if path == "myTrades" and request.first("orderId") else weight

    return Route(("GET",), f"/api/v3/{path}", endpoint, handle, Permission.READ, weigh)


ROUTES: Sequence[Route] = (
    _route("account", Endpoint.ACCOUNT, _account, 20),
    _route("account/commission", Endpoint.FEES, _commission, 20),
    _route("order", Endpoint.QUERY_ORDER, _query_order, 4),
    _route("openOrders", Endpoint.OPEN_ORDERS, _open_orders, 6),
    _route("allOrders", Endpoint.ORDER_HISTORY, _all_orders, 20),
    _route("myTrades", Endpoint.FILLS, _my_trades, 20),
    _route("rateLimit/order", Endpoint.ACCOUNT, _order_counts, 40),
)
"""Binance's paths that read the account."""
