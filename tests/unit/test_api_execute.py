"""What comes in about orders: bodies, headers, keys, queries. Whatever it is, it is read or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sor_core.api.execute import (
    ExecuteRules,
    Resolution,
    ReviewRequest,
    parse_execute,
    parse_order_id,
    parse_orders_query,
    parse_review,
    parse_reviews_query,
    parse_switch,
    parse_wait,
)
from sor_core.api.json import dumps, loads
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.domain.order import OrderType, Side, Strategy
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import TimeInForce
from sor_core.execution.request import ExecuteRequest
from sor_core.ports_trading import Standing

RULES = ExecuteRules(("binance", "coinbase", "kraken"), Decimal(100), require_key=False)
MARKET = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 1}
LIMIT = {**MARKET, "type": "limit", "price": "60000"}


def parse(body: Any, headers: Mapping[str, str] | None = None, rules: ExecuteRules = RULES) -> ExecuteRequest:
    return parse_execute(
        body, headers or {}, caller="arn:a", correlation_id="c-1", received_at_ms=7, rules=rules
    )


def refused(body: Any, headers: Mapping[str, str] | None = None, rules: ExecuteRules = RULES) -> Problem:
    with pytest.raises(ProblemError) as caught:
        parse(body, headers, rules)
    return caught.value.problem


def fields(problem: Problem) -> list[str]:
    return [error.field for error in problem.errors]


# The body -----------------------------------------------------------------------------------------


def test_a_market_order_is_read_with_its_defaults() -> None:
    request = parse(MARKET)
    order = request.order
    assert (str(order.symbol), order.side, order.type) == ("BTC/USDT", Side.BUY, OrderType.MARKET)
    assert (order.amount, order.quote_amount, order.price) == (Decimal(1), None, None)
    assert (order.strategy, order.max_slippage_bps) == (Strategy.BEST_EXECUTION, Decimal(100))
    assert (request.time_in_force, request.dry_run, request.wait_s) == (TimeInForce.IOC, False, 20)
    assert (request.client_order_id, request.keys) == ("", ())
    assert (request.caller, request.correlation_id, request.received_at_ms) == ("arn:a", "c-1", 7)
    assert re.fullmatch("[0-9a-f]{64}", request.body_hash)


def test_everything_given_is_read() -> None:
    body = {**LIMIT, "time_in_force": "GTC", "client_order_id": "mine/1", "dry_run": True}
    request = parse(body, {"Prefer": "wait=3", "Idempotency-Key": "k 1"})
    assert request.time_in_force is TimeInForce.GTC
    assert request.dry_run
    assert (request.client_order_id, request.wait_s) == ("mine/1", 3)
    assert request.keys == ("key:k 1", "client_order_id:mine/1")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"time_in_force": "FOK"}, "time_in_force"),
        ({"time_in_force": "ioc"}, "time_in_force"),
        ({"time_in_force": None}, "time_in_force"),
        ({"time_in_force": "GTC"}, "time_in_force"),  # a market order
        ({"client_order_id": ""}, "client_order_id"),
        ({"client_order_id": "a b"}, "client_order_id"),
        ({"client_order_id": "a\n"}, "client_order_id"),
        ({"client_order_id": "é"}, "client_order_id"),
        ({"client_order_id": "\ud800"}, "client_order_id"),
        ({"client_order_id": "a" * 65}, "client_order_id"),
        ({"client_order_id": 7}, "client_order_id"),
        ({"dry_run": "true"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"dry_run": None}, "dry_run"),
        ({"timeInForce": "IOC"}, "timeInForce"),
        ({"\ud800": 1}, "body"),
        ({"amount": None}, "amount"),
        ({"amount": -1}, "amount"),
        ({"max_slippage_bps": 101}, "max_slippage_bps"),
        ({"venues": {"allow": ["nowhere"]}}, "venues.allow"),
    ],
)
def test_a_body_is_refused_by_the_field(change: dict[str, Any], field: str) -> None:
    problem = refused(MARKET | change)
    assert problem.kind is Kind.INVALID
    assert fields(problem) == [field]
    dumps(problem.document("r"))  # can be written


def test_a_rest_waits_only_for_a_limit_and_an_amount_of_base() -> None:
    body = {**LIMIT, "time_in_force": "GTC", "quote_amount": 100}
    del body["amount"]
    assert fields(refused(body)) == ["quote_amount"]
    assert fields(refused({**MARKET, "time_in_force": "GTC"})) == ["time_in_force"]
    assert parse({**LIMIT, "time_in_force": "GTC"}).order.price == 60000


def test_all_wrong_fields_are_named_at_once() -> None:
    problem = refused({**MARKET, "price": 1, "time_in_force": "GTC", "max_slippage_bps": 5000})
    assert fields(problem) == ["price", "max_slippage_bps", "time_in_force"]


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert refused(body).kind is Kind.INVALID


# Keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body_id", "key"),
    [
        ({}, None, None),
        ({}, "mine", None),
        ({"Idempotency-Key": "k"}, None, "k"),
        ({"idempotency-key": "k"}, "mine", "k"),
        ({"IDEMPOTENCY-KEY": " k\t"}, "k", "k"),
        ({"Idempotency-Key": "k", "idempotency-key": "k"}, None, "k"),
        ({"Idempotency-Key": "k" * 128}, None, "k" * 128),
        ({"Idempotency-Key": '"quoted, too"'}, None, '"quoted, too"'),
    ],
)
def test_the_header_and_the_callers_name_both_make_it_one_order(
    headers: dict[str, str], body_id: str | None, key: str | None
) -> None:
    request = parse({**MARKET, "client_order_id": body_id}, headers)
    of_header = () if key is None else (f"key:{key}",)
    assert request.keys == of_header + (() if body_id is None else (f"client_order_id:{body_id}",))
    assert request.client_order_id == (body_id or "")


@pytest.mark.parametrize("value", ["", " ", "a" * 129, "a\nb", "é", "a\x7f", "\ud800"])
def test_a_key_that_cannot_be_used_is_never_taken_for_none(value: str) -> None:
    for body in (MARKET, {**MARKET, "client_order_id": "mine"}):
        problem = refused(body, {"Idempotency-Key": value})
        assert problem.kind is Kind.INVALID_REQUEST
        assert fields(problem) == ["Idempotency-Key"]


def test_two_keys_are_none() -> None:
    assert refused(MARKET, {"Idempotency-Key": "a", "idempotency-key": "b"}).kind is Kind.INVALID_REQUEST


def test_a_key_is_required_where_configured() -> None:
    strict = replace(RULES, require_key=True)
    problem = refused(MARKET, rules=strict)
    assert (problem.kind, problem.kind.status) == (Kind.KEY_REQUIRED, 400)
    assert refused({**MARKET, "dry_run": True}, rules=strict).kind is Kind.KEY_REQUIRED
    assert parse(MARKET, {"Idempotency-Key": "k"}, strict).keys == ("key:k",)
    assert parse({**MARKET, "client_order_id": "mine"}, rules=strict).keys == ("client_order_id:mine",)


# The hash of what was asked -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        '{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 1}',
        '{"amount": 1.00, "type": "market", "side": "buy", "symbol": "BTC/USDT"}',
        '{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": "1.000"}',
        '{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 10e-1}',
        (
            '{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 1, "quote_amount": null,'
            ' "execution_strategy": "best_execution", "time_in_force": "IOC", "dry_run": false}'
        ),
    ],
)
def test_the_same_order_written_differently_is_the_same(same: str) -> None:
    assert parse(loads(same)).body_hash == parse(MARKET).body_hash


def test_the_order_of_venues_is_no_difference() -> None:
    one, two = (
        parse({**MARKET, "venues": {"allow": venues}}).body_hash
        for venues in (["kraken", "binance"], ["binance", "kraken", "binance"])
    )
    assert one == two != parse({**MARKET, "venues": {"deny": ["kraken", "binance"]}}).body_hash


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "ETH/USDT"},
        {"side": "sell"},
        {"type": "limit", "price": 1},
        {"type": "limit", "price": 2},
        {"type": "limit", "price": 2, "time_in_force": "GTC"},
        {"amount": Decimal("1.000000000000000001")},
        {"amount": None, "quote_amount": 1},
        {"execution_strategy": "lowest_latency"},
        {"max_slippage_bps": 50},
        {"venues": {"allow": ["kraken"]}},
        {"venues": {"deny": ["kraken"]}},
        {"max_legs": 1},
        {"client_order_id": "mine"},
        {"dry_run": True},
    ],
)
def test_any_other_order_is_another(change: dict[str, Any]) -> None:
    assert parse(MARKET | change).body_hash != parse(MARKET).body_hash


def test_a_retry_is_the_same_whatever_was_configured_meanwhile_and_however_long_it_waits() -> None:
    other = replace(RULES, max_slippage_bps=Decimal(50))
    again = parse(MARKET, {"Prefer": "wait=1", "Idempotency-Key": "k"}, other)
    assert again.order.max_slippage_bps == 50
    assert again.body_hash == parse(MARKET).body_hash


# Prefer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("wait=10", 10),
        ("wait=0", 0),
        ("Wait = 10", 10),
        ('wait="10"', 10),
        ("wait=24", 24),
        ("wait=25", 24),
        ("wait=" + "9" * 900, 24),
        ("respond-async, wait=5", 5),
        ("respond-async; foo=bar ,wait=5; strict", 5),
        ("wait=5, wait=6", 5),
        ('note="a, wait=9", wait=5', 5),
        ('note="a\\", wait=9", wait=5', 5),
        ("=, ;;, wait=5", 5),
        ("wait", 20),
        ("wait=", 20),
        ('wait=""', 20),
        ("wait=-1", 20),
        ("wait=1.5", 20),
        ("wait=1s", 20),
        ("wait=\u0665", 20),
        ("wait=x, wait=6", 20),
        ("waiting=5", 20),
        ('note="wait=9', 20),
        ("", 20),
        ("wait=5" + " " * 2000, 20),
        ("," * 5000, 20),
        ('"\\' * 500, 20),
    ],
)
def test_how_long_the_caller_waits(value: str, seconds: int) -> None:
    assert parse_wait({"prefer": value}) == seconds


def test_several_preferences_are_read_as_one_list() -> None:
    assert parse_wait({}) == 20
    assert parse_wait({"Prefer": "respond-async", "prefer": "wait=4"}) == 4


# The switch, reviews, lists -----------------------------------------------------------------------


def test_the_switch_is_read() -> None:
    assert parse_switch({"mode": "halted", "reason": " incident 7 "}) == (TradingMode.HALTED, "incident 7")
    assert parse_switch({"mode": "running"}) == (TradingMode.RUNNING, "")
    assert parse_switch({"mode": "running", "reason": "over"}) == (TradingMode.RUNNING, "over")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "mode"),
        ({"mode": "stopped"}, "mode"),
        ({"mode": "halted"}, "reason"),
        ({"mode": "reduce_only", "reason": None}, "reason"),
        ({"mode": "halted", "reason": ""}, "reason"),
        ({"mode": "halted", "reason": "  "}, "reason"),
        ({"mode": "halted", "reason": "a\nb"}, "reason"),
        ({"mode": "halted", "reason": "\ud800"}, "reason"),
        ({"mode": "halted", "reason": "a" * 201}, "reason"),
        ({"mode": "running", "by": "me"}, "by"),
    ],
)
def test_a_switch_that_cannot_be_set_is_refused(body: Any, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_switch(body)
    assert caught.value.problem.kind is Kind.INVALID_REQUEST
    assert fields(caught.value.problem) == [field]


def test_a_review_is_read() -> None:
    body = {"attempt": 2, "resolution": "never_placed", "note": "asked their desk, ticket 5"}
    assert parse_review(body) == ReviewRequest(2, Resolution.NEVER_PLACED, "asked their desk, ticket 5")
    kept = parse_review({**body, "resolution": "keep_as_told"})
    assert kept.resolution is Resolution.KEEP_AS_TOLD


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"attempt": 0}, "attempt"),
        ({"attempt": "1"}, "attempt"),
        ({"attempt": True}, "attempt"),
        ({"resolution": "filled"}, "resolution"),
        ({"note": ""}, "note"),
        ({"note": "a" * 501}, "note"),
        ({"note": None}, "note"),
        ({"filled_amount": 1}, "filled_amount"),
    ],
)
def test_a_review_that_says_too_little_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_review({"attempt": 1, "resolution": "never_placed", "note": "why"} | change)
    assert caught.value.problem.kind is Kind.INVALID_REQUEST
    assert fields(caught.value.problem) == [field]


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ({}, (20, None)),
        ({"limit": "1"}, (1, None)),
        ({"limit": "100", "cursor": "abc=", "x": "y"}, (100, "abc=")),
    ],
)
def test_a_list_is_asked_for(query: dict[str, str], read: tuple[int, str | None]) -> None:
    assert parse_orders_query(query) == read


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": text} for text in ("0", "101", "-1", "1.0", "", "9" * 5000, "\u0665", " 1")),
        *({"cursor": text} for text in ("", "a b", "é", "a" * 2049)),
    ],
)
def test_a_list_that_cannot_be_given_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_orders_query(query)
    assert fields(caught.value.problem) == list(query)


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ({}, (Standing.NEEDS_REVIEW, 20, None)),
        ({"status": "needs_review"}, (Standing.NEEDS_REVIEW, 20, None)),
        ({"status": "open", "limit": "3", "cursor": "c"}, (Standing.OPEN, 3, "c")),
    ],
)
def test_the_reviews_are_asked_for(query: dict[str, str], read: tuple[Standing, int, str | None]) -> None:
    assert parse_reviews_query(query) == read


@pytest.mark.parametrize(
    "query",
    [
        *({"status": text} for text in ("", "filled", "OPEN", "open ", "1", "\u0665")),
        {"limit": "0"},
        {"cursor": "a b"},
        {"status": "filled", "limit": "0", "cursor": "a b"},
    ],
)
def test_reviews_that_cannot_be_given_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_reviews_query(query)
    assert (caught.value.problem.kind, fields(caught.value.problem)) == (Kind.INVALID_REQUEST, list(query))


def test_an_order_id_is_32_hex_digits() -> None:
    assert parse_order_id("0f" * 16) == "0f" * 16
    for text in ("", "0F" * 16, "0f" * 15, "0f" * 16 + "\n", "../" * 10, "\u0660" * 32):
        with pytest.raises(ProblemError) as caught:
            parse_order_id(text)
        assert caught.value.problem.kind is Kind.ORDER_NOT_FOUND


# Anything at all ----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=()), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.decimals()
    | texts
    | st.sampled_from(
        [1, "1.50", Decimal("0.10"), "BTC/USDT", "buy", "limit", "market", "GTC", "IOC", "halted"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["allow", "deny"]) | texts, inner, max_size=3)
    ),
    max_leaves=6,
)
SOUND: dict[str, list[Any]] = {
    "price": ["60000", Decimal("0.10"), None],
    "quote_amount": [100, None],
    "max_slippage_bps": [Decimal("0.5"), "50"],
    "venues": [{"allow": ["kraken"]}, {"deny": ["kraken"]}],
    "max_legs": [1, 50],
    "time_in_force": ["IOC", "GTC"],
    "dry_run": [True, False],
    "client_order_id": ["mine", "{}"],
    "execution_strategy": ["lowest_latency"],
    "type": ["limit"],
    "amount": [Decimal("1E-18"), 10**17, None],
}
sound = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(choices) for name, choices in SOUND.items()}
)
nothing: dict[str, Any] = {}
odd = st.just(nothing) | st.dictionaries(st.sampled_from([*MARKET, *SOUND]) | texts, values, max_size=1)
orders = st.builds(lambda known, other: MARKET | known | other, sound, odd)
header_names = st.sampled_from(["Idempotency-Key", "idempotency-key", "Prefer", "PREFER"]) | texts
header_values = texts | st.text('wait=0123456789,;" \\', max_size=40)


def is_of_the_caller(error: ProblemError) -> None:
    assert 400 <= error.problem.kind.status < 500
    dumps(error.problem.document("r"))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(body=values | orders, headers=st.dictionaries(header_names, header_values, max_size=3))
def test_anything_is_an_order_or_a_problem_of_the_caller(body: Any, headers: dict[str, str]) -> None:
    try:
        request = parse(body, headers)
    except ProblemError as error:
        is_of_the_caller(error)
        return
    assert 0 <= request.wait_s <= 24
    assert (request.order.amount is None) != (request.order.quote_amount is None)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(body=values | st.dictionaries(st.sampled_from(["mode", "reason", "attempt", "note"]), values))
def test_anything_else_is_read_or_a_problem_of_the_caller(body: Any) -> None:
    for read in (parse_switch, parse_review):
        try:
            read(body)
        except ProblemError as error:
            is_of_the_caller(error)
