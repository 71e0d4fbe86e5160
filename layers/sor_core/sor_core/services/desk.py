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
from sor_core.domain.market import Exclusion, VenueMarket
from sor_core.domain.order import Order, Side
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    Found,
    FrozenRequest,
    NotFoundNow,
    Placement,
    PlaceOutcome,
    Refusal,
    Unknown,
    VenueOrder,
)
from sor_core.execution.dues import Ceiling, Counter
from sor_core.execution.evidence import judge
from sor_core.execution.protocol import Intention, NotSeen, NoWord, Observation, Seen, fence_at
from sor_core.execution.record import Absence, Attempt, AttemptState, PlannedLeg, client_order_id
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
SEND_WITHIN_MS = 1500
"""How long after it is written down an attempt may still be sent. Shorter than every venue's window."""
ASK_TIMEOUT_S = 4.0
STATE_TIMEOUT_S = 1.0
FEES_LIFE_MS = 3_600_000
"""How long an account's fees are believed; tiers move once a day at most."""
ORDERS_MARGIN_MS = 3_600_000
FILLS_MARGIN_MS = 10_000
"""How long before an attempt its venue's lists are read from. That of orders begins long before that
of fills: a fill whose order is not listed proves nothing."""
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
        self._fees: dict[tuple[str, Symbol], tuple[AccountFees, int]] = {}

    # Before an order ------------------------------------------------------------------------------

    async def view(self, order: Order, venues: Sequence[str]) -> View:
        """Ask all venues for books, the account's fees and balances, and their time, at once.

        What other orders have claimed is read before the balances: a balance that was read later
        cannot count money that had been given back in between (`dues.Ceiling.releases`). Raises
        `LedgerError`.
        """
        asset = order.symbol.quote if order.side is Side.BUY else order.symbol.base
        counters = {v: Counter("hold", v, asset) for v in venues}
        tallies = await self._ledger.tallies(list(counters.values()))
        cached = await self._cached(order.symbol, venues)
        gathered, accounts = await asyncio.gather(
            self._gatherer.gather(order.symbol, venues, cached, fresh=True),
            asyncio.gather(*(self._account(v, order, asset) for v in venues)),
        )
        await self._gatherer.flush()
        known = dict(zip(venues, accounts, strict=True))
        markets, ceilings, failures = [], {}, list(gathered.failures)
        for market in gathered.markets:
            account = known[market.venue]
            if isinstance(account, Exclusion):
                failures.append(account)
                continue
            counter = counters[market.venue]
            tally = tallies[counter]
            funds = max(Decimal(0), account.free - tally.amount)
            markets.append(replace(market, fees=account.fees, funds=funds))
            ceilings[counter] = Ceiling(account.free, tally.releases)
        return View(tuple(markets), tuple(failures), ceilings)

    async def _cached(self, symbol: Symbol, venues: Sequence[str]) -> CachedMarket | None:
        try:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                return await self._store.load_market(symbol, venues, None)
        except (StateError, TimeoutError) as error:
            self._log.warning("state store unavailable", operation="load", error=str(error))
            return None

    async def _account(self, venue: str, order: Order, asset: str) -> _Account | Exclusion:
        party, timeout_s = self._venues[venue], self._settings.policy.max_latency_ms / 1000
        try:
            async with asyncio.timeout(timeout_s):
                balances, fees, _ = await asyncio.gather(
                    party.trading.balances(timeout_s=timeout_s),
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
        return await self._venues[request.placement.venue].trading.check(request, timeout_s=ASK_TIMEOUT_S)

    # An order at its venues -----------------------------------------------------------------------

    async def send(self, attempts: Sequence[Attempt]) -> list[PlaceOutcome]:
        """Send attempts, all at once, each once."""
        return list(await asyncio.gather(*(self._send(a) for a in attempts)))

    async def _send(self, attempt: Attempt) -> PlaceOutcome:
        started_ms = self._clock.now_ms()
        outcome = await self._venues[attempt.venue].trading.place(
            attempt.request, not_after_ms=attempt.not_after_ms, timeout_s=PLACE_TIMEOUT_S
        )
        self._log.info(
            "attempt sent",
            venue=attempt.venue,
            client_order_id=attempt.request.placement.client_order_id,
            attempt=attempt.number,
            outcome=type(outcome).__name__.lower(),
            latency_ms=self._clock.now_ms() - started_ms,
        )
        return outcome

    async def replay(self, attempt: Attempt) -> PlaceOutcome | None:
        """Send the same request again; None, and nothing sent, where the venue says its window has closed."""
        window = attempt.request.window
        try:
            told = await self.tell_time(attempt.venue, ASK_TIMEOUT_S)
        except VenueError as error:
            self._log.warning("not replayed", venue=attempt.venue, failure=error.failure)
            return None
        left_ms = window.closes_at_ms - told.venue_time_ms
        if left_ms <= 0:
            return None
        not_after_ms = self._clock.now_ms() + min(left_ms, SEND_WITHIN_MS)
        return await self._venues[attempt.venue].trading.place(
            attempt.request, not_after_ms=not_after_ms, timeout_s=PLACE_TIMEOUT_S
        )

    async def look(self, attempts: Sequence[Attempt]) -> list[Observation]:
        """Ask the venues what came of attempts."""
        return list(await asyncio.gather(*(self._look(a) for a in attempts)))

    async def _look(self, attempt: Attempt) -> Observation:
        try:
            # The venue's time is told before the question is asked: the question is younger.
            venue_time_ms = 0
            if attempt.state is not AttemptState.LIVE:
                venue_time_ms = (await self.tell_time(attempt.venue, ASK_TIMEOUT_S)).venue_time_ms
            found = await self._venues[attempt.venue].trading.query(attempt.ref, timeout_s=ASK_TIMEOUT_S)
            match found:
                case Found(order):
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
        trading, symbol = self._venues[attempt.venue].trading, attempt.request.placement.symbol
        opened_at_ms = attempt.request.window.opens_at_ms
        orders = await trading.orders_since(symbol, opened_at_ms - ORDERS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        fills = await trading.fills_since(symbol, opened_at_ms - FILLS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        return judge(attempt, venue_time_ms, orders, fills)

    async def _with_fills(self, venue: str, order: VenueOrder) -> VenueOrder:
        """Add the fills of an order that has ended, where they are not told yet; raises `VenueError`."""
        if not order.state.is_final or not order.filled_size or order.fills_complete:
            return order
        fills = await self._venues[venue].trading.fills(
            order.symbol, order.venue_order_id, timeout_s=ASK_TIMEOUT_S
        )
        return replace(order, fills=tuple(fills))

    async def cancel(self, attempts: Sequence[Attempt]) -> list[CancelOutcome]:
        """Cancel what rests."""
        return list(
            await asyncio.gather(
                *(self._venues[a.venue].trading.cancel(a.ref, timeout_s=ASK_TIMEOUT_S) for a in attempts)
            )
        )

    async def watch_visibility(self, attempts: Sequence[Attempt], placed_at_ms: int) -> None:
        """Measure how long orders that a venue confirmed take to show in its query by client order id.

        What the visibility bound of `domain.trading.Fence` is held against; it is told as a warning
        from half of the bound.
        """
        await asyncio.gather(*(self._watch(a, placed_at_ms) for a in attempts))

    async def _watch(self, attempt: Attempt, placed_at_ms: int) -> None:
        ref = replace(attempt.ref, venue_order_id=None)
        trading = self._venues[attempt.venue].trading
        found = await trading.query(ref, timeout_s=ASK_TIMEOUT_S)
        for pause_s in _VISIBILITY_PAUSES_S:
            if not isinstance(found, NotFoundNow):
                break
            await self._sleep(pause_s)
            found = await trading.query(ref, timeout_s=ASK_TIMEOUT_S)
        lag_ms = self._clock.now_ms() - placed_at_ms
        tell = self._log.warning if lag_ms * 2 > attempt.fence.visible_ms else self._log.info
        tell(
            "visibility lag",
            venue=attempt.venue,
            lag_ms=lag_ms,
            bound_ms=attempt.fence.visible_ms,
            seen=isinstance(found, Found),
        )
