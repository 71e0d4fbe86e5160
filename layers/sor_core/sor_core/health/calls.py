"""What the calls to a venue say of it: answered, failed, or nothing. Pure; orders: `outcomes`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sor_core.domain.errors import VenueError, VenueFailure

LONGEST_MS = 2000.0
"""A call counts with this much at most: an order is waited for longer than a latency means anything."""

_OUR_DOING = frozenset({VenueFailure.RATE_LIMITED})
_ANSWERS = frozenset({VenueFailure.UNKNOWN_SYMBOL, VenueFailure.REFUSED})
_UNREACHED = frozenset({VenueFailure.TIMEOUT, VenueFailure.CONNECTION})


class Verdict(StrEnum):
    """What a call says of its venue."""

    ANSWERED = "answered"
    """It works; that it refused an order for its size or the balance is an answer."""
    FAILED = "failed"
    UNREACHED = "unreached"
    """Failed, and nothing came back: it may be our own egress."""
    NOTHING = "nothing"
    """It is our own doing, and counts for nothing."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over calls of one kind."""

    calls: int = 0
    ok: int = 0
    latency_sum_ms: float = 0.0
    failed_in_a_row: int = 0
    """Since the last that was answered."""
    failure: str = ""
    """Code of the last that failed."""

    def plus(self, latency_ms: float, failure: str) -> Tally:
        """Count one more; `failure` is empty where it was answered."""
        return Tally(
            self.calls + 1,
            self.ok + (not failure),
            self.latency_sum_ms + min(latency_ms, LONGEST_MS),
            self.failed_in_a_row + 1 if failure else 0,
            failure or self.failure,
        )

    def then(self, later: Tally) -> Tally:
        """Add what came later."""
        return Tally(
            self.calls + later.calls,
            self.ok + later.ok,
            self.latency_sum_ms + later.latency_sum_ms,
            later.failed_in_a_row + (0 if later.ok else self.failed_in_a_row),
            later.failure or self.failure,
        )


def verdict_on_error(error: VenueError) -> tuple[Verdict, str]:
    """What a failed question says, and its code."""
    if error.failure in _OUR_DOING:
        return Verdict.NOTHING, error.failure
    if error.failure in _ANSWERS:
        return Verdict.ANSWERED, ""
    return (Verdict.UNREACHED if error.failure in _UNREACHED else Verdict.FAILED), error.failure
