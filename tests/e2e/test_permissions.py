"""The roles of template.yaml allow all that the functions do, and the callers' policies what callers may.

The local AWS holds every call to them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from local.build import layer_archive
from local.deploy import LocalAws
from local.processes import StackError
from local.template import load
from tests.e2e.guarded import Caller, Guarded, event
from tests.e2e.test_make_run import Run, end, free_port
from tests.template.samconfig import overrides
from tests.template.test_access import GRANTED

RESOLVED_S = 90.0
UNCLEAR_S = 150.0
"""Of which SOR_REVIEW_AFTER_SECONDS is the most of it."""
FORBIDDEN = 403
NOBODYS_ORDER = "0" * 32
ORDER = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 0.005, "max_slippage_bps": 50}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")


UNHURRIED = {
    "SOR_KEY_TIERS": "kraken=pro",
    "SOR_VENUES_RATE_LIMITS": "off",
    "SOR_REVIEW_AFTER_SECONDS": "60",
}
"""Nobody waits for Kraken's smallest budget, nor a quarter of an hour for what cannot be told."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    port = free_port()
    variables = {"AUTH": "true", "SOR_AWS_PORT": str(port), **UNHURRIED}
    run = Run(tmp_path_factory.mktemp("guarded") / "out.txt", variables, ["make", "run"])
    try:
        run.wait_until_ready()
        yield Guarded(run, port)
    finally:
        end(run)


def test_the_local_aws_denies_what_no_policy_allows(stack: Guarded) -> None:
    """Else nothing here would mean anything."""
    secrets = stack.client("secretsmanager", stack.as_role_of("RouteFunction"))
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
    report = stack.invoke("ReconciliationFunction", event("task_reconciliation"))
    assert report["orders"] == 2
    assert stack.denied() == []


@pytest.mark.parametrize("function", ["RouteFunction", "HealthProbeFunction"])
def test_what_does_not_trade_cannot_touch_the_nonces(stack: Guarded, function: str) -> None:
    state = stack.client("dynamodb", stack.as_role_of(function))
    table = stack.outputs["StateTable"]
    instrument, nonce = ({"pk": {"S": pk}, "sk": {"S": "test"}} for pk in ("instrument#A/B", "nonce#key"))
    state.put_item(TableName=table, Item=instrument)
    refused: list[Callable[[], object]] = [
        lambda: state.put_item(TableName=table, Item=nonce),
        lambda: state.batch_get_item(RequestItems={table: {"Keys": [instrument, nonce]}}),
        lambda: state.update_item(TableName=table, Key=nonce, UpdateExpression="SET a = pk"),
        lambda: state.delete_item(TableName=table, Key=nonce),
    ]
    for call in refused:
        with pytest.raises(state.exceptions.ClientError, match="AccessDenied"):
            call()
    stack.client("dynamodb").delete_item(TableName=table, Key=instrument)


def path_of(path: str) -> str:
    return path.replace("{order_id}", NOBODYS_ORDER)


def test_without_a_signature_only_health_answers(stack: Guarded) -> None:
    assert httpx.get(f"{stack.api}/health", timeout=30).status_code == 200
    for method, path in sorted(call for calls in GRANTED.values() for call in calls):
        answer = httpx.request(method, stack.api + path_of(path), timeout=30)
        assert answer.status_code == FORBIDDEN, (method, path)
    assert httpx.get(f"{stack.api}/any/thing", timeout=30).status_code == FORBIDDEN


@pytest.mark.parametrize("policy", GRANTED)
def test_a_caller_may_what_its_policy_grants_and_nothing_else(stack: Guarded, policy: str) -> None:
    call = stack.caller(f"only-{policy}", policy)
    passed = set()
    for method, path in sorted(call for calls in GRANTED.values() for call in calls):
        # Nothing is done: every body lacks what is needed, every order is nobody's.
        answer = call(method, path_of(path), {} if method in {"POST", "PUT"} else None)
        assert answer.status_code < 500, (method, path, answer.text)
        if answer.status_code != FORBIDDEN:
            passed.add((method, path))
    assert passed == GRANTED[policy]


