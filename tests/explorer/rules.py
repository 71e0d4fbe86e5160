"""What must hold, after every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sor_core.domain.order_status import OrderStatus
from tests.explorer import world
from tests.explorer.meanings import CAP
from tests.explorer.shelf import Shelf
from tests.explorer.states import Move, State

STEPS = {
    "stale epoch": "an attempt is written down by a process that was superseded",
    "halted": "an attempt is written down while trading is halted",
    "late bytes": "a request leaves after its deadline",
    "sent twice": "a request leaves a second time for a venue that makes two orders of it",
}
"""Rules that a step itself breaks."""


class Violation(NamedTuple):
    """A rule that does not hold."""

    rule: str
    detail: str


class Rules:
    """The rules, for an order of so many units."""

    def __init__(self, shelf: Shelf, size: int) -> None:
        self.shelf = shelf
        self.size = size
        self.idempotent = frozenset(n.name for n in shelf.natures.values() if n.is_idempotent)

    def broken(self, before: State, move: Move) -> Iterator[Violation]:
        """The rules that a step breaks, or the state it leads to; the gravest first."""
        state = move.state
        moved = state.orders is not before.orders or state.wire is not before.wire
        if moved or state.ledger != before.ledger:
            yield from self._by_the_truth(state)
        facts, old = self.shelf.facts[state.ledger], self.shelf.facts[before.ledger]
        if facts.filled < old.filled:
            yield Violation("forgotten", "the ledger has less filled than before")
        if state.drift:
            yield Violation("claims", f"the shared counters are off by {state.drift}")
        if move.breaks:
            yield Violation(move.breaks, STEPS[move.breaks])

    def _by_the_truth(self, state: State) -> Iterator[Violation]:
        """Hold the ledger against what the venues have, and may still come to have."""
        facts = self.shelf.facts[state.ledger]
        truth = world.at_venues(state.orders, state.wire, self.idempotent)
        filled = sum(f for f, _ in truth.values())
        may_fill = sum(m for _, m in truth.values())
        told = f"{filled} filled at the venues, {may_fill} may still fill"
        if filled > self.size:
            yield Violation("over-filled", f"{filled} of {self.size} filled")
        if filled + may_fill > self.size:
            yield Violation("over-exposed", f"{told}; {self.size} ordered")
        if facts.at_stake < filled + may_fill:
            yield Violation("ledger blind", f"{told}; the ledger counts {facts.at_stake}")
        if facts.filled > filled:
            yield Violation("made up", f"{told}; the ledger has {facts.filled} filled")
        is_closed = facts.ended and facts.status is not OrderStatus.NEEDS_REVIEW
        if is_closed and (facts.filled != filled or may_fill):
            yield Violation("wrong end", f"{told}; the order ended with {facts.filled}")
        if any(o.shows.filled and o.price > CAP for o in state.orders):
            yield Violation("beyond the cap", "a fill at a price that was never agreed to")
