"""One market's book on one venue, and what trades leave of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from local.venues.books import SEQUENCES_A_MS, BookSource, Level, Snapshot, Touch
from local.venues.markets import Listing
from local.venues.orders import Side

_MOST_TAKES = SEQUENCES_A_MS * 200
"""Changes told apart within a snapshot; sources stand for longer than 200 ms."""


class Market:
    """One market's book on one venue: a source of snapshots, or one that was put there by hand.

    What trades take from a level stays taken until the next snapshot.
    """

    def __init__(self, listing: Listing, source: BookSource) -> None:
        self.listing = listing
        self.source = source
        self._placed: Snapshot | None = None
        self._taken: dict[tuple[Side, Decimal], Decimal] = {}
        self._taken_from: int | None = None
        self._takes = 0

    def place_book(self, bids: Sequence[Level], asks: Sequence[Level], now_ms: int) -> None:
        """Set the book exactly; it stands until another is set or the market starts afresh."""
        sequence = now_ms * SEQUENCES_A_MS
        if self._placed is not None:
            # Several books placed within a millisecond are several changes.
            sequence = max(sequence, self._placed.sequence + _MOST_TAKES + 1)
        self._placed = Snapshot(bids, asks, changed_at_ms=now_ms, sequence=sequence)
        self._forget_takes()

    def release_book(self) -> None:
        """Go back to the source's books."""
        self._placed = None
        self._forget_takes()

    def touch_at(self, at_ms: int) -> Touch:
        """Best bid and ask of the source (never of a book set by hand) at an instant."""
        return self.source.touch(self.source.step_at(at_ms))

    def book_at(self, at_ms: int) -> Snapshot:
        """The book at an instant, less what trades have taken from it."""
        snapshot = self._snapshot_at(at_ms)
        if self._taken_from != snapshot.sequence:
            return snapshot
        return Snapshot(
            list(self._left(snapshot.bids, Side.SELL)),
            list(self._left(snapshot.asks, Side.BUY)),
            snapshot.changed_at_ms,
            snapshot.sequence + self._takes,
        )

    def sequence_at(self, at_ms: int) -> int:
        """The sequence of the snapshot that stands, whatever has been taken from it."""
        return self._snapshot_at(at_ms).sequence

    def take(self, side: Side, price: Decimal, size: Decimal, at_ms: int) -> None:
        """Take `size` from the level at `price` that a taker of that side meets."""
        snapshot = self._snapshot_at(at_ms)
        if self._taken_from != snapshot.sequence:
            self._forget_takes()
            self._taken_from = snapshot.sequence
        self._taken[side, price] = self._taken.get((side, price), Decimal(0)) + size
        self._takes = min(self._takes + 1, _MOST_TAKES)

    def _snapshot_at(self, at_ms: int) -> Snapshot:
        if self._placed is not None:
            return self._placed
        return self.source.snapshot(self.source.step_at(at_ms))

    def _left(self, levels: Sequence[Level], taker: Side) -> Iterator[Level]:
        for level in levels:
            left = level.size - self._taken.get((taker, level.price), Decimal(0))
            if left > 0:
                yield Level(level.price, left)

    def _forget_takes(self) -> None:
        self._taken.clear()
        self._taken_from = None
        self._takes = 0
