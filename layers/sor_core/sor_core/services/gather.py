"""All venues' books for one decision, at once, within one deadline.

        memory fresh? ---- yes ---------------------------> use
             | no
        DynamoDB fresh? -- yes ---------------------------> use
             | no
        take the lease --- taken by another --> wait, look in DynamoDB again
             | ours                             (once more when ours, too)
        ask the venue --> store it --> give the lease back

A hundred Lambdas so cost a venue one request. A lease outlives the request's timeout and nothing
else: a holder that died delays nobody past it. Who is not done by the deadline is left out. A venue
whose market data breaker is not closed is not asked at all.
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
from sor_core.health.measure import believable, why_not_routed
from sor_core.observability import Log
from sor_core.ports import CachedMarket, NotListed, StateError, StateStore, VenueMarketData
from sor_core.services.call_health import CallHealth
from sor_core.settings import Settings

INSTRUMENT_TTL_MS = 600_000
"""Trading rules change rarely, but a halt stands in them too; the probe refreshes them far sooner."""
NOT_LISTED_TTL_MS = 60_000
"""How long a venue's word that it does not know a symbol is believed."""
LEASE_POLL_S = 0.02
FLUSH_TIMEOUT_S = 1.0
"""How long an answer may wait for writes that only help later ones."""
_REMEMBERED = 256
_K = TypeVar("_K")
_V = TypeVar("_V")
_Write = Callable[[], Awaitable[object]]


_NOTHING = CachedMarket(books={}, instruments={}, health={}, decision=None)


@dataclass(frozen=True, slots=True)
class _Round:
    """One request for a symbol's market."""

    symbol: Symbol
    cached: CachedMarket
    stored: bool
    """Whether the store answered; if not it is left alone, leases and all."""
    fresh: bool
    timeout_s: float


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
        self._instruments: dict[tuple[str, Symbol], tuple[Instrument | NotListed, int]] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def fees(self, venue: str) -> FeeRates:
        """The venue's fees: configured, else its published entry tier."""
        published = self._venues[venue].default_fees
        configured = self._settings.taker_fees_bps.get(venue)
        if configured is None:
            return published
        return replace(published, taker_fee_bps=configured, source="configured")

    async def gather(
        self, symbol: Symbol, venues: Sequence[str], cached: CachedMarket | None, *, fresh: bool
    ) -> Gathered:
        """Collect the market; `fresh` asks the venues whatever the caches hold.

        `cached` is None where the store did not answer: it is left alone then, leases and all.
        """
        deadline_s = self._settings.policy.max_latency_ms / 1000
        asked = _Round(symbol, cached or _NOTHING, cached is not None, fresh, deadline_s)
        results = await asyncio.gather(*(self._one(asked, venue) for venue in venues))
        return Gathered(
            tuple(r for r in results if isinstance(r, VenueMarket)),
            tuple(r for r in results if isinstance(r, Exclusion)),
        )

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
        record = asked.cached.health.get(venue)
        interval_s = self._settings.health_check_interval_s
        if (why := why_not_routed(record, self._clock.now_ms(), interval_s)) is not None:
            return Exclusion(venue, Why.UNHEALTHY, why)
        rules = asyncio.create_task(self._rules(asked, venue))
        book = asyncio.create_task(self._book(asked, venue))
        try:
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
        metrics = believable(record, self._clock.now_ms(), interval_s)
        return VenueMarket(venue, found, source, instrument, self.fees(venue), metrics)

    # Instruments ---------------------------------------------------------------------------------

    async def _rules(self, asked: _Round, venue: str) -> Instrument:
        """Trading rules from memory, the store or the venue.

        Raises `VenueError`, UNKNOWN_SYMBOL among others.
        """
        now_ms, symbol = self._clock.now_ms(), asked.symbol
        remembered, until_ms = self._instruments.get((venue, symbol), (None, 0))
        if until_ms <= now_ms:
            # Not renewed by use: a halt that the probe wrote down is seen within a minute.
            remembered, until_ms = asked.cached.instruments.get(venue), now_ms + NOT_LISTED_TTL_MS
        if remembered is None:
            remembered = await self._ask_rules(symbol, venue, asked.timeout_s)
            ttl_ms = NOT_LISTED_TTL_MS if isinstance(remembered, NotListed) else INSTRUMENT_TTL_MS
            if asked.stored:
                expires_at_ms = self._clock.now_ms() + ttl_ms
                self._later(partial(self._store.save_instrument, symbol, venue, remembered, expires_at_ms))
        _remember(self._instruments, (venue, symbol), (remembered, until_ms))
        if isinstance(remembered, NotListed):
            raise VenueError(venue, VenueFailure.UNKNOWN_SYMBOL, f"{venue} does not list {symbol}")
        return remembered

    async def _ask_rules(self, symbol: Symbol, venue: str, timeout_s: float) -> Instrument | NotListed:
        try:
            return await self._venues[venue].instrument(symbol, timeout_s=timeout_s)
        except VenueError as error:
            if error.failure is VenueFailure.UNKNOWN_SYMBOL:
                return NotListed()
            raise

    # Books ---------------------------------------------------------------------------------------

    async def _book(self, asked: _Round, venue: str) -> tuple[Book, BookSource]:
        key = (venue, asked.symbol)
        stored, remembered = asked.cached.books.get(venue), self._books.get(key)
        newest, source = remembered, BookSource.MEMORY
        if stored is not None and (remembered is None or stored.received_at_ms > remembered.received_at_ms):
            newest, source = stored, BookSource.DYNAMODB
        if newest is not None and self._usable(newest) and not asked.fresh:
            _remember(self._books, key, newest)
            return newest, source
        if asked.fresh or not asked.stored or self._settings.cache_ttl_ms == 0:
            return await self._fetch(asked, venue, newest), BookSource.VENUE
        return await self._refresh(asked, venue, newest)

    def _usable(self, book: Book) -> bool:
        return book.age_ms(self._clock.now_ms()) < self._settings.cache_ttl_ms

    async def _refresh(self, asked: _Round, venue: str, previous: Book | None) -> tuple[Book, BookSource]:
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
                    return await self._fetch(asked, venue, previous), BookSource.VENUE
            except StateError as error:
                # Without a store there is no lease to respect: an answer is worth more.
                self._log.warning("state store unavailable", operation="lease", error=str(error))
                return await self._fetch(asked, venue, previous), BookSource.VENUE
            finally:
                if perhaps_ours:
                    self._later(partial(self._store.drop_lease, name, owner), after_others=True)
            await asyncio.sleep(LEASE_POLL_S)

    async def _fetch(self, asked: _Round, venue: str, previous: Book | None) -> Book:
        question = self._venues[venue].book(
            asked.symbol, depth=self._settings.book_depth, timeout_s=asked.timeout_s
        )
        book = await self.calls.timed(venue, Evidence.BOOK, question, given_s=asked.timeout_s)
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
        if asked.stored:
            self._later(partial(self._store.save_book, book))
        return book

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


def _remember(memory: dict[_K, _V], key: _K, value: _V) -> None:
    """Keep the newest few: a warm Lambda asked for ever new symbols must not grow."""
    memory.pop(key, None)
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))
