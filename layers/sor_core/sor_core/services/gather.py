"""All venues' books for one decision, at once, within one deadline.

        memory fresh? ---- yes ---------------------------> use
             | no
        DynamoDB fresh? -- yes ---------------------------> use
             | no
        take the lease --- taken by another --> wait, look in DynamoDB again
             | ours                             (once more when ours, too)
        ask the venue --> store it --> give the lease back

A hundred Lambdas so cost a venue one request; requests of one process for the same book go this way
together. A lease outlives the request's timeout and nothing else: a holder that died delays nobody
past it. Who is not done by the deadline is left out. No venue is routed to whose market data breaker
is not closed; who wants fresh books has a venue that was well a moment ago asked while that is looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sor_core.clock import Clock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.domain.market import BookSource, Exclusion, VenueMarket, Why
from sor_core.health.breaker import Evidence
from sor_core.health.measure import HealthRecord, believable, why_not_routed
from sor_core.observability import Log
from sor_core.ports import CachedMarket, NotListed, StateError, StateStore, VenueMarketData
from sor_core.services.call_health import CallHealth
from sor_core.services.single_flight import SingleFlight
from sor_core.settings import Settings

INSTRUMENT_TTL_MS = 600_000
"""Trading rules change rarely, but a halt stands in them too; the probe refreshes them far sooner."""
NOT_LISTED_TTL_MS = 60_000
"""How long a venue's word that it does not know a symbol is believed."""
HEALTH_MEMORY_MS = 2000
"""How long a venue's health is believed without being read again."""
LEASE_POLL_S = 0.02
FLUSH_TIMEOUT_S = 1.0
"""How long an answer may wait for writes that only help later ones."""
_REMEMBERED = 256
_K = TypeVar("_K")
_V = TypeVar("_V")
_Write = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Recalled(CachedMarket):
    """What this process knew by itself: nothing was read for it."""


_NOTHING = CachedMarket(books={}, instruments={}, health={}, decision=None)


@dataclass(frozen=True, slots=True)
class _Round:
    """One request for a symbol's market."""

    symbol: Symbol
    loading: asyncio.Future[CachedMarket | None]
    fresh: bool
    timeout_s: float

    async def cached(self) -> CachedMarket:
        """Wait for what the store holds."""
        if not self.loading.done():
            # Not awaited itself: one venue that is given up must not end it for the others.
            await asyncio.wait([self.loading])
        return self.loading.result() or _NOTHING

    async def stored(self) -> bool:
        """Wait for the store; False where it did not answer: it is left alone then, leases and all."""
        return await self.cached() is not _NOTHING


@dataclass(frozen=True, slots=True)
class Gathered:
    """Every venue asked is in exactly one of the two."""

    markets: tuple[VenueMarket, ...]
    failures: tuple[Exclusion, ...]


