"""The page that Prometheus reads."""

from __future__ import annotations

import re

import pytest

from sor_core.api.prometheus import page
from sor_core.domain.health import SystemStatus
from sor_core.health.measure import HealthRecord, Probe, fold
from sor_core.metrics import METRICS, Kind, Series
from sor_core.services.metering import Distribution, Totals

NOW_MS = 1_800_000_000_000
VENUES = ("binance", "kraken")
LINE = re.compile(r"([a-z_]+)(\{(?:[a-z_]+=\"[^\"\\\n]*\",?)+\})? (-?[0-9.e+-]+)")


def health(venue: str = "kraken", *, at_ms: int = NOW_MS) -> HealthRecord:
    return fold(venue, None, Probe(at_ms, (100.0, 300.0), 2, SystemStatus.ONLINE, 8.0, 1.5, ""))


def samples(totals: Totals, *records: HealthRecord) -> dict[str, float]:
    text = page(totals, VENUES, {r.venue: r for r in records}, NOW_MS, 30)
    assert text.endswith("\n")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            assert line.rpartition(" ")[0] not in found
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def test_before_anything_happened_counters_stand_at_zero_and_gauges_are_missing() -> None:
    found = samples(Totals())
    assert found['routing_decisions_total{exchange="kraken",reason="best_price"}'] == 0
    assert found['execution_latency_seconds_bucket{exchange="kraken",le="+Inf"}'] == 0
    assert found['failover_events_total{from_exchange="kraken",to_exchange="binance"}'] == 0
    assert 'failover_events_total{from_exchange="kraken",to_exchange="kraken"}' not in found
    gauges = {name for name, metric in METRICS.items() if metric.kind is Kind.GAUGE}
    told = {name.partition("{")[0] for name in found} & gauges
    assert told == {"exchanges_healthy"}
    assert not [name for name in found if "coinbase" in name]  # not configured


def test_every_metric_is_described_before_its_samples() -> None:
    lines = page(Totals(), VENUES, {}, NOW_MS, 30).splitlines()
    for metric in METRICS.values():
        at = lines.index(f"# TYPE {metric.name} {metric.kind}")
        assert lines[at - 1] == f"# HELP {metric.name} {metric.help}"


def test_buckets_are_cumulative() -> None:
    metric = METRICS["routing_decision_seconds"]
    counts = [0.0] * (len(metric.buckets) + 1)
    counts[0], counts[3], counts[-1] = 1.0, 2.0, 4.0
    found = samples(Totals(distributions={(metric.name, ()): Distribution(tuple(counts), 33.5)}))
    assert found['routing_decision_seconds_bucket{le="0.001"}'] == 1
    assert found['routing_decision_seconds_bucket{le="0.01"}'] == 3
    assert found['routing_decision_seconds_bucket{le="5"}'] == 3
    assert found['routing_decision_seconds_bucket{le="+Inf"}'] == found["routing_decision_seconds_count"] == 7
    assert found["routing_decision_seconds_sum"] == 33.5


def test_the_hit_rate_follows_from_counters() -> None:
    counts: dict[Series, float] = {
        ("routing_cache_lookups_total", ("hit",)): 30.0,
        ("routing_cache_lookups_total", ("miss",)): 10.0,
    }
    found = samples(Totals(counts=counts))
    assert found["routing_cache_hit_rate"] == 0.75


def test_how_many_orders_need_review_is_what_the_last_sweep_counted() -> None:
    counts: dict[Series, float] = {("orders_total", ("needs_review",)): 3.0}
    levels: dict[Series, float] = {("orders_needing_review", ()): 2.0}
    assert samples(Totals(counts=counts, levels=levels))["orders_needing_review"] == 2


def test_the_venues_health_is_as_stored_and_left_out_once_it_is_old() -> None:
    fresh, old = health(), health("binance", at_ms=NOW_MS - 91_000)
    found = samples(Totals(), fresh, old)
    assert found['exchange_health_score{exchange="kraken"}'] == pytest.approx(fresh.metrics.health_score)
    assert found['exchange_latency_ms{exchange="kraken"}'] == 200
    assert found['exchange_success_rate{exchange="kraken"}'] == 1
    assert 'exchange_health_score{exchange="binance"}' not in found
    assert found['exchange_measured_timestamp_seconds{exchange="binance"}'] == NOW_MS / 1000 - 91
    assert found["exchanges_healthy"] == 1


def test_a_value_keeps_its_digits() -> None:
    counts: dict[Series, float] = {("orders_total", ("filled",)): 123_456_789_012.0}
    assert 'orders_total{status="filled"} 123456789012' in page(Totals(counts=counts), VENUES, {}, NOW_MS, 30)
