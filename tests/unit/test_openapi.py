"""The OpenAPI document says what the code does: paths, bodies, answers, problems, examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel

from local.openapi.document import COMMITTED, document, text
from local.openapi.problems import name_of
from local.template import load
from sor_core.api.answers import route_answer
from sor_core.api.execute import (
    ExecuteBody,
    ExecuteRules,
    ReviewBody,
    SwitchBody,
    parse_execute,
    parse_review,
    parse_switch,
)
from sor_core.api.json import dumps
from sor_core.api.json import loads as exact_loads
from sor_core.api.no_route import no_route_problem
from sor_core.api.orders import (
    cursor_problem,
    dry_run_answer,
    ledger_unavailable_problem,
    order_answer,
    order_detail,
    order_not_found_problem,
    orders_page,
    receipt_not_found_problem,
    refusal_problem,
    reviews_page,
    switch_answer,
    venue_answer,
)
from sor_core.api.problems import Kind, ProblemError
from sor_core.api.schemas import RouteRequest, parse_order
from sor_core.api.status import status_answer
from sor_core.domain.decision import Decision, NoRoute, NoRouteReason
from sor_core.domain.health import SystemStatus
from sor_core.domain.market import Exclusion, Why
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import Refusal, Rejected, RejectReason, Unknown, UnknownWhy, WouldTake
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import AttemptState, Event
from sor_core.execution.request import CheckedLeg, RefusalReason, Refused
from sor_core.health.measure import Probe, fold
from sor_core.ports_trading import Page, Switch
from sor_core.routing.decide import decide
from sor_core.services.route import Routed
from sor_core.settings import Settings
from tests.fakes.markets import NOW_MS, levels, market, order
from tests.fakes.records import attempt, fill, record, venue_order

METHODS = {"get", "post", "put", "patch", "delete"}
VENUES = ("binance", "coinbase", "kraken")
RULES = ExecuteRules(VENUES, Decimal(100), require_key=False)


@cache
def made() -> dict[str, Any]:
    return document()


def test_the_committed_document_is_the_generated_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "make openapi"


def test_it_is_openapi() -> None:
    validate(made())


# Paths -------------------------------------------------------------------------------------------


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in made()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_of_the_template_is_described_and_no_other_is() -> None:
    routed = {
        (event["Properties"]["Path"], event["Properties"]["Method"].lower()): event["Properties"]
        for resource in load()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and "{proxy+}" not in event["Properties"]["Path"]
    }
    told = {(path, method): operation for path, method, operation in operations()}
    assert set(told) == set(routed)
    unsigned = {at for at, event in routed.items() if event.get("Auth", {}).get("Authorizer") == "NONE"}
    assert {at for at, operation in told.items() if operation.get("security") == []} == unsigned
    assert made()["security"] == [{"aws_sigv4": []}]


def test_every_problem_is_an_answer_of_some_operation() -> None:
    told = json.dumps(made()["paths"])
    assert [kind for kind in Kind if f'/{name_of(kind)}"' not in told] == []


# Answers -----------------------------------------------------------------------------------------


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": made()["components"]})


def errors_of(name: str, answer: Any) -> list[str]:
    """What is wrong with an answer, as a client would read it off the wire."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return [f"{e.json_path}: {e.message}" for e in validator(schema).iter_errors(json.loads(dumps(answer)))]


def examples(media: dict[str, Any]) -> Iterator[Any]:
    for example in media.get("examples", {}).values():
        at = example.get("$ref", "").rpartition("/")[2]
        yield (made()["components"]["examples"][at] if at else example)["value"]


def test_every_example_is_what_its_schema_says_and_the_code_takes_it() -> None:
    parsers = {
        "route": lambda body: parse_order(body, venues=VENUES, max_slippage_bps=Decimal(100)),
        "execute": lambda body: parse_execute(
            body, {}, caller="", correlation_id="", received_at_ms=0, rules=RULES
        ),
        "setTrading": parse_switch,
        "review": parse_review,
    }
    shown = 0
    for _, _, operation in operations():
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                for example in examples(media):
                    shown += 1
                    assert list(validator(media["schema"]).iter_errors(example)) == []
        for media in operation.get("requestBody", {}).get("content", {}).values():
            requests = list(examples(media))
            assert requests, operation["operationId"]
            for example in requests:
                assert list(validator(media["schema"]).iter_errors(example)) == []
                parsers[operation["operationId"]](exact_loads(dumps(example)))
    assert shown > 40
    answered = {o["operationId"] for _, _, o in operations() if list(_shown(o))}
    assert answered == {o["operationId"] for _, _, o in operations()} - {"metrics", "review"}


