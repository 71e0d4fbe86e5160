"""Kraken's private side. Pages named here are of the "Spot REST API" documentation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sor_core.adapters.http import Answer, NotSentError, VenueHttp
from sor_core.adapters.venues.budget import Params
from sor_core.adapters.venues.calls import FORM, Call, failed, form, found, order_call, placed, unknown
from sor_core.adapters.venues.histories import one_by_one
from sor_core.adapters.venues.keys import Keys, TimeLeft
from sor_core.adapters.venues.kraken import answers, facts, lists, orders, symbols
from sor_core.adapters.venues.kraken.signing import signed
from sor_core.clock import Clock
from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.credentials import Credentials, KeyUse
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.fitting import fit
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.domain.money import plain
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    Fence,
    Fill,
    FrozenRequest,
    NotFoundNow,
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
from sor_core.ports import StateError
from sor_core.ports_trading import CredentialsSource, History, Nonces, Patience

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_IN_FORCE = {
    OrderKind.LIMIT_IOC: "IOC",
    OrderKind.LIMIT_FOK: "FOK",
    OrderKind.LIMIT_GTC: "GTC",
    OrderKind.POST_ONLY: "GTC",
}
_LOOK_FOR_TURN_EVERY_S = 0.02
_END_TURN_S = 0.5
TURN_MARGIN_MS = 500
"""How much longer than its request may take a turn is taken for, should its holder die."""


def build_place(placement: Placement, window: SendWindow) -> FrozenRequest:
    """Write *Add Order* for a placement that fits the pair's rules; its nonce comes when it is signed."""
    flags = [facts.FEE_IN_QUOTE]
    if placement.kind is OrderKind.POST_ONLY:
        flags.append(facts.POST_FLAG)
    params: dict[str, str | int] = {
        "ordertype": "market" if placement.limit_price is None else "limit",
        "type": placement.side,
        "pair": symbols.venue_symbol(placement.symbol),
    }
    if placement.size is not None:
        params["volume"] = plain(placement.size)
    if placement.limit_price is not None:
        params |= {"price": plain(placement.limit_price), "timeinforce": _TIME_IN_FORCE[placement.kind]}
    params |= {
        "oflags": ",".join(flags),
        "stptype": facts.SELF_TRADE_PREVENTION,
        "cl_ord_id": placement.client_order_id,
        "deadline": _rfc3339(window.closes_at_ms),
    }
    return FrozenRequest(placement, "POST", facts.ADD_ORDER_PATH, FORM, form(params).encode(), window)


def check_call(request: FrozenRequest) -> Call:
    """Write *Add Order* that validates only: nothing is placed with this flag."""
    call = order_call(request, pair=symbols.venue_symbol(request.placement.symbol))
    return replace(call, body=call.body + f"&{facts.VALIDATE_ONLY}=true".encode())


def place_outcome(placement: Placement, answer: Answer) -> PlaceOutcome:
    """Read the answer to *Add Order*."""
    read = answers.read_place(answer, placement)
    return placed(placement, read) if isinstance(read, VenueOrder) else read


