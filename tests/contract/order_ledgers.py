"""What the tests of the order ledger share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.execution.dues import Counter, Tally
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import IdempotencyKey, OrderLedger, Saved
from tests.fakes.clock import ManualClock
from tests.fakes.order_records import roomy
from tests.fakes.orders_table import ORDERS_TABLE, create_orders_table

DAY = Counter("day", "2023-11-14", "USDT")
HOLD = Counter("hold", "kraken", "USDT")


def key(body_hash: str = "a" * 64, name: str = "key", caller: str = "alice") -> IdempotencyKey:
    return IdempotencyKey(caller, name, body_hash)


def new_id() -> str:
    return uuid4().hex


WRITES = {"put_item", "transact_write_items"}


class Lossy:
    """A client that loses answers: `lose` says of which calls, and whether they are made at all."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []
        self.lose: Callable[[str], str] = lambda _name: ""
        self.error: Callable[[], Exception] = lambda: ReadTimeoutError(endpoint_url="https://dynamodb")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**request: Any) -> Any:
            self.calls.append(name)
            fate = self.lose(name)
            if fate == "before":
                raise self.error()
            answer = method(**request)
            if fate == "after":
                raise self.error()
            return answer

        return call


def dynamodb_in_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a DynamoDB that has the table; it lasts as long as the iteration."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        create_orders_table(client)
        yield client


def on_dynamodb(client: Any, clock: ManualClock) -> DynamoOrderLedger:
    return DynamoOrderLedger(client, ORDERS_TABLE, clock, new_id, uniform=lambda: 0.05)


def fate(*fates: str) -> Callable[[str], str]:
    """Of the writes, one after the other."""
    told = iter(fates)
    return lambda name: next(told, "") if name in WRITES else ""


async def accepted(ledger: OrderLedger, record: OrderRecord) -> OrderRecord:
    outcome = await ledger.accept(record, [], roomy(None, record), None)
    assert isinstance(outcome, Saved)
    return outcome.record


async def saved(ledger: OrderLedger, before: OrderRecord, after: OrderRecord) -> OrderRecord:
    outcome = await ledger.save(before, after, roomy(before, after))
    assert isinstance(outcome, Saved)
    return outcome.record


async def stands_at(ledger: OrderLedger, counter: Counter) -> Tally:
    return (await ledger.tallies([counter]))[counter]
