"""The real handlers in this process, over simulated venues and an AWS in memory that counts what it is asked.

Time is counted, too: each look at the clock takes one millisecond, so that a run is the same every time.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from benchmarks.costs.capacity import Capacity, Item, Key, Units
from local.venues import Venue, VenuesConfig
from local.venues.config import taker_rates
from local.venues.generated import GeneratedBooks
from local.venues.markets import LISTINGS
from sor_core.adapters.aws import AwsClients
from sor_core.clock import SystemClock
from sor_core.services import call_health, desk, metering, route
from tests.e2e.conftest import VenuesThread
from tests.fakes.orders_table import ORDERS_TABLE, create_orders_table
from tests.fakes.state_table import STATE_TABLE, create_state_table

ROOT = Path(__file__).parents[2]
MACHINE = json.loads((ROOT / "statemachines" / "failover.asl.json").read_text(encoding="utf-8"))
LOG = io.StringIO()
"""What the functions write: one for all houses, for a process has one logger."""
REGION, ACCOUNT = "us-east-1", "123456789012"
STARTS_AT_MS = 1_795_000_000_000
BOOKS_STEP = 6_892_645_028
"""Which of the generated books the venues show all the time."""
SEED = 20_240_808
SYMBOL = "BTC/USDT"
REQUEST_ID = "7e3c1b0a-5f0c-4d2e-9a57-0c3f1d2b4a68"
EVENT_BYTES = 26
"""Added to each line of a log (CloudWatch Logs, PutLogEvents: 26 bytes for each event)."""
_MEMORY = "Memory Size: 1024 MB\tMax Memory Used: 110 MB"
PLATFORM_LINES = (
    f"START RequestId: {REQUEST_ID} Version: 12\n",
    f"END RequestId: {REQUEST_ID}\n",
    f"REPORT RequestId: {REQUEST_ID}\tDuration: 123.45 ms\tBilled Duration: 124 ms\t{_MEMORY}\n",
)
"""What Lambda itself writes for each invocation."""
PATIENCE_S = 20.0
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_LAMBDA_FUNCTION_NAME": "sor-ExecuteTaskFunction-AbCdEfGhIjKl",
    "SOR_STATE_TABLE": STATE_TABLE,
    "SOR_ORDERS_TABLE": ORDERS_TABLE,
    "SOR_SECRETS_PREFIX": "sor/venues",
    "SOR_FAILOVER_MACHINE": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:sor-failover",
    "SOR_METRICS_NAMESPACE": "SOR/sor",
    "SOR_MAX_BOOK_AGE_MS": "600000",
    "SOR_MAX_LATENCY_MS": "10000",
    "SOR_MAX_ORDER_NOTIONAL": "10000000",
    "SOR_MAX_DAILY_NOTIONAL": "100000000",
}


class CountedClock:
    """Goes on by a millisecond each time that somebody looks, and as far as it is told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now_ms = STARTS_AT_MS

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        with self._lock:
            self._now_ms += 1
            return self._now_ms

    def monotonic_ms(self) -> float:
        """The same."""
        return float(self.now_ms())

    def advance_ms(self, by_ms: float) -> None:
        """Let so much time pass."""
        with self._lock:
            self._now_ms += round(by_ms)


@dataclass(slots=True)
class Counted:
    """What one request made the functions and AWS do."""

    units: list[Units] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    """AWS calls by service and operation."""
    invocations: Counter[str] = field(default_factory=Counter)
    log_lines: int = 0
    log_bytes: int = 0
    """With what is added to each line, and Lambda's own."""
    transitions: int = 0
    metrics: set[str] = field(default_factory=set)
    """Those in CloudWatch, with their dimensions."""
    answer_bytes: int = 0
    venue_requests: int = 0

    @property
    def read_units(self) -> float:
        """DynamoDB's."""
        return sum(each.read for each in self.units)

    @property
    def write_units(self) -> float:
        """DynamoDB's, those of indexes included."""
        return sum(each.write + each.index for each in self.units)


class _Context:
    function_name = ENVIRONMENT["AWS_LAMBDA_FUNCTION_NAME"]
    memory_limit_in_mb = 1024
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name}:live"
    aws_request_id = REQUEST_ID


