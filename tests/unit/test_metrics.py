"""What is measured: closed sets, one write an invocation, sums that add up, a bounded end."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sor_core import metrics as defined
from sor_core.adapters.dynamo_counters import DynamoCounters, decode, encode
from sor_core.adapters.emf import EmfWriter
from sor_core.adapters.venues.registry import VENUES
from sor_core.metrics import (
    EXECUTION_LATENCY_SECONDS,
    FAILOVER_EVENTS,
    METRICS,
    ORDERS,
    ORDERS_DUE,
    OTHER,
    REQUESTS,
    ROUTING_DECISION_SECONDS,
    ROUTING_DECISIONS,
    Kind,
    Outcome,
    bucket_of,
)
from sor_core.ports import StateError
from sor_core.services.metering import FLUSH_WITHIN_S, Meter, Recorded, Recorder, Totals
from tests.fakes.clock import ManualClock
from tests.fakes.state_table import STATE_TABLE, create_state_table

REQUIRED = {
    "routing_decisions_total": ("counter", ["exchange", "reason"]),
    "execution_latency_seconds": ("histogram", ["exchange"]),
    "failover_events_total": ("counter", ["from_exchange", "to_exchange"]),
    "exchange_health_score": ("gauge", ["exchange"]),
    "exchange_latency_ms": ("gauge", ["exchange"]),
    "exchange_success_rate": ("gauge", ["exchange"]),
    "best_execution_savings_bps": ("histogram", []),
    "routing_cache_hit_rate": ("gauge", []),
}
WRITE_UNIT_BYTES = 1024
MOST_WRITE_UNITS = {"route": 2, "execute": 4}
"""Of an item in which every series has been used."""
FUNCTIONS_OWN = {
    "route": ("rd", "rn", "rs", "rc", "rq|route", "rt|route", "cp|route", "mm|route"),
    "execute": ("rd", "rn", "el", "es", "bs", "fo", "or", "ov", "un", "vl", "bu", "rq|execute"),
}


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        create_state_table(client)
        yield client


def counters(client: Any, function: str = "route", shard: int = 0) -> DynamoCounters:
    return DynamoCounters(client, STATE_TABLE, function, shard, ManualClock())


def some(outcome: Outcome = Outcome.OK) -> Recorder:
    recorder = Recorder()
    recorder.count(ROUTING_DECISIONS, "kraken", "best_price")
    recorder.observe(ROUTING_DECISION_SECONDS, 0.03)
    recorder.observe(ROUTING_DECISION_SECONDS, 60)
    recorder.count(REQUESTS, "route", outcome)
    recorder.set(ORDERS_DUE, 3)
    return recorder


# Definitions -------------------------------------------------------------------------------------


def test_the_required_metrics_are_there() -> None:
    told = {name: (METRICS[name].kind, [label.name for label in METRICS[name].labels]) for name in REQUIRED}
    assert told == REQUIRED


def test_names_and_keys_are_unique_and_well_formed() -> None:
    stored = [m.key for m in METRICS.values() if m.key]
    assert len(stored) == len(set(stored))
    for metric in METRICS.values():
        assert re.fullmatch(r"[a-z][a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert metric.help.endswith(".")
        for label in metric.labels:
            assert not [v for v in label.values if "|" in v or "@" in v]


def test_the_exchanges_are_the_venues() -> None:
    assert tuple(VENUES) == defined.EXCHANGES


def test_every_metric_is_measured_somewhere() -> None:
    constants = {name for name, value in vars(defined).items() if isinstance(value, defined.Metric)}
    core = defined.__file__.rpartition("/")[0]
    said = " ".join(
        path.read_text(encoding="utf-8") for path in Path(core).rglob("*.py") if path.name != "metrics.py"
    )
    told = set(re.findall(r"\.(?:count|observe|set)\(\s*([A-Z_]+)", said))
    on_the_page = set(re.findall(r"found\[([A-Z_]+)\.name|\(([A-Z_]+)\.name, \(\)\)", said))
    assert constants == told | {name for pair in on_the_page for name in pair if name}


def test_a_value_outside_its_set_is_other_and_not_a_number_is_nothing() -> None:
    recorder = Recorder()
    recorder.count(FAILOVER_EVENTS, "mtgox", "kraken")
    recorder.count(ORDERS, "filled", by=float("nan"))
    recorder.observe(ROUTING_DECISION_SECONDS, float("inf"))
    taken = recorder.take()
    assert dict(taken.counts) == {("failover_events_total", (OTHER, "kraken")): 1}
    assert not taken.observations
    assert not recorder.take().counts


@pytest.mark.parametrize(("value", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (5, 11), (5.1, 12)])
def test_a_bound_belongs_to_its_bucket(value: float, bucket: int) -> None:
    assert bucket_of(ROUTING_DECISION_SECONDS, value) == bucket


# In the table ------------------------------------------------------------------------------------


async def test_what_concurrent_functions_write_adds_up(dynamodb: Any) -> None:
    stores = [counters(dynamodb, function, shard) for function in ("route", "execute") for shard in (0, 1, 9)]
    for store in stores:
        await store.add(some().take())
        await store.add(some(Outcome.FAILED).take())

    found = await counters(dynamodb, "probe").totals()

    assert found.counts["routing_decisions_total", ("kraken", "best_price")] == 12
    assert found.counts["requests_total", ("route", "ok")] == 6
    spread = found.distributions["routing_decision_seconds", ()]
    assert (spread.counts[5], spread.counts[-1], sum(spread.counts)) == (12, 12, 24)
    assert spread.total == pytest.approx(12 * 60.03)
    assert found.levels == {("orders_due", ()): 3}


async def test_an_invocation_is_one_write_and_an_empty_one_none(dynamodb: Any) -> None:
    calls: list[str] = []
    dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    await counters(dynamodb).add(some().take())
    await counters(dynamodb).add(Recorder().take())
    assert calls == ["UpdateItem"]


def test_a_gauge_is_as_the_youngest_write_says() -> None:
    assert decode([{"od": 7.0, "od@": 20.0}, {"od": 9.0, "od@": 10.0}]).levels == {("orders_due", ()): 7}


def test_bounds_and_metrics_of_another_version_do_no_harm() -> None:
    found = decode([{"rs|0.2": 4.0, "rs|0.25": 1.0, "rs|sum": 1.1, "zz|x": 5.0, "expires_at": 1.0}])
    assert found.counts == {}
    assert found.distributions["routing_decision_seconds", ()].counts[7] == 5  # 0.2 falls under 0.25


@pytest.mark.parametrize("function", FUNCTIONS_OWN)
def test_an_item_stays_small(function: str) -> None:
    """The size of an item is what a write of it costs (DynamoDB, "Item sizes and formats")."""
    recorded = Recorded()
    for metric in METRICS.values():
        own = [k for k in FUNCTIONS_OWN[function] if k.partition("|")[0] == metric.key]
        for labels in product(*(label.values for label in metric.labels)):
            if not own or ("|" in own[0] and labels[0] != function):
                continue
            if metric.kind is Kind.HISTOGRAM:
                recorded.observations[metric.name, labels] = [*metric.buckets, 1e9]
            elif metric.kind is Kind.COUNTER:
                recorded.counts[metric.name, labels] = 1
            else:
                recorded.levels[metric.name, labels] = 1
    added, levels = encode(recorded, 1_800_000_000_000)
    # A number takes a byte for two digits and one more: six hold ten digits.
    size = sum(len(name) + 6 for name in (*added, *levels)) + len("pk sk metrics#execute#0 -")
    assert -(-size // WRITE_UNIT_BYTES) == MOST_WRITE_UNITS[function]


async def test_a_sum_that_cannot_be_read_whole_is_not_told() -> None:
    class Half:
        def batch_get_item(self, **request: Any) -> Any:
            assert request["RequestItems"][STATE_TABLE]["ConsistentRead"]
            return {"Responses": {}, "UnprocessedKeys": request["RequestItems"]}

    with pytest.raises(StateError):
        await counters(Half()).totals()


# The end of an invocation ------------------------------------------------------------------------


class Store:
    def __init__(self, *, error: Exception | None = None, hangs: bool = False) -> None:
        self.added: list[Recorded] = []
        self.error, self.hangs = error, hangs

    async def add(self, recorded: Recorded) -> None:
        if self.hangs:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        self.added.append(recorded)

    async def totals(self) -> Totals:
        raise AssertionError


def meter(
    store: Store, recorder: Recorder, log: Log, clock: ManualClock | None = None, every_ms: int = 0
) -> Meter:
    return Meter(recorder, store, lambda _: None, "route", clock or ManualClock(), log, every_ms)


async def test_what_was_refused_is_written_with_the_next() -> None:
    store, recorder, log = Store(error=StateError("throttled")), some(), Log()
    measured = meter(store, recorder, log)
    await measured.end(measured.begin(), Outcome.OK)
    store.error = None
    recorder.count(ROUTING_DECISIONS, "kraken", "best_price")
    for _ in range(2):
        await measured.end(measured.begin(), Outcome.OK)

    first, second = store.added
    assert first.counts["routing_decisions_total", ("kraken", "best_price")] == 2
    assert first.counts["requests_total", ("route", "ok")] == 3
    assert len(first.observations["routing_decision_seconds", ()]) == 2
    assert ("routing_decisions_total", ("kraken", "best_price")) not in second.counts
    assert [event for event, _ in log.lines] == ["state store unavailable"]


async def test_a_busy_process_writes_no_more_often_than_it_should() -> None:
    store, clock = Store(), ManualClock()
    measured = meter(store, Recorder(), Log(), clock, every_ms=1000)
    for _ in range(10):
        await measured.end(measured.begin(), Outcome.OK)
    assert len(store.added) == 10

    for _ in range(8):
        clock.advance(250)
        await measured.end(measured.begin(), Outcome.OK)
    requests = ("requests_total", ("route", "ok"))
    assert [each.counts[requests] for each in store.added[10:]] == [4, 4]

    clock.advance(3_600_000)
    for _ in range(10):
        await measured.end(measured.begin(), Outcome.OK)
    assert len(store.added) == 22


async def test_a_table_that_hangs_delays_an_answer_by_a_bounded_time() -> None:
    log = Log()
    measured = meter(Store(hangs=True), some(), log)
    started_s = asyncio.get_running_loop().time()
    await measured.end(measured.begin(), Outcome.OK)
    assert asyncio.get_running_loop().time() - started_s < FLUSH_WITHIN_S + 0.2
    assert log.lines == [("state store unavailable", {"operation": "metrics", "error": "no answer in time"})]


async def test_an_invocation_tells_its_time_and_what_it_used() -> None:
    store = Store()
    measured = meter(store, Recorder(), Log())
    await measured.end(measured.begin(), Outcome.REFUSED)
    [recorded] = store.added
    assert dict(recorded.counts)["requests_total", ("route", "refused")] == 1
    assert recorded.observations["request_seconds", ("route",)] == [0.0]
    assert recorded.counts["process_cpu_seconds_total", ("route",)] >= 0
    assert 10e6 < recorded.levels["process_memory_bytes", ("route",)] < 10e9


# In the logs -------------------------------------------------------------------------------------


def test_a_line_for_each_set_of_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = some()
    recorder.observe(EXECUTION_LATENCY_SECONDS, 0.2, "kraken")
    recorder.observe(EXECUTION_LATENCY_SECONDS, 0.3, "kraken")
    EmfWriter("SOR/test").write(recorder.take())

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = {}
    for line in lines:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "SOR/test"
        [dimensions] = directive["Dimensions"]
        for metric in directive["Metrics"]:
            told[metric["Name"]] = (metric["Unit"], {d: line[d] for d in dimensions}, line[metric["Name"]])
    assert told == {
        "routing_decisions_total": ("Count", {"exchange": "kraken", "reason": "best_price"}, [1.0]),
        "routing_decision_seconds": ("Seconds", {}, [0.03, 60.0]),
        "orders_due": ("Count", {}, [3.0]),
        "execution_latency_seconds": ("Seconds", {"exchange": "kraken"}, [0.2, 0.3]),
    }
    assert len(lines) == 3


def test_without_a_namespace_no_line_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    EmfWriter("").write(some().take())
    assert capsys.readouterr().out == ""


# In the documentation ----------------------------------------------------------------------------


def test_the_documentation_lists_every_metric_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            told.append((cells[0].strip("`"), cells[1], re.findall(r"`(\w+)`", cells[2]), cells[3]))
    assert told == [(m.name, m.kind, [label.name for label in m.labels], m.help) for m in METRICS.values()]
    series = sum(
        math.prod(len(label.values) for label in m.labels) for m in METRICS.values() if m.in_cloudwatch
    )
    assert f"at most {series}, each billed" in text
