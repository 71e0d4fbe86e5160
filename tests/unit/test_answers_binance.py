"""Binance's answers about orders become outcomes: every documented code has its class."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.binance import answers, trading
from sor_core.adapters.venues.binance.market_data import failure
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
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
from tests.unit.binance_meanings import CODES, TEXTS
from tests.unit.venue_answers import CLIENT_ID, SAMPLES, needs_samples, reply

R, U = RejectReason, UnknownWhy

BTC_USDT = Symbol.parse("BTC/USDT")
PLACEMENT = Placement(
    "binance",
    BTC_USDT,
    Side.BUY,
    OrderKind.LIMIT_IOC,
    CLIENT_ID,
    size=Decimal("1.5"),
    limit_price=Decimal("60000.10"),
)

every_code = pytest.mark.parametrize(
    ("code", "meaning"), [(code, meaning) for meaning, codes in CODES.items() for code in codes]
)
every_text = pytest.mark.parametrize(
    ("text", "meaning"), [(text, meaning) for meaning, texts in TEXTS.items() for text in texts]
)


def said(code: int, text: str = "", status: int = 400) -> PlaceOutcome:
    return trading.place_outcome(PLACEMENT, reply(status, {"code": code, "msg": text}))


def sample(name: str) -> bytes:
    return (SAMPLES / "binance" / name).read_bytes()


def full(**changes: Any) -> dict[str, Any]:
    """The answer to `PLACEMENT`, filled, with what a test changes (None: left out)."""
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "clientOrderId": CLIENT_ID,
        "transactTime": 1_700_000_000_123,
        "price": "60000.10000000",
        "origQty": "1.50000000",
        "executedQty": "1.50000000",
        "origQuoteOrderQty": "0.000000",
        "cummulativeQuoteQty": "89999.50000000",
        "status": "FILLED",
        "timeInForce": "IOC",
        "type": "LIMIT",
        "side": "BUY",
        "fills": [fill("1.00000000", 56), fill("0.50000000", 57, "BNB")],
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not None}


def fill(size: str, number: int, asset: str = "BTC") -> dict[str, Any]:
    return {
        "price": "60000.00000000",
        "qty": size,
        "commission": "0.00100000",
        "commissionAsset": asset,
        "tradeId": number,
    }


def outcome(**changes: Any) -> PlaceOutcome:
    return trading.place_outcome(PLACEMENT, reply(200, full(**changes)))


@needs_samples
def test_the_tables_hold_every_documented_code_and_text() -> None:
    tables = json.loads((SAMPLES / "binance_error_codes.json").read_bytes())
    documented = {each["code"] for each in tables["codes"]}
    assert documented == {code for codes in CODES.values() for code in codes}
    texts = {
        text.rstrip('".').lower()
        for row in tables["order_rejection_messages_-1010_-2010_-2011_-2038"]
        for text in row["msg"].split('" / "')
        if row["msg"] != "Error message"
    }
    assert texts == {text.rstrip(".").lower() for several in TEXTS.values() for text in several}


@every_code
def test_every_code_has_its_class(code: int, meaning: RejectReason | UnknownWhy) -> None:
    got = said(code, "whatever it says")
    if isinstance(meaning, RejectReason):
        assert got == Rejected(meaning, str(code), "whatever it says")
    else:
        assert got == Unknown(meaning, "whatever it says", str(code))


@every_text
def test_every_text_of_a_rejection_has_its_class(text: str, meaning: RejectReason | UnknownWhy) -> None:
    code = -1013 if text.startswith("Filter") else -2010
    got = said(code, text)
    assert (got.reason if isinstance(got, Rejected) else got) == (
        meaning if isinstance(meaning, RejectReason) else Unknown(meaning, text, str(code))
    )
    assert answers.meaning(-1010, text) is meaning


@every_code
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_no_code_makes_a_5xx_definite(code: int, meaning: RejectReason | UnknownWhy, status: int) -> None:
    got = said(code, "", status)
    assert isinstance(got, Unknown), meaning
    assert got.why is U.SERVER_ERROR


def test_what_a_hidden_replay_would_explain() -> None:
    for code, text in (
        (-1021, ""),
        (-2010, "Duplicate order sent."),
        (-2010, "Account has insufficient balance for requested action."),
        (-2010, "something new"),
        (-1013, "Filter failure: MAX_POSITION"),
        (-1013, "Filter failure: PERCENT_PRICE"),
        (-2015, ""),
        (-1003, ""),
    ):
        got = said(code, text)
        assert isinstance(got, Rejected)
        assert got.replay_explainable
    for code, text in (
        (-1013, "Filter failure: LOT_SIZE"),
        (-1013, "Filter failure: PRICE_FILTER"),
        (-1121, ""),
    ):
        got = said(code, text)
        assert isinstance(got, Rejected)
        assert not got.replay_explainable


@pytest.mark.parametrize("code", [-1010, -1013, -2010])
@pytest.mark.parametrize(
    "text",
    ["", "Filter failure: T_PLUS_SELL", "This symbol is under maintenance.", "invalid quantity.", "LOT_SIZE"],
)
def test_a_text_that_is_not_listed_is_no_proof(code: int, text: str) -> None:
    got = said(code, text)
    assert not isinstance(got, Placed)
    assert isinstance(got, Unknown) or got.replay_explainable


def test_a_request_code_that_is_not_listed_is_no_proof() -> None:
    documented = {code for codes in CODES.values() for code in codes}
    for code in set(range(-1199, -1099)) - documented:
        assert said(code, "new") == Unknown(U.UNEXPECTED_CODE, "new", str(code))


@pytest.mark.parametrize("code", [1, 0, -1, -999, -1099, -1200, -3000, -21002, 10**12])
def test_codes_that_are_not_listed_leave_it_open(code: int) -> None:
    assert said(code) == Unknown(U.UNEXPECTED_CODE, "", str(code))


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, R.BLOCKED), (418, R.RATE_LIMITED), (429, R.RATE_LIMITED), (451, R.BLOCKED)],
)
def test_statuses_that_speak_for_themselves(status: int, reason: RejectReason) -> None:
    answer = reply(status, {"code": 0, "msg": "from a restricted location"}, retry_after="7")
    assert trading.place_outcome(PLACEMENT, answer) == Rejected(
        reason, "0", "from a restricted location", 7.0
    )


PAGE = b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize("status", [200, 201, 204, 301, 400, 403, 404, 408, 429, 502])
@pytest.mark.parametrize("body", [PAGE, b"  \n<html>", b"", b"null", b"[]", b'{"code":"x"}', b"Bad Gateway"])
def test_what_is_not_the_apis_own_leaves_it_open(status: int, body: bytes) -> None:
    got = trading.place_outcome(PLACEMENT, reply(status, body))
    assert isinstance(got, Unknown)


def test_a_page_is_told_by_its_type_too() -> None:
    answer = Answer(403, {"content-type": "text/HTML; charset=utf-8"}, b'{"code":-1013}', 1, 1.0)
    assert isinstance(trading.place_outcome(PLACEMENT, answer), Unknown)


def test_texts_that_are_no_plain_line_are_not_passed_on() -> None:
    for text in ("forged\nline", "x" * 500, "tab\t", "\u2028"):
        got = said(-2010, text)
        assert isinstance(got, Rejected)
        assert got.detail == "a text that is not a plain line"


def test_a_filled_order() -> None:
    got = outcome()
    assert isinstance(got, Placed)
    order = got.order
    assert (order.state, order.filled_size, order.quote_filled) == (
        OrderState.FILLED,
        Decimal("1.5"),
        Decimal("89999.5"),
    )
    assert order.average_price == Decimal("59999.666666666666667")
    assert (order.venue_order_id, order.client_order_id, order.side) == ("28", CLIENT_ID, Side.BUY)
    assert order.fees == {"BTC": Decimal("0.001"), "BNB": Decimal("0.001")}
    assert order.fills is not None
    assert [(each.fill_id, each.size, each.fee_asset) for each in order.fills] == [
        ("56", 1, "BTC"),
        ("57", Decimal("0.5"), "BNB"),
    ]
    assert order.fills_complete
    assert (order.size, order.limit_price) == (Decimal("1.5"), Decimal("60000.1"))
    assert (order.created_at_ms, order.updated_at_ms) == (1_700_000_000_123,) * 2


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("NEW", "0", OrderState.OPEN),
        ("NEW", "0.5", OrderState.PARTIALLY_FILLED),
        ("PENDING_NEW", "0", OrderState.PENDING),
        ("PARTIALLY_FILLED", "0.5", OrderState.PARTIALLY_FILLED),
        ("CANCELED", "0.5", OrderState.CANCELLED),
        ("REJECTED", "0", OrderState.REJECTED),
        ("EXPIRED", "0", OrderState.EXPIRED),
        ("EXPIRED", "0.5", OrderState.EXPIRED),
        ("EXPIRED_IN_MATCH", "0.5", OrderState.EXPIRED),
    ],
)
def test_states(status: str, filled: str, state: OrderState) -> None:
    quote = "0" if filled == "0" else "30000"
    got = outcome(status=status, executedQty=filled, cummulativeQuoteQty=quote, fills=[])
    assert isinstance(got, Placed)
    assert got.order.state is state
    assert got.order.fees == ({} if filled == "0" else None), "fees count only with all their fills"


@pytest.mark.parametrize(
    "changes",
    [
        {"executedQty": None},
        {"cummulativeQuoteQty": None},
        {"executedQty": "0"},
        {"cummulativeQuoteQty": "0"},
    ],
)
def test_that_nothing_is_filled_must_be_told(changes: dict[str, Any]) -> None:
    assert isinstance(outcome(status="EXPIRED", fills=None, **changes), Unknown)


def test_an_acknowledgement_tells_no_amounts() -> None:
    ids = ("symbol", "orderId", "clientOrderId", "transactTime")
    got = trading.place_outcome(PLACEMENT, reply(200, {name: full()[name] for name in ids}))
    assert isinstance(got, Placed)
    assert (got.order.state, got.order.side) == (OrderState.PENDING, Side.BUY)
    assert got.order.fills is None


@pytest.mark.parametrize(
    "changes",
    [
        {"clientOrderId": "f" * 32},
        {"side": "SELL"},
        {"origQty": "1.40000000", "executedQty": "1.40000000"},
        {"price": "60000.20000000"},
        {"executedQty": "1.50000001"},
        {"executedQty": "1.00000000"},
        {"status": "FILLED", "executedQty": "0.00000000", "fills": []},
        {"status": "EXPIRED", "executedQty": "0.50000000"},
    ],
)
def test_answers_that_contradict_the_order_leave_it_open(changes: dict[str, Any]) -> None:
    got = outcome(**changes)
    assert isinstance(got, Unknown)
    assert got.why is U.CONTRADICTORY


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "ETHUSDT"},
        {"symbol": None},
        {"orderId": None},
        {"orderId": "28"},
        {"clientOrderId": None},
        {"side": "HOLD"},
        {"status": "A_NEW_ONE"},
        {"executedQty": "-1"},
        {"executedQty": "NaN"},
        {"executedQty": 1.5},
        {"cummulativeQuoteQty": "1e400"},
        {"fills": [{"price": "1"}]},
        {"fills": {}},
    ],
)
def test_answers_that_cannot_be_read_leave_it_open(changes: dict[str, Any]) -> None:
    got = outcome(**changes)
    assert isinstance(got, Unknown)
    assert got.why is U.MALFORMED


def test_an_error_with_status_200_leaves_it_open() -> None:
    assert isinstance(said(-2010, "Duplicate order sent.", 200), Unknown)


# Questions and cancels


def test_no_such_order_is_no_proof() -> None:
    answer = reply(400, {"code": -2013, "msg": "Order does not exist."})
    error = failure(answer)
    assert error is not None
    assert answers.query_refusal(answer, error) == NotFoundNow()


@pytest.mark.parametrize(
    ("status", "document", "why"),
    [
        (500, {"code": -2013, "msg": ""}, U.SERVER_ERROR),
        (400, {"code": -1021, "msg": ""}, U.REFUSED),
        (429, {"code": -1003, "msg": ""}, U.REFUSED),
        (502, PAGE, U.SERVER_ERROR),
    ],
)
def test_questions_that_were_not_answered(status: int, document: Any, why: UnknownWhy) -> None:
    answer = reply(status, document)
    error = failure(answer)
    assert error is not None
    for got in (answers.query_refusal(answer, error), answers.cancel_refusal(answer, error)):
        assert isinstance(got, Unknown)
        assert got.why is why


def test_cancels_of_what_is_not_open() -> None:
    answer = reply(400, {"code": -2011, "msg": "Unknown order sent."})
    error = failure(answer)
    assert error is not None
    assert isinstance(answers.cancel_refusal(answer, error), NotOpen)
    answer = reply(400, {"code": -2011, "msg": "Order was not canceled due to cancel restrictions."})
    assert isinstance(answers.cancel_refusal(answer, error), Unknown)


def test_refusals_of_the_key() -> None:
    for code in (-1022, -2014, -2015):
        assert answers.is_auth_refusal(reply(401, {"code": code, "msg": ""}))
    for status, code in ((200, -2015), (500, -2015), (400, -1021), (429, -1003)):
        assert not answers.is_auth_refusal(reply(status, {"code": code, "msg": ""}))
