"""The transformed template as CloudFormation fills it in for a stack: names, ARNs, conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ACCOUNT = "123456789012"
REGION = "eu-west-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
NAMES = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::MetricFilter": "FilterName",
    "AWS::Logs::QueryDefinition": "Name",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SQS::Queue": "QueueName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::WAFv2::WebACL": "Name",
}
"""The property in which a type bears its physical name; without it CloudFormation makes one up."""
ARNS = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/%s",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/%s",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:%s",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:%s:*",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:%s",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:%s",
}
REFERRED_BY_ARN = {"AWS::IAM::ManagedPolicy", "AWS::StepFunctions::StateMachine"}


class Rendered:
    """A stack of this name; ids, which AWS would make up, are made of the stack's and the resource's name."""

    def __init__(self, translated: Mapping[str, Any], stack: str, **parameters: str) -> None:
        self.stack = stack
        self._template = translated
        declared = translated["Parameters"]
        given = {name: str(p["Default"]) for name, p in declared.items()} | parameters
        lists = {name for name, p in declared.items() if p["Type"] == "CommaDelimitedList"}
        self._parameters = {n: v.split(",") if n in lists else v for n, v in given.items()}
        self.resources: dict[str, dict[str, Any]] = {
            name: self.value(resource)
            for name, resource in translated["Resources"].items()
            if "Condition" not in resource or self.holds({"Condition": resource["Condition"]})
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type."""
        return {n: r.get("Properties", {}) for n, r in self.resources.items() if r["Type"] == kind}

    def physical(self, name: str) -> str:
        """The name that a resource bears in AWS."""
        resource = self._template["Resources"][name]
        given = resource.get("Properties", {}).get(NAMES.get(resource["Type"], ""))
        return str(self.value(given)) if given is not None else f"{self.stack}-{name}"

    def arn(self, name: str) -> str:
        """The ARN of a resource."""
        kind = self._template["Resources"][name]["Type"]
        return ARNS.get(kind, f"arn:aws:any:{REGION}:{ACCOUNT}:%s") % self.physical(name)

    def value(self, written: Any) -> Any:
        """What stands there once everything that it refers to is filled in."""
        if isinstance(written, list):
            return [v for v in map(self.value, written) if v is not None]
        if not isinstance(written, Mapping):
            return written
        if len(written) == 1:
            [(function, argument)] = written.items()
            if function == "Ref":
                return self._referred(argument)
            if function.startswith("Fn::"):
                return self._called(function.removeprefix("Fn::"), argument)
        return {key: value for key, v in written.items() if (value := self.value(v)) is not None}

    def _referred(self, name: str) -> str | list[str] | None:
        if name == "AWS::NoValue":
            return None
        if name == "AWS::StackName":
            return self.stack
        if name in PSEUDO or name in self._parameters:
            return PSEUDO.get(name) or self._parameters[name]
        resource = self._template["Resources"][name]
        if resource["Type"] == "AWS::ApiGateway::Stage":
            return str(resource["Properties"]["StageName"])
        if resource["Type"] == "AWS::Lambda::Alias":
            function = self.value(resource["Properties"]["FunctionName"])
            return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:{resource['Properties']['Name']}"
        return self.arn(name) if resource["Type"] in REFERRED_BY_ARN else self.physical(name)

    def _called(self, function: str, argument: Any) -> Any:
        match function:
            case "GetAtt":
                name, attribute = argument
                return self.arn(name) if attribute == "Arn" else f"{self.physical(name)}.{attribute}"
            case "Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^}!]+)\}", lambda m: self._substituted(m[1], own), text)
            case "If":
                condition, yes, no = argument
                return self.value(yes if self.holds({"Condition": condition}) else no)
            case "FindInMap":
                table, row, column = map(self.value, argument)
                return self._template["Mappings"][table][row][column]
            case "Join":
                return str(argument[0]).join(self.value(argument[1]))
            case _:
                raise NotImplementedError(function)

    def _substituted(self, name: str, own: Mapping[str, Any]) -> str:
        if name in own:
            return str(self.value(own[name]))
        if "." in name:
            return str(self._called("GetAtt", name.split(".", 1)))
        return str(self._referred(name))

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Whether a condition is true, or what a rule asserts."""
        [(function, argument)] = condition.items()
        match function:
            case "Condition":
                return self.holds(self._template["Conditions"][argument])
            case "Fn::Equals":
                left, right = map(self.value, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all(map(self.holds, argument))
            case "Fn::Or":
                return any(map(self.holds, argument))
            case "Fn::Contains":
                members, sought = map(self.value, argument)
                return sought in members
            case "Fn::EachMemberEquals":
                members, expected = map(self.value, argument)
                return all(member == expected for member in members)
            case _:
                raise NotImplementedError(function)
