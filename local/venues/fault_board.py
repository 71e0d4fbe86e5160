"""The faults that stand at the moment, and which of them a request meets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from local.venues.faults import (
    NAMES,
    CancelOnly,
    ClockSkew,
    CrossedBook,
    DelayedVisibility,
    EmptyBook,
    Endpoint,
    FaultOrder,
    Maintenance,
    PartialFill,
    StaleBook,
    StateFault,
    TransportFault,
)
from local.venues.markets import Venue


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the state faults that a request meets make of the exchange."""

    skew_ms: int = 0
    frozen_at_ms: int | None = None
    """Books are those of this instant."""
    crossed_by_bps: float = 0.0
    empty_book: bool = False
    maintenance: bool = False
    cancel_only: bool = False
    visible_after_ms: int = 0
    """How long a new order is hidden from every question."""
    fill_share: Decimal = Decimal(1)
    """The share of what would fill at once that does."""


@dataclass(slots=True)
class _Standing:
    number: int
    order: FaultOrder
    set_at_ms: int
    left: int | None


class FaultBoard:
    """Faults set, counted down and cleared."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._standing: list[_Standing] = []
        self._next_number = 1

    def set(self, orders: Sequence[FaultOrder], now_ms: int) -> None:
        """Add faults; one of the same kind and scope takes the earlier one's place."""
        for order in orders:
            self._standing = [old for old in self._standing if not order.replaces(old.order)]
            self._standing.append(_Standing(self._next_number, order, now_ms, order.count))
            self._next_number += 1

    def clear(self, venue: Venue | None = None, number: int | None = None) -> None:
        """Remove every fault, or those set for one venue, or the one with that number."""
        self._standing = [
            old
            for old in self._standing
            if (venue is not None and old.order.venue is not venue)
            or (number is not None and old.number != number)
        ]

    def meet(self, venue: Venue, endpoint: Endpoint) -> tuple[Conditions, list[TransportFault]]:
        """Tell what a request meets, and count it."""
        conditions = Conditions()
        transport: list[TransportFault] = []
        for standing in list(self._standing):
            order = standing.order
            if not order.covers(venue, endpoint):
                continue
            if order.probability < 1.0 and self._draw.random() >= order.probability:
                continue
            if standing.left is not None:
                standing.left -= 1
                if standing.left == 0:
                    self._standing.remove(standing)
            if isinstance(order.fault, TransportFault):
                transport.append(order.fault)
            else:
                conditions = _with(conditions, order.fault, standing.set_at_ms)
        return conditions, transport

    def jitter_ms(self, most_ms: float) -> float:
        """Draw a jitter of at most so much either way."""
        return self._draw.uniform(-most_ms, most_ms)

    def describe(self) -> list[dict[str, Any]]:
        """Everything that stands, in the form in which it is set."""
        return [
            {
                "number": standing.number,
                "venue": standing.order.venue or "*",
                "endpoint": standing.order.endpoint or "*",
                "fault": NAMES[type(standing.order.fault)],
                **asdict(standing.order.fault),
                "count": standing.left,
                "probability": standing.order.probability,
            }
            for standing in self._standing
        ]


def _with(conditions: Conditions, fault: StateFault, set_at_ms: int) -> Conditions:
    changes: dict[str, Any] = {}
    match fault:
        case Maintenance():
            changes["maintenance"] = True
        case CancelOnly():
            changes["cancel_only"] = True
        case ClockSkew(ms):
            changes["skew_ms"] = conditions.skew_ms + ms
        case StaleBook():
            changes["frozen_at_ms"] = set_at_ms
        case CrossedBook(by_bps):
            changes["crossed_by_bps"] = by_bps
        case EmptyBook():
            changes["empty_book"] = True
        case DelayedVisibility(ms):
            changes["visible_after_ms"] = ms
        case PartialFill(share):
            changes["fill_share"] = Decimal(str(share))
    return replace(conditions, **changes)
