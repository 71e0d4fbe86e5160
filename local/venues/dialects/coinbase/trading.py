"""Coinbase's order entry (Advanced Trade REST API, "Create Order", "Preview Order", "Cancel Orders")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from local.venues.account import InsufficientFundsError
from local.venues.credentials import Permission
from local.venues.desk import WouldTakeError
from local.venues.dialects.coinbase.wire import (
    LISTINGS_BY_ID,
    PREFIX,
    CoinbaseError,
    instant_ms,
    product_id,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.matching import crosses
from local.venues.money import exact, is_multiple, plain
from local.venues.orders import FeeIn, Kind, Side, Ticket, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_LONGEST_CLIENT_ID = 128

# name: time in force, kind
_CONFIGURATIONS: Mapping[str, tuple[TimeInForce, Kind]] = {
    "market_market_ioc": (TimeInForce.IOC, Kind.MARKET),
    "sor_limit_ioc": (TimeInForce.IOC, Kind.LIMIT),
    "limit_limit_fok": (TimeInForce.FOK, Kind.LIMIT),
    "limit_limit_gtc": (TimeInForce.GTC, Kind.LIMIT),
    "limit_limit_gtd": (TimeInForce.GTD, Kind.LIMIT),
}


class _OrderFailure(Exception):  # noqa: N818 - Coinbase's own word: error_response, not an HTTP error
    """An order that was understood and not taken."""

    def __init__(self, error: str, message: str, preview: str = "") -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.preview = preview or f"PREVIEW_{error}"


def _document(request: ApiRequest) -> dict[str, Any]:
    try:
        document = json.loads(request.body)
    except ValueError:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "unable to parse request body") from None
    if not isinstance(document, dict):
        raise CoinbaseError(400, "INVALID_ARGUMENT", "unable to parse request body")
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise CoinbaseError(400, "INVALID_ARGUMENT", f"{name} is required")
    return value


def _ticket(document: Mapping[str, Any], view: ExchangeView, client_order_id: str) -> Ticket:
    """Understand an order: what has no meaning is HTTP 400, what cannot be is an order failure."""
    listing = LISTINGS_BY_ID.get(_text(document, "product_id"))
    if listing is None:
        raise _OrderFailure("INVALID_PRODUCT_ID", "Invalid product_id", "PREVIEW_INVALID_PRODUCT_ID")
    side_word = document.get("side")
    if side_word not in {"BUY", "SELL"}:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "side is required")
    side = Side(side_word.lower())
    configuration = document.get("order_configuration")
    if not isinstance(configuration, dict) or len(configuration) != 1:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "order_configuration: exactly one is required")
    name, terms = next(iter(configuration.items()))
    if name not in _CONFIGURATIONS or not isinstance(terms, dict):
        raise _OrderFailure("UNSUPPORTED_ORDER_CONFIGURATION", f"{name} is not supported")
    force, kind = _CONFIGURATIONS[name]
    ticket = Ticket(
        symbol=listing.symbol,
        side=side,
        kind=kind,
        time_in_force=force,
        fee_in=FeeIn.QUOTE,
        client_order_id=client_order_id,
        price=_decimal(terms, "limit_price"),
        base_size=_decimal(terms, "base_size"),
        quote_size=_decimal(terms, "quote_size"),
        # "quote_size": the fee is within it.
        quote_includes_fee=True,
        post_only=bool(terms.get("post_only")),
        expires_at_ms=_end_time(terms, view) if force is TimeInForce.GTD else None,
        words={"order_configuration": configuration},
    )
    _check_terms(ticket)
    _check_sizes(ticket, listing, view)
    return ticket


def _decimal(terms: Mapping[str, Any], name: str) -> Decimal | None:
    value = terms.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise CoinbaseError(400, "INVALID_ARGUMENT", f"{name} is invalid")
    return Decimal(value)


def _end_time(terms: Mapping[str, Any], view: ExchangeView) -> int:
    end_ms = instant_ms(_text(terms, "end_time"))
    if end_ms <= view.now_ms:
        raise _OrderFailure("INVALID_END_TIME", "end_time must be in the future")
    return end_ms


def _check_terms(ticket: Ticket) -> None:
    if (ticket.base_size is None) == (ticket.quote_size is None):
        raise CoinbaseError(400, "INVALID_ARGUMENT", "exactly one of base_size and quote_size is required")
    if ticket.kind is Kind.LIMIT and (ticket.price is None or ticket.base_size is None):
        raise CoinbaseError(400, "INVALID_ARGUMENT", "base_size and limit_price are required")
    if ticket.kind is Kind.MARKET and ticket.side is Side.SELL and ticket.base_size is None:
        raise _OrderFailure("UNSUPPORTED_ORDER_CONFIGURATION", "market sells need base_size")


def _check_sizes(ticket: Ticket, listing: Listing, view: ExchangeView) -> None:
    """The product's increments, minimums and maximums ("Get Product")."""
    if ticket.price is not None and (ticket.price == 0 or not is_multiple(ticket.price, listing.tick)):
        raise _OrderFailure("INVALID_PRICE_PRECISION", "Too many decimals in order price")
    size = ticket.base_size
    if size is None:
        quote = ticket.quote_size or Decimal(0)
        if not is_multiple(quote, listing.tick):
            raise _OrderFailure(
                "INVALID_SIZE_PRECISION",
                "Too many decimals in order amount",
                "PREVIEW_INVALID_QUOTE_SIZE_PRECISION",
            )
    else:
        if not is_multiple(size, listing.lot):
            raise _OrderFailure("INVALID_SIZE_PRECISION", "Too many decimals in order amount")
        if size < listing.min_size:
            raise _too("BASE", "SMALL")
        if size > listing.max_size:
            raise _too("BASE", "LARGE")
        with exact():
            quote = size * (ticket.price or view.last_price(listing.symbol))
    if quote < listing.min_notional:
        raise _too("QUOTE", "SMALL")
    if quote > listing.max_notional:
        raise _too("QUOTE", "LARGE")


