"""What the template makes of itself: who may do what, who may call, and when a new version is published."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from local.release import marked
from local.template import REPOSITORY
from sor_core.adapters.dynamo_orders_items import BY_CALLER, BY_DAY, OPEN
from sor_core.api.execute import MOST_WAIT_S
from sor_core.domain.order_status import OrderStatus
from sor_core.metrics import (
    ORDERS_DUE,
    ORDERS_NEEDING_REVIEW,
    RECONCILIATION_FINDINGS,
    RECONCILIATION_NOT_READ,
)
from sor_core.services.desk import PLACE_TIMEOUT_S
from sor_core.services.lookout import ASK_TIMEOUT_S
from sor_core.services.reconciliation import MOST_MS
from tests.template.conftest import Translate

GATEWAY_S = 29
"""API Gateway's own limit."""
LONGEST_S = 900
"""Lambda's own."""
HOUR_S = 3600

STATE_ACTIONS = {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
"""Reading, writing, and adding to counters."""
LEASE_ACTIONS = {"dynamodb:DeleteItem"}
LOG_ACTIONS = {"logs:CreateLogStream", "logs:PutLogEvents"}
QUEUE_ACTIONS = {
    f"sqs:{verb}" for verb in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage")
}
ORDER_READS = {"dynamodb:BatchGetItem", "dynamodb:GetItem"}
ORDER_WRITES = {"dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
TRADING_ACTIONS = {"secretsmanager:GetSecretValue", "states:StartExecution"}
MAY_TRADE = ("ExecuteRole", "ExecuteTaskRole")
DELIVERY_OF_LOGS = {
    f"logs:{verb}"
    for verb in (
        *("CreateLogDelivery", "DeleteLogDelivery", "DescribeLogGroups", "DescribeResourcePolicies"),
        *("GetLogDelivery", "ListLogDeliveries", "PutResourcePolicy", "UpdateLogDelivery"),
    )
}
"""They know no resources: see the template."""
SHIFT_ACTIONS = {
    "cloudwatch:DescribeAlarms",
    *(f"lambda:{verb}" for verb in ("GetAlias", "GetProvisionedConcurrencyConfig", "UpdateAlias")),
}

EXECUTE_ACTIONS = {"dynamodb:Query"}.union(
    STATE_ACTIONS, LEASE_ACTIONS, LOG_ACTIONS, ORDER_READS, ORDER_WRITES, TRADING_ACTIONS
)


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
    every = [s for role in roles(translated).values() for s in statements(role)]
    assert not [s for s in every if "*" in json.dumps(s["Action"])]
    wide = [(s["Action"], s["Resource"]) for s in every if "*" in json.dumps(s["Resource"])]
    alarms_of_the_account = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"
    assert sorted(wide, key=str) == [
        ("cloudwatch:DescribeAlarms", {"Fn::Sub": alarms_of_the_account}),
        (sorted(DELIVERY_OF_LOGS), "*"),
    ]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("RouteRole", STATE_ACTIONS | LEASE_ACTIONS | LOG_ACTIONS | ORDER_READS | {"dynamodb:Query"}),
        ("HealthProbeRole", STATE_ACTIONS | LOG_ACTIONS | QUEUE_ACTIONS),
        ("ProbeScheduleRole", {"sqs:SendMessage"}),
        ("ExecuteRole", EXECUTE_ACTIONS),
        ("ExecuteTaskRole", EXECUTE_ACTIONS),
        ("TaskScheduleRole", {"lambda:InvokeFunction"}),
        ("FailoverRole", DELIVERY_OF_LOGS | {"lambda:InvokeFunction"}),
        ("TrafficShiftRole", SHIFT_ACTIONS),
    ],
)
def test_a_role_allows_exactly_this(translated: dict[str, Any], role: str, allowed: set[str]) -> None:
    assert actions(roles(translated)[role]) == allowed


