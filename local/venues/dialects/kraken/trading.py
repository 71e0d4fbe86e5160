"""Kraken's order entry ("Trading")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from local.venues.account import InsufficientFundsError
from local.venues.credentials import Permission
from local.venues.desk import DuplicateClientIdError, WouldTakeError
from local.venues.dialects.kraken.account import order_text
from local.venues.dialects.kraken.wire import KrakenError, one_pair, parameters, whole
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import decimals_of, exact, is_multiple
from local.venues.orders import FeeIn, Kind, Order, SelfTrade, Side, Ticket, TimeInForce
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_CLIENT_ID = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[\x21-\x7e]{1,18}", re.ASCII
)
_SELF_TRADE = {
    "cancel-newest": SelfTrade.TAKER,
    "cancel-oldest": SelfTrade.MAKER,
    "cancel-both": SelfTrade.BOTH,
}
_FLAGS = {"post", "fcib", "fciq", "viqc", "nompp"}
_MOST_OPEN_ORDERS = 80
_LATEST_DEADLINE_S = 60
_LONGEST_TIMER_S = 86_400


def _invalid(name: str) -> KrakenError:
    return KrakenError(f"EGeneral:Invalid arguments:{name}")


def _word(given: Mapping[str, str], name: str, *words: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if value is None or value not in words:
        raise _invalid(name)
    return value


def _number(given: Mapping[str, str], name: str) -> Decimal | None:
    text = given.get(name)
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None or Decimal(text) == 0:
        raise KrakenError("EOrder:Invalid price" if name == "price" else f"EGeneral:Invalid arguments:{name}")
    return Decimal(text)


def _ticket(given: Mapping[str, str], listing: Listing, view: ExchangeView) -> Ticket:
    """Understand an order ("Add Order")."""
    kind = Kind(_word(given, "ordertype", "limit", "market"))
    side = Side(_word(given, "type", "buy", "sell"))
    flags = {flag.strip() for flag in given.get("oflags", "").split(",") if flag.strip()}
    if not flags <= _FLAGS or {"fcib", "fciq"} <= flags:
        raise _invalid("oflags")
    force = TimeInForce(_word(given, "timeinforce", "GTC", "IOC", "GTD", "FOK", default="GTC").lower())
    price, volume = _number(given, "price"), _number(given, "volume")
    if volume is None:
        raise _invalid("volume")
    if (price is None) == (kind is Kind.LIMIT):
        raise _invalid("price")
    by_quote = "viqc" in flags
    if by_quote and not (kind is Kind.MARKET and side is Side.BUY):
        raise _invalid("oflags")
    post_only = "post" in flags
    if post_only and (kind is Kind.MARKET or not force.rests):
        raise _invalid("oflags")
    # "oflags": the fee is in base when selling, in quote when buying, unless a flag says otherwise.
    default_fee = FeeIn.BASE if side is Side.SELL else FeeIn.QUOTE
    fee_in = FeeIn.BASE if "fcib" in flags else FeeIn.QUOTE if "fciq" in flags else default_fee
    client_order_id, words = _names(given)
    return Ticket(
        symbol=listing.symbol,
        side=side,
        kind=kind,
        time_in_force=TimeInForce.IOC if kind is Kind.MARKET else force,
        fee_in=fee_in,
        client_order_id=client_order_id,
        price=price,
        base_size=None if by_quote else volume,
        quote_size=volume if by_quote else None,
        post_only=post_only,
        self_trade=_SELF_TRADE[_word(given, "stptype", *_SELF_TRADE, default="cancel-newest")],
        expires_at_ms=_expiry(given, view) if force is TimeInForce.GTD else None,
        words=words,
    )


def _names(given: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The client order id and the user reference, of which only one may be given."""
    client_order_id, userref = given.get("cl_ord_id", ""), given.get("userref")
    if client_order_id and userref:
        raise _invalid("cl_ord_id")
    if client_order_id and _CLIENT_ID.fullmatch(client_order_id) is None:
        raise _invalid("cl_ord_id")
    return client_order_id, {} if not userref else {
        "userref": whole(given, "userref", 0, -(2**31), 2**31 - 1)
    }


def _expiry(given: Mapping[str, str], view: ExchangeView) -> int:
    text = given.get("expiretm", "")
    relative = text.startswith("+")
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len("4102444800")):
        raise _invalid("expiretm")
    expires_ms = int(digits) * 1000 + (view.now_ms if relative else 0)
    if expires_ms <= view.now_ms:
        raise _invalid("expiretm")
    return expires_ms


def _check_deadline(given: Mapping[str, str], view: ExchangeView) -> None:
    """The engine takes nothing past the deadline ("deadline": at most a minute ahead)."""
    text = given.get("deadline")
    if not text:
        return
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid("deadline") from None
    if moment.tzinfo is None:
        raise _invalid("deadline")
    left_s = moment.timestamp() - view.now_ms / 1000
    if left_s > _LATEST_DEADLINE_S:
        raise _invalid("deadline")
    if left_s <= 0:
        raise KrakenError("EService:Deadline elapsed")


