"""Every process with its I/O: at the ledger (`driving`), at the venues, at the state machine's service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sor_core.execution import protocol
from sor_core.execution.record import Attempt
from tests.explorer import world
from tests.explorer.driving import Driving
from tests.explorer.meanings import CAP, Leg, Spec
from tests.explorer.states import HELD_TICKS, Move, Process, State
from tests.explorer.world import BASE_MS, TICK_MS, Nature, Request


class Processes(Driving):
    """The steps of all processes."""

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

    def moves(self, state: State, i: int) -> Iterator[Move]:  # noqa: C901 - one case for each I/O
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
                # Only the passing of time bears on it, which waits for every process that is awake.
                yield from self._look(state, i, self.told(p))
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
            case _:
                raise ValueError(p.pc)

    def told(self, p: Process) -> Process:
        """A process that asks after an attempt, once the venue has told its time."""
        numbers, results = p.data
        nature = self.shelf.natures[self.shelf.records[p.rid].attempt(numbers[len(results)]).venue]
        told = nature.now_ms - BASE_MS if self.habits.venue_clock else 0
        return p._replace(pc="look", data=(numbers, results, told))

    def _post(self, state: State, i: int, p: Process) -> Iterator[Move]:
        numbers, results = p.data
        number = numbers[len(results)]
        attempt = self.shelf.records[p.rid].attempt(number)
        if self.habits.checks_deadline and attempt.not_after_ms < BASE_MS:
            answer = world.Answer("refused", "not_sent")
            moved = self._answered(p, (*results, (number, answer)))
            yield self._went(state, i, moved, p, ("too late to send", attempt.venue, number))
            return
        breaks = "late bytes" if attempt.not_after_ms < BASE_MS else ""
        nature = self.shelf.natures[attempt.venue]
        if number in state.posted and not nature.is_idempotent:
            breaks = "sent twice"
        window = attempt.request.window
        closes_ms = window.closes_at_ms
        if not self.habits.frozen_window:
            closes_ms = nature.now_ms + nature.window_ms
        request = self._request(attempt, closes_ms)
        for way in self._ways(state, nature, request):
            moved = self._answered(p, (*results, (number, way.answer)))
            after = state._replace(
                orders=way.orders,
                wire=way.wire,
                faults=state.faults + way.faults,
                posted=state.posted if way.tag in {"not sent", "held back"} else state.posted | {number},
            )
            what = ("post", attempt.venue, number, way.tag, way.filled, request.price)
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "", breaks)

    def _request(self, attempt: Attempt, closes_ms: int) -> Request:
        """What leaves: it may become an order until its window has closed and the venue has settled."""
        nature = self.shelf.natures[attempt.venue]
        ticks_left = -1
        if closes_ms >= nature.now_ms:
            ticks_left = (closes_ms + nature.settle_ms - nature.now_ms) // TICK_MS + self.setting.slow_ticks
        return Request(
            attempt.venue,
            attempt.number,
            int(attempt.size),
            int(attempt.limit_price),
            attempt.rests,
            ticks_left,
        )

    def _ways(self, state: State, nature: Nature, request: Request) -> Iterator[world.Posted]:
        copies = self.setting.copies_fill
        for way in world.post(nature, state.orders, state.wire, request, copies_fill=copies):
            is_refusal = (
                way.faults and way.answer.kind == "refused" and way.tag not in {"not sent", "held back"}
            )
            if state.faults + way.faults <= self.setting.faults and (self.setting.refuses or not is_refusal):
                yield way

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
        p = p._replace(mode=state.mode)  # looked at just before: it may make the order only now
        if window.closes_at_ms <= nature.now_ms or state.mode:
            why = "not repeated: halted" if state.mode else "window closed"
            yield self._went(state, i, self.resume(p), p, (why, attempt.venue, number))
            return
        request = self._request(attempt, window.closes_at_ms)
        breaks = "" if nature.is_idempotent else "sent twice"
        for way in self._ways(state, nature, request):
            moved = self._commit(p, ("sent", ((number, way.answer),)), conclude=p.kind not in {"T", "Z"})
            after = state._replace(orders=way.orders, wire=way.wire, faults=state.faults + way.faults)
            what = ("repeat", attempt.venue, number, way.tag, way.filled, request.price)
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "", breaks)

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
            if self.setting.torn and (shows.filled > 1 or self.setting.torn > 1):
                # The amount lags behind the state: the list of fills shows that it does.
                torn = shows._replace(filled=shows.filled - 1)
                fills = shows.filled if self.habits.fetches_fills and torn.filled else torn.filled
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
        request = Request(nature.name, at + 1, self.setting.legs[0].size, CAP, False, ticks_left)
        for way in self._ways(state, nature, request):
            more = at + 1 < len(self.setting.venues) and way.answer.kind != "placed"
            after = state._replace(orders=way.orders, wire=way.wire, faults=state.faults + way.faults)
            what = ("post", nature.name, at + 1, way.tag, way.filled, CAP)
            moved = p._replace(data=(at + 1,)) if more else None
            yield self._went(after, i, moved, p, what, "fault" if way.faults else "")
