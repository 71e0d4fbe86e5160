"""The restore of docs/operations.md: its DynamoDB commands, in their order, on a DynamoDB in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import xform_name
from moto import mock_aws

from local.template import REPOSITORY
from sor_core.adapters.dynamo_orders_items import SWITCH_KEY, switch_item, switch_of
from sor_core.execution.protocol import TradingMode
from sor_core.ports_trading import Switch
from tests.fakes.orders_table import ORDERS_TABLE as TABLE
from tests.fakes.orders_table import create_orders_table
from tests.unit.doc_commands import blocks, simple_commands

OPERATIONS = REPOSITORY / "docs" / "operations.md"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("dynamodb", region_name="eu-west-1")


def commands() -> list[tuple[str, list[str]]]:
    """Each `aws dynamodb` command of the page and the variable that takes its answer, in their order."""
    found = []
    for block in blocks(OPERATIONS):
        for statement in block.statements:
            taken = re.match(r"(\w+)=\$\(", statement)
            found += [
                (taken[1] if taken else "", list(command.words[2:]))
                for command in simple_commands(statement)
                if command.words[:2] == ("aws", "dynamodb")
            ]
    return found


def carry_out(client: Any, words: list[str], known: dict[str, str]) -> Any:
    """Do with boto3 what the AWS command line would."""
    operation, *rest = words
    if operation == "wait":
        waiter, _, table = rest
        client.get_waiter(waiter.replace("-", "_")).wait(TableName=table.replace("$STACK", "sor"))
        return None
    shape = client.meta.service_model.operation_model(
        client.meta.method_to_api_mapping[operation.replace("-", "_")]
    ).input_shape
    members = {xform_name(name, "-"): name for name in shape.members}
    asked: dict[str, Any] = {}
    for position, word in enumerate(rest):
        if not word.startswith("--") or word == "--query":
            continue
        name = word.removeprefix("--")
        if (
            name.removeprefix("no-") in members
            and shape.members[members[name.removeprefix("no-")]].type_name == "boolean"
        ):
            asked[members[name.removeprefix("no-")]] = not name.startswith("no-")
        elif name in members:
            asked[members[name]] = value(rest[position + 1], known)
    return getattr(client, operation.replace("-", "_"))(**asked)


def value(word: str, known: dict[str, str]) -> Any:
    filled = re.sub(r"\$(\w+)", lambda found: known[found[1]], word)
    if filled.startswith("{"):
        return json.loads(filled)
    if re.fullmatch(r"\w+=(true|false)", filled):
        name, _, told = filled.partition("=")
        return {name: told == "true"}
    return filled


def test_restored_as_the_page_says_the_ledger_has_its_name_its_protection_and_is_halted(client: Any) -> None:
    create_orders_table(client)
    client.update_table(TableName=TABLE, DeletionProtectionEnabled=True)
    point_in_time = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName=TABLE, PointInTimeRecoverySpecification=point_in_time)
    running = Switch(TradingMode.RUNNING, "", "me", 1)
    client.put_item(TableName=TABLE, Item=switch_item(running, "before"))
    client.put_item(TableName=TABLE, Item={"pk": {"S": "order#1"}, "sk": {"S": "-"}})
    known = {"STACK": "sor"}
    seen = []
    for taken, words in commands():
        answer = carry_out(client, words, known)
        if taken:
            known[taken] = answer["BackupDetails"]["BackupArn"]
        seen.append(words[0])
    restored = client.get_item(TableName=TABLE, Key=SWITCH_KEY)["Item"]
    assert switch_of(restored).mode is TradingMode.HALTED
    assert "Item" in client.get_item(TableName=TABLE, Key={"pk": {"S": "order#1"}, "sk": {"S": "-"}})
    described = client.describe_table(TableName=TABLE)["Table"]
    assert described["DeletionProtectionEnabled"] is True
    assert {index["IndexName"] for index in described["GlobalSecondaryIndexes"]} == {
        "by_caller",
        "open",
        "by_day",
    }
    backups = client.describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    names = [backup["BackupName"] for backup in client.list_backups()["BackupSummaries"]]
    assert "sor-orders-before-restore" in names
    assert seen.index("put-item") < seen.index("delete-table")


def test_the_switch_that_it_puts_has_the_attributes_that_the_ledger_writes() -> None:
    [item] = (words[words.index("--item") + 1] for _, words in commands() if words[0] == "put-item")
    written = switch_item(Switch(TradingMode.HALTED, "why", "me", 1), "id")
    assert {name: set(kind) for name, kind in json.loads(item).items()} == {
        name: set(kind) for name, kind in written.items()
    }
