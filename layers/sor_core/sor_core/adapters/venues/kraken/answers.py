"""What Kraken's errors say of an order: one table, and how it is applied.

Kraken tells its errors with status 200, in the body. An error that is not in the table makes nobody
the wiser: the outcome is unknown. So does every answer of status 5XX and every answer that is not of
the API's own form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.calls import (
    Meaning,
    loggable,
    not_from_the_api,
    pending,
    refused,
    unknown,
)
from sor_core.adapters.venues.kraken import facts, symbols
from sor_core.adapters.venues.kraken.market_data import error_failure, failure
from sor_core.domain.errors import VenueError
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    CheckOutcome,
    NotOpen,
    Placement,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    VenueOrder,
    WouldTake,
)

T = TypeVar("T")

R, U = RejectReason, UnknownWhy

UNKNOWN_ORDER = "EOrder:Unknown order"
INVALID_NONCE = "EAPI:Invalid nonce"

ERRORS: Mapping[str, Meaning] = {
    "EAPI:Invalid key": R.AUTH,
    "EAPI:Invalid signature": R.AUTH,
    INVALID_NONCE: R.NONCE,
    "EAPI:Rate limit exceeded": R.RATE_LIMITED,
    "EAPI:Bad request": R.INVALID_REQUEST,
    "EAPI:Feature disabled": R.HALTED,
    "EAuth:Account temporary disabled": R.PERMISSION,
    "EAuth:Account unconfirmed": R.PERMISSION,
    "EAuth:Rate limit exceeded": R.RATE_LIMITED,
    "EAuth:Too many requests": R.RATE_LIMITED,
    "EAccount:Invalid permissions": R.PERMISSION,
    "EGeneral:Temporary lockout": R.AUTH,
    "EGeneral:Permission denied": R.PERMISSION,
    "EGeneral:Invalid arguments": R.INVALID_REQUEST,
    "EGeneral:Unknown method": R.INVALID_REQUEST,
    "EGeneral:Too many requests": R.RATE_LIMITED,
    "EGeneral:Internal error": U.VENUE_UNSURE,
    "EService:Unavailable": U.VENUE_UNSURE,
    "EService:Busy": U.VENUE_UNSURE,
    "EService:Timeout": U.VENUE_UNSURE,
    "EService:Throttled": R.RATE_LIMITED,
    "EService:Market in cancel_only mode": R.HALTED,
    "EService:Market in post_only mode": R.HALTED,
    "EService:Market in limit_only mode": R.HALTED,
    "EService:Deadline elapsed": R.DEADLINE_ELAPSED,
    "ETrade:Invalid request": R.INVALID_REQUEST,
    "EQuery:Unknown asset": R.UNKNOWN_SYMBOL,
    "EQuery:Unknown asset pair": R.UNKNOWN_SYMBOL,
    "EQuery:Invalid asset pair": R.UNKNOWN_SYMBOL,
    "EOrder:Insufficient funds": R.INSUFFICIENT_BALANCE,
    "EOrder:Insufficient margin": R.INSUFFICIENT_BALANCE,
    "EOrder:Insufficient initial margin": R.INSUFFICIENT_BALANCE,
    "EOrder:Margin allowance exceeded": R.INSUFFICIENT_BALANCE,
    "EOrder:Margin level too low": R.INSUFFICIENT_BALANCE,
    "EOrder:Margin position size exceeded": R.TOO_MANY_ORDERS,
    "EOrder:Positions limit exceeded": R.TOO_MANY_ORDERS,
    "EOrder:Orders limit exceeded": R.TOO_MANY_ORDERS,
    "EOrder:Scheduled orders limit exceeded": R.TOO_MANY_ORDERS,
    "EOrder:Rate limit exceeded": R.RATE_LIMITED,
    "EOrder:Domain rate limit exceeded": R.RATE_LIMITED,
    "EOrder:Order minimum not met": R.FILTER_SIZE,
    "EOrder:Cost minimum not met": R.FILTER_NOTIONAL,
    "EOrder:Tick size check failed": R.FILTER_PRICE,
    "EOrder:Invalid price": R.FILTER_PRICE,
    "EOrder:Post only order": R.POST_ONLY_WOULD_CROSS,
    "EOrder:Duplicate order": R.DUPLICATE_ID,
    "EOrder:Cannot open position": R.PERMISSION,
    "EOrder:Cannot open opposing position": R.PERMISSION,
    "EOrder:Trading agreement required": R.PERMISSION,
    "EOrder:Reduce only": R.INVALID_REQUEST,
    "EBM:limit exceeded": R.PERMISSION,
    # These answer other questions. To a new order they are no answer.
    UNKNOWN_ORDER: U.UNEXPECTED_CODE,
    "EOrder:Unknown position": U.UNEXPECTED_CODE,
    "EFunding:Max fee exceeded": U.UNEXPECTED_CODE,
    "EFunding:No funding method": U.UNEXPECTED_CODE,
    "EFunding:Too many addresses": U.UNEXPECTED_CODE,
}
"""Spot Errors: what stands there up to the second or a later colon. What follows another colon
(EGeneral:Invalid arguments:volume) only explains. Kraken documents that client order ids are unique
among open orders, not the words of the refusal: "Duplicate order" is what clients have seen."""

_ORDER_TEXT = re.compile(r"(buy|sell) ([0-9.]{1,40}) ([A-Za-z0-9/.]{1,24}) @ ", re.ASCII)
"""Add Order, ``descr.order``: ``buy 1.25000000 XBTUSD @ limit 27500.0``."""


class _Description(msgspec.Struct):
    order: str = ""


class _Added(msgspec.Struct):
    txid: list[str] = []
    descr: _Description = msgspec.field(default_factory=_Description)


class _Cancelled(msgspec.Struct):
    count: int


class _Envelope(msgspec.Struct):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"")


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ADDED = msgspec.json.Decoder(_Added)
_CANCELLED = msgspec.json.Decoder(_Cancelled)


def meaning(error: str) -> Meaning:
    """Say what an error means for a new order: the longest entry that it is, or begins with."""
    text = error
    while text:
        if text in ERRORS:
            return ERRORS[text]
        text = text.rpartition(":")[0]
    return U.UNEXPECTED_CODE


def read_place(answer: Answer, placement: Placement) -> VenueOrder | Rejected | Unknown:
    """Read *Add Order*: the order it made (of which it tells no amounts), or why it made none."""
    added = _added(answer)
    if not isinstance(added, _Added):
        return added
    if len(added.txid) != 1 or not added.txid[0]:
        return Unknown(U.CONTRADICTORY, f"success with the ids of {len(added.txid)} orders")
    side = _side(added, placement)
    return pending(placement, added.txid[0], None, side) if isinstance(side, Side) else side


def read_check(answer: Answer, placement: Placement) -> CheckOutcome:
    """Read *Add Order* with ``validate``: the order's description without an id, or why not."""
    added = _added(answer)
    if not isinstance(added, _Added):
        return added
    if added.txid:
        return Unknown(U.CONTRADICTORY, "validated only, and the id of an order")
    if not added.descr.order:
        return Unknown(U.MALFORMED, "validated, without the order's description")
    side = _side(added, placement)
    return WouldTake() if isinstance(side, Side) else side