def _too(asset: str, how: str) -> _OrderFailure:
    return _OrderFailure("UNKNOWN_FAILURE_REASON", "", f"PREVIEW_INVALID_{asset}_SIZE_TOO_{how}")


def _check_open(ticket: Ticket, view: ExchangeView) -> None:
    if view.conditions.cancel_only:
        raise _OrderFailure("ORDER_ENTRY_DISABLED", "Orderbook is in cancel only mode")
    book = view.book(ticket.symbol)
    if ticket.kind is Kind.MARKET and not (book.asks if ticket.side is Side.BUY else book.bids):
        raise _OrderFailure("INVALID_NO_LIQUIDITY", "No liquidity", "PREVIEW_INVALID_NO_LIQUIDITY")


def _create_order(request: ApiRequest, view: ExchangeView) -> object:
    document = _document(request)
    client_order_id = _text(document, "client_order_id")
    if len(client_order_id) > _LONGEST_CLIENT_ID:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "client_order_id is too long")
    try:
        order = view.desk.known(client_order_id)
        if order is None:
            ticket = _ticket(document, view, client_order_id)
            _check_open(ticket, view)
            order = view.desk.place(ticket, view.at_ms, view.conditions)
    except WouldTakeError:
        failure = _OrderFailure("INVALID_LIMIT_PRICE_POST_ONLY", "Post only order would cross the book")
        return _failed(failure, document)
    except InsufficientFundsError:
        failure = _OrderFailure("INSUFFICIENT_FUND", "Insufficient balance in source account")
        return _failed(failure, document)
    except _OrderFailure as failed:
        return _failed(failed, document)
    return {
        "success": True,
        "failure_reason": "UNKNOWN_FAILURE_REASON",
        "order_id": order.order_id,
        "success_response": {
            "order_id": order.order_id,
            "product_id": product_id(view.listings[order.ticket.symbol]),
            "side": order.ticket.side.upper(),
            "client_order_id": order.ticket.client_order_id,
            "attached_order_id": "",
        },
        "order_configuration": order.ticket.words["order_configuration"],
    }


