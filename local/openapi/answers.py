"""What the API answers, closed: the shapes of api/answers.py and api/orders.py."""

from __future__ import annotations

from local.openapi.forms import (
    COUNT,
    FLAG,
    ID,
    NATURAL,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    SCORE,
    SHARE,
    SYMBOL,
    TEXT,
    TIME_MS,
    Schema,
    closed,
    listed,
    matching,
    nullable,
    one_of,
    ref,
)
from local.openapi.words import described
from sor_core.api.execute import Resolution
from sor_core.domain.decision import Reason
from sor_core.domain.errors import VenueFailure
from sor_core.domain.health import SystemStatus
from sor_core.domain.market import BookSource, Why
from sor_core.domain.order import OrderType, Side, Strategy
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import OrderState, RejectReason
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import AttemptState, TimeInForce
from sor_core.health.breaker import BreakerState

_ID = matching(ID)
_VENUE = ref("Venue")
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
_WINDOWS = ("5m", "1h", "1d")
_NEVER_PROBED = ("failure", "stale", "windows", "depth", "breakers")
_NOT_YET_KNOWN: Schema = {"type": ["boolean", "null"]}


def schemas() -> dict[str, Schema]:
    """Every document that the API answers, by its name among the components."""
    return _route() | _status() | _order() | _reviews() | _dry_run() | _control()


def _by_key(pattern: str, schema: Schema) -> Schema:
    """An object whose members' names have a form."""
    return {"type": "object", "additionalProperties": False, "patternProperties": {pattern: schema}}


def _route() -> dict[str, Schema]:
    answer = "### Answer"
    leg = {
        "venue": _VENUE,
        **dict.fromkeys(("amount", "limit_price", "expected_price", "worst_price"), POSITIVE),
        **dict.fromkeys(("fee", "fee_bps", "latency_ms"), NOT_NEGATIVE),
        "liquidity_score": SCORE,
    }
    alternative = {
        "exchange": _VENUE,
        **dict.fromkeys(("amount", "expected_price"), POSITIVE),
        "expected_slippage_bps": NUMBER,
        "fee_bps": NOT_NEGATIVE,
        "total_cost_bps": NUMBER,
        "liquidity_score": SCORE,
        "latency_ms": NOT_NEGATIVE,
    }
    book = {"venue": _VENUE, "age_ms": COUNT, "source": one_of(BookSource)}
    exclusion = {"venue": _VENUE, "why": one_of(Why, VenueFailure), "detail": TEXT}
    return {
        "RouteAnswer": described(closed(_decision(), optional=("receipt",)), answer),
        "Leg": described(closed(leg), answer, 1),
        "Alternative": described(closed(alternative), answer, 2),
        "BookUsed": described(closed(book), answer, 3),
        "Exclusion": described(closed(exclusion), answer, 3),
        **_certificate(answer),
    }


def _decision() -> dict[str, Schema]:
    return {
        "selected_exchange": _VENUE,
        "reason": one_of(Reason),
        "expected_price": POSITIVE,
        "expected_slippage_bps": NUMBER,
        "liquidity_score": SCORE,
        "latency_ms": NOT_NEGATIVE,
        "confidence": SHARE,
        "alternatives": listed(ref("Alternative")),
        "decision_id": _ID,
        "strategy": one_of(Strategy),
        "allocations": {**listed(ref("Leg")), "minItems": 1},
        **dict.fromkeys(("amount", "notional"), POSITIVE),
        "remaining_amount": NOT_NEGATIVE,
        "remaining_quote_amount": nullable(NOT_NEGATIVE),
        "total_cost_bps": NUMBER,
        **dict.fromkeys(("fee_bps", "fee"), NOT_NEGATIVE),
        **dict.fromkeys(("arrival_mid", "price_cap"), POSITIVE),
        "best_single_exchange": nullable(_VENUE),
        "savings_bps": nullable(NUMBER),
        "optimality_gap_bps": NOT_NEGATIVE,
        "books": {**listed(ref("BookUsed")), "minItems": 1},
        "excluded": listed(ref("Exclusion")),
        "cached": FLAG,
        "certificate": ref("Certificate"),
        "receipt": ref("Receipt"),
    }


def _certificate(answer: str) -> dict[str, Schema]:
    level = dict.fromkeys(("price", "size", "all_in_price"), POSITIVE) | {"strategy_price": NUMBER}
    shown = nullable(ref("BookLevel"))
    certificate = {
        **dict.fromkeys(("marginal_price", "objective", "lower_bound"), NUMBER),
        "optimality_gap_bps": NOT_NEGATIVE,
        "best_single_exchange": nullable(_VENUE),
        "savings_bps": nullable(NUMBER),
        "venues": listed(closed({"venue": _VENUE, "last_used": shown, "first_unused": shown})),
    }
    return {
        "Certificate": described(closed(certificate), answer, 4),
        "BookLevel": described(closed(level), answer, 5),
    }


