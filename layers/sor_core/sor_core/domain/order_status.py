"""Where an order to execute can stand."""

from __future__ import annotations

from enum import StrEnum


class OrderStatus(StrEnum):
    """Where an order stands; a closed set."""

    WORKING = "working"
    """Its attempts are on their way, or about to be."""
    RESOLVING = "resolving"
    """Of some attempt it is not known what came of it: it is being found out."""
    RESTING = "resting"
    """The rest of a limit order waits in a venue's book."""
    CANCELLING = "cancelling"
    """Its end was asked for; what is still open is being cancelled."""
    FILLED = "filled"
    PARTIALLY_FILLED = "partially_filled"
    """Ended with a part filled."""
    CANCELLED = "cancelled"
    """Ended because it was asked for, or trading was halted; a part may be filled."""
    EXPIRED = "expired"
    """Ended with nothing filled: nothing was to be had within the price cap."""
    REJECTED = "rejected"
    """Ended with nothing filled: the venues refused it."""
    NEEDS_REVIEW = "needs_review"
    """What came of it cannot be told for certain: a person must look. Nothing more is sent."""

    @property
    def is_final(self) -> bool:
        """Whether the router does nothing more about it by itself."""
        return self not in _OPEN


_OPEN = frozenset({OrderStatus.WORKING, OrderStatus.RESOLVING, OrderStatus.RESTING, OrderStatus.CANCELLING})
