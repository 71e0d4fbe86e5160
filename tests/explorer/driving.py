"""How a process drives the order: what it does between two I/Os, and its reads and writes of the ledger.

It mirrors `services.drive`, `services.execute`, `services.follow` and `services.failover`: what those do
between two I/Os happens at once, each I/O is one step. A process that stops for ever, or for a while
(Lambda freezes it), is `frozen`: it may go on at any later moment, or never.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sor_core.domain.order_status import OrderStatus
from sor_core.execution import protocol
from sor_core.execution.protocol import Step
from sor_core.execution.record import AttemptState
from tests.explorer.meanings import Leg, Spec
from tests.explorer.shelf import Shelf
from tests.explorer.states import HELD_TICKS, Habits, Move, Process, Setting, State, bare, who
from tests.explorer.world import BASE_MS, TICK_MS

TASKS: Mapping[str, tuple[type[Step], ...]] = {
    "reconcile": (protocol.Ask, protocol.Replay, protocol.CancelAtVenue),
    "choose": (protocol.Choose,),
    "place": (protocol.Intend, protocol.Send),
    "finalise": (protocol.Finish,),
    "review": (protocol.Review,),
}
"""What each task of the machine does (`services.failover`; held to it by `test_explorer`)."""
_FOLLOWING = (protocol.CancelAtVenue, protocol.Ask, protocol.Finish, protocol.Review)


class Driving:
    """What all processes have in common."""

    def __init__(self, shelf: Shelf, setting: Setting, habits: Habits) -> None:
        self.shelf = shelf
        self.setting = setting
        self.habits = habits
        self.overtaken_is_lost = habits.checks_version and habits.random_tokens
        """Whether a write on top of a record that others have written since can only meet a conflict."""
        self._resumed: dict[Process, Process | None] = {}

    def _save(self, state: State, i: int, p: Process) -> Iterator[Move]:
        after, spec, _ = p.data
        name = spec[0]
        habits = self.habits
        if p.behind and habits.checks_version:
            mine = state.ledger == after and not habits.random_tokens and p.behind == 1
            if mine:
                yield self._went(
                    state, i, self._saved(p._replace(behind=0), after, spec), p, ("took for its own", name)
                )
            else:
                yield self._went(state, i, self._conflict(p, spec), p, ("conflict", name))
            return
        adds = name in {"accept", "intend"}
        if adds and state.mode and self.habits.checks_switch:
            moved = None if name == "accept" else p._replace(pc="load", data=("mine", (), True), mode=1)
            yield self._went(state, i, moved, p, ("not admitted", name))
            return
        breaks = ""
        if name == "intend" and state.ledger and p.epoch != self.shelf.facts[state.ledger].epoch:
            breaks = "stale epoch"
        if adds and state.mode:
            breaks = "halted"
        drift = state.drift
        written = self._written(state, i, after, drift)
        yield self._went(
            written,
            i,
            self._saved(p._replace(behind=0), after, spec),
            p,
            ("saved", name, after),
            breaks=breaks,
        )
        if state.faults < self.setting.faults:
            more = written._replace(faults=state.faults + 1)
            yield self._went(
                more, i, p._replace(pc="again", behind=0), p, ("saved, no answer", name, after), "fault"
            )
            if name == "intend":
                claimed = self._commit(p, ("nothing", "claimed", True), conclude=True)
                yield self._went(
                    state._replace(faults=state.faults + 1),
                    i,
                    claimed,
                    p,
                    ("claimed by other orders",),
                    "fault",
                )

    def _written(self, state: State, i: int, after: int, drift: int) -> State:
        habits = self.habits
        if not habits.checks_version:
            drift = 0
        most = 1 if habits.random_tokens else 2
        others = []
        for j, q in enumerate(state.processes):
            if j == i or q.behind == most or q.pc in {"load", "sleep", "start"}:
                others.append(q)
                continue
            overtaken = q._replace(behind=q.behind + 1)
            if q.pc == "save" and self.overtaken_is_lost:
                # It can only meet a conflict: what it would have written does not matter any more.
                overtaken = overtaken._replace(rid=0, data=(0, *q.data[1:]), unsent=())
            others.append(overtaken)
        return state._replace(ledger=after, processes=tuple(others), drift=drift)

    def _again(self, state: State, i: int, p: Process) -> Iterator[Move]:
        """Send a write again of which no answer came: it meets its own success, or what followed it."""
        after, spec, _ = p.data
        if not self.habits.counts_with_record:
            change = self.shelf.claims(after) - self.shelf.claims(p.rid)
            state = state._replace(drift=state.drift + change)
        if not p.behind:
            yield self._went(state, i, self._saved(p, after, spec), p, ("met its own write", spec[0]))
        elif self.shelf.shares(p.rid, after):
            # DynamoDB repeats the answer to a transaction of the same token.
            yield self._went(state, i, self._saved(p, after, spec), p, ("heard of its own write", spec[0]))
        else:
            yield self._went(state, i, self._conflict(p, spec), p, ("conflict", spec[0]))

    def _saved(self, p: Process, after: int, spec: Spec) -> Process | None:
        """Go on after a write."""
        p = p._replace(rid=after)
        match spec:
            case ("accept" | "intend", numbers):
                return self.resume(p._replace(unsent=numbers))
            case ("takeover",):
                return p._replace(pc="start", data=(p.epoch,))
            case ("asked", took_over):
                return self.resume(p) if took_over else None
            case ("release", waits, _, told):
                if waits and self.shelf.facts[after].status is OrderStatus.RESTING:
                    return None
                if p.kind in {"T", "Z"}:
                    return self._told(p, *told)
                return p._replace(pc="start", data=(p.epoch,))
            case ("replaying", number):
                return p._replace(pc="replay", data=(number,))
            case _:
                return self.resume(p)

    def _conflict(self, p: Process, spec: Spec) -> Process | None:
        """Go on where another has written since."""
        match spec[0]:
            case "claim":
                return self._told(p, "wait", 1)
            case "follow" | "takeover" | "accept":
                return None
            case "asked":
                return p._replace(pc="load", data=("start", (), False))
            case "intend":
                return p._replace(pc="load", data=("mine", (), True))
            case _:
                return p._replace(pc="load", data=("mine", spec, p.data[2]))

    def _load(self, state: State, i: int, p: Process) -> Move:
        why, spec, conclude = p.data
        facts, rid = self.shelf.facts[state.ledger], state.ledger
        p = p._replace(rid=rid, behind=0)
        if why == "mine":
            if not rid or facts.ended or not self.shelf.drives(rid, p.me):
                moved = self._told(p, "wait", 1)
                return self._went(state, i, moved, p, ("superseded",))
            moved = self._commit(p, spec, conclude=conclude) if spec else self.resume(p)
            return self._went(state, i, moved, p, ("read it again",))
        p = p._replace(mode=state.mode)
        return self._went(state, i, self._first(state, p), p, ("read", p.task))

    def _first(self, state: State, p: Process) -> Process | None:
        """What a process does with an order that it has just read for the first time."""
        facts = self.shelf.facts[p.rid]
        if not p.rid or facts.ended:
            return None
        fresh = self._fresh(state, p)
        match p.kind:
            case "S":
                if not facts.is_due:
                    return None
                if facts.status is OrderStatus.RESTING and not facts.owner:
                    return self._claim(p._replace(epoch=facts.epoch), fresh, "follow")
                after = self.shelf.taken_over(p.rid, "", by_cancel=False)
                taken = p._replace(epoch=facts.epoch + 1)
                return taken._replace(pc="save", data=(after, ("takeover",), False))
            case "C":
                if not facts.owner or facts.is_due:
                    p = p._replace(owner=fresh, epoch=facts.epoch + 1)
                    after = self.shelf.taken_over(p.rid, p.me[0], by_cancel=True)
                    return p._replace(pc="save", data=(after, ("asked", True), False))
                after = self.shelf.cancel_asked(p.rid)
                return (
                    None if after == p.rid else p._replace(pc="save", data=(after, ("asked", False), False))
                )
            case _:
                if facts.epoch != p.epoch and self.habits.checks_epoch:
                    return None
                return self._claim(p, fresh, "claim")

    def _claim(self, p: Process, owner: int, name: str) -> Process | None:
        p = p._replace(owner=owner)
        after = self.shelf.claimed(p.rid, p.me[0], p.epoch)
        if after is not None:
            return p._replace(pc="save", data=(after, (name,), False))
        return None if p.kind == "S" else self._told(p, "wait", 1)

    def _fresh(self, state: State, p: Process) -> int:
        """A name for this invocation that nobody has."""
        if not self.habits.random_tokens and p.kind in {"T", "Z"}:
            return 100 + p.epoch
        used = {q.owner for q in state.processes if q is not p}
        owner = self.shelf.facts[state.ledger].owner
        used.add(int(owner[1:]) if owner[1:].isdigit() else 0)
        return next(n for n in range(1, 99) if n not in used)

    def resume(self, p: Process) -> Process | None:
        """Take the next step of the protocol as far as its I/O."""
        key = p._replace(pc="", data=(), behind=0)
        if key not in self._resumed:
            self._resumed[key] = self._resume(p)
        found = self._resumed[key]
        return None if found is None else found._replace(behind=p.behind)

    def _resume(self, p: Process) -> Process | None:
        step = self.shelf.next_step(p.rid, p.me, p.unsent, p.mode)
        if isinstance(step, protocol.Done | protocol.Stop | protocol.Wait) or not self.may(p, step):
            return self._leave(p, step)
        match step:
            case protocol.Send(numbers):
                return p._replace(pc="post", data=(numbers, ()))
            case protocol.Ask(numbers):
                return self._asking(p, numbers, ())
            case protocol.CancelAtVenue(numbers):
                return p._replace(pc="cancel", data=(numbers, ()))
            case protocol.Choose(base, _, avoid):
                return p._replace(pc="choose", data=(int(base), avoid))
            case protocol.Intend(plan):
                legs = tuple(
                    Leg(leg.venue, int(leg.size), int(leg.limit_price), leg.kind == "limit_gtc")
                    for leg in plan.legs
                )
                after, numbers = self.shelf.intended(p.rid, p.me, legs)
                if not self.habits.intent_first:
                    return p._replace(pc="post", data=(numbers, ()), rid=after)
                return p._replace(pc="save", data=(after, ("intend", numbers), False))
            case protocol.Replay(number):
                return self._commit(p, ("replaying", number), conclude=False)
            case _:
                return self._commit(p, ("finish", step), conclude=p.kind not in {"T", "Z"})

    def may(self, p: Process, step: Step) -> bool:
        """Which steps a process takes itself."""
        record = self.shelf.records[p.rid]
        match p.kind, step:
            case "T" | "Z", _:
                return isinstance(step, TASKS[p.task])
            case "H", protocol.Ask(numbers):
                return all(record.attempt(n).state is AttemptState.LIVE for n in numbers)
            case "H", protocol.Choose():
                return not record.avoid
            case "H", _:
                return not isinstance(step, protocol.Replay)
            case _:
                return isinstance(step, _FOLLOWING)

    def _commit(self, p: Process, spec: Spec, *, conclude: bool) -> Process:
        if spec[0] == "release":
            return p._replace(pc="save", data=(self.shelf.released(p.rid, spec[2]), spec, False))
        after = self.shelf.apply(p.rid, spec, p.me, p.mode, conclude=conclude)
        return p._replace(pc="save", data=(after, spec, conclude), unsent=())

    def _leave(self, p: Process, step: Step) -> Process | None:
        """Hand the order on: `execute.leave`, `failover._leave`."""
        facts = self.shelf.facts[p.rid]
        is_task = p.kind in {"T", "Z"}
        if facts.ended or isinstance(step, protocol.Done):
            return None
        if isinstance(step, protocol.Stop):
            return self._told(p, "wait", 1) if is_task else None
        ticks = 0
        if isinstance(step, protocol.Wait):
            ticks = max(1, -(-(step.until_ms - BASE_MS) // TICK_MS))
        waits = isinstance(step, protocol.Wait)
        rests = facts.status is OrderStatus.RESTING and waits
        held = ticks + (0 if rests else HELD_TICKS)
        spec = ("release", waits, held, (_task_for(step), ticks))
        return p._replace(pc="save", data=(self.shelf.released(p.rid, held), spec, False), unsent=())

    def _told(self, p: Process, answer: str, ticks: int) -> Process | None:
        """What the machine does with a task's answer; for any other process this is the end."""
        if p.kind != "T" or answer == "done":
            return None
        idle = Process("T", "sleep", (max(1, ticks),), task="reconcile", epoch=p.epoch)
        if answer == "wait":
            return idle
        return idle._replace(pc="load", data=("start", (), False), task=answer)

    def _asking(self, p: Process, numbers: tuple[int, ...], results: tuple[Any, ...]) -> Process:
        if len(results) == len(numbers):
            return self._commit(p, ("observed", results), conclude=p.kind not in {"T", "Z"})
        attempt = self.shelf.records[p.rid].attempt(numbers[len(results)])
        if attempt.state is AttemptState.LIVE:
            return p._replace(pc="look", data=(numbers, results, None))
        return p._replace(pc="time", data=(numbers, results))

    @staticmethod
    def _went(
        state: State,
        i: int,
        moved: Process | None,
        before: Process,
        what: tuple[Any, ...],
        kind: str = "",
        breaks: str = "",
    ) -> Move:
        processes = state.processes
        after = processes[:i] + (() if moved is None else (bare(moved),)) + processes[i + 1 :]
        return Move(state._replace(processes=after), who(before), what, kind, breaks)


def _task_for(step: Step) -> str:
    """Which task takes a step, or ``wait``."""
    if isinstance(step, protocol.Wait):
        return "wait"
    return next(task for task, steps in TASKS.items() if isinstance(step, steps))
