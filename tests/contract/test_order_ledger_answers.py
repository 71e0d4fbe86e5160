"""The order ledger on DynamoDB when answers are lost, and writes repeated or late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.dues import Ceiling, Tally
from sor_core.execution.protocol import TradingMode
from sor_core.ports_trading import CeilingPassed, LedgerError, Saved, Switch
from tests.contract.order_ledgers import (
    DAY,
    HOLD,
    WRITES,
    Lossy,
    accepted,
    dynamodb_in_memory,
    fate,
    key,
    on_dynamodb,
    saved,
    stands_at,
)
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS
from tests.fakes.order_records import ended, new_order, roomy, with_attempt, with_fill


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from dynamodb_in_memory(monkeypatch)


@pytest.fixture
def lossy(client: Any) -> Lossy:
    return Lossy(client)


@pytest.fixture
def dynamodb(lossy: Lossy, clock: ManualClock) -> DynamoOrderLedger:
    return on_dynamodb(lossy, clock)


LOST = {
    "timeout": lambda: ReadTimeoutError(endpoint_url="https://dynamodb"),
    "closed": lambda: ConnectionClosedError(endpoint_url="https://dynamodb"),
    "500": lambda: ClientError(
        {
            "Error": {"Code": "InternalServerError", "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": 500},
        },  # type: ignore[typeddict-item, unused-ignore]
        "PutItem",
    ),
}


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize("fates", [("after",), ("after", "after"), ("before", "after"), ("before",)])
async def test_a_write_whose_answer_is_lost_is_known_as_my_own(
    dynamodb: DynamoOrderLedger, lossy: Lossy, error: str, fates: tuple[str, ...]
) -> None:
    lossy.error = LOST[error]
    lossy.lose = fate(*fates)
    record = new_order()
    outcome = await dynamodb.accept(record, [key()], roomy(None, record), b"r")
    assert isinstance(outcome, Saved)
    lossy.lose = fate(*fates)
    put = await saved(dynamodb, outcome.record, replace(outcome.record, due_at_ms=1))
    lossy.lose = fate(*fates)
    sent = await saved(dynamodb, put, with_attempt(put))
    lossy.lose = fate(*fates)
    done = await saved(dynamodb, sent, ended(with_fill(sent, "0.5"), OrderStatus.PARTIALLY_FILLED))
    lossy.lose = fate(*fates[:1])
    await dynamodb.set_switch(Switch(TradingMode.HALTED, "", "operator", 1))

    assert (done.version, await dynamodb.load("0a")) == (4, done)
    assert await stands_at(dynamodb, DAY) == Tally(Decimal("49.95"), Decimal("50.05"))
    assert await stands_at(dynamodb, HOLD) == Tally(Decimal(0), Decimal("100.26"))
    assert (await dynamodb.switch()).mode is TradingMode.HALTED


async def test_a_write_that_nobody_answers_is_neither_done_nor_refused(
    dynamodb: DynamoOrderLedger, lossy: Lossy
) -> None:
    first = await accepted(dynamodb, new_order())
    for writing in (
        lambda: dynamodb.accept(new_order("0b"), [key()], roomy(None, first), None),
        lambda: dynamodb.save(first, replace(first, due_at_ms=1)),
        lambda: dynamodb.save(first, with_attempt(first), roomy(first, with_attempt(first))),
        lambda: dynamodb.set_switch(Switch(TradingMode.HALTED, "", "operator", 1)),
    ):
        lossy.lose = lambda name: "before" if name in WRITES else ""
        before = len(lossy.calls)
        with pytest.raises(LedgerError, match="may or may not"):
            await writing()
        assert sum(name in WRITES for name in lossy.calls[before:]) == 2
    lossy.lose = lambda name: "" if name in WRITES else "before"
    for reading in (dynamodb.load("0a"), dynamodb.due(NOW_MS, limit=1), dynamodb.tallies([DAY])):
        with pytest.raises(LedgerError):
            await reading


async def test_nobody_is_told_of_a_refusal_while_a_copy_may_still_arrive(
    dynamodb: DynamoOrderLedger, lossy: Lossy
) -> None:
    low = {DAY: Ceiling(Decimal(99))}
    lossy.lose = fate("before")
    with pytest.raises(LedgerError, match="may arrive"):
        await dynamodb.accept(new_order(), [key()], low, None)
    assert isinstance(await dynamodb.accept(new_order(), [key()], low, None), CeilingPassed)


async def test_a_late_copy_changes_nothing(dynamodb: DynamoOrderLedger, client: Any) -> None:
    """The first copy of a write is held up on the way, and arrives when the order has gone on."""
    held: list[tuple[str, dict[str, Any]]] = []

    class Holding:
        def __getattr__(self, name: str) -> Any:
            def call(**request: Any) -> Any:
                if name in WRITES and not held:
                    held.append((name, request))
                    raise ReadTimeoutError(endpoint_url="https://dynamodb")
                return getattr(client, name)(**request)

            return call

    ledger = on_dynamodb(Holding(), ManualClock(NOW_MS))
    first = await accepted(dynamodb, new_order())
    sent = await saved(ledger, first, with_attempt(first))
    held_save = held.pop()
    await ledger.set_switch(Switch(TradingMode.HALTED, "", "operator", 1))
    held_switch = held.pop()
    held.append(held_switch)
    await ledger.set_switch(Switch(TradingMode.RUNNING, "", "operator", 2))
    for name, request in (held_save, held_switch):
        with suppress(ClientError):  # refused, or known by its token
            getattr(client, name)(**request)
    assert await dynamodb.load("0a") == sent
    assert await stands_at(dynamodb, HOLD) == Tally(Decimal("100.26"), Decimal(0))
    assert (await dynamodb.switch()).mode is TradingMode.RUNNING


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems"])
async def test_what_the_sdk_repeats_unasked_is_done_once(
    client: Any, clock: ManualClock, operation: str
) -> None:
    """The SDK is made to take each first answer, a success, for none."""
    sends: list[int] = []

    def once_more(attempts: int, **_: Any) -> int | None:
        sends.append(attempts)
        return 0 if attempts == 1 else None

    client.meta.events.register_first(f"needs-retry.dynamodb.{operation}", once_more)
    ledger = on_dynamodb(client, clock)
    record = new_order()
    outcome = await ledger.accept(record, [key()], roomy(None, record), b"r")
    assert isinstance(outcome, Saved)
    put = await saved(ledger, outcome.record, replace(outcome.record, due_at_ms=1))
    sent = await saved(ledger, put, with_attempt(put))
    await ledger.set_switch(Switch(TradingMode.HALTED, "", "operator", 1))

    assert sends == [1, 2] * (len(sends) // 2)
    assert len(sends) == 4
    assert await ledger.load("0a") == sent
    assert await stands_at(ledger, DAY) == Tally(Decimal(100), Decimal(0))
    assert await stands_at(ledger, HOLD) == Tally(Decimal("100.26"), Decimal(0))
    assert (await ledger.switch()).mode is TradingMode.HALTED


async def test_every_write_has_its_own_token(dynamodb: DynamoOrderLedger, client: Any) -> None:
    tokens: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        tokens.append(params["ClientRequestToken"])

    client.meta.events.register("provide-client-params.dynamodb.TransactWriteItems", note)
    first = await accepted(dynamodb, new_order())
    for _ in range(2):
        await dynamodb.save(first, with_attempt(first), roomy(first, with_attempt(first)))
    assert len({UUID(token) for token in tokens}) == 3
