from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.health import ExchangeMetrics, SystemStatus
from sor_core.domain.trading import NotFoundNow, Rejected, RejectReason, Unknown, UnknownWhy
from sor_core.health.breaker import BreakerPolicy, BreakerState, Evidence
from sor_core.health.calls import LONGEST_MS, Tally, Verdict, verdict_on_error
from sor_core.health.measure import (
    HealthRecord,
    Probe,
    believable,
    fold,
    fold_calls,
    probe_delays_s,
    why_not_routed,
    why_not_traded,
)
from sor_core.health.outcomes import verdict_on_outcome
from sor_core.health.windows import KEPT_HOURS, KEPT_MINUTES, MINUTE_MS

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


def test_a_venue_is_out_after_three_failures_and_back_after_two_good_probes() -> None:
    good = [probe(n) for n in range(10)]
    down = [probe(10 + n, ok=1, latency_ms=100) for n in range(3)]

    assert folded(*good, *down[:2]).metrics.is_healthy
    out = folded(*good, *down)
    assert not out.metrics.is_healthy
    assert (out.market_data.state, out.market_data.since_ms) == (BreakerState.OPEN, down[-1].at_ms)
    assert not folded(*good, *down, probe(13)).metrics.is_healthy
    assert folded(*good, *down, probe(13), probe(14)).metrics.is_healthy


def test_after_an_hour_out_two_good_probes_bring_it_back() -> None:
    down = [probe(n, ok=0, calls=2, latency_ms=2000.0, status=None) for n in range(120)]

    record = folded(*down, probe(120), probe(121))

    assert record.metrics.health_score < 0.7
    assert record.metrics.is_healthy
    assert folded(*down, *(probe(120 + n) for n in range(20))).metrics.is_healthy


@seed(20261122)
@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10),
    st.sampled_from([(0, 2000.0), (1, 100.0), (2, 3000.0)]),
    st.sampled_from([SystemStatus.ONLINE, SystemStatus.MAINTENANCE, None]),
    st.integers(0, 1),
)
def test_a_venue_that_alternates_does_not_flap(
    well: int, bad: tuple[int, float], status: SystemStatus | None, first: int
) -> None:
    """Whatever makes every other probe a bad one: it goes out once at most, and never in and out."""
    record, healthy = None, []
    for n in range(well + 60):
        ok, latency_ms = bad
        good = n < well or n % 2 == first
        one = probe(n) if good else probe(n, ok=ok, latency_ms=latency_ms, status=status)
        record = fold("kraken", record, one)
        healthy.append(record.metrics.is_healthy)

    assert sum(a != b for a, b in pairwise(healthy)) <= 1


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


# What routes and orders met with ------------------------------------------------------------------

POLICY = BreakerPolicy()


def tally(ok: int, failed: int = 0, latency_ms: float = 100.0) -> Tally:
    """Good calls, then failed ones."""
    made = Tally()
    for n in range(ok + failed):
        made = made.plus(latency_ms, "" if n < ok else "timeout")
    return made


def test_orders_that_fail_count_against_the_venue_and_not_against_its_uptime() -> None:
    well = fold("kraken", None, probe())
    worse = fold_calls(well, {Evidence.ORDER: tally(0, 4)}, well.measured_at_ms + 1000)

    assert worse.metrics.success_rate == pytest.approx(4 / 8)
    assert worse.metrics.health_score < well.metrics.health_score
    assert worse.metrics.uptime_pct == well.metrics.uptime_pct == 100.0
    assert worse.version == well.version + 1
    assert worse.market_data.state is BreakerState.CLOSED
    assert worse.metrics.is_healthy


def test_books_that_do_not_come_count_once_a_minute_for_uptime() -> None:
    record = fold("kraken", None, probe())
    for n in range(5):
        record = fold_calls(record, {Evidence.BOOK: tally(0, 20)}, record.measured_at_ms + n)

    assert record.metrics.uptime_pct == 50.0
    day = record.windows(record.measured_at_ms)["1d"]
    assert (day.calls, day.uptime_pct) == (104, 50.0)
    record = fold_calls(record, {Evidence.BOOK: tally(100)}, record.measured_at_ms + 10)
    assert record.windows(record.measured_at_ms)["1d"].uptime_pct == 100.0


def test_books_that_do_not_come_take_nobody_out_but_the_next_bad_probe_does() -> None:
    failing = fold_calls(folded(*map(probe, range(9))), {Evidence.BOOK: tally(0, 9)}, START_MS + 250_000)

    assert failing.metrics.is_healthy
    assert not fold("kraken", failing, probe(9, ok=1)).metrics.is_healthy
    well = fold("kraken", failing, probe(9))
    assert fold("kraken", well, probe(10, ok=1)).metrics.is_healthy


