"""What the outcomes of orders say of their venue. Pure."""

from __future__ import annotations

from sor_core.domain.trading import Rejected, RejectReason, Unknown, UnknownWhy
from sor_core.health.calls import Verdict

_VENUE_FAILED = frozenset({RejectReason.OVERLOADED, RejectReason.BLOCKED})
_SAYS_NOTHING = frozenset(
    {
        RejectReason.NOT_SENT,
        RejectReason.RATE_LIMITED,
        RejectReason.DEADLINE_ELAPSED,
        RejectReason.TIMESTAMP,
        RejectReason.NONCE,
        RejectReason.AUTH,
        RejectReason.PERMISSION,
        RejectReason.HALTED,
    }
)
"""Our own key, clock, pace or delay; or of one market only."""


def verdict_on_outcome(outcome: object) -> tuple[Verdict, str]:
    """What the outcome of an order, a query or a cancel says, and the code of a failure."""
    match outcome:
        case Unknown(why=UnknownWhy.REFUSED):
            return Verdict.NOTHING, outcome.why
        case Unknown(why=UnknownWhy.TIMEOUT | UnknownWhy.CONNECTION_LOST):
            return Verdict.UNREACHED, outcome.why
        case Unknown():
            return Verdict.FAILED, outcome.why
        case Rejected(reason=reason) if reason in _VENUE_FAILED:
            return Verdict.FAILED, reason
        case Rejected(reason=reason) if reason in _SAYS_NOTHING:
            return Verdict.NOTHING, reason
        case _:
            return Verdict.ANSWERED, ""
