"""Coinbase's answers about orders become outcomes: every documented word has its class."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.coinbase import answers, trading
from sor_core.adapters.venues.coinbase.market_data import failure
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
    NotFoundNow,
    NotOpen,
    OrderKind,
    OrderState,
    Placed,
    Placement,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
)
from tests.unit.venue_answers import CLIENT_ID, SAMPLES, needs_samples, reply

R, U = RejectReason, UnknownWhy

BTC_USD = Symbol.parse("BTC/USD")
PLACEMENT = Placement(
    "coinbase",
    BTC_USD,
    Side.BUY,
    OrderKind.LIMIT_IOC,
    CLIENT_ID,
    size=Decimal("0.001"),
    limit_price=Decimal("60000.10"),
)

REASONS: dict[RejectReason | UnknownWhy, list[str]] = {
    R.INSUFFICIENT_BALANCE: [
        "INSUFFICIENT_FUND",
        "INVALID_LEDGER_BALANCE",
        "PREVIEW_INVALID_LEDGER_BALANCE",
        "PREVIEW_INSUFFICIENT_LEDGER_BALANCE",
        "PREVIEW_INSUFFICIENT_FUND",
        "PREVIEW_INSUFFICIENT_FUNDS_FOR_FUTURES",
    ],
    R.FILTER_SIZE: [
        "INVALID_SIZE_PRECISION",
        "PREVIEW_INVALID_SIZE_PRECISION",
        "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE",
        "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL",
    ],
    R.FILTER_NOTIONAL: [
        "PREVIEW_INVALID_QUOTE_SIZE_PRECISION",
        "PREVIEW_INVALID_QUOTE_SIZE_TOO_LARGE",
        "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL",
    ],
    R.FILTER_PRICE: [
        "INVALID_PRICE_PRECISION",
        "PREVIEW_INVALID_PRICE_PRECISION",
    ],
    R.POST_ONLY_WOULD_CROSS: ["INVALID_LIMIT_PRICE_POST_ONLY", "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY"],
    R.NO_LIQUIDITY: ["PREVIEW_INVALID_NO_LIQUIDITY", "PREVIEW_MISSING_PRODUCT_PRICE_BOOK"],
    R.HALTED: ["ORDER_ENTRY_DISABLED"],
    R.UNKNOWN_SYMBOL: ["INVALID_PRODUCT_ID", "PREVIEW_INVALID_PRODUCT_ID"],
    R.PERMISSION: ["INELIGIBLE_PAIR", "PREVIEW_UNTRADABLE_FCM_ACCOUNT_STATUS"],
    R.INVALID_REQUEST: [
        "UNSUPPORTED_ORDER_CONFIGURATION",
        "INVALID_SIDE",
        "PREVIEW_INVALID_SIDE",
        "PREVIEW_INVALID_ORDER_CONFIG",
        "PREVIEW_INVALID_STOP_PRICE",
    ],
    R.TOO_MANY_ORDERS: [
        "PREVIEW_BREACHED_ACCOUNT_POSITION_LIMIT",
        "PREVIEW_BREACHED_COMPANY_POSITION_LIMIT",
    ],
    R.OTHER: [
        "PREVIEW_MISSING_COMMISSION_RATE",
        "PREVIEW_INVALID_COMMISSION_CONFIGURATION",
        "PREVIEW_INVALID_MARGIN_HEALTH",
        # Held against the market, which moves between two copies of an order.
        "PREVIEW_INVALID_LIMIT_PRICE",
        "PREVIEW_INVALID_PRICE_TOO_LARGE",
        "PREVIEW_BREACHED_PRICE_LIMIT",
    ],
    U.VENUE_UNSURE: ["PREVIEW_RISK_PROXY_FAILURE"],
}
FROM_THE_NOTES: dict[RejectReason | UnknownWhy, list[str]] = {
    R.NO_LIQUIDITY: ["INVALID_NO_LIQUIDITY"],
    R.INVALID_REQUEST: ["INVALID_REQUEST"],
    R.OTHER: ["COMMANDER_REJECTED_NEW_ORDER", "INVALID_LIMIT_PRICE"],
    R.DUPLICATE_ID: ["DUPLICATE_CLIENT_ORDER_ID"],
}
NOTHING_SAID = {"UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON"}

every_reason = pytest.mark.parametrize(
    ("word", "meaning"),
    [
        (word, meaning)
        for table in (REASONS, FROM_THE_NOTES)
        for meaning, words in table.items()
        for word in words
    ],
)


def outcome(document: Any, status: int = 200) -> PlaceOutcome:
    return trading.place_outcome(PLACEMENT, reply(status, document))


def failed(**response: str) -> dict[str, Any]:
    return {
        "success": False,
        "failure_reason": "UNKNOWN_FAILURE_REASON",
        "order_id": "",
        "error_response": {
            "error": "UNKNOWN_FAILURE_REASON",
            "message": "why",
            "error_details": "",
            "preview_failure_reason": "UNKNOWN_PREVIEW_FAILURE_REASON",
            "new_order_failure_reason": "UNKNOWN_FAILURE_REASON",
            **response,
        },
        "order_configuration": {},
    }


def created(**changes: Any) -> dict[str, Any]:
    told = {"order_id": "v-1", "product_id": "BTC-USD", "side": "BUY", "client_order_id": CLIENT_ID}
    top = {"success": True, "failure_reason": "UNKNOWN_FAILURE_REASON", "order_id": "v-1"}
    for name, value in changes.items():
        (told if name in told and name != "order_id" else top)[name] = value
    return {**top, "success_response": told} if "success_response" not in changes else top


def sample(name: str) -> bytes:
    return (SAMPLES / "coinbase" / name).read_bytes()


@needs_samples
def test_the_table_holds_every_documented_word() -> None:
    tables = json.loads((SAMPLES / "coinbase_errors.json").read_bytes())["advanced_trade"]
    camel = tables["preview_failure_reason_names_camel"]
    documented = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in camel}
    documented |= set(tables["new_order_failure_reason_seen"])
    assert documented == {word for words in REASONS.values() for word in words} | NOTHING_SAID
    assert set(tables["cancel_failure_reasons_seen"]) <= answers.NO_REASON | answers.CANCEL_NOT_OPEN


@every_reason
@pytest.mark.parametrize("where", ["error", "new_order_failure_reason", "preview_failure_reason"])
def test_every_word_has_its_class(word: str, meaning: RejectReason | UnknownWhy, where: str) -> None:
    got = outcome(failed(**{where: word}))
    if isinstance(meaning, RejectReason):
        assert got == Rejected(meaning, word, "why")
    else:
        assert got == Unknown(meaning, "why", word)


@every_reason
def test_no_word_makes_a_5xx_definite(word: str, meaning: RejectReason | UnknownWhy) -> None:
    for document in (failed(error=word), {"error": word, "error_details": "", "message": ""}):
        got = outcome(document, 503)
        assert isinstance(got, Unknown), meaning
        assert got.why is U.SERVER_ERROR


def test_a_failure_without_a_reason_leaves_it_open() -> None:
    for document in (failed(), {"success": False}, failed(error="", preview_failure_reason="")):
        got = outcome(document)
        assert isinstance(got, Unknown)
        assert got.why is U.VENUE_UNSURE
    assert outcome(failed(error="A_NEW_ONE")) == Unknown(U.UNEXPECTED_CODE, "why", "A_NEW_ONE")


def test_a_listed_word_beside_one_that_is_not() -> None:
    got = outcome(failed(error="A_NEW_ONE", preview_failure_reason="PREVIEW_INSUFFICIENT_FUND"))
    assert got == Unknown(U.UNEXPECTED_CODE, "why", "A_NEW_ONE")
    got = outcome(failed(error="INVALID_REQUEST", new_order_failure_reason="RISK_PROXY_FAILURE"))
    assert isinstance(got, Unknown)


@needs_samples
def test_the_documented_failure() -> None:
    got = outcome(sample("create_order__error_nautilus.json"))
    assert got == Rejected(R.INSUFFICIENT_BALANCE, "INSUFFICIENT_FUND", "Insufficient balance")
    assert got.replay_explainable


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (400, {"error": "INVALID_ARGUMENT", "error_details": "side is required"}, R.INVALID_REQUEST),
        (400, {"error": "INSUFFICIENT_FUND", "message": "no"}, R.INSUFFICIENT_BALANCE),
        (401, b"Unauthorized\n", R.AUTH),
        (401, {"error": "UNAUTHENTICATED"}, R.AUTH),
        (403, {"error": "PERMISSION_DENIED", "error_details": "Missing required scopes"}, R.PERMISSION),
        (404, {"error": "NOT_FOUND", "error_details": "valid product_id is required"}, R.UNKNOWN_SYMBOL),
        (429, {"errors": [{"id": "rate_limit_exceeded", "message": "Too many"}]}, R.RATE_LIMITED),
        (429, {}, R.RATE_LIMITED),
        (429, {"error": "RESOURCE_EXHAUSTED"}, R.RATE_LIMITED),
    ],
)
def test_refusals_by_status(status: int, document: Any, reason: RejectReason) -> None:
    got = outcome(document, status)
    assert isinstance(got, Rejected)
    assert got.reason is reason


@pytest.mark.parametrize(
    ("status", "document", "why"),
    [
        (404, {"error": "NOT_FOUND", "error_details": "Not Found"}, U.UNEXPECTED_CODE),
        (400, {"error": "A_NEW_ONE"}, U.UNEXPECTED_CODE),
        (400, {"error": "INTERNAL"}, U.VENUE_UNSURE),
        (400, {"error": "UNAVAILABLE"}, U.VENUE_UNSURE),
        (400, {}, U.MALFORMED),
        (403, b"Forbidden", U.MALFORMED),
        (408, b"", U.MALFORMED),
        (201, {"success": True}, U.MALFORMED),
        (204, b"", U.MALFORMED),
        (302, b"", U.MALFORMED),
    ],
)
def test_refusals_that_leave_it_open(status: int, document: Any, why: UnknownWhy) -> None:
    got = outcome(document, status)
    assert isinstance(got, Unknown)
    assert got.why is why


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 502])
def test_pages_leave_it_open(status: int) -> None:
    assert isinstance(outcome(b"<!DOCTYPE html><html></html>", status), Unknown)
    assert isinstance(
        trading.place_outcome(PLACEMENT, reply(status, b"Unauthorized", content_type="text/html")), Unknown
    )


def test_success_tells_of_no_amounts() -> None:
    got = outcome(created())
    assert isinstance(got, Placed)
    order = got.order
    assert (order.venue_order_id, order.client_order_id, order.side) == ("v-1", CLIENT_ID, Side.BUY)
    assert (order.state, order.fees, order.fills) == (OrderState.PENDING, None, None)
    assert not order.state.is_final


def test_success_of_an_alias() -> None:
    """BTC-USDC is booked in BTC-USD's book: one may be named for the other."""
    alias = Placement(
        "coinbase", Symbol.parse("BTC/USDC"), Side.BUY, OrderKind.MARKET, CLIENT_ID, Decimal(1), None
    )
    for product in ("BTC-USDC", "BTC-USD"):
        got = trading.place_outcome(alias, reply(200, created(product_id=product)))
        assert isinstance(got, Placed)


