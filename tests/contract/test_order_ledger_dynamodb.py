"""The order ledger on DynamoDB: damaged items, a busy table, one that is not there."""

from __future__ import annotations

import asyncio
import itertools
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.adapters.dynamo_orders_items import SWITCH_KEY, order_key, table_key
from sor_core.execution.dues import Ceiling, Tally
from sor_core.execution.protocol import TradingMode
from sor_core.ports_trading import LedgerError, Saved, Standing, Switch
from tests.contract.order_ledgers import (
    DAY,
    HOLD,
    WRITES,
    Lossy,
    accepted,
    dynamodb_in_memory,
    fate,
    new_id,
    on_dynamodb,
    saved,
)
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS
from tests.fakes.memory_orders import MemoryOrderLedger
from tests.fakes.order_records import full_order, new_order, roomy, with_attempt, with_fill
from tests.fakes.orders_table import ORDERS_TABLE, OneAtATime


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from dynamodb_in_memory(monkeypatch)


@pytest.fixture
def lossy(client: Any) -> Lossy:
    return Lossy(client)


@pytest.fixture
def dynamodb(lossy: Lossy, clock: ManualClock) -> DynamoOrderLedger:
    return on_dynamodb(lossy, clock)


# Items that cannot be read, or written ----------------------------------------------------------


async def test_a_claim_of_more_digits_than_are_kept_is_refused(dynamodb: DynamoOrderLedger) -> None:
    huge = new_order(base=Decimal(10) ** 18)
    with pytest.raises(LedgerError, match="more digits"):
        await dynamodb.accept(huge, [], {}, None)
    assert await dynamodb.load("0a") is None


async def test_an_order_of_a_later_version_of_the_code_is_not_touched(
    dynamodb: DynamoOrderLedger, client: Any
) -> None:
    first = await accepted(dynamodb, full_order())
    item = client.get_item(TableName=ORDERS_TABLE, Key=order_key("0f"))["Item"]
    body = msgspec.json.decode(zlib.decompress(item["body"]["B"]))
    assert "attempts" in body

    def store(body: object) -> None:
        packed = {"B": zlib.compress(msgspec.json.encode(body))}
        client.put_item(TableName=ORDERS_TABLE, Item={**item, "body": packed})

    del body["failover_used"], body["attempts"][0]["replays"]  # an earlier version's, with defaults
    store(body)
    older = await dynamodb.load("0f")
    assert older is not None
    assert older.attempts[0].replays == 0
    body["attempts"][1]["mark"] = "later"
    store(body)
    for reading in (dynamodb.load("0f"), dynamodb.orders(first.caller, limit=1, cursor=None)):
        with pytest.raises(LedgerError, match="does not know"):
            await reading


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        zlib.compress(b"{}"),
        zlib.compress(b"[]"),
        zlib.compress(b"\xff"),
        zlib.compress(b"{}")[:-2],
    ],
)
async def test_an_order_that_cannot_be_read_says_so(
    dynamodb: DynamoOrderLedger, client: Any, body: bytes
) -> None:
    for damaged in ({"body": {"B": body}}, {"body": {"S": "x"}}, {}):
        client.put_item(TableName=ORDERS_TABLE, Item={**order_key("0a"), **damaged})
        with pytest.raises(LedgerError):
            await dynamodb.load("0a")


@pytest.mark.parametrize("item", [{}, {"mode": {"S": "sideways"}}])
async def test_other_items_that_cannot_be_read_say_so(
    dynamodb: DynamoOrderLedger, client: Any, item: dict[str, Any]
) -> None:
    client.put_item(TableName=ORDERS_TABLE, Item={**SWITCH_KEY, **item})
    client.put_item(TableName=ORDERS_TABLE, Item={**table_key("counter#hold#kraken", "USDT"), **item})
    for reading in (dynamodb.switch(), dynamodb.tallies([HOLD])):
        with pytest.raises(LedgerError):
            await reading
    first = await accepted(dynamodb, new_order())
    if item:
        with pytest.raises(LedgerError):
            await dynamodb.save(first, with_attempt(first), roomy(first, with_attempt(first)))
    await dynamodb.set_switch(Switch(TradingMode.HALTED, "", "operator", 1))
    assert (await dynamodb.switch()).mode is TradingMode.HALTED


# A busy table -----------------------------------------------------------------------------------


