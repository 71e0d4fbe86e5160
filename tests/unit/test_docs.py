"""The documentation says what the code does: lists, names, defaults, ranges, the worked example."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from local.configuration import LOCAL_ONLY
from local.template import load, parameter_of_variable
from local.venues.config import config_from_environment
from sor_core.adapters.dynamo_state import FORGET_BOOK_AFTER_MS
from sor_core.adapters.sqs_probes import PROBE_MESSAGE
from sor_core.adapters.venues.kraken.trading import TURN_MARGIN_MS
from sor_core.api.answers import route_answer
from sor_core.api.execute import (
    DEFAULT_LIMIT,
    DEFAULT_WAIT_S,
    MOST_LIMIT,
    MOST_WAIT_S,
    ExecuteBody,
    ExecuteRules,
    Resolution,
    ReviewBody,
    parse_execute,
    parse_review,
    parse_switch,
)
from sor_core.api.http import MAX_BODY_BYTES
from sor_core.api.orders import dry_run_answer, order_answer, order_detail, reviews_page, switch_answer
from sor_core.api.problems import Kind
from sor_core.api.schemas import RouteRequest
from sor_core.api.status import status_answer
from sor_core.bootstrap import read_settings
from sor_core.domain.decision import Decision, Reason
from sor_core.domain.errors import VenueFailure
from sor_core.domain.health import SystemStatus
from sor_core.domain.market import Exclusion, Policy, VenueMarket, Why
from sor_core.domain.order import OrderType, Side, Strategy
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import Refusal, Rejected, RejectReason, Unknown, UnknownWhy, WouldTake
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import AttemptState, Event
from sor_core.execution.request import CheckedLeg
from sor_core.health.calls import LONGEST_MS
from sor_core.health.measure import (
    LEAST_HEALTH_SCORE,
    TICK_JITTER_S,
    Probe,
    fold,
)
from sor_core.health.windows import KEPT_HOURS, KEPT_MINUTES, RECENT_MINUTES
from sor_core.ports_trading import Page, Standing, Switch
from sor_core.routing.allocate import MAX_NODES
from sor_core.routing.candidates import build_field, price_cap
from sor_core.routing.decide import decide
from sor_core.routing.lattice import COARSEST
from sor_core.routing.score import FRESHNESS_MS, LIQUIDITY_BAND_BPS
from sor_core.routing.screen import arrival_mid
from sor_core.routing.strategies import surcharge_bps
from sor_core.services.call_health import FLUSH_AFTER_FAILURE_MS, FLUSH_EVERY_MS, REACHED_WITHIN_MS
from sor_core.services.call_health import FLUSH_TIMEOUT_S as HEALTH_FLUSH_TIMEOUT_S
from sor_core.services.desk import PLACE_TIMEOUT_S, SEND_WITHIN_MS
from sor_core.services.gather import FLUSH_TIMEOUT_S, INSTRUMENT_TTL_MS, LEASE_POLL_S, NOT_LISTED_TTL_MS
from sor_core.services.probe import CALL_TIMEOUT_S, NEAR_BAND_BPS, VENUE_BUDGET_S
from sor_core.services.route import STATE_TIMEOUT_S, Routed
from sor_core.settings import Settings, SettingsError
from tests.fakes.markets import NOW_MS, instrument, levels, market, metrics, order
from tests.fakes.records import attempt, fill, record, venue_order

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "layers" / "sor_core" / "sor_core"


def page(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text(encoding="utf-8")


API, CONFIGURATION, DECISION, ARCHITECTURE, HEALTH, EXECUTION, OPERATIONS = (
    page(f"{name}.md")
    for name in ("api", "configuration", "decision", "architecture", "health", "execution", "operations")
)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its rank or above."""
    rank = heading.partition(" ")[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of every table row, but for headers, whose first cell begins with code."""
    lines = [
        line
        for line, below in pairwise([*text.splitlines(), ""])
        if line.startswith("| `") and not below.startswith("|---")
    ]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_codes(text: str) -> list[str]:
    return [code for row in rows(text) for code in codes(row[0])]


# docs/configuration.md ---------------------------------------------------------------------------


class Recorder(dict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


VARIABLES = {name: row for row in rows(CONFIGURATION) for name in codes(row[0])}
OF_SETTINGS = Recorder()
Settings.from_env(OF_SETTINGS)
RANGE = re.compile(r"([0-9.]+) to ([0-9.]+)")
NUMBERS = sorted(name for name in OF_SETTINGS.asked if RANGE.fullmatch(VARIABLES.get(name, [""] * 4)[3]))


def test_every_variable_stands_once_in_the_table_and_no_other_does() -> None:
    of_venues = Recorder()
    config_from_environment(of_venues)
    elsewhere = {"AWS_ENDPOINT_URL", "DATABASE_URL", "REDIS_URL", *LOCAL_ONLY}
    elsewhere.add("SOR_VENUES_BOOKS_SYMBOL")  # asked for only where there is a recording
    listed = first_codes(CONFIGURATION)
    assert sorted(listed) == sorted(OF_SETTINGS.asked | of_venues.asked | elsewhere)


@pytest.mark.parametrize(("variable", "parameter"), parameter_of_variable(load()).items())
def test_the_table_names_the_templates_parameter_and_its_default(variable: str, parameter: str) -> None:
    _, documented, default, *_ = VARIABLES[variable]
    assert codes(documented) == [parameter]
    told = "".join(codes(default))
    in_template = str(load()["Parameters"][parameter]["Default"])
    assert told == in_template or Decimal(told) == Decimal(in_template)


def test_the_documented_defaults_are_those_of_the_code() -> None:
    told = {name: "".join(codes(VARIABLES[name][2])) for name in OF_SETTINGS.asked}
    assert Settings.from_env(told) == Settings.from_env({})
    assert set(NUMBERS) >= {"SOR_CACHE_TTL_SECONDS", "SOR_MAX_LATENCY_MS", "SOR_BOOK_DEPTH"}


@pytest.mark.parametrize("variable", NUMBERS)
def test_a_number_is_taken_within_its_documented_range_only(variable: str) -> None:
    match = RANGE.fullmatch(VARIABLES[variable][3])
    assert match
    least, most = match.groups()
    Settings.from_env({variable: least})
    Settings.from_env({variable: most})
    for beyond in (str(Decimal(most) + 1), str(Decimal(least) - Decimal("0.001"))):
        with pytest.raises(SettingsError, match=variable):
            Settings.from_env({variable: beyond})


SHOWN = re.findall(r"^\$ (\w+)=(\S+) make run\n(.+)$", CONFIGURATION, re.MULTILINE)


def test_messages_of_bad_values_are_shown() -> None:
    assert len(SHOWN) >= 3


@pytest.mark.parametrize(("variable", "value", "message"), SHOWN)
def test_the_shown_message_of_a_bad_value_is_the_real_one(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"SOR_STATE_TABLE": "table", variable: value})
    assert str(caught.value) == message


# docs/api.md: closed lists -----------------------------------------------------------------------


def test_every_problem_stands_with_its_status_and_no_other_does() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in rows(section(API, "## Problems"))}
    assert told == {kind.type: kind.status for kind in Kind}


@pytest.mark.parametrize(
    ("heading", "kinds"), [("### Reasons", (Reason,)), ("### Excluded", (Why, VenueFailure))]
)
def test_every_code_stands_in_its_list_and_no_other_does(heading: str, kinds: tuple[type[Enum], ...]) -> None:
    assert sorted(first_codes(section(API, heading))) == sorted(code.value for kind in kinds for code in kind)


def test_every_field_of_a_request_stands_in_the_table_with_its_choices() -> None:
    table = rows(section(API, "### Request"))
    assert [codes(row[0])[0] for row in table] == list(RouteRequest.model_fields)
    choices = {codes(row[0])[0]: codes(row[1]) for row in table}
    assert choices["side"] == [side.value for side in Side]
    assert choices["type"] == [kind.value for kind in OrderType]
    assert choices["execution_strategy"] == [strategy.value for strategy in Strategy]


METHODS = ("GET ", "POST ", "PUT ", "DELETE ")


def test_every_path_stands_in_the_table_and_no_other_does() -> None:
    served = []
    for app in sorted((REPOSITORY / "functions").glob("*/app.py")):
        found = re.findall(r'@routes\.on\("(\w+)", "([^"]+)"', app.read_text(encoding="utf-8"))
        served += [f"{method} {path}" for method, path in found]
    events = [
        event["Properties"]
        for resource in load()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and "{proxy+}" not in event["Properties"]["Path"]
    ]
    told = sorted(code for code in first_codes(API) if code.startswith(METHODS))
    assert told == sorted(served)
    assert told == sorted(f"{event['Method']} {event['Path']}" for event in events)


# docs/api.md: answers ----------------------------------------------------------------------------


def example_market() -> list[VenueMarket]:
    """The market of the worked example in docs/decision.md."""
    fine = "0.00000001"
    return [
        market(
            "binance",
            asks=levels(("60000", "0.4"), ("60036", "150")),
            bids=levels(("59992", "1")),
            fee_bps="10",
            rules=instrument("binance", lot="0.00001"),
            health=metrics(80.0),
        ),
        market(
            "coinbase",
            asks=levels(("59994", "3"), ("60100", "20")),
            bids=levels(("59990", "1")),
            fee_bps="40",
            rules=instrument("coinbase", lot=fine),
            health=metrics(60.0, success_rate=0.98),
        ),
        market(
            "kraken",
            asks=levels(("60021", "10")),
            bids=levels(("59985", "1")),
            fee_bps="12",
            rules=instrument("kraken", lot=fine),
            health=metrics(10.0),
        ),
    ]


POLICY: Policy = Settings.from_env({}).policy


def example_decision(strategy: Strategy) -> Decision:
    asked = order("1", strategy=strategy, max_slippage_bps="50")
    decision = decide(asked, example_market(), [Exclusion("other", Why.NOT_ALLOWED)], POLICY, NOW_MS)
    assert isinstance(decision, Decision)
    return decision


def example_answer() -> dict[str, Any]:
    decision = example_decision(Strategy.COST_OPTIMIZATION)
    answer = route_answer(Routed("0" * 32, decision, cached=False, receipt={"digest": ""}), NOW_MS)
    assert all(answer[name] for name in ("allocations", "alternatives", "books", "excluded"))
    return answer


def tables(text: str) -> Iterator[str]:
    yield from re.split(r"\n\n(?=\|)", "\n" + text)[1:]


def test_every_field_of_an_answer_stands_in_its_table_and_no_other_does() -> None:
    answer = example_answer()
    whole, legs, others, lists, certificate, margins = (
        first_codes(table) for table in tables(section(API, "### Answer"))
    )
    shown = answer["certificate"]
    assert certificate == list(shown)
    assert margins == [*shown["venues"][0], *shown["venues"][0]["last_used"]]
    assert whole == list(answer)
    assert legs == list(answer["allocations"][0])
    assert others == list(answer["alternatives"][0])
    assert lists == list(answer["books"][0] | answer["excluded"][0])


def test_the_complete_example_has_every_field_in_order() -> None:
    shown = json.loads(
        re.findall(r"```json\n(.*?)```", section(API, "### Example: a market buy"), re.DOTALL)[0]
    )
    answer = example_answer()
    assert [*shown, "receipt"] == list(answer)
    assert list(shown["certificate"]) == list(answer["certificate"])
    for name in ("allocations", "alternatives", "books"):
        assert list(shown[name][0]) == list(answer[name][0])


def ratios(shown: dict[str, Any]) -> dict[str, Decimal]:
    """What an answer's formulas in docs/api.md come to, from its other fields."""
    mid, amount = shown["arrival_mid"], shown["amount"]
    bps = Decimal(10_000)
    sign = 1 if shown["price_cap"] > mid else -1
    return {
        "expected_price": shown["notional"] / amount,
        "expected_slippage_bps": sign * (shown["expected_price"] - mid) / mid * bps,
        "fee_bps": shown["fee"] / (mid * amount) * bps,
        "total_cost_bps": shown["expected_slippage_bps"] + shown["fee_bps"],
    }


def test_the_complete_example_obeys_the_formulas() -> None:
    [text, *_] = re.findall(r"```json\n(.*?)```", section(API, "### Example: a market buy"), re.DOTALL)
    shown = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    for field, value in ratios(shown).items():
        assert abs(shown[field] - value) < Decimal("0.000002"), field
    assert sum(leg["amount"] for leg in shown["allocations"]) == shown["amount"]
    assert sum(leg["fee"] for leg in shown["allocations"]) == shown["fee"]
    assert f" 1.005 = {shown['price_cap']}" in API
    assert shown["arrival_mid"] * Decimal("1.005") == shown["price_cap"]


def test_the_example_of_an_amount_to_spend_adds_up() -> None:
    text = section(API, "### Example: an amount to spend")
    [example] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    shown = json.loads(example, parse_float=Decimal, parse_int=Decimal)
    parts = [shown[field] for field in ("notional", "fee", "remaining_quote_amount")]
    asked = re.search(r'"quote_amount": "(\d+)"', text)
    assert asked is not None
    assert sum(parts) == Decimal(asked[1])
    assert " + ".join(map(str, parts)) + f" = {asked[1]}" in text
    assert sum(leg["amount"] for leg in shown["allocations"]) == shown["amount"]


def test_every_field_of_the_status_stands_in_its_table_and_in_the_example() -> None:
    probe = Probe(NOW_MS, (10.0,), 1, SystemStatus.ONLINE, 5.0, 0.0, "")
    answer = status_answer(["binance"], {"binance": fold("binance", None, probe)}, NOW_MS, 30)
    fields = list(answer["exchanges"]["binance"])
    text = section(API, "## GET /api/exchanges/status")
    [shown] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert sorted(first_codes(text)) == sorted(fields)
    assert list(json.loads(shown)["exchanges"]["binance"]) == fields


# docs/api.md: orders -----------------------------------------------------------------------------

REFUSED = attempt(1, AttemptState.NEVER, refusal=Rejected(RejectReason.FILTER_SIZE, "-1013", "too small"))
BOUGHT = attempt(2, AttemptState.ENDED, venue_order(fill("60000", "1", "60")))
AN_ORDER = record(
    REFUSED, BOUGHT, ended=OrderStatus.FILLED, history=(Event(NOW_MS, 1, "intended", 1, "binance"),)
)


def test_every_field_of_an_order_stands_in_its_table_and_no_other_does() -> None:
    answer = order_answer(AN_ORDER)
    told = [first_codes(table) for table in tables(section(API, "### The answer to an order"))]
    refusal = list(answer["attempts"][0]["refusal"])
    assert told == [
        list(answer),
        list(answer["result"]),
        list(answer["attempts"][0]),
        [*answer["fees"][0], *refusal],
    ]


def test_every_field_of_an_orders_detail_stands_in_its_table() -> None:
    detail = order_detail(AN_ORDER)
    text = section(API, "### GET /api/orders/{order_id}")
    told = [first_codes(table) for table in tables(text)]
    added = [name for name in detail if name not in order_answer(AN_ORDER)]
    assert told == [added, list(detail["terms"]), list(detail["history"][0])]
    [ordered] = (row[-1] for row in rows(text) if codes(row[0]) == ["ordered"])
    assert codes(ordered)[:-1] == list(detail["terms"]["ordered"])


def test_every_field_and_parameter_of_the_reviews_stands_in_its_table() -> None:
    unclear = record(attempt(1, AttemptState.UNKNOWN), ended=OrderStatus.NEEDS_REVIEW)
    [waiting] = reviews_page(Page((unclear,), None))["orders"]
    text = section(API, "## GET /api/reviews")
    parameters, fields, added = (first_codes(table) for table in tables(text))
    assert parameters == ["status", "limit", "cursor"]
    assert fields == list(waiting)
    assert [*order_answer(unclear)["attempts"][0], *added] == list(waiting["attempts"][0])
    [values] = (row[1] for row in rows(text) if codes(row[0]) == ["status"])
    assert codes(values) == [*Standing, Standing.NEEDS_REVIEW]


def test_every_field_of_a_dry_run_stands_in_its_table() -> None:
    outcomes = (
        WouldTake(),
        Rejected(RejectReason.OTHER, "", ""),
        Refusal(RejectReason.FILTER_SIZE, ""),
        Unknown(UnknownWhy.TIMEOUT, ""),
    )
    legs = [CheckedLeg("binance", Decimal(1), Decimal(1), outcome) for outcome in outcomes]
    answer = dry_run_answer("0" * 32, example_decision(Strategy.COST_OPTIMIZATION), legs)
    text = section(API, "### Dry runs")
    whole, expected, told_legs = (first_codes(table) for table in tables(text))
    assert ["success", "exchange", "result", "failover_used", *whole] == list(answer)
    assert expected == list(answer["expected"])
    assert told_legs == list(answer["legs"][0])
    [words] = (row[-1] for row in rows(text) if codes(row[0]) == ["outcome"])
    assert codes(words) == [leg["outcome"] for leg in answer["legs"]]


@pytest.mark.parametrize(
    ("heading", "states"), [("### Order states", OrderStatus), ("### Attempt states", AttemptState)]
)
def test_every_state_stands_in_its_list_and_in_the_drawing(heading: str, states: type[Enum]) -> None:
    text = section(API, heading)
    assert first_codes(text) == [state.value for state in states]
    [drawing] = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    assert {state.value for state in states} <= set(re.findall(r"\w+", drawing))


def test_every_field_of_what_comes_in_about_orders_stands_in_its_table() -> None:
    fields, headers = (
        [codes(row[0])[0] for row in rows(table)]
        for table in tables(section(API, "### What an order may say"))
    )
    assert fields == [name for name in ExecuteBody.model_fields if name not in RouteRequest.model_fields]
    assert headers == ["Idempotency-Key", "Prefer"]
    review = section(API, "### POST /api/orders/{order_id}/review")
    assert first_codes(review) == list(ReviewBody.model_fields)
    [resolutions] = (row[1] for row in rows(review) if codes(row[0]) == ["resolution"])
    assert codes(resolutions) == [resolution.value for resolution in Resolution]


def test_every_field_and_mode_of_the_switch_stands_in_its_table() -> None:
    text = section(API, "## GET /api/trading")
    switch = switch_answer(Switch(TradingMode.HALTED, "why", "me", NOW_MS))
    assert first_codes(text) == list(switch)
    [modes] = (row[-1] for row in rows(text) if codes(row[0]) == ["mode"])
    assert codes(modes) == [mode.value for mode in TradingMode]


def test_curl_bodies_about_orders_are_taken() -> None:
    bodies = dict(re.findall(r"127\.0\.0\.1:8007(/api/\S+)[^`]*?-d '(\{[^']*\})'", API))
    rules = ExecuteRules(Settings.from_env({}).venues, Decimal(100), require_key=True)
    request = parse_execute(
        json.loads(bodies["/api/execute"], parse_float=Decimal),
        {"Idempotency-Key": "2f1c-0001"},
        caller="",
        correlation_id="",
        received_at_ms=0,
        rules=rules,
    )
    assert request.order.amount == Decimal("0.5")
    assert parse_switch(json.loads(bodies["/api/trading"])) == (TradingMode.HALTED, "incident 7")
    [review] = (body for path, body in bodies.items() if path.endswith("/review"))
    assert parse_review(json.loads(review)).resolution is Resolution.NEVER_PLACED


@pytest.mark.parametrize("text", [API, CONFIGURATION, DECISION, ARCHITECTURE])
def test_every_json_example_is_json(text: str) -> None:
    for example in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        json.loads(example)


# Numbers of the code ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (API, f"at most {MAX_BODY_BYTES // 1024} KiB"),
        (API, f"whole seconds; {DEFAULT_WAIT_S} without it, more than {MOST_WAIT_S} is {MOST_WAIT_S}"),
        (API, f"1 to {MOST_LIMIT}; {DEFAULT_LIMIT} without it"),
        (API, f"within {LIQUIDITY_BAND_BPS:g} bps of the arrival mid"),
        (API, f"(age_ms + latency_ms) / {FRESHNESS_MS:,.0f})"),
        (API, {600_000: "rules** are kept for ten minutes"}[INSTRUMENT_TTL_MS]),
        (API, {60_000: "does not list a symbol: a minute)"}[NOT_LISTED_TTL_MS]),
        (API, f"a call is given {CALL_TIMEOUT_S:g} s"),
        (API, f"in the last {RECENT_MINUTES} minutes"),
        (API, f"in the last {KEPT_MINUTES} minutes"),
        (API, f"`health_score` below {LEAST_HEALTH_SCORE}"),
        (API, f"within {NEAR_BAND_BPS:g} and {LIQUIDITY_BAND_BPS:g} bps of the book's own mid"),
        (API, f"with {LONGEST_MS / 1000:g} s at most"),
        (HEALTH, f"`health_score` below {LEAST_HEALTH_SCORE}"),
        (HEALTH, f"A call is given {CALL_TIMEOUT_S:g} s"),
        (HEALTH, f"is begun after {VENUE_BUDGET_S:g} s"),
        (HEALTH, f"within {NEAR_BAND_BPS:g} and {LIQUIDITY_BAND_BPS:g} bps of the book's own mid"),
        (HEALTH, f"writes at most every {FLUSH_EVERY_MS // 1000} s"),
        (HEALTH, {1000: "within a second of a failure"}[FLUSH_AFTER_FAILURE_MS]),
        (HEALTH, f"waits for it longer than {HEALTH_FLUSH_TIMEOUT_S * 1000:g} ms"),
        (HEALTH, f"with the time waited, {LONGEST_MS / 1000:g} s at most"),
        (HEALTH, f"in the {REACHED_WITHIN_MS // 1000} s before it"),
        (HEALTH, f"by the hour for a day: {KEPT_MINUTES + KEPT_HOURS} at most"),
        (DECISION, f"at most {COARSEST} times their greatest common divisor"),
        (DECISION, f"search ends after {MAX_NODES:,} nodes"),
        (ARCHITECTURE, f"one BatchGetItem, {STATE_TIMEOUT_S:g} s at most"),
        (ARCHITECTURE, f"does not answer within {STATE_TIMEOUT_S:g} s"),
        (ARCHITECTURE, f"the answer waits for their end, {FLUSH_TIMEOUT_S:g} s at most"),
        (ARCHITECTURE, f"again after {LEASE_POLL_S * 1000:g} ms"),
        (ARCHITECTURE, f"| receipt + {FORGET_BOOK_AFTER_MS // 60_000} min"),
        (ARCHITECTURE, f"| {INSTRUMENT_TTL_MS // 60_000} min; not listed, found by a route: "),
        (ARCHITECTURE, f"found by a route: {NOT_LISTED_TTL_MS // 60_000} min |"),
        (ARCHITECTURE, f"schedules those of the next {60 + TICK_JITTER_S} s"),
        (ARCHITECTURE, f"A call is given {CALL_TIMEOUT_S:g} s"),
        (ARCHITECTURE, f"is begun after {VENUE_BUDGET_S:g} s"),
        (EXECUTION, f"sent by the process that wrote it, once, within {SEND_WITHIN_MS / 1000:g} s"),
        (EXECUTION, f"may still leave within its {SEND_WITHIN_MS / 1000:g} s"),
        (OPERATIONS, f"may still leave within {SEND_WITHIN_MS / 1000:g} s"),
        (OPERATIONS, f"within the {SEND_WITHIN_MS / 1000:g} s in which it may leave"),
        (OPERATIONS, f"away for {PLACE_TIMEOUT_S + TURN_MARGIN_MS / 1000:g} s at most"),
    ],
)
def test_a_number_is_that_of_the_code(text: str, told: str) -> None:
    assert told in " ".join(text.split())


