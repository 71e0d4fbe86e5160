"""What the core asks of the world. Adapters implement these; tests hold fakes to the same suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sor_core.domain.book import Book
from sor_core.domain.health import SystemStatus as SystemStatus  # noqa: PLC0414 - part of this port
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.health.measure import HealthRecord


@dataclass(frozen=True, slots=True)
class ServerTime:
    """A venue's clock beside ours."""

    venue_time_ms: int
    offset_ms: float
    """Venue minus ours, taking the answer to have been stamped half-way through the round trip."""
    latency_ms: float


class VenueMarketData(Protocol):
    """The public side of one venue. Every method raises `domain.errors.VenueError` and nothing else."""

    @property
    def venue(self) -> str:
        """The venue's name, as in ``binance``."""
        ...

    @property
    def default_fees(self) -> FeeRates:
        """The venue's published entry-tier fees, until configuration or the account says better."""
        ...

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        """Ask for the order book, at most `depth` levels a side (the venue's next allowed limit)."""
        ...

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        """Ask for the trading rules; `VenueFailure.UNKNOWN_SYMBOL` where it does not list it."""
        ...

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        """Ask for the venue's clock."""
        ...

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        """Ask whether the venue as a whole takes orders."""
        ...


class StateError(Exception):
    """The state store did not do what was asked (throttled, unreachable, refused).

    Caches are a help, not a need: callers go on without them.
    """


@dataclass(frozen=True, slots=True)
class NotListed:
    """A venue was asked and does not list the symbol."""


@dataclass(frozen=True, slots=True)
class CachedMarket:
    """What the store holds of a symbol; every part may be missing."""

    books: Mapping[str, Book]
    """By venue; however old: the reader judges by `received_at_ms`."""
    instruments: Mapping[str, Instrument | NotListed]
    health: Mapping[str, HealthRecord]
    decision: bytes | None
    """An unexpired decision under the key asked for."""


class StateStore(Protocol):
    """Health, caches and leases shared by all Lambdas. Every method raises `StateError` only."""

    async def load_market(
        self, symbol: Symbol, venues: Sequence[str], decision_key: str | None
    ) -> CachedMarket:
        """Read all that a route can use, in one round trip."""
        ...

    async def load_health(self, venues: Sequence[str]) -> Mapping[str, HealthRecord]:
        """Read the venues' health; venues never probed are missing."""
        ...

    async def save_health(self, record: HealthRecord) -> bool:
        """Store if the stored version is the one before this; False if another probe was faster."""
        ...

    async def load_book(self, symbol: Symbol, venue: str) -> Book | None:
        """Read one book, however old."""
        ...

    async def save_book(self, book: Book) -> bool:
        """Store a book unless a newer one is there; False if so."""
        ...

    async def save_instrument(
        self, symbol: Symbol, venue: str, instrument: Instrument | NotListed, expires_at_ms: int
    ) -> None:
        """Store trading rules, or that there are none, until they expire."""
        ...

    async def save_decision(self, key: str, body: bytes, expires_at_ms: int) -> None:
        """Store a decision's answer until it expires."""
        ...

    async def take_lease(self, name: str, owner: str, until_ms: int) -> bool:
        """Become the one that refreshes `name` until `until_ms`; False if another is."""
        ...

    async def drop_lease(self, name: str, owner: str) -> None:
        """Give a lease back, if it is still `owner`'s."""
        ...


class ProbeQueue(Protocol):
    """Where the probes of a minute wait for their time."""

    async def schedule(self, delays_s: Sequence[int]) -> None:
        """Send one probe message per delay; raises `StateError`."""
        ...
