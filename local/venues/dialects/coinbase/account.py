"""Coinbase's questions about the account (Advanced Trade REST API, "Accounts", "Orders", "Fees")."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from local.venues.account import Balance
from local.venues.credentials import Permission
from local.venues.dialects.coinbase.auth import key_named
from local.venues.dialects.coinbase.wire import (
    PREFIX,
    CoinbaseError,
    count,
    instant_ms,
    iso,
    listing_named,
    product_id,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.money import ZERO, exact, plain
from local.venues.orders import Fill, Kind, Order, Side, Status, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_IDS = uuid.UUID("6f1d7b4e-5d0c-4f4e-9a53-0d1f6a1f8c11")
FIAT = {"USD", "EUR"}
"""Money, not crypto assets."""
_FORCES = {
    TimeInForce.GTC: "GOOD_UNTIL_CANCELLED",
    TimeInForce.GTD: "GOOD_UNTIL_DATE_TIME",
    TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
    TimeInForce.FOK: "FILL_OR_KILL",
}


def made_uuid(name: str) -> str:
    """An id in Coinbase's form that depends on a name alone."""
    return str(uuid.uuid5(_IDS, name))


def _page(found: Sequence[Any], request: ApiRequest, default: int, most: int) -> tuple[Sequence[Any], str]:
    """A page of a list, and the cursor of the next one, empty at the end."""
    limit = min(count(request, "limit", default) or default, most)
    cursor = request.first("cursor") or "0"
    if not (cursor.isascii() and cursor.isdecimal()):
        raise CoinbaseError(400, "INVALID_ARGUMENT", "invalid cursor")
    start = int(cursor)
    end = start + limit
    return found[start:end], str(end) if end < len(found) else ""


def _accounts(request: ApiRequest, view: ExchangeView) -> object:
    page, cursor = _page(sorted(view.desk.account.balances.items()), request, default=49, most=250)
    return {
        "accounts": [_account(asset, balance, view) for asset, balance in page],
        "has_next": bool(cursor),
        "cursor": cursor,
        "size": len(page),
    }


def _one_account(request: ApiRequest, view: ExchangeView) -> object:
    for asset, balance in view.desk.account.balances.items():
        if made_uuid(f"account/{asset}") == request.path_params["account_uuid"]:
            return {"account": _account(asset, balance, view)}
    raise CoinbaseError(404, "NOT_FOUND", "account not found")


def _account(asset: str, balance: Balance, view: ExchangeView) -> dict[str, Any]:
    return {
        "uuid": made_uuid(f"account/{asset}"),
        "name": f"{asset} Wallet",
        "currency": asset,
        "available_balance": {"value": plain(balance.free), "currency": asset},
        "default": asset == "BTC",
        "active": True,
        "created_at": "2021-05-31T09:59:59Z",
        "updated_at": iso(view.now_ms),
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if asset in FIAT else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": plain(balance.held), "currency": asset},
        "retail_portfolio_id": made_uuid("portfolio"),
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }


def _transaction_summary(_request: ApiRequest, view: ExchangeView) -> object:
    rules = view.desk.rules
    return {
        "total_volume": 0,
        "total_fees": 0,
        "fee_tier": {
            "pricing_tier": "Intro 1",
            "usd_from": "0",
            "usd_to": "10000",
            "taker_fee_rate": plain(rules.taker_rate),
            "maker_fee_rate": plain(rules.maker_rate),
            "aop_from": "",
            "aop_to": "",
        },
        "margin_rate": None,
        "goods_and_services_tax": None,
        "advanced_trade_only_volume": 0,
        "advanced_trade_only_fees": 0,
        "coinbase_pro_volume": 0,
        "coinbase_pro_fees": 0,
        "total_balance": "",
        "has_promo_fee": False,
    }


def _key_permissions(request: ApiRequest, view: ExchangeView) -> object:
    return {
        "can_view": True,
        "can_trade": _may_trade(request, view),
        "can_transfer": False,
        "portfolio_uuid": made_uuid("portfolio"),
        "portfolio_type": "DEFAULT",
    }


def _may_trade(request: ApiRequest, view: ExchangeView) -> bool:
    key = view.exchange.keyring.find(key_named(request))
    return key is not None and Permission.TRADE in key.permissions


def order_status(order: Order) -> str:
    """Where an order stands, in Coinbase's word: what its own rules end is cancelled, too."""
    match order.status:
        case Status.OPEN:
            return "OPEN"
        case Status.FILLED:
            return "FILLED"
        case Status.CANCELED:
            return "CANCELLED"
        case Status.EXPIRED:
            return "EXPIRED" if order.ticket.time_in_force is TimeInForce.GTD else "CANCELLED"


