"""One suite for nonces in memory and on DynamoDB."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from sor_core.adapters.nonces import DynamoNonces
from sor_core.ports import StateError
from sor_core.ports_trading import Nonces
from tests.fakes.clock import ManualClock
from tests.fakes.memory_trading import MemoryNonces
from tests.fakes.state_table import STATE_TABLE, create_state_table

NS_IN_MS = 1_000_000


class _Atomic:
    """One update at a time: DynamoDB's are atomic, this imitation's are not between threads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def update_item(self, **request: Any) -> Any:
        with self._lock:
            return self._client.update_item(**request)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "dynamodb"])
def nonces(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nonces]:
    if request.param == "memory":
        yield MemoryNonces(clock)
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        create_state_table(client)
        yield DynamoNonces(_Atomic(client), STATE_TABLE, clock)


async def test_the_first_is_the_time(nonces: Nonces, clock: ManualClock) -> None:
    assert await nonces.next("key") == clock.now_ms() * NS_IN_MS
    clock.advance(5)
    assert await nonces.next("key") == clock.now_ms() * NS_IN_MS


async def test_they_grow_though_the_clock_stands_still_or_goes_back(
    nonces: Nonces, clock: ManualClock
) -> None:
    given = [await nonces.next("key") for _ in range(3)]
    clock.advance(-60_000)
    given += [await nonces.next("key") for _ in range(3)]
    assert given == [given[0] + number for number in range(6)]
    clock.advance(120_000)
    assert await nonces.next("key") > given[-1] + NS_IN_MS


async def test_each_key_has_its_own(nonces: Nonces) -> None:
    assert await nonces.next("one") == await nonces.next("another")


async def test_those_that_ask_at_once_get_different_ones(nonces: Nonces) -> None:
    given = await asyncio.gather(*(nonces.next("key") for _ in range(40)))
    assert len(set(given)) == 40


async def test_they_fit_into_64_bits(nonces: Nonces) -> None:
    assert await nonces.next("key") < 2**63


async def test_a_turn_comes_with_a_nonce_and_is_one_owners(nonces: Nonces) -> None:
    first = await nonces.take_turn("key", "a", for_ms=1000)
    assert first is not None
    assert await nonces.take_turn("key", "b", for_ms=1000) is None
    assert await nonces.take_turn("another key", "b", for_ms=1000) is not None
    await nonces.end_turn("key", "a")
    second = await nonces.take_turn("key", "b", for_ms=1000)
    assert second is not None
    assert second > first
    assert await nonces.next("key") > second


async def test_a_turn_ends_by_itself(nonces: Nonces, clock: ManualClock) -> None:
    first = await nonces.take_turn("key", "a", for_ms=1000)
    clock.advance(999)
    assert await nonces.take_turn("key", "b", for_ms=1000) is None
    clock.advance(1)
    second = await nonces.take_turn("key", "b", for_ms=1000)
    assert first is not None
    assert second is not None
    assert second > first


async def test_only_its_owner_ends_a_turn(nonces: Nonces, clock: ManualClock) -> None:
    await nonces.take_turn("key", "a", for_ms=1000)
    clock.advance(1000)
    await nonces.take_turn("key", "b", for_ms=1000)
    await nonces.end_turn("key", "a")
    assert await nonces.take_turn("key", "c", for_ms=1000) is None
    await nonces.end_turn("a key that nobody used", "a")


async def test_who_has_the_turn_may_take_it_again(nonces: Nonces) -> None:
    """As the AWS SDK does, unasked, where the answer to the first was lost."""
    first = await nonces.take_turn("key", "a", for_ms=1000)
    again = await nonces.take_turn("key", "a", for_ms=1000)
    assert first is not None
    assert again is not None
    assert again > first


async def test_a_turn_never_goes_to_two_at_once(nonces: Nonces) -> None:
    taken = await asyncio.gather(*(nonces.take_turn("key", f"{n}", for_ms=1000) for n in range(20)))
    assert sum(nonce is not None for nonce in taken) == 1


@pytest.mark.parametrize("nonces", ["dynamodb"], indirect=True)
def test_many_processes_get_numbers_that_only_grow(nonces: Nonces) -> None:
    """Threads with loops of their own, as Lambdas are; each sees its own numbers grow."""

    def lambda_of(_number: int) -> list[int]:
        async def ask() -> list[int]:
            return [await nonces.next("key") for _ in range(10)]

        return asyncio.run(ask())

    with ThreadPoolExecutor(6) as pool:
        several = list(pool.map(lambda_of, range(6)))
    for given in several:
        assert given == sorted(set(given))
    assert len({nonce for given in several for nonce in given}) == 60


async def test_an_unreachable_store_says_so() -> None:
    clock = ManualClock()
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )
    broken = MemoryNonces(clock)
    broken.broken = True
    for store in (DynamoNonces(client, STATE_TABLE, clock), broken):
        for asking in (
            store.next("key"),
            store.take_turn("key", "a", for_ms=1),
            store.end_turn("key", "a"),
        ):
            with pytest.raises(StateError):
                await asking


async def test_a_table_that_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        with pytest.raises(StateError, match="ResourceNotFoundException"):
            await DynamoNonces(client, "nope", ManualClock()).next("key")
