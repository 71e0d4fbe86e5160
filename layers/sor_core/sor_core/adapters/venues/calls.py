"""Private requests before they are signed, and their outcomes where all venues agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import quote, urlencode

from sor_core.adapters.http import Answer, NotSentError
from sor_core.adapters.venues import wire
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Found,
    FrozenRequest,
    OrderRef,
    OrderState,
    Placed,
    Placement,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    VenueOrder,
    inconsistency,
    mismatch,
)

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Meaning = RejectReason | UnknownWhy
"""What an answer's code says of the order: a definite no, or that nobody knows."""

_LOGGABLE = re.compile(r"[\x20-\x7e]{0,200}", re.ASCII)

_WHY_UNKNOWN: Mapping[VenueFailure, UnknownWhy] = {
    VenueFailure.TIMEOUT: UnknownWhy.TIMEOUT,
    VenueFailure.CONNECTION: UnknownWhy.CONNECTION_LOST,
    VenueFailure.SERVER_ERROR: UnknownWhy.SERVER_ERROR,
    VenueFailure.MAINTENANCE: UnknownWhy.SERVER_ERROR,
    VenueFailure.MALFORMED: UnknownWhy.MALFORMED,
    VenueFailure.TOO_LARGE: UnknownWhy.MALFORMED,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A private request, signature apart."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = ""
    counted_by: Mapping[str, str | int] = field(default_factory=dict)
    """Parameters that its cost depends on."""


def order_call(request: FrozenRequest, **counted_by: str) -> Call:
    """Give the call of an order, byte for byte as it was frozen."""
    return Call(
        request.method,
        request.path,
        body=request.body,
        content_type=request.content_type,
        counted_by=counted_by,
    )


def form(params: Mapping[str, str | int]) -> str:
    """Write parameters percent-encoded and in their order: the very characters that are signed."""
    return urlencode(params, quote_via=quote)


def loggable(text: str) -> str:
    """Return a venue's own word if it is one plain line, else that it is none."""
    return text if _LOGGABLE.fullmatch(text) else "a text that is not a plain line"


def is_page(answer: Answer) -> bool:
    """Whether an answer is a web page: of a network on the way, not of the venue's API."""
    return "html" in answer.headers.get("content-type", "").lower() or answer.body[:64].lstrip()[:1] == b"<"


def refused(meaning: Meaning, code: str, detail: str, answer: Answer) -> Rejected | Unknown:
    """Make the outcome of an order's POST that a code stands for."""
    told = loggable(detail)
    retry_after_s = wire.retry_after_s(answer.headers)
    if isinstance(meaning, RejectReason):
        return Rejected(meaning, loggable(code), told, retry_after_s)
    return Unknown(meaning, told, loggable(code), retry_after_s)


def not_from_the_api(answer: Answer) -> Unknown | None:
    """Say that nobody knows, for every answer that no code can make a definite one."""
    if is_page(answer):
        why = UnknownWhy.SERVER_ERROR if answer.status >= 500 else UnknownWhy.MALFORMED  # noqa: PLR2004 - the class of server errors
        return Unknown(why, f"HTTP {answer.status}, a web page", "", wire.retry_after_s(answer.headers))
    if answer.status >= 500:  # noqa: PLR2004 - same
        return Unknown(
            UnknownWhy.SERVER_ERROR, f"HTTP {answer.status}", "", wire.retry_after_s(answer.headers)
        )
    return None


def unknown(error: VenueError) -> Unknown:
    """Say of a failed exchange that nobody knows what came of it."""
    return Unknown(
        _WHY_UNKNOWN.get(error.failure, UnknownWhy.REFUSED),
        error.detail,
        retry_after_s=error.retry_after_s,
    )


def failed(error: VenueError) -> Rejected | Unknown:
    """Say what a failed exchange means for an order: a definite no only where no byte left."""
    if isinstance(error, NotSentError):
        ours = error.failure is not VenueFailure.CONNECTION
        reason = RejectReason.HELD_BACK if ours else RejectReason.NOT_SENT
        return Rejected(reason, "", error.detail, error.retry_after_s)
    return unknown(error)


def pending(placement: Placement, venue_order_id: str, client_order_id: str | None, side: Side) -> VenueOrder:
    """Give an order of which the venue told that it took it, and nothing else."""
    return VenueOrder(
        venue=placement.venue,
        symbol=placement.symbol,
        venue_order_id=venue_order_id,
        client_order_id=client_order_id,
        side=side,
        state=OrderState.PENDING,
        filled_size=Decimal(0),
        quote_filled=Decimal(0),
        average_price=None,
    )


def found(ref: OrderRef, order: VenueOrder) -> Found | Unknown:
    """Hold what a venue tells of an order against which was asked for, and against itself."""
    if order.client_order_id not in {None, ref.client_order_id}:
        return Unknown(UnknownWhy.CONTRADICTORY, "another client order id than asked for")
    if ref.venue_order_id not in {None, order.venue_order_id}:
        return Unknown(UnknownWhy.CONTRADICTORY, "another order id than asked for")
    contradiction = inconsistency(order)
    return Found(order) if contradiction is None else Unknown(UnknownWhy.CONTRADICTORY, contradiction)


def placed(placement: Placement, order: VenueOrder) -> PlaceOutcome:
    """Hold what a venue tells of an order against what was asked, and against itself."""
    contradiction = mismatch(placement, order) or inconsistency(order)
    return Placed(order) if contradiction is None else Unknown(UnknownWhy.CONTRADICTORY, contradiction)
