"""The real functions of the protocol, on numbered records.

Each distinct `OrderRecord` is kept once, without what nothing depends on (history, texts, random
names), and goes by its number; what a function of the protocol makes of it is remembered. That is
sound because these functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    Fence,
    Fill,
    FrozenRequest,
    NotOpen,
    OrderKind,
    Placement,
    SendWindow,
)
from sor_core.execution import dues, evidence, protocol
from sor_core.execution.protocol import Intention, Me, Step
from sor_core.execution.record import (
    Attempt,
    OrderRecord,
    Plan,
    Terms,
    client_order_id,
)
from tests.explorer import world
from tests.explorer.meanings import (
    CAP,
    HANDED_OVER_FOR_MS,
    MODES,
    NO_VENUE_AGAIN_MS,
    ORDER_ID,
    OWNED_FOR_MS,
    SEND_WITHIN_MS,
    SYMBOL,
    Leg,
    Spec,
    observation,
    outcome,
    planned,
    venue_order,
)
from tests.explorer.records import NOTHING, Facts, aged, blank, facts_of, plain
from tests.explorer.world import BASE_MS, TICK_MS, Nature, Resting


class Shelf:
    """All records that came up."""

    def __init__(self, natures: Sequence[Nature], terms: Terms) -> None:
        self.natures = {n.name: n for n in natures}
        self.blank = blank(terms)
        self.records: list[OrderRecord] = [replace(self.blank, order_id="-")]
        """Number 0 stands for nothing written."""
        self.facts: list[Facts] = [NOTHING]
        self._numbers: dict[OrderRecord, int] = {}
        self._memo: dict[Any, Any] = {}

    # Records --------------------------------------------------------------------------------------

    def put(self, record: OrderRecord) -> int:
        """Give a record its number."""
        record = plain(record)
        number = self._numbers.get(record)
        if number is None:
            number = self._numbers[record] = len(self.records)
            self.records.append(record)
            self.facts.append(facts_of(record))
        return number

    def later(self, rid: int) -> int:
        """The record a tick later."""
        found = self._memo.get(("later", rid))
        if found is None:
            found = self.put(aged(self.records[rid])) if rid else 0
            self._memo["later", rid] = found
        return int(found)

    def claims(self, rid: int) -> int:
        """What the order claims of the day's notional and of holds, in units of the cap's price."""
        key = ("claims", rid)
        if key not in self._memo:
            claimed = dues.claims(self.records[rid]) if rid else {}
            self._memo[key] = int(sum(claimed.values(), Decimal(0)) / CAP)
        return int(self._memo[key])

    def shares(self, before: int, after: int) -> bool:
        """Whether a write is a transaction: it adds attempts, or claims more or less than before."""
        key = ("shares", before, after)
        if key not in self._memo:
            old = self.records[before] if before else None
            new = self.records[after]
            adds = len(new.attempts) > (0 if old is None else len(old.attempts))
            self._memo[key] = adds or bool(dues.changes(old, new))
        return bool(self._memo[key])

    # The protocol ---------------------------------------------------------------------------------

    def next_step(self, rid: int, me: tuple[str, int], unsent: tuple[int, ...], mode: int) -> Step:
        """`protocol.next_step`."""
        key = ("next", rid, me, unsent, mode)
        step: Step | None = self._memo.get(key)
        if step is None:
            myself = Me(me[0], me[1], frozenset(unsent))
            step = protocol.next_step(self.records[rid], myself, BASE_MS, MODES[mode])
            self._memo[key] = step
        return step

    def drives(self, rid: int, me: tuple[str, int]) -> bool:
        """`protocol.drives`."""
        return protocol.drives(self.records[rid], Me(*me))

    def apply(self, rid: int, spec: Spec, me: tuple[str, int], mode: int, *, conclude: bool) -> int:
        """What follows from what happened, concluded where that is due in the same write."""
        key = ("apply", rid, spec, me if conclude else None, mode if conclude else 0)
        if key not in self._memo:
            record = self.apply_to(self.records[rid], spec)
            if conclude:
                record = protocol.concluded(record, Me(*me), BASE_MS, MODES[mode])
            self._memo[key] = self.put(record)
        return int(self._memo[key])

    @staticmethod
    def apply_to(record: OrderRecord, spec: Spec) -> OrderRecord:  # noqa: C901 - one case for each function
        """The transition functions of the protocol."""
        match spec:
            case ("sent", results):
                for number, answer in results:
                    record = protocol.sent(record, number, outcome(record.attempt(number), answer), BASE_MS)
            case ("observed", results):
                for number, seen in results:
                    record = protocol.observed(
                        record, number, observation(record.attempt(number), seen), BASE_MS
                    )
            case ("cancelled", results):
                for number, was_taken in results:
                    told: CancelOutcome = Cancelled(None) if was_taken else NotOpen("")
                    record = protocol.cancelled(record, number, told, BASE_MS)
            case ("replaying", number):
                record = protocol.replaying(record, number, BASE_MS)
            case ("chosen", legs):
                record = protocol.chosen(record, Plan(tuple(planned(leg) for leg in legs), BASE_MS))
            case ("nothing", why, again):
                record = protocol.nothing_chosen(
                    record, why, again_at_ms=BASE_MS + NO_VENUE_AGAIN_MS if again else None
                )
            case ("finish", step):
                record = protocol.finished(record, step, BASE_MS)
            case _:
                raise ValueError(spec)
        return record

    def intended(self, rid: int, me: tuple[str, int], legs: tuple[Leg, ...]) -> tuple[int, tuple[int, ...]]:
        """`protocol.intend`: the record, and what is to be sent."""
        key = ("intend", rid, me, legs)
        if key not in self._memo:
            record = self.records[rid]
            first = len(record.attempts) + 1
            made = [self._intention(leg, first + i) for i, leg in enumerate(legs)]
            after, ready = protocol.intend(
                record, Me(*me), made, not_after_ms=BASE_MS + SEND_WITHIN_MS, now_ms=BASE_MS
            )
            self._memo[key] = self.put(after), tuple(sorted(ready.unsent))
        found: tuple[int, tuple[int, ...]] = self._memo[key]
        return found

    def _intention(self, leg: Leg, number: int) -> Intention:
        nature = self.natures[leg.venue]
        placement = Placement(
            leg.venue,
            SYMBOL,
            Side.BUY,
            OrderKind.LIMIT_GTC if leg.rests else OrderKind.LIMIT_IOC,
            client_order_id(ORDER_ID, number),
            Decimal(leg.size),
            Decimal(leg.price),
        )
        window = SendWindow(nature.now_ms, nature.now_ms + nature.window_ms)
        fence = Fence(nature.settle_ms, nature.visible_ms, nature.absence_proves)
        request = FrozenRequest(placement, "POST", "/", "", b"", window)
        return Intention(request, Decimal(0), fence, nature.is_idempotent)

    def claimed(self, rid: int, owner: str, epoch: int) -> int | None:
        """`protocol.claimed`."""
        key = ("claimed", rid, owner, epoch)
        if key not in self._memo:
            found = protocol.claimed(
                self.records[rid], owner, epoch, BASE_MS, due_at_ms=BASE_MS + OWNED_FOR_MS
            )
            self._memo[key] = None if found is None else self.put(found[0])
        number: int | None = self._memo[key]
        return number

    def taken_over(self, rid: int, owner: str, *, by_cancel: bool) -> int:
        """`protocol.taken_over`, by the sweep or together with a cancel request."""
        key = ("taken_over", rid, owner, by_cancel)
        if key not in self._memo:
            record, for_ms = self.records[rid], HANDED_OVER_FOR_MS
            if by_cancel:
                record, for_ms = protocol.cancel_asked(record, BASE_MS), OWNED_FOR_MS
            after, _ = protocol.taken_over(record, owner, BASE_MS, due_at_ms=BASE_MS + for_ms)
            self._memo[key] = self.put(after)
        return int(self._memo[key])

    def cancel_asked(self, rid: int) -> int:
        """`protocol.cancel_asked`."""
        key = ("cancel_asked", rid)
        if key not in self._memo:
            self._memo[key] = self.put(protocol.cancel_asked(self.records[rid], BASE_MS))
        return int(self._memo[key])

    def released(self, rid: int, ticks: int) -> int:
        """`protocol.released`."""
        key = ("released", rid, ticks)
        if key not in self._memo:
            due_at_ms = BASE_MS + ticks * TICK_MS
            self._memo[key] = self.put(protocol.released(self.records[rid], due_at_ms=due_at_ms))
        return int(self._memo[key])

    def reviewed(self, rid: int, number: int, copy: int, shows: Resting | None) -> int | None:
        """`protocol.reviewed`; None where it refuses."""
        record = self.records[rid]
        found = None
        if shows is not None:
            found = venue_order(record.attempt(number), copy, shows, shows.filled)
        try:
            return self.put(protocol.reviewed(record, number, found, "", "", BASE_MS))
        except protocol.ProtocolError:
            return None

    # Evidence -------------------------------------------------------------------------------------

    def judged(self, rid: int, number: int, told: int, looked: world.Looked, *, witness: bool) -> Spec:
        """What a look proves, as `services.desk` takes it through the query and the lists.

        `told` is the time that the venue told before, against `BASE_MS`.
        """
        key = ("judged", rid, number, told, looked, witness)
        if key not in self._memo:
            self._memo[key] = self._judge(self.records[rid].attempt(number), told, looked, witness=witness)
        found: Spec = self._memo[key]
        return found

    def _judge(self, attempt: Attempt, told: int, looked: world.Looked, *, witness: bool) -> Spec:
        if BASE_MS + told < protocol.fence_at(attempt):
            return ("absent", told, False)
        orders = [venue_order(self.attempt_for(attempt, o), o.copy, o.shows, None) for o in looked.orders]
        if witness:
            younger = replace(attempt.request.placement, client_order_id="f" * 32)
            shown = replace(attempt, number=99, request=replace(attempt.request, placement=younger))
            order = venue_order(shown, 0, Resting(0, final=True), None)
            orders.append(replace(order, created_at_ms=self.natures[attempt.venue].now_ms))
        fills = [
            Fill(f"{n}.{c}", Decimal(CAP), Decimal(size), Decimal(0), "USDT", f"{n}.{c}")
            for n, c, size in looked.fills
        ]
        match evidence.judge(attempt, BASE_MS + told, orders, fills):
            case protocol.Seen(order):
                shows = Resting(int(order.filled_size), order.state.is_final)
                return ("seen", int(order.venue_order_id.partition(".")[2]), shows, None)
            case protocol.NotSeen(absence):
                return ("absent", told, absence.witnessed)
            case protocol.NoWord():
                return ("no word",)

    @staticmethod
    def attempt_for(attempt: Attempt, order: world.VenueOrder) -> Attempt:
        """As much of an attempt as the venue's order of it repeats."""
        if order.number == attempt.number:
            return attempt
        placement = replace(
            attempt.request.placement,
            client_order_id=client_order_id(ORDER_ID, order.number),
            size=Decimal(order.size),
            limit_price=Decimal(order.price),
        )
        return replace(attempt, number=order.number, request=replace(attempt.request, placement=placement))
