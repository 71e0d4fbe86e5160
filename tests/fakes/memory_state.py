"""`ports.StateStore` in memory; held to the same suite as DynamoDB (tests/contract)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sor_core.clock import Clock
from sor_core.domain.book import Book
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.health.measure import HealthRecord
from sor_core.ports import CachedMarket, NotListed, StateError


class MemoryStateStore:
    """Keeps everything in dictionaries; `broken` makes every call fail as an unreachable store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.books: dict[tuple[Symbol, str], Book] = {}
        self.instruments: dict[tuple[Symbol, str], tuple[Instrument | NotListed, int]] = {}
        self.health: dict[str, HealthRecord] = {}
        self.decisions: dict[str, tuple[bytes, int]] = {}
        self.leases: dict[str, tuple[str, int]] = {}
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            raise StateError("unreachable")

    async def load_market(
        self, symbol: Symbol, venues: Sequence[str], decision_key: str | None
    ) -> CachedMarket:
        self._check()
        now_ms = self._clock.now_ms()
        rules = {v: self.instruments.get((symbol, v)) for v in venues}
        body, until_ms = self.decisions.get(decision_key or "", (None, 0))
        return CachedMarket(
            books={v: b for v in venues if (b := self.books.get((symbol, v))) is not None},
            instruments={v: r[0] for v, r in rules.items() if r is not None and r[1] > now_ms},
            health={v: self.health[v] for v in venues if v in self.health},
            decision=body if until_ms > now_ms else None,
        )

    async def load_health(self, venues: Sequence[str]) -> Mapping[str, HealthRecord]:
        self._check()
        return {v: self.health[v] for v in venues if v in self.health}

    async def load_book(self, symbol: Symbol, venue: str) -> Book | None:
        self._check()
        return self.books.get((symbol, venue))

    async def save_health(self, record: HealthRecord) -> bool:
        self._check()
        stored = self.health.get(record.venue)
        if stored is not None and stored.version >= record.version:
            return False
        self.health[record.venue] = record
        return True

    async def save_book(self, book: Book) -> bool:
        self._check()
        stored = self.books.get((book.symbol, book.venue))
        if stored is not None and stored.received_at_ms >= book.received_at_ms:
            return False
        self.books[book.symbol, book.venue] = book
        return True

    async def save_instrument(
        self, symbol: Symbol, venue: str, instrument: Instrument | NotListed, expires_at_ms: int
    ) -> None:
        self._check()
        self.instruments[symbol, venue] = (instrument, expires_at_ms)

    async def save_decision(self, key: str, body: bytes, expires_at_ms: int) -> None:
        self._check()
        self.decisions[key] = (body, expires_at_ms)

    async def take_lease(self, name: str, owner: str, until_ms: int) -> bool:
        self._check()
        held = self.leases.get(name)
        if held is not None and held[1] >= self._clock.now_ms():
            return False
        self.leases[name] = (owner, until_ms)
        return True

    async def drop_lease(self, name: str, owner: str) -> None:
        self._check()
        if self.leases.get(name, ("", 0))[0] == owner:
            del self.leases[name]
