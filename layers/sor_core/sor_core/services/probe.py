"""Measure every venue, and write down what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeVar

from sor_core.clock import Clock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.health import SystemStatus
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.health.measure import HealthRecord, Probe, fold, probe_delays_s
from sor_core.observability import Log
from sor_core.ports import NotListed, ProbeQueue, StateError, StateStore, VenueMarketData
from sor_core.routing.ladder import MalformedBookError, touch
from sor_core.routing.score import depth_of, liquidity_score
from sor_core.services.gather import INSTRUMENT_TTL_MS
from sor_core.settings import Settings

CALL_TIMEOUT_S = 2.0
"""A call that takes longer scores nothing anyway (the required score is 0 at one second)."""
VENUE_BUDGET_S = 10.0
"""No further symbol of a venue is started after this; the next probe comes soon."""
_SAVE_TRIES = 3
_T = TypeVar("_T")


@dataclass(slots=True)
class _Findings:
    """What the calls of one probe came to."""

    latencies_ms: list[float] = field(default_factory=list)
    ok: int = 0
    failure: str = ""
    throttled: bool = False
    takes_orders: list[bool] = field(default_factory=list)
    """Per symbol that the venue lists."""
    scores: list[float] = field(default_factory=list)
    complete: bool = False
    """Whether every symbol was reached."""

    @property
    def all_halted(self) -> bool:
        """Whether it takes no orders in any of several symbols; one alone says nothing of a venue."""
        return self.complete and len(self.takes_orders) > 1 and not any(self.takes_orders)


class ProbeService:
    """Probes all venues at once; one that hangs delays no other."""

    def __init__(
        self,
        venues: Mapping[str, VenueMarketData],
        store: StateStore,
        queue: ProbeQueue,
        clock: Clock,
        new_id: Callable[[], str],
        settings: Settings,
        log: Log,
    ) -> None:
        self._venues = venues
        self._store = store
        self._queue = queue
        self._clock = clock
        self._new_id = new_id
        self._settings = settings
        self._log = log

    async def tick(self) -> Sequence[int]:
        """Spread a minute's probes over it; returns their delays in seconds. Raises `StateError`.

        Ticks come late, early or twice, so neighbours may schedule the same probe: see `due`.
        """
        delays_s = probe_delays_s(self._clock.now_ms(), self._settings.health_check_interval_s)
        if delays_s:
            await self._queue.schedule(delays_s)
        return delays_s

    async def due(self) -> bool:
        """Whether nobody else began a scheduled probe within half an interval. Raises `StateError`."""
        until_ms = self._clock.now_ms() + self._settings.health_check_interval_s * 500
        return await self._store.take_lease("probe", self._new_id(), until_ms)

    async def probe(self) -> Mapping[str, HealthRecord]:
        """Measure every configured venue and store the result.

        A venue that throttled us before it said anything is missing from the answer.

        Raises `StateError` if a venue's health could not be stored; the others' is.
        """
        results = await asyncio.gather(
            *(self._probe_one(v) for v in self._settings.venues), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {r.venue: r for r in results if isinstance(r, HealthRecord)}

    async def _probe_one(self, venue: str) -> HealthRecord | None:
        adapter, found = self._venues[venue], _Findings()
        status, time = await asyncio.gather(
            self._call(found, adapter.system_status(timeout_s=CALL_TIMEOUT_S)),
            self._call(found, adapter.server_time(timeout_s=CALL_TIMEOUT_S)),
        )
        if found.ok:
            await self._markets(found, venue)
        if status is None and found.throttled:
            return None  # our own doing: nothing was learnt of the venue
        if status is SystemStatus.ONLINE and found.all_halted:
            # Binance and Coinbase say so only of each instrument.
            status = SystemStatus.MAINTENANCE
        probe = Probe(
            at_ms=self._clock.now_ms(),
            latencies_ms=tuple(found.latencies_ms),
            ok=found.ok,
            status=status,
            liquidity_score=fmean(found.scores) if found.scores else None,
            clock_offset_ms=time.offset_ms if time is not None else None,
            failure=found.failure,
        )
        record = await self._save(venue, probe)
        self._log.info(
            "venue probed",
            exchange=venue,
            status=status,
            failure=probe.failure,
            health_score=round(record.metrics.health_score, 4),
            is_healthy=record.metrics.is_healthy,
            latency_ms=round(record.metrics.latency_ms, 1),
        )
        return record

    async def _markets(self, found: _Findings, venue: str) -> None:
        """Measure one symbol after the other: public rate limits are a few calls a second."""
        started_ms = self._clock.monotonic_ms()
        for symbol in self._settings.symbols:
            late = self._clock.monotonic_ms() - started_ms > VENUE_BUDGET_S * 1000
            if late or found.throttled:
                return
            await self._market(found, venue, symbol)
        found.complete = True

    async def _market(self, found: _Findings, venue: str, symbol: Symbol) -> None:
        """Refresh a symbol's trading rules and score its book."""
        adapter = self._venues[venue]
        instrument = await self._call(
            found, _or_not_listed(adapter.instrument(symbol, timeout_s=CALL_TIMEOUT_S))
        )
        if instrument is None:
            return
        expires_at_ms = self._clock.now_ms() + INSTRUMENT_TTL_MS
        try:
            await self._store.save_instrument(symbol, venue, instrument, expires_at_ms)
        except StateError as error:
            self._log.warning("state store unavailable", operation="instrument", error=str(error))
        if isinstance(instrument, NotListed):
            return
        found.takes_orders.append(instrument.status.takes_limit_ioc)
        book = await self._call(
            found, adapter.book(symbol, depth=self._settings.book_depth, timeout_s=CALL_TIMEOUT_S)
        )
        if book is not None and (score := self._score(book)) is not None:
            found.scores.append(score)

    def _score(self, book: Book) -> float | None:
        """Liquidity of the thinner side round the venue's own mid; None for an unusable book."""
        if not book.bids or not book.asks:
            return 0.0
        try:
            mid = float(touch(book.bids) + touch(book.asks)) / 2
            depths = [depth_of(book.bids, Side.SELL, mid, mid), depth_of(book.asks, Side.BUY, mid, mid)]
        except MalformedBookError:
            return None
        full = self._settings.policy.full_liquidity_notional(book.symbol.quote)
        return liquidity_score(min(d.notional_in_band for d in depths), float(full))

    async def _call(self, found: _Findings, call: Awaitable[_T]) -> _T | None:
        """Await a venue call, timing it; None if it failed."""
        start_ms = self._clock.monotonic_ms()
        result: _T | None = None
        try:
            result = await call
            found.ok += 1
        except VenueError as error:
            found.failure = found.failure or error.failure
            if error.failure is VenueFailure.RATE_LIMITED:
                # Our own doing, which says nothing of the venue's health.
                found.throttled = True
                return None
        found.latencies_ms.append(self._clock.monotonic_ms() - start_ms)
        return result

    async def _save(self, venue: str, probe: Probe) -> HealthRecord:
        """Fold into what is stored; a probe that ran at the same time is folded over, not lost."""
        for _ in range(_SAVE_TRIES):
            previous = (await self._store.load_health([venue])).get(venue)
            record = fold(venue, previous, probe)
            if await self._store.save_health(record):
                return record
        raise StateError(f"health of {venue} changed {_SAVE_TRIES} times while it was written")


async def _or_not_listed(call: Awaitable[_T]) -> _T | NotListed:
    try:
        return await call
    except VenueError as error:
        if error.failure is VenueFailure.UNKNOWN_SYMBOL:
            return NotListed()
        raise
