"""Answers as JSON documents; every field's meaning, unit and formula stand in docs/api.md."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sor_core.api.json import number
from sor_core.api.no_route import exclusion_answer
from sor_core.domain.decision import Alternative, BookLevel, Decision, Leg
from sor_core.domain.money import round_significant
from sor_core.routing.score import aged
from sor_core.services.route import Routed

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
        "excluded": [exclusion_answer(e) for e in decision.excluded],
        "cached": routed.cached,
        "certificate": _certificate(decision),
        **({} if routed.receipt is None else {"receipt": routed.receipt}),
    }


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


def _bps(value: Decimal) -> Decimal:
    return number(round(value, _COST_PLACES))


def _score(value: float) -> float:
    return round(value, _SCORE_PLACES)
