"""Deploy template.yaml to the local AWS, through CloudFormation as AWS would."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.build import archive
from local.processes import StackError
from local.template import REPOSITORY

ANY_KEY = "test"
STACK = "sor"
BUCKET = "sor-artifacts"
REGION = "us-east-1"
DEADLINE_S = 120.0
POLL_S = 0.05
CONNECT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 60.0
HIGHEST_RATE = "10000"
HIGHEST_BURST = "5000"


@dataclass(frozen=True, slots=True)
class Deployment:
    """The outputs of template.yaml that the local stack uses."""

    api_id: str
    stage: str
    state_table: str
    health_probe_function: str


class LocalAws:
    """The local AWS at one endpoint, and in it one stack.

    Every method blocks, and raises `StackError` where a call is refused or not answered.
    """

    def __init__(self, endpoint: str, stack: str = STACK) -> None:
        self._endpoint = endpoint
        self._stack = stack
        self._session = boto3.Session(ANY_KEY, ANY_KEY, region_name=REGION)

    def _client(self, service: str) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=CALL_TIMEOUT_S,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        )
        return self._session.client(service, endpoint_url=self._endpoint, config=config)

    def deploy(self, template: Mapping[str, Any], layer: bytes, parameters: Mapping[str, str]) -> Deployment:
        """Upload layer, functions and state machine, create the stack, and wait until it stands."""
        try:
            self._client("s3").create_bucket(Bucket=BUCKET)
            ready = self._with_artifacts(_with_parameters(template, self._local(parameters)), layer)
            url = f"{self._endpoint}/{self._uploaded(json.dumps(ready).encode(), 'template')}"
            cloudformation = self._client("cloudformation")
            cloudformation.create_stack(
                StackName=self._stack,
                TemplateURL=url,
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
            outputs = self._outputs(cloudformation)
            self._switch_expiry_on(template, cloudformation)
        except ClientError as error:
            raise StackError(
                f"deploying template.yaml failed: {error.response['Error']['Message']}"
            ) from error
        except BotoCoreError as error:
            raise StackError(f"deploying template.yaml failed: {error}") from error
        return Deployment(
            api_id=outputs["ApiId"],
            stage=template["Resources"]["Api"]["Properties"]["StageName"],
            state_table=outputs["StateTable"],
            health_probe_function=outputs["HealthProbeFunction"],
        )

    def keep_secrets(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        """Create secrets, each a JSON object, by their names."""
        manager = self._client("secretsmanager")
        try:
            for name, secret in secrets.items():
                manager.create_secret(Name=name, SecretString=json.dumps(secret))
        except (BotoCoreError, ClientError) as error:
            raise StackError(f"the local AWS did not take the venues' keys: {error}") from error

    def probe(self, deployment: Deployment) -> str:
        """Have the venues measured once, so that the first route knows them; gives what failed, if any."""
        try:
            answer = self._client("lambda").invoke(
                FunctionName=f"{deployment.health_probe_function}:live", Payload=b'{"kind":"probe"}'
            )
        except (BotoCoreError, ClientError) as error:
            return str(error)
        if "FunctionError" not in answer:
            return ""
        reported = json.loads(answer["Payload"].read())
        return str(reported.get("errorMessage", reported))

    def _local(self, parameters: Mapping[str, str]) -> dict[str, str]:
        architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
        return {
            "Deployment": "local",
            "Architecture": architecture,
            "EndpointUrl": self._endpoint,
            "ThrottleRate": HIGHEST_RATE,
            "ThrottleBurst": HIGHEST_BURST,
            "SorRequireIdempotencyKey": "false",
            "TrafficShift": "AllAtOnce",
            **parameters,
        }

    def _uploaded(self, data: bytes, kind: str) -> str:
        """Put data into the bucket; gives where: bucket and key."""
        key = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        self._client("s3").put_object(Bucket=BUCKET, Key=key, Body=data)
        return f"{BUCKET}/{key}"

    def _with_artifacts(self, template: dict[str, Any], layer: bytes) -> dict[str, Any]:
        """Put what was uploaded where the template names folders and files, as ``sam package`` does."""
        for resource in template["Resources"].values():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::Serverless::LayerVersion":
                properties["ContentUri"] = f"s3://{self._uploaded(layer, 'zip')}"
            elif resource["Type"] == "AWS::Serverless::Function":
                code = archive(REPOSITORY / properties["CodeUri"])
                properties["CodeUri"] = f"s3://{self._uploaded(code, 'zip')}"
            elif resource["Type"] == "AWS::Serverless::StateMachine":
                definition = (REPOSITORY / properties["DefinitionUri"]).read_bytes()
                properties["DefinitionUri"] = f"s3://{self._uploaded(definition, 'json')}"
        return template

    def _outputs(self, cloudformation: Any) -> dict[str, str]:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            stack = cloudformation.describe_stacks(StackName=self._stack)["Stacks"][0]
            status = stack["StackStatus"]
            if status == "CREATE_COMPLETE":
                return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
            if status != "CREATE_IN_PROGRESS":
                raise StackError(f"deploying template.yaml failed: {_reason(cloudformation, stack)}")
            time.sleep(POLL_S)
        raise StackError(f"deploying template.yaml was not done within {DEADLINE_S:.0f} s")

    def _switch_expiry_on(self, template: Mapping[str, Any], cloudformation: Any) -> None:
        """Set the tables' TimeToLiveSpecification as the template says: ministack leaves it out."""
        dynamodb = self._client("dynamodb")
        for name, resource in template["Resources"].items():
            expiry = resource.get("Properties", {}).get("TimeToLiveSpecification")
            if expiry is None:
                continue
            detail = cloudformation.describe_stack_resource(StackName=self._stack, LogicalResourceId=name)
            table = detail["StackResourceDetail"]["PhysicalResourceId"]
            found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            if found["TimeToLiveStatus"] == "DISABLED":
                dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=expiry)


def _with_parameters(template: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Write values as the parameters' defaults: ministack hands the SAM transform only those."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for name, value in values.items():
        copy["Parameters"][name]["Default"] = value
    return copy


def _reason(cloudformation: Any, stack: Mapping[str, Any]) -> str:
    """Give the first failure of a resource, which is the cause; the stack's own reason only lists them."""
    events = cloudformation.describe_stack_events(StackName=stack["StackName"])["StackEvents"]
    for event in sorted(events, key=lambda event: event["Timestamp"]):
        of_resource = event["ResourceType"] != "AWS::CloudFormation::Stack"
        if of_resource and event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
            return f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
    return str(stack.get("StackStatusReason", stack["StackStatus"]))
