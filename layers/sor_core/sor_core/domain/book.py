"""An order book as a venue gave it, converted only as far as it is walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sor_core.domain.instrument import Symbol

RawLevel = Sequence[object]
"""A level as the venue sent it: ``[0]`` its price, ``[1]`` its size, both plain decimal strings.
More elements (Kraken's timestamp) are ignored. Not yet validated: see `routing.ladder`."""


@dataclass(frozen=True, slots=True)
class Book:
    """Bids (best first) and asks (best first) of one symbol on one venue.

    Levels stay the venue's own strings until a decision walks them, so that a book of 5,000
    levels costs no more than the ten that matter.
    """

    venue: str
    symbol: Symbol
    bids: Sequence[RawLevel]
    asks: Sequence[RawLevel]
    received_at_ms: int
    """When its last byte arrived here, Unix milliseconds by our clock."""
    latency_ms: float
    """Round trip of the request that fetched it."""
    source_time_ms: int | None = None
    """When the venue says the book last changed, by the venue's clock; None where it does not."""
    sequence: int | None = None
    """The venue's update id, growing with every change; None where it has none."""

    def age_ms(self, now_ms: int) -> int:
        """Milliseconds since it was received; never negative."""
        return max(0, now_ms - self.received_at_ms)
