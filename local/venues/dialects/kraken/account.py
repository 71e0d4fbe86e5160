"""Kraken's questions about the account ("Account Data")."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from local.venues.credentials import Permission
from local.venues.dialects.kraken.wire import (
    ASSET_DECIMALS,
    KrakenError,
    asset_code,
    at_least,
    listing_named,
    pair_altname,
    pair_key,
    parameters,
    whole,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import decimals_of
from local.venues.orders import EndReason, FeeIn, Fill, Kind, Order, Side, Status, Ticket, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_PAGE = 50
_MOST_IDS = 20
_LETTERS = string.digits + string.ascii_uppercase
_REASONS = {
    EndReason.ASKED: "User requested",
    EndReason.TIMER: "Canceled by CancelAllOrdersAfter",
    EndReason.IOC_REMAINDER: "Immediate or cancel order was not filled",
    EndReason.FOK_UNFILLED: "Fill or kill order was not filled",
    EndReason.NO_LIQUIDITY: "Insufficient liquidity",
    EndReason.GTD_PASSED: "Order has expired",
    EndReason.SELF_TRADE: "Self trade prevention",
}


def venue_id(letter: str, number: int) -> str:
    """An id in Kraken's form, as in OUF4EM-FRGI2-MQMWZD; numbers and ids match one to one."""
    scrambled = number * 6_364_136_223_846_793_005 % 36**16
    text = ""
    for _ in range(16):
        scrambled, digit = divmod(scrambled, 36)
        text += _LETTERS[digit]
    return f"{letter}{text[:5]}-{text[5:10]}-{text[10:]}"


def _seconds(at_ms: int) -> float:
    return at_ms / 1000


def _money(asset: str, value: Decimal) -> str:
    return at_least(value, ASSET_DECIMALS.get(asset, (8, 5))[0])


def _balance(_given: Mapping[str, str], view: ExchangeView) -> object:
    balances = view.desk.account.balances
    return {asset_code(asset): _money(asset, each.total) for asset, each in balances.items()}


def _balance_ex(_given: Mapping[str, str], view: ExchangeView) -> object:
    return {
        asset_code(asset): {
            "balance": _money(asset, each.total),
            "hold_trade": _money(asset, each.held),
            "credit": _money(asset, Decimal(0)),
            "credit_used": _money(asset, Decimal(0)),
        }
        for asset, each in view.desk.account.balances.items()
    }


def _trade_volume(given: Mapping[str, str], view: ExchangeView) -> object:
    answer: dict[str, Any] = {"currency": "ZUSD", "volume": "0.0000"}
    if not given.get("pair"):
        return answer
    listings = [listing_named(name.strip()) for name in given["pair"].split(",")]
    rules = view.desk.rules
    for name, rate in (("fees", rules.taker_rate), ("fees_maker", rules.maker_rate)):
        percent = f"{rate * 100:.4f}"
        answer[name] = {
            pair_key(listing): {
                "fee": percent,
                "minfee": "0.0000",
                "maxfee": percent,
                "nextfee": None,
                "nextvolume": None,
                "tiervolume": "0.0000",
            }
            for listing in listings
        }
    return answer


def order_status(order: Order) -> str:
    """Where an order stands, in Kraken's word."""
    match order.status:
        case Status.OPEN:
            return "open"
        case Status.FILLED:
            return "closed"
        case Status.CANCELED:
            return "canceled"
        case Status.EXPIRED:
            return "expired" if order.ticket.time_in_force is TimeInForce.GTD else "canceled"


def order_text(ticket: Ticket, listing: Listing) -> str:
    """An order in one line: ``buy 1.25000000 XBTUSD @ limit 27500.0``."""
    size = ticket.base_size if ticket.base_size is not None else ticket.quote_size or Decimal(0)
    terms = "market" if ticket.price is None else f"limit {at_least(ticket.price, decimals_of(listing.tick))}"
    return f"{ticket.side} {size:.8f} {pair_altname(listing)} @ {terms}"


