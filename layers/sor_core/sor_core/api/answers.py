"""Answers as JSON documents; every field's meaning, unit and formula stand in docs/api.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sor_core.api.json import number
from sor_core.api.problems import FieldError, Kind, Problem
from sor_core.domain.decision import Alternative, BookLevel, Decision, Leg, NoRoute, NoRouteReason
from sor_core.domain.market import Exclusion
from sor_core.domain.money import round_significant
from sor_core.domain.order import Order
from sor_core.health.breaker import Breaker
from sor_core.health.measure import HealthRecord, SymbolDepth
from sor_core.health.windows import Window
from sor_core.routing.score import aged
from sor_core.services.route import Routed

RETRY_AFTER_S = 5
_SCORE_PLACES = 4
_COST_PLACES = 6


def route_answer(routed: Routed, now_ms: int) -> dict[str, Any]:
    """The answer of ``POST /api/route``."""
    decision, costs = routed.decision, routed.decision.costs
    waited_ms = max(0, now_ms - decision.decided_at_ms)
    return {
        "selected_exchange": decision.selected,
        "reason": decision.reason,
        "expected_price": number(costs.expected_price),
        "expected_slippage_bps": _bps(costs.slippage_bps),
        "liquidity_score": _score(decision.legs[0].liquidity_score),
        "latency_ms": round(max(leg.latency_ms for leg in decision.legs), 1),
        "confidence": _score(aged(decision.confidence, len(decision.legs), waited_ms)),
        "alternatives": [_alternative(a) for a in decision.alternatives],
        "decision_id": routed.decision_id,
        "strategy": decision.strategy,
        "allocations": [_leg(leg) for leg in decision.legs],
        "amount": number(costs.amount),
        "notional": number(costs.notional),
        "remaining_amount": number(decision.remaining),
        "remaining_quote_amount": None
        if decision.remaining_quote is None
        else number(decision.remaining_quote),
        "total_cost_bps": _bps(costs.total_cost_bps),
        "fee_bps": _bps(costs.fee_bps),
        "fee": number(costs.fee),
        "arrival_mid": number(decision.arrival_mid),
        "price_cap": number(round_significant(decision.price_cap, 18)),
        "best_single_exchange": decision.best_single_venue,
        "savings_bps": None if decision.savings_bps is None else _bps(decision.savings_bps),
        "optimality_gap_bps": _bps(decision.optimality_gap_bps),
        "books": [
            {"venue": b.venue, "age_ms": b.age_ms + waited_ms, "source": b.source} for b in decision.books
        ],
        "excluded": [_exclusion(e) for e in decision.excluded],
        "cached": routed.cached,
        "certificate": _certificate(decision),
        **({} if routed.receipt is None else {"receipt": routed.receipt}),
    }


def no_route_problem(order: Order, no_route: NoRoute) -> Problem:
    """Why there is no route, as a problem that names the field to change."""
    size = "amount" if order.quote_amount is None else "quote_amount"
    bound = "max_slippage_bps" if order.price is None else "price"
    excluded = (("excluded", [_exclusion(e) for e in no_route.excluded]),)
    fillable = (("fillable_amount", number(no_route.fillable)), *excluded)
    match no_route.reason:
        case NoRouteReason.UNKNOWN_SYMBOL:
            errors = [FieldError("symbol", "a symbol that at least one venue lists")]
            return Problem(Kind.UNKNOWN_SYMBOL, no_route.detail, errors, excluded)
        case NoRouteReason.NO_VENUE:
            return Problem(Kind.NO_VENUE, no_route.detail, (), excluded, RETRY_AFTER_S)
        case NoRouteReason.INSUFFICIENT_DEPTH:
            errors = [FieldError(size, "no more than the books hold")]
            return Problem(Kind.INSUFFICIENT_DEPTH, no_route.detail, errors, fillable)
        case NoRouteReason.SLIPPAGE:
            errors = [FieldError(bound, "a limit within which the order can be filled")]
            return Problem(Kind.SLIPPAGE, no_route.detail, errors, fillable)
        case NoRouteReason.INSUFFICIENT_FUNDS:
            errors = [FieldError(size, "no more than the account's free balances pay for")]
            return Problem(Kind.INSUFFICIENT_FUNDS, no_route.detail, errors, fillable)
        case NoRouteReason.BELOW_MINIMUM:
            errors = [FieldError(size, "at least the smallest that a venue takes")]
            return Problem(Kind.BELOW_MINIMUM, no_route.detail, errors, excluded)


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


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "venue": leg.venue,
        "amount": number(leg.amount),
        "limit_price": number(leg.limit_price),
        "expected_price": number(round_significant(leg.notional / leg.amount, 15)),
        "worst_price": number(leg.worst_price),
        "fee": number(leg.fee),
        "fee_bps": number(leg.fee_bps),
        "latency_ms": round(leg.latency_ms, 1),
        "liquidity_score": _score(leg.liquidity_score),
    }


def _alternative(alternative: Alternative) -> dict[str, Any]:
    costs = alternative.costs
    return {
        "exchange": alternative.venue,
        "amount": number(costs.amount),
        "expected_price": number(costs.expected_price),
        "expected_slippage_bps": _bps(costs.slippage_bps),
        "fee_bps": _bps(costs.fee_bps),
        "total_cost_bps": _bps(costs.total_cost_bps),
        "liquidity_score": _score(alternative.liquidity_score),
        "latency_ms": round(alternative.latency_ms, 1),
    }


def _certificate(decision: Decision) -> dict[str, Any]:
    certificate = decision.certificate
    return {
        "marginal_price": number(certificate.marginal_price),
        "objective": number(certificate.objective),
        "lower_bound": number(certificate.lower_bound),
        "optimality_gap_bps": _bps(decision.optimality_gap_bps),
        "best_single_exchange": decision.best_single_venue,
        "savings_bps": None if decision.savings_bps is None else _bps(decision.savings_bps),
        "venues": [
            {"venue": v.venue, "last_used": _level(v.last_used), "first_unused": _level(v.first_unused)}
            for v in certificate.venues
        ],
    }


def _level(level: BookLevel | None) -> dict[str, Any] | None:
    if level is None:
        return None
    return {
        "price": number(level.price),
        "size": number(level.size),
        "all_in_price": number(level.all_in_price),
        "strategy_price": number(level.strategy_price),
    }


def _exclusion(exclusion: Exclusion) -> dict[str, Any]:
    return {"venue": exclusion.venue, "why": exclusion.why, "detail": exclusion.detail}


def _bps(value: Decimal) -> Decimal:
    return number(round(value, _COST_PLACES))


def _score(value: float) -> float:
    return round(value, _SCORE_PLACES)