class House:
    """Everything, started; `count` gives what happens within it."""

    def __init__(self, venues: VenuesThread, clock: CountedClock) -> None:
        self.venues = venues
        self.clock = clock
        self._counted = Counted()
        self._raw = boto3.Session(region_name=REGION).client("dynamodb")
        self._capacity = Capacity(self._look)
        self._modules: dict[str, ModuleType] = {}

    # What AWS is asked ----------------------------------------------------------------------------

    def _look(self, key: Key) -> Item | None:
        table, pk, sk = key
        asked = {"pk": {"S": pk}, "sk": {"S": sk}}
        item: Item | None = self._raw.get_item(TableName=table, Key=asked, ConsistentRead=True).get("Item")
        return item

    def listen(self, client: Any) -> None:
        """Count what a client of the functions' is asked."""
        client.meta.events.register("before-parameter-build", self._asked)
        client.meta.events.register("after-call", self._answered)

    def _asked(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _answered(self, model: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        service = model.service_model.service_name
        self._counted.calls[f"{service} {model.name}"] += 1
        if service == "dynamodb":
            self._counted.units += self._capacity.units(model.name, context["asked"], parsed)

    # What is asked of us --------------------------------------------------------------------------

    @contextmanager
    def count(self) -> Iterator[Counted]:
        """Count what happens within."""
        counted = self._counted = Counted()
        began, asked = LOG.tell(), self._venue_requests()
        yield counted
        self._counted = Counted()
        LOG.seek(began)
        lines = [*LOG.read().splitlines(keepends=True)]
        counted.metrics = {name for line in lines for name in _metrics(line)}
        lines += [*PLATFORM_LINES] * counted.invocations.total()
        counted.log_lines = len(lines)
        counted.log_bytes = sum(len(line.encode()) + EVENT_BYTES for line in lines)
        counted.venue_requests = self._venue_requests() - asked

    def _venue_requests(self) -> int:
        requests = self.venues.get("/sim/state")["requests"]
        return sum(sum(counts.values()) for counts in requests.values())

    def module(self, function: str, handler: str = "handler") -> ModuleType:
        """A function, imported once as Lambda does."""
        name = f"{function}.{handler}"
        if name not in self._modules:
            spec = importlib.util.spec_from_file_location(
                name.replace(".", "_"), ROOT / "functions" / function / "app.py"
            )
            assert spec is not None and spec.loader is not None  # noqa: S101, PT018
            self._modules[name] = importlib.util.module_from_spec(spec)
            with patch.dict(os.environ, {"_HANDLER": f"app.{handler}"}):
                spec.loader.exec_module(self._modules[name])
        return self._modules[name]

    def api(
        self, function: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Any:
        """Call a function as API Gateway does, and give the answer's document."""
        event = {
            "resource": path,
            "path": path,
            "httpMethod": "POST",
            "headers": dict(headers or {}),
            "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": None,
            "requestContext": {
                "requestId": REQUEST_ID,
                "resourcePath": path,
                "httpMethod": "POST",
                "identity": {"userArn": f"arn:aws:iam::{ACCOUNT}:user/trader"},
            },
            "body": json.dumps(body),
            "isBase64Encoded": False,
        }
        answer = self.invoke(function, event)
        self._counted.answer_bytes += len(answer["body"].encode())
        return json.loads(answer["body"])

    def invoke(self, function: str, event: Mapping[str, Any], handler: str = "handler") -> Any:
        """Invoke a function."""
        self._counted.invocations[function if handler == "handler" else f"{function} task"] += 1
        return getattr(self.module(function, handler), handler)(event, _Context())

    def follow(self, order_id: str, epoch: int) -> None:
        """Run the state machine for an order, its waits in no time."""
        order = {"order_id": order_id, "epoch": epoch, "correlation_id": REQUEST_ID}
        name, answer = MACHINE["StartAt"], {}
        self._counted.transitions += 1  # to the first
        while True:
            self._counted.transitions += 1
            state = MACHINE["States"][name]
            match state["Type"]:
                case "Task":
                    task = state["Parameters"]["Payload"]["task"]
                    answer = self.invoke("execute", {"task": task, **order}, "task")
                case "Wait":
                    self.clock.advance_ms(
                        1000 * (state["Seconds"] if "Seconds" in state else answer["wait_s"])
                    )
                case "Succeed":
                    return
                case _:
                    pass
            name = _chosen(state, answer) if state["Type"] == "Choice" else state["Next"]

    def close(self) -> None:
        """Close what the functions hold."""
        for name, module in self._modules.items():
            if name.startswith("execute"):
                made = module.execute_runtime if name.endswith("handler") else module.task_runtime
                made().close()
            else:
                module.runtime.close()


def _chosen(state: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Follow a Choice by the answer of the task before it."""
    chosen: str = next(
        (branch["Next"] for branch in state["Choices"] if _holds(branch, answer)), state["Default"]
    )
    return chosen


def _holds(rule: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    if "And" in rule:
        return all(_holds(each, answer) for each in rule["And"])
    if "Not" in rule:
        return not _holds(rule["Not"], answer)
    value = answer.get(rule["Variable"].removeprefix("$.step.answer."))
    if "IsPresent" in rule or "IsNumeric" in rule:
        return value is not None
    if "NumericGreaterThanEquals" in rule:
        return bool(value >= rule["NumericGreaterThanEquals"])
    return bool(value == rule["StringEquals"])


def _metrics(line: str) -> Iterator[str]:
    """The metrics that CloudWatch makes of a line: each name and set of dimensions is one."""
    told = json.loads(line) if line.startswith("{") else {}
    for directive in told.get("_aws", {}).get("CloudWatchMetrics", ()):
        labels = ",".join(
            f"{name}={told[name]}" for names in directive["Dimensions"] for name in sorted(names)
        )
        yield from (f"{metric['Name']}{{{labels}}}" for metric in directive["Metrics"])


async def _at_once(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """In place of `asyncio.to_thread`: calls are made in the order in which they were asked for."""
    return call(*args, **options)


@contextmanager
def house(**settings: str) -> Iterator[House]:
    """Start everything, with venues that show the same books all the time."""
    clock = CountedClock()
    rates = taker_rates(settings)
    venues = VenuesThread(VenuesConfig(port=0, rate_limits=False, seed=SEED, clock=clock, taker_rates=rates))
    environment = {**ENVIRONMENT, "EXCHANGE_GATEWAY_URL": venues.url, **settings}
    try:
        with (
            patch.dict(os.environ, environment),
            patch.object(sys, "stdout", LOG),
            patch.object(SystemClock, "now_ms", lambda _: clock.now_ms()),
            patch.object(SystemClock, "monotonic_ms", lambda _: clock.monotonic_ms()),
            # Neither real time nor which thread comes first counts: a busy machine changes nothing.
            patch.object(asyncio, "to_thread", _at_once),
            patch.object(metering, "FLUSH_WITHIN_S", PATIENCE_S),
            patch.object(call_health, "FLUSH_TIMEOUT_S", PATIENCE_S),
            patch.object(route, "STATE_TIMEOUT_S", PATIENCE_S),
            patch.object(desk, "STATE_TIMEOUT_S", PATIENCE_S),
            mock_aws(),
        ):
            os.environ.pop("AWS_ENDPOINT_URL", None)
            boto3.setup_default_session(region_name=REGION)
            queue_url = _made(venues)
            with patch.dict(os.environ, {"SOR_PROBE_QUEUE_URL": queue_url}):
                made, make = House(venues, clock), AwsClients.client

                def client(clients: AwsClients, service: str) -> Any:
                    listened_to = make(clients, service)
                    made.listen(listened_to)
                    return listened_to

                with patch.object(AwsClients, "client", client):
                    yield made
                    made.close()
    finally:
        boto3.DEFAULT_SESSION = None
        venues.close()


def _made(venues: VenuesThread) -> str:
    """Make tables, secrets and the queue, and place the books; gives the queue's address."""
    client = boto3.client("dynamodb")
    create_state_table(client)
    create_orders_table(client)
    manager = boto3.client("secretsmanager")
    for which, suffix in (("trading", ""), ("reading", "/reading")):
        for venue, key in venues.get(f"/sim/credentials?key={which}").items():
            manager.create_secret(Name=f"sor/venues/{venue}{suffix}", SecretString=json.dumps(key))
    for venue in Venue:
        shown = GeneratedBooks(SEED, LISTINGS[venue][SYMBOL]).snapshot(BOOKS_STEP)
        sides = {side: [[str(p), str(s)] for p, s in getattr(shown, side)] for side in ("bids", "asks")}
        venues.post("/sim/books", {"venue": venue, "symbol": SYMBOL, **sides})
    url: str = boto3.client("sqs").create_queue(QueueName="probes")["QueueUrl"]
    return url