def _described(order: Order, view: ExchangeView, *, trades: bool) -> dict[str, Any]:
    ticket = order.ticket
    listing = view.listings[ticket.symbol]
    volume = order.size if ticket.quote_size is None else ticket.quote_size
    document: dict[str, Any] = {
        "refid": None,
        "userref": ticket.words.get("userref"),
        "status": order_status(order),
        "opentm": _seconds(order.placed_at_ms),
        "starttm": 0,
        "expiretm": 0 if ticket.expires_at_ms is None else ticket.expires_at_ms // 1000,
        "descr": {
            "pair": pair_altname(listing),
            "aclass": "forex",
            "type": ticket.side,
            "ordertype": ticket.kind,
            "price": "0" if ticket.price is None else at_least(ticket.price, decimals_of(listing.tick)),
            "price2": "0",
            "leverage": "none",
            "order": order_text(ticket, listing),
            "close": "",
        },
        "vol": f"{volume:.8f}",
        "vol_exec": f"{order.filled:.8f}",
        "cost": at_least(order.spent, 5),
        "fee": at_least(order.fee, 5),
        "price": f"{order.average_price:.{max(5, decimals_of(listing.tick))}f}",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": _flags(ticket),
    }
    if ticket.client_order_id:
        document["cl_ord_id"] = ticket.client_order_id
    if not order.is_open:
        document["reason"] = None if order.reason is None else _REASONS[order.reason]
        document["closetm"] = _seconds(order.updated_at_ms)
    if trades and order.fills:
        document["trades"] = [fill.fill_id for fill in order.fills]
    return document


def _flags(ticket: Ticket) -> str:
    flags = ["fcib" if ticket.fee_in is FeeIn.BASE else "fciq"]
    if ticket.post_only:
        flags.append("post")
    if ticket.quote_size is not None:
        flags.append("viqc")
    return ",".join(flags)


def _wanted(given: Mapping[str, str], order: Order) -> bool:
    """Whether an order has the user reference and client order id asked for, if any."""
    userref, client_order_id = given.get("userref"), given.get("cl_ord_id")
    return (not userref or str(order.ticket.words.get("userref")) == userref) and (
        not client_order_id or order.ticket.client_order_id == client_order_id
    )


def _open_orders(given: Mapping[str, str], view: ExchangeView) -> object:
    trades = given.get("trades") == "true"
    found = [order for order in reversed(view.desk.open_orders(view.at_ms)) if _wanted(given, order)]
    return {"open": {order.order_id: _described(order, view, trades=trades) for order in found}}


def _closed_orders(given: Mapping[str, str], view: ExchangeView) -> object:
    start, end = _bounds(given, view)
    by = given.get("closetime", "both")
    if by not in {"open", "close", "both"}:
        raise KrakenError("EGeneral:Invalid arguments:closetime")

    def times(order: Order) -> list[float]:
        opened, closed = _seconds(order.placed_at_ms), _seconds(order.updated_at_ms)
        return {"open": [opened], "close": [closed], "both": [opened, closed]}[by]

    found = [
        order
        for order in reversed(view.desk.orders(view.at_ms))
        if not order.is_open and _wanted(given, order) and any(start < at <= end for at in times(order))
    ]
    page = _page(found, given)
    trades = given.get("trades") == "true"
    answer: dict[str, Any] = {
        "closed": {order.order_id: _described(order, view, trades=trades) for order in page}
    }
    return answer if given.get("without_count") == "true" else {**answer, "count": len(found)}


