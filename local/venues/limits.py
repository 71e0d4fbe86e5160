"""The venues' rate limits: each limiter says for one request whether it may pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """A limiter's word on one request."""

    allowed: bool
    used: int
    """What the client has used up of `limit`, this request included."""
    limit: int
    retry_after_s: int = 0
    banned_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request costs of one of its venue's limits."""

    limiter: str
    client: str
    """Whom the limit counts: an address, a key, a key with a pair."""
    weight: int = 1


class Limiter(Protocol):
    """Counts what each client uses."""

    def take(self, client: str, weight: int, now_ms: int) -> Allowance:
        """Count a request and say whether it may pass."""
        ...


class MinuteWeights:
    """Binance: so much weight a minute and address; who goes on after 429 is banned with 418.

    Binance REST API, "IP limits": repeatedly violating limits after a 429 leads to a ban of two
    minutes, growing to three days for repeat offenders.
    """

    IGNORED_429S = 10
    """How many requests past the limit are answered with 429 before the ban (not published)."""
    _LONGEST_BAN_MS = 3 * 86_400_000

    def __init__(self, limit: int = 6000) -> None:
        self._limit = limit
        self._used: dict[str, tuple[int, int]] = {}
        self._ignored: dict[str, int] = {}
        self._bans: dict[str, tuple[int, int]] = {}

    def take(self, client: str, weight: int, now_ms: int) -> Allowance:
        """Count a request and say whether it may pass."""
        banned_until_ms, bans = self._bans.get(client, (0, 0))
        if now_ms < banned_until_ms:
            left_s = -(-(banned_until_ms - now_ms) // 1000)
            return Allowance(False, self._limit, self._limit, left_s, banned_until_ms)
        minute = now_ms // _MINUTE_MS
        counted_in, used = self._used.get(client, (minute, 0))
        if counted_in != minute:
            used = 0
            self._ignored.pop(client, None)
        used += weight
        self._used[client] = (minute, used)
        if used <= self._limit:
            return Allowance(True, used, self._limit)
        ignored = self._ignored.get(client, 0) + 1
        self._ignored[client] = ignored
        if ignored > self.IGNORED_429S:
            ban_ms = min(2 * _MINUTE_MS * 4**bans, self._LONGEST_BAN_MS)
            self._bans[client] = (now_ms + ban_ms, bans + 1)
            self._ignored.pop(client)
            return Allowance(False, used, self._limit, ban_ms // 1000, now_ms + ban_ms)
        return Allowance(False, used, self._limit, -(-((minute + 1) * _MINUTE_MS - now_ms) // 1000))


class WindowCount:
    """Binance's order limits: so many in a window of fixed length, which begins on its multiples."""

    def __init__(self, limit: int, window_ms: int) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._used: dict[str, tuple[int, int]] = {}

    def take(self, client: str, weight: int, now_ms: int) -> Allowance:
        """Count a request and say whether it may pass."""
        window = now_ms // self._window_ms
        counted_in, used = self._used.get(client, (window, 0))
        used = (used if counted_in == window else 0) + weight
        allowed = used <= self._limit
        if allowed:
            self._used[client] = (window, used)
        wait_ms = 0 if allowed else (window + 1) * self._window_ms - now_ms
        return Allowance(allowed, used, self._limit, -(-wait_ms // 1000))


class LeakyBucket:
    """Coinbase and Kraken: a burst of `capacity`, drained at `per_second`."""

    def __init__(self, capacity: int, per_second: float) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._levels: dict[str, tuple[int, float]] = {}

    def take(self, client: str, weight: int, now_ms: int) -> Allowance:
        """Count a request and say whether it may pass."""
        last_ms, level = self._levels.get(client, (now_ms, 0.0))
        level = max(0.0, level - (now_ms - last_ms) / 1000.0 * self._per_second)
        allowed = level + weight <= self._capacity
        if allowed:
            level += weight
        self._levels[client] = (now_ms, level)
        wait_s = 0.0 if allowed else (level + weight - self._capacity) / self._per_second
        used = min(self._capacity, -int(-level // 1))
        return Allowance(allowed, used, self._capacity, max(1, -int(-wait_s // 1)) if not allowed else 0)


class Unlimited:
    """No limit: for load tests from one address."""

    def take(self, client: str, weight: int, now_ms: int) -> Allowance:  # noqa: ARG002
        """Let everything pass."""
        return Allowance(True, 0, 1_000_000)


UNLIMITED = Unlimited()
"""Where no limit holds."""