def on_orders(role: dict[str, Any]) -> dict[str, set[str]]:
    """What a role may do with the ledger: actions by index, those on the table itself under ``table``."""
    found: dict[str, set[str]] = {}
    for statement in statements(role):
        if "OrdersTable" not in json.dumps(statement["Resource"]):
            continue
        action, resource = statement["Action"], statement["Resource"]
        for one in resource if isinstance(resource, list) else [resource]:
            _, is_index, index = one.get("Fn::Sub", "").partition("/index/")
            name = index if is_index else "table"
            found.setdefault(name, set()).update([action] if isinstance(action, str) else action)
    return found


def test_each_role_reads_the_indexes_that_it_needs_and_no_other(translated: dict[str, Any]) -> None:
    query = {"dynamodb:Query"}
    told = {name: on_orders(role) for name, role in roles(translated).items()}
    assert {name: ledger for name, ledger in told.items() if ledger} == {
        "RouteRole": {"table": ORDER_READS, "by_caller": query},
        "ExecuteRole": {"table": ORDER_READS | ORDER_WRITES, "open": query},
        "ExecuteTaskRole": {"table": ORDER_READS | ORDER_WRITES, "open": query, "by_day": query},
    }


def test_nobody_may_delete_an_order(translated: dict[str, Any]) -> None:
    for role in roles(translated).values():
        assert "dynamodb:DeleteItem" not in set().union(*on_orders(role).values())


def test_only_what_executes_reads_secrets_and_only_the_venues(
    template: dict[str, Any], translated: dict[str, Any]
) -> None:
    prefix = template["Resources"]["ExecuteFunction"]["Properties"]["Environment"]["Variables"]
    name = prefix["SOR_SECRETS_PREFIX"]["Fn::Sub"]
    arn = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:" + name
    venues = template["Parameters"]["SorVenues"]["Default"].split(",")
    wanted = [f"{arn}/{venue}{use}-??????" for venue in venues for use in ("", "/reading")]
    for role_name, role in roles(translated).items():
        readable = [s["Resource"] for s in statements(role) if s["Action"] == "secretsmanager:GetSecretValue"]
        expected = [[{"Fn::Sub": secret} for secret in wanted]] if role_name in MAY_TRADE else []
        assert readable == expected, role_name


def test_only_what_executes_starts_the_machine_and_that_one_only(
    template: dict[str, Any], translated: dict[str, Any]
) -> None:
    name = template["Resources"]["FailoverMachine"]["Properties"]["Name"]["Fn::Sub"]
    for role_name, role in roles(translated).items():
        started = [
            s["Resource"]["Fn::Sub"] for s in statements(role) if s["Action"] == "states:StartExecution"
        ]
        assert [arn.endswith(f":stateMachine:{name}") for arn in started] == [True] * (role_name in MAY_TRADE)
    for function in ("ExecuteFunction", "ExecuteTaskFunction"):
        variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
        assert variables["SOR_FAILOVER_MACHINE"] == {"Fn::Sub": started_by(translated)}


def started_by(translated: dict[str, Any]) -> str:
    [arn] = [
        s["Resource"]["Fn::Sub"]
        for s in statements(roles(translated)["ExecuteRole"])
        if s["Action"] == "states:StartExecution"
    ]
    return str(arn)


def test_the_schedules_and_the_machine_reach_the_aliases_of_the_functions_that_are_theirs(
    translated: dict[str, Any],
) -> None:
    alias, reconciles = ({"Ref": f"{name}FunctionAliaslive"} for name in ("ExecuteTask", "Reconciliation"))
    for role, reached in (("TaskScheduleRole", [[alias, reconciles]]), ("FailoverRole", [alias])):
        invoked = [s["Resource"] for s in statements(roles(translated)[role]) if "lambda" in str(s["Action"])]
        assert invoked == reached
    resources = translated["Resources"]
    asked = {}
    for name, target_of in (("SweepSchedule", alias), ("ReconciliationSchedule", reconciles)):
        target = resources[name]["Properties"]["Target"]
        assert target["Arn"] == target_of
        asked[resources[name]["Properties"]["ScheduleExpression"]] = json.loads(target["Input"])
    assert asked == {"rate(1 minute)": {"task": "sweep"}, "cron(10 0 * * ? *)": {"task": "reconciliation"}}
    substituted = resources["FailoverMachine"]["Properties"]["DefinitionSubstitutions"]
    assert substituted["TaskFunctionArn"] == alias