def _bounds(given: Mapping[str, str], view: ExchangeView) -> tuple[float, float]:
    """Start (exclusive) and end (inclusive) in Unix seconds; each may be given as an order's id."""
    bounds = []
    for name, otherwise in (("start", 0.0), ("end", float(2**62))):
        text = given.get(name)
        if not text:
            bounds.append(otherwise)
            continue
        order = view.desk.find(view.at_ms, order_id=text)
        try:
            bounds.append(_seconds(order.placed_at_ms) if order is not None else float(text))
        except ValueError:
            raise KrakenError(f"EGeneral:Invalid arguments:{name}") from None
    return bounds[0], bounds[1]


def _page(found: Sequence[Any], given: Mapping[str, str]) -> Sequence[Any]:
    start = whole(given, "ofs", 0, 0, 2**31)
    return found[start : start + _PAGE]


def _ids(given: Mapping[str, str], most: int) -> list[str]:
    ids = [each.strip() for each in given.get("txid", "").split(",") if each.strip()]
    if not 1 <= len(ids) <= most:
        raise KrakenError("EGeneral:Invalid arguments:txid")
    return ids


def _query_orders(given: Mapping[str, str], view: ExchangeView) -> object:
    trades = given.get("trades") == "true"
    found = {}
    for order_id in _ids(given, _MOST_IDS):
        order = view.desk.find(view.at_ms, order_id=order_id)
        if order is None:
            raise KrakenError("EOrder:Unknown order")
        if _wanted(given, order):
            found[order_id] = _described(order, view, trades=trades)
    return found


def _trades_history(given: Mapping[str, str], view: ExchangeView) -> object:
    start, end = _bounds(given, view)
    found = [fill for fill in reversed(view.desk.fills(view.at_ms)) if start < _seconds(fill.at_ms) <= end]
    answer: dict[str, Any] = {"trades": {fill.fill_id: _trade(fill, view) for fill in _page(found, given)}}
    return answer if given.get("without_count") == "true" else {**answer, "count": len(found)}


def _query_trades(given: Mapping[str, str], view: ExchangeView) -> object:
    by_id = {fill.fill_id: fill for fill in view.desk.fills(view.at_ms)}
    ids = _ids(given, _MOST_IDS)
    if not set(ids) <= set(by_id):
        raise KrakenError("EQuery:Unknown trade")
    return {trade_id: _trade(by_id[trade_id], view) for trade_id in ids}


def _trade(fill: Fill, view: ExchangeView) -> dict[str, Any]:
    ticket = fill.order.ticket
    listing = view.listings[ticket.symbol]
    return {
        "ordertxid": fill.order.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_key(listing),
        "aclass": "forex",
        "time": _seconds(fill.at_ms),
        "type": "buy" if ticket.side is Side.BUY else "sell",
        "ordertype": "limit" if ticket.kind is Kind.LIMIT else "market",
        "price": at_least(fill.price, 5),
        "cost": at_least(fill.cost, 5),
        "fee": at_least(fill.fee, 5),
        "vol": f"{fill.size:.8f}",
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": fill.number,
        "maker": fill.maker,
    }


def _route(
    path: str, endpoint: Endpoint, answer: Callable[[Mapping[str, str], ExchangeView], object], weight: int
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply({"error": [], "result": answer(parameters(request), view)})

    return Route(("POST",), f"/0/private/{path}", endpoint, handle, Permission.READ, lambda _: weight)


ROUTES: Sequence[Route] = (
    _route("Balance", Endpoint.ACCOUNT, _balance, 1),
    _route("BalanceEx", Endpoint.ACCOUNT, _balance_ex, 1),
    _route("TradeVolume", Endpoint.FEES, _trade_volume, 1),
    _route("OpenOrders", Endpoint.OPEN_ORDERS, _open_orders, 1),
    _route("ClosedOrders", Endpoint.ORDER_HISTORY, _closed_orders, 2),
    _route("QueryOrders", Endpoint.QUERY_ORDER, _query_orders, 1),
    _route("TradesHistory", Endpoint.FILLS, _trades_history, 2),
    _route("QueryTrades", Endpoint.FILLS, _query_trades, 2),
)
"""Kraken's paths that read the account."""