def _added(answer: Answer) -> _Added | Rejected | Unknown:
    vague = not_from_the_api(answer)
    if vague is not None:
        return vague
    try:
        envelope = wire.decode(facts.VENUE, _ENVELOPE, answer.body)
        added = wire.decode(facts.VENUE, _ADDED, envelope.result) if _has_result(envelope) else _Added()
    except VenueError as error:
        return unknown(error)
    errors = [text for text in envelope.error if not text.startswith(facts.WARNING)]
    if errors:
        return _refusal(errors, added, answer)
    if answer.status != wire.OK:
        return Unknown(U.MALFORMED, f"HTTP {answer.status} without an error")
    return added


def _side(added: _Added, placement: Placement) -> Side | Unknown:
    try:
        side = _described_side(added.descr.order, placement)
    except VenueError as error:
        return unknown(error)
    return Unknown(U.CONTRADICTORY, "another order's description") if side is None else side


def cancel_outcome(answer: Answer) -> CancelOutcome:
    """Read *Cancel Order*."""
    if is_unknown_order(answer):
        return NotOpen(UNKNOWN_ORDER)
    try:
        cancelled = result(answer, _CANCELLED)
    except VenueError as error:
        return unknown(error)
    return Cancelled(None) if cancelled.count else NotOpen("no order was cancelled")


def result(answer: Answer, decoder: msgspec.json.Decoder[T]) -> T:
    """Read what a question brought; raises `VenueError` with what its status or its errors say."""
    error = failure(answer)
    if error is not None:
        raise error
    envelope = wire.decode(facts.VENUE, _ENVELOPE, answer.body)
    error = error_failure(envelope.error, received_at_ms=answer.received_at_ms)
    if error is not None:
        raise error
    return wire.decode(facts.VENUE, decoder, envelope.result)


def is_unknown_order(answer: Answer) -> bool:
    """Whether Kraken says that it has no order of the id asked for."""
    return answer.status == wire.OK and _errors(answer) == [UNKNOWN_ORDER]


def is_invalid_nonce(answer: Answer) -> bool:
    """Whether another request with a higher nonce was faster."""
    return INVALID_NONCE in _errors(answer)


def is_auth_refusal(answer: Answer) -> bool:
    """Whether the key was not accepted, as after it was replaced."""
    return any(ERRORS.get(error) is R.AUTH for error in _errors(answer))


def _refusal(errors: list[str], added: _Added, answer: Answer) -> Rejected | Unknown:
    if added.txid:
        return Unknown(U.CONTRADICTORY, "an error, and the id of an order", loggable(errors[0]))
    meanings = {error: meaning(error) for error in errors}
    # One that leaves it open goes before one that denies it.
    decisive = next((e for e, m in meanings.items() if isinstance(m, UnknownWhy)), errors[0])
    return refused(meanings[decisive], decisive, decisive, answer)


def _described_side(text: str, placement: Placement) -> Side | None:
    """Give the order's side; None where its description is of another side, size or pair."""
    described = _ORDER_TEXT.match(text)
    if described is None:
        return placement.side
    side, volume, pair = Side(described[1]), described[2], described[3]
    ordered = placement.size if placement.size is not None else placement.quote_size
    same_size = wire.number(facts.VENUE, "descr", volume) == ordered
    return side if side is placement.side and same_size and symbols.names(pair, placement.symbol) else None


def _has_result(envelope: _Envelope) -> bool:
    return bytes(envelope.result) not in {b"", b"null"}


def _errors(answer: Answer) -> list[str]:
    try:
        envelope = wire.decode(facts.VENUE, _ENVELOPE, answer.body)
    except VenueError:
        return []
    return [text for text in envelope.error if not text.startswith(facts.WARNING)]
