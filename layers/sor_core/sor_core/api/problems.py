"""Problems as RFC 9457 documents: one type per thing a caller can do something about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

CONTENT_TYPE = "application/problem+json"
_LONGEST_NAME = 64


class Kind(Enum):
    """(type, status, title) of every problem that the API answers; see docs/api.md."""

    NOT_JSON = ("not-json", 400, "The body is not JSON")
    KEY_REQUIRED = ("idempotency-key-required", 400, "The order bears no idempotency key")
    SYMBOL_NOT_ALLOWED = ("symbol-not-allowed", 403, "Orders in the symbol are not allowed here")
    NOT_FOUND = ("not-found", 404, "There is nothing at this path")
    ORDER_NOT_FOUND = ("order-not-found", 404, "There is no such order")
    HALTED = ("trading-halted", 409, "Trading is halted")
    REDUCE_ONLY = ("reduce-only", 409, "Only orders that sell are taken")
    FUNDS_RESERVED = ("funds-reserved", 409, "Other orders in flight have claimed the balances")
    REVIEW_REFUSED = ("review-refused", 409, "The order cannot be settled that way")
    TOO_LARGE = ("body-too-large", 413, "The body is too large")
    INVALID = ("invalid-order", 422, "The order is not valid")
    INVALID_REQUEST = ("invalid-request", 422, "The request is not valid")
    KEY_REUSED = ("idempotency-key-reused", 422, "The key belongs to another order")
    ORDER_NOTIONAL = ("order-notional-limit", 422, "The order is worth more than one order may be")
    DAILY_NOTIONAL = ("daily-notional-limit", 422, "The day's orders would be worth more than they may be")
    PRICE_COLLAR = ("price-collar", 422, "The price is too far from the reference")
    VENUE_RULES = ("venue-rules", 422, "A part of the order does not fit its venue's trading rules")
    UNKNOWN_SYMBOL = ("unknown-symbol", 422, "No venue lists the symbol")
    INSUFFICIENT_DEPTH = ("insufficient-depth", 422, "The books hold too little for the order")
    SLIPPAGE = ("slippage-limit", 422, "The order does not fit within its price limit")
    INSUFFICIENT_FUNDS = (
        "insufficient-funds",
        422,
        "The account has too little where the order could be filled",
    )
    BELOW_MINIMUM = ("below-minimum", 422, "The order is smaller than any venue takes")
    NO_VENUE = ("no-venue-available", 503, "No venue can take the order now")
    LEDGER_UNAVAILABLE = ("ledger-unavailable", 503, "The order ledger cannot be reached")
    STATE_UNAVAILABLE = ("state-unavailable", 503, "The state store cannot be reached")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.type = f"urn:sor:problem:{slug}"
        self.status = status
        self.title = title


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of the request."""

    field: str
    expected: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem to answer with."""

    kind: Kind
    detail: str
    errors: Sequence[FieldError] = ()
    extra: tuple[tuple[str, Any], ...] = ()
    """Further members of the document."""
    retry_after_s: int | None = None

    def document(self, instance: str) -> dict[str, Any]:
        """The RFC 9457 document; `instance` is the request's id, as in the logs."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": f"urn:sor:request:{instance}",
        }
        if self.errors:
            document["errors"] = [{"field": e.field, "expected": e.expected} for e in self.errors]
        return document | dict(self.extra)


def shown_name(name: str) -> str:
    """A name that a caller made up, as it can be told back: short, and such that it can be written."""
    return name[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


class ProblemError(Exception):
    """Raised at the edge to answer with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def invalid(errors: Sequence[FieldError], kind: Kind = Kind.INVALID) -> ProblemError:
    """Make the problem of fields that are wrong."""
    shown = "; ".join(f"{e.field}: expected {e.expected}" for e in errors[:5])
    return ProblemError(Problem(kind, shown, errors[:20]))
