"""How the venues are, as a JSON document; every field's meaning and unit stand in docs/api.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sor_core.health.breaker import Breaker
from sor_core.health.measure import HealthRecord, SymbolDepth
from sor_core.health.windows import Window

_SCORE_PLACES = 4


def status_answer(
    venues: Sequence[str], records: Mapping[str, HealthRecord], now_ms: int, interval_s: int
) -> dict[str, Any]:
    """The answer of ``GET /api/exchanges/status``."""
    return {"exchanges": {v: _status(records.get(v), now_ms, interval_s) for v in venues}}


def _status(record: HealthRecord | None, now_ms: int, interval_s: int) -> dict[str, Any]:
    if record is None:  # never probed: nothing is known, and nothing is made up
        return dict.fromkeys(
            (
                "is_healthy",
                "latency_ms",
                "success_rate",
                "health_score",
                "liquidity_score",
                "uptime_pct",
                "consecutive_failures",
                "system_status",
                "clock_offset_ms",
                "round_trip_ms",
                "age_s",
            )
        ) | {"failure": "", "stale": True, "windows": {}, "depth": {}, "breakers": {}}
    metrics = record.metrics
    age_ms = max(0, now_ms - record.measured_at_ms)
    return {
        "is_healthy": metrics.is_healthy,
        "latency_ms": round(metrics.latency_ms, 1),
        "success_rate": _score(metrics.success_rate),
        "health_score": _score(metrics.health_score),
        "liquidity_score": _score(metrics.liquidity_score),
        "uptime_pct": round(metrics.uptime_pct, 2),
        "consecutive_failures": metrics.consecutive_failures,
        "system_status": record.status,
        "clock_offset_ms": None if record.clock_offset_ms is None else round(record.clock_offset_ms, 1),
        "round_trip_ms": record.round_trip_ms,
        "age_s": round(age_ms / 1000, 1),
        "failure": record.failure,
        "stale": age_ms > 3 * interval_s * 1000,
        "windows": {name: _window(window) for name, window in record.windows(now_ms).items()},
        "depth": {d.symbol: _depth(d) for d in record.depths},
        "breakers": {
            "market_data": _breaker(record.market_data.at(now_ms)),
            "trading": _breaker(record.trading.at(now_ms)),
        },
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "calls": window.calls,
        "success_rate": _score(window.success_rate) if window.calls else None,
        "uptime_pct": round(window.uptime_pct, 2) if window.looks else None,
    }


def _depth(depth: SymbolDepth) -> dict[str, Any]:
    return {
        "bid_10_bps": depth.bid_10_bps,
        "ask_10_bps": depth.ask_10_bps,
        "bid_50_bps": depth.bid_50_bps,
        "ask_50_bps": depth.ask_50_bps,
    }


def _breaker(breaker: Breaker) -> dict[str, Any]:
    return {"state": breaker.state, "since": breaker.since_ms or None, "why": breaker.why}


def _score(value: float) -> float:
    return round(value, _SCORE_PLACES)
