"""Where an order meets the venues: what the account has there, sending, and asking what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.domain.market import Exclusion, VenueMarket, Why
from sor_core.domain.order import Order, Side
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    Found,
    FrozenRequest,
    NotFoundNow,
    OrderState,
    Placement,
    PlaceOutcome,
    Refusal,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    VenueOrder,
)
from sor_core.execution.dues import Ceiling, Counter
from sor_core.execution.evidence import judge
from sor_core.execution.protocol import Intention, NotSeen, NoWord, Observation, Seen, fence_at
from sor_core.execution.record import (
    Absence,
    Attempt,
    AttemptState,
    OrderRecord,
    PlannedLeg,
    client_order_id,
)
from sor_core.health.breaker import Evidence
from sor_core.health.measure import why_not_traded
from sor_core.metrics import EXECUTION_LATENCY_SECONDS, VISIBILITY_LAG_SECONDS
from sor_core.ports import (
    CachedMarket,
    OrderLedger,
    ServerTime,
    StateError,
    StateStore,
    VenueMarketData,
    VenueTrading,
)
from sor_core.services.context import Context
from sor_core.services.gather import Gatherer

PLACE_TIMEOUT_S = 8.0
"""How long an answer to an order is waited for; Binance may take 10 s, most take a tenth of one."""
SEND_WITHIN_MS = 900
"""How long after it is written down an attempt may still be sent. Shorter than every venue's window."""
ASK_TIMEOUT_S = 4.0
STATE_TIMEOUT_S = 1.0
FEES_LIFE_MS = 3_600_000
"""How long an account's fees are believed; tiers move once a day at most."""
ORDERS_MARGIN_MS = 3_600_000
FILLS_MARGIN_MS = 10_000
"""How long before an attempt its venue's lists are read from. That of orders begins long before that
of fills: a fill whose order is not listed proves nothing."""
_UNSENT = frozenset({RejectReason.NOT_SENT, RejectReason.HELD_BACK})
WATCH_S = 1.0
"""How long an answer may wait for the visibility of its orders to be measured."""
_VISIBILITY_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)


class VenueTime(Protocol):
    """A venue's clock as we see it."""

    def now_ms(self) -> int:
        """Unix milliseconds by the venue's clock."""
        ...

    def set_by(self, told: ServerTime) -> None:
        """Take over what the venue told."""
        ...


@dataclass(frozen=True, slots=True)
class Counterparty:
    """One venue's trading side."""

    trading: VenueTrading
    public: VenueMarketData
    """Over the same connections: asking the time warms them."""
    time: VenueTime


