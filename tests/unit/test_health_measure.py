from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sor_core.domain.health import ExchangeMetrics, SystemStatus
from sor_core.health.measure import (
    KEPT_MINUTES,
    MINUTE_MS,
    HealthRecord,
    Probe,
    believable,
    fold,
    fold_failed_order,
    probe_delays_s,
)

START_MS = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS


def probe(
    n: int = 0,
    *,
    latency_ms: float = 100.0,
    ok: int = 4,
    calls: int = 4,
    status: SystemStatus | None = SystemStatus.ONLINE,
) -> Probe:
    return Probe(START_MS + n * 30_000, (latency_ms,) * calls, ok, status, 7.0, 3.0, "")


def folded(*probes: Probe) -> HealthRecord:
    record = None
    for one in probes:
        record = fold("kraken", record, one)
    assert record is not None
    return record


def test_the_required_formula() -> None:
    metrics = ExchangeMetrics(250.0, 0.9, 5.0, 80.0, 0, is_healthy=True)

    assert metrics.health_score == pytest.approx(0.75 * 0.3 + 0.9 * 0.5 + 0.8 * 0.2)


def test_latency_beyond_a_second_scores_nothing() -> None:
    assert ExchangeMetrics(5000.0, 1.0, 5.0, 100.0, 0, is_healthy=True).health_score == pytest.approx(0.7)


def test_windows_sum_calls_and_probes() -> None:
    record = folded(probe(0), probe(1, latency_ms=300.0, ok=2))

    assert record.metrics.latency_ms == pytest.approx(200.0)
    assert record.metrics.success_rate == pytest.approx(6 / 8)
    assert record.metrics.uptime_pct == 100.0
    assert record.version == 2


def test_latency_and_success_forget_after_five_minutes_uptime_after_an_hour() -> None:
    bad = probe(0, latency_ms=900.0, ok=0)

    soon = folded(bad, probe(12, latency_ms=100.0))
    late = folded(bad, probe(2 * KEPT_MINUTES))

    assert soon.metrics.latency_ms == pytest.approx(100.0)
    assert soon.metrics.success_rate == 1.0
    assert soon.metrics.uptime_pct == 50.0
    assert late.metrics.uptime_pct == 100.0


def test_a_venue_is_out_after_three_failures_and_back_after_a_good_probe() -> None:
    good = [probe(n) for n in range(10)]
    down = [probe(10 + n, ok=1, latency_ms=100) for n in range(3)]

    assert folded(*good, *down[:2]).metrics.is_healthy
    assert not folded(*good, *down).metrics.is_healthy
    assert folded(*good, *down, probe(13)).metrics.is_healthy


@pytest.mark.parametrize(
    "status", [SystemStatus.MAINTENANCE, SystemStatus.CANCEL_ONLY, SystemStatus.POST_ONLY]
)
def test_a_venue_that_says_it_takes_no_orders_is_out_at_once(status: SystemStatus) -> None:
    record = folded(probe(0), probe(1, status=status))

    assert not record.metrics.is_healthy
    assert record.metrics.consecutive_failures == 1


def test_a_low_score_takes_a_venue_out_although_it_answers() -> None:
    assert not folded(*(probe(n, ok=2, latency_ms=1500) for n in range(4))).metrics.is_healthy


def test_old_metrics_are_not_believed() -> None:
    record = folded(probe(0))

    assert believable(record, record.measured_at_ms + 90_000, 30) == record.metrics
    assert believable(record, record.measured_at_ms + 90_001, 30) is None
    assert believable(None, 0, 30) is None


@seed(20261122)
@hypothesis_settings(max_examples=200, deadline=None)
@given(
    st.integers(10, 300),
    st.integers(0, 10_000),
    st.lists(st.integers(0, 9_000), min_size=12, max_size=12),
)
def test_probes_are_an_interval_apart_however_ticks_jitter(
    interval_s: int, minute: int, jitters_ms: list[int]
) -> None:
    ticks = [(minute + n) * MINUTE_MS + jitter for n, jitter in enumerate(jitters_ms)]

    due = {-(-tick // 1000) + delay for tick in ticks for delay in probe_delays_s(tick, interval_s)}

    assert all(b - a == interval_s for a, b in pairwise(sorted(due)))
    assert len(due) >= 12 * 60 // interval_s - 1
    assert all(0 <= delay < 900 for tick in ticks for delay in probe_delays_s(tick, interval_s))
    assert all(len(probe_delays_s(tick, interval_s)) <= 10 for tick in ticks)  # one SQS batch


@seed(20261122)
@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 3000)), min_size=1, max_size=80))
def test_metrics_stay_within_their_ranges(history: list[tuple[int, float]]) -> None:
    record = folded(*(probe(n, ok=ok, latency_ms=ms) for n, (ok, ms) in enumerate(history)))
    metrics = record.metrics

    assert 0 <= metrics.success_rate <= 1
    assert 0 <= metrics.uptime_pct <= 100
    assert 0 <= metrics.health_score <= 1
    assert len(record.buckets) <= KEPT_MINUTES


def test_a_failed_order_counts_against_the_venue_and_not_against_its_uptime() -> None:
    well = fold("kraken", None, probe())
    worse = well
    for _ in range(4):
        worse = fold_failed_order(worse, worse.measured_at_ms + 1000)
    assert worse.metrics.success_rate < well.metrics.success_rate
    assert worse.metrics.health_score < well.metrics.health_score
    assert worse.metrics.uptime_pct == well.metrics.uptime_pct
    assert worse.metrics.latency_ms == pytest.approx(well.metrics.latency_ms)
    assert worse.version == well.version + 4