def _failed(failure: _OrderFailure, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "success": False,
        "failure_reason": "UNKNOWN_FAILURE_REASON",
        "order_id": "",
        "error_response": {
            "error": failure.error,
            "message": failure.message,
            "error_details": "",
            "preview_failure_reason": failure.preview,
            "new_order_failure_reason": "UNKNOWN_FAILURE_REASON",
        },
        "order_configuration": document.get("order_configuration"),
    }


def _preview(request: ApiRequest, view: ExchangeView) -> object:
    errors, ticket = [], None
    try:
        ticket = _ticket(_document(request), view, "preview")
        _check_open(ticket, view)
        _check_preview(ticket, view)
    except _OrderFailure as failure:
        errors.append(failure.preview)
    answer: dict[str, Any] = {
        "order_total": "0",
        "commission_total": "0",
        "errs": errors,
        "warning": [],
        "quote_size": "0",
        "base_size": "0",
        "best_bid": "",
        "best_ask": "",
        "is_max": False,
        "preview_id": "",
    }
    if ticket is None:
        return answer
    book = view.book(ticket.symbol)
    base, quote, commission = _amounts(ticket, view)
    with exact():
        order_total = quote + commission if ticket.side is Side.BUY else quote - commission
    return {
        **answer,
        "order_total": plain(order_total),
        "commission_total": plain(commission),
        "quote_size": plain(quote),
        "base_size": plain(base),
        "best_bid": plain(book.bids[0].price) if book.bids else "",
        "best_ask": plain(book.asks[0].price) if book.asks else "",
    }


def _amounts(ticket: Ticket, view: ExchangeView) -> tuple[Decimal, Decimal, Decimal]:
    """Base, quote and commission that an order comes to at its limit, or at the touch."""
    book = view.book(ticket.symbol)
    touch = book.asks if ticket.side is Side.BUY else book.bids
    price = ticket.price or (touch[0].price if touch else Decimal(0))
    with exact():
        quote = (ticket.base_size or Decimal(0)) * price if ticket.quote_size is None else ticket.quote_size
        commission = quote * view.desk.rules.taker_rate
        base = ticket.base_size if ticket.base_size is not None else quote / price if price else Decimal(0)
    return base, quote, commission


def _check_preview(ticket: Ticket, view: ExchangeView) -> None:
    """What the desk would refuse: a preview looks at book and balance, and sets nothing aside."""
    book = view.book(ticket.symbol)
    touch = book.asks if ticket.side is Side.BUY else book.bids
    if ticket.post_only and touch and crosses(ticket.side, ticket.price, touch[0].price):
        raise _OrderFailure("INVALID_LIMIT_PRICE_POST_ONLY", "Post only order would cross the book")
    base, quote, commission = _amounts(ticket, view)
    listing = view.listings[ticket.symbol]
    with exact():
        cost = quote if ticket.quote_size is not None else quote + commission
    asset, needed = (listing.quote, cost) if ticket.side is Side.BUY else (listing.base, base)
    if needed > view.desk.account.balances[asset].free:
        raise _OrderFailure("INSUFFICIENT_FUND", "Insufficient balance in source account")


def _batch_cancel(request: ApiRequest, view: ExchangeView) -> object:
    ids = _document(request).get("order_ids")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids) or not ids:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "order_ids is required")
    results = []
    for order_id in ids:
        order = view.desk.find_open(order_id=order_id)
        if order is not None:
            view.desk.cancel(order, view.now_ms)
        reason = "UNKNOWN_CANCEL_FAILURE_REASON" if order is not None else "UNKNOWN_CANCEL_ORDER"
        results.append({"success": order is not None, "failure_reason": reason, "order_id": order_id})
    return {"results": results}


def _route(path: str, endpoint: Endpoint, answer: Callable[[ApiRequest, ExchangeView], object]) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    return Route(("POST",), PREFIX + path, endpoint, handle, Permission.TRADE)


ROUTES: Sequence[Route] = (
    _route("/orders", Endpoint.PLACE_ORDER, _create_order),
    _route("/orders/preview", Endpoint.TEST_ORDER, _preview),
    _route("/orders/batch_cancel", Endpoint.CANCEL_ORDER, _batch_cancel),
)
"""Coinbase's paths that trade."""