def test_orders_that_are_lost_open_the_trading_breaker_only() -> None:
    record = folded(probe(0))
    for n in range(3):
        record = fold_calls(record, {Evidence.ORDER: tally(0, 1)}, START_MS + n)
    opened_ms = START_MS + 2

    assert "trading breaker open since" in str(why_not_traded(record, opened_ms))
    assert why_not_routed(record, opened_ms, 30) is None
    # The next order is its trial; one that fails opens it again, two that are taken close it.
    later_ms = opened_ms + POLICY.open_ms
    assert why_not_traded(record, later_ms) is None
    again = fold_calls(record, {Evidence.ORDER: tally(0, 1)}, later_ms)
    assert why_not_traded(again, later_ms + 1) is not None
    taken = fold_calls(record, {Evidence.ORDER: tally(2)}, later_ms)
    assert taken.trading.state is BreakerState.CLOSED


def test_a_probe_leaves_the_trading_breaker_alone() -> None:
    record = fold_calls(folded(probe(0)), {Evidence.ORDER: tally(0, 3)}, START_MS)

    assert fold("kraken", record, probe(1)).trading == record.trading


def test_what_a_tally_adds_up_to() -> None:
    assert tally(2, 3) == Tally(5, 2, 500.0, 3, "timeout")
    assert tally(0, 1, latency_ms=60_000).latency_sum_ms == LONGEST_MS
    assert tally(1, 2).then(tally(0, 3)).failed_in_a_row == 5
    assert tally(1, 2).then(tally(1, 3)).failed_in_a_row == 3
    assert tally(1, 2).then(tally(1)).failed_in_a_row == 0


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (NotFoundNow(), Verdict.ANSWERED),
        (Rejected(RejectReason.INSUFFICIENT_BALANCE, "", ""), Verdict.ANSWERED),
        (Rejected(RejectReason.FILTER_NOTIONAL, "", ""), Verdict.ANSWERED),
        (Rejected(RejectReason.OVERLOADED, "", ""), Verdict.FAILED),
        (Rejected(RejectReason.NOT_SENT, "", ""), Verdict.NOTHING),
        (Rejected(RejectReason.RATE_LIMITED, "", ""), Verdict.NOTHING),
        (Unknown(UnknownWhy.TIMEOUT, ""), Verdict.UNREACHED),
        (Unknown(UnknownWhy.SERVER_ERROR, ""), Verdict.FAILED),
        (Unknown(UnknownWhy.REFUSED, ""), Verdict.NOTHING),
    ],
)
def test_what_an_outcome_says_of_the_venue(outcome: object, verdict: Verdict) -> None:
    assert verdict_on_outcome(outcome)[0] is verdict


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (VenueFailure.TIMEOUT, Verdict.UNREACHED),
        (VenueFailure.CONNECTION, Verdict.UNREACHED),
        (VenueFailure.SERVER_ERROR, Verdict.FAILED),
        (VenueFailure.MAINTENANCE, Verdict.FAILED),
        (VenueFailure.RATE_LIMITED, Verdict.NOTHING),
        (VenueFailure.UNKNOWN_SYMBOL, Verdict.ANSWERED),
    ],
)
def test_what_an_error_says_of_the_venue(failure: VenueFailure, verdict: Verdict) -> None:
    assert verdict_on_error(VenueError("kraken", failure))[0] is verdict


# Windows ------------------------------------------------------------------------------------------


def test_success_and_uptime_over_minutes_an_hour_and_a_day() -> None:
    per_hour = 120
    record = folded(
        *(probe(n, ok=0, status=None) for n in range(10)),  # 5 min, a day ago but for an hour
        *(probe(n) for n in range(22 * per_hour, 23 * per_hour)),
        *(probe(23 * per_hour + n, ok=3) for n in range(10)),
    )
    now_ms = START_MS + 23 * per_hour * 30_000 + 9 * 30_000
    told = {name: (w.calls, w.ok) for name, w in record.windows(now_ms).items()}

    assert told["5m"] == (40, 30)
    assert told["1h"] == (4 * 120, 4 * 110 + 30)
    assert told["1d"] == (4 * 140, 4 * 120 + 30)
    assert record.windows(now_ms)["1d"].uptime_pct == pytest.approx(100 * 130 / 140)
    assert record.windows(now_ms + 86_400_000)["1d"].calls == 0


def test_what_is_stored_of_a_venue_stays_small() -> None:
    record = folded(*(probe(n, latency_ms=123.456) for n in range(3 * 24 * 120)))

    assert (len(record.buckets), len(record.hours)) == (KEPT_MINUTES, KEPT_HOURS)
    assert len(msgspec.json.encode(record)) < 12_000
