"""Time that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """`sor_core.clock.Clock` moved by hand."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> float:
        return float(self.at_ms)

    def advance(self, ms: int) -> None:
        self.at_ms += ms
