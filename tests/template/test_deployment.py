"""New versions are tried and taken back, environments are sound, two stacks stand side by side."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from decimal import Decimal
from graphlib import TopologicalSorter
from typing import Any

import pytest

from local.environments import interpreter
from local.template import REPOSITORY, parameter_of_variable
from sor_core.bootstrap import read_settings
from tests.template.conftest import Translate
from tests.template.rendered import NAMES, Rendered
from tests.template.samconfig import environments, overrides

FUNCTIONS = ("RouteFunction", "ExecuteFunction", "ExecuteTaskFunction", "HealthProbeFunction")
CODE_DEPLOY_ALARMS = 10
"""The most of a deployment group (AWS, "CodeDeploy quotas")."""
UNRESERVED = 100
"""What Lambda wants to remain for functions without a reservation ("Configuring reserved concurrency")."""
STAGES = ("dev", "prod")


def with_parameters(template: Mapping[str, Any], **values: str) -> dict[str, Any]:
    """SAM's transform is told parameters by their defaults."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for name, value in values.items():
        copy["Parameters"][name]["Default"] = value
    return copy


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_new_version_is_tried_on_a_tenth_and_taken_back_by_alarms(
    translated: dict[str, Any], function: str
) -> None:
    stack = Rendered(translated, "sor")
    group = stack.resources[f"{function}DeploymentGroup"]["Properties"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert group["ServiceRoleArn"] == stack.arn("TrafficShiftRole")
    assert group["AlarmConfiguration"]["Enabled"] is True
    watched = {alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]}
    assert len(watched) <= CODE_DEPLOY_ALARMS
    assert watched <= {stack.physical(name) for name in stack.of_type("AWS::CloudWatch::Alarm")}
    assert f"sor-{function.removesuffix('Function')}CanaryAlarm" in watched
    shift = translated["Resources"][f"{function}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert shift["DeploymentGroupName"] == {"Ref": f"{function}DeploymentGroup"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_its_own_alarm_looks_at_the_version_that_the_alias_moves_to(
    translated: dict[str, Any], function: str
) -> None:
    alarm = translated["Resources"][f"{function.removesuffix('Function')}CanaryAlarm"]["Properties"]
    dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
    assert dimensions["FunctionName"] == {"Ref": function}
    assert dimensions["Resource"] == {"Fn::Sub": f"${{{function}}}:live"}
    moved_to = translated["Resources"][f"{function}Aliaslive"]["Properties"]["FunctionVersion"]
    assert dimensions["ExecutedVersion"] == moved_to
    assert alarm["Period"] * alarm["EvaluationPeriods"] < 5 * 60  # within the canary
    assert alarm["TreatMissingData"] == "notBreaching"


def test_what_is_called_once_a_day_moves_to_a_new_version_at_once(translated: dict[str, Any]) -> None:
    """No shift of minutes would meet it; the stack's own rollback takes it back with the rest."""
    resources = translated["Resources"]
    assert "UpdatePolicy" not in resources["ReconciliationFunctionAliaslive"]
    assert "ReconciliationFunctionDeploymentGroup" not in resources


def test_orders_gone_astray_take_back_what_executes(translated: dict[str, Any]) -> None:
    stack = Rendered(translated, "sor")
    for function in ("ExecuteFunction", "ExecuteTaskFunction"):
        alarms = stack.resources[f"{function}DeploymentGroup"]["Properties"]["AlarmConfiguration"]["Alarms"]
        names = {alarm["Name"] for alarm in alarms}
        assert {"sor-UnknownOutcomesAlarm", "sor-NeedsReviewCanaryAlarm"} <= names
        # It is on for days where an order waits, and would stop every deployment.
        assert "sor-NeedsReviewAlarm" not in names


def test_the_ways_to_shift_are_those_that_the_mapping_knows(template: dict[str, Any]) -> None:
    ways = template["Mappings"]["TrafficShifts"]
    assert list(ways) == template["Parameters"]["TrafficShift"]["AllowedValues"]
    assert {way for way, entry in ways.items() if entry["Gradual"] == "false"} == {"AllAtOnce"}


def test_without_gradual_shift_code_deploy_is_left_out(
    template: dict[str, Any], translate: Translate
) -> None:
    made = translate(with_parameters(template, TrafficShift="AllAtOnce"), "")["Resources"]
    assert [name for name, resource in made.items() if "CodeDeploy" in resource["Type"]] == []
    assert [name for name in made if "UpdatePolicy" in made[name]] == []


