"""Coinbase's private side. Pages named here are of the "Advanced Trade API" documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec

from sor_core.adapters.http import Answer, SignedCall, VenueHttp
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.calls import JSON, Call, failed, form, found, order_call, placed, unknown
from sor_core.adapters.venues.coinbase import answers, facts, orders, symbols
from sor_core.adapters.venues.coinbase.market_data import failure
from sor_core.adapters.venues.coinbase.signing import signed
from sor_core.adapters.venues.histories import one_by_one
from sor_core.adapters.venues.keys import Keys, TimeLeft, send_order
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.credentials import Credentials, KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.fitting import fit
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.domain.money import plain
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    Fence,
    Fill,
    Found,
    FrozenRequest,
    NotFoundNow,
    NotOpen,
    OrderKind,
    OrderRef,
    Placement,
    PlaceOutcome,
    QueryOutcome,
    Refusal,
    RejectReason,
    SendWindow,
    VenueOrder,
)
from sor_core.ports_trading import CredentialsSource, History, Patience

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.encode


def build_place(placement: Placement, window: SendWindow) -> FrozenRequest:
    """Write *Create Order* for a placement that fits the product's rules."""
    document = {
        "client_order_id": placement.client_order_id,
        **_terms(placement),
        "self_trade_prevention_id": facts.SELF_TRADE_PREVENTION_ID,
    }
    return FrozenRequest(placement, "POST", facts.ORDERS_PATH, JSON, _encode(document), window)


def check_call(request: FrozenRequest) -> Call:
    """Write *Preview Order*: the order's terms, at an address that places nothing."""
    return Call("POST", facts.PREVIEW_PATH, body=_encode(_terms(request.placement)), content_type=JSON)


def place_outcome(placement: Placement, answer: Answer) -> PlaceOutcome:
    """Read the answer to *Create Order*."""
    read = answers.read_place(answer, placement)
    return placed(placement, read) if isinstance(read, VenueOrder) else read


def _terms(placement: Placement) -> dict[str, object]:
    return {
        "product_id": symbols.venue_symbol(placement.symbol),
        "side": placement.side.upper(),
        "order_configuration": _configuration(placement),
    }


def _configuration(placement: Placement) -> Mapping[str, Mapping[str, str | bool]]:
    terms: dict[str, str | bool] = {}
    if placement.size is not None:
        terms["base_size"] = plain(placement.size)
    if placement.quote_size is not None:
        terms["quote_size"] = plain(placement.quote_size)
    if placement.limit_price is not None:
        terms["limit_price"] = plain(placement.limit_price)
    match placement.kind:
        case OrderKind.MARKET:
            return {"market_market_ioc": terms}
        case OrderKind.LIMIT_IOC:
            return {"sor_limit_ioc": terms}
        case OrderKind.LIMIT_FOK:
            return {"limit_limit_fok": terms}
        case OrderKind.LIMIT_GTC:
            return {"limit_limit_gtc": {**terms, "post_only": False}}
        case OrderKind.POST_ONLY:
            return {"limit_limit_gtc": {**terms, "post_only": True}}


