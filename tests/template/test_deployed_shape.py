"""What the template makes of itself: who may do what, who may call, and when a new version is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.conftest import Translate

STATE_ACTIONS = {"dynamodb:BatchGetItem", "dynamodb:PutItem"}
LEASE_ACTIONS = {"dynamodb:DeleteItem"}
LOG_ACTIONS = {"logs:CreateLogStream", "logs:PutLogEvents"}
QUEUE_ACTIONS = {
    f"sqs:{verb}" for verb in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage")
}


def roles(translated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = translated["Resources"].items()
    return {name: r["Properties"] for name, r in found if r["Type"] == "AWS::IAM::Role"}


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def actions(role: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in statements(role):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def test_no_statement_names_every_resource_or_every_action(translated: dict[str, Any]) -> None:
    for role in roles(translated).values():
        for statement in statements(role):
            assert "*" not in json.dumps(statement)


def test_only_the_gateways_log_role_has_a_managed_policy(translated: dict[str, Any]) -> None:
    managed = [name for name, role in roles(translated).items() if role.get("ManagedPolicyArns")]
    assert managed == ["ApiGatewayAccountLogRole"]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("RouteRole", STATE_ACTIONS | LEASE_ACTIONS | LOG_ACTIONS),
        ("HealthProbeRole", STATE_ACTIONS | LOG_ACTIONS | QUEUE_ACTIONS),
        ("ProbeScheduleRole", {"sqs:SendMessage"}),
    ],
)
def test_a_role_allows_exactly_this(translated: dict[str, Any], role: str, allowed: set[str]) -> None:
    assert actions(roles(translated)[role]) == allowed


def test_only_health_may_be_called_unsigned(translated: dict[str, Any]) -> None:
    paths = translated["Resources"]["Api"]["Properties"]["Body"]["paths"]
    open_to_all = []
    for path, methods in paths.items():
        for method, operation in methods.items():
            if method == "options":
                continue
            if operation["security"] == [{"NONE": []}]:
                open_to_all.append((method, path))
            else:
                assert operation["security"] == [{"AWS_IAM": []}], (method, path)
    assert open_to_all == [("get", "/health")]
    assert {"/api/route", "/api/exchanges/status", "/{proxy+}"} < set(paths)


def test_the_gateway_calls_functions_by_its_own_permission(translated: dict[str, Any]) -> None:
    assert '"credentials"' not in json.dumps(translated["Resources"]["Api"])


def test_the_gateways_own_errors_are_problems(translated: dict[str, Any]) -> None:
    responses = translated["Resources"]["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
        header = responses[kind]["responseParameters"]["gatewayresponse.header.Content-Type"]
        assert header == "'application/problem+json'"
        text = responses[kind]["responseTemplates"]["application/json"]
        filled = json.loads(text.replace("$context.error.messageString", '"why"'))
        assert set(filled) == {"type", "title", "detail", "instance"}


def versions(translated: dict[str, Any]) -> set[str]:
    return {n for n, r in translated["Resources"].items() if r["Type"] == "AWS::Lambda::Version"}


@pytest.mark.parametrize(
    ("changed", "republished"), [("SorCoreLayer", 2), ("RouteFunction", 1), ("HealthProbeFunction", 1)]
)
def test_a_change_of_code_publishes_new_versions(
    template: dict[str, Any], translated: dict[str, Any], translate: Translate, changed: str, republished: int
) -> None:
    before = versions(translated)
    after = versions(translate(template, changed))
    assert len(before) == len(after) == 2
    assert len(after - before) == republished


def test_every_log_group_forgets(translated: dict[str, Any]) -> None:
    groups = [r for r in translated["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 3
    assert all(group["Properties"]["RetentionInDays"] for group in groups)


def test_the_probe_queue_holds_a_message_as_long_as_its_function_may_run(translated: dict[str, Any]) -> None:
    resources = translated["Resources"]
    timeout = resources["HealthProbeFunction"]["Properties"]["Timeout"]
    assert resources["ProbeQueue"]["Properties"]["VisibilityTimeout"] >= 6 * timeout  # AWS's own advice
    assert resources["RouteFunction"]["Properties"]["Timeout"] < 29  # API Gateway's limit


def test_the_state_table_expires_and_is_encrypted(translated: dict[str, Any]) -> None:
    table = translated["Resources"]["StateTable"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