def test_both_functions_that_execute_have_one_code(template: dict[str, Any]) -> None:
    one, two = (template["Resources"][f"Execute{part}Function"]["Properties"] for part in ("", "Task"))
    alike = ("CodeUri", "MemorySize", "Environment", "EventInvokeConfig", "AutoPublishAliasAllProperties")
    assert {key: one[key] for key in alike} == {key: two[key] for key in alike}
    assert "Handler" not in one
    assert two["Handler"] == "app.task"
    assert "Events" not in two


def test_the_reconciliation_is_the_task_with_more_time(template: dict[str, Any]) -> None:
    task, reconciles = (
        template["Resources"][f"{n}Function"]["Properties"] for n in ("ExecuteTask", "Reconciliation")
    )
    other = (
        "Description",
        "Timeout",
        "DeploymentPreference",
        "EventInvokeConfig",
        "ReservedConcurrentExecutions",
    )
    assert {k: v for k, v in task.items() if k not in other} == {
        k: v for k, v in reconciles.items() if k not in other
    }
    # What is left to compare, to keep the report and to start; no function may run longer.
    assert MOST_MS / 1000 + 45 < reconciles["Timeout"] <= LONGEST_S
    assert task["Timeout"] < MOST_MS / 1000


@pytest.mark.parametrize("function", ["Execute", "ExecuteTask"])
def test_lambda_never_repeats_what_places_orders(translated: dict[str, Any], function: str) -> None:
    config = translated["Resources"][f"{function}FunctionEventInvokeConfig"]["Properties"]
    assert config["MaximumRetryAttempts"] == 0
    assert config["Qualifier"] == "live"
    mappings = [r for r in translated["Resources"].values() if r["Type"].endswith("EventSourceMapping")]
    assert [m for m in mappings if function in json.dumps(m)] == []


