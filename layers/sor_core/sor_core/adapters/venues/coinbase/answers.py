"""What Coinbase's words say of an order: one table, and how it is applied.

A word that is not in the tables makes nobody the wiser: the outcome is unknown. So does every answer
of status 5XX and every answer that is not of the API's own form. With status 200 the boolean
``success`` decides, and only where nothing in the answer says the opposite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.calls import Meaning, not_from_the_api, pending, refused, unknown
from sor_core.adapters.venues.coinbase import facts, symbols
from sor_core.domain.errors import VenueError
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    CheckOutcome,
    NotFoundNow,
    NotOpen,
    Placement,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    VenueOrder,
    WouldTake,
)

R, U = RejectReason, UnknownWhy

_PREVIEW = "PREVIEW_"

NO_REASON = frozenset(
    {
        "",
        "UNKNOWN_FAILURE_REASON",
        "UNKNOWN_PREVIEW_FAILURE_REASON",
        "UNKNOWN_PREVIEW",
        "UNKNOWN_CANCEL_FAILURE_REASON",
    }
)
"""Words that say nothing; they stand in successful answers, too."""

REASONS: Mapping[str, Meaning] = {
    "INSUFFICIENT_FUND": R.INSUFFICIENT_BALANCE,
    "INSUFFICIENT_FUNDS": R.INSUFFICIENT_BALANCE,
    "INSUFFICIENT_FUNDS_FOR_FUTURES": R.INSUFFICIENT_BALANCE,
    "INVALID_LEDGER_BALANCE": R.INSUFFICIENT_BALANCE,
    "INSUFFICIENT_LEDGER_BALANCE": R.INSUFFICIENT_BALANCE,
    "INVALID_SIZE_PRECISION": R.FILTER_SIZE,
    "INVALID_BASE_SIZE_TOO_LARGE": R.FILTER_SIZE,
    "INVALID_BASE_SIZE_TOO_SMALL": R.FILTER_SIZE,
    "INVALID_QUOTE_SIZE_PRECISION": R.FILTER_NOTIONAL,
    "INVALID_QUOTE_SIZE_TOO_LARGE": R.FILTER_NOTIONAL,
    "INVALID_QUOTE_SIZE_TOO_SMALL": R.FILTER_NOTIONAL,
    "INVALID_PRICE_PRECISION": R.FILTER_PRICE,
    # These hold the price against the market, which moves between two copies of an order.
    "INVALID_LIMIT_PRICE": R.OTHER,
    "INVALID_PRICE_TOO_LARGE": R.OTHER,
    "INVALID_STOP_PRICE": R.INVALID_REQUEST,
    "BREACHED_PRICE_LIMIT": R.OTHER,
    "LIMIT_PRICE_TOO_FAR_FROM_MARKET": R.OTHER,
    "INVALID_LIMIT_PRICE_POST_ONLY": R.POST_ONLY_WOULD_CROSS,
    "INVALID_NO_LIQUIDITY": R.NO_LIQUIDITY,
    "MISSING_PRODUCT_PRICE_BOOK": R.NO_LIQUIDITY,
    "ORDER_ENTRY_DISABLED": R.HALTED,
    "UNTRADABLE_PRODUCT": R.HALTED,
    "NOT_ALLOWED_BY_MARKET_STATE": R.HALTED,
    "PRODUCT_TRADING_HALTED": R.HALTED,
    "FOK_DISABLED": R.HALTED,
    "INVALID_PRODUCT_ID": R.UNKNOWN_SYMBOL,
    "INELIGIBLE_PAIR": R.PERMISSION,
    "GEOFENCING_RESTRICTION": R.PERMISSION,
    "UNTRADABLE_FCM_ACCOUNT_STATUS": R.PERMISSION,
    "INVALID_SIDE": R.INVALID_REQUEST,
    "INVALID_REQUEST": R.INVALID_REQUEST,
    "INVALID_ORDER_CONFIG": R.INVALID_REQUEST,
    "UNSUPPORTED_ORDER_CONFIGURATION": R.INVALID_REQUEST,
    "INVALID_END_TIME": R.INVALID_REQUEST,
    "MISSING_COMMISSION_RATE": R.OTHER,
    "INVALID_COMMISSION_CONFIGURATION": R.OTHER,
    "BREACHED_ACCOUNT_POSITION_LIMIT": R.TOO_MANY_ORDERS,
    "BREACHED_COMPANY_POSITION_LIMIT": R.TOO_MANY_ORDERS,
    "INVALID_MARGIN_HEALTH": R.OTHER,
    "RISK_PROXY_FAILURE": U.VENUE_UNSURE,
    "COMMANDER_REJECTED_NEW_ORDER": R.OTHER,
    "DUPLICATE_CLIENT_ORDER_ID": R.DUPLICATE_ID,
}
"""Create Order, ``error_response``: the words of ``error``, ``new_order_failure_reason`` and, with
"PREVIEW_" before them, ``preview_failure_reason``. RISK_PROXY_FAILURE is a part of Coinbase that
failed, not a check that did."""

ERRORS: Mapping[str, Meaning] = {
    "INVALID_ARGUMENT": R.INVALID_REQUEST,
    "FAILED_PRECONDITION": R.OTHER,
    "OUT_OF_RANGE": R.INVALID_REQUEST,
    "UNIMPLEMENTED": R.INVALID_REQUEST,
    "UNAUTHENTICATED": R.AUTH,
    "PERMISSION_DENIED": R.PERMISSION,
    "RESOURCE_EXHAUSTED": R.RATE_LIMITED,
    "rate_limit_exceeded": R.RATE_LIMITED,
    "ALREADY_EXISTS": R.DUPLICATE_ID,
    "NOT_FOUND": R.UNKNOWN_SYMBOL,
    "ABORTED": U.VENUE_UNSURE,
    "CANCELLED": U.VENUE_UNSURE,
    "DEADLINE_EXCEEDED": U.VENUE_UNSURE,
    "UNKNOWN": U.VENUE_UNSURE,
    "INTERNAL": U.VENUE_UNSURE,
    "UNAVAILABLE": U.VENUE_UNSURE,
    "DATA_LOSS": U.VENUE_UNSURE,
}
"""``error`` of an answer of status 4XX (the names of gRPC's codes), or ``errors[].id`` of the older
envelope. NOT_FOUND counts only where it speaks of the product: a wrong address says so as well."""

STATUSES: Mapping[int, Meaning] = {401: R.AUTH, 429: R.RATE_LIMITED}
"""What these say without a word in the body: 401 comes as the text "Unauthorized"."""

CANCEL_NOT_OPEN = frozenset(
    {"UNKNOWN_CANCEL_ORDER", "INVALID_CANCEL_REQUEST", "DUPLICATE_CANCEL_REQUEST", "ORDER_IS_FULLY_FILLED"}
)
"""Cancel Orders, ``failure_reason``: it has no such order open (any more)."""

_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}


class _OldError(msgspec.Struct):
    id: str = ""


class _Error(msgspec.Struct):
    error: str = ""
    error_details: str | None = ""
    message: str | None = ""
    errors: list[_OldError] = []


class _Success(msgspec.Struct):
    order_id: str
    product_id: str
    side: str
    client_order_id: str


class _Failure(msgspec.Struct):
    error: str | None = ""
    message: str | None = ""
    preview_failure_reason: str | None = ""
    new_order_failure_reason: str | None = ""


class _Created(msgspec.Struct):
    success: bool
    order_id: str | None = ""
    failure_reason: str | None = ""
    success_response: _Success | None = None
    error_response: _Failure | None = None


class _Previewed(msgspec.Struct):
    errs: list[str]
    preview_failure_reason: str | None = ""


class _CancelResult(msgspec.Struct):
    success: bool
    order_id: str
    failure_reason: str = ""


class _CancelResults(msgspec.Struct):
    results: list[_CancelResult]


_ERROR = msgspec.json.Decoder(_Error)
_CREATED = msgspec.json.Decoder(_Created)
_PREVIEWED = msgspec.json.Decoder(_Previewed)
_CANCEL_RESULTS = msgspec.json.Decoder(_CancelResults)


def meaning(reason: str) -> Meaning:
    """Say what a word of `REASONS`, with or without "PREVIEW_", means for a new order."""
    return REASONS.get(reason.removeprefix(_PREVIEW), U.UNEXPECTED_CODE)


def read_place(answer: Answer, placement: Placement) -> VenueOrder | Rejected | Unknown:
    """Read *Create Order*: the order it made (of which it tells no amounts), or why it made none."""
    if answer.status != wire.OK:
        return _refusal(answer)
    vague = not_from_the_api(answer)
    if vague is not None:
        return vague
    try:
        created = wire.decode(facts.VENUE, _CREATED, answer.body)
    except VenueError as error:
        return unknown(error)
    reasons = _reasons(created)
    if created.success:
        return _created(created, reasons, placement)
    if created.success_response is not None and created.success_response.order_id:
        return Unknown(U.CONTRADICTORY, "no success, and the id of an order")
    if not reasons:
        return Unknown(U.VENUE_UNSURE, "no success, for an unknown reason")
    text = created.error_response.message if created.error_response is not None else ""
    return _denied(reasons, text or "", answer)


def read_check(answer: Answer) -> CheckOutcome:
    """Read *Preview Order*: ``errs`` holds what stands against the order, in words of `REASONS`."""
    if answer.status != wire.OK:
        return _refusal(answer)
    vague = not_from_the_api(answer)
    if vague is not None:
        return vague
    try:
        previewed = wire.decode(facts.VENUE, _PREVIEWED, answer.body)
    except VenueError as error:
        return unknown(error)
    reasons = _telling([*previewed.errs, previewed.preview_failure_reason])
    if reasons:
        return _denied(reasons, "", answer)
    if previewed.errs:
        return Unknown(U.VENUE_UNSURE, "an objection, for an unknown reason")
    return WouldTake()


def _denied(reasons: list[str], text: str, answer: Answer) -> Rejected | Unknown:
    # One that leaves it open goes before one that denies it.
    reason = next((each for each in reasons if isinstance(meaning(each), UnknownWhy)), reasons[0])
    return refused(meaning(reason), reason, text, answer)


def cancel_outcome(answer: Answer, order_id: str) -> CancelOutcome:
    """Read *Cancel Orders* of one order, of status 200."""
    try:
        results = wire.decode(facts.VENUE, _CANCEL_RESULTS, answer.body).results
    except VenueError as error:
        return unknown(error)
    if len(results) != 1 or results[0].order_id != order_id:
        return Unknown(U.CONTRADICTORY, "the cancel of another order")
    [result] = results
    if result.success:
        return Cancelled(None)
    if result.failure_reason in CANCEL_NOT_OPEN:
        return NotOpen(result.failure_reason)
    return Unknown(U.REFUSED, "the cancel was refused", result.failure_reason)


def query_refusal(answer: Answer, failure: VenueError) -> NotFoundNow | Unknown:
    """Read the answer to a question after one order that did not bring it."""
    error = _error(answer)
    if (
        answer.status == 404  # noqa: PLR2004 - HTTP's own
        and not_from_the_api(answer) is None
        and error is not None
        and error.error == facts.NOT_FOUND
        and facts.UNKNOWN_ORDER_HINT in (error.error_details or "").lower()
        and "/" not in (error.error_details or "")  # a gateway that repeats the path it did not find
    ):
        return NotFoundNow()
    return unknown(failure)


def is_auth_refusal(answer: Answer) -> bool:
    """Whether the key was not accepted, as after it was replaced."""
    return answer.status == 401 and not_from_the_api(answer) is None  # noqa: PLR2004 - HTTP's own


def _created(created: _Created, reasons: list[str], placement: Placement) -> VenueOrder | Unknown:
    told = created.success_response
    if told is None or not told.order_id:
        return Unknown(U.CONTRADICTORY, "success without the id of an order")
    if reasons:
        return Unknown(U.CONTRADICTORY, "success with a reason why not", reasons[0])
    if created.order_id not in {None, "", told.order_id}:
        return Unknown(U.CONTRADICTORY, "success with the ids of two orders")
    if symbols.shared_book(told.product_id) != symbols.shared_book(symbols.venue_symbol(placement.symbol)):
        return Unknown(U.CONTRADICTORY, "another product")
    side = _SIDES.get(told.side)
    if side is None:
        return Unknown(U.MALFORMED, "a side that is not documented")
    return pending(placement, told.order_id, told.client_order_id, side)


def _refusal(answer: Answer) -> Rejected | Unknown:
    vague = not_from_the_api(answer)
    if vague is not None:
        return vague
    error = _error(answer)
    code = "" if error is None else error.error or next((each.id for each in error.errors), "")
    found = ERRORS.get(code) or REASONS.get(code)
    if code == facts.NOT_FOUND and error is not None:
        about_product = facts.UNKNOWN_PRODUCT_HINT in (error.error_details or "")
        found = R.UNKNOWN_SYMBOL if about_product else U.UNEXPECTED_CODE
    if found is None:
        found = STATUSES.get(answer.status, U.UNEXPECTED_CODE if code else U.MALFORMED)
    text = "" if error is None else error.error_details or error.message
    return refused(found, code, text or f"HTTP {answer.status}", answer)


def _reasons(created: _Created) -> list[str]:
    """Give the words that say something, the most telling first."""
    words = [created.failure_reason]
    if created.error_response is not None:
        each = created.error_response
        words = [each.error, each.new_order_failure_reason, each.preview_failure_reason, *words]
    return _telling(words)


def _telling(words: Iterable[str | None]) -> list[str]:
    return [word for word in words if word is not None and word not in NO_REASON]


def _error(answer: Answer) -> _Error | None:
    try:
        return wire.decode(facts.VENUE, _ERROR, answer.body)
    except VenueError:
        return None