def _status() -> dict[str, Schema]:
    window = {"calls": COUNT, "success_rate": nullable(SHARE), "uptime_pct": nullable(_PERCENT)}
    breaker = {"state": one_of(BreakerState), "since": nullable(TIME_MS), "why": TEXT}
    depth = dict.fromkeys(("bid_10_bps", "ask_10_bps", "bid_50_bps", "ask_50_bps"), NOT_NEGATIVE)
    measured = {
        "is_healthy": FLAG,
        "latency_ms": NOT_NEGATIVE,
        **dict.fromkeys(("success_rate", "health_score"), SHARE),
        "liquidity_score": SCORE,
        "uptime_pct": _PERCENT,
        "consecutive_failures": COUNT,
        "system_status": nullable(one_of(SystemStatus)),
        "clock_offset_ms": nullable(NUMBER),
        "round_trip_ms": nullable(NOT_NEGATIVE),
        "age_s": NOT_NEGATIVE,
        "failure": {"type": "string", "enum": ["", *one_of(VenueFailure)["enum"]]},
        "stale": FLAG,
        "windows": closed({name: closed(window) for name in _WINDOWS}),
        "depth": _by_key(SYMBOL, closed(depth)),
        "breakers": closed({"market_data": closed(breaker), "trading": closed(breaker)}),
    }
    unknown: dict[str, Schema] = {
        name: {"type": "null"} for name in measured if name not in _NEVER_PROBED
    } | {
        "failure": {"const": ""},
        "stale": {"const": True},
        **dict.fromkeys(("windows", "depth", "breakers"), closed({})),
    }
    venues: Schema = {
        "type": "object",
        "propertyNames": _VENUE,
        "additionalProperties": {"oneOf": [ref("ExchangeStatus"), ref("UnmeasuredExchangeStatus")]},
    }
    return {
        "StatusAnswer": closed({"exchanges": venues}),
        "ExchangeStatus": described(closed(measured), "## GET /api/exchanges/status"),
        "UnmeasuredExchangeStatus": {
            **closed(unknown),
            "description": "A venue never probed: nothing is known.",
        },
        "MetricsPage": {**TEXT, "description": "Prometheus' text format 0.0.4."},
        "HealthAnswer": closed({"status": {"const": "ok"}, "version": TEXT, "venues": listed(_VENUE)}),
    }


def _order() -> dict[str, Schema]:
    answer, detail = "### The answer to an order", "### GET /api/orders/{order_id}"
    result = {
        **dict.fromkeys(("average_price", "expected_price"), nullable(POSITIVE)),
        **dict.fromkeys(("filled_amount", "notional"), NOT_NEGATIVE),
        "fees": listed(ref("Fee")),
        "net_amounts": {"type": "object", "additionalProperties": NUMBER},
    }
    sizes = dict.fromkeys(("amount", "quote_amount", "price", "max_slippage_bps"), nullable(POSITIVE))
    terms = {
        "ordered": closed(sizes | {"execution_strategy": one_of(Strategy)}),
        "time_in_force": one_of(TimeInForce),
        **dict.fromkeys(("arrival_mid", "price_cap"), POSITIVE),
    }
    event = {"at_ms": TIME_MS, "what": TEXT, "attempt": nullable(NATURAL), "detail": TEXT, "epoch": COUNT}
    added = {"terms": ref("Terms"), "history": listed(ref("Event"))}
    return {
        "OrderAnswer": described(closed(_standing()), answer),
        "Result": described(closed(result), answer, 1),
        "Attempt": described(closed(_attempt()), answer, 2),
        "Fee": described(closed({"asset": TEXT, "amount": NUMBER}), answer, 3),
        "Refusal": described(
            closed({"reason": one_of(RejectReason), "code": TEXT, "detail": TEXT}), answer, 3
        ),
        "OrderDetail": described(described(closed(_standing() | added), answer), detail),
        "Terms": described(closed(terms), detail, 1),
        "Event": described(closed(event), detail, 2),
        "OrdersPage": closed({"orders": listed(ref("OrderAnswer")), "cursor": nullable(TEXT)}),
    }


