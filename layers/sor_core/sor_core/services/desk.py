"""Where an order meets the venues: what the account has there, sending, and asking what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.domain.market import Exclusion, VenueMarket, Why
from sor_core.domain.order import Order, Side
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    FrozenRequest,
    Placement,
    PlaceOutcome,
    Refusal,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
)
from sor_core.execution.dues import Ceiling, Counter
from sor_core.execution.protocol import Intention
from sor_core.execution.record import (
    Attempt,
    OrderRecord,
    PlannedLeg,
    client_order_id,
)
from sor_core.health.breaker import Evidence
from sor_core.health.measure import why_not_traded
from sor_core.health.outcomes import verdict_on_outcome
from sor_core.metrics import EXECUTION_LATENCY_SECONDS
from sor_core.ports import CachedMarket, StateError, StateStore
from sor_core.ports_trading import OrderLedger
from sor_core.services.context import Context
from sor_core.services.counterparties import Counterparties
from sor_core.services.gather import Gatherer
from sor_core.services.lookout import ASK_TIMEOUT_S, Lookout

PLACE_TIMEOUT_S = 8.0
"""How long an answer to an order is waited for; Binance may take 10 s, most take a tenth of one."""
SEND_WITHIN_MS = 900
"""How long after it is written down an attempt may still be sent. Shorter than every venue's window."""
STATE_TIMEOUT_S = 1.0
FEES_LIFE_MS = 3_600_000
"""How long an account's fees are believed; tiers move once a day at most."""
_UNSENT = frozenset({RejectReason.NOT_SENT, RejectReason.HELD_BACK})


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
        venues: Counterparties,
        gatherer: Gatherer,
        ledger: OrderLedger,
        store: StateStore,
        context: Context,
    ) -> None:
        self._venues = venues
        self.lookout = Lookout(venues, gatherer.calls, context)
        self._gatherer = gatherer
        self._ledger = ledger
        self._store = store
        self._clock = context.clock
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
                    self._venues.tell_time(venue, timeout_s),
                )
        except TimeoutError:
            return Exclusion(venue, "timeout", "the account did not answer in time")
        except VenueError as error:
            return Exclusion(venue, error.failure, f"the account: {error.detail}")
        return _Account(fees, balances.get(asset, Balance(Decimal(0), Decimal(0))).free)

    async def _account_fees(self, venue: str, order: Order, timeout_s: float) -> FeeRates:
        key, now_ms = (venue, order.symbol), self._clock.now_ms()
        fees, until_ms = self._fees.get(key, (None, 0))
        if fees is None or until_ms <= now_ms:
            fees = await self._venues[venue].trading.account_fees(order.symbol, timeout_s=timeout_s)
            self._fees[key] = (fees, now_ms + FEES_LIFE_MS)
        return fees.rates(order.side)

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
        return await self._calls.timed(venue, Evidence.ACCOUNT, question, judge=verdict_on_outcome)

    # An order at its venues -----------------------------------------------------------------------

    async def send(self, attempts: Sequence[Attempt], of: OrderRecord) -> list[PlaceOutcome]:
        """Send attempts of an order, all at once, each once."""
        return list(await asyncio.gather(*(self._send(a, of) for a in attempts)))

    async def _send(self, attempt: Attempt, of: OrderRecord) -> PlaceOutcome:
        started_ms = self._clock.now_ms()
        sending = self._venues[attempt.venue].trading.place(
            attempt.request, not_after_ms=attempt.not_after_ms, timeout_s=PLACE_TIMEOUT_S
        )
        outcome = await self._calls.timed(attempt.venue, Evidence.ORDER, sending, judge=verdict_on_outcome)
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
            told = await self._venues.tell_time(attempt.venue, ASK_TIMEOUT_S)
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
        return await self._calls.timed(attempt.venue, Evidence.ORDER, sending, judge=verdict_on_outcome)

    async def cancel(self, attempts: Sequence[Attempt]) -> list[CancelOutcome]:
        """Cancel what rests."""
        return list(await asyncio.gather(*(self._cancel(a) for a in attempts)))

    async def _cancel(self, attempt: Attempt) -> CancelOutcome:
        try:
            request = self._venues[attempt.venue].trading.cancel(attempt.ref, timeout_s=ASK_TIMEOUT_S)
        except VenueError as error:
            return Unknown(UnknownWhy.REFUSED, error.detail)
        return await self._calls.timed(attempt.venue, Evidence.ACCOUNT, request, judge=verdict_on_outcome)