class Gatherer:
    """Asks venues, through the caches.

    Parameters
    ----------
    venues
        Adapters by name.
    store
        Shared caches and leases.
    clock, new_id
        Time, and a source of unique lease owners.
    settings
        Deadline, lifetimes, depth, fees.
    """

    def __init__(
        self,
        venues: Mapping[str, VenueMarketData],
        store: StateStore,
        clock: Clock,
        new_id: Callable[[], str],
        settings: Settings,
        log: Log,
    ) -> None:
        self._venues = venues
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._settings = settings
        self._log = log
        self.calls = CallHealth(store, clock, settings, log)
        """What all services of this process meet with at the venues."""
        self._books: dict[tuple[str, Symbol], Book] = {}
        self._shared_at_ms: dict[tuple[str, Symbol], int] = {}
        """When the newest book was received that this process stored."""
        self._instruments: dict[tuple[str, Symbol], tuple[Instrument | NotListed, int]] = {}
        self._health: dict[str, tuple[HealthRecord | None, int]] = {}
        """As last read, and when."""
        self._writes: set[asyncio.Task[None]] = set()
        self._bringing: SingleFlight[tuple[str, Symbol], tuple[Book, BookSource]] = SingleFlight(_timed_out)
        self._asking: SingleFlight[tuple[str, Symbol], Instrument | NotListed] = SingleFlight(_timed_out)

    def fees(self, venue: str) -> FeeRates:
        """The venue's fees: configured, else its published entry tier."""
        published = self._venues[venue].default_fees
        configured = self._settings.taker_fees_bps.get(venue)
        if configured is None:
            return published
        return replace(published, taker_fee_bps=configured, source="configured")

    async def gather(
        self,
        symbol: Symbol,
        venues: Sequence[str],
        cached: CachedMarket | asyncio.Future[CachedMarket | None] | None,
        *,
        fresh: bool,
    ) -> Gathered:
        """Collect the market; `fresh` asks the venues whatever the caches hold.

        `cached` is None where the store did not answer: it is left alone then, leases and all. It
        may still be under way: then `fresh` asks at once the venues that were well a moment ago, and
        looks at their health when it is there.
        """
        deadline_s = self._settings.policy.max_latency_ms / 1000
        asked = _Round(symbol, _future(cached), fresh, deadline_s)
        results = await asyncio.gather(*(self._one(asked, venue) for venue in venues))
        return Gathered(
            tuple(r for r in results if isinstance(r, VenueMarket)),
            tuple(r for r in results if isinstance(r, Exclusion)),
        )

    def remembered(self, symbol: Symbol, venues: Sequence[str], *, fresh: bool) -> CachedMarket | None:
        """What this process knows by itself, where that is enough to decide: no store need be read.

        None unless the rules of each venue are known, its health was read within `HEALTH_MEMORY_MS`
        and, unless books are wanted `fresh`, its book is young enough. Books and rules
        themselves are left out, for `gather` remembers them.
        """
        now_ms = self._clock.now_ms()
        health: dict[str, HealthRecord] = {}
        for venue in venues:
            book = self._books.get((venue, symbol))
            _, rules_until_ms = self._instruments.get((venue, symbol), (None, 0))
            record, read_at_ms = self._health.get(venue, (None, 0))
            health_until_ms = read_at_ms + min(HEALTH_MEMORY_MS, self._settings.cache_ttl_ms)
            if min(rules_until_ms, health_until_ms) <= now_ms:
                return None
            if not fresh and (book is None or not self._usable(book)):
                return None
            if record is not None:
                health[venue] = record
        return _Recalled(books={}, instruments={}, health=health, decision=None)

    async def flush(self) -> None:
        """Wait, a bounded time, for the writes that the answer need not wait for.

        A frozen Lambda does none, so they are not left to chance; those that hang are given up.
        """
        if self.calls.due:
            self._later(self.calls.flush)
        pending = {task for task in self._writes if not task.done()}
        if not pending:
            return
        _, hanging = await asyncio.wait(pending, timeout=FLUSH_TIMEOUT_S)
        for task in hanging:
            task.cancel()
        if hanging:
            self._log.warning("state store unavailable", operation="flush", writes=len(hanging))

    async def _one(self, asked: _Round, venue: str) -> VenueMarket | Exclusion:
        was_well = asked.fresh and self._was_well(venue)
        if not was_well and (unwell := await self._unwell(asked, venue)) is not None:
            return unwell
        rules = asyncio.create_task(self._rules(asked, venue))
        book = asyncio.create_task(self._book(asked, venue))
        try:
            if was_well and (unwell := await self._unwell(asked, venue)) is not None:
                return unwell
            async with asyncio.timeout(asked.timeout_s):
                instrument = await rules
                found, source = await book
        except TimeoutError:
            waited = f"no answer within {asked.timeout_s * 1000:.0f} ms"
            return Exclusion(venue, VenueFailure.TIMEOUT, waited)
        except VenueError as error:
            return Exclusion(venue, error.failure, error.detail)
        finally:
            rules.cancel()
            book.cancel()
            await asyncio.gather(rules, book, return_exceptions=True)
        record = (await asked.cached()).health.get(venue)
        metrics = believable(record, self._clock.now_ms(), self._settings.health_check_interval_s)
        return VenueMarket(venue, found, source, instrument, self.fees(venue), metrics)

    async def _unwell(self, asked: _Round, venue: str) -> Exclusion | None:
        cached = await asked.cached()
        record = cached.health.get(venue)
        now_ms, interval_s = self._clock.now_ms(), self._settings.health_check_interval_s
        if cached is not _NOTHING and not isinstance(cached, _Recalled):
            self._health[venue] = record, now_ms
        if (why := why_not_routed(record, now_ms, interval_s)) is not None:
            return Exclusion(venue, Why.UNHEALTHY, why)
        return None

    def _was_well(self, venue: str) -> bool:
        """Whether it was well when its health was read, less than a probe's interval ago."""
        record, read_at_ms = self._health.get(venue, (None, None))
        now_ms, interval_s = self._clock.now_ms(), self._settings.health_check_interval_s
        if read_at_ms is None or now_ms - read_at_ms > interval_s * 1000:
            return False
        return why_not_routed(record, now_ms, interval_s) is None

    # Instruments ---------------------------------------------------------------------------------

    async def _rules(self, asked: _Round, venue: str) -> Instrument:
        """Trading rules from memory, the store or the venue.

        Raises `VenueError`, UNKNOWN_SYMBOL among others.
        """
        now_ms, symbol = self._clock.now_ms(), asked.symbol
        remembered, until_ms = self._instruments.get((venue, symbol), (None, 0))
        if until_ms <= now_ms:
            # Not renewed by use: a halt that the probe wrote down is seen within a minute.
            cached = await asked.cached()
            remembered, until_ms = cached.instruments.get(venue), now_ms + NOT_LISTED_TTL_MS
        if remembered is None:
            ask = partial(self._ask_rules, asked, venue)
            remembered = await self._asking.share((venue, symbol), ask)
        _remember(self._instruments, (venue, symbol), (remembered, until_ms))
        if isinstance(remembered, NotListed):
            raise VenueError(venue, VenueFailure.UNKNOWN_SYMBOL, f"{venue} does not list {symbol}")
        return remembered

    async def _ask_rules(self, asked: _Round, venue: str) -> Instrument | NotListed:
        rules: Instrument | NotListed
        try:
            rules = await self._venues[venue].instrument(asked.symbol, timeout_s=asked.timeout_s)
            ttl_ms = INSTRUMENT_TTL_MS
        except VenueError as error:
            if error.failure is not VenueFailure.UNKNOWN_SYMBOL:
                raise
            rules, ttl_ms = NotListed(), NOT_LISTED_TTL_MS
        if await asked.stored():
            expires_at_ms = self._clock.now_ms() + ttl_ms
            self._later(partial(self._store.save_instrument, asked.symbol, venue, rules, expires_at_ms))
        return rules

    # Books ---------------------------------------------------------------------------------------

    async def _book(self, asked: _Round, venue: str) -> tuple[Book, BookSource]:
        if asked.fresh:
            return await self._fetch(asked, venue), BookSource.VENUE
        newest, source = self._newest(await asked.cached(), asked.symbol, venue)
        if newest is not None and self._usable(newest):
            _remember(self._books, (venue, asked.symbol), newest)
            return newest, source
        if self._settings.cache_ttl_ms == 0:
            return await self._fetch(asked, venue), BookSource.VENUE
        return await self._bringing.share((venue, asked.symbol), partial(self._bring, asked, venue))

    def _newest(self, cached: CachedMarket, symbol: Symbol, venue: str) -> tuple[Book | None, BookSource]:
        stored, remembered = cached.books.get(venue), self._books.get((venue, symbol))
        if stored is not None and (remembered is None or stored.received_at_ms > remembered.received_at_ms):
            return stored, BookSource.DYNAMODB
        return remembered, BookSource.MEMORY

    def _usable(self, book: Book) -> bool:
        return book.age_ms(self._clock.now_ms()) < self._settings.cache_ttl_ms

    async def _bring(self, asked: _Round, venue: str) -> tuple[Book, BookSource]:
        if await asked.stored():
            return await self._refresh(asked, venue)
        return await self._fetch(asked, venue), BookSource.VENUE

    async def _refresh(self, asked: _Round, venue: str) -> tuple[Book, BookSource]:
        """Ask the venue if nobody else is asking; else take what they bring."""
        name, owner = f"book#{asked.symbol}#{venue}", self._new_id()
        while True:
            perhaps_ours = True  # until the store says no; it may have said yes to one who gave up
            try:
                until_ms = self._clock.now_ms() + int(asked.timeout_s * 1500)
                ours = perhaps_ours = await self._store.take_lease(name, owner, until_ms)
                # Also when it is ours: another may have brought a book since we looked.
                found = await self._store.load_book(asked.symbol, venue)
                if found is not None and self._usable(found):
                    _remember(self._books, (venue, asked.symbol), found)
                    return found, BookSource.DYNAMODB
                if ours:
                    return await self._fetch(asked, venue), BookSource.VENUE
            except StateError as error:
                # Without a store there is no lease to respect: an answer is worth more.
                self._log.warning("state store unavailable", operation="lease", error=str(error))
                return await self._fetch(asked, venue), BookSource.VENUE
            finally:
                if perhaps_ours:
                    self._later(partial(self._store.drop_lease, name, owner), after_others=True)
            await asyncio.sleep(LEASE_POLL_S)

    async def _fetch(self, asked: _Round, venue: str) -> Book:
        question = self._venues[venue].book(
            asked.symbol, depth=self._settings.book_depth, timeout_s=asked.timeout_s
        )
        book = await self.calls.timed(venue, Evidence.BOOK, question, given_s=asked.timeout_s)
        previous, _ = self._newest(await asked.cached(), asked.symbol, venue)
        if (
            book.source_time_ms is None
            and previous is not None
            and book.sequence is not None
            and book.sequence == previous.sequence
        ):
            # A venue without a time of its own: the book has stood since this update id was first seen.
            first_seen_ms = previous.source_time_ms or previous.received_at_ms
            book = replace(book, source_time_ms=first_seen_ms)
        _remember(self._books, (venue, asked.symbol), book)
        if await asked.stored() and not self._shared(await asked.cached(), asked.symbol, venue):
            self._later(partial(self._store.save_book, book))
            _remember(self._shared_at_ms, (venue, asked.symbol), book.received_at_ms)
        return book

    def _shared(self, cached: CachedMarket, symbol: Symbol, venue: str) -> bool:
        """Whether others have a book to decide on already: it is most of what an order would write."""
        there = cached.books.get(venue)
        told_ms = self._shared_at_ms.get((venue, symbol), 0) if there is None else there.received_at_ms
        return self._clock.now_ms() - told_ms < self._settings.cache_ttl_ms

    # Writes that an answer need not wait for -----------------------------------------------------

    def _later(self, write: _Write, *, after_others: bool = False) -> None:
        before = tuple(self._writes) if after_others else ()
        task = asyncio.create_task(self._written(write, before))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _written(self, write: _Write, before: Sequence[asyncio.Task[None]]) -> None:
        # A lease given back before its book is stored would send the next one to the venue again.
        await asyncio.gather(*before)
        try:
            await write()
        except StateError as error:
            self._log.warning("state store unavailable", operation="write", error=str(error))


def _timed_out(error: Exception) -> bool:
    return isinstance(error, VenueError) and error.failure is VenueFailure.TIMEOUT


def _future(
    cached: CachedMarket | asyncio.Future[CachedMarket | None] | None,
) -> asyncio.Future[CachedMarket | None]:
    if isinstance(cached, asyncio.Future):
        return cached
    known: asyncio.Future[CachedMarket | None] = asyncio.get_running_loop().create_future()
    known.set_result(cached)
    return known


def _remember(memory: dict[_K, _V], key: _K, value: _V) -> None:
    """Keep the newest few: a warm Lambda asked for ever new symbols must not grow."""
    memory.pop(key, None)
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))
