"""What Binance's codes say of an order: one table, and how it is applied.

A code that is not in the tables makes nobody the wiser: the outcome is unknown. With a text that is
not, it is unknown too, or a refusal that a query has to confirm. Every answer of status 5XX leaves it
unknown, whatever its code ("It is important to NOT treat this as a failure operation; the execution
status is UNKNOWN", General API Information), and so does every answer that is not of the API's own form.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.binance import facts
from sor_core.adapters.venues.calls import Meaning, not_from_the_api, refused, unknown
from sor_core.domain.errors import VenueError
from sor_core.domain.trading import (
    CheckOutcome,
    NotFoundNow,
    NotOpen,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    WouldTake,
)

R, U = RejectReason, UnknownWhy

CODES: Mapping[int, Meaning] = {
    -1000: U.VENUE_UNSURE,
    -1001: U.VENUE_UNSURE,
    -1002: R.AUTH,
    -1003: R.RATE_LIMITED,
    -1006: U.VENUE_UNSURE,
    -1007: U.VENUE_UNSURE,
    -1008: R.OVERLOADED,
    -1014: R.INVALID_REQUEST,
    -1015: R.RATE_LIMITED,
    -1016: U.VENUE_UNSURE,
    -1020: R.INVALID_REQUEST,
    -1021: R.TIMESTAMP,
    -1022: R.AUTH,
    -1034: R.RATE_LIMITED,
    -1112: R.NO_LIQUIDITY,
    -1121: R.UNKNOWN_SYMBOL,
    -2014: R.AUTH,
    -2015: R.AUTH,
}
"""Errors: codes whose number alone says it. -1008 is "try again in a few minutes" of a server that
sheds load; with status 5XX it is unknown as everything is."""

_REQUEST_CODES = frozenset(
    {
        *(-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111, -1114, -1115, -1116, -1117),
        *(-1118, -1119, -1120, -1122, -1125, -1127, -1128, -1130, -1134, -1135, -1139, -1145, -1151),
        *(-1152, -1153, -1155, -1158, -1160, -1161, -1165, -1166, -1168, -1169, -1170, -1171, -1172),
        *(-1173, -1174, -1175, -1176, -1177, -1178, -1179, -1180, -1181, -1182, -1183, -1184, -1185),
        *(-1186, -1187, -1188, -1189, -1190, -1191, -1194, -1196, -1197, -1198, -1199),
    }
)
"""Errors, 11xx "Request issues", those that `CODES` does not name: INVALID_REQUEST, found before an
order is made of the request."""

CODES_BY_TEXT: Mapping[int, Meaning] = {
    -1010: U.UNEXPECTED_CODE,
    -1013: R.OTHER,
    -2010: R.OTHER,
}
"""Errors: codes that come with many texts, which decide (`TEXTS`, or "Filter failure"), and what they
mean with a text that is not listed. -1013 "didn't reach the matching engine"; -2010 is its refusal.
Neither says by itself whether it would not have been said of a second copy alone."""

_FILTER_FAILURE = "Filter failure: "

FILTERS: Mapping[str, Meaning] = {
    "PRICE_FILTER": R.FILTER_PRICE,
    # How far from the market: it moves between two copies of an order, so no mere matter of form.
    "PERCENT_PRICE": R.OTHER,
    "PERCENT_PRICE_BY_SIDE": R.OTHER,
    "LOT_SIZE": R.FILTER_SIZE,
    "MARKET_LOT_SIZE": R.FILTER_SIZE,
    "MIN_NOTIONAL": R.FILTER_NOTIONAL,
    "NOTIONAL": R.FILTER_NOTIONAL,
    "ICEBERG_PARTS": R.INVALID_REQUEST,
    "TRAILING_DELTA": R.INVALID_REQUEST,
    "MAX_POSITION": R.TOO_MANY_ORDERS,
    "MAX_NUM_ORDERS": R.TOO_MANY_ORDERS,
    "MAX_NUM_ALGO_ORDERS": R.TOO_MANY_ORDERS,
    "MAX_NUM_ICEBERG_ORDERS": R.TOO_MANY_ORDERS,
    "MAX_NUM_ORDER_AMENDS": R.TOO_MANY_ORDERS,
    "MAX_NUM_ORDER_LISTS": R.TOO_MANY_ORDERS,
    "EXCHANGE_MAX_NUM_ORDERS": R.TOO_MANY_ORDERS,
    "EXCHANGE_MAX_NUM_ALGO_ORDERS": R.TOO_MANY_ORDERS,
    "EXCHANGE_MAX_NUM_ICEBERG_ORDERS": R.TOO_MANY_ORDERS,
    "EXCHANGE_MAX_NUM_ORDER_LISTS": R.TOO_MANY_ORDERS,
}
"""Errors, Filter failures."""

_UNKNOWN_ORDER = "Unknown order sent."

TEXTS: Mapping[str, Meaning] = {
    "Duplicate order sent.": R.DUPLICATE_ID,
    "Market is closed.": R.HALTED,
    "Account has insufficient balance for requested action.": R.INSUFFICIENT_BALANCE,
    "Order would immediately match and take.": R.POST_ONLY_WOULD_CROSS,
    "Price * QTY is zero or less.": R.FILTER_NOTIONAL,
    "This action is disabled on this account.": R.PERMISSION,
    "This account may not place or cancel orders.": R.PERMISSION,
    "This symbol is not permitted for this account.": R.PERMISSION,
    "This symbol is restricted for this account.": R.PERMISSION,
    "Rest API trading is not enabled.": R.HALTED,
    "WebSocket API trading is not enabled.": R.HALTED,
    "FIX API trading is not enabled.": R.HALTED,
    "Order book liquidity is less than `LOT_SIZE` filter minimum quantity.": R.NO_LIQUIDITY,
    "Order book liquidity is less than `MARKET_LOT_SIZE` filter minimum quantity.": R.NO_LIQUIDITY,
    "Order book liquidity is less than symbol minimum quantity.": R.NO_LIQUIDITY,
    "Order book liquidity is too low for this pegged order.": R.NO_LIQUIDITY,
    "Market orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Iceberg orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Stop loss orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Stop loss limit orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Take profit orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Take profit limit orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Trailing stop orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Quote order qty market orders are not support for this symbol.": R.INVALID_REQUEST,
    "OCO orders are not supported for this symbol": R.INVALID_REQUEST,
    "OPO orders are not supported for this symbol.": R.INVALID_REQUEST,
    "Pegged orders are not supported for this symbol.": R.INVALID_REQUEST,
    "This order type may not use pegged price.": R.INVALID_REQUEST,
    "This price peg cannot be used with this order type.": R.INVALID_REQUEST,
    "IcebergQty exceeds QTY.": R.INVALID_REQUEST,
    "Unsupported order combination": R.INVALID_REQUEST,
    "Order would trigger immediately.": R.OTHER,  # the market moves between two copies
    "The relationship of the prices for the orders is not correct.": R.INVALID_REQUEST,
    "Invalid quantity.": R.FILTER_SIZE,
    "Invalid price.": R.FILTER_PRICE,
    # These answer a cancel or an amendment. To a new order they are no answer.
    _UNKNOWN_ORDER: U.UNEXPECTED_CODE,
    "Cancel order is invalid. Check origClOrdId and orderId.": U.UNEXPECTED_CODE,
    "Order was not canceled due to cancel restrictions.": U.UNEXPECTED_CODE,
    "Order cancel-replace is not supported for this symbol.": U.UNEXPECTED_CODE,
    "Order amend is not supported for this symbol.": U.UNEXPECTED_CODE,
    "Order amend (quantity increase) is not supported.": U.UNEXPECTED_CODE,
    "Order amend (pending OPO order) is not supported.": U.UNEXPECTED_CODE,
    "The requested action would change no state; rejecting.": U.UNEXPECTED_CODE,
}
"""Errors, "Messages for -1010 ERROR_MSG_RECEIVED, -2010 NEW_ORDER_REJECTED, ..."."""

STATUSES: Mapping[int, Meaning] = {
    403: R.BLOCKED,
    418: R.RATE_LIMITED,
    429: R.RATE_LIMITED,
    451: R.BLOCKED,
}
"""General API Information, HTTP Return Codes: what they mean where the code in the body says nothing."""

_CANCEL_REJECTED = -2011
_NO_SUCH_ORDER = -2013


class _Error(msgspec.Struct):
    code: int
    msg: str = ""


_ERROR = msgspec.json.Decoder(_Error)
_CHECKED = msgspec.json.Decoder(dict[str, msgspec.Raw])


def meaning(code: int, text: str) -> Meaning:
    """Say what a code, with its text, means for a new order."""
    if code in CODES_BY_TEXT:
        if text.startswith(_FILTER_FAILURE):
            return FILTERS.get(text.removeprefix(_FILTER_FAILURE), CODES_BY_TEXT[code])
        return TEXTS.get(text, CODES_BY_TEXT[code])
    if code in CODES:
        return CODES[code]
    return R.INVALID_REQUEST if code in _REQUEST_CODES else U.UNEXPECTED_CODE


def refusal(answer: Answer) -> Rejected | Unknown | None:
    """Read the answer to a new order as a refusal; None for one of status 200."""
    if answer.status == wire.OK:
        return None
    vague = not_from_the_api(answer)
    if vague is not None:
        return vague
    error = _error(answer)
    if error is None:
        return Unknown(U.MALFORMED, f"HTTP {answer.status} without a code")
    found = meaning(error.code, error.msg)
    if found is U.UNEXPECTED_CODE:
        found = STATUSES.get(answer.status, found)
    return refused(found, str(error.code), error.msg, answer)


def read_check(answer: Answer) -> CheckOutcome:
    """Read *Test new order*: an empty object, or what *New order* would refuse it with."""
    refused_as = refusal(answer) or not_from_the_api(answer)
    if refused_as is not None:
        return refused_as
    try:
        checked = wire.decode(facts.VENUE, _CHECKED, answer.body)
    except VenueError as error:
        return unknown(error)
    return Unknown(U.CONTRADICTORY, "more than a test is answered with") if checked else WouldTake()


def query_refusal(answer: Answer, failure: VenueError) -> NotFoundNow | Unknown:
    """Read the answer to a question after an order that did not bring it."""
    error = _error(answer)
    if error is not None and error.code == _NO_SUCH_ORDER and not_from_the_api(answer) is None:
        return NotFoundNow()
    return unknown(failure)


def cancel_refusal(answer: Answer, failure: VenueError) -> NotOpen | Unknown:
    """Read the answer to a cancel that was not done."""
    error = _error(answer)
    if (
        error is not None
        and (error.code, error.msg) == (_CANCEL_REJECTED, _UNKNOWN_ORDER)
        and not_from_the_api(answer) is None
    ):
        return NotOpen(error.msg)
    return unknown(failure)


def is_auth_refusal(answer: Answer) -> bool:
    """Whether the key was not accepted, as after it was replaced."""
    error = None if answer.status == wire.OK else _error(answer)
    return error is not None and CODES.get(error.code) is R.AUTH and not_from_the_api(answer) is None


def _error(answer: Answer) -> _Error | None:
    try:
        return wire.decode(facts.VENUE, _ERROR, answer.body)
    except VenueError:
        return None
