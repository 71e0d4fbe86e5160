"""What the operator allows orders to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sor_core.domain.instrument import Symbol


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator configured (see docs/configuration.md)."""

    symbols: frozenset[Symbol] | None
    """Only these may be traded; None is all."""
    order_notionals: Mapping[str, Decimal]
    """Most notional of one order, by quote asset; ``*`` is any other."""
    daily_notionals: Mapping[str, Decimal]
    """Most notional of all orders of a UTC day, by quote asset; ``*`` is any other."""
    collar_bps: Decimal
    """How far the price cap may lie from the reference, on the side that costs money."""


def of_quote(limits: Mapping[str, Decimal], quote: str) -> Decimal:
    """The limit for a quote asset."""
    return limits.get(quote, limits["*"])