class CoinbaseTrading:
    """Trades on Coinbase Advanced Trade (implements `ports_trading.VenueTrading`).

    Parameters
    ----------
    http
        Over the order client.
    credentials
        Where the keys are.
    clock
        Coinbase's clock: tokens live by it.
    new_nonce
        Gives random texts, each once.
    """

    def __init__(
        self,
        http: VenueHttp,
        credentials: CredentialsSource,
        clock: VenueClock,
        new_nonce: Callable[[], str],
    ) -> None:
        self._http = http
        self._keys = Keys(credentials, facts.VENUE, answers.is_auth_refusal)
        self._clock = clock
        self._new_nonce = new_nonce

    @property
    def venue(self) -> str:
        """``coinbase``."""
        return facts.VENUE

    @property
    def place_is_idempotent(self) -> bool:
        """Yes: "the order corresponding with that ID will be returned instead" (Create Order)."""
        return True

    @property
    def fence(self) -> Fence:
        """See `facts.FENCE`."""
        return facts.FENCE

    async def check(self, request: FrozenRequest, *, timeout_s: float) -> CheckOutcome:
        """Ask *Preview Order*, which looks at balances, too."""
        try:
            answer = await self._ask(check_call(request), timeout_s)
        except VenueError as error:
            return failed(error)
        return answers.read_check(answer)

    def prepare(
        self, placement: Placement, instrument: Instrument, *, venue_now_ms: int
    ) -> FrozenRequest | Refusal:
        fitted = fit(placement, instrument)
        if isinstance(fitted, Refusal):
            return fitted
        if fitted.quote_size is not None and fitted.side is Side.SELL:
            return Refusal(RejectReason.INVALID_REQUEST, "market orders that sell are by size here")
        return build_place(fitted, SendWindow(venue_now_ms, venue_now_ms + facts.WINDOW_MS))

    async def place(self, request: FrozenRequest, *, not_after_ms: int, timeout_s: float) -> PlaceOutcome:
        def sign(credentials: Credentials) -> SignedCall:
            return signed(order_call(request), credentials, request.window, self._new_nonce())

        try:
            answer = await send_order(
                self._http, self._keys, sign, not_after_ms=not_after_ms, timeout_s=timeout_s
            )
        except VenueError as error:
            return failed(error)
        return place_outcome(request.placement, answer)

    async def query(self, ref: OrderRef, *, timeout_s: float) -> QueryOutcome:
        """Ask *Get Order*; by client order id look through *List Orders*, which cannot be asked for it."""
        try:
            if ref.venue_order_id is None:
                return await self._look_for(ref, timeout_s)
            order = await self.order(ref.symbol, ref.venue_order_id, timeout_s=timeout_s)
        except VenueError as error:
            return unknown(error)
        return NotFoundNow() if order is None else found(ref, order)

    async def order(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> VenueOrder | None:
        """Ask *Get Order*."""
        answer = await self._ask(Call("GET", f"{facts.ORDER_PATH}/{venue_order_id}"), timeout_s)
        error = failure(answer)
        if error is None:
            return orders.parse_order(answer.body, symbol)
        if isinstance(answers.query_refusal(answer, error), NotFoundNow):
            return None
        raise error

    async def cancel(self, ref: OrderRef, *, timeout_s: float) -> CancelOutcome:
        """Ask *Cancel Orders*, by Coinbase's own id: where it is not known, it is looked for first."""
        time_left = TimeLeft(facts.VENUE, timeout_s)
        order_id = ref.venue_order_id
        if order_id is None:
            queried = await self.query(ref, timeout_s=time_left.seconds)
            match queried:
                case Found(order):
                    order_id = order.venue_order_id
                case NotFoundNow():
                    return NotOpen("no such order is visible")
                case _:
                    return queried
        body = _encode({"order_ids": [order_id]})
        call = Call("POST", facts.CANCEL_PATH, body=body, content_type=JSON)
        try:
            answer = await self._read(call, time_left.seconds)
        except VenueError as error:
            return unknown(error)
        return answers.cancel_outcome(answer, order_id)

    async def open_orders(self, symbol: Symbol, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *List Orders* with the status OPEN, page by page."""
        return await self._orders(symbol, {"order_status": "OPEN"}, TimeLeft(facts.VENUE, timeout_s))

    async def orders_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *List Orders* from a start date, page by page."""
        return await self._orders(symbol, _since(since_ms), TimeLeft(facts.VENUE, timeout_s))

    async def fills(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *List Fills* of the order, page by page."""
        time_left = TimeLeft(facts.VENUE, timeout_s)
        return await self._fills(symbol, {"order_ids": venue_order_id}, time_left)

    async def fills_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *List Fills* from a moment, page by page."""
        return await self._fills(symbol, _fills_since(symbol, since_ms), TimeLeft(facts.VENUE, timeout_s))

    async def histories(
        self, symbols: Sequence[Symbol], since_ms: int, patience: Patience
    ) -> Mapping[Symbol, History | VenueError]:
        """Ask as `orders_since` and `fills_since`, for each symbol, as each has a cursor of its own."""

        async def read(symbol: Symbol) -> History:
            listed = await self._orders(symbol, _since(since_ms), patience)
            return History(listed, await self._fills(symbol, _fills_since(symbol, since_ms), patience))

        return await one_by_one(symbols, read)

    async def balances(self, *, timeout_s: float) -> Mapping[str, Balance]:
        """Ask *List Accounts*, page by page."""
        balances: Mapping[str, Balance] = {}
        params, time_left = {"limit": facts.LIST_PAGE}, TimeLeft(facts.VENUE, timeout_s)
        async for page in self._pages(facts.ACCOUNTS_PATH, params, orders.parse_balances, time_left):
            balances = orders.merged(balances, page)
        return balances

    async def account_fees(self, symbol: Symbol, *, timeout_s: float) -> AccountFees:
        """Ask *Get Transaction Summary* of spot products."""
        call = Call("GET", facts.FEES_PATH, query=form({"product_type": facts.SPOT}))
        return orders.parse_account_fees((await self._read(call, timeout_s)).body, symbol)

    async def _look_for(self, ref: OrderRef, timeout_s: float) -> QueryOutcome:
        since = _since(ref.sent_at_ms - facts.HISTORY_MARGIN_MS)
        async for page in self._order_pages(ref.symbol, since, TimeLeft(facts.VENUE, timeout_s)):
            for order in page:
                if order.client_order_id == ref.client_order_id:
                    return found(ref, order)
        return NotFoundNow()

    async def _orders(
        self, symbol: Symbol, params: Mapping[str, str | int], patience: Patience
    ) -> Sequence[VenueOrder]:
        pages = self._order_pages(symbol, params, patience)
        return [order async for page in pages for order in page]

    def _order_pages(
        self, symbol: Symbol, params: Mapping[str, str | int], patience: Patience
    ) -> AsyncIterator[Sequence[VenueOrder]]:
        wanted = {"product_ids": symbols.venue_symbol(symbol), **params, "limit": facts.LIST_PAGE}
        return self._pages(
            facts.ORDER_LIST_PATH, wanted, lambda body: orders.parse_orders(body, symbol), patience
        )

    async def _fills(
        self, symbol: Symbol, params: Mapping[str, str | int], patience: Patience
    ) -> Sequence[Fill]:
        pages = self._pages(
            facts.FILLS_PATH,
            {**params, "limit": facts.FILLS_PAGE},
            lambda body: orders.parse_fills(body, symbol),
            patience,
        )
        return [fill async for page in pages for fill in page]

    async def _pages(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[bytes], tuple[T, str]],
        patience: Patience,
    ) -> AsyncIterator[T]:
        """Read a list to its end, or fail: half a list proves nothing. What bounds it is the time given."""
        cursor = ""
        while True:
            query = form({**params, "cursor": cursor} if cursor else params)
            answer = await patience.ask(partial(self._read, Call("GET", path, query=query)))
            page, next_cursor = parse(answer.body)
            yield page
            if not next_cursor:
                return
            if next_cursor == cursor:
                if path == facts.FILLS_PATH:
                    return  # whose last page has a cursor, too
                raise wire.malformed(facts.VENUE, "a list that goes on with the same page")
            cursor = next_cursor

    async def _read(self, call: Call, timeout_s: float) -> Answer:
        answer = await self._ask(call, timeout_s)
        error = failure(answer)
        if error is not None:
            raise error
        return answer

    async def _ask(self, call: Call, timeout_s: float) -> Answer:
        time_left = TimeLeft(facts.VENUE, timeout_s)

        async def ask(credentials: Credentials) -> Answer:
            now_ms = self._clock.now_ms()
            window = SendWindow(now_ms, now_ms + facts.TOKEN_LIFE_MS)
            signed_call = self._keys.sign(lambda: signed(call, credentials, window, self._new_nonce()))
            if call.method == "GET":
                return await self._http.ask(signed_call, timeout_s=time_left.seconds)
            return await self._http.send_once(signed_call, timeout_s=time_left.seconds)

        async with time_left.bounds():
            return await self._keys.ask(KeyUse.READ if call.method == "GET" else KeyUse.TRADE, ask)


def _since(since_ms: int) -> dict[str, str | int]:
    return {"start_date": _rfc3339(since_ms)}


def _fills_since(symbol: Symbol, since_ms: int) -> dict[str, str | int]:
    return {
        "product_ids": symbols.venue_symbol(symbol),
        "start_sequence_timestamp": _rfc3339(since_ms),
    }


def _rfc3339(at_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
