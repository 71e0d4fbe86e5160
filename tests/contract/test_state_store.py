"""One suite for the state store in memory and on DynamoDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config

from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.domain.book import Book
from sor_core.domain.health import SystemStatus
from sor_core.health.breaker import BreakerPolicy, BreakerState, Evidence, tripped
from sor_core.health.measure import HealthRecord, Probe, SymbolDepth, fold
from sor_core.ports import NotListed, StateError, StateStore
from tests.fakes.clock import ManualClock
from tests.fakes.markets import BTC_USDT, instrument, levels


def book(clock: ManualClock, venue: str = "kraken") -> Book:
    return Book(
        venue,
        BTC_USDT,
        bids=levels(("99.90", "1.00000000"), ("99.80", "2")),
        asks=levels(("100.10", "0.5")),
        received_at_ms=clock.now_ms(),
        latency_ms=12.5,
        source_time_ms=clock.now_ms() - 7,
        sequence=42,
    )


def record(previous: HealthRecord | None = None) -> HealthRecord:
    probe = Probe(1_700_000_000_000, (10.0, 30.0), 2, SystemStatus.ONLINE, 8.0, 1.5, "")
    return fold("kraken", previous, probe)


async def test_an_empty_store_holds_nothing(store: StateStore) -> None:
    cached = await store.load_market(BTC_USDT, ["kraken"], "key")

    assert (cached.books, cached.instruments, cached.health, cached.decision) == ({}, {}, {}, None)
    assert await store.load_health(["kraken"]) == {}
    assert await store.load_book(BTC_USDT, "kraken") is None


async def test_what_is_saved_is_loaded_in_one_read(store: StateStore, clock: ManualClock) -> None:
    await store.save_book(book(clock))
    await store.save_instrument(BTC_USDT, "kraken", instrument("kraken"), clock.now_ms() + 5000)
    await store.save_instrument(BTC_USDT, "coinbase", NotListed(), clock.now_ms() + 5000)
    await store.save_health(record())
    await store.save_decision("key", b"{}", clock.now_ms() + 5000)

    cached = await store.load_market(BTC_USDT, ["kraken", "coinbase"], "key")

    assert cached.books == {"kraken": book(clock)}
    assert cached.instruments == {"kraken": instrument("kraken"), "coinbase": NotListed()}
    assert cached.health == {"kraken": record()}
    assert cached.decision == b"{}"


async def test_expired_items_are_not_there_although_nobody_deleted_them(
    store: StateStore, clock: ManualClock
) -> None:
    await store.save_instrument(BTC_USDT, "kraken", instrument("kraken"), clock.now_ms() + 5000)
    await store.save_decision("key", b"{}", clock.now_ms() + 1500)

    clock.advance(1499)
    assert (await store.load_market(BTC_USDT, ["kraken"], "key")).decision == b"{}"
    clock.advance(1)
    assert (await store.load_market(BTC_USDT, ["kraken"], "key")).decision is None
    clock.advance(3500)
    assert (await store.load_market(BTC_USDT, ["kraken"], "key")).instruments == {}


async def test_an_older_book_never_replaces_a_newer_one(store: StateStore, clock: ManualClock) -> None:
    newer = book(clock)
    older = replace(newer, received_at_ms=newer.received_at_ms - 1, sequence=41)

    assert await store.save_book(newer)
    assert not await store.save_book(older)

    assert await store.load_book(BTC_USDT, "kraken") == newer


async def test_two_probes_at_once_cannot_lose_each_other(store: StateStore) -> None:
    first = record()
    assert await store.save_health(first)
    second, third = record(first), record(first)

    assert await store.save_health(second)
    assert not await store.save_health(third)

    assert (await store.load_health(["kraken"]))["kraken"] == second


async def test_a_lease_has_one_owner(store: StateStore, clock: ManualClock) -> None:
    until_ms = clock.now_ms() + 1000
    taken = await asyncio.gather(*(store.take_lease("x", f"owner-{n}", until_ms) for n in range(8)))

    assert sorted(taken) == [False] * 7 + [True]


async def test_a_lease_can_be_given_back_by_its_owner_only(store: StateStore, clock: ManualClock) -> None:
    await store.take_lease("x", "mine", clock.now_ms() + 1000)

    await store.drop_lease("x", "theirs")
    assert not await store.take_lease("x", "theirs", clock.now_ms() + 1000)
    await store.drop_lease("x", "mine")
    assert await store.take_lease("x", "theirs", clock.now_ms() + 1000)


async def test_the_lease_of_a_dead_holder_runs_out(store: StateStore, clock: ManualClock) -> None:
    await store.take_lease("x", "dead", clock.now_ms() + 1000)

    clock.advance(1001)

    assert await store.take_lease("x", "next", clock.now_ms() + 1000)
    await store.drop_lease("x", "dead")
    assert not await store.take_lease("x", "third", clock.now_ms() + 1000)


async def test_an_unreachable_store_is_a_state_error() -> None:
    once = Config(connect_timeout=0.2, retries={"total_max_attempts": 1})
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=once,
    )
    store = DynamoStateStore(client, "t", ManualClock())

    with pytest.raises(StateError):
        await store.load_market(BTC_USDT, ["kraken"], None)
    with pytest.raises(StateError):
        await store.take_lease("x", "me", 1)


OLD = """{"venue": "kraken", "metrics": {"latency_ms": 20.0, "success_rate": 1.0, "liquidity_score": 8.0,
"uptime_pct": 100.0, "consecutive_failures": 0, "is_healthy": true}, "buckets": [{"minute": 28333333,
"calls": 2, "ok": 2, "latency_sum_ms": 40.0, "probes": 1, "up": 1}], "measured_at_ms": 1700000000000,
"status": "online", "clock_offset_ms": 1.5, "failure": "", "version": 7}"""


async def test_health_from_before_there_were_breakers_is_still_read(store: StateStore) -> None:
    if not isinstance(store, DynamoStateStore):
        return
    client = boto3.client("dynamodb", region_name="eu-west-1")
    item = {
        "pk": {"S": "health"},
        "sk": {"S": "kraken"},
        "body": {"B": OLD.encode()},
        "version": {"N": "7"},
    }
    client.put_item(TableName="sor-state", Item=item)

    known = (await store.load_health(["kraken"]))["kraken"]
    assert (known.version, known.metrics.is_healthy, len(known.buckets)) == (7, True, 1)
    assert {known.market_data.state, known.trading.state} == {BreakerState.CLOSED}
    after = record(known)
    assert await store.save_health(after)
    assert await store.load_health(["kraken"]) == {"kraken": after}


async def test_breakers_and_depths_are_kept(store: StateStore) -> None:
    depth = SymbolDepth("BTC/USDT", 1.5, 2.5, 3.5, 4.5)
    out = tripped(record().trading, Evidence.ORDER, 5, "orders failed", BreakerPolicy())
    saved = replace(record(), depths=(depth,), trading=out)
    assert await store.save_health(saved)

    assert (await store.load_health(["kraken"]))["kraken"] == saved


async def test_an_item_of_another_version_counts_as_missing(store: StateStore, clock: ManualClock) -> None:
    if not isinstance(store, DynamoStateStore):
        return
    await store.save_book(book(clock))
    await store.save_health(record())
    client = boto3.client("dynamodb", region_name="eu-west-1")
    for pk in (f"book#{BTC_USDT}", "health"):
        client.update_item(
            TableName="sor-state",
            Key={"pk": {"S": pk}, "sk": {"S": "kraken"}},
            UpdateExpression="SET body = :b",
            ExpressionAttributeValues={":b": {"B": b'{"from": "the future"}'}},
        )

    cached = await store.load_market(BTC_USDT, ["kraken"], None)

    assert (cached.books, cached.health) == ({}, {})
