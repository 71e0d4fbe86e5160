"""Reading venues' answers: every way in which one can be wrong ends as a `VenueError`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec

from sor_core.adapters.http import Answer
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.money import decimal_from_wire
from sor_core.ports import ServerTime

T = TypeVar("T")

OK = 200

COMMON_STATUS_FAILURES: Mapping[int, VenueFailure] = {
    403: VenueFailure.BLOCKED,
    418: VenueFailure.RATE_LIMITED,
    429: VenueFailure.RATE_LIMITED,
    451: VenueFailure.BLOCKED,
}
"""What these statuses mean at every venue, whether they come from its API or from the content
delivery network before it. 418 is Binance's word for a client that went on after 429."""

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
LATEST_MS = 4_102_444_800_000
"""2100-01-01: a clock beyond it is broken."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def malformed(venue: str, detail: str) -> VenueError:
    """Make the error for an answer that does not say what the venue's documentation promises."""
    return VenueError(venue, VenueFailure.MALFORMED, detail)


def decode(venue: str, decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode JSON into the type the decoder was made for.

    Raises
    ------
    VenueError
        MALFORMED: not JSON, other types or missing fields, numbers out of range, not UTF-8, or
        nested beyond reason. The detail names the place, never the content.
    """
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as cause:
        raise malformed(venue, _one_line(str(cause))) from cause
    except UnicodeDecodeError as cause:
        raise malformed(venue, "not UTF-8") from cause
    except RecursionError as cause:
        raise malformed(venue, "nested too deeply") from cause


def http_failure(
    venue: str, answer: Answer, *, failures: Mapping[int, VenueFailure], code: str = ""
) -> VenueError:
    """Say what an answer with another status than 200 means.

    Parameters
    ----------
    venue
        Which venue.
    answer
        Its answer.
    failures
        The venue's own meanings of statuses, which go before the common ones.
    code
        The venue's error code, for the detail.
    """
    status = answer.status
    failure = failures.get(status) or COMMON_STATUS_FAILURES.get(status)
    if failure is None:
        if status >= 500:  # noqa: PLR2004 - the class of server errors
            failure = VenueFailure.SERVER_ERROR
        elif status >= 400:  # noqa: PLR2004 - the class of client errors
            failure = VenueFailure.REFUSED
        else:
            # 204, 3xx: venues answer 200 or an error, and redirects are not followed.
            failure = VenueFailure.MALFORMED
    return VenueError(
        venue, failure, f"HTTP {status} {code}".rstrip(), retry_after_s=retry_after_s(answer.headers)
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` in seconds; None where absent or, unlike any venue's, a date."""
    text = headers.get("retry-after", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else None


def number(venue: str, field: str, text: object) -> Decimal:
    """Read a field that holds a non-negative decimal string; MALFORMED otherwise."""
    try:
        return decimal_from_wire(text)
    except ValueError as cause:
        raise malformed(venue, f"{field} is not a plain decimal") from cause


def step(venue: str, field: str, text: object) -> Decimal:
    """Read a field that holds a positive decimal string; MALFORMED otherwise."""
    value = number(venue, field, text)
    if not value:
        raise malformed(venue, f"{field} is zero")
    return value


def maximum(venue: str, field: str, text: str | None) -> Decimal | None:
    """Read an upper limit; None where absent, empty or zero, which all mean that there is none."""
    return (number(venue, field, text) or None) if text else None


def step_of_places(places: int) -> Decimal:
    """Give the smallest step of a number with so many decimal places: 2 -> 0.01."""
    return Decimal((0, (1,), -places))


def plausible_ms(venue: str, time_ms: int) -> int:
    """Return a Unix time in milliseconds as it is; MALFORMED outside the years 1970..2100."""
    if not 0 < time_ms < LATEST_MS:
        raise malformed(venue, "a time outside 1970..2100")
    return time_ms


def rfc3339_ms(venue: str, text: str) -> int:
    """Read a time such as ``2026-04-07T00:28:59.662782Z``, in whole Unix milliseconds."""
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError as cause:
        raise malformed(venue, "a time that is not RFC 3339") from cause
    if time.tzinfo is None:
        raise malformed(venue, "a time without its zone")
    return plausible_ms(venue, (time - _EPOCH) // _MILLISECOND)


def server_time(answer: Answer, venue_time_ms: int, *, resolution_ms: int = 0) -> ServerTime:
    """Compare a venue's clock with ours, half-way through the round trip.

    A clock told in whole steps of `resolution_ms` stands, on average, half a step later than it
    says.
    """
    return ServerTime(
        venue_time_ms=venue_time_ms,
        offset_ms=venue_time_ms + resolution_ms / 2.0 - answer.half_way_ms,
        latency_ms=answer.latency_ms,
    )


def next_limit(depth: int, allowed: tuple[int, ...]) -> int:
    """Choose the smallest allowed limit that is at least `depth`, or the largest there is."""
    return next((limit for limit in allowed if limit >= depth), allowed[-1])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]
