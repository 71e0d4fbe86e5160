"""What each role may NOT do, and who may call what: asked of the policies as AWS evaluates them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from local.environments import interpreter
from tests.template.rendered import ACCOUNT, REGION, Rendered

EVALUATE = """
import json, sys
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
account, region = sys.argv[1:]
def allowed(documents, action, resource, keys):
    told = {"dynamodb:leadingkeys": keys} if keys else {}
    asked = EvalContext("arn", "AssumedRole", account, action, resource, region, service_context=told)
    return evaluate(asked, [parse_policy_document(document) for document in documents]).decision == "Allow"
print(json.dumps([allowed(*question) for question in json.load(sys.stdin)]))
"""
"""ministack's own evaluator: the one that tests/e2e/test_permissions.py meets in the running stack."""
STATE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/sor-state"
ORDERS = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/sor-orders"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:sor-failover"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:sor-probe"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sor-"
VAULT = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
API = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:sor/v1/"
VENUES = ("binance", "coinbase", "kraken")
SECRETS = [f"{VAULT}sor/venues/{venue}{use}-AbC123" for venue in VENUES for use in ("", "/reading")]
ORDER_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
ROLES = (
    *("RouteRole", "HealthProbeRole", "ExecuteRole", "ExecuteTaskRole"),
    *("FailoverRole", "TaskScheduleRole", "ProbeScheduleRole", "TrafficShiftRole"),
)
WRITES = "PutItem UpdateItem DeleteItem BatchWriteItem ConditionCheckItem"

Question = tuple[str, str, str] | tuple[str, str, str, str]
"""Who, what, on what, and at DynamoDB the partition key."""
Ask = Callable[[Iterable[Question]], list[bool]]


def policies(stack: Rendered) -> dict[str, list[Any]]:
    inline = {
        name: [policy["PolicyDocument"] for policy in role.get("Policies", ())]
        for name, role in stack.of_type("AWS::IAM::Role").items()
    }
    managed = stack.of_type("AWS::IAM::ManagedPolicy")
    return inline | {name: [policy["PolicyDocument"]] for name, policy in managed.items()}


@pytest.fixture(scope="module")
def ask(translated: dict[str, Any]) -> Ask:
    documents = policies(Rendered(translated, "sor"))

    def run(questions: Iterable[Question]) -> list[bool]:
        asked = [[documents[role], action, resource, list(key)] for role, action, resource, *key in questions]
        command: list[Any] = [interpreter("aws"), "-c", EVALUATE, ACCOUNT, REGION]
        done = subprocess.run(  # noqa: S603
            command, input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=60
        )
        answers: list[bool] = json.loads(done.stdout)
        assert len(answers) == len(asked)
        return answers

    return run


def db(role: str, verbs: str, table: str, *key: str) -> Iterator[Question]:
    for verb in verbs.split():
        yield (role, f"dynamodb:{verb}", table, *key)  # type: ignore[misc]


def may() -> Iterator[Question]:
    """Some of what each must be able to do: else a refusal would mean nothing."""
    for key in (
        "book#BTC/USDT",
        "decision#ab",
        "health",
        "instrument#BTC/USDT",
        "lease#book#BTC/USDT#kraken",
    ):
        yield from db("RouteRole", "BatchGetItem PutItem", STATE, key)
    yield from db("RouteRole", "DeleteItem", STATE, "lease#book#BTC/USDT#kraken")
    yield from db("RouteRole", "UpdateItem", STATE, "metrics#route#3")
    yield from db("RouteRole", "BatchGetItem", STATE, "metrics#task#3")
    yield from db("RouteRole", "GetItem BatchGetItem", ORDERS)
    yield from db("RouteRole", "Query", f"{ORDERS}/index/by_caller")
    for key in ("health", "instrument#BTC/USDT", "lease#probe"):
        yield from db("HealthProbeRole", "PutItem", STATE, key)
    yield from db("HealthProbeRole", "UpdateItem", STATE, "metrics#probe#0")
    yield ("HealthProbeRole", "sqs:SendMessage", QUEUE)
    for role in ("ExecuteRole", "ExecuteTaskRole"):
        yield from db(role, "BatchGetItem PutItem UpdateItem DeleteItem", STATE, "nonce#k")
        yield from db(role, "GetItem PutItem UpdateItem ConditionCheckItem", ORDERS)
        yield from db(role, "Query", f"{ORDERS}/index/open")
        yield (role, "states:StartExecution", MACHINE)
        for secret in SECRETS:
            yield (role, "secretsmanager:GetSecretValue", secret)
    yield ("FailoverRole", "lambda:InvokeFunction", f"{FUNCTION}ExecuteTaskFunction:live")
    for function in ("ExecuteTaskFunction", "ReconciliationFunction"):
        yield ("TaskScheduleRole", "lambda:InvokeFunction", f"{FUNCTION}{function}:live")
    yield ("ProbeScheduleRole", "sqs:SendMessage", QUEUE)
    yield ("TrafficShiftRole", "lambda:UpdateAlias", f"{FUNCTION}RouteFunction")
    yield ("TrafficShiftRole", "cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*")