def _described(order: Order, view: ExchangeView) -> dict[str, Any]:
    ticket = order.ticket
    with exact():
        after_fees = order.spent + order.fee if ticket.side is Side.BUY else order.spent - order.fee
    done = order.filled / order.size * 100 if order.size else ZERO
    last_fill = order.fills[-1].at_ms if order.fills else None
    by_quote = ticket.base_size is None
    return {
        "order_id": order.order_id,
        "product_id": product_id(view.listings[ticket.symbol]),
        "user_id": made_uuid("user"),
        "order_configuration": ticket.words["order_configuration"],
        "side": ticket.side.upper(),
        "client_order_id": ticket.client_order_id,
        "status": order_status(order),
        "time_in_force": _FORCES[ticket.time_in_force],
        "created_time": iso(order.placed_at_ms),
        "completion_percentage": f"{done:.2f}",
        "filled_size": plain(order.filled),
        "average_filled_price": plain(order.average_price),
        "fee": "",
        "number_of_fills": str(len(order.fills)),
        "filled_value": plain(order.spent),
        "pending_cancel": False,
        "size_in_quote": by_quote,
        "total_fees": plain(order.fee),
        "size_inclusive_of_fees": by_quote,
        "total_value_after_fees": plain(after_fees),
        "trigger_status": "INVALID_ORDER_TYPE",
        "order_type": ticket.kind.upper(),
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": not order.is_open,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "User requested cancel" if order.status is Status.CANCELED else "",
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": plain(order.held),
        "is_liquidation": False,
        "last_fill_time": None if last_fill is None else iso(last_fill),
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": made_uuid("portfolio"),
        "originating_order_id": "",
        "attached_order_id": "",
        "attached_order_configuration": None,
    }


def _order(request: ApiRequest, view: ExchangeView) -> object:
    order = view.desk.find(view.at_ms, order_id=request.path_params["order_id"])
    if order is None:
        raise CoinbaseError(404, "NOT_FOUND", "order with this orderID was not found")
    return {"order": _described(order, view)}


def _all(request: ApiRequest, *names: str) -> set[str]:
    """Every value of a parameter that may stand many times, also as ``name[]``."""
    return {value for name, value in request.query if name in names or name.removesuffix("[]") in names}


def _orders(request: ApiRequest, view: ExchangeView) -> object:
    ids, statuses = _all(request, "order_ids"), _all(request, "order_status")
    products = {listing_named(name).symbol for name in _all(request, "product_ids", "product_id")}
    sides = _all(request, "order_side")
    kinds = _all(request, "order_types", "order_type") - {"UNKNOWN_ORDER_TYPE"}
    if "OPEN" in statuses and len(statuses) > 1:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "Open orders cannot be queried with other statuses")
    start, end = request.first("start_date"), request.first("end_date")
    start_ms = instant_ms(start) if start else 0
    end_ms = instant_ms(end) if end else 2**62
    found = [
        order
        for order in reversed(view.desk.orders(view.at_ms))
        if (not ids or order.order_id in ids)
        and (not statuses or order_status(order) in statuses)
        and (not products or order.ticket.symbol in products)
        and (not sides or order.ticket.side.upper() in sides)
        and (not kinds or order.ticket.kind.upper() in kinds)
        and start_ms <= order.placed_at_ms < end_ms
    ]
    page, cursor = _page(found, request, default=1000, most=1000)
    return {
        "orders": [_described(order, view) for order in page],
        "sequence": "0",
        "has_next": bool(cursor),
        "cursor": cursor,
    }


def _fills(request: ApiRequest, view: ExchangeView) -> object:
    ids, trades = _all(request, "order_ids", "order_id"), _all(request, "trade_ids")
    products = {listing_named(name).symbol for name in _all(request, "product_ids", "product_id")}
    start, end = request.first("start_sequence_timestamp"), request.first("end_sequence_timestamp")
    start_ms = instant_ms(start) if start else 0
    end_ms = instant_ms(end) if end else 2**62
    found = [
        fill
        for fill in reversed(view.desk.fills(view.at_ms))
        if (not ids or fill.order.order_id in ids)
        and (not trades or fill.fill_id in trades)
        and (not products or fill.order.ticket.symbol in products)
        and start_ms <= fill.at_ms < end_ms
    ]
    page, cursor = _page(found, request, default=100, most=3000)
    return {"fills": [_fill(fill, view) for fill in page], "cursor": cursor}


def _fill(fill: Fill, view: ExchangeView) -> dict[str, Any]:
    in_quote = fill.order.ticket.base_size is None and fill.order.ticket.kind is Kind.MARKET
    return {
        "entry_id": made_uuid(f"entry/{fill.number}"),
        "trade_id": fill.fill_id,
        "order_id": fill.order.order_id,
        "trade_time": iso(fill.at_ms),
        "trade_type": "FILL",
        "price": plain(fill.price),
        # With size_in_quote the size is what was paid in quote asset.
        "size": plain(fill.cost if in_quote else fill.size),
        "commission": plain(fill.fee),
        "product_id": product_id(view.listings[fill.order.ticket.symbol]),
        "sequence_timestamp": iso(fill.at_ms),
        "liquidity_indicator": "MAKER" if fill.maker else "TAKER",
        "size_in_quote": in_quote,
        "user_id": made_uuid("user"),
        "side": fill.order.ticket.side.upper(),
        "retail_portfolio_id": made_uuid("portfolio"),
    }


def _route(path: str, endpoint: Endpoint, answer: Callable[[ApiRequest, ExchangeView], object]) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    return Route(("GET",), PREFIX + path, endpoint, handle, Permission.READ)


ROUTES: Sequence[Route] = (
    _route("/accounts", Endpoint.ACCOUNT, _accounts),
    _route("/accounts/{account_uuid}", Endpoint.ACCOUNT, _one_account),
    _route("/key_permissions", Endpoint.ACCOUNT, _key_permissions),
    _route("/transaction_summary", Endpoint.FEES, _transaction_summary),
    # Before the path with an id, which would take these words for one.
    _route("/orders/historical/batch", Endpoint.ORDER_HISTORY, _orders),
    _route("/orders/historical/fills", Endpoint.FILLS, _fills),
    _route("/orders/historical/{order_id}", Endpoint.QUERY_ORDER, _order),
)
"""Coinbase's paths that read the account."""
