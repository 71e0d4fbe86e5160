"""Measurements of a venue, folded into the required metrics and its two breakers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean

from sor_core.domain.health import ExchangeMetrics, SystemStatus
from sor_core.health import breaker as breakers
from sor_core.health.breaker import Breaker, BreakerPolicy, BreakerState, Evidence
from sor_core.health.calls import Tally
from sor_core.health.windows import MINUTE_MS, Bucket, Window, added, last_day, last_hour, recent

TICK_JITTER_S = 10
"""How late the scheduler's tick may come without a probe being missed."""
LEAST_HEALTH_SCORE = 0.5
"""Below this score a venue is taken out although it answers."""
_DEFAULT = BreakerPolicy()


@dataclass(frozen=True, slots=True)
class SymbolDepth:
    """What stands round a book's own mid, in the quote asset, each unit of base valued at the mid."""

    symbol: str
    bid_10_bps: float
    """Within 10 bps of the mid."""
    ask_10_bps: float
    bid_50_bps: float
    """Within 50 bps of the mid."""
    ask_50_bps: float


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
    round_trip_ms: float | None = None
    """Median of the calls answered; None where none was."""
    depths: tuple[SymbolDepth, ...] = ()
    """Of the symbols whose book came."""
    reached: bool = True
    """Whether anything at all came back."""

    @property
    def up(self) -> bool:
        """Whether the venue was found trading: it says so, and at least half of it answered."""
        return self.status is SystemStatus.ONLINE and self.ok * 2 >= len(self.latencies_ms)

    @property
    def health_score(self) -> float:
        """The required score of this probe alone."""
        calls = len(self.latencies_ms)
        success_rate = self.ok / calls if calls else 0.0
        latency_ms = fmean(self.latencies_ms) if calls else 0.0
        alone = ExchangeMetrics(latency_ms, success_rate, 0.0, 100.0 * self.up, 0, is_healthy=self.up)
        return alone.health_score


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """A venue's health as stored: the sums, what they come to, and its breakers."""

    venue: str
    metrics: ExchangeMetrics
    buckets: tuple[Bucket, ...]
    """Of the last hour by the minute, oldest first."""
    measured_at_ms: int
    """When it was last probed."""
    status: SystemStatus | None
    clock_offset_ms: float | None
    failure: str
    version: int
    """Grows by one with each fold, so that two writers at once cannot lose each other's sums."""
    hours: tuple[Bucket, ...] = ()
    """Of the last day by the hour, oldest first."""
    round_trip_ms: float | None = None
    depths: tuple[SymbolDepth, ...] = ()
    market_data: Breaker = field(default_factory=Breaker)
    """Whether routes and orders may use it. Not closed, it is out: probes find out when it is back."""
    trading: Breaker = field(default_factory=Breaker)
    """Whether orders may be sent to it. Half-open, it is in: the next order finds out."""

    def windows(self, now_ms: int) -> Mapping[str, Window]:
        """What the last 5 minutes, hour and day come to."""
        minute = now_ms // MINUTE_MS
        return {
            "5m": recent(self.buckets, minute),
            "1h": last_hour(self.buckets, minute),
            "1d": last_day(self.hours, minute),
        }


def fold(
    venue: str, previous: HealthRecord | None, probe: Probe, policy: BreakerPolicy = _DEFAULT
) -> HealthRecord:
    """Add a probe to what is known of a venue."""
    known = previous or _blank(venue, probe.at_ms)
    calls = len(probe.latencies_ms)
    sums = Bucket(
        probe.at_ms // MINUTE_MS, calls, probe.ok, sum(probe.latencies_ms), probes=1, up=int(probe.up)
    )
    minutes, hours = added(known.buckets, known.hours, sums)
    liquidity = known.metrics.liquidity_score if probe.liquidity_score is None else probe.liquidity_score
    known_failures = known.metrics.consecutive_failures
    counted = replace(
        known.metrics,
        liquidity_score=liquidity,
        consecutive_failures=0 if probe.up else known_failures + 1,
    )
    measured = _measured(counted, minutes, probe.at_ms)
    market_data = _judged(known.market_data, probe, measured.health_score, policy)
    return replace(
        known,
        metrics=replace(measured, is_healthy=market_data.state is BreakerState.CLOSED),
        buckets=minutes,
        hours=hours,
        measured_at_ms=probe.at_ms,
        status=probe.status,
        clock_offset_ms=probe.clock_offset_ms,
        failure=probe.failure,
        round_trip_ms=probe.round_trip_ms,
        depths=probe.depths or known.depths,
        market_data=market_data,
        version=known.version + 1,
    )


