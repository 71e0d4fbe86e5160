"""What a caller wants done."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.instrument import Symbol


class Side(StrEnum):
    """Which way the base asset moves."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """1 buying, -1 selling: a dearer price is worse for a buyer and better for a seller."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """Whether the caller names the worst price (limit) or the worst slippage (market)."""

    MARKET = "market"
    LIMIT = "limit"


class Strategy(StrEnum):
    """What the decision minimises; see `routing.strategies`."""

    BEST_EXECUTION = "best_execution"
    LOWEST_LATENCY = "lowest_latency"
    BEST_LIQUIDITY = "best_liquidity"
    COST_OPTIMIZATION = "cost_optimization"


@dataclass(frozen=True, slots=True)
class Order:
    """An order as accepted: every number positive and exact, exactly one of the two sizes set."""

    symbol: Symbol
    side: Side
    type: OrderType
    strategy: Strategy
    amount: Decimal | None
    """Gross base amount."""
    quote_amount: Decimal | None
    """Quote budget, fees included: the most to spend buying, the most to receive selling."""
    price: Decimal | None
    """Limit price; None for a market order."""
    max_slippage_bps: Decimal | None
    """Worst price against the arrival mid; None only for a limit order that names none."""
    allowed_venues: frozenset[str] | None = None
    """Only these; None is all."""
    denied_venues: frozenset[str] = frozenset()
    max_legs: int | None = None
    """Most venues to split across; None is all."""
