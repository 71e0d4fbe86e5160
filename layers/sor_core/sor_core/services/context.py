"""What every service of the trading side is given of the world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sor_core.clock import Clock
from sor_core.metrics import Metrics, NoMetrics
from sor_core.observability import Log
from sor_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """Time, randomness, configuration and a place to tell what happens."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    """Waits so many seconds of `clock`'s time."""
    new_id: Callable[[], str]
    """Gives random texts of 32 hex digits, each once."""
    settings: Settings
    log: Log
    metrics: Metrics = field(default_factory=NoMetrics)