class KrakenTrading:
    """Trades on Kraken (implements `ports_trading.VenueTrading`).

    Parameters
    ----------
    http
        Over the order client.
    credentials
        Where the keys are.
    nonces
        Shared by all that use the keys.
    new_owner
        Gives random texts, each once: who has a turn.
    clock
        Ours.
    """

    def __init__(
        self,
        http: VenueHttp,
        credentials: CredentialsSource,
        nonces: Nonces,
        new_owner: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._http = http
        self._keys = Keys(credentials, facts.VENUE, answers.is_auth_refusal)
        self._nonces = nonces
        self._new_owner = new_owner
        self._clock = clock
        self._told: dict[str, dict[str, Fill]] = {}

    @property
    def venue(self) -> str:
        """``kraken``."""
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
        """Ask *Add Order* to validate, in turn as an order: balances and the book are not looked at."""
        try:
            answer = await self._exchange(check_call(request), TimeLeft(facts.VENUE, timeout_s), KeyUse.TRADE)
        except VenueError as error:
            return failed(error)
        return answers.read_check(answer, request.placement)

    def prepare(
        self, placement: Placement, instrument: Instrument, *, venue_now_ms: int
    ) -> FrozenRequest | Refusal:
        fitted = fit(placement, instrument)
        if isinstance(fitted, Refusal):
            return fitted
        if fitted.quote_size is not None:
            # In which asset Kraken then tells vol and vol_exec is told two ways.
            return Refusal(RejectReason.INVALID_REQUEST, "market orders are by size here")
        return build_place(fitted, SendWindow(venue_now_ms, venue_now_ms + facts.WINDOW_MS))

    async def place(self, request: FrozenRequest, *, not_after_ms: int, timeout_s: float) -> PlaceOutcome:
        call = order_call(request, pair=symbols.venue_symbol(request.placement.symbol))
        time_left = TimeLeft(facts.VENUE, timeout_s)
        try:
            async with time_left.bounds(NotSentError):
                credentials = await self._keys.get(KeyUse.TRADE)
            async with self._turn(credentials, time_left, not_after_ms) as nonce:
                signed_call = self._keys.sign(lambda: signed(call, credentials, nonce))
                answer = await self._http.send_once(
                    signed_call, timeout_s=time_left.seconds, not_after_ms=not_after_ms
                )
        except VenueError as error:
            return failed(error)
        self._keys.heed(credentials, answer)
        return place_outcome(request.placement, answer)

    async def query(self, ref: OrderRef, *, timeout_s: float) -> QueryOutcome:
        """Ask *Query Orders Info*; by client order id *Get Open Orders*, then *Get Closed Orders*."""
        time_left = TimeLeft(facts.VENUE, timeout_s)
        try:
            if ref.venue_order_id is None:
                return await self._look_for(ref, time_left)
            queried = await self._queried(ref.symbol, ref.venue_order_id, time_left)
        except VenueError as error:
            return unknown(error)
        return NotFoundNow() if queried is None else found(ref, queried[0])

    async def order(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> VenueOrder | None:
        """Ask *Query Orders Info*."""
        queried = await self._queried(symbol, venue_order_id, TimeLeft(facts.VENUE, timeout_s))
        return None if queried is None else queried[0]

    async def cancel(self, ref: OrderRef, *, timeout_s: float) -> CancelOutcome:
        """Ask *Cancel Order*, by Kraken's id or the client order id."""
        named = {"cl_ord_id": ref.client_order_id}
        if ref.venue_order_id is not None:
            named = {"txid": ref.venue_order_id}
        # By our clock, not Kraken's: a second more or less does not matter to the model.
        age_ms = self._clock.now_ms() - ref.sent_at_ms
        counted_by: Params = {"pair": symbols.venue_symbol(ref.symbol), "age_ms": age_ms}
        time_left = TimeLeft(facts.VENUE, timeout_s)
        try:
            answer = await self._ask(
                facts.CANCEL_ORDER_PATH, named, time_left, use=KeyUse.TRADE, counted_by=counted_by
            )
        except VenueError as error:
            return unknown(error)
        return answers.cancel_outcome(answer)

    async def open_orders(self, symbol: Symbol, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *Get Open Orders*, which lists those of all pairs."""
        answer = await self._ask(facts.OPEN_ORDERS_PATH, {}, TimeLeft(facts.VENUE, timeout_s))
        return orders.parse_open_orders(answer, symbol)

    async def orders_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[VenueOrder]:
        """Ask *Get Open Orders*, then *Get Closed Orders* page by page: what ends meanwhile is in both."""
        listed = await lists.order_lists(self._page, since_ms, TimeLeft(facts.VENUE, timeout_s))
        return listed.of(symbol)

    async def fills(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *Query Orders Info* for the ids of the order's trades, then *Query Trades Info*.

        What was told before a list broke off is kept: 20 trades cost 2 of the 15 that the lowest tier
        has, so that one of more than 80 or so is read in several looks, or never.
        """
        time_left = TimeLeft(facts.VENUE, timeout_s)
        queried = await self._queried(symbol, venue_order_id, time_left)
        if queried is None:
            raise VenueError(facts.VENUE, VenueFailure.REFUSED, "no such order is visible")
        order, trade_ids = queried
        told = self._told.setdefault(venue_order_id, {})
        missing = [trade_id for trade_id in trade_ids if trade_id not in told]
        for start in range(0, len(missing), facts.MOST_IDS):
            params = {"txid": ",".join(missing[start : start + facts.MOST_IDS])}
            answer = await self._ask(facts.QUERY_TRADES_PATH, params, time_left)
            listed = orders.parse_queried_trades(answer, order, orders.fee_asset(order))
            told.update((fill.fill_id, fill) for fill in listed)
        self._told.pop(venue_order_id, None)
        return [told[trade_id] for trade_id in trade_ids if trade_id in told]

    async def fills_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[Fill]:
        """Ask *Get Trades History*, page by page."""
        listed = await lists.trade_lists(self._page, since_ms, TimeLeft(facts.VENUE, timeout_s))
        return listed.of(symbol)

    async def histories(
        self, symbols: Sequence[Symbol], since_ms: int, patience: Patience
    ) -> Mapping[Symbol, History | VenueError]:
        """Ask as `orders_since` and `fills_since`, once for all pairs."""
        try:
            listed_orders = await lists.order_lists(self._page, since_ms, patience)
            listed_trades = await lists.trade_lists(self._page, since_ms, patience)
        except VenueError as error:
            return dict.fromkeys(symbols, error)

        async def read(symbol: Symbol) -> History:
            return History(listed_orders.of(symbol), listed_trades.of(symbol))

        return await one_by_one(symbols, read)

    async def balances(self, *, timeout_s: float) -> Mapping[str, Balance]:
        """Ask *Get Extended Balance*."""
        return orders.parse_balances(
            await self._ask(facts.BALANCE_PATH, {}, TimeLeft(facts.VENUE, timeout_s))
        )

    async def account_fees(self, symbol: Symbol, *, timeout_s: float) -> AccountFees:
        """Ask *Get Trade Volume* of the pair."""
        params = {"pair": symbols.venue_symbol(symbol)}
        answer = await self._ask(facts.FEES_PATH, params, TimeLeft(facts.VENUE, timeout_s))
        return orders.parse_account_fees(answer, symbol)

    async def _queried(
        self, symbol: Symbol, order_id: str, time_left: TimeLeft
    ) -> tuple[VenueOrder, list[str]] | None:
        answer = await self._ask(facts.QUERY_ORDERS_PATH, {"txid": order_id, "trades": "true"}, time_left)
        if answers.is_unknown_order(answer):
            return None
        return orders.parse_queried_order(answer, symbol, order_id)

    async def _look_for(self, ref: OrderRef, time_left: TimeLeft) -> QueryOutcome:
        """Look among the open orders first: what ends between the two questions is then in the second."""
        named = {"cl_ord_id": ref.client_order_id}
        answer = await self._ask(facts.OPEN_ORDERS_PATH, named, time_left)
        for order in orders.parse_open_orders(answer, ref.symbol, ref.client_order_id):
            if order.client_order_id == ref.client_order_id:
                return found(ref, order)
        start = (ref.sent_at_ms - facts.HISTORY_MARGIN_MS) // 1000
        async for page in lists.closed_orders(self._page, {**named, "start": start}, time_left):
            for order in orders.parse_closed_orders(page, ref.symbol, ref.client_order_id)[0]:
                if order.client_order_id == ref.client_order_id:
                    return found(ref, order)
        return NotFoundNow()

    async def _page(self, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        return await self._ask(path, params, TimeLeft(facts.VENUE, timeout_s))

    async def _ask(
        self,
        path: str,
        params: Mapping[str, str | int],
        time_left: TimeLeft,
        *,
        use: KeyUse = KeyUse.READ,
        counted_by: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Ask a question, or cancel."""
        call = Call(
            "POST",
            path,
            body=form(params).encode(),
            content_type=FORM,
            counted_by=params if counted_by is None else counted_by,
        )
        return await self._exchange(call, time_left, use)

    async def _exchange(self, call: Call, time_left: TimeLeft, use: KeyUse) -> Answer:
        """Ask what may be asked again where another's nonce was faster: never an order."""

        async def ask(credentials: Credentials) -> Answer:
            async with self._nonce(credentials, time_left) as nonce:
                signed_call = self._keys.sign(lambda: signed(call, credentials, nonce))
                return await self._http.send_once(signed_call, timeout_s=time_left.seconds)

        async with time_left.bounds():
            for _ in range(facts.NONCE_TRIES - 1):
                answer = await self._keys.ask(use, ask)
                if not answers.is_invalid_nonce(answer):
                    return answer
            return await self._keys.ask(use, ask)

    @asynccontextmanager
    async def _nonce(self, credentials: Credentials, time_left: TimeLeft) -> AsyncIterator[int]:
        """Give a nonce; with a turn if the key is one that trades, whose orders must not be overtaken."""
        if credentials.use is KeyUse.TRADE:
            async with self._turn(credentials, time_left) as nonce:
                yield nonce
            return
        try:
            nonce = await self._nonces.next(credentials.key_id)
        except StateError as error:
            raise _without_nonce(error) from error
        yield nonce

    @asynccontextmanager
    async def _turn(
        self, credentials: Credentials, time_left: TimeLeft, not_after_ms: int | None = None
    ) -> AsyncIterator[int]:
        """Wait for the key's turn and take it with a nonce; raises `NotSentError` if it does not come.

        A higher nonce that arrives first makes Kraken refuse a lower one: two requests of one key on
        their way at once can overtake each other, whoever counts. An order does not wait past the
        moment `not_after_ms` (our clock) from which it may not leave: it may go elsewhere.
        """
        owner, key_id = self._new_owner(), credentials.key_id
        try:
            async with time_left.bounds(NotSentError):
                while True:
                    for_ms = round(time_left.seconds * 1000) + TURN_MARGIN_MS
                    nonce = await self._nonces.take_turn(key_id, owner, for_ms=for_ms)
                    if nonce is not None:
                        break
                    # Between two looks, never in one: a turn taken by a look cut short has no owner.
                    if not_after_ms is not None and self._clock.now_ms() >= not_after_ms:
                        raise NotSentError(facts.VENUE, VenueFailure.TIMEOUT, "another has the key's turn")
                    await asyncio.sleep(_LOOK_FOR_TURN_EVERY_S)
        except StateError as error:
            raise _without_nonce(error) from error
        try:
            yield nonce
        finally:
            # Where this fails, or takes too long, the turn ends by itself.
            with suppress(StateError, TimeoutError):
                async with asyncio.timeout(_END_TURN_S):
                    await self._nonces.end_turn(key_id, owner)


def _without_nonce(error: StateError) -> NotSentError:
    return NotSentError(facts.VENUE, VenueFailure.REFUSED, f"no nonce: {error}")


def _rfc3339(at_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
