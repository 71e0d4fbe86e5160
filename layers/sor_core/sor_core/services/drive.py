"""Drives an order by the protocol: the loop, and the I/O of each step.

The loop is the one drawn in `execution.protocol`; which steps a process may take is its caller's to
say (a handler that a client waits for, a task of the state machine, the sweep).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from sor_core.domain.decision import Decision, NoRoute, NoRouteReason
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import RejectReason
from sor_core.execution import protocol
from sor_core.execution.dues import Ceiling, Counter, changes
from sor_core.execution.plan import legs_of, rest_of
from sor_core.execution.protocol import Intention, Me, Step, TradingMode
from sor_core.execution.record import AttemptState, OrderRecord, Plan, PlannedLeg, TimeInForce
from sor_core.metrics import FAILOVER_EVENTS, UNKNOWN_OUTCOMES
from sor_core.ports_trading import CeilingPassed, Conflict, LedgerError, NotAdmitted, OrderLedger, Saved
from sor_core.routing.decide import decide
from sor_core.routing.screen import admits
from sor_core.services.context import Context
from sor_core.services.desk import SEND_WITHIN_MS, Desk, View
from sor_core.services.quality import measure_end
from sor_core.services.resting import place_to_rest, waits
from sor_core.services.undisturbed import undisturbed

_QUESTIONS = (protocol.Ask, protocol.Replay, protocol.CancelAtVenue)
MODE_LIFE_MS = 500
"""How long the operator's switch is believed between two looks at it; writes of attempts look themselves."""
NO_VENUE_AGAIN_MS = 2000
"""When venues are looked for again where none could be reached."""
_TOO_LITTLE = frozenset({RejectReason.FILTER_SIZE, RejectReason.FILTER_NOTIONAL})
_COMMITS = 6
_T = TypeVar("_T")
Apply = Callable[[OrderRecord], OrderRecord]
May = Callable[[Step, OrderRecord], bool]


class SupersededError(Exception):
    """Another process drives the order."""


