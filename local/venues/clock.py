"""Time, handed in: a test that holds a `ManualClock` sees the same books every run."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The wall clock that everything simulated follows."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        ...


class WallClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = 1_723_161_257_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._now_ms

    def advance_ms(self, by_ms: int) -> None:
        """Move on by so many milliseconds."""
        self._now_ms += by_ms
