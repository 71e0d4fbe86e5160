"""Breadth first through every state that can be reached, so that the first violation is a shortest story."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sor_core.domain.order_status import OrderStatus
from tests.explorer import world
from tests.explorer.processes import Processes
from tests.explorer.rules import Rules, Violation
from tests.explorer.shelf import Shelf
from tests.explorer.states import GIVEN_UP_TICKS, Move, Process, State, aged, who
from tests.explorer.world import Resting


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
    story: list[Move] = field(default_factory=list)
    """The steps that lead to it."""


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
        self.rules = rules
        self._rules = Rules(self.shelf, size)

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
        yield from self._market(state)
        yield from self._review(state)
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
            frozen: tuple[Process, ...] = (form._replace(frozen=True),)
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

    def _market(self, state: State) -> Iterator[Move]:
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

    def _review(self, state: State) -> Iterator[Move]:
        """A person settles what needs it, once nothing is on its way any more."""
        facts = self.shelf.facts[state.ledger]
        if facts.status is OrderStatus.NEEDS_REVIEW and self.setting.reviews and not state.wire:
            for number, copy, shows in self._findings(state):
                rid = self.shelf.reviewed(state.ledger, number, copy, shows)
                if rid is not None:
                    what = ("settles", number, shows)
                    yield Move(state._replace(ledger=rid), "operator", what, "late")

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

    # The search -----------------------------------------------------------------------------------

    def explore(self, most_states: int) -> Result:
        """See every state there is, up to a number; stop at the first violation."""
        began = time.perf_counter()
        gc.disable()  # millions of tuples, none of them in a cycle
        try:
            result = self._explore(_Seen(self.processes.begin()), most_states)
        finally:
            gc.enable()
        result.seconds = time.perf_counter() - began
        return result

    def _explore(self, seen: _Seen, most_states: int) -> Result:
        result = Result()
        at = 0
        while at < len(seen.states) and result.violation is None:
            if len(seen.states) >= most_states:
                result.is_complete = False
                break
            self._expand(seen, at, result)
            at += 1
        result.states, result.depth = len(seen.states), seen.depths[-1]
        if result.violation is None and result.is_complete:
            self._live(seen, result)
        for state in seen.states:
            facts = self.shelf.facts[state.ledger]
            if facts.ended:
                result.endings[facts.status] = result.endings.get(facts.status, 0) + 1
        return result

    def _expand(self, seen: _Seen, at: int, result: Result) -> None:
        state = seen.states[at]
        for move in self.moves(state):
            result.transitions += 1
            for violation in self._rules.broken(state, move):
                if self.rules is None or violation.rule in self.rules:
                    result.violation = violation
                    result.story = [*self._story(seen, at), move]
                    return
            seen.add(move, at)

    def _live(self, seen: _Seen, result: Result) -> None:
        """From every state an end can be reached without anything that need not happen."""
        if self.rules is not None and "trap" not in self.rules:
            return
        stuck = seen.without_way_to([i for i, state in enumerate(seen.states) if self._is_over(state)])
        if stuck:
            result.violation = Violation(
                "trap", f"from here, and {len(stuck) - 1} other states, no end is reached"
            )
            result.story = self._story(seen, stuck[0])

    def _is_over(self, state: State) -> bool:
        return not state.ledger or self.shelf.facts[state.ledger].ended

    def _story(self, seen: _Seen, at: int) -> list[Move]:
        """The steps to a state, made anew from the states on the way."""
        path = seen.path(at)
        return [
            next(move for move in self.moves(seen.states[before]) if move.state == seen.states[after])
            for before, after in pairwise(path)
        ]


class _Seen:
    """The states seen so far, in the order in which they were."""

    def __init__(self, first: State) -> None:
        self.states = [first]
        self.depths = [0]
        self._numbers = {first: 0}
        self._parents = [-1]
        self._from: list[list[int]] = [[]]
        """By state, those from which it is reached by a step that is sure to come."""
        self._share: dict[Any, Any] = {}

    def add(self, move: Move, parent: int) -> None:
        number = self._numbers.get(move.state)
        if number is None:
            state = State(*[self._share.setdefault(part, part) for part in move.state])
            number = self._numbers[state] = len(self.states)
            self.states.append(state)
            self._parents.append(parent)
            self.depths.append(self.depths[parent] + 1)
            self._from.append([])
        if not move.kind:
            self._from[number].append(parent)

    def path(self, at: int) -> list[int]:
        found = [at]
        while found[-1] > 0:
            found.append(self._parents[found[-1]])
        return found[::-1]

    def without_way_to(self, ends: list[int]) -> list[int]:
        """States from which none of these is reached by steps that are sure to come."""
        reached = bytearray(len(self.states))
        for i in ends:
            reached[i] = 1
        while ends:
            for i in self._from[ends.pop()]:
                if not reached[i]:
                    reached[i] = 1
                    ends.append(i)
        return [i for i, is_reached in enumerate(reached) if not is_reached]


def _put(state: State, i: int, p: Process) -> State:
    return state._replace(processes=(*state.processes[:i], p, *state.processes[i + 1 :]))


def _with(state: State, p: Process) -> State:
    return state._replace(processes=(*state.processes, p))
