"""Binance's private side. Sections named here are those of its "Spot REST API" documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from sor_core.adapters.http import Answer, SignedCall, VenueHttp
from sor_core.adapters.venues.binance import answers, facts, orders, symbols
from sor_core.adapters.venues.binance.market_data import failure
from sor_core.adapters.venues.binance.signing import signed
from sor_core.adapters.venues.calls import FORM, Call, failed, form, found, order_call, placed, unknown
from sor_core.adapters.venues.histories import one_by_one
from sor_core.adapters.venues.keys import Keys, TimeLeft, send_order
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.credentials import Credentials, KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.fitting import fit
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.domain.money import plain
from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    CheckOutcome,
    Fence,
    Fill,
    Found,
    FrozenRequest,
    NotFoundNow,
    OrderKind,
    OrderRef,
    Placement,
    PlaceOutcome,
    QueryOutcome,
    Refusal,
    SendWindow,
    VenueOrder,
)
from sor_core.ports_trading import CredentialsSource, History, Patience

T = TypeVar("T")

_Parse: TypeAlias = Callable[[bytes], Mapping[int, T]]
"""Gives a page's rows by their numbers, which grow."""

_TIME_IN_FORCE = {
    OrderKind.LIMIT_IOC: "IOC",
    OrderKind.LIMIT_FOK: "FOK",
    OrderKind.LIMIT_GTC: "GTC",
}


def build_place(placement: Placement, window: SendWindow) -> FrozenRequest:
    """Write *New order* for a placement that fits the symbol's rules."""
    params: dict[str, str | int] = {
        "symbol": symbols.venue_symbol(placement.symbol),
        "side": placement.side.upper(),
    }
    match placement.kind:
        case OrderKind.MARKET:
            params["type"] = "MARKET"
        case OrderKind.POST_ONLY:
            params["type"] = "LIMIT_MAKER"
        case OrderKind.LIMIT_IOC | OrderKind.LIMIT_FOK | OrderKind.LIMIT_GTC:
            params |= {"type": "LIMIT", "timeInForce": _TIME_IN_FORCE[placement.kind]}
    if placement.size is not None:
        params["quantity"] = plain(placement.size)
    if placement.quote_size is not None:
        params["quoteOrderQty"] = plain(placement.quote_size)
    if placement.limit_price is not None:
        params["price"] = plain(placement.limit_price)
    params |= {
        "newClientOrderId": placement.client_order_id,
        "newOrderRespType": facts.RESPONSE_TYPE,
        "selfTradePreventionMode": facts.SELF_TRADE_PREVENTION,
        "recvWindow": window.closes_at_ms - window.opens_at_ms,
        "timestamp": window.opens_at_ms,
    }
    return FrozenRequest(placement, "POST", facts.ORDER_PATH, FORM, form(params).encode(), window)


def check_call(request: FrozenRequest) -> Call:
    """Write *Test new order*: the body of the order, at an address that places nothing."""
    return Call("POST", facts.ORDER_TEST_PATH, body=request.body, content_type=request.content_type)


def place_outcome(placement: Placement, answer: Answer) -> PlaceOutcome:
    """Read the answer to *New order*."""
    refusal = answers.refusal(answer)
    if refusal is not None:
        return refusal
    try:
        order = orders.parse_new_order(answer.body, placement.symbol, placement.side)
    except VenueError as error:
        return unknown(error)
    return placed(placement, order)


