"""Breadth first through every state that can be reached, so that the first violation is a shortest story."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sor_core.execution.record import OrderStatus
from tests.explorer import world
from tests.explorer.processes import Move, Process, Processes, State, aged, who
from tests.explorer.shelf import CAP, Shelf
from tests.explorer.world import Resting

GIVEN_UP_TICKS = 1


class Violation(NamedTuple):
    """A rule that does not hold."""

    rule: str
    detail: str


@dataclass
class Result:
    """What an exploration came to."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    is_complete: bool = True
    """Whether everything within the scenario's bounds was seen."""
    endings: dict[str, int] = field(default_factory=dict)
    """Of how many states the order has ended so."""
    violation: Violation | None = None
    story: list[tuple[Move, State]] = field(default_factory=list)
    """The steps that lead to it, each with the state that it leads to."""


class Explorer:
    """Explores one scenario.

    Parameters
    ----------
    processes
        Which processes there are, and how they behave.
    size
        Units ordered.
    rules
        The only rules that are looked at; None for all.
    """

    def __init__(self, processes: Processes, size: int, rules: frozenset[str] | None = None) -> None:
        self.processes = processes
        self.shelf: Shelf = processes.shelf
        self.setting = processes.setting
        self.size = size
        self.rules = rules
        self.idempotent = frozenset(n.name for n in self.shelf.natures.values() if n.is_idempotent)

    # Steps ----------------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """Every step from a state."""
        may_fail = state.faults < self.setting.faults
        for i, p in enumerate(state.processes):
            if not p.frozen and self._is_its_own_affair(p):
                yield from self.processes.moves(state, i)
                if may_fail:
                    yield from self._freeze(state, i, p)
                return
        is_busy = False
        for i, p in enumerate(state.processes):
            if p.frozen:
                woken = _put(state, i, p._replace(frozen=False))
                yield Move(woken, who(p), ("goes on",), "wake")
            elif p.pc != "sleep":
                is_busy = True
                yield from self.processes.moves(state, i)
                if may_fail:
                    yield from self._freeze(state, i, p)
        yield from self._in_flight(state)
        yield from self._arrivals(state)
        if not is_busy:
            later = self.later(state)
            # The sweep comes within a tick of an order's being due; that it does not is a fault.
            is_late = self.shelf.facts[state.ledger].is_due
            if later != state and (may_fail or not is_late):
                later = later._replace(faults=state.faults + is_late)
                yield Move(
                    later, "time", ("passes, no sweep",) if is_late else ("passes",), "fault" * is_late
                )

    def _freeze(self, state: State, i: int, p: Process) -> Iterator[Move]:
        forms = [p]
        if p.pc == "time":
            forms.append(self.processes.told(p))
        for form in forms:
            frozen = (form._replace(frozen=True),)
            if p.kind == "T":
                idle = Process("T", "sleep", (GIVEN_UP_TICKS,), task="reconcile", epoch=p.epoch)
                frozen = (form._replace(frozen=True, kind="Z"), idle)
            after = state.processes[:i] + frozen + state.processes[i + 1 :]
            yield Move(
                state._replace(processes=after, faults=state.faults + 1), who(p), ("stops", form.pc), "fault"
            )

    def _in_flight(self, state: State) -> Iterator[Move]:
        for i, request in enumerate(state.wire):
            nature = self.shelf.natures[request.venue]
            wire = state.wire[:i] + state.wire[i + 1 :]
            for filled in world.amounts(request):
                orders, order = world.taken(nature, state.orders, request, filled)
                if order is None or orders == state.orders:
                    continue
                what = ("arrives late", request.venue, request.number, filled, request.price)
                yield Move(state._replace(wire=wire, orders=orders), "network", what, "late")
        for i, order in enumerate(state.orders):
            if order.shows.final:
                continue
            filled = order.shows.filled + 1
            shows = Resting(filled, filled == order.size)
            orders = (*state.orders[:i], order._replace(shows=shows), *state.orders[i + 1 :])
            what = ("market fills", order.venue, order.number, filled)
            yield Move(state._replace(orders=orders), "market", what)

    def _arrivals(self, state: State) -> Iterator[Move]:
        """Processes that come of themselves."""
        facts = self.shelf.facts[state.ledger]
        if facts.status is OrderStatus.NEEDS_REVIEW and self.setting.reviews and not state.wire:
            for number, copy, shows in self._findings(state):
                rid = self.shelf.reviewed(state.ledger, number, copy, shows)
                if rid is not None:
                    what = ("settles", number, shows)
                    yield Move(state._replace(ledger=rid), "operator", what, "late")
        if not state.ledger or facts.ended:
            return
        cancels, halts, twice, lies = state.spare
        load = ("start", (), False)
        if (
            self.processes.habits.sweeps
            and facts.is_due
            and not any(p.kind == "S" and not p.frozen for p in state.processes)
        ):
            yield Move(_with(state, Process("S", "load", load)), "sweep", ("finds it due",))
        if cancels:
            after = state._replace(spare=(cancels - 1, halts, twice, lies))
            yield Move(_with(after, Process("C", "load", load)), "caller", ("asks to cancel",), "late")
        if halts:
            after = state._replace(spare=(cancels, halts - 1, twice, lies), mode=1)
            yield Move(_with(after, Process("C", "load", load)), "operator", ("halts trading",), "late")
        if twice:
            for p in state.processes:
                if p.kind == "T" and p.pc == "load" and p.data[0] == "start" and not p.frozen:
                    after = state._replace(spare=(cancels, halts, twice - 1, lies))
                    yield Move(_with(after, p._replace(kind="Z")), who(p), ("is invoked twice",), "fault")

    def _findings(self, state: State) -> Iterator[tuple[int, int, Resting | None]]:
        """What a person finds of each attempt at its venue."""
        for number, _, _ in self.shelf.facts[state.ledger].attempts:
            same = world.of(state.orders, number)
            yield (number, same[-1].copy, same[-1].shows) if same else (number, 0, None)

    def later(self, state: State) -> State:
        """The state a tick later."""
        orders, wire = world.tick(state.orders, state.wire)
        processes = tuple(aged(p, self.shelf) for p in state.processes)
        return state._replace(
            ledger=self.shelf.later(state.ledger), orders=orders, wire=wire, processes=processes
        )

    def _is_its_own_affair(self, p: Process) -> bool:
        """Whether a process's next step neither bears on what others do, nor they on it, nor any rule on it.

        Then it may be taken before all others: in whichever order they came, the same states would
        follow (a persistent set). Choosing reads the market only. A write on top of a record that
        others have written since meets a conflict whatever they do next.
        """
        return p.pc == "choose" or (p.pc == "save" and p.behind > 0 and self.processes.overtaken_is_lost)

    # Rules ----------------------------------------------------------------------------------------

    def broken(self, before: State, move: Move) -> Violation | None:
        """What rule a step breaks, or the state it leads to; the gravest first."""
        for found in self._broken(before, move):
            if self.rules is None or found.rule in self.rules:
                return found
        return None

    def _broken(self, before: State, move: Move) -> Iterator[Violation]:
        state = move.state
        facts = self.shelf.facts[state.ledger]
        if (
            state.orders is not before.orders
            or state.wire is not before.wire
            or state.ledger != before.ledger
        ):
            truth = world.at_venues(state.orders, state.wire, self.idempotent)
            filled = sum(f for f, _ in truth.values())
            may_fill = sum(m for _, m in truth.values())
            if filled > self.size:
                yield Violation("over-filled", f"{filled} of {self.size} filled")
            if filled + may_fill > self.size:
                yield Violation(
                    "over-exposed", f"{filled} filled, {may_fill} may still fill, {self.size} ordered"
                )
            if facts.at_stake < filled + may_fill:
                yield Violation(
                    "ledger blind",
                    f"the ledger counts {facts.at_stake}; {filled} filled, {may_fill} may still fill",
                )
            if facts.filled > filled:
                yield Violation("made up", f"the ledger has {facts.filled} filled, the venues {filled}")
            if (
                facts.ended
                and facts.status is not OrderStatus.NEEDS_REVIEW
                and (facts.filled != filled or may_fill)
            ):
                told = (
                    f"ended with {facts.filled} filled; at the venues {filled}, and {may_fill} may still fill"
                )
                yield Violation("wrong end", told)
            if any(o.shows.filled and o.price > CAP for o in state.orders):
                yield Violation("beyond the cap", "a fill at a price that was never agreed to")
        if (
            state.ledger != before.ledger
            and before.ledger
            and facts.filled < self.shelf.facts[before.ledger].filled
        ):
            yield Violation("forgotten", "the ledger has less filled than before")
        if state.drift:
            yield Violation("claims", f"the shared counters are off by {state.drift}")
        if move.breaks == "stale":
            yield Violation("stale epoch", "an attempt is written down by a process that was superseded")
        if move.breaks == "halted":
            yield Violation("halted", "an attempt is written down while trading is halted")
        if move.breaks == "late":
            yield Violation("late bytes", "a request leaves after its deadline")
        if move.breaks == "twice":
            yield Violation(
                "sent twice", "a request leaves a second time for a venue that makes two orders of it"
            )

    # The search -----------------------------------------------------------------------------------

    def explore(self, most_states: int) -> Result:
        """See every state there is, up to a number; stop at the first violation."""
        gc.disable()  # millions of tuples, none of them in a cycle
        try:
            return self._explore(most_states)
        finally:
            gc.enable()

    def _explore(self, most_states: int) -> Result:
        began = time.perf_counter()
        result = Result()
        first = self.processes.begin()
        states = [first]
        numbers = {first: 0}
        parents = [-1]
        depths = [0]
        backward: list[list[int]] = [[]]
        share: dict[Any, Any] = {}
        at = 0
        while at < len(states):
            state = states[at]
            if len(states) >= most_states:
                result.is_complete = False
                break
            for move in self.moves(state):
                result.transitions += 1
                violation = self.broken(state, move)
                if violation is not None:
                    result.violation = violation
                    result.story = [*self._story(states, parents, at), (move, move.state)]
                    break
                after = move.state
                number = numbers.get(after)
                if number is None:
                    after = State(*[share.setdefault(part, part) for part in after])
                    number = len(states)
                    numbers[after] = number
                    states.append(after)
                    parents.append(at)
                    depths.append(depths[at] + 1)
                    backward.append([])
                if not move.kind:
                    backward[number].append(at)
            if result.violation is not None:
                break
            at += 1
        result.states, result.depth = len(states), depths[-1]
        if result.violation is None and result.is_complete:
            self._live(result, states, parents, backward)
        for state in states:
            facts = self.shelf.facts[state.ledger]
            if facts.ended:
                result.endings[facts.status] = result.endings.get(facts.status, 0) + 1
        result.seconds = time.perf_counter() - began
        return result

    def _live(
        self, result: Result, states: list[State], parents: list[int], backward: list[list[int]]
    ) -> None:
        """From every state an end can be reached without anything that need not happen."""
        if self.rules is not None and "trap" not in self.rules:
            return
        ends = [i for i, state in enumerate(states) if self._is_over(state)]
        reached = bytearray(len(states))
        for i in ends:
            reached[i] = 1
        while ends:
            for i in backward[ends.pop()]:
                if not reached[i]:
                    reached[i] = 1
                    ends.append(i)
        stuck = reached.find(0)
        if stuck >= 0:
            result.violation = Violation("trap", f"{len(states) - sum(reached)} states lead to no end")
            result.story = self._story(states, parents, stuck)

    def _is_over(self, state: State) -> bool:
        return not state.ledger or self.shelf.facts[state.ledger].ended

    def _story(self, states: list[State], parents: list[int], at: int) -> list[tuple[Move, State]]:
        path = []
        while at > 0:
            path.append(at)
            at = parents[at]
        story, state = [], states[0]
        for number in reversed(path):
            move = next(m for m in self.moves(state) if m.state == states[number])
            story.append((move, move.state))
            state = states[number]
        return story


def _put(state: State, i: int, p: Process) -> State:
    return state._replace(processes=state.processes[:i] + (p,) + state.processes[i + 1 :])


def _with(state: State, p: Process) -> State:
    return state._replace(processes=(*state.processes, p))
