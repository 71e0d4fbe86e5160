"""A breaker with hysteresis: takes a venue out and lets it back in. Pure.

::

              N failures in a row, or `trip`
      CLOSED ------------------------------> OPEN <-----.
        ^                                     |         | one failure
        |                                     | after   |
        |   G good ones in a row,             | a time  |
        |   counted since it opened           v         |
        '-------------------------------- HALF_OPEN ----'

Out takes N in a row and in takes G in a row, so a venue that fails every other time never gets
back and forth: if it is out it stays out, if it is in it stays in. Failures of different evidence
are counted apart, and only what opened a breaker can close it: that balances are told does not make
up for orders that are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether a venue takes part."""

    CLOSED = "closed"
    """It does."""
    OPEN = "open"
    """It does not."""
    HALF_OPEN = "half_open"
    """It is tried: by probes, or, where no probe can, by the next order."""


class Evidence(StrEnum):
    """What speaks for or against a venue."""

    PROBE = "probe"
    BOOK = "book"
    """A book that a route or an order asked for."""
    ACCOUNT = "account"
    """A question about the account or its orders, or whether an order would be taken."""
    ORDER = "order"
    """An order sent."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """What the operator configured (see docs/configuration.md)."""

    failures: int = 3
    """In a row, until it opens."""
    open_ms: int = 30_000
    """For how long nothing is tried."""
    good_probes: int = 2
    """In a row, until it closes."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where a breaker stands."""

    state: BreakerState = BreakerState.CLOSED
    since_ms: int = 0
    """Since when it is closed, or since when it is not; 0 where nobody has looked."""
    why: str = ""
    """Why it is not closed, one line for people."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """In a row, by evidence."""
    opened_by: str = ""
    """The evidence that opened it."""
    good: int = 0
    """In a row since it opened."""
    until_ms: int = 0
    """When it becomes half-open."""

    def at(self, now_ms: int) -> Breaker:
        """As it stands at a moment: an open one becomes half-open by time alone."""
        if self.state is BreakerState.OPEN and now_ms >= self.until_ms:
            return replace(self, state=BreakerState.HALF_OPEN)
        return self


def failed(
    breaker: Breaker, evidence: Evidence, now_ms: int, why: str, policy: BreakerPolicy, count: int = 1
) -> Breaker:
    """Count failures in a row; `why` is told if they open it."""
    now = breaker.at(now_ms)
    in_a_row = now.failures.get(evidence, 0) + count
    counted = replace(now, failures={**now.failures, evidence: in_a_row})
    match now.state:
        case BreakerState.CLOSED:
            return _open(counted, evidence, now_ms, why, policy) if in_a_row >= policy.failures else counted
        case BreakerState.HALF_OPEN:
            return _open(counted, evidence, now_ms, why, policy)
        case BreakerState.OPEN:
            return replace(counted, good=0)


def tripped(breaker: Breaker, evidence: Evidence, now_ms: int, why: str, policy: BreakerPolicy) -> Breaker:
    """Open it whatever was counted."""
    return _open(breaker, evidence, now_ms, why, policy)


def suspected(breaker: Breaker, evidence: Evidence, count: int, policy: BreakerPolicy) -> Breaker:
    """Count failures of what may not open a closed breaker by itself: the next failure of `evidence` does."""
    if breaker.state is not BreakerState.CLOSED:
        return breaker
    in_a_row = breaker.failures.get(evidence, 0)
    brink = max(in_a_row, min(in_a_row + count, policy.failures - 1))
    return replace(breaker, failures={**breaker.failures, evidence: brink})


def succeeded(
    breaker: Breaker, evidence: Evidence, now_ms: int, policy: BreakerPolicy, count: int = 1
) -> Breaker:
    """Count good ones in a row. They count from the opening on, but close it only once it is half-open."""
    now = breaker.at(now_ms)
    cleared = replace(now, failures={**now.failures, evidence: 0})
    if now.state is BreakerState.CLOSED or evidence != now.opened_by:
        return cleared
    good = now.good + count
    if now.state is BreakerState.HALF_OPEN and good >= policy.good_probes:
        return Breaker(since_ms=now_ms)
    return replace(cleared, good=good)


def _open(breaker: Breaker, evidence: Evidence, now_ms: int, why: str, policy: BreakerPolicy) -> Breaker:
    was_closed = breaker.state is BreakerState.CLOSED
    return replace(
        breaker,
        state=BreakerState.OPEN,
        since_ms=now_ms if was_closed else breaker.since_ms,
        why=why,
        opened_by=evidence,
        good=0,
        until_ms=now_ms + policy.open_ms,
    )
