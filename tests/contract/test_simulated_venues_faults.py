"""What every fault does to an answer, as a client sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.contract.simulated_venues import Stage, on_stage

DEPTH = {
    "binance": "/binance/api/v3/depth?symbol=BTCUSDT&limit=5",
    "coinbase": "/coinbase/api/v3/brokerage/market/product_book?product_id=BTC-USDT&limit=5",
    "kraken": "/kraken/0/public/Depth?pair=XBTUSDT&count=5",
}
TIME = {
    "binance": "/binance/api/v3/time",
    "coinbase": "/coinbase/api/v3/brokerage/time",
    "kraken": "/kraken/0/public/Time",
}
every_venue = pytest.mark.parametrize("venue", list(DEPTH))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        yield stage


def touch(venue: str, body: Any) -> tuple[Decimal, Decimal]:
    if venue == "coinbase":
        book = body["pricebook"]
        return Decimal(book["bids"][0]["price"]), Decimal(book["asks"][0]["price"])
    book = body if venue == "binance" else body["result"]["XBTUSDT"]
    return Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])


@every_venue
async def test_a_reset_connection_and_a_dropped_answer_are_transport_errors(stage: Stage, venue: str) -> None:
    await stage.fault(venue=venue, fault="refuse", endpoint="book")
    with pytest.raises(httpx.ReadError):
        await stage.client.get(DEPTH[venue])
    assert (await stage.client.get(TIME[venue])).status_code == 200

    await stage.sim("DELETE", "faults")
    await stage.fault(venue=venue, fault="drop")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await stage.client.get(DEPTH[venue])

    await stage.sim("DELETE", "faults")
    await stage.fault(venue=venue, fault="drop", mid_body=True)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        await stage.client.get(DEPTH[venue])


async def test_latency_takes_its_time_and_ends_with_its_count(stage: Stage) -> None:
    await stage.fault(venue="kraken", endpoint="book", fault="latency", ms=150, jitter_ms=20, count=2)
    spans = []
    for _ in range(3):
        started = time.monotonic()
        assert (await stage.client.get(DEPTH["kraken"])).status_code == 200
        spans.append(time.monotonic() - started)
    assert spans[0] >= 0.13
    assert spans[1] >= 0.13
    assert spans[2] < 0.13


async def test_a_hanging_answer_never_comes(stage: Stage) -> None:
    await stage.fault(venue="binance", fault="hang")
    with pytest.raises(httpx.ReadTimeout):
        await stage.client.get(DEPTH["binance"], timeout=0.3)
    assert (await stage.client.get(DEPTH["kraken"])).status_code == 200


async def test_hanging_requests_do_not_delay_the_end() -> None:
    started = None
    async with on_stage() as stage:
        await stage.fault(venue="*", fault="hang")
        pending = asyncio.create_task(stage.client.get(TIME["binance"]))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await stage.venues.aclose()
        with pytest.raises(httpx.TransportError):
            await pending
    assert time.monotonic() - started < 1.0


@every_venue
async def test_5xx_html_and_broken_bodies(stage: Stage, venue: str) -> None:
    await stage.fault(venue=venue, fault="error_5xx", status=504)
    answer = await stage.client.get(DEPTH[venue])
    assert answer.status_code == 504
    assert answer.json()

    await stage.fault(venue=venue, fault="error_5xx", status=500)
    assert (await stage.client.get(DEPTH[venue])).status_code == 500
    assert len((await stage.sim("GET", "faults"))["faults"]) == 1, "the same kind and scope: replaced"

    await stage.sim("DELETE", "faults")
    await stage.fault(venue=venue, fault="html", status=200)
    answer = await stage.client.get(DEPTH[venue])
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")

    await stage.sim("DELETE", "faults")
    await stage.fault(venue=venue, fault="malformed")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        (await stage.client.get(DEPTH[venue])).json()

    await stage.sim("DELETE", "faults")
    await stage.fault(venue=venue, fault="huge", bytes=3_000_000)
    answer = await stage.client.get(DEPTH[venue])
    assert len(answer.content) > 3_000_000
    assert touch(venue, answer.json())


@every_venue
async def test_crossed_and_empty_books(stage: Stage, venue: str) -> None:
    await stage.fault(venue=venue, fault="crossed_book", by_bps=10)
    bid, ask = touch(venue, (await stage.client.get(DEPTH[venue])).json())
    assert Decimal("1.0009") < bid / ask < Decimal("1.0012")

    await stage.sim("DELETE", f"faults?venue={venue}")
    await stage.fault(venue=venue, fault="empty_book")
    assert '"asks":[]' in (await stage.client.get(DEPTH[venue])).text


@every_venue
async def test_a_stale_book_stands_still_with_its_stamps_until_it_is_cleared(
    stage: Stage, venue: str
) -> None:
    before = (await stage.client.get(DEPTH[venue])).json()
    await stage.fault(venue=venue, fault="stale_book")
    stage.clock.advance_ms(30_000)
    assert (await stage.client.get(DEPTH[venue])).json() == before

    await stage.sim("DELETE", "faults")
    assert (await stage.client.get(DEPTH[venue])).json() != before


@every_venue
async def test_a_skewed_clock_is_the_venues_own(stage: Stage, venue: str) -> None:
    await stage.fault(venue=venue, fault="clock_skew", ms=-5000)
    body = (await stage.client.get(TIME[venue])).json()
    if venue == "binance":
        told_ms = body["serverTime"]
    elif venue == "coinbase":
        told_ms = int(body["epochMillis"])
    else:
        told_ms = body["result"]["unixtime"] * 1000
    assert told_ms == stage.clock.now_ms() - 5000


async def test_maintenance_is_told_by_each_venue_in_its_own_way(stage: Stage) -> None:
    await stage.fault(venue="*", fault="maintenance")

    binance = await stage.client.get(DEPTH["binance"])
    assert binance.status_code == 503
    info = (await stage.client.get("/binance/api/v3/exchangeInfo?symbol=BTCUSDT")).json()
    assert info["symbols"][0]["status"] == "BREAK"

    assert (await stage.client.get(DEPTH["coinbase"])).status_code == 503
    product = (await stage.client.get("/coinbase/api/v3/brokerage/market/products/BTC-USD")).json()
    assert product["trading_disabled"]

    assert (await stage.client.get(DEPTH["kraken"])).json()["error"] == ["EService:Unavailable"]
    status = (await stage.client.get("/kraken/0/public/SystemStatus")).json()
    assert status["result"]["status"] == "maintenance"


async def test_cancel_only_shows_in_status_and_leaves_the_book(stage: Stage) -> None:
    await stage.fault(venue="*", fault="cancel_only")

    info = (await stage.client.get("/binance/api/v3/exchangeInfo?symbol=BTCUSDT")).json()
    assert info["symbols"][0]["status"] == "CANCEL_ONLY"
    assert (await stage.client.get("/coinbase/api/v3/brokerage/market/products/BTC-USD")).json()[
        "cancel_only"
    ]
    status = (await stage.client.get("/kraken/0/public/SystemStatus")).json()
    assert status["result"]["status"] == "cancel_only"
    assert (await stage.client.get("/kraken/0/public/AssetPairs?pair=XBTUSD")).json()["result"]["XXBTZUSD"][
        "status"
    ] == "cancel_only"
    for venue, path in DEPTH.items():
        assert touch(venue, (await stage.client.get(path)).json())


async def test_rate_limit_faults_speak_as_the_venues_do(stage: Stage) -> None:
    await stage.fault(venue="*", fault="rate_limit", retry_after_s=7)
    for venue in ("binance", "coinbase"):
        answer = await stage.client.get(DEPTH[venue])
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "7"
    assert (await stage.client.get(DEPTH["kraken"])).json()["error"] == ["EAPI:Rate limit exceeded"]

    await stage.fault(venue="binance", fault="rate_limit", status=418, retry_after_s=120)
    await stage.sim("DELETE", "faults/1")
    answer = await stage.client.get(DEPTH["binance"])
    assert answer.status_code == 418
    assert str(stage.clock.now_ms() + 120_000) in answer.json()["msg"]


async def test_a_fault_by_chance_strikes_about_as_often_as_it_says_and_repeats_with_the_seed() -> None:
    runs = []
    for _ in range(2):
        async with on_stage() as stage:
            await stage.fault(venue="binance", fault="error_5xx", probability=0.3)
            runs.append([(await stage.client.get(TIME["binance"])).status_code for _ in range(200)])
    assert runs[0] == runs[1]
    assert 35 <= runs[0].count(503) <= 85


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({}, "fault"),
        ({"fault": "nonsense"}, "fault"),
        ({"fault": "latency"}, "ms"),
        ({"fault": "latency", "ms": "50"}, "ms"),
        ({"fault": "latency", "ms": True}, "ms"),
        ({"fault": "latency", "ms": -1}, "ms"),
        ({"fault": "refuse", "venue": "nowhere"}, "venue"),
        ({"fault": "refuse", "endpoint": "nothing"}, "endpoint"),
        ({"fault": "refuse", "count": 0}, "count"),
        ({"fault": "refuse", "probability": 1.5}, "probability"),
        ({"fault": "refuse", "ms": 5}, "ms"),
        ({"fault": "error_5xx", "status": 404}, "status"),
        ({"fault": "html", "when": "sometimes"}, "when"),
        ({"fault": "rate_limit", "status": 403}, "status"),
        ([{"fault": "refuse"}, {"fault": "partial_fill", "share": 2}], "share"),
        ("refuse", "body"),
    ],
)
async def test_a_bad_fault_is_refused_by_field_and_sets_nothing(
    stage: Stage, fault: object, field: str
) -> None:
    answer = await stage.client.post("/sim/faults", json=fault)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{field}: ")
    assert (await stage.sim("GET", "faults"))["faults"] == []


async def test_faults_that_stand_are_shown_and_cleared_by_venue_or_number(stage: Stage) -> None:
    await stage.sim(
        "POST",
        "faults",
        [
            {"venue": "binance", "fault": "latency", "ms": 1},
            {"venue": "kraken", "fault": "refuse", "endpoint": "book", "count": 3},
            {"fault": "empty_book"},
        ],
    )
    shown = (await stage.sim("GET", "faults"))["faults"]
    assert [(each["number"], each["venue"], each["endpoint"], each["fault"]) for each in shown] == [
        (1, "binance", "*", "latency"),
        (2, "kraken", "book", "refuse"),
        (3, "*", "*", "empty_book"),
    ]
    await stage.sim("DELETE", "faults?venue=kraken")
    left = await stage.sim("DELETE", "faults/1")
    assert [each["number"] for each in left["faults"]] == [3]
