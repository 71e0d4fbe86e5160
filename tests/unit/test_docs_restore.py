"""The restore of docs/operations.md: its DynamoDB commands, in their order, on a DynamoDB in memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
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
    assert seen.index("describe-backup") < seen.index("delete-table")


def test_the_switch_that_it_puts_has_the_attributes_that_the_ledger_writes() -> None:
    [item] = (words[words.index("--item") + 1] for _, words in commands() if words[0] == "put-item")
    written = switch_item(Switch(TradingMode.HALTED, "why", "me", 1), "id")
    assert {name: set(kind) for name, kind in json.loads(item).items()} == {
        name: set(kind) for name, kind in written.items()
    }


# The block that deletes, as a shell runs it ---------------------------------------------------------

AWS = """#!/bin/bash
echo "$*" >> calls
asked="$2$([ "$2" = wait ] && echo "-$3")"
answer=$(head -n 1 "$asked" 2> /dev/null)
[ -e "$asked" ] && sed -i 1d "$asked"
case "$answer" in
  fails) exit 255 ;;
  "") case "$asked" in
      create-backup) echo arn:made ;;
      describe-backup) echo AVAILABLE ;;
    esac ;;
  *) echo "$answer" ;;
esac
"""
"""Answers line by line what stands in the file of the operation's name, then as if all were well."""
PATIENCE_S = 5


def in_a_shell(folder: Path, answers: dict[str, list[str]], *, ended: bool = True) -> list[str]:
    """Paste the block that deletes the table; gives the calls that it made. Unended, it is cut off."""
    [block] = [block for block in blocks(OPERATIONS) if "delete-table" in " ".join(block.statements)]
    for name, text in {"aws": AWS, "sleep": "#!/bin/bash\n/bin/sleep 0.01\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    for name, lines in answers.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "STACK": "sor", "BEFORE": "arn:before"}
    script = "\n".join(block.statements)
    command = ["timeout", str(PATIENCE_S if ended else 1), "bash", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=30)  # noqa: S603
    assert (done.returncode == OVERDUE) is not ended
    return [line.split()[1] for line in (folder / "calls").read_text(encoding="utf-8").splitlines()]


OVERDUE = 124
"""What `timeout` ends with."""

needs_a_shell = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("timeout") is None, reason="no bash, or no timeout"
)
ALL = [
    *("describe-backup", "create-backup", "describe-backup", "update-table", "delete-table", "wait"),
    *("restore-table-from-backup", "wait"),
]


@needs_a_shell
def test_pasted_it_does_one_after_the_other(tmp_path: Path) -> None:
    assert in_a_shell(tmp_path, {}) == ALL


@needs_a_shell
def test_it_waits_for_the_backup_and_for_as_long_as_a_table_takes(tmp_path: Path) -> None:
    slow = {
        "describe-backup": ["AVAILABLE", "CREATING", "fails", "CREATING"],
        "wait-table-not-exists": ["fails", "fails"],
        "wait-table-exists": ["fails", "fails", "fails"],
    }
    calls = in_a_shell(tmp_path, slow)
    assert list(dict.fromkeys(calls)) == list(dict.fromkeys(ALL))
    assert calls.index("delete-table") == 7  # after four looks at the backup beside the first
    assert calls.count("wait") == 7
    assert calls.count("delete-table") == calls.count("restore-table-from-backup") == 1


@needs_a_shell
@pytest.mark.parametrize(
    "answers",
    [
        {"describe-backup": ["CREATING"]},
        {"describe-backup": ["fails"]},
        {"create-backup": ["fails"]},
        {"update-table": ["fails"]},
    ],
)
def test_what_fails_before_it_deletes_ends_it(tmp_path: Path, answers: dict[str, list[str]]) -> None:
    calls = in_a_shell(tmp_path, answers)
    assert calls == ALL[: len(calls)]
    assert "delete-table" not in calls


@needs_a_shell
def test_without_a_backup_that_is_there_it_deletes_nothing(tmp_path: Path) -> None:
    missing = {"create-backup": ["None"], "describe-backup": ["AVAILABLE", *["fails"] * 1000]}
    assert "delete-table" not in in_a_shell(tmp_path, missing, ended=False)


@needs_a_shell
def test_a_table_that_could_not_be_deleted_is_not_written_over(tmp_path: Path) -> None:
    assert "restore-table-from-backup" not in in_a_shell(tmp_path, {"delete-table": ["fails"]})