@needs_samples
def test_the_documented_success() -> None:
    documented = json.loads(sample("create_order__success_nautilus.json"))
    documented["success_response"]["client_order_id"] = CLIENT_ID
    got = outcome(documented)
    assert isinstance(got, Placed)
    assert got.order.venue_order_id == "venue-100"


@pytest.mark.parametrize(
    "document",
    [
        {"success": True, "order_id": "v-1"},
        {"success": True, "success_response": None},
        created(success_response=None),
        {**created(), "success_response": {**created()["success_response"], "order_id": ""}},
        created(order_id="v-2"),
        created(client_order_id="f" * 32),
        created(side="SELL"),
        created(product_id="ETH-USD"),
        created(failure_reason="INSUFFICIENT_FUND"),
        {**created(), "error_response": failed(error="INSUFFICIENT_FUND")["error_response"]},
        {**created(), "success": False},
    ],
)
def test_contradictions_leave_it_open(document: Any) -> None:
    got = outcome(document)
    assert isinstance(got, Unknown)
    assert got.why is U.CONTRADICTORY


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"null", b"[]", b'{"success":"yes"}', b'{"success":true', created(side="HOLD")],
)
def test_what_cannot_be_read_leaves_it_open(document: Any) -> None:
    got = outcome(document)
    assert isinstance(got, Unknown)
    assert got.why is U.MALFORMED


