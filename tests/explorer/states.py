"""What a state of the exploration is made of: processes, venues, the ledger, and what may yet go wrong.

====== =============================================================================================
kind   of process
====== =============================================================================================
``H``  the handler that accepted the order
``T``  the state machine of an epoch, with the task that it has running
``Z``  a task that nobody hears any more: its machine gave it up, or Lambda invoked it twice
``S``  the sweep, at this order
``C``  a cancel request, the caller's or of the operator's halt
``N``  the requirements' own algorithm (`mutants`)
====== =============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.explorer.meanings import LONG_AGO, Leg, Spec
from tests.explorer.shelf import Shelf
from tests.explorer.world import TICK_MS, Orders, Request

HELD_TICKS = 1
"""For how long a process that took an order keeps it, and one that left it waits for the next."""
GIVEN_UP_TICKS = 1
"""After how long the machine no longer waits for a task."""


class Process(NamedTuple):
    """One process, about to do the I/O that `pc` names."""

    kind: str
    pc: str
    data: tuple[Any, ...] = ()
    task: str = ""
    owner: int = 0
    epoch: int = 0
    mode: int = 0
    rid: int = 0
    """The record as it last read or wrote it."""
    behind: int = 0
    """How often others have written since; counted to two."""
    unsent: tuple[int, ...] = ()
    frozen: bool = False

    @property
    def me(self) -> tuple[str, int]:
        """As the protocol knows it."""
        return (f"p{self.owner}" if self.owner else "nobody"), self.epoch


class State(NamedTuple):
    """Everything, at one moment."""

    ledger: int
    """The record by its number; 0 before the order is accepted."""
    drift: int
    """By how much the shared counters differ from what the record claims."""
    mode: int
    orders: Orders
    wire: tuple[Request, ...]
    processes: tuple[Process, ...]
    faults: int
    posted: frozenset[int]
    """Attempts of which a request has left."""
    spare: tuple[int, int, int, int]
    """How many cancels, halts, double invocations and lies may still come."""


class Move(NamedTuple):
    """One step from a state."""

    state: State
    who: str
    what: tuple[Any, ...]
    kind: str = ""
    """``fault``, ``wake`` or ``late`` for what need not ever happen; else empty."""
    breaks: str = ""
    """What rule the step itself breaks."""


@dataclass(frozen=True)
class Habits:
    """How processes behave; every default is the guard that is in place, every other a mutant."""

    intent_first: bool = True
    checks_version: bool = True
    random_tokens: bool = True
    venue_clock: bool = True
    checks_deadline: bool = True
    frozen_window: bool = True
    looks_in_history: bool = True
    frozen_cap: bool = True
    counts_with_record: bool = True
    checks_epoch: bool = True
    fetches_fills: bool = True
    checks_switch: bool = True
    sweeps: bool = True


@dataclass(frozen=True)
class Setting:
    """What a scenario starts from, and what may happen in it."""

    legs: tuple[Leg, ...]
    venues: tuple[str, ...]
    """All there are, the preferred first."""
    faults: int
    rests: bool = False
    cancels: int = 0
    halts: int = 0
    twice: int = 0
    lies: int = 0
    query_is_blind: bool = False
    torn: int = 0
    """Whether an end may be told with less than was filled: 1 with something of it, 2 with nothing, too."""
    copies_fill: bool = False
    """Whether what a network repeats may make a second order."""
    witnesses: bool = False
    slow_ticks: int = 0
    """By how much longer than its bound a venue may take to make an order of a request."""
    refuses: bool = True
    """Whether venues may refuse."""
    reviews: bool = False
    """Whether a person settles what needs review."""
    naive: bool = False
    may_run_dry: bool = True
    """Whether the market may have nothing more for the rest."""


def bare(p: Process) -> Process:
    """The process without what it will not read again."""
    if p.pc == "load":
        return p._replace(rid=0, behind=0, unsent=())
    return Process(p.kind, "start", p.data) if p.pc == "start" else p


def who(p: Process) -> str:
    """How stories call a process."""
    names = {"H": "handler", "S": "sweep", "C": "cancel request", "N": "requirements' algorithm"}
    if p.kind in names:
        return names[p.kind]
    orphan = "" if p.kind == "T" else ", unheard"
    return f"machine {p.epoch}, task {p.task}{orphan}"


def aged(p: Process, shelf: Shelf) -> Process:
    """A process a tick later."""
    data = p.data
    match p.pc:
        case "sleep":
            left = data[0] - 1
            if left <= 0:
                return p._replace(pc="load", data=("start", (), False))
            return p._replace(data=(left,))
        case "save" | "again":
            data = (shelf.later(data[0]), _aged_spec(data[1]), data[2])
        case "load":
            data = (data[0], _aged_spec(data[1]), data[2])
        case "time":
            data = (data[0], _aged_results(data[1]))
        case "look":
            told = None if data[2] is None else max(data[2] - TICK_MS, -LONG_AGO)
            data = (data[0], _aged_results(data[1]), told)
        case _:
            pass
    return p._replace(rid=shelf.later(p.rid), data=data)


def _aged_spec(spec: Spec) -> Spec:
    return ("observed", _aged_results(spec[1])) if spec and spec[0] == "observed" else spec


def _aged_results(results: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        (number, ("absent", max(seen[1] - TICK_MS, -LONG_AGO), seen[2]) if seen[0] == "absent" else seen)
        for number, seen in results
    )
