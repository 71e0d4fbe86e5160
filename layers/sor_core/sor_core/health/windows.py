"""Sums over minutes and hours, and what they come to over the last 5 minutes, hour and day. Pure.

An hour is kept by the minute and a day by the hour: at most 84 small sums for a venue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MINUTE_MS = 60_000
RECENT_MINUTES = 5
"""Window of latency and success rate."""
KEPT_MINUTES = 60
"""Window of uptime, and for how long sums are kept by the minute."""
KEPT_HOURS = 24
"""For how long sums are kept by the hour, the current one included."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums over one minute, or one hour."""

    minute: int
    """Unix minutes at its beginning."""
    calls: int = 0
    ok: int = 0
    latency_sum_ms: float = 0.0
    probes: int = 0
    up: int = 0
    """Probes that found the venue up."""
    asked: int = 0
    """Books that routes and orders asked for; of an hour 0, they stand in its `probes` and `up`."""
    answered: int = 0

    @property
    def looks(self) -> int:
        """How often the venue was looked at: its probes, and once more where it was asked for books."""
        return self.probes + (self.asked > 0)

    @property
    def found_up(self) -> int:
        """How many looks found it up: at least half of the books asked for came."""
        return self.up + (self.asked > 0 and self.answered * 2 >= self.asked)


@dataclass(frozen=True, slots=True)
class Window:
    """What some buckets come to."""

    calls: int
    ok: int
    latency_sum_ms: float
    looks: int
    found_up: int

    @property
    def latency_ms(self) -> float:
        """Mean round trip; 0 without a call."""
        return self.latency_sum_ms / self.calls if self.calls else 0.0

    @property
    def success_rate(self) -> float:
        """0..1; 0 without a call."""
        return self.ok / self.calls if self.calls else 0.0

    @property
    def uptime_pct(self) -> float:
        """0..100; 0 without a look."""
        return 100.0 * self.found_up / self.looks if self.looks else 0.0


def added(
    minutes: Sequence[Bucket], hours: Sequence[Bucket], more: Bucket
) -> tuple[tuple[Bucket, ...], tuple[Bucket, ...]]:
    """Add a minute's further sums to the kept minutes and hours, oldest first, and let old ones go."""
    by_minute = {b.minute: b for b in minutes if b.minute > more.minute - KEPT_MINUTES}
    before = by_minute.get(more.minute, Bucket(more.minute))
    after = by_minute[more.minute] = _plus(before, more)
    hour = more.minute // 60 * 60
    by_hour = {b.minute: b for b in hours if b.minute > hour - KEPT_HOURS * 60}
    change = Bucket(
        hour,
        more.calls,
        more.ok,
        more.latency_sum_ms,
        after.looks - before.looks,
        after.found_up - before.found_up,
    )
    by_hour[hour] = _plus(by_hour.get(hour, Bucket(hour)), change)
    return _in_order(by_minute), _in_order(by_hour)


def recent(minutes: Sequence[Bucket], now_minute: int) -> Window:
    """The last 5 minutes: the current one and the four before it."""
    return _sum([b for b in minutes if b.minute > now_minute - RECENT_MINUTES])


def last_hour(minutes: Sequence[Bucket], now_minute: int) -> Window:
    """The last 60 minutes, the current one included."""
    return _sum([b for b in minutes if b.minute > now_minute - KEPT_MINUTES])


def last_day(hours: Sequence[Bucket], now_minute: int) -> Window:
    """The current hour and the 23 before it."""
    return _sum([b for b in hours if b.minute > now_minute // 60 * 60 - KEPT_HOURS * 60])


def _plus(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(
        one.minute,
        one.calls + other.calls,
        one.ok + other.ok,
        round(one.latency_sum_ms + other.latency_sum_ms, 1),
        one.probes + other.probes,
        one.up + other.up,
        one.asked + other.asked,
        one.answered + other.answered,
    )


def _in_order(buckets: Mapping[int, Bucket]) -> tuple[Bucket, ...]:
    return tuple(buckets[minute] for minute in sorted(buckets))


def _sum(buckets: Sequence[Bucket]) -> Window:
    return Window(
        sum(b.calls for b in buckets),
        sum(b.ok for b in buckets),
        sum(b.latency_sum_ms for b in buckets),
        sum(b.looks for b in buckets),
        sum(b.found_up for b in buckets),
    )
