"""What a decision is made from: every venue as it was seen, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.book import Book
from sor_core.domain.health import ExchangeMetrics
from sor_core.domain.instrument import FeeRates, Instrument


class BookSource(StrEnum):
    """Where a book came from."""

    VENUE = "venue"
    MEMORY = "memory"
    DYNAMODB = "dynamodb"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a venue takes no part in a decision."""

    venue: str
    why: str
    """A code of a closed list: `domain.errors.VenueFailure` or `Why`."""
    detail: str = ""
    """One line for people."""


class Why(StrEnum):
    """Reasons found while deciding, beside those of a venue that did not answer."""

    NOT_ALLOWED = "not_allowed"
    NOT_TRADING = "not_trading"
    UNHEALTHY = "unhealthy"
    TOO_SLOW = "too_slow"
    STALE_BOOK = "stale_book"
    EMPTY_BOOK = "empty_book"
    CROSSED_BOOK = "crossed_book"
    MALFORMED_BOOK = "malformed_book"
    THIN_BOOK = "liquidity_below_minimum"
    NO_DEPTH = "no_depth_within_limit"
    BELOW_MINIMUM = "below_venue_minimum"
    NO_FUNDS = "insufficient_funds"


@dataclass(frozen=True, slots=True)
class VenueMarket:
    """One venue that answered: all that a decision needs of it."""

    venue: str
    book: Book
    source: BookSource
    instrument: Instrument
    fees: FeeRates
    metrics: ExchangeMetrics | None
    """None before the first probe, or when the last one is too old to believe."""
    funds: Decimal | None = None
    """What the account can still spend here, quote when buying, base when selling; None where not known."""

    @property
    def latency_ms(self) -> float:
        """Measured by the probe where there is one, else by the request that fetched the book."""
        return self.book.latency_ms if self.metrics is None else self.metrics.latency_ms

    @property
    def reliability(self) -> float:
        """0..1; 1 without a probe, for the venue has just answered."""
        return 1.0 if self.metrics is None else self.metrics.reliability


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of best_execution; positive price, the others not negative, together 1."""

    price: Decimal
    liquidity: Decimal
    latency: Decimal
    reliability: Decimal


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator configured (see docs/configuration.md)."""

    max_latency_ms: float
    min_liquidity_score: float
    max_book_age_ms: int
    weights: Weights
    best_execution_tolerance_bps: Decimal
    """The most that best_execution may pay above the cheapest, in bps of the arrival mid."""
    lowest_latency_tolerance_bps: Decimal
    """The most that lowest_latency may pay above the cheapest, in bps of the arrival mid."""
    full_liquidity_notionals: Mapping[str, Decimal]
    """Notional within 50 bps of the mid that scores 10, by quote asset; ``*`` is any other."""
    leg_fixed_cost: Decimal
    """Quote units that every leg costs."""

    def full_liquidity_notional(self, quote: str) -> Decimal:
        """The notional that scores 10 in a quote asset."""
        return self.full_liquidity_notionals.get(quote, self.full_liquidity_notionals["*"])
