"""The state table as template.yaml declares it, for a DynamoDB in memory."""

from __future__ import annotations

from typing import Any

STATE_TABLE = "sor-state"


def create_state_table(client: Any) -> None:
    """Make the table with a boto3 ``dynamodb`` client."""
    client.create_table(
        TableName=STATE_TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )
