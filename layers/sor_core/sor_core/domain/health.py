"""The required health metrics of a venue, and its score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FULL_LATENCY_MS = 1000.0
"""Latency that scores 0 (requirements: Health Scoring Algorithm)."""


class SystemStatus(StrEnum):
    """A venue's own word on its whole trading system."""

    ONLINE = "online"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


def latency_utility(latency_ms: float) -> float:
    """``max(0, 1 - latency/1000)``: 1 is instant, 0 is a second or more."""
    return max(0.0, 1.0 - latency_ms / FULL_LATENCY_MS)


@dataclass(frozen=True, slots=True)
class ExchangeMetrics:
    """How well a venue is, over the probe's windows (see `health.measure`)."""

    latency_ms: float
    """Mean round trip of recent calls; a timeout counts with the time waited."""
    success_rate: float
    """Share of recent calls answered usably, 0..1."""
    liquidity_score: float
    """0..10, see `routing.score.liquidity_score`."""
    uptime_pct: float
    """Share of probes in the last hour that found the venue trading, 0..100."""
    consecutive_failures: int
    """Probes in a row, up to the last, that found it not trading."""
    is_healthy: bool

    @property
    def health_score(self) -> float:
        """0..1: 0.3 latency + 0.5 success + 0.2 uptime (requirements: Health Scoring Algorithm)."""
        return (
            0.3 * latency_utility(self.latency_ms) + 0.5 * self.success_rate + 0.2 * self.uptime_pct / 100.0
        )

    @property
    def reliability(self) -> float:
        """0..1: the chance that a call now meets a venue that is up and answers."""
        return self.success_rate * self.uptime_pct / 100.0
