"""Kraken's answers about orders become outcomes: every documented error has its class."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.kraken import answers, trading
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
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
    "kraken",
    BTC_USD,
    Side.BUY,
    OrderKind.LIMIT_IOC,
    CLIENT_ID,
    size=Decimal("1.25"),
    limit_price=Decimal(27500),
)

ERRORS: dict[RejectReason | UnknownWhy, list[str]] = {
    R.AUTH: ["EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Temporary lockout"],
    R.NONCE: ["EAPI:Invalid nonce"],
    R.RATE_LIMITED: [
        "EAPI:Rate limit exceeded",
        "EAuth:Rate limit exceeded",
        "EAuth:Too many requests",
        "EOrder:Rate limit exceeded",
        "EOrder:Domain rate limit exceeded",
    ],
    R.PERMISSION: [
        "EAuth:Account temporary disabled",
        "EAuth:Account unconfirmed",
        "EAccount:Invalid permissions",
        "EGeneral:Permission denied",
        "EOrder:Cannot open position",
        "EOrder:Cannot open opposing position",
        "EBM:limit exceeded:CAL",
    ],
    R.INVALID_REQUEST: [
        "EGeneral:Invalid arguments",
        "EGeneral:Invalid arguments:Index unavailable",
        "ETrade:Invalid request",
        "EOrder:Reduce only:No position exists",
    ],
    R.HALTED: ["EService:Market in cancel_only mode", "EService:Market in post_only mode"],
    R.DEADLINE_ELAPSED: ["EService:Deadline elapsed"],
    R.UNKNOWN_SYMBOL: ["EQuery:Unknown asset", "EQuery:Unknown asset pair"],
    R.INSUFFICIENT_BALANCE: [
        "EOrder:Insufficient funds",
        "EOrder:Insufficient margin",
        "EOrder:Margin allowance exceeded",
        "EOrder:Margin level too low",
    ],
    R.TOO_MANY_ORDERS: [
        "EOrder:Margin position size exceeded",
        "EOrder:Orders limit exceeded",
        "EOrder:Positions limit exceeded",
        "EOrder:Scheduled orders limit exceeded",
    ],
    R.FILTER_SIZE: ["EOrder:Order minimum not met"],
    R.FILTER_NOTIONAL: ["EOrder:Cost minimum not met"],
    R.FILTER_PRICE: ["EOrder:Tick size check failed", "EOrder:Invalid price"],
    U.VENUE_UNSURE: ["EService:Unavailable", "EGeneral:Internal error"],
    U.UNEXPECTED_CODE: [
        "EOrder:Unknown position",
        "EFunding:Max fee exceeded",
        "EFunding:No funding method",
        "EFunding:Too many addresses",
    ],
}
FROM_ELSEWHERE: dict[RejectReason | UnknownWhy, list[str]] = {
    U.VENUE_UNSURE: ["EService:Busy", "EService:Timeout", "EGeneral:Internal error:XQ2"],
    R.RATE_LIMITED: ["EService:Throttled: 1700000012", "EGeneral:Too many requests"],
    R.POST_ONLY_WOULD_CROSS: ["EOrder:Post only order"],
    R.DUPLICATE_ID: ["EOrder:Duplicate order"],
    R.INVALID_REQUEST: ["EGeneral:Invalid arguments:volume", "EGeneral:Unknown method"],
    R.FILTER_PRICE: ["EOrder:Invalid price:price can only be specified up to 1 decimals"],
    U.UNEXPECTED_CODE: ["EOrder:Unknown order", "EBrand:New", "EOrder", "", ":", "EAPI:Invalid keys"],
}

every_error = pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (error, meaning)
        for table in (ERRORS, FROM_ELSEWHERE)
        for meaning, errors in table.items()
        for error in errors
    ],
)


def ok(result: Any) -> Answer:
    return reply(200, {"error": [], "result": result})


def sample(name: str) -> Answer:
    return reply(200, (SAMPLES / "kraken" / name).read_bytes())


def outcome(document: Any, status: int = 200) -> PlaceOutcome:
    return trading.place_outcome(PLACEMENT, reply(status, document))


def added(order: str = "buy 1.25000000 XBTUSD @ limit 27500.0", **changes: Any) -> dict[str, Any]:
    result = {"descr": {"order": order}, "txid": ["OU22CG-KLAF2-FWUDD7"], **changes}
    return {"error": [], "result": {name: value for name, value in result.items() if value is not None}}


@needs_samples
def test_the_table_holds_every_documented_error() -> None:
    tables = json.loads((SAMPLES / "kraken_errors.json").read_bytes())
    documented = {each["error"] for each in tables["official_openapi_2021"]}
    documented |= {each["error"] for each in tables["official_guide_spot_errors_excerpt"]["errors"]}
    documented |= {each["code"] for each in tables["catalogue_2026"]["errors"]}
    documented = {error.removesuffix("[:<code>]") for error in documented}
    assert documented == {error for errors in ERRORS.values() for error in errors}


@every_error
@pytest.mark.parametrize("status", [200, 400])
def test_every_error_has_its_class(error: str, meaning: RejectReason | UnknownWhy, status: int) -> None:
    got = outcome({"error": [error]}, status)
    if isinstance(meaning, RejectReason):
        assert got == Rejected(meaning, error, error)
    else:
        assert got == Unknown(meaning, error, error)


@every_error
def test_no_error_makes_a_5xx_definite(error: str, meaning: RejectReason | UnknownWhy) -> None:
    got = outcome({"error": [error]}, 502)
    assert isinstance(got, Unknown), meaning
    assert got.why is U.SERVER_ERROR


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        ("EAPI:Invalid nonce", True),
        ("EOrder:Insufficient funds", True),
        ("EOrder:Duplicate order", True),
        ("EService:Deadline elapsed", True),
        ("EOrder:Orders limit exceeded", True),
        ("EOrder:Order minimum not met", False),
        ("EGeneral:Permission denied", True),
        ("EOrder:Rate limit exceeded", True),
        ("EGeneral:Invalid arguments", False),
    ],
)
def test_what_a_hidden_replay_would_explain(error: str, *, explained: bool) -> None:
    got = outcome({"error": [error]})
    assert isinstance(got, Rejected)
    assert got.replay_explainable is explained


def test_one_error_of_several_that_leaves_it_open_decides() -> None:
    got = outcome({"error": ["EOrder:Insufficient funds", "EGeneral:Internal error"]})
    assert isinstance(got, Unknown)
    got = outcome({"error": ["WGeneral:Careful", "EOrder:Insufficient funds"]})
    assert isinstance(got, Rejected)


@needs_samples
@pytest.mark.parametrize(
    ("name", "order_id", "size", "price"),
    [
        ("AddOrder__official_Python_Limit_.json", "OU22CG-KLAF2-FWUDD7", "1.25", "27500"),
        (
            "AddOrder__official_cURL_Limit_with_conditional_stop_loss_.json",
            "OUF4EM-FRGI2-MQMWZD",
            "2.1234",
            "45000.1",
        ),
    ],
)
def test_documented_successes(name: str, order_id: str, size: str, price: str) -> None:
    placement = Placement(
        "kraken", BTC_USD, Side.BUY, OrderKind.LIMIT_GTC, CLIENT_ID, Decimal(size), Decimal(price)
    )
    got = trading.place_outcome(placement, sample(name))
    assert isinstance(got, Placed)
    order = got.order
    assert (order.venue_order_id, order.client_order_id, order.side) == (order_id, None, Side.BUY)
    assert (order.state, order.fees, order.fills) == (OrderState.PENDING, None, None)


def test_a_warning_is_no_error() -> None:
    assert isinstance(outcome({**added(), "error": ["WOrder:Careful"]}), Placed)


def test_a_description_of_another_form_is_not_held_against_the_order() -> None:
    for text in ("", "kaufe 1.25 XBTUSD"):
        assert isinstance(outcome(added(text)), Placed)


@pytest.mark.parametrize(
    "document",
    [
        added(txid=[]),
        added(txid=None),
        added(txid=[""]),
        added(txid=["OU22CG-KLAF2-FWUDD7", "OUF4EM-FRGI2-MQMWZD"]),
        added("sell 1.25000000 XBTUSD @ limit 27500.0"),
        added("buy 1.24000000 XBTUSD @ limit 27500.0"),
        added("buy 1.25000000 ETHUSD @ limit 27500.0"),
        {**added(), "error": ["EOrder:Insufficient funds"]},
        {"error": [], "result": {}},
        {"error": []},
    ],
)
def test_contradictions_leave_it_open(document: Any) -> None:
    got = outcome(document)
    assert isinstance(got, Unknown)
    assert got.why is U.CONTRADICTORY


@pytest.mark.parametrize("status", [200, 201, 204, 400, 403, 404, 408, 429, 520])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'{"error":null}',
        b'{"error":"EOrder:Insufficient funds"}',
        b'{"error":[],"result":[]}',
        b'{"error":[],"result":{"txid":"O"}}',
        b'{"error":[],"result":{"txid":["O',
        b"<html>EOrder:Insufficient funds</html>",
    ],
)
def test_what_cannot_be_read_leaves_it_open(status: int, body: bytes) -> None:
    assert isinstance(outcome(body, status), Unknown)


def test_success_with_another_status_leaves_it_open() -> None:
    assert isinstance(outcome(added(), 202), Unknown)
    assert isinstance(
        trading.place_outcome(PLACEMENT, reply(200, added(), content_type="text/html")), Unknown
    )


# Questions and cancels


def test_cancels() -> None:
    assert answers.cancel_outcome(ok({"count": 1})) == Cancelled(None)
    assert answers.cancel_outcome(ok({"count": 1, "pending": True})) == Cancelled(None)
    assert isinstance(answers.cancel_outcome(ok({"count": 0})), NotOpen)
    assert isinstance(answers.cancel_outcome(reply(200, {"error": ["EOrder:Unknown order"]})), NotOpen)
    for answer in (
        reply(200, {"error": ["EAPI:Invalid nonce"]}),
        reply(502, {"error": ["EOrder:Unknown order"]}),
        ok({}),
        reply(502, b"<html>"),
    ):
        assert isinstance(answers.cancel_outcome(answer), Unknown)


@needs_samples
def test_the_documented_cancel() -> None:
    assert answers.cancel_outcome(sample("CancelOrder__official_doc.json")) == Cancelled(None)


def test_refusals_of_key_and_nonce() -> None:
    for error in ("EAPI:Invalid key", "EAPI:Invalid signature"):
        assert answers.is_auth_refusal(reply(200, {"error": [error]}))
        assert not answers.is_invalid_nonce(reply(200, {"error": [error]}))
    assert answers.is_invalid_nonce(reply(200, {"error": ["EAPI:Invalid nonce"]}))
    assert not answers.is_auth_refusal(reply(200, {"error": ["EAPI:Invalid nonce"]}))
    assert not answers.is_auth_refusal(reply(200, b"<html>"))


def test_a_description_that_cannot_be_read_leaves_it_open() -> None:
    got = outcome(added("buy 1.25. XBTUSD @ limit 27500.0"))
    assert isinstance(got, Unknown)
