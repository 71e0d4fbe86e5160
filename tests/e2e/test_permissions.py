"""The roles of template.yaml allow all that the functions do: the local AWS holds every call to them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import httpx
import pytest

from local.template import REPOSITORY
from tests.e2e.test_make_run import Run, end, free_port

RESOLVED_S = 90.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")


class Guarded:
    """A local stack whose AWS denies what no policy allows."""

    def __init__(self, run: Run, aws_port: int) -> None:
        self.venues = f"http://127.0.0.1:{run.ports[1]}"
        self._logs = REPOSITORY / ".build" / "run" / str(run.ports[0]) / "functions.log"
        self._session = boto3.Session("test", "test", region_name="us-east-1")
        self._endpoint = f"http://127.0.0.1:{aws_port}"
        described = self.client("cloudformation").describe_stacks(StackName="sor")["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def client(self, service: str, session: boto3.Session | None = None) -> Any:
        return (session or self._session).client(service, endpoint_url=self._endpoint)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        name = f"{self.outputs[function]}:live"
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return json.loads(said["body"]) if "body" in said else said

    def denied(self) -> list[str]:
        lines = self._logs.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "AccessDenied" in line or "not authorized" in line]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    port = free_port()
    variables = {"AUTH": "true", "SOR_AWS_PORT": str(port)}
    run = Run(tmp_path_factory.mktemp("guarded") / "out.txt", variables, ["make", "run"])
    try:
        run.wait_until_ready()
        yield Guarded(run, port)
    finally:
        end(run)


def event(name: str, order_id: str = "") -> Any:
    document = json.loads((REPOSITORY / "events" / f"{name}.json").read_text(encoding="utf-8"))
    if order_id:
        known = document["pathParameters"]["order_id"]
        document = json.loads(json.dumps(document).replace(known, order_id))
    return document


def test_the_local_aws_denies_what_no_policy_allows(stack: Guarded) -> None:
    """Else nothing here would mean anything."""
    function = stack.outputs["RouteFunction"]
    role = stack.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    assumed = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    keys = (assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
    secrets = stack.client("secretsmanager", boto3.Session(*keys, region_name="us-east-1"))
    with pytest.raises(secrets.exceptions.ClientError, match="AccessDenied"):
        secrets.get_secret_value(SecretId="sor/venues/kraken")
    assert stack.client("secretsmanager").get_secret_value(SecretId="sor/venues/kraken")["SecretString"]


def test_orders_are_placed_shown_and_followed(stack: Guarded) -> None:
    order = stack.invoke("ExecuteFunction", event("execute_market_buy"))
    assert order["status"] == "filled"
    for name in ("order", "order_receipt"):
        assert stack.invoke("RouteFunction", event(name, order["order_id"])), name
    assert stack.invoke("RouteFunction", event("orders"))["orders"]
    assert stack.invoke("ExecuteFunction", event("execute_cancel", order["order_id"]))["status"] == "filled"
    assert stack.invoke("ExecuteFunction", event("execute_halt"))["still_open"] == 0
    assert stack.invoke("ExecuteFunction", event("execute_resume"))["mode"] == "running"
    assert stack.invoke("RouteFunction", event("trading"))["mode"] == "running"
    assert stack.invoke("RouteFunction", event("route_no_cache"))["selected_exchange"]
    assert stack.invoke("ExecuteTaskFunction", event("task_sweep"))["failed"] == 0
    assert stack.denied() == []


def test_the_machine_is_started_and_calls_its_function(stack: Guarded) -> None:
    lost = {"endpoint": "place_order", "fault": "drop", "when": "before", "count": 1}
    httpx.post(f"{stack.venues}/sim/faults", json=lost, timeout=30).raise_for_status()
    asked = event("execute_market_buy")
    asked["headers"] |= {"Idempotency-Key": "lost", "Prefer": "wait=1"}
    order = stack.invoke("ExecuteFunction", asked)
    assert order["status"] == "resolving"
    deadline = time.monotonic() + RESOLVED_S
    while order["ended_at"] is None and time.monotonic() < deadline:
        time.sleep(0.5)
        order = stack.invoke("RouteFunction", event("order", order["order_id"]))
    states = stack.client("stepfunctions")
    [execution] = states.list_executions(stateMachineArn=stack.outputs["FailoverMachine"])["executions"]
    assert order["status"] == "filled", order["attempts"]
    assert execution["name"] == f"{order['order_id']}-1"
    assert stack.denied() == []


def test_the_days_orders_are_compared_with_the_venues(stack: Guarded) -> None:
    report = stack.invoke("ExecuteTaskFunction", event("task_reconciliation"))
    assert report["orders"] == 2
    assert stack.denied() == []