def fold_calls(
    previous: HealthRecord, calls: Mapping[Evidence, Tally], at_ms: int, policy: BreakerPolicy = _DEFAULT
) -> HealthRecord:
    """Add what routes and orders met with.

    Books that do not come bring the market data breaker to the brink, and the next probe decides: a
    symbol that a venue cannot serve takes no venue out. Of the trading breaker orders and questions
    about the account decide, each for itself, for no probe has a key.
    """
    books = calls.get(Evidence.BOOK, Tally())
    sums = Bucket(
        at_ms // MINUTE_MS,
        sum(t.calls for t in calls.values()),
        sum(t.ok for t in calls.values()),
        sum(t.latency_sum_ms for t in calls.values()),
        asked=books.calls,
        answered=books.ok,
    )
    minutes, hours = added(previous.buckets, previous.hours, sums)
    market_data, trading = previous.market_data, previous.trading
    if books.calls and not books.ok:
        market_data = breakers.suspected(market_data, Evidence.PROBE, books.failed_in_a_row, policy)
    for evidence in (Evidence.ACCOUNT, Evidence.ORDER):
        trading = _counted(trading, evidence, calls.get(evidence, Tally()), at_ms, policy)
    return replace(
        previous,
        metrics=_measured(previous.metrics, minutes, at_ms),
        buckets=minutes,
        hours=hours,
        market_data=market_data,
        trading=trading,
        version=previous.version + 1,
    )


def _blank(venue: str, at_ms: int) -> HealthRecord:
    nothing = ExchangeMetrics(0.0, 0.0, 0.0, 0.0, 0, is_healthy=False)
    closed = Breaker(since_ms=at_ms)
    return HealthRecord(
        venue, nothing, (), at_ms, None, None, "", version=0, market_data=closed, trading=closed
    )


def _measured(known: ExchangeMetrics, minutes: tuple[Bucket, ...], at_ms: int) -> ExchangeMetrics:
    minute = at_ms // MINUTE_MS
    window = recent(minutes, minute)
    return replace(
        known,
        latency_ms=window.latency_ms,
        success_rate=window.success_rate,
        uptime_pct=last_hour(minutes, minute).uptime_pct,
    )


def _judged(breaker: Breaker, probe: Probe, health_score: float, policy: BreakerPolicy) -> Breaker:
    """What a probe does to the market data breaker."""
    now_ms = probe.at_ms
    if probe.status not in {None, SystemStatus.ONLINE}:
        # Its own word needs no second one.
        return breakers.tripped(breaker, Evidence.PROBE, now_ms, f"it says {probe.status}", policy)
    if max(probe.health_score, health_score) < LEAST_HEALTH_SCORE:
        # The window alone would hold a venue's past against it after it is back.
        why = f"health score {health_score:.2f}, at least {LEAST_HEALTH_SCORE:g}"
        return breakers.tripped(breaker, Evidence.PROBE, now_ms, why, policy)
    if probe.up and probe.health_score >= LEAST_HEALTH_SCORE:
        return breakers.succeeded(breaker, Evidence.PROBE, now_ms, policy)
    why = f"probes failed in a row, the last with {probe.failure or 'a low score'}"
    return breakers.failed(breaker, Evidence.PROBE, now_ms, why, policy)


def _counted(
    breaker: Breaker, evidence: Evidence, tally: Tally, now_ms: int, policy: BreakerPolicy
) -> Breaker:
    if tally.ok:
        good = 1 if tally.failed_in_a_row else tally.ok
        breaker = breakers.succeeded(breaker, evidence, now_ms, policy, good)
    if tally.failed_in_a_row:
        asked = "orders" if evidence is Evidence.ORDER else "questions about the account"
        why = f"{asked} failed in a row, the last with {tally.failure}"
        breaker = breakers.failed(breaker, evidence, now_ms, why, policy, tally.failed_in_a_row)
    return breaker


# Reading ---------------------------------------------------------------------------------------------


def believable(record: HealthRecord | None, now_ms: int, interval_s: int) -> ExchangeMetrics | None:
    """The metrics, unless they are older than three probes: then nothing is known."""
    if record is None or now_ms - record.measured_at_ms > 3 * interval_s * 1000:
        return None
    return record.metrics


def why_not_routed(record: HealthRecord | None, now_ms: int, interval_s: int) -> str | None:
    """Why routes and orders leave a venue out, one line for people; None where they do not."""
    if record is None or believable(record, now_ms, interval_s) is None:
        return None
    breaker = record.market_data.at(now_ms)
    return None if breaker.state is BreakerState.CLOSED else _told("market data", breaker)


def why_not_traded(record: HealthRecord | None, now_ms: int) -> str | None:
    """Why no order is sent to a venue, one line for people; None where it may be."""
    if record is None:
        return None
    breaker = record.trading.at(now_ms)
    return _told("trading", breaker) if breaker.state is BreakerState.OPEN else None


def _told(name: str, breaker: Breaker) -> str:
    since = datetime.fromtimestamp(breaker.since_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{name} breaker {breaker.state} since {since}: {breaker.why}"


def probe_delays_s(tick_at_ms: int, interval_s: int) -> list[int]:
    """When, in seconds after a minute's tick, probes are due: every multiple of the interval.

    The scheduler's finest rate is a minute. Each tick schedules the minute after it and a little
    more, on a grid of Unix time that ticks do not shift, so that one that comes late leaves no gap;
    what two ticks both schedule is found out when it is due.
    """
    now_s = -(-tick_at_ms // 1000)
    first = -(-now_s // interval_s) * interval_s
    return [at - now_s for at in range(first, now_s + 60 + TICK_JITTER_S, interval_s)]
