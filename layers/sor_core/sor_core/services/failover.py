"""What the state machine and the sweep do about orders that their handlers have left.

The machine (statemachines/failover.asl.json) calls one task after another; each takes the order for
the length of one invocation, takes those steps of the protocol that the task is named for, and says
what is next. Whatever goes wrong leads back to `reconcile`. The sweep finds orders that nobody looks
after any more: it follows those that rest, and starts the machine anew for the others, under a
higher epoch.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sor_core.domain.order_status import OrderStatus
from sor_core.execution import protocol
from sor_core.execution.protocol import Me, Step
from sor_core.execution.record import OrderRecord
from sor_core.metrics import ORDERS_DUE
from sor_core.ports import StateError
from sor_core.ports_trading import Failover, LedgerError, OrderLedger, Saved
from sor_core.services.context import Context
from sor_core.services.desk import Desk
from sor_core.services.drive import Driver
from sor_core.services.follow import HANDED_OVER_FOR_MS, OWNED_FOR_MS, Follower, rests
from sor_core.services.quality import measure_day, measure_reviews

LOOK_AGAIN_S = 5
"""How soon to look again where another invocation has the order."""
SWEEP_AT_ONCE = 8
SWEEP_MOST = 200
SWEEP_FOR_MS = 40_000
"""No further order is begun with after that long: the next sweep comes soon."""

_TASKS: Mapping[str, tuple[type[Step], ...]] = {
    "reconcile": (protocol.Ask, protocol.Replay, protocol.CancelAtVenue),
    "choose": (protocol.Choose,),
    "place": (protocol.Intend, protocol.Send),
    "finalise": (protocol.Finish,),
    "review": (protocol.Review,),
}
"""What each task of the machine does."""


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """What the machine does next."""

    next: str
    """A task's name, ``wait`` (then reconcile) or ``done``."""
    wait_s: int
    status: str
    detail: str = ""


