"""Orders as JSON documents, and why one was refused; every field's meaning stands in docs/api.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sor_core.api.json import number
from sor_core.api.problems import FieldError, Kind, Problem
from sor_core.domain.decision import Decision
from sor_core.domain.money import exact, round_significant
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import CheckOutcome, Refusal, Rejected, Unknown, VenueOrder, WouldTake
from sor_core.execution.outcome import Outcome, net_amounts
from sor_core.execution.outcome import outcome as add_up
from sor_core.execution.record import Attempt, AttemptState, Event, OrderRecord, Terms
from sor_core.execution.request import CheckedLeg, RefusalReason, Refused
from sor_core.ports_trading import Page, Switch

RETRY_AFTER_S = 5
_AVERAGE_DIGITS = 15
_CAP_DIGITS = 18
_BPS_PLACES = 6
DONE, NOT_YET = 200, 202


def order_answer(record: OrderRecord) -> dict[str, Any]:
    """An order as it stands: the answer of ``POST /api/execute``."""
    sums = add_up(record)
    ending = record.ending
    return {
        "success": _success(record),
        "exchange": sums.exchange,
        "result": _result(record, sums),
        "failover_used": record.failover_used,
        "order_id": record.order_id,
        "client_order_id": record.client_order_id or None,
        "symbol": record.symbol,
        "side": record.side,
        "type": record.terms.order.type,
        "status": record.status,
        "filled_amount": number(sums.filled),
        "remaining_amount": number(sums.remaining),
        "at_risk_amount": number(sums.at_risk),
        "average_price": _or_null(sums.average_price),
        "fees": _fees(sums.fees),
        "slippage_bps": _bps(sums.slippage_bps),
        "savings_bps": _bps(sums.savings_bps),
        "attempts": [_attempt(a) for a in record.attempts],
        "decision_id": record.terms.decision_id,
        "created_at": record.created_at_ms,
        "ended_at": None if ending is None else ending.at_ms,
        "why": None if ending is None else ending.why,
        "epoch": record.epoch,
    }


def order_detail(record: OrderRecord) -> dict[str, Any]:
    """The answer of ``GET /api/orders/{order_id}``: with what was settled, and all that happened."""
    return order_answer(record) | {
        "terms": _terms(record.terms),
        "history": [_event(event) for event in record.history],
    }


def orders_page(page: Page) -> dict[str, Any]:
    """The answer of ``GET /api/orders``."""
    return {"orders": [order_answer(record) for record in page.orders], "cursor": page.cursor}


def reviews_page(page: Page) -> dict[str, Any]:
    """The answer of ``GET /api/reviews``."""
    return {"orders": [_waiting(record) for record in page.orders], "cursor": page.cursor}


def order_status_code(record: OrderRecord) -> int:
    """200 where nothing more is awaited: it ended, or it rests. Else 202."""
    done = record.status.is_final or record.status is OrderStatus.RESTING
    return DONE if done else NOT_YET


def dry_run_answer(decision_id: str, decision: Decision | None, legs: Sequence[CheckedLeg]) -> dict[str, Any]:
    """What would be sent, and what the venues say of it; without a decision the order would rest."""
    return {
        "success": _would_succeed(legs),
        "exchange": legs[0].venue if decision is None else decision.selected,
        "result": None,
        "failover_used": False,
        "dry_run": True,
        "decision_id": decision_id,
        "expected": None if decision is None else _expected(decision),
        "legs": [_checked_leg(leg) for leg in legs],
    }


def _expected(decision: Decision) -> dict[str, Any]:
    costs = decision.costs
    return {
        "amount": number(costs.amount),
        "average_price": number(costs.expected_price),
        "slippage_bps": _bps(costs.slippage_bps),
        "total_cost_bps": _bps(costs.total_cost_bps),
        "arrival_mid": number(decision.arrival_mid),
        "price_cap": number(round_significant(decision.price_cap, _CAP_DIGITS)),
    }


def switch_answer(switch: Switch) -> dict[str, Any]:
    """The answer of ``GET`` and ``PUT /api/trading``."""
    return {
        "mode": switch.mode,
        "reason": switch.reason,
        "by": switch.by or None,
        "since": switch.since_ms or None,
    }


# Problems -----------------------------------------------------------------------------------------

_REFUSALS: Mapping[RefusalReason, Kind] = {
    RefusalReason.SYMBOL_NOT_ALLOWED: Kind.SYMBOL_NOT_ALLOWED,
    RefusalReason.HALTED: Kind.HALTED,
    RefusalReason.REDUCE_ONLY: Kind.REDUCE_ONLY,
    RefusalReason.KEY_REQUIRED: Kind.KEY_REQUIRED,
    RefusalReason.KEY_REUSED: Kind.KEY_REUSED,
    RefusalReason.ORDER_NOTIONAL: Kind.ORDER_NOTIONAL,
    RefusalReason.DAILY_NOTIONAL: Kind.DAILY_NOTIONAL,
    RefusalReason.PRICE_COLLAR: Kind.PRICE_COLLAR,
    RefusalReason.FUNDS_RESERVED: Kind.FUNDS_RESERVED,
    RefusalReason.VENUE_RULES: Kind.VENUE_RULES,
}
_FIELDS: Mapping[RefusalReason, FieldError] = {
    RefusalReason.SYMBOL_NOT_ALLOWED: FieldError("symbol", "one that SOR_ALLOWED_SYMBOLS names"),
    RefusalReason.REDUCE_ONLY: FieldError("side", "sell"),
    RefusalReason.KEY_REQUIRED: FieldError("Idempotency-Key", "a key, here or as client_order_id"),
    RefusalReason.KEY_REUSED: FieldError("Idempotency-Key", "one that no other order has"),
}
_EXPECTED: Mapping[RefusalReason, str] = {
    RefusalReason.KEY_REUSED: "one that no other order has",
    RefusalReason.ORDER_NOTIONAL: "one with which the order is worth no more than the limit",
    RefusalReason.PRICE_COLLAR: "one that keeps the worst price within the collar",
}


def refusal_problem(refused: Refused) -> Problem:
    """Why an order was refused before anything was sent or stored."""
    reason = refused.reason
    errors = [_FIELDS[reason]] if reason in _FIELDS else []
    if refused.field:
        errors = [FieldError(refused.field, _EXPECTED[reason])]
    again = RETRY_AFTER_S if reason is RefusalReason.FUNDS_RESERVED else None
    return Problem(_REFUSALS[reason], refused.detail, errors, retry_after_s=again)


def order_not_found_problem() -> Problem:
    """No order of the caller's has that id."""
    return Problem(Kind.ORDER_NOT_FOUND, "no order of yours has this id")


