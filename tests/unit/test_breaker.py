from __future__ import annotations

from itertools import pairwise

from hypothesis import given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sor_core.health.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    Evidence,
    failed,
    succeeded,
    suspected,
    tripped,
)

POLICY = BreakerPolicy(failures=3, open_ms=30_000, good_probes=2)
EVERY_MS = 30_000


def run(outcomes: list[bool], policy: BreakerPolicy = POLICY, every_ms: int = EVERY_MS) -> list[Breaker]:
    """The breaker after each probe."""
    breaker, seen = Breaker(), []
    for n, good in enumerate(outcomes):
        at_ms = n * every_ms
        if good:
            breaker = succeeded(breaker, Evidence.PROBE, at_ms, policy)
        else:
            breaker = failed(breaker, Evidence.PROBE, at_ms, "timeout", policy)
        seen.append(breaker)
    return seen


def crossings(seen: list[Breaker]) -> int:
    """How often it went from closed to not closed or back."""
    states = [True, *(b.state is BreakerState.CLOSED for b in seen)]
    return sum(a != b for a, b in pairwise(states))


def test_it_opens_after_failures_in_a_row_and_says_why() -> None:
    seen = run([False, True, False, False, True, False, False, False])

    assert [b.state for b in seen[:-1]] == [BreakerState.CLOSED] * 7
    assert (seen[-1].state, seen[-1].since_ms, seen[-1].why) == (BreakerState.OPEN, 7 * EVERY_MS, "timeout")


def test_it_is_half_open_after_its_time_and_closes_after_good_ones_in_a_row() -> None:
    opened = run([False] * 3)[-1]
    until_ms = 2 * EVERY_MS + POLICY.open_ms

    assert opened.at(until_ms - 1).state is BreakerState.OPEN
    assert opened.at(until_ms).state is BreakerState.HALF_OPEN
    once = succeeded(opened, Evidence.PROBE, until_ms, POLICY)
    assert once.state is BreakerState.HALF_OPEN
    twice = succeeded(once, Evidence.PROBE, until_ms + 1, POLICY)
    assert twice == Breaker(since_ms=until_ms + 1)


def test_a_good_probe_just_before_its_time_counts() -> None:
    opened = run([False] * 3)[-1]
    early = succeeded(opened, Evidence.PROBE, opened.until_ms - 1, POLICY)

    assert early.state is BreakerState.OPEN
    assert succeeded(early, Evidence.PROBE, opened.until_ms, POLICY).state is BreakerState.CLOSED


def test_no_number_of_good_probes_closes_it_before_its_time() -> None:
    breaker = run([False] * 3)[-1]
    for at_ms in range(breaker.until_ms - 10, breaker.until_ms):
        breaker = succeeded(breaker, Evidence.PROBE, at_ms, POLICY)
        assert breaker.state is BreakerState.OPEN

    assert succeeded(breaker, Evidence.PROBE, breaker.until_ms, POLICY).state is BreakerState.CLOSED


def test_one_failure_opens_a_half_open_one_again_and_keeps_since_when_it_is_out() -> None:
    opened = run([False] * 3)[-1]
    again = failed(opened, Evidence.PROBE, opened.until_ms, "refused", POLICY)

    assert (again.state, again.why) == (BreakerState.OPEN, "refused")
    assert again.since_ms == opened.since_ms
    assert again.until_ms == opened.until_ms + POLICY.open_ms


def test_only_what_opened_it_closes_it() -> None:
    breaker = Breaker()
    for n in range(3):
        breaker = succeeded(breaker, Evidence.ACCOUNT, n, POLICY)
        breaker = failed(breaker, Evidence.ORDER, n, "lost", POLICY)
    assert breaker.state is BreakerState.OPEN

    for _ in range(5):
        breaker = succeeded(breaker, Evidence.ACCOUNT, breaker.until_ms, POLICY)
    assert breaker.state is BreakerState.HALF_OPEN
    for _ in range(2):
        breaker = succeeded(breaker, Evidence.ORDER, breaker.until_ms, POLICY)
    assert breaker.state is BreakerState.CLOSED


def test_what_is_only_suspected_opens_nothing_but_the_next_failure_does() -> None:
    brink = suspected(Breaker(), Evidence.PROBE, 50, POLICY)

    assert brink.state is BreakerState.CLOSED
    assert failed(brink, Evidence.PROBE, 0, "timeout", POLICY).state is BreakerState.OPEN
    cleared = succeeded(brink, Evidence.PROBE, 0, POLICY)
    assert failed(cleared, Evidence.PROBE, 0, "timeout", POLICY).state is BreakerState.CLOSED


POLICIES = st.builds(
    BreakerPolicy,
    failures=st.integers(2, 6),
    open_ms=st.integers(1000, 300_000),
    good_probes=st.integers(2, 6),
)


@seed(20261122)
@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1),
    st.integers(1, 120),
    POLICIES,
    st.integers(1000, 300_000),
    st.sampled_from(["in", "out"]),
)
def test_a_venue_that_alternates_never_crosses_back(
    first: int, length: int, policy: BreakerPolicy, every_ms: int, begins: str
) -> None:
    """In stays in; out stays out, however long it goes on."""
    breaker, states = Breaker(), []
    if begins == "out":
        breaker = tripped(breaker, Evidence.PROBE, 0, "maintenance", policy)
    for n in range(length):
        at_ms = (n + 1) * every_ms
        if n % 2 == first:
            breaker = succeeded(breaker, Evidence.PROBE, at_ms, policy)
        else:
            breaker = failed(breaker, Evidence.PROBE, at_ms, "timeout", policy)
        states.append(breaker.state is BreakerState.CLOSED)

    assert set(states) == {begins == "in"}


@seed(20261122)
@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=150), POLICIES, st.integers(1000, 300_000))
def test_whatever_comes_it_goes_out_and_in_only_so_often(
    outcomes: list[bool], policy: BreakerPolicy, every_ms: int
) -> None:
    """Each round trip takes the failures that open it, the good ones that close it, and its time."""
    seen = run(outcomes, policy, every_ms)

    most = len(outcomes) / (policy.failures + policy.good_probes)
    assert crossings(seen) <= 2 * most + 1
    assert crossings(seen) <= 2 * len(outcomes) * every_ms / policy.open_ms + 1


@seed(20261122)
@hypothesis_settings(max_examples=100, deadline=None)
@given(st.integers(3, 200))
def test_however_long_it_was_out_two_good_probes_bring_it_back(failures: int) -> None:
    seen = run([False] * failures + [True, True])

    assert seen[-3].state is BreakerState.OPEN
    assert seen[-1].state is BreakerState.CLOSED
