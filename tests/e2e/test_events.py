"""Each event of events/, through Lambda's own runtime client and emulator, over the built layer."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from benchmarks.emulator import MACHINES, emulator_binary, runtime_path, wait_for
from benchmarks.world import free_port
from local.template import REPOSITORY, load
from local.venues import VenuesConfig
from tests.e2e.conftest import VenuesThread

EVENTS = REPOSITORY / "events"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SWITCHED_S = 1.0
"""The operator's switch takes effect within it."""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES,
    reason="Lambda's runtime interface emulator runs on Linux, x86_64 or arm64",
)


class Emulator:
    """Lambda for one function: its runtime client, on Python and the layer alone, behind the emulator."""

    def __init__(
        self,
        function: str,
        search_path: list[Path],
        environment: dict[str, str],
        log: Path,
        handler: str = "app.handler",
    ) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        command: list[str | Path] = [
            emulator_binary(),
            "--log-level",
            "error",
            "--runtime-interface-emulator-address",
            self._address,
        ]
        command += [
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            python,
            "-S",
            "-m",
            "awslambdaric",
            handler,
        ]
        task = REPOSITORY / "functions" / function
        environment = environment | {
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "60" if handler == "app.task" else "28",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "LAMBDA_TASK_ROOT": str(task),
            "_HANDLER": handler,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, [task, *search_path])),
        }
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        wait_for(self._address)

    def invoke(self, event: Any) -> Any:
        url = f"http://{self._address}/2015-03-31/functions/function/invocations"
        answer = httpx.post(url, json=event, timeout=40).json()
        assert "errorType" not in answer, f"{answer}\n{self.log.read_text()}"
        return answer

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def venues() -> Iterator[str]:
    running = VenuesThread(VenuesConfig(port=0, rate_limits=False))
    yield running.url
    running.close()


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def search_path(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The layer, then the runtime client, as they stand in Lambda; nothing else of this environment."""
    return runtime_path(tmp_path_factory.mktemp("runtime") / "path")


@pytest.fixture(scope="module")
def environment(aws: str, venues: str) -> dict[str, str]:
    """What the template gives the functions, with this test's addresses."""
    template = load()
    session = boto3.Session("test", "test", region_name="us-east-1")
    wanted = {"BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"}
    for name, table_name in (("StateTable", "sor-state"), ("OrdersTable", "sor-orders")):
        table = template["Resources"][name]["Properties"]
        session.client("dynamodb", endpoint_url=aws).create_table(
            TableName=table_name, **{key: table[key] for key in wanted & table.keys()}
        )
    for use, suffix in (("trading", ""), ("reading", "/reading")):
        for venue, key in httpx.get(f"{venues}/sim/credentials?key={use}", timeout=10).json().items():
            session.client("secretsmanager", endpoint_url=aws).create_secret(
                Name=f"sor/venues/{venue}{suffix}", SecretString=json.dumps(key)
            )
    queue = session.client("sqs", endpoint_url=aws).create_queue(QueueName="sor-probe")["QueueUrl"]
    parameters = template["Parameters"]
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    defaults = {
        v: str(parameters[r["Ref"]]["Default"]) for v, r in variables.items() if r.get("Ref") in parameters
    }
    addresses = {"AWS_ENDPOINT_URL": aws, "EXCHANGE_GATEWAY_URL": venues}
    named: dict[str, str] = json.loads((EVENTS / "env.json").read_text())["Parameters"]
    return defaults | named | addresses | CREDENTIALS | {"SOR_PROBE_QUEUE_URL": queue}


@pytest.fixture(scope="module")
def route(
    search_path: list[Path], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    lambda_ = Emulator("route", search_path, environment, tmp_path_factory.mktemp("route") / "log")
    yield lambda_
    lambda_.close()


@pytest.fixture(scope="module")
def probe(
    search_path: list[Path], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    lambda_ = Emulator("health_probe", search_path, environment, tmp_path_factory.mktemp("probe") / "log")
    yield lambda_
    lambda_.close()


@pytest.fixture(scope="module")
def execute(
    search_path: list[Path], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    lambda_ = Emulator("execute", search_path, environment, tmp_path_factory.mktemp("execute") / "log")
    yield lambda_
    lambda_.close()


@pytest.fixture(scope="module")
def task(
    search_path: list[Path], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    log = tmp_path_factory.mktemp("task") / "log"
    # One symbol: Kraken counts the questions of a reconciliation, and four take half a minute.
    lambda_ = Emulator("execute", search_path, environment | {"SOR_SYMBOLS": "BTC/USDT"}, log, "app.task")
    yield lambda_
    lambda_.close()


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def call(lambda_: Emulator, name: str) -> tuple[int, Any]:
    answer = lambda_.invoke(event(name))
    return answer["statusCode"], json.loads(answer["body"], parse_float=Decimal)


def test_each_event_has_its_test() -> None:
    tested = {name for name in globals() if name.startswith("test_")}
    names = {path.stem for path in EVENTS.glob("*.json")} - {"env"}
    assert {name for name in names if f"test_{name}" not in tested} == set()


def test_route_best_execution_buy(route: Emulator) -> None:
    status, answer = call(route, "route_best_execution_buy")
    assert status == 200
    assert answer["strategy"] == "best_execution"
    assert answer["selected_exchange"] in {"binance", "coinbase", "kraken"}
    assert sum(leg["amount"] for leg in answer["allocations"]) == Decimal("0.5")
    assert {book["venue"] for book in answer["books"]} == {"binance", "coinbase", "kraken"}
    assert 0 <= answer["confidence"] <= 1
    assert answer["arrival_mid"] > 0


def test_route_limit_sell(route: Emulator) -> None:
    status, answer = call(route, "route_limit_sell")
    assert status == 200
    assert sum(leg["amount"] for leg in answer["allocations"]) == Decimal("2.5")
    assert all(leg["limit_price"] >= 1 for leg in answer["allocations"])


def test_route_quote_amount(route: Emulator) -> None:
    status, answer = call(route, "route_quote_amount")
    assert status == 200
    spent = sum(leg["amount"] * leg["expected_price"] for leg in answer["allocations"])
    assert Decimal(9900) < spent <= Decimal(10000)
    assert "kraken" not in {leg["venue"] for leg in answer["allocations"]}
    assert len(answer["allocations"]) <= 2


def test_route_bad_amount(route: Emulator) -> None:
    status, problem = call(route, "route_bad_amount")
    assert status == 422
    assert problem["status"] == 422
    assert "amount" in json.dumps(problem, default=str)


def test_route_unknown_symbol(route: Emulator) -> None:
    status, problem = call(route, "route_unknown_symbol")
    assert 400 <= status < 500
    assert "symbol" in json.dumps(problem, default=str)


def test_route_no_cache(route: Emulator) -> None:
    first, second = call(route, "route_no_cache"), call(route, "route_no_cache")
    assert (first[0], second[0]) == (200, 200)
    assert (first[1]["cached"], second[1]["cached"]) == (False, False)
    assert first[1]["decision_id"] != second[1]["decision_id"]


def test_health(route: Emulator) -> None:
    status, answer = call(route, "health")
    assert (status, answer["status"]) == (200, "ok")


def test_probe_direct(probe: Emulator) -> None:
    measured = probe.invoke(event("probe_direct"))["exchanges"]
    assert set(measured) == {"binance", "coinbase", "kraken"}
    assert all(venue["is_healthy"] for venue in measured.values())


def test_exchange_status(probe: Emulator, route: Emulator) -> None:
    probe.invoke(event("probe_direct"))
    status, answer = call(route, "exchange_status")
    assert status == 200
    for venue in answer["exchanges"].values():
        assert venue["is_healthy"]
        assert venue["latency_ms"] > 0
        assert (venue["success_rate"], venue["health_score"] > Decimal("0.9")) == (1, True)


def test_probe_tick_sqs(probe: Emulator, environment: dict[str, str]) -> None:
    assert probe.invoke(event("probe_tick_sqs")) == {"batchItemFailures": []}
    session = boto3.Session("test", "test", region_name="us-east-1")
    attributes = session.client("sqs", endpoint_url=environment["AWS_ENDPOINT_URL"]).get_queue_attributes(
        QueueUrl=environment["SOR_PROBE_QUEUE_URL"], AttributeNames=["All"]
    )["Attributes"]
    waiting = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
    # One each 30 s over the minute and a little more: two or three, as the minute falls.
    assert sum(int(attributes[name]) for name in waiting) in {2, 3}


def filled_at(venues: str) -> Decimal:
    fills = httpx.get(f"{venues}/sim/fills", timeout=10).json()
    return sum((Decimal(fill["quantity"]) for fill in fills), Decimal(0))


def about(lambda_: Emulator, name: str, order_id: str) -> tuple[int, Any]:
    """Call with an event whose order is another."""
    text = (EVENTS / f"{name}.json").read_text()
    known = event(name)["pathParameters"]["order_id"]
    answer = lambda_.invoke(json.loads(text.replace(known, order_id)))
    return answer["statusCode"], json.loads(answer["body"], parse_float=Decimal)


def test_execute_market_buy(execute: Emulator, venues: str) -> None:
    before = filled_at(venues)
    (status, order), (again, same) = (call(execute, "execute_market_buy") for _ in range(2))
    assert (status, order["status"]) == (200, "filled")
    assert (order["success"], order["failover_used"]) == (True, False)
    assert order["filled_amount"] == Decimal("0.05")
    assert (again, same) == (status, order)  # one key, one order
    assert filled_at(venues) - before == Decimal("0.05")


def test_execute_dry_run(execute: Emulator, venues: str) -> None:
    before = filled_at(venues)
    status, answer = call(execute, "execute_dry_run")
    assert status == 200
    assert answer["dry_run"] is True
    assert filled_at(venues) == before


def test_execute_cancel(execute: Emulator) -> None:
    assert call(execute, "execute_cancel")[0] == 404  # the event's order exists nowhere
    _, order = call(execute, "execute_market_buy")
    status, cancelled = about(execute, "execute_cancel", order["order_id"])
    assert (status, cancelled["status"]) == (200, "filled")  # nothing was left to cancel


def test_execute_halt(execute: Emulator, route: Emulator) -> None:
    status, switch = call(execute, "execute_halt")
    assert (status, switch["mode"]) == (200, "halted")
    assert call(route, "trading")[1]["reason"] == "venues under maintenance"
    time.sleep(SWITCHED_S)
    status, problem = call(execute, "execute_dry_run")
    assert status == 409, problem
    assert call(execute, "execute_resume")[1]["mode"] == "running"


def test_execute_resume(execute: Emulator) -> None:
    call(execute, "execute_halt")
    assert call(execute, "execute_resume")[0] == 200
    time.sleep(SWITCHED_S)
    assert call(execute, "execute_dry_run")[0] == 200


def test_execute_review(execute: Emulator) -> None:
    assert call(execute, "execute_review")[0] == 404
    _, order = call(execute, "execute_market_buy")
    status, problem = about(execute, "execute_review", order["order_id"])
    assert status == 409, problem  # it needs none


def test_execute_reviews(execute: Emulator) -> None:
    call(execute, "execute_market_buy")
    assert call(execute, "execute_reviews") == (200, {"orders": [], "cursor": None})


def test_orders(execute: Emulator, route: Emulator) -> None:
    _, order = call(execute, "execute_market_buy")
    status, answer = call(route, "orders")
    assert status == 200
    assert order["order_id"] in {each["order_id"] for each in answer["orders"]}


def test_order(execute: Emulator, route: Emulator) -> None:
    assert call(route, "order")[0] == 404
    _, order = call(execute, "execute_market_buy")
    status, found = about(route, "order", order["order_id"])
    assert (status, found["status"]) == (200, "filled")


def test_order_receipt(execute: Emulator, route: Emulator) -> None:
    assert call(route, "order_receipt")[0] == 404
    _, order = call(execute, "execute_market_buy")
    assert about(route, "order_receipt", order["order_id"])[0] == 200


def test_order_review(execute: Emulator) -> None:
    assert call(execute, "order_review")[0] == 404
    _, order = call(execute, "execute_market_buy")
    status, sides = about(execute, "order_review", order["order_id"])
    assert status == 200
    assert order["order_id"] in json.dumps(sides, default=str)


def test_trading(route: Emulator) -> None:
    status, switch = call(route, "trading")
    assert (status, switch["mode"]) == (200, "running")


def test_task_reconcile(task: Emulator) -> None:
    answer = task.invoke(event("task_reconcile"))
    assert set(answer) == {"next", "wait_s", "status", "detail"}
    assert answer["next"] == "done"


def test_task_sweep(task: Emulator) -> None:
    assert set(task.invoke(event("task_sweep"))) == {"due", "followed", "started", "failed"}


def test_task_reconciliation(task: Emulator, execute: Emulator) -> None:
    call(execute, "execute_market_buy")
    report = task.invoke(event("task_reconciliation"))
    assert report["orders"] >= 1
    assert report["agrees"], report["findings"]