def test_words_that_say_nothing_stand_in_successes_too() -> None:
    assert isinstance(outcome({**created(), "error_response": failed()["error_response"]}), Placed)


# Questions and cancels


def refusal(status: int, document: Any) -> tuple[Answer, VenueError]:
    answer = reply(status, document)
    error = failure(answer)
    assert error is not None
    return answer, error


def test_no_such_order_is_no_proof() -> None:
    body = {"error": "NOT_FOUND", "error_details": "order with this orderID was not found"}
    assert answers.query_refusal(*refusal(404, body)) == NotFoundNow()
    for status, document in (
        (404, {"error": "NOT_FOUND", "error_details": "Not Found"}),
        (404, b"<html>"),
        (400, body),
        (500, body),
    ):
        assert isinstance(answers.query_refusal(*refusal(status, document)), Unknown)


def cancelled(success: bool, reason: str = "", order_id: str = "v-1") -> Answer:  # noqa: FBT001 - as told
    results = [{"success": success, "failure_reason": reason, "order_id": order_id}]
    return reply(200, {"results": results})


def test_cancels() -> None:
    said_nothing = "UNKNOWN_CANCEL_FAILURE_REASON"
    assert answers.cancel_outcome(cancelled(success=True, reason=said_nothing), "v-1") == Cancelled(None)
    for reason in ("UNKNOWN_CANCEL_ORDER", "DUPLICATE_CANCEL_REQUEST", "INVALID_CANCEL_REQUEST"):
        assert answers.cancel_outcome(cancelled(success=False, reason=reason), "v-1") == NotOpen(reason)
    for answer in (
        cancelled(success=False, reason=said_nothing),
        cancelled(success=False, reason="COMMANDER_REJECTED_CANCEL_ORDER"),
        cancelled(success=True, order_id="v-2"),
        reply(200, {"results": []}),
        reply(200, b"<html>"),
    ):
        assert isinstance(answers.cancel_outcome(answer, "v-1"), Unknown)


@needs_samples
def test_the_documented_cancels() -> None:
    results = json.loads(sample("batch_cancel__mixed_nautilus.json"))["results"]
    first, second = (reply(200, {"results": [result]}) for result in results)
    assert answers.cancel_outcome(first, "venue-1") == Cancelled(None)
    assert isinstance(answers.cancel_outcome(second, "venue-2"), Unknown)


def test_refusals_of_the_key() -> None:
    assert answers.is_auth_refusal(reply(401, b"Unauthorized\n"))
    assert not answers.is_auth_refusal(reply(401, b"<html>"))
    assert not answers.is_auth_refusal(reply(403, {"error": "PERMISSION_DENIED"}))