class BinanceTrading:
    """Trades on Binance (implements `ports_trading.VenueTrading`).

    Parameters
    ----------
    http
        Over the order client.
    credentials
        Where the keys are.
    clock
        Binance's clock: requests are stamped with it.
    """

    def __init__(self, http: VenueHttp, credentials: CredentialsSource, clock: VenueClock) -> None:
        self._http = http
        self._keys = Keys(credentials, facts.VENUE, answers.is_auth_refusal)
        self._clock = clock

    @property
    def venue(self) -> str:
        """``binance``."""
        return facts.VENUE

    @property
    def place_is_idempotent(self) -> bool:
        """No: client order ids are unique among OPEN orders only."""
        return False

    @property
    def fence(self) -> Fence:
        """See `facts.FENCE`."""
        return facts.FENCE

    async def check(self, request: FrozenRequest, *, timeout_s: float) -> CheckOutcome:
        """Ask *Test new order* (weight 1), which looks at everything but balances and the book."""
        try:
            answer = await self._exchange(KeyUse.TRADE, lambda: check_call(request), timeout_s)
        except VenueError as error:
            return failed(error)
        return answers.read_check(answer)

    def prepare(
        self, placement: Placement, instrument: Instrument, *, venue_now_ms: int
    ) -> FrozenRequest | Refusal:
        fitted = fit(placement, instrument)
        if isinstance(fitted, Refusal):
            return fitted
        return build_place(fitted, SendWindow(venue_now_ms, venue_now_ms + facts.WINDOW_MS))

    async def place(self, request: FrozenRequest, *, not_after_ms: int, timeout_s: float) -> PlaceOutcome:
        def sign(credentials: Credentials) -> SignedCall:
            return signed(order_call(request), credentials)

        try:
            answer = await send_order(
                self._http, self._keys, sign, not_after_ms=not_after_ms, timeout_s=timeout_s
            )
        except VenueError as error:
            return failed(error)
        return place_outcome(request.placement, answer)

    async def query(self, ref: OrderRef, *, timeout_s: float) -> QueryOutcome:
        """Ask *Query order* (weight 4): -2013 says that there is none now."""
        try:
            order = await self._order(_named(ref), ref.symbol, timeout_s)
        except VenueError as error:
            return unknown(error)
        return NotFoundNow() if order is None else found(ref, order)

    async def order(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> VenueOrder | None:
        """Ask *Query order* (weight 4) by Binance's id."""
        return await self._order({**_of(symbol), "orderId": venue_order_id}, symbol, timeout_s)

    async def _order(
        self, named: Mapping[str, str | int], symbol: Symbol, timeout_s: float
    ) -> VenueOrder | None:
        answer = await self._ask("GET", facts.ORDER_PATH, named, timeout_s)
        error = failure(answer)
        if error is None:
            return orders.parse_order(answer.body, symbol)
        if isinstance(answers.query_refusal(answer, error), NotFoundNow):
            return None
        raise error

    async def cancel(self, ref: OrderRef, *, timeout_s: float) -> CancelOutcome:
        """Ask *Cancel order* (weight 1); the answer tells the order as it ended."""
        try:
            answer = await self._ask("DELETE", facts.ORDER_PATH, _named(ref), timeout_s)
            error = failure(answer)
            if error is not None:
                return answers.cancel_refusal(answer, error)
            order = orders.parse_order(answer.body, ref.symbol)
        except VenueError as error:
            return unknown(error)
        checked = found(ref, order)
        return Cancelled(order) if isinstance(checked, Found) else checked

    async def open_orders(self, symbol: Symbol, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *Current open orders* of the symbol (weight 6)."""
        answer = await self._read(facts.OPEN_ORDERS_PATH, _of(symbol), timeout_s)
        return orders.parse_orders(answer.body, symbol)

    async def orders_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *All orders* (weight 20), day by day."""
        return await self._orders(symbol, since_ms, TimeLeft(facts.VENUE, timeout_s))

    async def fills(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *Account trade list* of the order (weight 5), page by page."""
        time_left = TimeLeft(facts.VENUE, timeout_s)
        params = {**_of(symbol), "orderId": venue_order_id}
        pages = await self._pages(facts.MY_TRADES_PATH, params, {}, _fills_of(symbol), "fromId", time_left)
        return list(pages.values())

    async def fills_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *Account trade list* (weight 20), day by day."""
        return await self._fills(symbol, since_ms, TimeLeft(facts.VENUE, timeout_s))

    async def histories(
        self, symbols: Sequence[Symbol], since_ms: int, patience: Patience
    ) -> Mapping[Symbol, History | VenueError]:
        """Ask as `orders_since` and `fills_since`, for each symbol: there is no list of all."""

        async def read(symbol: Symbol) -> History:
            listed = await self._orders(symbol, since_ms, patience)
            return History(listed, await self._fills(symbol, since_ms, patience))

        return await one_by_one(symbols, read)

    async def balances(self, *, timeout_s: float) -> Mapping[str, Balance]:
        """Ask *Account information* (weight 20), without the assets of which there is nothing."""
        answer = await self._read(facts.ACCOUNT_PATH, {"omitZeroBalances": "true"}, timeout_s)
        return orders.parse_balances(answer.body)

    async def account_fees(self, symbol: Symbol, *, timeout_s: float) -> AccountFees:
        """Ask *Query Commission Rates* (weight 20)."""
        answer = await self._read(facts.COMMISSION_PATH, _of(symbol), timeout_s)
        return orders.parse_account_fees(answer.body, symbol)

    async def _orders(self, symbol: Symbol, since_ms: int, patience: Patience) -> Sequence[VenueOrder]:
        def parse(body: bytes) -> Mapping[int, VenueOrder]:
            return {int(order.venue_order_id): order for order in orders.parse_orders(body, symbol)}

        return await self._days(facts.ALL_ORDERS_PATH, symbol, parse, "orderId", since_ms, patience)

    async def _fills(self, symbol: Symbol, since_ms: int, patience: Patience) -> Sequence[Fill]:
        return await self._days(facts.MY_TRADES_PATH, symbol, _fills_of(symbol), "fromId", since_ms, patience)

    async def _days(
        self,
        path: str,
        symbol: Symbol,
        parse: _Parse[T],
        number: str,
        since_ms: int,
        patience: Patience,
    ) -> Sequence[T]:
        """Read a list from a moment until now, by the stretches of time that one request may cover."""
        listed: dict[int, T] = {}
        for start_ms in range(since_ms, max(since_ms, self._clock.now_ms()) + 1, facts.HISTORY_MS + 1):
            day = {"startTime": start_ms, "endTime": start_ms + facts.HISTORY_MS}
            listed |= await self._pages(path, _of(symbol), day, parse, number, patience)
        return list(listed.values())

    async def _pages(
        self,
        path: str,
        params: Mapping[str, str | int],
        first: Mapping[str, str | int],
        parse: _Parse[T],
        number: str,
        patience: Patience,
    ) -> dict[int, T]:
        """Read a list to its end: `first` bounds it, from a full page on the numbers of its rows do."""
        listed: dict[int, T] = {}
        asked = {**params, **first, "limit": facts.PAGE}
        while True:
            answer = await patience.ask(partial(self._read, path, asked))
            page = parse(answer.body)
            listed |= page
            if len(page) < facts.PAGE:
                return listed
            asked = {**params, number: max(page) + 1, "limit": facts.PAGE}

    async def _read(self, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        answer = await self._ask("GET", path, params, timeout_s)
        error = failure(answer)
        if error is not None:
            raise error
        return answer

    async def _ask(self, method: str, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        def stamped() -> Call:
            window = {"recvWindow": facts.WINDOW_MS, "timestamp": self._clock.now_ms()}
            return Call(method, path, query=form({**params, **window}), counted_by=params)

        return await self._exchange(KeyUse.READ if method == "GET" else KeyUse.TRADE, stamped, timeout_s)

    async def _exchange(self, use: KeyUse, write: Callable[[], Call], timeout_s: float) -> Answer:
        """Ask what may be asked again: never an order."""
        time_left = TimeLeft(facts.VENUE, timeout_s)

        async def ask(credentials: Credentials) -> Answer:
            call = write()
            signed_call = self._keys.sign(lambda: signed(call, credentials))
            if call.method == "GET":
                return await self._http.ask(signed_call, timeout_s=time_left.seconds)
            return await self._http.send_once(signed_call, timeout_s=time_left.seconds)

        async with time_left.bounds():
            return await self._keys.ask(use, ask)


def _fills_of(symbol: Symbol) -> _Parse[Fill]:
    return lambda body: {int(fill.fill_id): fill for fill in orders.parse_fills(body, symbol)}


def _of(symbol: Symbol) -> dict[str, str | int]:
    return {"symbol": symbols.venue_symbol(symbol)}


def _named(ref: OrderRef) -> Mapping[str, str | int]:
    named = {"origClientOrderId": ref.client_order_id}
    if ref.venue_order_id is not None:
        named = {"orderId": ref.venue_order_id}
    return {**_of(ref.symbol), **named}