def receipt_not_found_problem() -> Problem:
    """An order that rested at once has no decision, and so no receipt."""
    return Problem(Kind.ORDER_NOT_FOUND, "this order has no receipt: it was not decided by books")


def cursor_problem() -> Problem:
    """A cursor that the ledger did not give out."""
    error = FieldError("cursor", "the cursor of an earlier answer, or none")
    return Problem(Kind.INVALID_REQUEST, f"cursor: expected {error.expected}", [error])


def ledger_unavailable_problem() -> Problem:
    """The ledger did not answer, or could not say whether it wrote."""
    detail = (
        "the order ledger did not answer, and nothing was sent to a venue after that; an order that was "
        "accepted is carried on. Ask again with the same key: it never makes a second order"
    )
    return Problem(Kind.LEDGER_UNAVAILABLE, detail, retry_after_s=RETRY_AFTER_S)


# Parts --------------------------------------------------------------------------------------------


def _success(record: OrderRecord) -> bool | None:
    match record.status:
        case OrderStatus.FILLED | OrderStatus.PARTIALLY_FILLED | OrderStatus.RESTING:
            return True
        case OrderStatus.CANCELLED | OrderStatus.EXPIRED | OrderStatus.REJECTED:
            return bool(record.filled)
        case OrderStatus.WORKING | OrderStatus.RESOLVING | OrderStatus.CANCELLING | OrderStatus.NEEDS_REVIEW:
            return None