def _shown(operation: dict[str, Any]) -> Iterator[Any]:
    for status, response in operation["responses"].items():
        if status in {"200", "202"}:
            for media in response["content"].values():
                yield from examples(media)


def a_decision(side: Side = Side.BUY, **changes: Any) -> Decision:
    size = None if "quote_amount" in changes else "1"
    asked = order(size, side=side, max_slippage_bps="50", **changes)
    deep: dict[str, Any] = {"asks": levels(("100.1", "100000")), "bids": levels(("99.9", "100000"))}
    markets = [market("binance", **deep), market("kraken", fee_bps="5", **deep)]
    decision = decide(
        asked, markets, [Exclusion("coinbase", Why.NOT_ALLOWED)], Settings.from_env({}).policy, NOW_MS
    )
    assert isinstance(decision, Decision)
    return decision


@pytest.mark.parametrize("changes", [{}, {"side": Side.SELL}, {"quote_amount": "500"}])
def test_routes(changes: dict[str, Any]) -> None:
    answer = route_answer(Routed("0" * 32, a_decision(**changes), cached=False), NOW_MS)
    assert errors_of("RouteAnswer", answer) == []
    assert errors_of("RouteAnswer", {**answer, "more": 1})
    assert errors_of("RouteAnswer", {**answer, "reason": "luck"})


def test_statuses() -> None:
    probe = Probe(NOW_MS, (10.0,), 1, SystemStatus.ONLINE, 5.0, 0.0, "")
    records = {"binance": fold("binance", None, probe)}
    assert errors_of("StatusAnswer", status_answer(VENUES, records, NOW_MS, 30)) == []


REFUSED = attempt(1, AttemptState.NEVER, refusal=Rejected(RejectReason.FILTER_SIZE, "-1013", "too small"))
BOUGHT = attempt(2, AttemptState.ENDED, venue_order(fill("60000", "1", "60")))
HISTORY = (Event(NOW_MS, 1, "intended", 1, "binance"),)


@pytest.mark.parametrize("status", [s for s in OrderStatus if s.is_final])
def test_orders_that_ended(status: OrderStatus) -> None:
    ended = record(REFUSED, BOUGHT, ended=status, history=HISTORY)
    assert errors_of("OrderAnswer", order_answer(ended)) == []
    assert errors_of("OrderDetail", order_detail(ended)) == []
    assert errors_of("OrdersPage", orders_page(Page((ended,), "cursor"))) == []


@pytest.mark.parametrize("state", AttemptState)
def test_orders_under_way(state: AttemptState) -> None:
    standing = record(replace(BOUGHT, state=state))
    assert errors_of("OrderDetail", order_detail(standing)) == []
    evidence = {
        "order": order_detail(standing),
        "venues": [venue_answer(BOUGHT, BOUGHT.order, ""), venue_answer(REFUSED, None, "timeout")],
    }
    assert errors_of("Evidence", evidence) == []


@pytest.mark.parametrize("state", AttemptState)
@pytest.mark.parametrize("ended", [OrderStatus.NEEDS_REVIEW, None])
def test_orders_that_are_not_done_with(state: AttemptState, ended: OrderStatus | None) -> None:
    standing = record(replace(BOUGHT, state=state), REFUSED, ended=ended, contradiction="filled after all")
    answer = reviews_page(Page((standing,), "cursor"))
    assert len(answer["orders"][0]["attempts"]) == 2
    assert errors_of("ReviewsPage", answer) == []
    assert errors_of("ReviewsPage", {"orders": [{**answer["orders"][0], "more": 1}], "cursor": None})


def test_dry_runs() -> None:
    outcomes = (
        WouldTake(),
        Rejected(RejectReason.OTHER, "", ""),
        Refusal(RejectReason.FILTER_SIZE, ""),
        Unknown(UnknownWhy.TIMEOUT, ""),
    )
    legs = [CheckedLeg("binance", Decimal(1), Decimal(1), outcome) for outcome in outcomes]
    for decision in (a_decision(), None):
        for some in (legs, legs[:1], legs[3:]):
            assert errors_of("DryRunAnswer", dry_run_answer("0" * 32, decision, some)) == []