class FailoverService:
    """Carries orders on."""

    def __init__(
        self,
        desk: Desk,
        follower: Follower,
        driver: Driver,
        ledger: OrderLedger,
        failover: Failover,
        context: Context,
    ) -> None:
        self._follower = follower
        self._driver = driver
        self._ledger = ledger
        self._desk = desk
        self._failover = failover
        self._clock = context.clock
        self._new_id = context.new_id
        self._log = context.log
        self._metrics, self._settings = context.metrics, context.settings

    async def task(self, name: str, order_id: str, epoch: int) -> TaskAnswer:
        """Do one task for an order; raises `LedgerError`, and `ValueError` for an unknown task."""
        if name not in _TASKS:
            raise ValueError(f"expected a task among {', '.join(_TASKS)}")
        allowed = _TASKS[name]
        record = await self._ledger.load(order_id)
        if record is None:
            return TaskAnswer("done", 0, "unknown", "there is no such order")
        if record.ending is not None:
            return TaskAnswer("done", 0, record.status)
        if record.epoch != epoch:
            return TaskAnswer("done", 0, record.status, "another execution has taken over")
        now_ms = self._clock.now_ms()
        taken = protocol.claimed(record, self._new_id(), epoch, now_ms, due_at_ms=now_ms + OWNED_FOR_MS)
        if taken is None:
            wait_s = min(LOOK_AGAIN_S, max(1, math.ceil((record.due_at_ms - now_ms) / 1000)))
            return TaskAnswer("wait", wait_s, record.status, "another invocation may still be at work")
        claimed, me = taken
        saved = await self._ledger.save(record, claimed)
        if not isinstance(saved, Saved):
            return TaskAnswer("wait", 1, record.status, "another wrote at the same moment")
        record, step = await self._driver.drive(
            saved.record, me, until_ms=now_ms, may=lambda step, _: isinstance(step, allowed), conclude=False
        )
        answer, _ = await asyncio.gather(self._leave(record, me, step), self._desk.tell_health())
        return answer

    async def _leave(self, record: OrderRecord, me: Me, step: Step) -> TaskAnswer:
        if record.ending is not None or isinstance(step, protocol.Done):
            return TaskAnswer("done", 0, record.status)
        released = None
        if not isinstance(step, protocol.Stop):
            released = await self._follower.release(record, me, step)
        if released is None:
            return TaskAnswer("wait", 1, record.status, "the order was written by another")
        if rests(released, step):
            return TaskAnswer("done", 0, released.status, "the sweep follows it")
        wait_s = 0
        if isinstance(step, protocol.Wait):
            wait_s = max(1, math.ceil((step.until_ms - self._clock.now_ms()) / 1000))
        return TaskAnswer(_name(step), wait_s, released.status)

    async def sweep(self) -> Mapping[str, int]:
        """Look after every order that is due; one that cannot be looked after delays no other."""
        until_ms = self._clock.now_ms() + SWEEP_FOR_MS
        due = await self._ledger.due(self._clock.now_ms(), limit=SWEEP_MOST)
        self._metrics.set(ORDERS_DUE, len(due))
        counts = {"due": len(due), "followed": 0, "started": 0, "failed": 0}
        gate = asyncio.Semaphore(SWEEP_AT_ONCE)

        async def one(order_id: str) -> None:
            async with gate:
                if self._clock.now_ms() < until_ms:
                    counts[await self._look_after(order_id)] += 1

        results = await asyncio.gather(*(one(order_id) for order_id in due), return_exceptions=True)
        for order_id, result in zip(due, results, strict=True):
            if isinstance(result, Exception):  # a defect of ours: it may not stop the others
                counts["failed"] += 1
                self._log.warning("order not looked after", order_id=order_id, error=repr(result))
            elif isinstance(result, BaseException):
                raise result
        await measure_reviews(self._metrics, self._ledger, self._log)
        await measure_day(self._metrics, self._ledger, self._settings, self._clock.now_ms(), self._log)
        await self._desk.tell_health()
        if due:
            self._log.info("sweep", **counts)
        return counts

    async def _look_after(self, order_id: str) -> str:
        try:
            record = await self._ledger.load(order_id)
            now_ms = self._clock.now_ms()
            if record is None or record.ending is not None or record.due_at_ms > now_ms:
                return "followed"
            if record.status is OrderStatus.RESTING and not record.owner:
                return await self._follow(record)
            return await self._start(record)
        except (LedgerError, StateError) as error:
            self._log.warning("order not looked after", order_id=order_id, error=str(error))
            return "failed"

    async def _follow(self, record: OrderRecord) -> str:
        """Ask after an order that rests."""
        now_ms = self._clock.now_ms()
        taken = protocol.claimed(
            record, self._new_id(), record.epoch, now_ms, due_at_ms=now_ms + OWNED_FOR_MS
        )
        if taken is None:
            return "followed"
        saved = await self._ledger.save(record, taken[0])
        if not isinstance(saved, Saved):
            return "followed"
        me = taken[1]
        record, step = await self._driver.drive(saved.record, me, until_ms=now_ms, may=_following)
        await self._follower.leave(record, me, step, until_ms=now_ms)
        return "followed"

    async def _start(self, record: OrderRecord) -> str:
        """Take the order away from whoever had it, and start the machine under the next epoch."""
        now_ms = self._clock.now_ms()
        taken, _ = protocol.taken_over(record, "", now_ms, due_at_ms=now_ms + HANDED_OVER_FOR_MS)
        saved = await self._ledger.save(record, taken)
        if not isinstance(saved, Saved):
            return "followed"  # somebody is at work
        await self._failover.start(record.order_id, saved.record.epoch, record.correlation_id)
        self._log.warning("order taken over", order_id=record.order_id, epoch=saved.record.epoch)
        return "started"


def _following(step: Step, _: OrderRecord) -> bool:
    return isinstance(step, protocol.Ask | protocol.CancelAtVenue | protocol.Finish | protocol.Review)


def _name(step: Step) -> str:
    match step:
        case protocol.Wait():
            return "wait"
        case protocol.Choose():
            return "choose"
        case protocol.Intend() | protocol.Send():
            return "place"
        case protocol.Finish():
            return "finalise"
        case protocol.Review():
            return "review"
        case _:
            return "reconcile"