def _attempt() -> dict[str, Schema]:
    return {
        "number": NATURAL,
        "venue": _VENUE,
        "client_order_id": _ID,
        "state": one_of(AttemptState),
        **dict.fromkeys(("amount", "limit_price"), POSITIVE),
        "filled_amount": NOT_NEGATIVE,
        "average_price": nullable(POSITIVE),
        "venue_order_id": nullable(TEXT),
        "refusal": nullable(ref("Refusal")),
        "detail": TEXT,
    }


def _reviews() -> dict[str, Schema]:
    answer, heading = "### The answer to an order", "## GET /api/reviews"
    order = {
        "order_id": _ID,
        "caller": TEXT,
        **{name: _standing()[name] for name in ("client_order_id", "symbol", "side", "type", "status")},
        "created_at": TIME_MS,
        **dict.fromkeys(("since", "due_at"), nullable(TIME_MS)),
        "why": nullable(TEXT),
        **dict.fromkeys(("filled_amount", "remaining_amount", "at_risk_amount"), NOT_NEGATIVE),
        "attempts": listed(ref("WaitingAttempt")),
    }
    attempt = described(closed(_attempt() | {"intended_at": TIME_MS}), answer, 2)
    return {
        "ReviewsPage": closed({"orders": listed(ref("WaitingOrder")), "cursor": nullable(TEXT)}),
        "WaitingOrder": described(closed(order), heading, 1),
        "WaitingAttempt": described(attempt, heading, 2),
    }


def _standing() -> dict[str, Schema]:
    """An order as it stands."""
    return {
        "success": _NOT_YET_KNOWN,
        "exchange": _VENUE,
        "result": ref("Result"),
        "failover_used": FLAG,
        "order_id": _ID,
        "client_order_id": nullable(matching("^[!-~]{1,64}$")),
        "symbol": matching(SYMBOL),
        "side": one_of(Side),
        "type": one_of(OrderType),
        "status": one_of(OrderStatus),
        **dict.fromkeys(("filled_amount", "remaining_amount", "at_risk_amount"), NOT_NEGATIVE),
        "average_price": nullable(POSITIVE),
        "fees": listed(ref("Fee")),
        **dict.fromkeys(("slippage_bps", "savings_bps"), nullable(NUMBER)),
        "attempts": listed(ref("Attempt")),
        "decision_id": _ID,
        "created_at": TIME_MS,
        "ended_at": nullable(TIME_MS),
        "why": nullable(TEXT),
        "epoch": COUNT,
    }


def _dry_run() -> dict[str, Schema]:
    heading = "### Dry runs"
    expected = {
        **dict.fromkeys(("amount", "average_price"), POSITIVE),
        **dict.fromkeys(("slippage_bps", "total_cost_bps"), NUMBER),
        **dict.fromkeys(("arrival_mid", "price_cap"), POSITIVE),
    }
    leg = {
        "venue": _VENUE,
        **dict.fromkeys(("amount", "limit_price"), POSITIVE),
        "outcome": {"type": "string", "enum": ["would_take", "rejected", "not_sendable", "unknown"]},
        "refusal": nullable(ref("Refusal")),
        "detail": TEXT,
    }
    answer = {
        "success": _NOT_YET_KNOWN,
        "exchange": _VENUE,
        "result": {"type": "null"},
        "failover_used": {"const": False},
        "dry_run": {"const": True},
        "decision_id": _ID,
        "expected": nullable(ref("Expected")),
        "legs": listed(ref("CheckedLeg")),
    }
    return {
        "DryRunAnswer": described(closed(answer), heading),
        "Expected": described(closed(expected), heading, 1),
        "CheckedLeg": described(closed(leg), heading, 2),
    }


def _control() -> dict[str, Schema]:
    switch = {
        "mode": one_of(TradingMode),
        "reason": TEXT,
        "by": nullable(TEXT),
        "since": nullable(TIME_MS),
    }
    heading = "### GET /api/orders/{order_id}/review"
    word = {
        "attempt": NATURAL,
        "venue": _VENUE,
        "client_order_id": _ID,
        "shown": FLAG,
        "state": nullable(one_of(OrderState)),
        "venue_order_id": nullable(TEXT),
        **dict.fromkeys(("filled_amount", "quote_filled"), nullable(NOT_NEGATIVE)),
        "agrees_with_ledger": _NOT_YET_KNOWN,
        "problem": nullable(TEXT),
        "resolution": nullable(one_of(Resolution)),
    }
    told = closed(switch | {"still_open": nullable(COUNT)})
    return {
        "SwitchAnswer": described(closed(switch), "## GET /api/trading"),
        "SwitchSetAnswer": described(told, "## GET /api/trading"),
        "Evidence": closed({"order": ref("OrderDetail"), "venues": listed(ref("VenueWord"))}),
        "VenueWord": described(closed(word), heading),
    }