def referred(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from referred(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in {"Ref", "DependsOn"} and isinstance(item, str):
                yield item
            elif key == "Fn::GetAtt":
                yield item[0]
            elif key == "Fn::Sub":
                text = item if isinstance(item, str) else item[0]
                yield from re.findall(r"\$\{(\w+)[.}]", text)
            else:
                yield from referred(item)
                if key == "DependsOn":
                    yield from item


def test_nothing_waits_for_itself(translated: dict[str, Any]) -> None:
    """An alias waits for its deployment group, that one for its alarms: no alarm may wait for the alias."""
    resources = translated["Resources"]
    waits = {name: set(referred(resource)) & set(resources) for name, resource in resources.items()}
    order = list(TopologicalSorter(waits).static_order())  # raises CycleError
    assert order.index("RouteCanaryAlarm") < order.index("RouteFunctionAliaslive")


def test_versions_that_were_replaced_are_kept_for_the_alias_to_go_back_to(translated: dict[str, Any]) -> None:
    kept = [
        resource.get("DeletionPolicy")
        for resource in translated["Resources"].values()
        if resource["Type"] in {"AWS::Lambda::Version", "AWS::Lambda::LayerVersion"}
    ]
    assert kept == ["Retain"] * 6


def test_each_exception_to_checkov_says_why(template: dict[str, Any]) -> None:
    exceptions = [
        skip
        for resource in template["Resources"].values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert [skip for skip in exceptions if set(skip) != {"id", "comment"} or len(skip["comment"]) < 15] == []
    page = (REPOSITORY / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert f"each of {len(exceptions)} exceptions says why" in page


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_sets_parameters_that_are_there_to_values_that_are_allowed(
    template: dict[str, Any], stage: str
) -> None:
    given = overrides(stage)
    assert given["Stage"] == stage
    assert environments()[stage]["stack_name"] == f"sor-{stage}"
    refused = {name for name, value in given.items() if not allowed(template["Parameters"][name], value)}
    # A topic that was forgotten stops the deployment before anything is changed.
    assert refused == ({"AlarmTopicArn"} if stage == "prod" else set())


def allowed(parameter: Mapping[str, Any], value: str) -> bool:
    if "AllowedValues" in parameter and value not in map(str, parameter["AllowedValues"]):
        return False
    if "AllowedPattern" in parameter and not re.search(parameter["AllowedPattern"], value):
        return False
    least, most = parameter.get("MinValue", "-Infinity"), parameter.get("MaxValue", "Infinity")
    return parameter["Type"] != "Number" or Decimal(str(least)) <= Decimal(value) <= Decimal(str(most))


@pytest.mark.parametrize("stage", STAGES)
def test_the_functions_start_with_what_an_environment_sets(template: dict[str, Any], stage: str) -> None:
    given = overrides(stage)
    named = {
        variable: given[name] for variable, name in parameter_of_variable(template).items() if name in given
    }
    settings = read_settings(named | {"SOR_STATE_TABLE": "table"})
    assert {str(symbol) for symbol in settings.symbols} == set(given["SorAllowedSymbols"].split(","))


def test_dev_may_lose_little_and_prod_is_watched(template: dict[str, Any]) -> None:
    dev, prod = overrides("dev"), overrides("prod")
    for limit in ("SorMaxOrderNotional", "SorMaxDailyNotional"):
        for small, large in zip(notionals(dev[limit]), notionals(prod[limit]), strict=True):
            assert small * 100 <= large
        assert max(notionals(dev[limit])) <= 5000
    assert int(dev["LogRetentionDays"]) < int(prod["LogRetentionDays"])
    assert dev["TrafficShift"] == "AllAtOnce" != prod["TrafficShift"]
    rule = template["Rules"]["ProductionIsWatchedAndNeverRepeats"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}
    assert [assertion["Assert"] for assertion in rule["Assertions"]] == [
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]},
        {"Fn::Equals": [{"Ref": "SorRequireIdempotencyKey"}, "true"]},
        {"Fn::Contains": [["DEBUG", "INFO", "WARNING"], {"Ref": "SorLogLevel"}]},
    ]


def test_prod_writes_the_lines_that_alarms_wait_for(
    template: dict[str, Any], translated: dict[str, Any]
) -> None:
    rule = template["Rules"]["ProductionIsWatchedAndNeverRepeats"]["Assertions"][-1]["Assert"]
    levels = template["Parameters"]["SorLogLevel"]["AllowedValues"]
    taken = [level for level in levels if Rendered(translated, "sor", SorLogLevel=level).holds(rule)]
    waited_for = logging.getLevelNamesMapping()["WARNING"]
    assert taken == [level for level in levels if logging.getLevelNamesMapping()[level] <= waited_for]


def test_waiting_callers_cannot_keep_prod_from_following_orders(translated: dict[str, Any]) -> None:
    given = {name: overrides("prod").get(name, "") for name in ("TaskConcurrency",)}
    function = Rendered(translated, "sor-prod", **given).resources["ExecuteTaskFunction"]["Properties"]
    reserved = int(function["ReservedConcurrentExecutions"])
    assert reserved > 0
    without = Rendered(translated, "sor").resources["ExecuteTaskFunction"]["Properties"]
    assert "ReservedConcurrentExecutions" not in without
    quota = f"quota of {UNRESERVED + reserved} functions at once"
    for name in ("docs/deployment.md", "samconfig.toml"):
        assert quota in (REPOSITORY / name).read_text(encoding="utf-8")
    operations = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"$TASK --reserved-concurrent-executions {reserved}" in operations


def notionals(text: str) -> list[Decimal]:
    return [Decimal(part.rpartition("=")[2]) for part in text.split(",")]


@pytest.mark.parametrize("stage", STAGES)
def test_sam_validates_the_template_in_an_environment(stage: str) -> None:
    command: list[Any] = [interpreter("sam"), "-m", "samcli", "validate", "--config-env", stage]
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(  # noqa: S603
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "is a valid SAM Template" in done.stdout


def named_resources(stack: Rendered, translated: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """What is called by a name of ours: its type and the name, and which resource it is."""
    return {
        (resource["Type"], stack.physical(name)): name
        for name, resource in translated["Resources"].items()
        if NAMES.get(resource["Type"], "") in resource.get("Properties", {})
    }


def test_two_stacks_in_one_account_share_no_name(translated: dict[str, Any]) -> None:
    one, two = (named_resources(Rendered(translated, name), translated) for name in ("sor-dev", "sor-prod"))
    assert set(one.values()) == set(two.values())
    assert len(one) >= 14
    assert set(one) & set(two) == set()


def test_no_other_name_is_fixed(translated: dict[str, Any]) -> None:
    """A name that `NAMES` does not know would be missed above."""
    within = {"AWS::Lambda::Alias", "AWS::ApiGateway::Stage"}  # names within a function, within an API
    fixed = {
        (name, key)
        for name, resource in translated["Resources"].items()
        for key, value in resource.get("Properties", {}).items()
        if key.endswith("Name") and isinstance(value, str) and resource["Type"] not in within
    }
    # Metrics of alarms and the version of a function belong to something that has its own name.
    assert {key for _, key in fixed} <= {"MetricName"}


def test_the_one_thing_that_stacks_share_outlives_each_and_can_be_left_out(
    translated: dict[str, Any],
) -> None:
    shared = "AWS::ApiGateway::Account"
    assert len(Rendered(translated, "sor").of_type(shared)) == 1
    assert Rendered(translated, "sor", ApiGatewayAccountRole="false").of_type(shared) == {}
    for name in ("ApiGatewayAccount", "ApiGatewayAccountLogRole"):
        assert translated["Resources"][name]["DeletionPolicy"] == "Retain"


def test_the_web_acl_refuses_what_the_functions_would_refuse(translated: dict[str, Any]) -> None:
    assert Rendered(translated, "sor").of_type("AWS::WAFv2::WebACL") == {}
    assert Rendered(translated, "sor", WebAcl="true", Deployment="local").of_type("AWS::WAFv2::WebACL") == {}
    stack = Rendered(translated, "sor", WebAcl="true")
    [acl] = stack.of_type("AWS::WAFv2::WebACL").values()
    [rule] = acl["Rules"]
    limit = rule["Statement"]["SizeConstraintStatement"]
    assert (limit["ComparisonOperator"], limit["Size"]) == ("GT", 64 * 1024)
    # Past what WAF looks at, a body counts as too large; and it looks at as much as is allowed.
    assert limit["FieldToMatch"] == {"Body": {"OversizeHandling": "MATCH"}}
    assert acl["AssociationConfig"]["RequestBody"]["API_GATEWAY"]["DefaultSizeInspectionLimit"] == "KB_64"
    [association] = stack.of_type("AWS::WAFv2::WebACLAssociation").values()
    assert association["ResourceArn"].endswith("::/restapis/sor/stages/v1")


def test_what_is_open_to_all_is_throttled_apart(translated: dict[str, Any]) -> None:
    [stage] = Rendered(translated, "sor").of_type("AWS::ApiGateway::Stage").values()
    limits = {setting["ResourcePath"]: setting["ThrottlingRateLimit"] for setting in stage["MethodSettings"]}
    assert limits == {"/*": "100", "/~1health": 10}
    assert {setting["MetricsEnabled"] for setting in stage["MethodSettings"]} == {True}