@dataclass(frozen=True, slots=True)
class View:
    """The market and the account, as fresh as can be, for one decision."""

    markets: tuple[VenueMarket, ...]
    """With the account's own fees and funds."""
    failures: tuple[Exclusion, ...]
    ceilings: Mapping[Counter, Ceiling]
    """What holds may come to at each venue."""

    def market(self, venue: str) -> VenueMarket:
        """The market of a venue that answered."""
        return next(m for m in self.markets if m.venue == venue)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Trading rules by venue."""
        return {m.venue: m.instrument for m in self.markets}


@dataclass(frozen=True, slots=True)
class _Account:
    fees: FeeRates
    free: Decimal


class Desk:
    """All venues' trading sides, for whoever executes."""

    def __init__(
        self,
        counterparties: Mapping[str, Counterparty],
        gatherer: Gatherer,
        ledger: OrderLedger,
        store: StateStore,
        context: Context,
    ) -> None:
        self._venues = counterparties
        self._gatherer = gatherer
        self._ledger = ledger
        self._store = store
        self._clock = context.clock
        self._sleep = context.sleep
        self._settings = context.settings
        self._log = context.log
        self._metrics = context.metrics
        self._calls = gatherer.calls
        self._fees: dict[tuple[str, Symbol], tuple[AccountFees, int]] = {}

    # Before an order ------------------------------------------------------------------------------

    async def view(self, order: Order, venues: Sequence[str]) -> View:
        """Ask all venues for books, the account's fees and balances, and their time, at once.

        What other orders have claimed is read before the balances: a balance that was read later
        cannot count money that had been given back in between (`dues.Ceiling.given_back`). Raises
        `LedgerError`.
        """
        asset = order.symbol.quote if order.side is Side.BUY else order.symbol.base
        counters = {v: Counter("hold", v, asset) for v in venues}
        tallies = await self._ledger.tallies(list(counters.values()))
        cached = await self._cached(order.symbol, venues)
        barred = self._not_traded(venues, cached)
        venues = [v for v in venues if v not in barred]
        gathered, accounts = await asyncio.gather(
            self._gatherer.gather(order.symbol, venues, cached, fresh=True),
            asyncio.gather(*(self._account(v, order, asset) for v in venues)),
        )
        await self._gatherer.flush()
        known = dict(zip(venues, accounts, strict=True))
        markets, ceilings, failures = [], {}, [*gathered.failures, *barred.values()]
        for market in gathered.markets:
            account = known[market.venue]
            if isinstance(account, Exclusion):
                failures.append(account)
                continue
            counter = counters[market.venue]
            tally = tallies[counter]
            funds = max(Decimal(0), account.free - tally.amount)
            markets.append(replace(market, fees=account.fees, funds=funds))
            ceilings[counter] = Ceiling(account.free, tally.given_back)
        return View(tuple(markets), tuple(failures), ceilings)

    def _not_traded(self, venues: Sequence[str], cached: CachedMarket | None) -> Mapping[str, Exclusion]:
        """Venues whose trading breaker is open."""
        known, now_ms = {} if cached is None else cached.health, self._clock.now_ms()
        whys = {v: why_not_traded(known.get(v), now_ms) for v in venues}
        return {v: Exclusion(v, Why.UNHEALTHY, why) for v, why in whys.items() if why is not None}

    async def tell_health(self) -> None:
        """Write what was met with at the venues to their health, if it is time; bounded in time."""
        await self._calls.flush()

    async def _cached(self, symbol: Symbol, venues: Sequence[str]) -> CachedMarket | None:
        try:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                return await self._store.load_market(symbol, venues, None)
        except (StateError, TimeoutError) as error:
            self._log.warning("state store unavailable", operation="load", error=str(error))
            return None

    async def _account(self, venue: str, order: Order, asset: str) -> _Account | Exclusion:
        party, timeout_s = self._venues[venue], self._settings.policy.max_latency_ms / 1000
        balance = self._calls.timed(
            venue, Evidence.ACCOUNT, party.trading.balances(timeout_s=timeout_s), given_s=timeout_s
        )
        try:
            async with asyncio.timeout(timeout_s):
                balances, fees, _ = await asyncio.gather(
                    balance,
                    self._account_fees(venue, order, timeout_s),
                    self.tell_time(venue, timeout_s),
                )
        except TimeoutError:
            return Exclusion(venue, "timeout", "the account did not answer in time")
        except VenueError as error:
            return Exclusion(venue, error.failure, f"the account: {error.detail}")
        return _Account(fees, balances.get(asset, Balance(Decimal(0), Decimal(0))).free)

    async def _account_fees(self, venue: str, order: Order, timeout_s: float) -> FeeRates:
        if venue in self._settings.taker_fees_bps:
            return self._gatherer.fees(venue)  # the operator's own word
        key, now_ms = (venue, order.symbol), self._clock.now_ms()
        fees, until_ms = self._fees.get(key, (None, 0))
        if fees is None or until_ms <= now_ms:
            fees = await self._venues[venue].trading.account_fees(order.symbol, timeout_s=timeout_s)
            self._fees[key] = (fees, now_ms + FEES_LIFE_MS)
        return fees.rates(order.side)

    async def tell_time(self, venue: str, timeout_s: float) -> ServerTime:
        """Ask a venue's time and set its clock here by it; raises `VenueError`."""
        self._trading(venue)
        party = self._venues[venue]
        told = await party.public.server_time(timeout_s=timeout_s)
        party.time.set_by(told)
        return told

    def intentions(
        self, order_id: str, order: Order, legs: Sequence[PlannedLeg], view: View, first_number: int
    ) -> tuple[list[Intention], list[tuple[PlannedLeg, Refusal]]]:
        """Write the exact requests of legs, and say which do not fit their venue's rules."""
        made: list[Intention] = []
        refused: list[tuple[PlannedLeg, Refusal]] = []
        for leg in legs:
            party, market = self._venues[leg.venue], view.market(leg.venue)
            placement = Placement(
                leg.venue,
                order.symbol,
                order.side,
                leg.kind,
                client_order_id(order_id, first_number + len(made)),
                leg.size,
                leg.limit_price,
            )
            now_ms = party.time.now_ms()
            request = party.trading.prepare(placement, market.instrument, venue_now_ms=now_ms)
            if isinstance(request, Refusal):
                refused.append((leg, request))
                continue
            trading = party.trading
            made.append(
                Intention(request, market.fees.taker_fee_bps, trading.fence, trading.place_is_idempotent)
            )
        return made, refused

    async def check(self, request: FrozenRequest) -> CheckOutcome:
        """Have a venue validate a request."""
        venue = request.placement.venue
        question = self._venues[venue].trading.check(request, timeout_s=ASK_TIMEOUT_S)
        return await self._calls.timed(venue, Evidence.ACCOUNT, question)

    # An order at its venues -----------------------------------------------------------------------

    async def send(self, attempts: Sequence[Attempt], of: OrderRecord) -> list[PlaceOutcome]:
        """Send attempts of an order, all at once, each once."""
        return list(await asyncio.gather(*(self._send(a, of) for a in attempts)))

    async def _send(self, attempt: Attempt, of: OrderRecord) -> PlaceOutcome:
        started_ms = self._clock.now_ms()
        sending = self._venues[attempt.venue].trading.place(
            attempt.request, not_after_ms=attempt.not_after_ms, timeout_s=PLACE_TIMEOUT_S
        )
        outcome = await self._calls.timed(attempt.venue, Evidence.ORDER, sending)
        latency_ms = self._clock.now_ms() - started_ms
        if not (isinstance(outcome, Rejected) and outcome.reason in _UNSENT):
            self._metrics.observe(EXECUTION_LATENCY_SECONDS, latency_ms / 1000, attempt.venue)
        self._log.info(
            "attempt sent",
            order_id=of.order_id,
            correlation_id=of.correlation_id,
            venue=attempt.venue,
            client_order_id=attempt.request.placement.client_order_id,
            attempt=attempt.number,
            outcome=type(outcome).__name__.lower(),
            latency_ms=latency_ms,
        )
        return outcome

    async def replayable_ms(self, attempt: Attempt) -> int:
        """For how long a request may still be repeated, by the venue's own clock; 0 or less: no more."""
        try:
            told = await self.tell_time(attempt.venue, ASK_TIMEOUT_S)
        except VenueError as error:
            self._log.warning("not replayed", venue=attempt.venue, failure=error.failure)
            return 0
        return attempt.request.window.closes_at_ms - told.venue_time_ms

    async def replay(self, attempt: Attempt, within_ms: int) -> PlaceOutcome:
        """Send the same request again."""
        not_after_ms = self._clock.now_ms() + min(within_ms, SEND_WITHIN_MS)
        sending = self._venues[attempt.venue].trading.place(
            attempt.request, not_after_ms=not_after_ms, timeout_s=PLACE_TIMEOUT_S
        )
        return await self._calls.timed(attempt.venue, Evidence.ORDER, sending)

    async def look(self, attempts: Sequence[Attempt]) -> list[Observation]:
        """Ask the venues what came of attempts."""
        return list(await asyncio.gather(*(self._look(a) for a in attempts)))

    async def _look(self, attempt: Attempt) -> Observation:
        try:
            # The venue's time is told before the question is asked: the question is younger.
            venue_time_ms = 0
            if attempt.state is not AttemptState.LIVE:
                venue_time_ms = (await self.tell_time(attempt.venue, ASK_TIMEOUT_S)).venue_time_ms
            question = self._trading(attempt.venue).query(attempt.ref, timeout_s=ASK_TIMEOUT_S)
            found = await self._calls.timed(attempt.venue, Evidence.ACCOUNT, question)
            match found:
                case Found(order):
                    if attempt.order is not None and attempt.order.state is OrderState.PENDING:
                        self._tell_lag(attempt, self._clock.now_ms() - attempt.told_at_ms)
                    return Seen(await self._with_fills(attempt.venue, order))
                case Unknown():
                    return NoWord(f"{found.why}: {found.detail}")
                case NotFoundNow():
                    return await self._look_through_history(attempt, venue_time_ms)
        except VenueError as error:
            return NoWord(f"{error.failure}: {error.detail}")

    async def shown(self, attempt: Attempt) -> VenueOrder | None:
        """An order as its venue shows it, with its fills; None where neither query nor history does.

        Raises `VenueError` where the venue gives no clear answer.
        """
        seen = await self._look(replace(attempt, state=AttemptState.UNKNOWN, order=None))
        if isinstance(seen, NotSeen) and seen.absence.venue_time_ms < fence_at(attempt):
            raise VenueError(attempt.venue, VenueFailure.REFUSED, "too early to tell: it may still arrive")
        match seen:
            case Seen(order):
                return order
            case NotSeen():
                return None
            case NoWord(detail):
                raise VenueError(attempt.venue, VenueFailure.REFUSED, detail)

    async def _look_through_history(self, attempt: Attempt, venue_time_ms: int) -> Observation:
        if attempt.state is AttemptState.LIVE:
            return NoWord("the venue shows it no more, or not yet")
        if venue_time_ms < fence_at(attempt):
            return NotSeen(Absence(venue_time_ms, witnessed=False))  # too early to count
        trading, symbol = self._trading(attempt.venue), attempt.request.placement.symbol
        opened_at_ms = attempt.request.window.opens_at_ms
        orders = await trading.orders_since(symbol, opened_at_ms - ORDERS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        fills = await trading.fills_since(symbol, opened_at_ms - FILLS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        return judge(attempt, venue_time_ms, orders, fills)

    async def _with_fills(self, venue: str, order: VenueOrder) -> VenueOrder:
        """Add the fills of an order that has ended, where they are not told yet; raises `VenueError`."""
        if not order.state.is_final or not order.filled_size or order.fills_complete:
            return order
        fills = await self._trading(venue).fills(order.symbol, order.venue_order_id, timeout_s=ASK_TIMEOUT_S)
        return replace(order, fills=tuple(fills))

    async def cancel(self, attempts: Sequence[Attempt]) -> list[CancelOutcome]:
        """Cancel what rests."""
        return list(await asyncio.gather(*(self._cancel(a) for a in attempts)))

    async def _cancel(self, attempt: Attempt) -> CancelOutcome:
        try:
            request = self._trading(attempt.venue).cancel(attempt.ref, timeout_s=ASK_TIMEOUT_S)
        except VenueError as error:
            return Unknown(UnknownWhy.REFUSED, error.detail)
        return await self._calls.timed(attempt.venue, Evidence.ACCOUNT, request)

    def _trading(self, venue: str) -> VenueTrading:
        """The trading side of a venue; raises `VenueError` for one that is configured no more."""
        party = self._venues.get(venue)
        if party is None:
            raise VenueError(venue, VenueFailure.REFUSED, "SOR_VENUES does not name it any more")
        return party.trading

    async def watch_visibility(self, attempts: Sequence[Attempt], placed_at_ms: int) -> None:
        """Measure how long orders take to show in the venue's query that its answer told of in full.

        What the visibility bound of `domain.trading.Fence` is held against; it is told as a warning
        from half of the bound. Of other orders the question that follows measures it. What the
        attempts say of the venues' health is written meanwhile.
        """
        try:
            async with asyncio.timeout(WATCH_S):
                await asyncio.gather(self.tell_health(), *(self._watch(a, placed_at_ms) for a in attempts))
        except TimeoutError:
            self._log.info("visibility not measured", venues=[a.venue for a in attempts])

    async def _watch(self, attempt: Attempt, placed_at_ms: int) -> None:
        ref = replace(attempt.ref, venue_order_id=None)
        trading = self._trading(attempt.venue)
        found = await trading.query(ref, timeout_s=WATCH_S)
        for pause_s in _VISIBILITY_PAUSES_S:
            if not isinstance(found, NotFoundNow):
                break
            await self._sleep(pause_s)
            found = await trading.query(ref, timeout_s=WATCH_S)
        if not isinstance(found, Unknown):
            self._tell_lag(attempt, self._clock.now_ms() - placed_at_ms)

    def _tell_lag(self, attempt: Attempt, lag_ms: int) -> None:
        self._metrics.observe(VISIBILITY_LAG_SECONDS, lag_ms / 1000, attempt.venue)
        tell = self._log.warning if lag_ms * 2 > attempt.fence.visible_ms else self._log.info
        tell("visibility lag", venue=attempt.venue, lag_ms=lag_ms, bound_ms=attempt.fence.visible_ms)