def no_trading() -> Iterator[Question]:
    """What decides and what measures: by whichever way."""
    yield from db("RouteRole", f"{WRITES} PartiQLInsert PartiQLUpdate Scan", ORDERS)
    for index in ("open", "by_day"):
        yield from db("RouteRole", "Query", f"{ORDERS}/index/{index}")
    yield from db("HealthProbeRole", f"{WRITES} BatchGetItem GetItem Query Scan", ORDERS)
    for index in ("open", "by_day", "by_caller"):
        yield from db("HealthProbeRole", "Query", f"{ORDERS}/index/{index}")
    for role in ("RouteRole", "HealthProbeRole"):
        yield from db(role, f"{WRITES} BatchGetItem GetItem", STATE, "nonce#k")
        yield (role, "states:StartExecution", MACHINE)
        for function in ("ExecuteFunction", "ExecuteTaskFunction", "ReconciliationFunction"):
            yield (role, "lambda:InvokeFunction", f"{FUNCTION}{function}:live")
        for secret in SECRETS:
            yield (role, "secretsmanager:GetSecretValue", secret)
    yield from db("RouteRole", "PutItem DeleteItem", STATE, "lease#probe")
    yield from db("RouteRole", "UpdateItem", STATE, "metrics#execute#0")
    yield ("RouteRole", "sqs:SendMessage", QUEUE)
    for key in ("book#BTC/USDT", "decision#ab", "lease#book#BTC/USDT#kraken", "metrics#probe#0"):
        yield from db("HealthProbeRole", "PutItem DeleteItem", STATE, key)
    yield from db("HealthProbeRole", "UpdateItem", STATE, "metrics#execute#0")


def no_more_than_trading() -> Iterator[Question]:
    """What trades forgets no order, looks through all of none, and reads nobody else's keys."""
    for role in ("ExecuteRole", "ExecuteTaskRole"):
        yield from db(role, "DeleteItem BatchWriteItem Scan PartiQLDelete", ORDERS)
        yield from db(role, "Query", f"{ORDERS}/index/by_caller")
        yield (role, "states:StartExecution", MACHINE.replace("sor-failover", "sor-other"))
        yield (role, "states:StopExecution", MACHINE.replace("stateMachine", "execution") + ":any")
        yield (role, "lambda:InvokeFunction", f"{FUNCTION}ExecuteTaskFunction:live")
        for name in ("sor/venues/kraken/admin-AbC123", "sor/other-AbC123", "sor-dev/venues/kraken-AbC123"):
            yield (role, "secretsmanager:GetSecretValue", VAULT + name)
        for verb in ("PutSecretValue", "DeleteSecret", "DescribeSecret"):
            yield (role, f"secretsmanager:{verb}", SECRETS[0])
    yield from db("ExecuteRole", "Query", f"{ORDERS}/index/by_day")


