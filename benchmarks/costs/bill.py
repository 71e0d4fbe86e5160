"""What counted calls cost: prices times counts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.costs import prices
from benchmarks.costs.capacity import INDEXES
from benchmarks.costs.house import Counted
from local.template import load

MILLION = 1_000_000
MINUTES_A_MONTH = prices.HOURS_A_MONTH * 60
MEMORY_GB: Mapping[str, float] = {"route": 1.0, "execute": 1.0, "execute task": 1.0, "health_probe": 0.5}
"""MemorySize in template.yaml, which a test holds this to."""
VENUE_REQUEST_BYTES = 1000
"""Taken for a request to a venue, its share of TLS included."""
EMPTY_POLLS_A_MINUTE = 15
"""Five pollers that wait 20 s each (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS")."""
POLL_S = 0.15
"""How often a handler reads an order that it waits for (services/follow.py): one read unit each."""
BILLED_MS: Mapping[str, float] = {
    "tick": 50,
    "probe": 500,
    "sweep": 50,
    "route, decided before by this process": 10,
    "route, decided before by another": 20,
    "route, new order on cached books": 30,
    "route, books too old": 150,
    "route, no-cache": 150,
    "execute": 400,
    "execute, asked again with its key": 20,
    "execute, with the sum of health": 400,
    "execute, turned away by its venue": 300,
    "execute, answer lost, never placed": 300,
    "execute, answer lost, placed": 300,
    "execute, two venues": 500,
}
"""Taken for each invocation, for venues that answer within 60 to 120 ms: not measured in AWS."""
PER_REQUEST = ("API", "Lambda", "reads", "writes", "logs", "machine", "secrets", "out")


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars for a million of a scene, by what they are for."""

    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """All together."""
        return sum(self.parts.values())

    @property
    def without_api(self) -> float:
        """What is ours, without the request to the API."""
        return self.total - self.parts["API"]


def bill(name: str, counted: Counted) -> Bill:
    """What a million of a scene cost."""
    seconds = BILLED_MS[name] / 1000
    gb_s = sum(MEMORY_GB[function] * seconds * n for function, n in counted.invocations.items())
    out_bytes = counted.answer_bytes + counted.venue_requests * VENUE_REQUEST_BYTES
    parts = {
        "API": prices.API_REQUEST.of(MILLION) if counted.answer_bytes else 0.0,
        "Lambda": prices.LAMBDA_REQUEST.of(MILLION * counted.invocations.total())
        + prices.LAMBDA_GB_S.of(MILLION * gb_s),
        "reads": prices.READ_UNIT.of(MILLION * counted.read_units),
        "writes": prices.WRITE_UNIT.of(MILLION * counted.write_units),
        "logs": prices.LOG_GB.of(MILLION * (counted.log_bytes + access_log_bytes(counted)) / prices.GB),
        "machine": prices.TRANSITION.of(MILLION * counted.transitions),
        "secrets": prices.SECRET_CALL.of(
            MILLION * sum(n for call, n in counted.calls.items() if call.startswith("secretsmanager "))
        ),
        "out": prices.OUT_GB.of(MILLION * out_bytes / prices.GB),
    }
    return Bill(parts)


def access_log_bytes(counted: Counted) -> int:
    """The API's own line for a request: its format in template.yaml, each variable taken for 24 bytes."""
    if not counted.answer_bytes:
        return 0
    format_: str = load()["Resources"]["Api"]["Properties"]["AccessLogSetting"]["Format"]
    return len(re.sub(r"\$[a-zA-Z.]+", "x" * 24, format_))


def mixed(fresh: Bill, cached: Bill, *, rate: float, lifetime_s: float) -> float:
    """Dollars for a million routes of one symbol at so many a second: one refresh a lifetime at most."""
    share = min(1.0, 1 / (rate * lifetime_s))
    return share * fresh.total + (1 - share) * cached.total


def waiting(seconds: float) -> float:
    """Dollars for a million callers who wait so long for an order that the machine follows."""
    reads = seconds / POLL_S
    return prices.LAMBDA_GB_S.of(MILLION * MEMORY_GB["execute"] * seconds) + prices.READ_UNIT.of(
        MILLION * reads
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a month's bill."""

    what: str
    count: str
    dollars: float


def month(scenes: Mapping[str, Counted]) -> Sequence[Line]:
    """What a stack costs in a month in which nobody asks anything."""
    played = (("tick", 1), ("probe", 2), ("sweep", 1))
    parts: dict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for name, a_minute in played:
        times = a_minute * MINUTES_A_MONTH
        for part, dollars in bill(name, scenes[name]).parts.items():
            parts[part] += dollars * times / MILLION
        calls.update({call: n * times for call, n in scenes[name].calls.items()})
    ticks, messages = MINUTES_A_MONTH, 3 * MINUTES_A_MONTH
    requests = ticks + calls["sqs SendMessageBatch"] + 2 * messages + EMPTY_POLLS_A_MINUTE * MINUTES_A_MONTH
    metrics = len(set().union(*(scenes[name].metrics for name, _ in played)))
    log_gb = sum(scenes[name].log_bytes * n * MINUTES_A_MONTH for name, n in played) / prices.GB
    alarms, watched = _alarms()
    return (
        Line("custom metrics of probes and sweeps", str(metrics), prices.METRIC_MONTH.of(metrics)),
        Line("secrets", "6", prices.SECRET_MONTH.of(6)),
        Line("dashboard", "1", prices.DASHBOARD_MONTH.of(1)),
        Line("alarms, by the metrics in them", f"{alarms}, {watched}", prices.ALARM_MONTH.of(watched)),
        Line("Lambda: ticks, probes, sweeps", f"{4 * MINUTES_A_MONTH:,} invocations", parts["Lambda"]),
        Line("DynamoDB reads of these", "", parts["reads"]),
        Line("DynamoDB writes of these", "", parts["writes"]),
        Line("logs of these taken in", f"{log_gb:.2f} GB", parts["logs"]),
        Line("logs kept 30 days", f"{log_gb:.2f} GB before compression", prices.LOG_GB_MONTH.of(log_gb)),
        Line(
            "SQS, most of it polls of an empty queue",
            f"{requests:,} requests",
            prices.SQS_REQUEST.of(requests),
        ),
        Line("EventBridge Scheduler", f"{2 * MINUTES_A_MONTH:,}", prices.SCHEDULED.of(2 * MINUTES_A_MONTH)),
        Line("requests of probes out to the venues", "", parts["out"]),
    )


def _alarms() -> tuple[int, int]:
    """How many alarms there are, and how many metrics they watch, which is what is paid."""
    found = [
        resource["Properties"]
        for resource in load()["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    watched = sum(
        sum("MetricStat" in each for each in alarm["Metrics"]) if "Metrics" in alarm else 1 for alarm in found
    )
    return len(found), watched


ITEM_OVERHEAD_BYTES = 100
"""Of each item and each entry of an index (Amazon DynamoDB pricing, data storage)."""


def stored_bytes(counted: Counted) -> int:
    """What an ended order leaves in its table: itself, its key, its receipt, two entries in indexes."""
    kinds = {each.what: each.item_bytes for each in counted.units if each.write}
    items = [kinds[kind] for kind in ("order", "key", "receipt")]
    entries = [200] * (len(INDEXES) - 1)
    return sum(each + ITEM_OVERHEAD_BYTES for each in (*items, *entries))
