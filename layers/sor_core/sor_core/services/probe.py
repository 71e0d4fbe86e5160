"""Measure every venue, and write down what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypeVar

from sor_core.clock import Clock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.health import SystemStatus
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.health.breaker import Breaker
from sor_core.health.measure import HealthRecord, Probe, SymbolDepth, believable, fold, probe_delays_s
from sor_core.metrics import (
    EXCHANGE_HEALTH_SCORE,
    EXCHANGE_LATENCY_MS,
    EXCHANGE_SUCCESS_RATE,
    EXCHANGES_HEALTHY,
    Metrics,
)
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
NEAR_BAND_BPS = 10.0
"""Depth is also told this close to the mid."""
_SAVE_TRIES = 3
_NOTHING_CAME_BACK = frozenset({VenueFailure.TIMEOUT, VenueFailure.CONNECTION, VenueFailure.RATE_LIMITED})
"""RATE_LIMITED may also be the word of our own budget."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Findings:
    """What the calls of one probe came to."""

    latencies_ms: list[float] = field(default_factory=list)
    round_trips_ms: list[float] = field(default_factory=list)
    """Of the calls that were answered usably."""
    reached: bool = False
    """Whether anything at all came back."""
    failure: str = ""
    throttled: bool = False
    takes_orders: list[bool] = field(default_factory=list)
    """Per symbol that the venue lists."""
    scores: list[float] = field(default_factory=list)
    depths: list[SymbolDepth] = field(default_factory=list)
    complete: bool = False
    """Whether every symbol was reached."""

    @property
    def ok(self) -> int:
        """How many calls were answered usably."""
        return len(self.round_trips_ms)

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

        A venue that throttled us before it said anything is missing from the answer. All are where
        nothing came back from any of several: then our own egress is suspected, and nothing is held
        against the venues.

        Raises `StateError` if a venue's health could not be stored; the others' is.
        """
        results = await self._results()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {r.venue: r for r in results if isinstance(r, HealthRecord)}

    async def _results(self) -> Sequence[HealthRecord | BaseException]:
        """Measure all at once. One that was reached is stored as soon as it is done."""
        venues = self._settings.venues
        stored: list[asyncio.Task[HealthRecord]] = []
        unreached: list[tuple[str, Probe]] = []
        egress_works = len(venues) == 1
        for measured in asyncio.as_completed([self._measured(v) for v in venues]):
            venue, probe = await measured
            if probe is None:
                continue
            egress_works = egress_works or probe.reached
            if probe.reached:
                stored.append(asyncio.create_task(self._stored(venue, probe)))
            else:
                unreached.append((venue, probe))
        if egress_works:
            stored += [asyncio.create_task(self._stored(v, p)) for v, p in unreached]
        elif unreached:
            names = sorted(venue for venue, _ in unreached)
            self._log.warning("no venue reached: our own egress is suspected", venues=names)
        return await asyncio.gather(*stored, return_exceptions=True)

    async def _measured(self, venue: str) -> tuple[str, Probe | None]:
        """Ask a venue; None where it throttled us before it said anything."""
        adapter, found = self._venues[venue], _Findings()
        status, time = await asyncio.gather(
            self._call(found, adapter.system_status(timeout_s=CALL_TIMEOUT_S)),
            self._call(found, adapter.server_time(timeout_s=CALL_TIMEOUT_S)),
        )
        if found.ok:
            await self._markets(found, venue)
        if status is None and found.throttled:
            return venue, None  # our own doing: nothing was learnt of the venue
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
            round_trip_ms=round(median(found.round_trips_ms), 1) if found.ok else None,
            depths=tuple(found.depths),
            reached=found.reached,
        )
        return venue, probe

    async def _stored(self, venue: str, probe: Probe) -> HealthRecord:
        record = await self._save(venue, probe)
        self._log.info(
            "venue probed",
            exchange=venue,
            status=probe.status,
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
        if book is None or (depth := _depth(book)) is None:
            return
        # The score is that of the thinner side round the venue's own mid.
        full = self._settings.policy.full_liquidity_notional(book.symbol.quote)
        found.scores.append(liquidity_score(min(depth.bid_50_bps, depth.ask_50_bps), float(full)))
        found.depths.append(depth)

    async def _call(self, found: _Findings, call: Awaitable[_T]) -> _T | None:
        """Await a venue call, timing it; None if it failed."""
        start_ms = self._clock.monotonic_ms()
        result: _T | None = None
        try:
            result = await call
        except VenueError as error:
            found.failure = found.failure or error.failure
            found.reached = found.reached or error.failure not in _NOTHING_CAME_BACK
            if error.failure is VenueFailure.RATE_LIMITED:
                # Our own doing, which says nothing of the venue's health.
                found.throttled = True
                return None
        latency_ms = self._clock.monotonic_ms() - start_ms
        found.latencies_ms.append(latency_ms)
        if result is not None:
            found.round_trips_ms.append(latency_ms)
            found.reached = True
        return result

    async def _save(self, venue: str, probe: Probe) -> HealthRecord:
        """Fold into what is stored; a probe that ran at the same time is folded over, not lost."""
        for _ in range(_SAVE_TRIES):
            previous = (await self._store.load_health([venue])).get(venue)
            record = fold(venue, previous, probe, self._settings.breaker)
            if await self._store.save_health(record):
                if previous is not None:
                    self._tell(venue, previous.market_data, record.market_data)
                return record
        raise StateError(f"health of {venue} changed {_SAVE_TRIES} times while it was written")

    def _tell(self, venue: str, before: Breaker, after: Breaker) -> None:
        if before.state is not after.state:
            self._log.warning(
                "breaker", exchange=venue, breaker="market_data", state=after.state, why=after.why
            )


def _depth(book: Book) -> SymbolDepth | None:
    """What stands round the book's own mid; None for an unusable book."""
    symbol = str(book.symbol)
    if not book.bids or not book.asks:
        return SymbolDepth(symbol, 0.0, 0.0, 0.0, 0.0)
    try:
        mid = float(touch(book.bids) + touch(book.asks)) / 2
        near = mid * NEAR_BAND_BPS / 10_000
        bid = depth_of(book.bids, Side.SELL, mid, mid - near)
        ask = depth_of(book.asks, Side.BUY, mid, mid + near)
    except MalformedBookError:
        return None
    return SymbolDepth(
        symbol,
        _rounded(bid.size_within_cap * mid),
        _rounded(ask.size_within_cap * mid),
        _rounded(bid.notional_in_band),
        _rounded(ask.notional_in_band),
    )


def _rounded(notional: float) -> float:
    """To six significant digits, so that a notional in BTC keeps its meaning too."""
    return float(f"{notional:.6g}")


async def _or_not_listed(call: Awaitable[_T]) -> _T | NotListed:
    try:
        return await call
    except VenueError as error:
        if error.failure is VenueFailure.UNKNOWN_SYMBOL:
            return NotListed()
        raise


async def measure_exchanges(
    metrics: Metrics, store: StateStore, settings: Settings, now_ms: int, log: Log
) -> None:
    """Tell how the venues are as routes believe it; without a store nothing is told."""
    try:
        records = await store.load_health(settings.venues)
    except StateError as error:
        log.warning("state store unavailable", operation="metrics", error=str(error))
        return
    healthy = 0
    for venue in settings.venues:
        found = believable(records.get(venue), now_ms, settings.health_check_interval_s)
        if found is None:
            continue
        healthy += found.is_healthy
        metrics.set(EXCHANGE_HEALTH_SCORE, found.health_score, venue)
        metrics.set(EXCHANGE_LATENCY_MS, found.latency_ms, venue)
        metrics.set(EXCHANGE_SUCCESS_RATE, found.success_rate, venue)
    metrics.set(EXCHANGES_HEALTHY, healthy)
