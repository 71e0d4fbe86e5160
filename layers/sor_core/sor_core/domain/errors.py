"""What can go wrong when a venue is asked, told apart by what it means for routing."""

from __future__ import annotations

from enum import StrEnum


class VenueFailure(StrEnum):
    """Why a venue gave no usable answer (a closed list; it stands in `excluded[].why`)."""

    TIMEOUT = "timeout"
    CONNECTION = "connection_failed"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    BLOCKED = "blocked"
    """Refused by the venue's firewall or for where we call from (Binance 403, 451)."""
    MAINTENANCE = "maintenance"
    UNKNOWN_SYMBOL = "unknown_symbol"
    REFUSED = "request_refused"
    """A definite refusal that none of the other reasons describes."""
    MALFORMED = "malformed_answer"
    """An answer that does not say what the venue's documentation promises."""
    TOO_LARGE = "answer_too_large"


class VenueError(Exception):
    """A venue's answer, or its absence, translated once at the HTTP seam.

    Attributes
    ----------
    venue
        Which venue.
    failure
        What it means.
    detail
        One line for people and logs; never a body, a header or a secret.
    retry_after_s
        Seconds the venue asked us to stay away, when it said so.
    """

    def __init__(
        self, venue: str, failure: VenueFailure, detail: str = "", *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{venue}: {failure}: {detail}" if detail else f"{venue}: {failure}")
        self.venue = venue
        self.failure = failure
        self.detail = detail
        self.retry_after_s = retry_after_s
