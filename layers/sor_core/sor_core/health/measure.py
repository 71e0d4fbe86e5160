"""Measurements of a venue, folded into the required metrics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sor_core.domain.health import ExchangeMetrics, SystemStatus

MINUTE_MS = 60_000
RECENT_MINUTES = 5
"""Window of latency and success rate."""
KEPT_MINUTES = 60
"""Window of uptime, and how much is kept."""
FAILURES_UNTIL_UNHEALTHY = 3
"""Probes in a row that must fail before a venue that was well is taken out."""
TICK_JITTER_S = 10
"""How late the scheduler's tick may come without a probe being missed."""
LEAST_HEALTH_SCORE = 0.5
"""Below this score a venue is taken out although it answers."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums over one minute."""

    minute: int
    """Unix minutes."""
    calls: int
    ok: int
    latency_sum_ms: float
    probes: int
    up: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe of a venue found."""

    at_ms: int
    latencies_ms: tuple[float, ...]
    """Round trips of all its calls; a timeout counts with the time waited."""
    ok: int
    """How many of them were answered usably."""
    status: SystemStatus | None
    """The venue's own word; None where it gave none."""
    liquidity_score: float | None
    """0..10; None where no book came."""
    clock_offset_ms: float | None
    failure: str
    """Code of the first failure, or empty."""

    @property
    def up(self) -> bool:
        """Whether the venue was found trading: it says so, and at least half of it answered."""
        return self.status is SystemStatus.ONLINE and self.ok * 2 >= len(self.latencies_ms)


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """A venue's health as stored: the minute sums, and what they come to."""

    venue: str
    metrics: ExchangeMetrics
    buckets: tuple[Bucket, ...]
    """Oldest first."""
    measured_at_ms: int
    status: SystemStatus | None
    clock_offset_ms: float | None
    failure: str
    version: int
    """Grows by one with each fold, so that two probes at once cannot lose each other's sums."""


def fold(venue: str, previous: HealthRecord | None, probe: Probe) -> HealthRecord:
    """Add a probe to what is known of a venue."""
    buckets = _add(previous.buckets if previous is not None else (), probe)
    score = probe.liquidity_score
    if score is None:
        score = previous.metrics.liquidity_score if previous is not None else 0.0
    failures = 0 if probe.up else 1 + (previous.metrics.consecutive_failures if previous is not None else 0)
    return HealthRecord(
        venue=venue,
        metrics=_metrics(buckets, probe.at_ms, score, failures, probe.status),
        buckets=buckets,
        measured_at_ms=probe.at_ms,
        status=probe.status,
        clock_offset_ms=probe.clock_offset_ms,
        failure=probe.failure,
        version=1 + (previous.version if previous is not None else 0),
    )


def fold_failed_order(previous: HealthRecord, at_ms: int) -> HealthRecord:
    """Add an order that the venue failed: a call that was not answered usably.

    It moves the success rate and so the score; whether the venue is up remains the probes' to say.
    """
    minute = at_ms // MINUTE_MS
    kept = {b.minute: b for b in previous.buckets if b.minute > minute - KEPT_MINUTES}
    bucket = kept.get(minute, Bucket(minute, 0, 0, 0.0, 0, 0))
    recent = [b for b in kept.values() if b.minute > minute - RECENT_MINUTES and b.calls]
    calls = sum(b.calls for b in recent)
    # Its own wait says more of our timeouts than of the venue: it counts with the usual latency.
    usual_ms = sum(b.latency_sum_ms for b in recent) / calls if calls else 0.0
    kept[minute] = replace(bucket, calls=bucket.calls + 1, latency_sum_ms=bucket.latency_sum_ms + usual_ms)
    buckets = tuple(kept[m] for m in sorted(kept))
    known = previous.metrics
    metrics = _metrics(buckets, at_ms, known.liquidity_score, known.consecutive_failures, previous.status)
    return replace(previous, metrics=metrics, buckets=buckets, version=previous.version + 1)


def _metrics(
    buckets: Sequence[Bucket], at_ms: int, score: float, failures: int, status: SystemStatus | None
) -> ExchangeMetrics:
    recent = [b for b in buckets if b.minute > at_ms // MINUTE_MS - RECENT_MINUTES]
    calls, probes = sum(b.calls for b in recent), sum(b.probes for b in buckets)
    measured = ExchangeMetrics(
        latency_ms=sum(b.latency_sum_ms for b in recent) / calls if calls else 0.0,
        success_rate=sum(b.ok for b in recent) / calls if calls else 0.0,
        liquidity_score=score,
        uptime_pct=100.0 * sum(b.up for b in buckets) / probes if probes else 0.0,
        consecutive_failures=failures,
        is_healthy=False,
    )
    healthy = (
        # A venue that says it does not take orders is out at once; one that failed to answer is
        # given until it fails again and again.
        status in {None, SystemStatus.ONLINE}
        and failures < FAILURES_UNTIL_UNHEALTHY
        and measured.health_score >= LEAST_HEALTH_SCORE
    )
    return replace(measured, is_healthy=healthy)


def _add(buckets: Sequence[Bucket], probe: Probe) -> tuple[Bucket, ...]:
    minute = probe.at_ms // MINUTE_MS
    kept = {b.minute: b for b in buckets if b.minute > minute - KEPT_MINUTES}
    b = kept.get(minute, Bucket(minute, 0, 0, 0.0, 0, 0))
    kept[minute] = Bucket(
        minute,
        b.calls + len(probe.latencies_ms),
        b.ok + probe.ok,
        b.latency_sum_ms + sum(probe.latencies_ms),
        b.probes + 1,
        b.up + probe.up,
    )
    return tuple(kept[m] for m in sorted(kept))


def believable(record: HealthRecord | None, now_ms: int, interval_s: int) -> ExchangeMetrics | None:
    """The metrics, unless they are older than three probes: then nothing is known."""
    if record is None or now_ms - record.measured_at_ms > 3 * interval_s * 1000:
        return None
    return record.metrics


def probe_delays_s(tick_at_ms: int, interval_s: int) -> list[int]:
    """When, in seconds after a minute's tick, probes are due: every multiple of the interval.

    The scheduler's finest rate is a minute. Each tick schedules the minute after it and a little
    more, on a grid of Unix time that ticks do not shift, so that one that comes late leaves no gap;
    what two ticks both schedule is found out when it is due.
    """
    now_s = -(-tick_at_ms // 1000)
    first = -(-now_s // interval_s) * interval_s
    return [at - now_s for at in range(first, now_s + 60 + TICK_JITTER_S, interval_s)]