def _check_terms(ticket: Ticket, listing: Listing, view: ExchangeView) -> None:
    """The pair's precisions and minimums ("Get Tradable Asset Pairs")."""
    price = ticket.price
    if price is not None:
        decimals = decimals_of(listing.tick)
        if decimals_of(price) > decimals:
            raise KrakenError(f"EOrder:Invalid price:price can only be specified up to {decimals} decimals")
        if not is_multiple(price, listing.tick):
            raise KrakenError("EOrder:Tick size check failed")
    reference = price or view.last_price(listing.symbol)
    with exact():
        if ticket.base_size is not None:
            if not is_multiple(ticket.base_size, listing.lot):
                raise _invalid("volume")
            size, cost = ticket.base_size, ticket.base_size * reference
        else:
            cost = ticket.quote_size or Decimal(0)
            size = cost / reference
    if size < listing.min_size:
        raise KrakenError("EOrder:Order minimum not met")
    if cost < listing.min_notional:
        raise KrakenError("EOrder:Cost minimum not met")
    if size > listing.max_size:
        raise _invalid("volume")


def _add_order(given: Mapping[str, str], view: ExchangeView) -> object:
    _check_deadline(given, view)
    listing = one_pair(given)
    ticket = _ticket(given, listing, view)
    _check_terms(ticket, listing, view)
    if view.conditions.cancel_only:
        raise KrakenError("EService:Market in cancel_only mode")
    open_here = [each for each in view.desk.all_open_orders() if each.ticket.symbol == listing.symbol]
    if len(open_here) >= _MOST_OPEN_ORDERS:
        raise KrakenError("EOrder:Orders limit exceeded")
    description = {"descr": {"order": order_text(ticket, listing)}}
    if given.get("validate") == "true":
        return description
    try:
        order = view.desk.place(ticket, view.at_ms, view.conditions)
    except DuplicateClientIdError:
        # Kraken documents the rule ("Spot Client Order Identifiers"), not the text of the refusal.
        raise KrakenError("EOrder:Duplicate order") from None
    except WouldTakeError:
        raise KrakenError("EOrder:Post only order") from None
    except InsufficientFundsError:
        raise KrakenError("EOrder:Insufficient funds") from None
    return {**description, "txid": [order.order_id]}


def orders_to_cancel(given: Mapping[str, str], view: ExchangeView) -> list[Order]:
    """The open orders that a cancel names: by Kraken's id, user reference or client order id."""
    name, client_order_id = given.get("txid"), given.get("cl_ord_id")
    if client_order_id:
        order = view.desk.find_open(client_order_id=client_order_id)
    elif name:
        order = view.desk.find_open(order_id=name)
    else:
        raise _invalid("txid")
    if order is not None:
        return [order]
    return [
        each for each in view.desk.all_open_orders() if name and str(each.ticket.words.get("userref")) == name
    ]


def _cancel_order(given: Mapping[str, str], view: ExchangeView) -> object:
    orders = orders_to_cancel(given, view)
    if not orders:
        raise KrakenError("EOrder:Unknown order")
    for order in orders:
        view.desk.cancel(order, view.now_ms)
    return {"count": len(orders)}


def _cancel_all(_given: Mapping[str, str], view: ExchangeView) -> object:
    orders = view.desk.all_open_orders()
    for order in orders:
        view.desk.cancel(order, view.now_ms)
    return {"count": len(orders)}


def _cancel_all_after(given: Mapping[str, str], view: ExchangeView) -> object:
    if "timeout" not in given:
        raise _invalid("timeout")
    timeout_s = whole(given, "timeout", 0, 0, _LONGEST_TIMER_S - 1)
    view.desk.cancel_all_at_ms = view.at_ms + timeout_s * 1000 if timeout_s else None
    now_s = view.now_ms // 1000
    trigger = _rfc3339(now_s + timeout_s) if timeout_s else "0"
    return {"currentTime": _rfc3339(now_s), "triggerTime": trigger}


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _route(
    path: str, endpoint: Endpoint, answer: Callable[[Mapping[str, str], ExchangeView], object]
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply({"error": [], "result": answer(parameters(request), view)})

    return Route(("POST",), f"/0/private/{path}", endpoint, handle, Permission.TRADE)


ROUTES: Sequence[Route] = (
    _route("AddOrder", Endpoint.PLACE_ORDER, _add_order),
    _route("CancelOrder", Endpoint.CANCEL_ORDER, _cancel_order),
    _route("CancelAll", Endpoint.CANCEL_ORDER, _cancel_all),
    _route("CancelAllOrdersAfter", Endpoint.CANCEL_ORDER, _cancel_all_after),
)
"""Kraken's paths that trade."""
