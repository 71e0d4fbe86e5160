"""The processes that may move an order, as explicit state machines.

They mirror `services.drive`, `services.execute` and `services.failover`: what those do between two
I/Os happens at once, each I/O is one step. A process that stops for ever, or for a while (Lambda
freezes it), is `frozen`: it may go on at any later moment, or never.

====== =============================================================================================
kind   stands for
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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sor_core.execution import protocol
from sor_core.execution.protocol import Step
from sor_core.execution.record import AttemptState, OrderStatus
from sor_core.services.failover import _TASKS, _name
from tests.explorer import world
from tests.explorer.shelf import CAP, LONG_AGO, Leg, Shelf, Spec
from tests.explorer.world import BASE_MS, TICK_MS, Orders, Request

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
    idempotent_only: bool = True


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
    torn: bool = False
    witnesses: bool = False
    naive: bool = False
    may_run_dry: bool = True
    """Whether the market may have nothing more for the rest."""


class Processes:
    """The steps of all processes."""

    def __init__(self, shelf: Shelf, setting: Setting, habits: Habits) -> None:
        self.shelf = shelf
        self.setting = setting
        self.habits = habits
        self._resumed: dict[Process, Process | None] = {}

    def begin(self) -> State:
        """The moment before the order is written down."""
        setting, shelf = self.setting, self.shelf
        spare = (setting.cancels, setting.halts, setting.twice, setting.lies)
        if setting.naive:
            first = Process("N", "post", (0,))
            return State(0, 0, 0, (), (), (first,), 0, frozenset(), spare)
        owned = protocol.claimed(shelf.blank, "p1", 1, BASE_MS, due_at_ms=BASE_MS + HELD_TICKS * TICK_MS)
        assert owned is not None
        after, numbers = shelf.intended(shelf.put(owned[0]), ("p1", 1), setting.legs)
        handler = Process("H", "save", (after, ("accept", numbers), False), owner=1, epoch=1)
        if not self.habits.intent_first:
            handler = handler._replace(pc="post", data=(numbers, ()), rid=after, unsent=numbers)
        return State(0, 0, 0, (), (), (handler,), 0, frozenset(), spare)

    # One step -------------------------------------------------------------------------------------

    def moves(self, state: State, i: int) -> Iterator[Move]:
        """Every way in which a process's next I/O may go."""
        p = state.processes[i]
        match p.pc:
            case "save":
                yield from self._save(state, i, p)
            case "again":
                yield from self._again(state, i, p)
            case "load":
                yield self._load(state, i, p)
            case "post":
                yield from self._naive(state, i, p) if p.kind == "N" else self._post(state, i, p)
            case "time":
                yield self._time(state, i, p)
            case "look":
                yield from self._look(state, i, p)
            case "cancel":
                yield from self._cancel(state, i, p)
            case "choose":
                yield from self._choose(state, i, p)
            case "replay":
                yield from self._replay(state, i, p)
            case "start":
                yield from self._start(state, i, p)

    # The ledger -----------------------------------------------------------------------------------

    def _save(self, state: State, i: int, p: Process) -> Iterator[Move]:
        after, spec, _ = p.data
        name = spec[0]
        habits = self.habits
        if p.behind and habits.checks_version:
            mine = state.ledger == after and not habits.random_tokens and p.behind == 1
            if mine:
                yield self._went(state, i, self._saved(p._replace(behind=0), after, spec), p, ("took for its own", name))
            else:
                yield self._went(state, i, self._conflict(p, spec), p, ("conflict", name))
            return
        adds = name in {"accept", "intend"}
        if adds and state.mode:
            moved = None if name == "accept" else p._replace(pc="load", data=("mine", (), True), mode=1)
            yield self._went(state, i, moved, p, ("not admitted", name))
            return
        breaks = ""
        if name == "intend" and state.ledger and p.epoch != self.shelf.facts[state.ledger].epoch:
            breaks = "stale"
        drift = state.drift
        written = self._written(state, i, after, drift)
        yield self._went(written, i, self._saved(p._replace(behind=0), after, spec), p, ("saved", name, after), breaks=breaks)
        if state.faults < self.setting.faults:
            more = written._replace(faults=state.faults + 1)
            yield self._went(more, i, p._replace(pc="again", behind=0), p, ("saved, no answer", name, after), "fault")
            if name == "intend":
                claimed = self._commit(p, ("nothing", "claimed", True), conclude=True)
                yield self._went(
                    state._replace(faults=state.faults + 1), i, claimed, p, ("claimed by other orders",), "fault"
                )

    def _written(self, state: State, i: int, after: int, drift: int) -> State:
        if not self.habits.checks_version:
            drift = 0
        others = tuple(
            q if j == i or q.behind == 2 else q._replace(behind=q.behind + 1)  # noqa: PLR2004 - see Process
            for j, q in enumerate(state.processes)
        )
        return state._replace(ledger=after, processes=others, drift=drift)

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
            case ("release", rests, told):
                if p.kind in {"T", "Z"}:
                    return self._told(p, *told)
                return None if rests else p._replace(pc="start", data=(p.epoch,))
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
            case "release":
                return self._told(p, *spec[2]) if p.kind in {"T", "Z"} else None
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
                moved = self._told(p, "reconcile", 0)
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
                return None if after == p.rid else p._replace(pc="save", data=(after, ("asked", False), False))
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

    # Between two I/Os -----------------------------------------------------------------------------

    def resume(self, p: Process) -> Process | None:
        """Take the next step of the protocol as far as its I/O."""
        key = p._replace(pc="", data=(), behind=0)
        if key not in self._resumed:
            self._resumed[key] = self._resume(p)
        found = self._resumed[key]
        return None if found is None else found._replace(behind=p.behind)

    def _resume(self, p: Process) -> Process | None:
        step = self.shelf.next_step(p.rid, p.me, p.unsent, p.mode)
        if isinstance(step, protocol.Done | protocol.Stop | protocol.Wait) or not self._may(p, step):
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

    def _may(self, p: Process, step: Step) -> bool:
        """Which steps are a process's own: `execute._in_handler`, `_cancelling`, `failover._TASKS`, `_following`."""
        record = self.shelf.records[p.rid]
        match p.kind, step:
            case "T" | "Z", _:
                return isinstance(step, _TASKS[p.task])
            case "H", protocol.Ask(numbers):
                return all(record.attempt(n).state is AttemptState.LIVE for n in numbers)
            case "H", protocol.Choose():
                return not record.avoid
            case "H", _:
                return not isinstance(step, protocol.Replay)
            case _:
                return isinstance(
                    step, protocol.CancelAtVenue | protocol.Ask | protocol.Finish | protocol.Review
                )

    def _commit(self, p: Process, spec: Spec, *, conclude: bool) -> Process:
        after = self.shelf.apply(p.rid, spec, p.me, p.mode, conclude=conclude)
        return p._replace(pc="save", data=(after, spec, conclude), unsent=())

    def _leave(self, p: Process, step: Step) -> Process | None:
        """Hand the order on: `execute.leave`, `failover._leave`."""
        facts = self.shelf.facts[p.rid]
        is_task = p.kind in {"T", "Z"}
        if facts.ended or isinstance(step, protocol.Done):
            return None
        if isinstance(step, protocol.Stop):
            return self._told(p, "reconcile", 0) if is_task else None
        ticks = 0
        if isinstance(step, protocol.Wait):
            ticks = max(1, -(-(step.until_ms - BASE_MS) // TICK_MS))
        rests = facts.status is OrderStatus.RESTING and isinstance(step, protocol.Wait)
        held = ticks if rests else (ticks if is_task else 0) + HELD_TICKS
        after = self.shelf.released(p.rid, held)
        told = ("done", 0) if rests else (_name(step), ticks)
        return p._replace(pc="save", data=(after, ("release", rests, told), False), unsent=())

    def _told(self, p: Process, answer: str, ticks: int) -> Process | None:
        """What the machine does with a task's answer; for any other process this is the end."""
        if p.kind != "T" or answer == "done":
            return None
        idle = Process("T", "sleep", (max(1, ticks),), task="reconcile", epoch=p.epoch)
        if answer == "wait":
            return idle
        task = {"finalise": "finalise", "review": "review", "choose": "choose", "place": "place"}.get(
            answer, "reconcile"
        )
        return idle._replace(pc="load", data=("start", (), False), task=task)

    # The venues -----------------------------------------------------------------------------------

    def _post(self, state: State, i: int, p: Process) -> Iterator[Move]:
        numbers, results = p.data
        number = numbers[len(results)]
        attempt = self.shelf.records[p.rid].attempt(number)
        if self.habits.checks_deadline and attempt.not_after_ms < BASE_MS:
            answer = world.Answer("refused", "not_sent")
            moved = self._answered(p, (*results, (number, answer)))
            yield self._went(state, i, moved, p, ("too late to send", attempt.venue, number))
            return
        breaks = "late" if attempt.not_after_ms < BASE_MS else ""
        nature = self.shelf.natures[attempt.venue]
        if number in state.posted and not nature.is_idempotent:
            breaks = "twice"
        window = attempt.request.window
        closes_ms = window.closes_at_ms
        if not self.habits.frozen_window:
            closes_ms = nature.now_ms + nature.window_ms
        if closes_ms < nature.now_ms:
            ticks_left = -1
        else:
            ticks_left = (closes_ms + nature.settle_ms - nature.now_ms) // TICK_MS
        request = Request(
            attempt.venue, number, int(attempt.size), int(attempt.limit_price), attempt.rests, ticks_left
        )
        for way in world.post(nature, state.orders, state.wire, request):
            if state.faults + way.faults > self.setting.faults:
                continue
            moved = self._answered(p, (*results, (number, way.answer)))
            after = state._replace(
                orders=way.orders,
                wire=way.wire,
                faults=state.faults + way.faults,
                posted=state.posted if way.tag == "not sent" else state.posted | {number},
            )
            what = ("post", attempt.venue, number, way.tag, way.filled, request.price)
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "", breaks)

    def _answered(self, p: Process, results: tuple[Any, ...]) -> Process:
        numbers, _ = p.data
        if len(results) < len(numbers):
            return p._replace(data=(numbers, results))
        p = p._replace(unsent=())
        if not self.habits.intent_first and p.kind == "H" and not p.behind and p.data[0][0] == 1:
            after = self.shelf.apply(p.rid, ("sent", results), p.me, p.mode, conclude=False)
            return p._replace(pc="save", data=(after, ("accepted", ()), False), rid=0)
        return self._commit(p, ("sent", results), conclude=p.kind not in {"T", "Z"})

    def _replay(self, state: State, i: int, p: Process) -> Iterator[Move]:
        """`Desk.replay`: only while the venue says that its window is open."""
        (number,) = p.data
        attempt = self.shelf.records[p.rid].attempt(number)
        nature = self.shelf.natures[attempt.venue]
        window = attempt.request.window
        if window.closes_at_ms <= nature.now_ms and self.habits.idempotent_only:
            yield self._went(state, i, self.resume(p), p, ("window closed", attempt.venue, number))
            return
        closes_ms = max(window.closes_at_ms, nature.now_ms)
        ticks_left = (closes_ms + nature.settle_ms - nature.now_ms) // TICK_MS
        request = Request(
            attempt.venue, number, int(attempt.size), int(attempt.limit_price), attempt.rests, ticks_left
        )
        breaks = "" if nature.is_idempotent else "twice"
        for way in world.post(nature, state.orders, state.wire, request):
            if state.faults + way.faults > self.setting.faults:
                continue
            moved = self._commit(p, ("sent", ((number, way.answer),)), conclude=p.kind not in {"T", "Z"})
            after = state._replace(orders=way.orders, wire=way.wire, faults=state.faults + way.faults)
            what = ("repeat", attempt.venue, number, way.tag, way.filled, request.price)
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "", breaks)

    def _asking(self, p: Process, numbers: tuple[int, ...], results: tuple[Any, ...]) -> Process:
        if len(results) == len(numbers):
            return self._commit(p, ("observed", results), conclude=p.kind not in {"T", "Z"})
        attempt = self.shelf.records[p.rid].attempt(numbers[len(results)])
        if attempt.state is AttemptState.LIVE:
            return p._replace(pc="look", data=(numbers, results, None))
        return p._replace(pc="time", data=(numbers, results))

    def _time(self, state: State, i: int, p: Process) -> Move:
        numbers, results = p.data
        nature = self.shelf.natures[self.shelf.records[p.rid].attempt(numbers[len(results)]).venue]
        told = nature.now_ms - BASE_MS if self.habits.venue_clock else 0
        return self._went(
            state, i, p._replace(pc="look", data=(numbers, results, told)), p, ("time", nature.name)
        )

    def _look(self, state: State, i: int, p: Process) -> Iterator[Move]:
        numbers, results, told = p.data
        number = numbers[len(results)]
        setting = self.setting
        record = self.shelf.records[p.rid]
        attempt = record.attempt(number)
        nature = self.shelf.natures[attempt.venue]
        ways = world.look(
            nature,
            state.orders,
            number,
            query_is_blind=setting.query_is_blind and attempt.order is None,
            may_lie=bool(state.spare[3]),
        )
        seen: list[tuple[int, int, str, Spec]] = []
        for way in ways:
            for faults, tag, spec in self._shown(p.rid, number, told, way):
                seen.append((way.faults + faults, way.lies, f"{way.tag}{tag}", spec))
        seen.append((1, 0, "no answer", ("no word",)))
        told_already: set[Spec] = set()
        for faults, lies, tag, spec in seen:
            if state.faults + faults > setting.faults or spec in told_already:
                continue
            told_already.add(spec)
            after = state._replace(
                faults=state.faults + faults, spare=(*state.spare[:3], state.spare[3] - lies)
            )
            moved = self._asking(p, numbers, (*results, (number, spec)))
            yield self._went(
                after, i, moved, p, ("look", nature.name, number, tag, spec), "fault" if faults else ""
            )

    def _shown(
        self, rid: int, number: int, told: int | None, way: world.Looked
    ) -> Iterator[tuple[int, str, Spec]]:
        """What `Desk._look` makes of the answers."""
        order = way.query
        if order is not None:
            shows = order.shows
            if not shows.final or not shows.filled:
                yield 0, "", ("seen", order.copy, shows, 0 if shows.final else None)
                return
            yield 0, "", ("seen", order.copy, shows, shows.filled)
            yield 1, ", fills behind", ("seen", order.copy, shows, shows.filled - 1)
            if self.setting.torn and shows.filled > 1:
                # The amount lags behind the state: the list of fills shows that it does.
                torn = shows._replace(filled=shows.filled - 1)
                fills = shows.filled if self.habits.looks_in_history else torn.filled
                yield 1, ", amount behind", ("seen", order.copy, torn, fills)
            return
        if told is None:
            yield 0, "", ("no word",)
            return
        if not self.habits.looks_in_history:
            way = way._replace(orders=(), fills=())
        yield 0, "", self.shelf.judged(rid, number, told, way, witness=False)
        if self.setting.witnesses and not way.lies:
            yield 0, ", a younger order", self.shelf.judged(rid, number, told, way, witness=True)

    def _cancel(self, state: State, i: int, p: Process) -> Iterator[Move]:
        numbers, results = p.data
        number = numbers[len(results)]
        venue = self.shelf.records[p.rid].attempt(number).venue

        def told(*, was_taken: bool) -> Process:
            done = (*results, (number, was_taken))
            if len(done) < len(numbers):
                return p._replace(data=(numbers, done))
            return self._commit(p, ("cancelled", done), conclude=p.kind not in {"T", "Z"})

        ended = tuple(
            o._replace(shows=o.shows._replace(final=True)) if o.number == number else o for o in state.orders
        )
        is_open = ended != state.orders
        after = state._replace(orders=ended)
        yield self._went(after, i, told(was_taken=is_open), p, ("cancel", venue, number, "done"))
        if state.faults < self.setting.faults and is_open:
            lost = state._replace(faults=state.faults + 1)
            yield self._went(lost, i, told(was_taken=False), p, ("cancel", venue, number, "lost"), "fault")
            done = after._replace(faults=state.faults + 1)
            yield self._went(
                done, i, told(was_taken=False), p, ("cancel", venue, number, "answer lost"), "fault"
            )

    def _choose(self, state: State, i: int, p: Process) -> Iterator[Move]:
        base, avoid = p.data
        conclude = p.kind not in {"T", "Z"}
        able = [v for v in self.setting.venues if v not in avoid]
        if not able:
            moved = self._commit(p, ("nothing", "every venue has failed it", False), conclude=conclude)
            yield self._went(state, i, moved, p, ("chose nothing",))
            return
        price = CAP if self.habits.frozen_cap else CAP + 1
        leg = Leg(able[0], base, price, self.setting.rests)
        moved = self._commit(p, ("chosen", (leg,)), conclude=conclude)
        yield self._went(state, i, moved, p, ("chose", able[0], base, price))
        if self.setting.may_run_dry:
            moved = self._commit(p, ("nothing", "nothing within the cap", False), conclude=conclude)
            yield self._went(state, i, moved, p, ("chose nothing",))
        if state.faults < self.setting.faults:
            moved = self._commit(p, ("nothing", "", True), conclude=conclude)
            more = state._replace(faults=state.faults + 1)
            yield self._went(more, i, moved, p, ("no venue answers",), "fault")

    def _start(self, state: State, i: int, p: Process) -> Iterator[Move]:
        (epoch,) = p.data
        machine = Process("T", "load", ("start", (), False), task="reconcile", epoch=epoch)
        runs = any(q.kind == "T" and q.epoch == epoch for q in state.processes)
        started = state if runs else state._replace(processes=(*state.processes, machine))
        yield self._went(started, i, None, p, ("started the machine", epoch))
        if state.faults < self.setting.faults:
            failed = state._replace(faults=state.faults + 1)
            yield self._went(failed, i, None, p, ("could not start the machine", epoch), "fault")

    def _naive(self, state: State, i: int, p: Process) -> Iterator[Move]:
        """`execute_with_failover` of the requirements: whatever goes wrong, the next venue."""
        (at,) = p.data
        nature = self.shelf.natures[self.setting.venues[at]]
        ticks_left = (nature.window_ms + nature.settle_ms) // TICK_MS
        request = Request(nature.name, at + 1, self.setting.legs[0].size, CAP, False, ticks_left)  # noqa: FBT003
        for way in world.post(nature, state.orders, state.wire, request):
            if state.faults + way.faults > self.setting.faults:
                continue
            more = at + 1 < len(self.setting.venues) and way.answer.kind != "placed"
            after = state._replace(orders=way.orders, wire=way.wire, faults=state.faults + way.faults)
            what = ("post", nature.name, at + 1, way.tag, way.filled, CAP)
            moved = p._replace(data=(at + 1,)) if more else None
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "")

    # ----------------------------------------------------------------------------------------------

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
        after = processes[:i] + (() if moved is None else (moved,)) + processes[i + 1 :]
        return Move(state._replace(processes=after), who(before), what, kind, breaks)


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
            data = (shelf.later(data[0]), _aged(data[1]), data[2])
        case "load":
            data = (data[0], _aged(data[1]), data[2])
        case "time":
            data = (data[0], _aged_results(data[1]))
        case "look":
            told = None if data[2] is None else max(data[2] - TICK_MS, -LONG_AGO)
            data = (data[0], _aged_results(data[1]), told)
    return p._replace(rid=shelf.later(p.rid), data=data)


def _aged(spec: Spec) -> Spec:
    return ("observed", _aged_results(spec[1])) if spec and spec[0] == "observed" else spec


def _aged_results(results: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        (number, ("absent", max(seen[1] - TICK_MS, -LONG_AGO), seen[2]) if seen[0] == "absent" else seen)
        for number, seen in results
    )

