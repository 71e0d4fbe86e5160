"""The order ledger's table as template.yaml declares it, for a DynamoDB in memory."""

from __future__ import annotations

import threading
from typing import Any

ORDERS_TABLE = "sor-orders"

INDEXES = {"by_caller": ("caller", "created"), "by_day": ("day", "created"), "open": ("open", "due_at_ms")}
NUMBERS = {"due_at_ms"}


def create_orders_table(client: Any) -> None:
    """Make the table with a boto3 ``dynamodb`` client."""
    names = sorted({"pk", "sk"}.union(*INDEXES.values()))
    client.create_table(
        TableName=ORDERS_TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=_keys("pk", "sk"),
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "N" if name in NUMBERS else "S"} for name in names
        ],
        GlobalSecondaryIndexes=[
            {"IndexName": index, "KeySchema": _keys(*keys), "Projection": {"ProjectionType": "KEYS_ONLY"}}
            for index, keys in INDEXES.items()
        ],
    )


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


class OneAtATime:
    """A client whose calls do not overlap: DynamoDB's are atomic, moto's are not between threads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**request: Any) -> Any:
            with self._lock:
                return method(**request)

        return call
