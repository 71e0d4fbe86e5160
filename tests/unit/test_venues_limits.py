"""The simulated venues' rate limits, by the clock."""

from __future__ import annotations

from itertools import pairwise

from local.venues.limits import LeakyBucket, MinuteWeights, WindowCount

MINUTE_MS = 60_000


def test_a_minutes_weight_is_given_back_with_the_next_minute() -> None:
    limit = MinuteWeights(100)
    assert [limit.take("a", 40, 0).allowed for _ in range(3)] == [True, True, False]
    assert limit.take("b", 40, 0).allowed, "another address"
    assert limit.take("a", 1, 59_999).retry_after_s == 1
    again = limit.take("a", 40, MINUTE_MS)
    assert (again.allowed, again.used) == (True, 40)


def test_bans_grow_with_every_offence() -> None:
    limit = MinuteWeights(1)
    now_ms, spans = 0, []
    for _ in range(9):
        while (allowance := limit.take("a", 1, now_ms)).banned_until_ms is None:
            pass
        spans.append(allowance.banned_until_ms - now_ms)
        assert limit.take("a", 1, now_ms).banned_until_ms == allowance.banned_until_ms
        now_ms = allowance.banned_until_ms
    assert spans[0] == 120_000
    assert all(after >= before for before, after in pairwise(spans))
    assert spans[-1] == 3 * 86_400_000


def test_a_leaky_bucket_has_a_burst_and_a_rate() -> None:
    limit = LeakyBucket(10, per_second=2.0)
    assert [limit.take("a", 1, 0).allowed for _ in range(11)] == [True] * 10 + [False]
    assert not limit.take("a", 1, 499).allowed
    assert limit.take("a", 1, 500).allowed
    assert [limit.take("a", 8, 5_000).allowed for _ in range(2)] == [True, False]
    assert limit.take("a", 8, 5_000).retry_after_s == 4


def test_a_window_counts_only_what_it_let_pass() -> None:
    limit = WindowCount(2, 10_000)
    taken = [limit.take("a", 1, now_ms) for now_ms in (0, 9_000, 9_500, 10_000)]
    assert [each.allowed for each in taken] == [True, True, False, True]
    assert taken[2].retry_after_s == 1
    assert taken[3].used == 1