# docs/decision.md --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", Strategy)
def test_the_worked_example_is_what_the_code_decides(strategy: Strategy) -> None:
    decision = example_decision(strategy)
    costs = decision.costs
    numbers = (costs.expected_price, costs.slippage_bps, costs.fee_bps, costs.total_cost_bps)
    legs = ", ".join(f"{leg.venue} {leg.amount.normalize():f}" for leg in decision.legs)
    told = next(
        row for row in rows(section(DECISION, "### Worked example")) if codes(row[0]) == [strategy.value]
    )
    assert told[1] == legs
    assert [Decimal(cell) for cell in told[2:6]] == [round(number, 6) for number in numbers]
    assert float(told[6]) == round(decision.confidence, 4)
    assert f"Arrival mid = (59992 + 59994) / 2 = {decision.arrival_mid.normalize():f}" in DECISION
    assert f" 1.005 = {decision.price_cap.normalize():f}" in DECISION


def test_the_worked_example_states_its_scores_and_surcharges() -> None:
    asked, seen = order("1", max_slippage_bps="50"), example_market()
    mid = arrival_mid(seen)
    field = build_field(asked, seen, mid, price_cap(asked, mid), POLICY)
    for c in field.candidates:
        [row] = re.findall(rf"^\| {c.market.venue} \|.*$", DECISION, re.MULTILINE)
        surcharge = round(surcharge_bps(c, POLICY), 3)
        assert row.endswith(f"| {c.liquidity_score:.4f} | {surcharge} bps |")


