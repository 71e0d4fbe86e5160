"""`GET /api/reviews` through its handler, over a ledger in DynamoDB."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.clock import SystemClock
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import OrderLedger
from tests.contract.order_ledgers import accepted, new_id, saved
from tests.e2e.conftest import Context, load
from tests.fakes.order_records import ended, new_order, with_attempt
from tests.fakes.orders_table import ORDERS_TABLE, create_orders_table
from tests.fakes.state_table import STATE_TABLE, create_state_table

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "SOR_STATE_TABLE": STATE_TABLE,
    "SOR_ORDERS_TABLE": ORDERS_TABLE,
    "SOR_FAILOVER_MACHINE": "arn:aws:states:eu-west-1:123456789012:stateMachine:sor-failover",
    "SOR_SECRETS_PREFIX": "sor/venues",
}


class Desk:
    """The execute function as Lambda loads it, and the ledger beside it."""

    def __init__(self) -> None:
        self._module = load("execute")
        client = boto3.client("dynamodb")
        self.ledger: OrderLedger = DynamoOrderLedger(client, ORDERS_TABLE, SystemClock(), new_id)

    def __call__(self, **query: str) -> tuple[int, Any]:
        event = {
            "resource": "/api/reviews",
            "path": "/api/reviews",
            "httpMethod": "GET",
            "queryStringParameters": query or None,
            "requestContext": {"requestId": "request-1"},
        }
        answer = self._module.handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"])

    def close(self) -> None:
        self._module.execute_runtime().close()


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        create_state_table(boto3.client("dynamodb"))
        create_orders_table(boto3.client("dynamodb"))
        made = Desk()
        yield made
        made.close()


def written(desk: Desk, number: int, status: OrderStatus | None) -> OrderRecord:
    async def write() -> OrderRecord:
        first = await accepted(desk.ledger, new_order(f"{number:032x}", caller=f"caller {number}"))
        sent = await saved(desk.ledger, first, with_attempt(first))
        return sent if status is None else await saved(desk.ledger, sent, ended(sent, status))

    return asyncio.run(write())


def ids(document: Any) -> list[str]:
    return [order["order_id"] for order in document["orders"]]


def test_every_callers_orders_are_listed_page_by_page(desk: Desk) -> None:
    assert desk() == (200, {"orders": [], "cursor": None})
    waiting = [written(desk, n, OrderStatus.NEEDS_REVIEW) for n in range(3)]
    going_on = written(desk, 8, None)
    written(desk, 9, OrderStatus.EXPIRED)

    status, first = desk(limit="2")
    assert (status, len(first["orders"])) == (200, 2)
    status, second = desk(limit="2", cursor=first["cursor"], status="needs_review")
    assert (status, second["cursor"]) == (200, None)
    assert sorted(ids(first) + ids(second)) == [record.order_id for record in waiting]
    assert {order["caller"] for order in first["orders"]} < {f"caller {n}" for n in range(3)}

    status, standing = desk(status="open")
    assert (status, ids(standing)) == (200, [going_on.order_id])
    [order] = standing["orders"]
    assert (order["since"], order["why"], order["due_at"]) == (None, None, going_on.due_at_ms)

    asyncio.run(saved(desk.ledger, waiting[1], ended(waiting[1], OrderStatus.EXPIRED)))
    assert waiting[1].order_id not in ids(desk()[1])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"status": "filled"}, ["status"]),
        ({"limit": "101", "status": ""}, ["status", "limit"]),
        ({"cursor": "never-given-out"}, ["cursor"]),
        ({"cursor": "\u00e9"}, ["cursor"]),
    ],
)
def test_what_cannot_be_listed_is_a_problem_that_names_the_parameter(
    desk: Desk, query: dict[str, str], named: list[str]
) -> None:
    status, problem = desk(**query)
    assert (status, problem["type"]) == (422, "urn:sor:problem:invalid-request")
    assert [error["field"] for error in problem["errors"]] == named


def test_without_a_ledger_the_answer_says_so(desk: Desk) -> None:
    boto3.client("dynamodb").delete_table(TableName=ORDERS_TABLE)
    status, problem = desk()
    assert (status, problem["type"]) == (503, "urn:sor:problem:ledger-unavailable")
