"""What an order book is here, and where books come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

SEQUENCES_A_MS = 16
"""Sequences follow the wall clock, so that they never fall, not over a restart or a change of source
either; a millisecond has room for this many changes."""


class Level(NamedTuple):
    """A price and the size resting there."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book at one instant, best levels first on both sides."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    changed_at_ms: int
    """When it last changed, Unix milliseconds."""
    sequence: int
    """Grows with every change."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Best bid and best ask alone: cheap to ask for many instants."""

    bid: Decimal
    ask: Decimal


class BookSource(Protocol):
    """Books of one venue's market over time, one a step."""

    def step_at(self, now_ms: int) -> int:
        """Number the step that `now_ms` falls in."""
        ...

    def step_started_ms(self, step: int) -> int:
        """When that step began, Unix milliseconds."""
        ...

    def touch(self, step: int) -> Touch:
        """Best bid and ask in that step."""
        ...

    def snapshot(self, step: int) -> Snapshot:
        """The whole book in that step."""
        ...