def no_other_function() -> Iterator[Question]:
    """What drives the task reaches its alias only; what moves aliases changes no code and calls nothing."""
    for role in ("FailoverRole", "TaskScheduleRole"):
        for function in ("ExecuteTaskFunction", "ExecuteTaskFunction:7", "ExecuteFunction:live"):
            yield (role, "lambda:InvokeFunction", FUNCTION + function)
        yield (role, "lambda:InvokeFunction", f"{FUNCTION}ReconciliationFunction")
        yield from db(role, f"{WRITES} GetItem", ORDERS)
        yield (role, "secretsmanager:GetSecretValue", SECRETS[0])
    yield ("FailoverRole", "lambda:InvokeFunction", f"{FUNCTION}ReconciliationFunction:live")
    yield ("ProbeScheduleRole", "sqs:ReceiveMessage", QUEUE)
    yield ("ProbeScheduleRole", "sqs:SendMessage", f"{QUEUE}-dead-letters")
    for verb in ("InvokeFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "AddPermission"):
        yield ("TrafficShiftRole", f"lambda:{verb}", f"{FUNCTION}ExecuteFunction")
    yield ("TrafficShiftRole", "lambda:UpdateAlias", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other")


def no_way_out() -> Iterator[Question]:
    """Nobody takes away what protects the orders, grants itself more, calls the API, or wipes its traces."""
    for role in ROLES:
        yield from db(role, "DeleteTable UpdateTable UpdateContinuousBackups UpdateTimeToLive", ORDERS)
        for action in ("iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PassRole", "sts:AssumeRole"):
            yield (role, action, f"arn:aws:iam::{ACCOUNT}:role/sor-{role}")
        yield (role, "execute-api:Invoke", f"{API}POST/api/execute")
        for verb in ("DeleteLogGroup", "DeleteLogStream", "PutRetentionPolicy"):
            yield (role, f"logs:{verb}", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/sor/sor/execute:*")


def test_each_role_may_do_its_work(ask: Ask) -> None:
    questions = list(may())
    refused = [q for q, allowed in zip(questions, ask(questions), strict=True) if not allowed]
    assert refused == []


def test_no_role_may_do_any_of_this(ask: Ask) -> None:
    questions = [*no_trading(), *no_more_than_trading(), *no_other_function(), *no_way_out()]
    assert len(questions) > 200
    granted = [q for q, allowed in zip(questions, ask(questions), strict=True) if allowed]
    assert granted == []


def test_every_role_that_the_stack_makes_is_asked(translated: dict[str, Any]) -> None:
    made = set(Rendered(translated, "sor").of_type("AWS::IAM::Role"))
    assert set(ROLES) == {q[0] for q in may()} == made - {"ApiGatewayAccountLogRole"}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_role_of_one_stack_reaches_what_another_has(translated: dict[str, Any], ask: Ask) -> None:
    other = policies(Rendered(translated, "sor-dev"))
    questions: list[Question] = []
    for role, documents in other.items():
        for document in documents:
            for statement in document["Statement"]:
                for resource in as_list(statement["Resource"]):
                    questions += [(role, action, resource) for action in as_list(statement["Action"])]
    reached = {q[1:] for q, allowed in zip(questions, ask(questions), strict=True) if allowed}
    # The two that name no resource, as AWS wants it: see the template.
    assert {(action.split(":")[0], resource) for action, resource, *_ in reached} == {
        ("logs", "*"),
        ("cloudwatch", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"),
    }


@pytest.fixture(scope="module")
def served(translated: dict[str, Any]) -> dict[tuple[str, str], bool]:
    """Every method and path that the API serves; whether it wants a signature."""
    paths = translated["Resources"]["Api"]["Properties"]["Body"]["paths"]
    return {
        (method.upper(), path): operation["security"] == [{"AWS_IAM": []}]
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def called(method: str, path: str) -> str:
    return f"{API}{method}{path.replace('{order_id}', ORDER_ID).replace('{proxy+}', 'any/thing')}"


GRANTED = {
    "ReaderPolicy": {
        ("POST", "/api/route"),
        ("GET", "/api/exchanges/status"),
        ("GET", "/api/orders"),
        ("GET", "/api/orders/{order_id}"),
        ("GET", "/api/orders/{order_id}/receipt"),
        ("GET", "/api/trading"),
        ("GET", "/metrics"),
    },
    "TraderPolicy": {("POST", "/api/execute"), ("DELETE", "/api/orders/{order_id}")},
    "OperatorPolicy": {
        ("GET", "/api/reviews"),
        ("GET", "/api/orders/{order_id}/review"),
        ("POST", "/api/orders/{order_id}/review"),
        ("PUT", "/api/trading"),
    },
}


def test_every_path_but_health_wants_a_signature(served: dict[tuple[str, str], bool]) -> None:
    assert {call for call, signed in served.items() if not signed} == {("GET", "/health")}


@pytest.mark.parametrize("policy", GRANTED)
def test_a_callers_policy_grants_its_calls_and_no_other(
    served: dict[tuple[str, str], bool], ask: Ask, policy: str
) -> None:
    answers = ask((policy, "execute-api:Invoke", called(*call)) for call in served)
    assert {call for call, allowed in zip(served, answers, strict=True) if allowed} == GRANTED[policy]


def test_every_call_that_is_served_is_granted_by_one_policy(served: dict[tuple[str, str], bool]) -> None:
    granted = [call for calls in GRANTED.values() for call in calls]
    assert len(granted) == len(set(granted))
    assert {call for call in served if call[1] != "/{proxy+}"} == {*granted, ("GET", "/health")}


def test_a_policy_grants_nothing_at_another_stage_or_api(ask: Ask) -> None:
    elsewhere = [
        API.replace("/v1/", "/v2/"),
        API.replace(":sor/", ":other/"),
        API.replace(REGION, "us-east-1"),
    ]
    questions = [
        (policy, "execute-api:Invoke", called(*call).replace(API, api))
        for api in elsewhere
        for policy, calls in GRANTED.items()
        for call in calls
    ]
    assert not any(ask(questions))


def test_a_policy_lets_its_holder_only_call(ask: Ask) -> None:
    actions = [
        "execute-api:InvalidateCache",
        "execute-api:ManageConnections",
        "apigateway:GET",
        "iam:GetRole",
    ]
    assert not any(ask((policy, a, called("POST", "/api/execute")) for policy in GRANTED for a in actions))


def test_the_policies_are_among_the_outputs(translated: dict[str, Any]) -> None:
    assert {name: translated["Outputs"][name]["Value"] for name in GRANTED} == {
        name: {"Ref": name} for name in GRANTED
    }
