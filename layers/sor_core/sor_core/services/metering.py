"""What one invocation measures: collected in memory, written once at its end, in a bounded time.

::

    services --count, observe, set--> Recorder --take, at the end--> CloudWatch (a line of the log)
                                                                '--> CounterStore (one write)

A write that was refused is added to the next one's; of one whose answer did not come in time nobody
knows whether it stands, so it is let go: counters may lose a few, and never hold up an order.
"""

from __future__ import annotations

import asyncio
import math
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sor_core.clock import Clock
from sor_core.metrics import (
    PROCESS_CPU_SECONDS,
    PROCESS_MEMORY_BYTES,
    REQUEST_SECONDS,
    REQUESTS,
    Metric,
    Outcome,
    Series,
    series_of,
)
from sor_core.observability import Log
from sor_core.ports import StateError

BURST = 10.0
"""Writes of a process that need no time between them."""
FLUSH_WITHIN_S = 0.25
"""How long the end of an invocation may wait for its counters to be written."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ru_maxrss (getrusage(2): kilobytes on Linux, bytes on macOS)."""


@dataclass(slots=True)
class Recorded:
    """What one invocation measured."""

    counts: dict[Series, float] = field(default_factory=lambda: defaultdict(float))
    observations: dict[Series, list[float]] = field(default_factory=lambda: defaultdict(list))
    levels: dict[Series, float] = field(default_factory=dict)

    def add(self, other: Recorded) -> None:
        """Take over what was recorded earlier; the levels here are younger and stay."""
        for series, count in other.counts.items():
            self.counts[series] += count
        for series, values in other.observations.items():
            self.observations[series] = [*values, *self.observations[series]]
        self.levels = {**other.levels, **self.levels}


class Recorder:
    """`Metrics` that remembers until it is taken."""

    def __init__(self) -> None:
        self._recorded = Recorded()

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        if math.isfinite(by):
            self._recorded.counts[series_of(metric, labels)] += by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add one value to a histogram."""
        if math.isfinite(value):
            self._recorded.observations[series_of(metric, labels)].append(value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        if math.isfinite(value):
            self._recorded.levels[series_of(metric, labels)] = value

    def take(self) -> Recorded:
        """Give what was recorded, and begin anew."""
        taken, self._recorded = self._recorded, Recorded()
        return taken


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's sums."""

    counts: tuple[float, ...]
    """By bucket, not cumulative; one more than the metric has bounds."""
    total: float
    """Of all values."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What all invocations of all functions came to."""

    counts: Mapping[Series, float] = field(default_factory=dict)
    distributions: Mapping[Series, Distribution] = field(default_factory=dict)
    levels: Mapping[Series, float] = field(default_factory=dict)


class CounterStore(Protocol):
    """Where sums outlive processes. Every method raises `ports.StateError` only."""

    async def add(self, recorded: Recorded) -> None:
        """Add one invocation's, in one write."""
        ...

    async def totals(self) -> Totals:
        """Read what all came to; never less than it was before."""
        ...


@dataclass(frozen=True, slots=True)
class Started:
    """Where an invocation began."""

    at_ms: float
    cpu_s: float


class Meter:
    """Measures invocations of one function, and writes what they recorded.

    Parameters
    ----------
    recorder
        What the services were given.
    store
        Sums for Prometheus.
    emit
        Writes for CloudWatch.
    function
        One of `metrics.FUNCTIONS`.
    every_ms
        The least time between two writes, in the mean, once `BURST` were made without a pause: what is
        recorded meanwhile goes with the next; what a process that is never asked again still holds is
        lost. `emit` is called at once all the same.
    """

    def __init__(
        self,
        recorder: Recorder,
        store: CounterStore,
        emit: Callable[[Recorded], None],
        function: str,
        clock: Clock,
        log: Log,
        every_ms: int = 0,
    ) -> None:
        self._recorder = recorder
        self._store = store
        self._emit = emit
        self._function = function
        self._clock = clock
        self._log = log
        self._every_ms = every_ms
        self._held = Recorded()
        """Not written yet: not due, or refused."""
        self._may_write = BURST
        self._seen_at_ms = clock.monotonic_ms()

    def begin(self) -> Started:
        """Note the beginning of an invocation."""
        return Started(self._clock.monotonic_ms(), _cpu_s())

    async def end(self, started: Started, outcome: Outcome) -> None:
        """Note its end, and write what was recorded since the last write if that is due."""
        took_s = (self._clock.monotonic_ms() - started.at_ms) / 1000
        self._recorder.observe(REQUEST_SECONDS, took_s, self._function)
        self._recorder.count(REQUESTS, self._function, outcome)
        self._recorder.count(PROCESS_CPU_SECONDS, self._function, by=max(0.0, _cpu_s() - started.cpu_s))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        self._recorder.set(PROCESS_MEMORY_BYTES, peak, self._function)
        recorded = self._recorder.take()
        self._emit(recorded)
        recorded.add(self._held)
        self._held = Recorded()
        if not self._due():
            self._held = recorded
            return
        try:
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await self._store.add(recorded)
        except TimeoutError:
            self._log.warning("state store unavailable", operation="metrics", error="no answer in time")
        except StateError as error:
            self._held = recorded
            self._log.warning("state store unavailable", operation="metrics", error=str(error))

    def _due(self) -> bool:
        """Whether a write may be made now; counts it."""
        now_ms = self._clock.monotonic_ms()
        earned = (now_ms - self._seen_at_ms) / self._every_ms if self._every_ms else BURST
        self._may_write, self._seen_at_ms = min(BURST, self._may_write + earned), now_ms
        due = self._may_write >= 1
        self._may_write -= due
        return due


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