def _result(record: OrderRecord, sums: Outcome) -> dict[str, Any]:
    return {
        "average_price": _or_null(sums.average_price),
        "expected_price": _or_null(record.terms.expected_price),
        "filled_amount": number(sums.filled),
        "notional": number(sums.notional),
        "fees": _fees(sums.fees),
        "net_amounts": {asset: number(change) for asset, change in net_amounts(record).items()},
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    average = None
    if attempt.filled:
        with exact():
            average = round_significant(attempt.quote_filled / attempt.filled, _AVERAGE_DIGITS)
    return {
        "number": attempt.number,
        "venue": attempt.venue,
        "client_order_id": attempt.request.placement.client_order_id,
        "state": attempt.state,
        "amount": number(attempt.size),
        "limit_price": number(attempt.limit_price),
        "filled_amount": number(attempt.filled),
        "average_price": _or_null(average),
        "venue_order_id": None if attempt.order is None else attempt.order.venue_order_id,
        "refusal": None if attempt.refusal is None else _refusal(attempt.refusal),
        "detail": attempt.detail,
    }


def _waiting(record: OrderRecord) -> dict[str, Any]:
    sums, ending = add_up(record), record.ending
    # Where a venue contradicted itself, a settled attempt too may be settled anew.
    unclear = [a for a in record.attempts if record.contradiction or not a.is_settled]
    return {
        "order_id": record.order_id,
        "caller": record.caller,
        "client_order_id": record.client_order_id or None,
        "symbol": record.symbol,
        "side": record.side,
        "type": record.terms.order.type,
        "status": record.status,
        "created_at": record.created_at_ms,
        "since": None if ending is None else ending.at_ms,
        "due_at": record.due_at_ms if ending is None else None,
        "why": None if ending is None else ending.why,
        "filled_amount": number(sums.filled),
        "remaining_amount": number(sums.remaining),
        "at_risk_amount": number(sums.at_risk),
        "attempts": [_attempt(a) | {"intended_at": a.intended_at_ms} for a in unclear],
    }


def venue_answer(attempt: Attempt, shown: VenueOrder | None, problem: str) -> dict[str, Any]:
    """What a venue says now of an attempt, and which resolution of a review it would bear out."""
    resolution = None
    if not problem and not attempt.is_settled:
        resolution = "never_placed" if shown is None else "keep_as_told" if shown.state.is_final else None
    return {
        "attempt": attempt.number,
        "venue": attempt.venue,
        "client_order_id": attempt.request.placement.client_order_id,
        "shown": shown is not None,
        "state": None if shown is None else shown.state,
        "venue_order_id": None if shown is None else shown.venue_order_id,
        "filled_amount": None if shown is None else number(shown.filled_size),
        "quote_filled": None if shown is None else number(shown.quote_filled),
        "agrees_with_ledger": None
        if problem
        else (shown is not None and shown.filled_size == attempt.filled)
        or (shown is None and attempt.state is AttemptState.NEVER),
        "problem": problem or None,
        "resolution": resolution,
    }


def _terms(terms: Terms) -> dict[str, Any]:
    order = terms.order
    return {
        "ordered": {
            "amount": _or_null(order.amount),
            "quote_amount": _or_null(order.quote_amount),
            "price": _or_null(order.price),
            "max_slippage_bps": _or_null(order.max_slippage_bps),
            "execution_strategy": order.strategy,
        },
        "time_in_force": terms.time_in_force,
        "arrival_mid": number(terms.arrival_mid),
        "price_cap": number(round_significant(terms.price_cap, _CAP_DIGITS)),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "at_ms": event.at_ms,
        "what": event.what,
        "attempt": event.attempt,
        "detail": event.detail,
        "epoch": event.epoch,
    }


def _refusal(refusal: Rejected | Refusal) -> dict[str, Any]:
    code = refusal.code if isinstance(refusal, Rejected) else ""
    return {"reason": refusal.reason, "code": code, "detail": refusal.detail}


def _checked_leg(leg: CheckedLeg) -> dict[str, Any]:
    return {
        "venue": leg.venue,
        "amount": number(leg.size),
        "limit_price": number(leg.limit_price),
    } | _finding(leg.outcome)


def _finding(outcome: CheckOutcome | Refusal) -> dict[str, Any]:
    match outcome:
        case WouldTake():
            return {"outcome": "would_take", "refusal": None, "detail": ""}
        case Rejected():
            return {"outcome": "rejected", "refusal": _refusal(outcome), "detail": outcome.detail}
        case Refusal():
            return {"outcome": "not_sendable", "refusal": _refusal(outcome), "detail": outcome.detail}
        case Unknown():
            return {"outcome": "unknown", "refusal": None, "detail": f"{outcome.why}: {outcome.detail}"}


def _would_succeed(legs: Sequence[CheckedLeg]) -> bool | None:
    if any(isinstance(leg.outcome, Rejected | Refusal) for leg in legs):
        return False
    return True if all(isinstance(leg.outcome, WouldTake) for leg in legs) else None


def _fees(fees: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    return [{"asset": asset, "amount": number(amount)} for asset, amount in sorted(fees.items())]


def _bps(value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    with exact():  # rounding to places needs as many digits as stand before the point
        return number(round(value, _BPS_PLACES))


def _or_null(value: Decimal | None) -> Decimal | None:
    return None if value is None else number(value)