def test_without_its_tolerance_best_execution_chooses_the_cheapest() -> None:
    asked = order("1", strategy=Strategy.BEST_EXECUTION, max_slippage_bps="50")
    policy = replace(POLICY, best_execution_tolerance_bps=Decimal(0))
    decision = decide(asked, example_market(), [], policy, NOW_MS)
    assert isinstance(decision, Decision)
    assert decision.legs == example_decision(Strategy.COST_OPTIMIZATION).legs


# docs/architecture.md ----------------------------------------------------------------------------


def parts_imported(module: Path) -> set[str]:
    """Parts of sor_core that a module imports: `domain` of `sor_core.domain.book`."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("sor_core.")}
    return found


def test_imports_are_those_that_the_table_allows() -> None:
    allowed = {codes(row[0])[0]: row[1] for row in rows(section(ARCHITECTURE, "## What may import what"))}
    assert set(allowed) == {
        path.stem for path in CORE.iterdir() if path.name not in {"__init__.py", "__pycache__"}
    }
    for part, may in allowed.items():
        if may == "everything":
            continue
        modules = sorted((CORE / part).rglob("*.py")) or [CORE / f"{part}.py"]
        imported = set().union(*map(parts_imported, modules)) - {part}
        assert imported <= set(codes(may)), part


def test_the_probes_messages_are_those_that_are_sent() -> None:
    told = {json.loads(code)["kind"] for code in first_codes(section(ARCHITECTURE, "## A probe"))}
    schedule = load()["Resources"]["ProbeSchedule"]["Properties"]["Target"]["Input"]
    event = json.loads((REPOSITORY / "events" / "probe_direct.json").read_text(encoding="utf-8"))
    assert told == {json.loads(schedule)["kind"], json.loads(PROBE_MESSAGE)["kind"], event["kind"]}


README = (REPOSITORY / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")


@pytest.mark.parametrize("text", [API, CONFIGURATION, DECISION, ARCHITECTURE, HEALTH, README])
def test_links_lead_somewhere(text: str) -> None:
    for name, anchor in re.findall(r"\]\(([a-z]*(?:\.md)?)(?:#([^)]*))?\)", text):
        target = page(name) if name else text
        headings = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, anchor