def test_deadlines_lie_under_timeouts_and_those_under_the_gateways(translated: dict[str, Any]) -> None:
    seconds = {
        name: resource["Properties"]["Timeout"]
        for name, resource in translated["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }
    assert MOST_WAIT_S + 3 < seconds["ExecuteFunction"] < GATEWAY_S
    assert seconds["RouteFunction"] < GATEWAY_S
    assert max(PLACE_TIMEOUT_S, ASK_TIMEOUT_S) * 2 < min(
        seconds["ExecuteFunction"], seconds["ExecuteTaskFunction"]
    )


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
    served = {(method, path) for path, methods in paths.items() for method in methods if method != "options"}
    assert {(method, path) for method, path in served if path != "/{proxy+}"} == {
        ("get", "/health"),
        ("get", "/api/exchanges/status"),
        ("get", "/api/orders"),
        ("get", "/api/orders/{order_id}"),
        ("get", "/api/orders/{order_id}/receipt"),
        ("get", "/api/trading"),
        ("get", "/metrics"),
        ("post", "/api/route"),
        ("post", "/api/execute"),
        ("delete", "/api/orders/{order_id}"),
        ("get", "/api/orders/{order_id}/review"),
        ("post", "/api/orders/{order_id}/review"),
        ("get", "/api/reviews"),
        ("put", "/api/trading"),
    }


def test_what_writes_orders_or_asks_for_them_at_the_venues_is_served_by_the_function_that_may(
    translated: dict[str, Any],
) -> None:
    paths = translated["Resources"]["Api"]["Properties"]["Body"]["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if method == "options":
                continue
            writes = path != "/{proxy+}" and method != "get" and path != "/api/route"
            needs_keys = writes or path.endswith("/review")
            lists_open_orders = path == "/api/reviews"  # by an index that route's role may not read
            function = "ExecuteFunction" if needs_keys or lists_open_orders else "RouteFunction"
            assert f"${{{function}.Alias}}" in str(operation) or f"${{{function}Aliaslive}}" in str(
                operation
            ), path


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
    ("changed", "republished"),
    [("SorCoreLayer", 5), ("RouteFunction", 1), ("HealthProbeFunction", 1), ("ExecuteFunction", 1)],
)
def test_a_change_of_code_publishes_new_versions(
    template: dict[str, Any], translated: dict[str, Any], translate: Translate, changed: str, republished: int
) -> None:
    before = versions(translated)
    after = versions(translate(template, changed))
    assert len(before) == len(after) == 5
    assert len(after - before) == republished


def test_every_release_publishes_new_versions(
    template: dict[str, Any], translated: dict[str, Any], translate: Translate
) -> None:
    releases = [versions(translate(marked(template, release), "")) for release in ("1", "2")]
    assert len(releases[0] | releases[1] | versions(translated)) == 15
    assert versions(translate(marked(template, "1"), "")) == releases[0]


def test_every_log_group_forgets(translated: dict[str, Any]) -> None:
    groups = [r for r in translated["Resources"].values() if r["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 6
    assert all(group["Properties"]["RetentionInDays"] for group in groups)
    # API Gateway's execution log has a group of its own making, which never expires.
    [stage] = [r for r in translated["Resources"].values() if r["Type"] == "AWS::ApiGateway::Stage"]
    settings = stage["Properties"]["MethodSettings"]
    assert [(s["LoggingLevel"], s["DataTraceEnabled"]) for s in settings] == [("OFF", False)] * 2
    assert json.loads(stage["Properties"]["AccessLogSetting"]["Format"])["error"]


def test_the_probe_queue_holds_a_message_as_long_as_its_function_may_run(translated: dict[str, Any]) -> None:
    resources = translated["Resources"]
    timeout = resources["HealthProbeFunction"]["Properties"]["Timeout"]
    assert resources["ProbeQueue"]["Properties"]["VisibilityTimeout"] >= 6 * timeout  # AWS's own advice


def test_the_state_table_expires_and_is_encrypted(translated: dict[str, Any]) -> None:
    table = translated["Resources"]["StateTable"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_the_ledger_outlives_its_stack(template: dict[str, Any], translated: dict[str, Any]) -> None:
    resource = translated["Resources"]["OrdersTable"]
    table = resource["Properties"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["DeletionProtectionEnabled"] == {"Fn::If": ["IsAws", True, False]}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert "TimeToLiveSpecification" not in table  # an order is never forgotten
    assert template["Conditions"]["IsAws"] == {"Fn::Equals": [{"Ref": "Deployment"}, "aws"]}


def test_the_ledgers_indexes_are_those_that_its_code_reads(translated: dict[str, Any]) -> None:
    table = translated["Resources"]["OrdersTable"]["Properties"]
    kinds = {entry["AttributeName"]: entry["AttributeType"] for entry in table["AttributeDefinitions"]}
    indexes = {
        index["IndexName"]: [
            (key["AttributeName"], kinds[key["AttributeName"]]) for key in index["KeySchema"]
        ]
        for index in table["GlobalSecondaryIndexes"]
    }
    assert indexes == {
        BY_CALLER: [("caller", "S"), ("created", "S")],
        OPEN: [("open", "S"), ("due_at_ms", "N")],
        BY_DAY: [("day", "S"), ("created", "S")],
    }
    assert {i["Projection"]["ProjectionType"] for i in table["GlobalSecondaryIndexes"]} == {"KEYS_ONLY"}


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {n: r["Properties"] for n, r in template["Resources"].items() if r["Type"].endswith("::Alarm")}


def test_what_raises_an_alarm(template: dict[str, Any]) -> None:
    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in of_aws(template)} == {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/Lambda", "Duration"),
        ("AWS/Lambda", "Errors"),
        ("AWS/States", "ExecutionsFailed"),
        ("AWS/States", "ExecutionsTimedOut"),
        ("AWS/ApiGateway", "5XXError"),
    }
    for alarm in of_aws(template):
        named = alarm["Dimensions"][0]["Value"]
        assert (named.get("Ref") or named["Fn::GetAtt"][0]) in {*template["Resources"], "AWS::StackName"}
    for name, alarm in alarms(template).items():
        assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmTopic", name
        assert alarm["OKActions"] == alarm["AlarmActions"], name  # an incident then ends by itself


def test_a_difference_what_was_not_read_and_silence_are_three_alarms(template: dict[str, Any]) -> None:
    differs, incomplete, silent = (
        alarms(template)[f"{name}Alarm"]
        for name in ("LedgerDiffers", "ReconciliationIncomplete", "ReconciliationSilent")
    )
    assert [differs["MetricName"], incomplete["MetricName"], silent["MetricName"]] == [
        *(RECONCILIATION_FINDINGS.name, RECONCILIATION_NOT_READ.name, RECONCILIATION_FINDINGS.name)
    ]
    for alarm in (differs, incomplete):
        assert (alarm["Statistic"], alarm["Threshold"], alarm["TreatMissingData"]) == ("Maximum", 1, "ignore")
    assert "money" in differs["AlarmDescription"]
    assert "money" not in incomplete["AlarmDescription"]
    assert (silent["Statistic"], silent["TreatMissingData"]) == ("SampleCount", "breaching")
    assert silent["Period"] * silent["EvaluationPeriods"] == 26 * HOUR_S


def test_every_alarm_looks_back_no_longer_than_it_may(template: dict[str, Any]) -> None:
    """CloudWatch, PutMetricAlarm, "Period": a day, or seven by the hour or longer."""
    for name, alarm in alarms(template).items():
        stats = [m["MetricStat"]["Period"] for m in alarm.get("Metrics", ()) if "MetricStat" in m]
        period = alarm.get("Period") or max(stats)
        most = 7 * 24 * HOUR_S if period >= HOUR_S else 24 * HOUR_S
        assert period * alarm["EvaluationPeriods"] <= most, name


def test_the_sweep_is_silent_when_it_reads_no_ledger(template: dict[str, Any]) -> None:
    """Calls of the task function tell nothing: the state machine makes them too."""
    alarm = alarms(template)["SweepSilentAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        {"Fn::Sub": "SOR/${AWS::StackName}"},
        ORDERS_DUE.name,
    )
    assert alarm["Statistic"] == "SampleCount"
    assert alarm["TreatMissingData"] == "breaching"
    tasks = (REPOSITORY / "layers" / "sor_core" / "sor_core" / "services").glob("*.py")
    setting = [path.name for path in tasks if "set(ORDERS_DUE" in path.read_text(encoding="utf-8")]
    assert setting == ["failover.py"]  # its sweep, and nothing that a machine calls


def test_an_error_in_a_function_of_the_api_is_enough(template: dict[str, Any]) -> None:
    alarm = alarms(template)["FunctionErrorsAlarm"]
    watched = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    assert [(m["Namespace"], m["MetricName"], m["Dimensions"][0]["Value"]["Ref"]) for m in watched] == [
        ("AWS/Lambda", "Errors", "RouteFunction"),
        ("AWS/Lambda", "Errors", "ExecuteFunction"),
    ]
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)


def of_aws(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [a for a in alarms(template).values() if str(a.get("Namespace")).startswith("AWS/")]


def test_the_alarm_of_reviews_is_on_as_long_as_an_order_waits(template: dict[str, Any]) -> None:
    alarm = alarms(template)["NeedsReviewAlarm"]
    assert alarm["MetricName"] == ORDERS_NEEDING_REVIEW.name
    assert (alarm["Statistic"], alarm["Threshold"], alarm["EvaluationPeriods"]) == ("Maximum", 1, 1)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    # A sweep that did not count ends no alarm.
    assert alarm["TreatMissingData"] == "ignore"


def test_alarms_on_log_lines_wait_for_lines_that_are_written(template: dict[str, Any]) -> None:
    counted = {}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            [metric] = resource["Properties"]["MetricTransformations"]
            counted[metric["MetricName"]] = resource["Properties"]["FilterPattern"]
    assert set(counted) == {"OrdersNeedReview", "VisibilityLags"}
    assert set(counted) <= {a.get("MetricName") for a in alarms(template).values()}
    services = REPOSITORY / "layers" / "sor_core" / "sor_core" / "services"
    said = " ".join(path.read_text(encoding="utf-8") for path in services.glob("*.py"))
    for pattern in counted.values():
        message = re.search(r'\$\.message = "([^"]+)"', pattern)
        assert message is not None
        assert f'"{message[1]}"' in said
    assert f'$.status = "{OrderStatus.NEEDS_REVIEW}"' in counted["OrdersNeedReview"]
