"""Handlers as Lambda loads them, over simulated venues in their own thread and a DynamoDB in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import httpx
import pytest
from moto import mock_aws

from local.venues import RunningVenues, VenuesConfig, start
from tests.fakes.state_table import STATE_TABLE, create_state_table

ROOT = Path(__file__).parents[2]


class VenuesThread:
    """Simulated venues that answer while a handler runs its own event loop."""

    def __init__(self, config: VenuesConfig) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running: RunningVenues = self._await(start(config))
        self.url = self._running.url

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def post(self, path: str, body: Any = None) -> Any:
        response = httpx.post(f"{self.url}{path}", json=body, timeout=5)
        response.raise_for_status()
        return response.json()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=5).raise_for_status().json()

    def close(self) -> None:
        self._await(self._running.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def start_venues() -> Iterator[Callable[[VenuesConfig], VenuesThread]]:
    started: list[VenuesThread] = []

    def begin(config: VenuesConfig) -> VenuesThread:
        started.append(VenuesThread(config))
        return started[-1]

    yield begin
    for venues in started:
        venues.close()


@pytest.fixture
def venues(start_venues: Callable[[VenuesConfig], VenuesThread]) -> VenuesThread:
    return start_venues(VenuesConfig(port=0, rate_limits=False))


class Context:
    """What Lambda tells a handler of itself."""

    function_name = "sor"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:sor"
    aws_request_id = "7e3c1b0a"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    json: Any
    text: str


class Api:
    """Calls the route handler as API Gateway would."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        event = {
            "resource": path,
            "path": path,
            "httpMethod": method,
            "headers": dict(headers or {}),
            "multiValueHeaders": {k: [v] for k, v in (headers or {}).items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": None,
            "requestContext": {"requestId": "request-1", "resourcePath": path, "httpMethod": method},
            "body": body if body is None or isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
        }
        answer = self._module.handler(event, Context())
        sent = answer["headers"]
        return Answer(answer["statusCode"], sent, json.loads(answer["body"]), answer["body"])


@dataclass(frozen=True, slots=True)
class Deployed:
    """Both Lambdas over one table and one set of venues."""

    api: Api
    probe: Callable[[Mapping[str, Any]], Any]
    queue_url: str


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_app", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Deployed]]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "SOR_STATE_TABLE": STATE_TABLE,
        # Venues and handler share one busy interpreter here: give a cold connection its time.
        "SOR_MAX_LATENCY_MS": "5000",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        create_state_table(boto3.client("dynamodb"))
        queue_url = boto3.client("sqs").create_queue(QueueName="probes")["QueueUrl"]

        opened: list[Any] = []

        def begin(url: str, **env: str) -> Deployed:
            monkeypatch.setenv("EXCHANGE_GATEWAY_URL", url)
            monkeypatch.setenv("SOR_PROBE_QUEUE_URL", queue_url)
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            probe, route = load("health_probe"), load("route")
            opened.extend((probe.runtime, route.runtime))
            return Deployed(Api(route), lambda event: probe.handler(event, Context()), queue_url)

        yield begin
        for runtime in opened:
            runtime.close()
