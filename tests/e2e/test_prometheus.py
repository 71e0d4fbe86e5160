"""A real Prometheus server scrapes `GET /metrics` of the handler as Lambda loads it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ops import prometheus
from sor_core.metrics import METRICS, Kind
from tests.e2e.conftest import Context, Deployed, VenuesThread, load

ORDER = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": "0.5"}
EVENT = {
    "resource": "/metrics",
    "path": "/metrics",
    "httpMethod": "GET",
    "headers": {},
    "requestContext": {"requestId": "scrape"},
    "body": None,
    "isBase64Encoded": False,
}
ABBREVIATED = "exchange_latency_ms metric names should not contain abbreviated units"
"""The one complaint, about a name that is required."""
SCRAPED_S = 20.0


@pytest.fixture
def deployed(deploy: Callable[..., Deployed], venues: VenuesThread) -> Deployed:
    return deploy(venues.url)


class Scraped:
    """The handler behind HTTP, one call at a time as in a Lambda."""

    def __init__(self) -> None:
        self._module = load("route")
        self._lock = threading.Lock()

    def page(self) -> dict[str, Any]:
        with self._lock:
            answer: dict[str, Any] = self._module.handler(EVENT, Context())
            return answer

    def close(self) -> None:
        self._module.runtime.close()


@pytest.fixture
def scraped(deployed: Deployed) -> Iterator[Scraped]:
    assert deployed.api("GET", "/health").status == 200
    made = Scraped()
    yield made
    made.close()


@pytest.fixture
def address(scraped: Scraped) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = scraped.page()
            self.send_response(answer["statusCode"])
            self.send_header("Content-Type", answer["headers"]["Content-Type"])
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


def found(name: str) -> Path:
    try:
        return prometheus.binary(name)
    except prometheus.UnavailableError as error:
        pytest.skip(str(error))


def test_promtool_accepts_the_page(deployed: Deployed, scraped: Scraped) -> None:
    promtool = found("promtool")
    deployed.probe({"kind": "probe"})
    assert deployed.api("POST", "/api/route", ORDER).status == 200

    page = scraped.page()
    checked = subprocess.run(  # noqa: S603
        [promtool, "check", "metrics"], input=page["body"], capture_output=True, text=True, check=False
    )

    assert page["headers"]["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (checked.stdout + checked.stderr).splitlines() == [ABBREVIATED]


def test_prometheus_scrapes_what_the_functions_did(deployed: Deployed, address: str, tmp_path: Path) -> None:
    found("prometheus")
    with prometheus.running(address, tmp_path) as server:
        deployed.probe({"kind": "probe"})
        for _ in range(3):
            assert deployed.api("POST", "/api/route", ORDER).status == 200
        assert deployed.api("POST", "/api/route", "{").status == 400

        def value(query: str) -> float:
            rows = server.now(query)
            return float(rows[0]["value"][1]) if rows else -1.0

        deadline = time.monotonic() + SCRAPED_S
        while time.monotonic() < deadline and value("sum(routing_decisions_total)") < 3:
            time.sleep(0.2)

        assert value("up") == 1
        assert value("sum(routing_decisions_total)") == 3
        assert value("routing_cache_hit_rate") == pytest.approx(2 / 3)
        assert value("routing_decision_seconds_count") == 3
        assert value('requests_total{function="route",outcome="refused"}') == 1
        assert value('requests_total{function="probe",outcome="ok"}') == 1
        assert value("count(exchange_health_score > 0.5)") == 3
        assert value("exchanges_healthy") == 3
        kinds = {name: told[0]["type"] for name, told in server.get("metadata", {}).items()}
        of_ours = {name: kind for name, kind in kinds.items() if name in METRICS}
        assert of_ours == {name: metric.kind for name, metric in METRICS.items()}
        names = set(server.get("label/__name__/values", {}))
        spread = {name for name, metric in METRICS.items() if metric.kind is Kind.HISTOGRAM}
        assert {f"{name}_bucket" for name in spread} <= names


def test_counters_survive_a_new_process_and_add_up(deployed: Deployed, scraped: Scraped) -> None:
    assert deployed.api("POST", "/api/route", ORDER).status == 200
    before = sample(scraped.page()["body"], "routing_cache_lookups_total")
    other = Scraped()
    again = sample(other.page()["body"], "routing_cache_lookups_total")
    other.close()
    assert sum(before.values()) == sum(again.values()) == 1


def sample(body: str, name: str) -> dict[str, float]:
    lines = [line for line in body.splitlines() if line.startswith(name)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