def test_a_path_that_only_looks_like_an_order_reveals_nothing(stack: Guarded) -> None:
    """32 characters with /review among them: IAM lets the reader pass; no function takes it for an order."""
    answer = stack.caller("curious", "ReaderPolicy")("GET", f"/api/orders/{'0' * 25}/review")
    assert answer.status_code in {400, 403, 404}


@pytest.fixture(scope="module")
def traders(stack: Guarded) -> tuple[Caller, Caller]:
    ann, ben = (stack.caller(name, "ReaderPolicy", "TraderPolicy") for name in ("ann", "ben"))
    return ann, ben


def test_an_order_is_its_callers_and_to_review_it_is_the_operators(
    stack: Guarded, traders: tuple[Caller, Caller]
) -> None:
    ann, ben = traders
    answer = ann("POST", "/api/execute", ORDER, {"Idempotency-Key": "one"})
    assert (answer.status_code, answer.json()["status"]) == (200, "filled"), answer.text
    order = f"/api/orders/{answer.json()['order_id']}"
    assert [o["order_id"] for o in ann("GET", "/api/orders").json()["orders"]] == [answer.json()["order_id"]]
    item = stack.client("dynamodb").get_item(
        TableName=stack.outputs["OrdersTable"],
        Key={"pk": {"S": f"order#{answer.json()['order_id']}"}, "sk": {"S": "-"}},
    )["Item"]
    assert item["caller"]["S"] == f"caller#{ann.arn}"
    for method, path in (("GET", order), ("GET", f"{order}/receipt"), ("DELETE", order)):
        assert ann(method, path).status_code == 200, (method, path)
        refused = ben(method, path)
        assert (refused.status_code, refused.json()["type"]) == (404, "urn:sor:problem:order-not-found")
    assert ben("GET", "/api/orders").json()["orders"] == []
    # The same key of another caller is another order.
    other = ben("POST", "/api/execute", ORDER, {"Idempotency-Key": "one"})
    assert other.json()["order_id"] != answer.json()["order_id"]
    operator = stack.caller("olga", "OperatorPolicy")
    assert operator("GET", f"{order}/review").json()["order"]["order_id"] == answer.json()["order_id"]
    assert ann("GET", f"{order}/review").status_code == FORBIDDEN
    assert operator("GET", order).status_code == FORBIDDEN
    assert stack.denied() == []


def test_what_nobody_can_tell_waits_for_the_operator_and_for_no_other(
    stack: Guarded, traders: tuple[Caller, Caller]
) -> None:
    ann, _ = traders
    reader, operator = stack.caller("rita", "ReaderPolicy"), stack.caller("oona", "OperatorPolicy")
    assert operator("GET", "/api/reviews").json() == {"orders": [], "cursor": None}
    lost = {"venue": "coinbase", "endpoint": "place_order", "fault": "drop", "when": "before"}
    httpx.post(f"{stack.venues}/sim/faults", json=lost, timeout=30).raise_for_status()
    order = {**ORDER, "venues": {"allow": ["coinbase"]}}
    headers = {"Idempotency-Key": "unclear", "Prefer": "wait=1"}
    asked = ann("POST", "/api/execute", order, headers).json()
    assert [o["order_id"] for o in operator("GET", "/api/reviews?status=open").json()["orders"]] == [
        asked["order_id"]
    ]
    waiting: list[dict[str, Any]] = []
    deadline = time.monotonic() + UNCLEAR_S
    while not waiting and time.monotonic() < deadline:
        time.sleep(0.5)
        waiting = operator("GET", "/api/reviews").json()["orders"]
    [shown] = waiting
    assert (shown["order_id"], shown["caller"]) == (asked["order_id"], ann.arn)
    assert [(a["number"], a["venue"], a["state"]) for a in shown["attempts"]] == [(1, "coinbase", "unknown")]
    for caller in (ann, reader):
        assert caller("GET", "/api/reviews").status_code == FORBIDDEN
    stack.invoke("ExecuteTaskFunction", event("task_sweep"))
    assert "\norders_needing_review 1\n" in reader("GET", "/metrics").text

    httpx.delete(f"{stack.venues}/sim/faults", timeout=30).raise_for_status()
    finding = {"attempt": 1, "resolution": "never_placed", "note": "not in the history"}
    settled = operator("POST", f"/api/orders/{asked['order_id']}/review", finding)
    assert (settled.status_code, settled.json()["status"]) == (200, "expired"), settled.text
    assert operator("GET", "/api/reviews").json()["orders"] == []
    stack.invoke("ExecuteTaskFunction", event("task_sweep"))
    assert "\norders_needing_review 0\n" in reader("GET", "/metrics").text
    assert stack.denied() == []


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return asyncio.run(layer_archive(tmp_path_factory.mktemp("layer") / "build.log"))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"SorRequireIdempotencyKey": "true"}, "give AlarmTopicArn"),
        ({"AlarmTopicArn": "arn:aws:sns:us-east-1:000000000000:alarms"}, "leave SorRequireIdempotencyKey"),
    ],
)
def test_production_without_what_it_needs_is_refused(
    stack: Guarded, layer: bytes, missing: dict[str, str], said: str
) -> None:
    with pytest.raises(StackError, match=said):
        LocalAws(stack.endpoint, "sor-prod").deploy(load(), layer, {"Stage": "prod", **missing})


