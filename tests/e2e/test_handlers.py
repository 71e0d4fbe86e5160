"""The handlers end to end: real venues' dialects over HTTP, DynamoDB's API, no part replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.venues import VenuesConfig, read_recording
from tests.e2e.conftest import Deployed, VenuesThread

ORDER: dict[str, Any] = {
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "market",
    "amount": 0.5,
    "execution_strategy": "best_execution",
    "max_slippage_bps": 50,
}
REQUIRED = {
    "selected_exchange": str,
    "reason": str,
    "expected_price": float,
    "expected_slippage_bps": float,
    "liquidity_score": float,
    "latency_ms": float,
    "confidence": float,
    "alternatives": list,
}


@pytest.fixture
def deployed(deploy: Callable[..., Deployed], venues: VenuesThread) -> Deployed:
    return deploy(venues.url)


def test_a_route_before_the_first_probe(deployed: Deployed) -> None:
    answer = deployed.api("POST", "/api/route", ORDER)

    assert answer.status == 200
    for field, kind in REQUIRED.items():
        value = answer.json[field]
        assert isinstance(value, (int, float) if kind is float else kind), field
    assert sum(Decimal(str(a["amount"])) for a in answer.json["allocations"]) == Decimal("0.5")
    assert {b["venue"] for b in answer.json["books"]} == {"binance", "coinbase", "kraken"}
    assert (answer.json["excluded"], answer.json["cached"]) == ([], False)


def test_the_second_route_is_cached_and_no_cache_is_not(deployed: Deployed) -> None:
    first = deployed.api("POST", "/api/route", ORDER)
    second = deployed.api("POST", "/api/route", ORDER)
    fresh = deployed.api("POST", "/api/route", ORDER, {"Cache-Control": "no-cache"})

    assert second.json["cached"] is True
    assert second.json["decision_id"] == first.json["decision_id"]
    assert second.json["books"][0]["age_ms"] >= first.json["books"][0]["age_ms"]
    assert fresh.json["cached"] is False
    assert {b["source"] for b in fresh.json["books"]} == {"venue"}


def test_another_lambda_finds_the_decision_in_dynamodb(
    deploy: Callable[..., Deployed], venues: VenuesThread
) -> None:
    first = deploy(venues.url).api("POST", "/api/route", ORDER)
    second = deploy(venues.url).api("POST", "/api/route", ORDER)

    assert second.json["cached"] is True
    assert second.json["decision_id"] == first.json["decision_id"]


def test_numbers_and_decimal_strings_are_the_same_order(deployed: Deployed) -> None:
    first = deployed.api("POST", "/api/route", ORDER)
    second = deployed.api("POST", "/api/route", {**ORDER, "amount": "0.5", "max_slippage_bps": "50"})

    assert second.json["decision_id"] == first.json["decision_id"]


@pytest.mark.parametrize(
    "change",
    [
        {"side": "sell", "execution_strategy": "best_liquidity", "amount": 12},
        {"execution_strategy": "lowest_latency"},
        {"execution_strategy": "cost_optimization", "amount": None, "quote_amount": "25000"},
        {"type": "limit", "price": "70000", "max_slippage_bps": None},
        {"venues": {"deny": ["binance"]}, "max_legs": 1},
        {"symbol": "ETH/USD", "venues": {"allow": ["kraken", "coinbase"]}},
    ],
)
def test_kinds_of_orders(deployed: Deployed, change: dict[str, Any]) -> None:
    answer = deployed.api("POST", "/api/route", {**ORDER, **change})

    assert answer.status == 200, answer.text
    assert answer.json["allocations"]


def wrong(**change: Any) -> str:
    return json.dumps({**ORDER, **change})


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("", 400, None),
        ("{", 400, None),
        ("not json", 400, None),
        ('{"amount": NaN}', 400, None),
        ("[" * 30_000, 400, None),
        ('{"amount": ' + "1" * 5000 + ", ", 400, None),
        ('{"amount": ' + "1" * 5000 + ', "x": ' + "[" * 30_000, 400, None),
        ('{"symbol": "\ud800"}', 400, None),
        ("[1]", 422, None),
        ("x" * 2_000_000, 413, None),
        (wrong(symbol="FOO/BAR"), 422, "symbol"),
        (wrong(symbol="btcusdt"), 422, "symbol"),
        (wrong(symbol=None), 422, "symbol"),
        (wrong(amount=0), 422, "amount"),
        (wrong(amount=-1), 422, "amount"),
        (wrong(amount="NaN"), 422, "amount"),
        (wrong(amount="Infinity"), 422, "amount"),
        (wrong(amount=True), 422, "amount"),
        (wrong(amount="1_000"), 422, "amount"),
        (wrong().replace("0.5", "1e400"), 422, "amount"),
        (wrong().replace("0.5", "1" * 5000), 422, "amount"),
        (wrong().replace("0.5", "1e99999999999999999999"), 422, "amount"),
        (wrong(amount="0.1234567890123456789"), 422, "amount"),
        (wrong(amount=None), 422, "amount"),
        (wrong(quote_amount=5), 422, "amount"),
        (wrong(amount="0.00000001"), 422, "amount"),
        (wrong(amount=100_000), 422, "max_slippage_bps"),
        (wrong(execution_strategy="fastest"), 422, "execution_strategy"),
        (wrong(side="BUY"), 422, "side"),
        (wrong(type="stop"), 422, "type"),
        (wrong(type="limit"), 422, "price"),
        (wrong(price=1), 422, "price"),
        (wrong(type="limit", price=1), 422, "price"),
        (wrong(max_slippage_bps=101), 422, "max_slippage_bps"),
        (wrong(max_slippage_bps=0), 422, "max_slippage_bps"),
        (wrong(max_legs=0), 422, "max_legs"),
        (wrong(max_legs="2"), 422, "max_legs"),
        (wrong(venues={"allow": ["mtgox"]}), 422, "venues.allow"),
        (wrong(venues={"allow": ["kraken"], "deny": ["kraken"]}), 422, "venues"),
        (wrong(venues={"deny": ["binance", "coinbase", "kraken"]}), 422, "venues.deny"),
        (wrong(api_secret="hunter2"), 422, "api_secret"),
    ],
)
def test_bad_input_is_a_problem_that_names_the_field(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], body: str, status: int, field: str | None
) -> None:
    answer = deployed.api("POST", "/api/route", body)

    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(answer.json)
    if field is not None:
        assert [e["field"] for e in answer.json["errors"]] == [field]
        assert answer.json["errors"][0]["expected"]
    assert len(answer.text) < 4000
    logged = capsys.readouterr().out
    assert "hunter2" not in logged + answer.text
    assert "Traceback" not in logged
    assert len(logged) < 4000


def test_bad_input_changes_nothing(deployed: Deployed) -> None:
    for body in ("{", wrong(amount=-1), wrong(symbol="x"), "x" * 2_000_000):
        deployed.api("POST", "/api/route", body)

    items = boto3.client("dynamodb").scan(TableName="sor-state")["Items"]
    assert [i for i in items if not i["pk"]["S"].startswith("metrics#")] == []


def test_unknown_paths_and_methods(deployed: Deployed) -> None:
    assert deployed.api("GET", "/api/nothing").status == 404
    assert deployed.api("GET", "/api/route").json["type"] == "urn:sor:problem:not-found"


def test_one_venue_down_and_all_down(deployed: Deployed, venues: VenuesThread) -> None:
    venues.post("/sim/faults", {"venue": "binance", "endpoint": "*", "fault": "refuse"})
    some = deployed.api("POST", "/api/route", ORDER)
    venues.post("/sim/faults", {"venue": "*", "endpoint": "*", "fault": "error_5xx", "status": 503})
    none = deployed.api("POST", "/api/route", ORDER, {"Cache-Control": "no-cache"})

    assert some.status == 200
    assert [(e["venue"], e["why"]) for e in some.json["excluded"]] == [("binance", "connection_failed")]
    assert none.status == 503
    assert none.json["type"] == "urn:sor:problem:no-venue-available"
    assert int(none.headers["Retry-After"]) > 0
    assert len(none.json["excluded"]) == 3


def test_status_before_and_after_a_probe(deployed: Deployed) -> None:
    before = deployed.api("GET", "/api/exchanges/status")
    deployed.probe({"kind": "probe"})
    after = deployed.api("GET", "/api/exchanges/status")

    assert set(before.json["exchanges"]) == {"binance", "coinbase", "kraken"}
    assert all(e["is_healthy"] is None for e in before.json["exchanges"].values())
    for exchange in after.json["exchanges"].values():
        assert exchange["is_healthy"] is True
        latency = max(0.0, 1 - exchange["latency_ms"] / 1000)
        score = 0.3 * latency + 0.5 * exchange["success_rate"] + 0.2 * exchange["uptime_pct"] / 100
        assert exchange["health_score"] == pytest.approx(score, abs=1e-3)
        assert 0 < exchange["liquidity_score"] <= 10
        assert exchange["consecutive_failures"] == 0
        assert exchange["stale"] is False


@pytest.mark.parametrize("venue", ["binance", "coinbase", "kraken"])
def test_a_venue_in_maintenance_is_unhealthy_and_not_routed_to(
    deployed: Deployed, venues: VenuesThread, venue: str
) -> None:
    venues.post("/sim/faults", {"venue": venue, "endpoint": "*", "fault": "maintenance"})
    deployed.probe({"kind": "probe"})

    status = deployed.api("GET", "/api/exchanges/status").json["exchanges"]
    routed = deployed.api("POST", "/api/route", ORDER)

    assert {v: s["is_healthy"] for v, s in status.items()} == {v: v != venue for v in status}
    assert venue not in {b["venue"] for b in routed.json["books"]}


def test_the_probe_stores_instruments_for_routes(deployed: Deployed, venues: VenuesThread) -> None:
    deployed.probe({"kind": "probe"})
    venues.post("/sim/faults", {"venue": "*", "endpoint": "instruments", "fault": "refuse"})

    assert deployed.api("POST", "/api/route", ORDER).status == 200


def test_a_tick_spreads_the_minutes_probes_over_the_queue(deployed: Deployed) -> None:
    event = {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": '{"kind":"tick"}'}]}

    assert deployed.probe(event) == {"batchItemFailures": []}

    sqs = boto3.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=deployed.queue_url, AttributeNames=["All"])["Attributes"]
    waiting = int(attributes["ApproximateNumberOfMessages"])
    delayed = int(attributes["ApproximateNumberOfMessagesDelayed"])
    assert waiting + delayed in {2, 3}  # every 30 s of the next 70


def test_a_probe_scheduled_twice_is_made_once(deployed: Deployed, venues: VenuesThread) -> None:
    deployed.probe({"kind": "scheduled_probe"})
    asked = venues.get("/sim/state")["requests"]
    again = deployed.probe({"kind": "scheduled_probe"})

    assert "skipped" in again
    assert venues.get("/sim/state")["requests"] == asked


def test_being_throttled_says_nothing_of_a_venues_health(deployed: Deployed, venues: VenuesThread) -> None:
    venues.post(
        "/sim/faults",
        {"venue": "kraken", "endpoint": "book", "fault": "rate_limit", "status": 429, "retry_after_s": 1},
    )

    kraken = deployed.probe({"kind": "probe"})["exchanges"]["kraken"]

    assert (kraken["success_rate"], kraken["is_healthy"]) == (1.0, True)
    assert kraken["failure"] == "rate_limited"


def test_a_probe_throttled_from_its_first_call_leaves_the_health_as_it_was(
    deployed: Deployed, venues: VenuesThread
) -> None:
    before = deployed.probe({"kind": "probe"})["exchanges"]["kraken"]
    venues.post("/sim/faults", {"venue": "kraken", "endpoint": "*", "fault": "rate_limit", "status": 429})
    for _ in range(4):
        deployed.probe({"kind": "probe"})

    after = deployed.api("GET", "/api/exchanges/status").json["exchanges"]["kraken"]

    assert (after["is_healthy"], after["uptime_pct"]) == (True, before["uptime_pct"])


def test_a_market_quoted_in_bitcoin(deployed: Deployed) -> None:
    answer = deployed.api("POST", "/api/route", {**ORDER, "symbol": "ETH/BTC", "amount": 3})

    assert answer.status == 200, answer.text


def test_a_message_that_nobody_understands_fails_alone(deployed: Deployed) -> None:
    records = [
        {"messageId": "good", "eventSource": "aws:sqs", "body": '{"kind":"tick"}'},
        {"messageId": "bad", "eventSource": "aws:sqs", "body": '{"kind":"dance"}'},
        {"messageId": "worse", "eventSource": "aws:sqs", "body": "{"},
    ]

    answer = deployed.probe({"Records": records})

    assert [f["itemIdentifier"] for f in answer["batchItemFailures"]] == ["bad", "worse"]


def test_health_asks_no_venue(deployed: Deployed, venues: VenuesThread) -> None:
    venues.post("/sim/faults", {"venue": "*", "endpoint": "*", "fault": "hang"})

    answer = deployed.api("GET", "/health")

    assert (answer.status, answer.json["status"]) == (200, "ok")


def test_a_bad_variable_stops_the_start(deploy: Callable[..., Deployed], venues: VenuesThread) -> None:
    with pytest.raises(ValueError, match="SOR_MAX_LATENCY_MS: expected a number from 1 to 10000, not 'fast'"):
        deploy(venues.url, SOR_MAX_LATENCY_MS="fast")


RECORDED = Path(__file__).parents[3] / "shared/data/books/three_venues_BTC-USDT_2024-08-08.jsonl.gz"


@pytest.mark.skipif(not RECORDED.exists(), reason=f"recorded books are not there: {RECORDED.name}")
def test_routing_over_recorded_books(
    deploy: Callable[..., Deployed], start_venues: Callable[[VenuesConfig], VenuesThread]
) -> None:
    venues = start_venues(
        VenuesConfig(port=0, rate_limits=False, recording=read_recording(RECORDED, "BTC/USDT"))
    )
    deployed = deploy(venues.url, SOR_TAKER_FEES_BPS="binance=10,coinbase=10,kraken=10")

    answer = deployed.api(
        "POST", "/api/route", {**ORDER, "amount": 10, "execution_strategy": "best_liquidity"}
    )

    assert answer.status == 200, answer.text
    assert answer.json["reason"] == "split_across_venues"
    assert len(answer.json["allocations"]) == 3
    assert 61_000 < answer.json["expected_price"] < 63_000
    assert answer.json["savings_bps"] > 0