def cancelled(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    return ClientError(
        {"Error": {"Code": "TransactionCanceledException", "Message": ""}, "CancellationReasons": reasons},  # type: ignore[typeddict-unknown-key, unused-ignore]
        "TransactWriteItems",
    )


BUSY = {
    "conflict": cancelled("None", "TransactionConflict", "None"),
    "throttled": cancelled("ThrottlingError", "TransactionConflict"),
    "put": ClientError({"Error": {"Code": "TransactionConflictException", "Message": ""}}, "PutItem"),
}


@pytest.mark.parametrize("busy", BUSY)
async def test_a_busy_table_is_asked_again(dynamodb: DynamoOrderLedger, lossy: Lossy, busy: str) -> None:
    lossy.error = lambda: BUSY[busy]
    lossy.lose = fate(*["before"] * 5)
    first = await accepted(dynamodb, new_order())
    lossy.lose = fate(*["before"] * 5)
    await saved(dynamodb, first, replace(first, due_at_ms=1))
    lossy.lose = lambda name: "before" if name in WRITES else ""
    with pytest.raises(LedgerError):
        await dynamodb.save(first, with_attempt(first), roomy(first, with_attempt(first)))
    assert lossy.calls.count("transact_write_items") == 6 + 12


async def test_it_is_not_asked_for_ever(
    dynamodb: DynamoOrderLedger, lossy: Lossy, clock: ManualClock
) -> None:
    first = await accepted(dynamodb, new_order())
    lossy.error = lambda: BUSY["put"]

    def slow(name: str) -> str:
        clock.advance(2000)
        return "before" if name in WRITES else ""

    lossy.lose = slow
    with pytest.raises(LedgerError, match="TransactionConflictException"):
        await dynamodb.save(first, replace(first, due_at_ms=1))
    assert lossy.calls.count("put_item") == 2


@pytest.mark.parametrize(
    "error",
    [
        cancelled("None", "ValidationError"),
        cancelled("TransactionConflict", "ItemCollectionSizeLimitExceeded"),
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "PutItem"),
    ],
)
async def test_what_will_not_pass_is_not_repeated(
    dynamodb: DynamoOrderLedger, lossy: Lossy, error: ClientError
) -> None:
    lossy.error = lambda: error
    lossy.lose = lambda name: "before" if name in WRITES else ""
    with pytest.raises(LedgerError):
        await dynamodb.accept(new_order(), [], {}, None)
    assert lossy.calls.count("transact_write_items") == 1


async def test_what_is_left_unread_is_asked_for_again(
    dynamodb: DynamoOrderLedger, client: Any, clock: ManualClock
) -> None:
    for n in range(3):
        await accepted(dynamodb, new_order(f"{n:02x}", created_at_ms=NOW_MS + n))

    class Sparing:
        """One item a call; `rest` is what it leaves unread for ever."""

        def __init__(self) -> None:
            self.rest: list[Any] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - the SDK's name
            wanted = RequestItems[ORDERS_TABLE]
            first, *others = wanted["Keys"]
            answer = client.batch_get_item(RequestItems={ORDERS_TABLE: {**wanted, "Keys": [first]}})
            others += self.rest
            answer["UnprocessedKeys"] = {ORDERS_TABLE: {**wanted, "Keys": others}} if others else {}
            return answer

    sparing = Sparing()
    ledger = on_dynamodb(sparing, clock)
    assert [r.order_id for r in await ledger.orders_since(NOW_MS)] == ["00", "01", "02"]
    sparing.rest = [order_key("00")]
    with pytest.raises(LedgerError, match="not all"):
        await ledger.orders_since(NOW_MS)


def test_many_processes_share_counters_exactly(client: Any, clock: ManualClock) -> None:
    """Threads with loops of their own, as Lambdas are, that conflict with each other now and then."""
    shared, turns, lock = OneAtATime(client), itertools.count(), threading.Lock()

    class Conflicting:
        def __getattr__(self, name: str) -> Any:
            def call(**request: Any) -> Any:
                with lock:
                    conflict = name == "transact_write_items" and next(turns) % 3 == 0
                if conflict:
                    raise BUSY["conflict"]
                return getattr(shared, name)(**request)

            return call

    def lambda_of(number: int) -> int:
        async def work() -> int:
            ledger = on_dynamodb(Conflicting(), clock)
            written = 0
            for n in range(6):
                record = new_order(f"{number}-{n}", base=Decimal("0.1"))
                ceilings = {DAY: Ceiling(Decimal(200))}
                outcome = await ledger.accept(record, [], ceilings, None)
                if isinstance(outcome, Saved):
                    written += 1
                    sent = await saved(ledger, outcome.record, with_attempt(outcome.record, "0.1"))
                    await saved(ledger, sent, with_fill(sent, "0.03"))
            return written

        return asyncio.run(work())

    with ThreadPoolExecutor(6) as pool:
        written = sum(pool.map(lambda_of, range(6)))
    tallies = asyncio.run(on_dynamodb(shared, clock).tallies([DAY, HOLD]))
    assert written == 20
    assert tallies == {DAY: Tally(Decimal(200), Decimal(0)), HOLD: Tally(Decimal(0), Decimal("200.52"))}


async def test_an_unreachable_table_says_so(clock: ManualClock) -> None:
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    client = boto3.client(
        "dynamodb",
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )
    broken = MemoryOrderLedger()
    broken.broken = True
    record = new_order()
    for ledger in (on_dynamodb(client, clock), broken):
        for asking in (
            ledger.accept(record, [], {}, None),
            ledger.find("alice", "key"),
            ledger.load("0a"),
            ledger.save(record, record),
            ledger.tallies([DAY]),
            ledger.receipt("0a"),
            ledger.orders("alice", limit=1, cursor=None),
            ledger.due(NOW_MS, limit=1),
            ledger.under_review(limit=1),
            ledger.standing(Standing.OPEN, limit=1, cursor=None),
            ledger.orders_since(NOW_MS),
            ledger.switch(),
            ledger.set_switch(Switch(TradingMode.HALTED, "", "operator", 1)),
        ):
            with pytest.raises(LedgerError):
                await asking


async def test_a_table_that_is_missing_says_so(client: Any, clock: ManualClock) -> None:
    ledger = DynamoOrderLedger(client, "nope", clock, new_id)
    with pytest.raises(LedgerError, match="ResourceNotFoundException"):
        await ledger.load("0a")