class Driver:
    """Takes the steps of the protocol."""

    def __init__(
        self,
        desk: Desk,
        ledger: OrderLedger,
        context: Context,
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._clock = context.clock
        self._sleep = context.sleep
        self._settings = context.settings
        self._log = context.log
        self._metrics = context.metrics
        self._mode = TradingMode.RUNNING
        self._mode_until_ms = 0

    async def mode(self) -> TradingMode:
        """How the operator's switch stands, at most `MODE_LIFE_MS` ago; raises `LedgerError`."""
        now_ms = self._clock.now_ms()
        if now_ms >= self._mode_until_ms:
            self._mode = (await self._ledger.switch()).mode
            self._mode_until_ms = now_ms + MODE_LIFE_MS
        return self._mode

    async def drive(
        self, record: OrderRecord, me: Me, *, until_ms: int, may: May, conclude: bool = True
    ) -> tuple[OrderRecord, Step]:
        """Take the steps that `may` allows, up to a moment; past it each kind of question once at most.

        Returns the record as the ledger holds it and the step that was not taken; `protocol.Stop` where
        another process took over. Raises `LedgerError`: what was sent is then found by the sweep.
        """
        view: View | None = None
        taken: set[type[Step]] = set()
        while True:
            step = protocol.next_step(record, me, self._clock.now_ms(), await self.mode())
            if isinstance(step, protocol.Done | protocol.Stop) or not may(step, record):
                return record, step
            now_ms = self._clock.now_ms()
            if isinstance(step, _QUESTIONS) and now_ms >= until_ms and type(step) in taken:
                return record, step
            taken.add(type(step))
            if isinstance(step, protocol.Wait):
                if step.until_ms > until_ms:
                    return record, step
                await self._sleep(max(0, step.until_ms - now_ms) / 1000)
                record = await self._ledger.load(record.order_id) or record
                continue
            try:
                record, me, view = await self._take(record, me, step, view, conclude=conclude)
            except SupersededError:
                return await self._ledger.load(record.order_id) or record, protocol.Stop()

    async def _take(
        self, record: OrderRecord, me: Me, step: Step, view: View | None, *, conclude: bool
    ) -> tuple[OrderRecord, Me, View | None]:
        apply: Apply
        match step:
            case protocol.Send(numbers):
                return await self._send(record, me, numbers, conclude=conclude)
            case protocol.Ask(numbers):
                seen = await self._desk.lookout.look([record.attempt(n) for n in numbers])
                apply = _each(protocol.observed, numbers, seen, self._clock.now_ms())
            case protocol.Replay(number):
                return await self._replay(record, me, number, conclude=conclude), me, None
            case protocol.CancelAtVenue(numbers):
                told = await self._desk.cancel([record.attempt(n) for n in numbers])
                apply = _each(protocol.cancelled, numbers, told, self._clock.now_ms())
            case protocol.Choose():
                apply, view = await self._choose(record, step)
                return await self._commit(record, me, apply, conclude=conclude), me, view
            case protocol.Intend(plan):
                record, me = await self._intend(record, me, plan, view)
                return record, me, None
            case protocol.Finish() | protocol.Review():
                apply = partial(protocol.finished, step=step, now_ms=self._clock.now_ms())
            case protocol.Done() | protocol.Stop() | protocol.Wait():
                return record, me, None
        return await self._commit(record, me, apply, conclude=conclude), me, None

    async def _send(
        self, record: OrderRecord, me: Me, numbers: Sequence[int], *, conclude: bool
    ) -> tuple[OrderRecord, Me, View | None]:
        outcomes = await self._desk.send([record.attempt(n) for n in numbers], record)
        now_ms = self._clock.now_ms()
        apply = _each(protocol.sent, numbers, outcomes, now_ms)
        me = replace(me, unsent=frozenset())
        told = [a for a in apply(record).attempts if a.number in numbers and a.state is AttemptState.ENDED]
        record, _, _ = await asyncio.gather(
            self._commit(record, me, apply, conclude=conclude),
            self._desk.lookout.watch_visibility(told, now_ms),
            self._desk.tell_health(),
        )
        return record, me, None

    async def _replay(self, record: OrderRecord, me: Me, number: int, *, conclude: bool) -> OrderRecord:
        now_ms = self._clock.now_ms()
        # Counted first: whoever comes after knows that one more copy may be on its way.
        record = await self._commit(
            record, me, partial(protocol.replaying, number=number, now_ms=now_ms), conclude=False
        )
        within_ms = await self._desk.replayable_ms(record.attempt(number))
        self._mode_until_ms = 0  # it may make the order only now: the switch is looked at just before
        if within_ms <= 0 or not (await self.mode()).admits(record.side):
            return record
        outcome = await self._desk.replay(record.attempt(number), within_ms)
        apply = _each(protocol.sent, [number], [outcome], self._clock.now_ms())
        return await self._commit(record, me, apply, conclude=conclude)

    async def _choose(self, record: OrderRecord, step: protocol.Choose) -> tuple[Apply, View | None]:
        """Look for venues for what is left, among those that have not failed the order."""
        rest = rest_of(record.terms.order, step.base, record.terms.price_cap)
        venues = [v for v in self._settings.venues if v not in step.avoid and admits(rest, v)]
        if not venues:
            return _nothing("every venue has failed it"), None
        venues = [v for v in venues if v not in step.held_back]
        if not venues:
            again_at_ms = self._clock.now_ms() + NO_VENUE_AGAIN_MS
            return _nothing("held back from every venue", again_at_ms=again_at_ms), None
        view = await self._desk.view(rest, venues)
        now_ms = self._clock.now_ms()
        cap, policy = record.terms.price_cap, self._settings.policy
        with undisturbed():
            decision = decide(rest, view.markets, view.failures, policy, now_ms)
        legs: tuple[PlannedLeg, ...] = ()
        if isinstance(decision, Decision) and not step.rest_only:
            legs = legs_of(decision.legs, record.side, cap, step.budget, view.instruments)
        elif record.terms.time_in_force is TimeInForce.GTC and (
            isinstance(decision, Decision) or waits(decision)
        ):
            leg = place_to_rest(
                view, record.side, step.base, cap, avoid=step.avoid, policy=policy, now_ms=now_ms
            )
            legs = () if leg is None else (leg,)
        if legs:
            self._log.info("venues chosen", order_id=record.order_id, venues=[leg.venue for leg in legs])
            return partial(protocol.chosen, plan=Plan(tuple(legs), now_ms)), view
        detail = "" if isinstance(decision, Decision) else decision.detail
        self._log.info("no venue chosen", order_id=record.order_id, left=str(step.base), detail=detail)
        if step.held_back or (isinstance(decision, NoRoute) and decision.reason is NoRouteReason.NO_VENUE):
            pause_ms = protocol.RESTING_ASK_MS if step.rest_only else NO_VENUE_AGAIN_MS
            return _nothing(detail, again_at_ms=now_ms + pause_ms), None
        if isinstance(decision, Decision) or decision.reason is NoRouteReason.BELOW_MINIMUM:
            return _nothing(protocol.SPENT), None
        return _nothing(decision.detail), None

    async def _intend(
        self, record: OrderRecord, me: Me, plan: Plan, view: View | None
    ) -> tuple[OrderRecord, Me]:
        """Write a plan's legs down; if another wrote meanwhile, nothing of it holds."""
        if view is None:  # chosen by another process: its market is not known here
            rest = rest_of(record.terms.order, record.terms.base, record.terms.price_cap)
            view = await self._desk.view(rest, [leg.venue for leg in plan.legs])
        legs = [leg for leg in plan.legs if leg.venue in view.instruments]
        intentions, refused = self._desk.intentions(
            record.order_id, record.terms.order, legs, view, len(record.attempts) + 1
        )
        for leg, refusal in refused:
            self._log.warning(
                "leg does not fit", venue=leg.venue, reason=refusal.reason, detail=refusal.detail
            )
        now_ms = self._clock.now_ms()
        if not intentions:
            spent = len(refused) == len(plan.legs) and all(r.reason in _TOO_LITTLE for _, r in refused)
            # A venue of the plan that did not answer now, or takes no orders, says nothing of the rest.
            later = _nothing("no venue of the plan takes it now", again_at_ms=now_ms + NO_VENUE_AGAIN_MS)
            apply = _nothing(protocol.SPENT) if spent else later
            return await self._commit(record, me, apply, conclude=True), me
        after, ready = protocol.intend(
            record, me, intentions, not_after_ms=now_ms + SEND_WITHIN_MS, now_ms=now_ms
        )
        saved = await self._ledger.save(record, after, ceilings_for(record, after, view.ceilings))
        match saved:
            case Saved(written):
                self._count_failovers(record, intentions)
                return written, ready
            case CeilingPassed(counter):
                again_at_ms = now_ms + NO_VENUE_AGAIN_MS
                self._log.warning("claimed by other orders", venue=counter.scope, asset=counter.asset)
                apply = _nothing("claimed by other orders", again_at_ms=again_at_ms)
                return await self._commit(record, me, apply, conclude=True), me
            case Conflict() | NotAdmitted():
                self._mode_until_ms = 0
                return await self._mine(record, me), me

    # Writing --------------------------------------------------------------------------------------

    async def _commit(self, record: OrderRecord, me: Me, apply: Apply, *, conclude: bool) -> OrderRecord:
        """Write what follows from what happened, on whatever others wrote meanwhile."""
        mode = self._mode
        for _ in range(_COMMITS):
            after = apply(record)
            if conclude:
                after = protocol.concluded(after, me, self._clock.now_ms(), mode)
            saved = await self._ledger.save(record, after)
            if isinstance(saved, Saved):
                self._tell(record, saved.record)
                return saved.record
            record = await self._mine(record, me)
        raise LedgerError("the order is written by others again and again")

    async def release(self, record: OrderRecord, me: Me, due_at_ms: int) -> OrderRecord | None:
        """Let the next process go on, whatever others wrote meanwhile; None where it is not ours any more."""
        for _ in range(_COMMITS):
            saved = await self._ledger.save(record, protocol.released(record, due_at_ms=due_at_ms))
            if isinstance(saved, Saved):
                return saved.record
            try:
                record = await self._mine(record, me)
            except SupersededError:
                return None
        raise LedgerError("the order is written by others again and again")

    async def _mine(self, record: OrderRecord, me: Me) -> OrderRecord:
        """Read the order again; raises `SupersededError` where it is not ours any more."""
        found = await self._ledger.load(record.order_id)
        if found is None or found.ending is not None or not protocol.drives(found, me):
            raise SupersededError
        return found

    def _tell(self, before: OrderRecord, after: OrderRecord) -> None:
        """One line for every change of state."""
        old = {a.number: a.state for a in before.attempts}
        for attempt in after.attempts:
            if old.get(attempt.number) is not attempt.state:
                self._log.info(
                    "attempt is",
                    order_id=after.order_id,
                    correlation_id=after.correlation_id,
                    attempt=attempt.number,
                    venue=attempt.venue,
                    state=attempt.state,
                    filled=str(attempt.filled),
                    detail=attempt.detail,
                )
                if attempt.state is AttemptState.UNKNOWN:
                    self._metrics.count(UNKNOWN_OUTCOMES, attempt.venue)
        if before.status is not after.status:
            tell = self._log.warning if after.status is OrderStatus.NEEDS_REVIEW else self._log.info
            tell(
                "order is",
                order_id=after.order_id,
                correlation_id=after.correlation_id,
                status=after.status,
                filled=str(after.filled),
                epoch=after.epoch,
                why="" if after.ending is None else after.ending.why,
            )
            measure_end(self._metrics, after)

    def _count_failovers(self, before: OrderRecord, intentions: Sequence[Intention]) -> None:
        """A part placed elsewhere because a venue of the round before had failed the order."""
        last = max((a.round for a in before.attempts), default=0)
        failed = {a.venue for a in before.attempts if a.round == last} & set(before.avoid)
        for intention in intentions:
            for venue in sorted(failed):
                self._metrics.count(FAILOVER_EVENTS, venue, intention.request.placement.venue)


def ceilings_for(
    before: OrderRecord | None, after: OrderRecord, known: Mapping[Counter, Ceiling]
) -> Mapping[Counter, Ceiling]:
    """The ceilings of the counters that a write makes grow."""
    return {c: known[c] for c, change in changes(before, after).items() if change > 0}


def _nothing(why: str, *, again_at_ms: int | None = None) -> Apply:
    return partial(protocol.nothing_chosen, why=why, again_at_ms=again_at_ms)


def _each(
    transition: Callable[[OrderRecord, int, _T, int], OrderRecord],
    numbers: Sequence[int],
    told: Sequence[_T],
    now_ms: int,
) -> Apply:
    """What follows for several attempts."""

    def apply(record: OrderRecord) -> OrderRecord:
        for number, each in zip(numbers, told, strict=True):
            record = transition(record, number, each, now_ms)
        return record

    return apply
