"""A local stack whose AWS denies what no policy allows, and users who call its API with signed requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.deploy import REGION
from local.template import REPOSITORY
from tests.e2e.test_make_run import Run

CALL_TIMEOUT_S = 30.0


class Guarded:
    """One stack in the AWS of a `make run` with AUTH=true."""

    def __init__(self, run: Run, aws_port: int, name: str = "sor") -> None:
        self._run, self._aws_port = run, aws_port
        self.name = name
        self.venues = f"http://127.0.0.1:{run.ports[1]}"
        self.endpoint = f"http://127.0.0.1:{aws_port}"
        self._logs = REPOSITORY / ".build" / "run" / str(run.ports[0]) / "functions.log"
        self._session = boto3.Session("test", "test", region_name=REGION)
        described = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        stage = self.outputs["ApiUrl"].rpartition("/")[2]
        self.api = f"{self.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/{stage}"

    def beside(self, name: str) -> Guarded:
        """Another stack of the same AWS."""
        return Guarded(self._run, self._aws_port, name)

    def client(self, service: str, session: boto3.Session | None = None) -> Any:
        return (session or self._session).client(service, endpoint_url=self.endpoint)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        name = f"{self.outputs[function]}:live"
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return json.loads(said["body"]) if "body" in said else said

    def as_role_of(self, function: str) -> boto3.Session:
        """A session with what the function may do, and nothing else."""
        role = self.client("lambda").get_function_configuration(FunctionName=self.outputs[function])["Role"]
        assumed = self.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        keys = (assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
        return boto3.Session(*keys, region_name=REGION)

    def denied(self) -> list[str]:
        lines = self._logs.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "AccessDenied" in line or "not authorized" in line]

    def caller(self, name: str, *policies: str) -> Caller:
        """A user with some of the stack's policies, named as its outputs name them."""
        iam = self.client("iam")
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        for policy in policies:
            iam.attach_user_policy(UserName=name, PolicyArn=self.outputs[policy])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Caller(self.api, arn, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


class Caller:
    """Calls an API as one user, each request signed (Signature Version 4)."""

    def __init__(self, api: str, arn: str, credentials: Credentials) -> None:
        self._api = api
        self.arn = arn
        self._credentials = credentials

    def at(self, api: str) -> Caller:
        """The same user, calling another API."""
        return Caller(api, self.arn, self._credentials)

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        request = AWSRequest(method, self._api + path, headers=dict(headers or {}), data=content)
        SigV4Auth(self._credentials, "execute-api", REGION).add_auth(request)
        return httpx.request(
            method, self._api + path, headers=dict(request.headers), content=content, timeout=CALL_TIMEOUT_S
        )


def event(name: str, order_id: str = "") -> Any:
    """An event of events/, about an order of one's own."""
    document = json.loads(Path(REPOSITORY, "events", f"{name}.json").read_text(encoding="utf-8"))
    if order_id:
        known = document["pathParameters"]["order_id"]
        document = json.loads(json.dumps(document).replace(known, order_id))
    return document