@pytest.mark.parametrize("mode", TradingMode)
def test_the_switch(mode: TradingMode) -> None:
    for by, since in (("me", NOW_MS), ("", 0)):
        answer = switch_answer(Switch(mode, "why", by, since))
        assert errors_of("SwitchAnswer", answer) == []
        for still_open in (None, 3):
            assert errors_of("SwitchSetAnswer", {**answer, "still_open": still_open}) == []


def test_problems() -> None:
    excluded = (Exclusion("binance", Why.STALE_BOOK, "old"),)
    found = [
        *(
            no_route_problem(order("1"), NoRoute(reason, "why", Decimal(1), excluded))
            for reason in NoRouteReason
        ),
        *(refusal_problem(Refused(reason, "why")) for reason in RefusalReason),
        *(
            order_not_found_problem(),
            receipt_not_found_problem(),
            cursor_problem(),
            ledger_unavailable_problem(),
        ),
    ]
    for problem in found:
        assert errors_of(name_of(problem.kind), problem.document("r-1")) == [], problem.kind


# Requests ----------------------------------------------------------------------------------------

ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        2.0,
        50,
        51,
        10**17,
        10**18,
        1e-18,
        1e30,
        "",
        " ",
        "x",
        "1",
        "01",
        "1.0",
    ),
    *("0", "0.0", "1e5", "-1", "+1", ".5", "5.", " 1", "٣", "1" * 18, "1" * 19, "0" * 46 + "1" * 18),
    *(
        "0" * 47 + "1" * 18,
        "0." + "0" * 17 + "1",
        "0." + "0" * 18 + "1",
        "1/2",
        "AB/CD",
        "ab/cd",
        "BTC/USDT/X",
    ),
    *("GTC", "IOC", "market", "limit", "running", "halted", "x" * 64, "x" * 65, "x" * 201, "x" * 501, "a b"),
    *([], {}, [[]], ["binance"], ["binance"] * 51, ["nowhere"], {"allow": ["kraken"]}, {"deny": ["kraken"]}),
    *({"allow": None, "deny": ["kraken"]}, {"allow": ["kraken"], "deny": ["kraken"]}, {"allow": []}),
]
BODIES: dict[str, tuple[type[BaseModel], list[dict[str, Any]]]] = {
    "RouteRequest": (
        RouteRequest,
        [
            {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": "1", "max_legs": 2},
            {"symbol": "BTC/USDT", "side": "sell", "type": "limit", "quote_amount": 9, "price": 1.5},
        ],
    ),
    "ExecuteRequest": (
        ExecuteBody,
        [
            {"symbol": "BTC/USDT", "side": "buy", "type": "limit", "amount": "1", "price": "2",
             "time_in_force": "GTC", "client_order_id": "a", "dry_run": True, "max_slippage_bps": 50},
            {"symbol": "BTC/USDT", "side": "buy", "type": "market", "quote_amount": "1",
             "venues": {"allow": ["binance"]}, "execution_strategy": "best_liquidity"},
        ],
    ),
    "SwitchRequest": (SwitchBody, [{"mode": "halted", "reason": "why"}, {"mode": "running"}]),
    "ReviewRequest": (ReviewBody, [{"attempt": 1, "resolution": "keep_as_told", "note": "seen"}]),
}  # fmt: skip


def taken(name: str, body: Any) -> bool:
    """Whether the API takes a body, as read off the wire."""
    document = exact_loads(dumps(body))
    try:
        match name:
            case "RouteRequest":
                parse_order(document, venues=VENUES, max_slippage_bps=Decimal(10**18))
            case "ExecuteRequest":
                rules = replace(RULES, max_slippage_bps=Decimal(10**18))
                parse_execute(document, {}, caller="", correlation_id="", received_at_ms=0, rules=rules)
            case "SwitchRequest":
                parse_switch(document)
            case _:
                parse_review(document)
    except ProblemError:
        return False
    return True


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_taken_if_and_only_if_its_schema_says_so(name: str) -> None:
    model, bodies = BODIES[name]
    schema = validator({"$ref": f"#/components/schemas/{name}"})
    for body in bodies:
        assert taken(name, body)
        tried = [
            *({**body, field: odd} for field in (*model.model_fields, "unknown") for odd in ODD),
            *({k: v for k, v in body.items() if k != field} for field in body),
            *ODD,
        ]
        for each in tried:
            assert schema.is_valid(each) == taken(name, each), each
