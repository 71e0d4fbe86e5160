"""ops/egress.yaml: a way out with addresses of its own, made in a simulated AWS and given to the template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from cfnlint.api import lint  # type: ignore[import-untyped]
from moto import mock_aws

from local.template import REPOSITORY, load
from tests.template.rendered import Rendered

EGRESS = REPOSITORY / "ops/egress.yaml"
REGION = "us-east-1"
MANAGED = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def deployed(two_zones: str) -> dict[str, list[str]]:
    """Deploy it; the outputs."""
    cloudformation = boto3.client("cloudformation", REGION)
    given = [{"ParameterKey": "TwoZones", "ParameterValue": two_zones}]
    cloudformation.create_stack(StackName="egress", TemplateBody=EGRESS.read_text(), Parameters=given)
    [stack] = cloudformation.describe_stacks(StackName="egress")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"].split(",") for output in stack["Outputs"]}


def test_it_is_sound() -> None:
    assert lint(EGRESS.read_text(), regions=[REGION]) == []


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("two_zones", "count"), [("false", 1), ("true", 2)])
def test_each_subnet_leaves_by_an_address_of_its_own_zone(two_zones: str, count: int) -> None:
    outputs = deployed(two_zones)
    ec2: Any = boto3.client("ec2", REGION)
    gateways = {each["NatGatewayId"]: each for each in ec2.describe_nat_gateways()["NatGateways"]}
    zone_of = {each["SubnetId"]: each["AvailabilityZone"] for each in ec2.describe_subnets()["Subnets"]}
    [endpoint] = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["ServiceName"] == f"com.amazonaws.{REGION}.dynamodb"
    resources = boto3.client("cloudformation", REGION).describe_stack_resources(StackName="egress")
    # moto leaves associations without a name.
    named = [r for r in resources["StackResources"] if "LogicalResourceId" in r]
    physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in named}
    addresses = []
    for number, subnet in enumerate(outputs["SubnetIds"], start=1):
        assert subnet == physical[f"PrivateSubnet{number}"]
        gateway = gateways[way_out(ec2, physical[f"PrivateRoutes{number}"])["NatGatewayId"]]
        assert zone_of[gateway["SubnetId"]] == zone_of[subnet]
        assert way_out(ec2, physical["PublicRoutes"])["GatewayId"] == physical["InternetGateway"]
        addresses += [each["PublicIp"] for each in gateway["NatGatewayAddresses"]]
        assert physical[f"PrivateRoutes{number}"] in endpoint["RouteTableIds"]
    assert addresses == outputs["Addresses"]
    assert len(set(addresses)) == len(set(map(zone_of.get, outputs["SubnetIds"]))) == count


def way_out(ec2: Any, table: str) -> Mapping[str, str]:
    """The route of a table to everywhere."""
    [found] = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    [route] = [r for r in found["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return dict(route)


def test_each_subnet_has_its_routes_and_functions_speak_https_only() -> None:
    resources = load(EGRESS)["Resources"]
    pairs = {
        (r["Properties"]["SubnetId"]["Ref"], r["Properties"]["RouteTableId"]["Ref"])
        for r in resources.values()
        if r["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
    }
    assert pairs == {
        *(("PublicSubnet1", "PublicRoutes"), ("PrivateSubnet1", "PrivateRoutes1")),
        *(("PublicSubnet2", "PublicRoutes"), ("PrivateSubnet2", "PrivateRoutes2")),
    }
    [rule] = resources["Functions"]["Properties"]["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


@pytest.mark.usefixtures("account")
def test_the_template_takes_what_it_gives(template: dict[str, Any], translated: dict[str, Any]) -> None:
    outputs = deployed("true")
    given = {name: outputs[name] for name in ("SubnetIds", "SecurityGroupIds")}
    for name, members in given.items():
        assert all(re.search(template["Parameters"][name]["AllowedPattern"], each) for each in members)
    stack = Rendered(translated, "sor", **{name: ",".join(members) for name, members in given.items()})
    functions = stack.of_type("AWS::Lambda::Function")
    assert len(functions) == 5
    assert [function["VpcConfig"] for function in functions.values()] == [given] * 5


def test_without_subnets_the_functions_are_in_no_network(translated: dict[str, Any]) -> None:
    functions = Rendered(translated, "sor").of_type("AWS::Lambda::Function")
    assert not any("VpcConfig" in function for function in functions.values())


@pytest.mark.parametrize(
    ("subnets", "groups", "holds"),
    [
        ("", "", True),
        ("subnet-1", "sg-1", True),
        ("subnet-1,subnet-2", "sg-1", True),
        ("subnet-1", "", False),
        ("", "sg-1", False),
    ],
)
def test_subnets_and_groups_go_together(
    translated: dict[str, Any], template: dict[str, Any], subnets: str, groups: str, *, holds: bool
) -> None:
    stack = Rendered(translated, "sor", SubnetIds=subnets, SecurityGroupIds=groups)
    [assertion] = template["Rules"]["SubnetsHaveSecurityGroups"]["Assertions"]
    assert stack.holds(assertion["Assert"]) == holds


def test_only_functions_in_subnets_may_make_network_interfaces(translated: dict[str, Any]) -> None:
    inside = Rendered(translated, "sor", SubnetIds="subnet-1", SecurityGroupIds="sg-1")
    outside = Rendered(translated, "sor")
    assert managed(outside) == {"ApiGatewayAccountLogRole": [managed(inside)["ApiGatewayAccountLogRole"][0]]}
    runs_as = {"RouteRole", "ExecuteRole", "ExecuteTaskRole", "HealthProbeRole"}
    assert {name for name, arns in managed(inside).items() if arns == [MANAGED]} == runs_as
    assert managed(inside).keys() == runs_as | managed(outside).keys()


def managed(stack: Rendered) -> dict[str, list[str]]:
    """The managed policies of each role that has some."""
    roles = stack.of_type("AWS::IAM::Role")
    return {name: role["ManagedPolicyArns"] for name, role in roles.items() if "ManagedPolicyArns" in role}