@pytest.fixture(scope="module")
def second(stack: Guarded, layer: bytes) -> Guarded:
    """Another stack in the same account: the environment dev of samconfig.toml."""
    aws = LocalAws(stack.endpoint, "sor-dev")
    aws.deploy(load(), layer, {**overrides("dev"), "ExchangeGatewayUrl": stack.venues})
    for use, suffix in (("trading", ""), ("reading", "/reading")):
        keys: Mapping[str, Any] = httpx.get(f"{stack.venues}/sim/credentials?key={use}", timeout=30).json()
        aws.keep_secrets({f"sor-dev/venues/{venue}{suffix}": key for venue, key in keys.items()})
    return stack.beside("sor-dev")


def test_two_stacks_stand_side_by_side(
    stack: Guarded, second: Guarded, traders: tuple[Caller, Caller]
) -> None:
    assert set(stack.outputs) == set(second.outputs)
    shared = {name for name, value in stack.outputs.items() if second.outputs[name] == value}
    assert shared == set()
    ann, cid = traders[0], second.caller("cid", "ReaderPolicy", "TraderPolicy")
    assert ann.at(second.api)("GET", "/api/orders").status_code == FORBIDDEN
    assert cid.at(stack.api)("GET", "/api/orders").status_code == FORBIDDEN
    orders = {
        stack.name: ann("POST", "/api/execute", ORDER, {"Idempotency-Key": "both"}),
        second.name: cid("POST", "/api/execute", ORDER, {"Idempotency-Key": "both"}),
    }
    assert {name: answer.json()["status"] for name, answer in orders.items()} == {
        "sor": "filled",
        "sor-dev": "filled",
    }
    assert [order["order_id"] for order in cid("GET", "/api/orders").json()["orders"]] == [
        orders["sor-dev"].json()["order_id"]
    ]
    # Its own limits: dev's are a two-hundredth of the default.
    dear = cid("POST", "/api/execute", {**ORDER, "amount": 0.5}, {"Idempotency-Key": "dear"})
    assert (dear.status_code, dear.json()["type"]) == (422, "urn:sor:problem:order-notional-limit")
    # Halting one leaves the other running.
    halted = second.caller("otto", "OperatorPolicy")(
        "PUT", "/api/trading", {"mode": "halted", "reason": "a test of two stacks"}
    )
    assert halted.json()["mode"] == "halted"
    assert cid("GET", "/api/trading").json()["mode"] == "halted"
    assert ann("GET", "/api/trading").json()["mode"] == "running"
    assert stack.denied() == []
