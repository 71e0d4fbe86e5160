"""What the core asks of the world. Adapters implement these; tests hold fakes to the same suite."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sor_core.domain.book import Book
from sor_core.domain.instrument import FeeRates, Instrument, Symbol


class SystemStatus(StrEnum):
    """A venue's own word on its whole trading system."""

    ONLINE = "online"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


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
