"""Leaving an order to whoever comes next, waiting for its end, and asking for it."""

from __future__ import annotations

from sor_core.domain.order_status import OrderStatus
from sor_core.execution import protocol
from sor_core.execution.protocol import Me, Step
from sor_core.execution.record import AttemptState, OrderRecord
from sor_core.ports import StateError
from sor_core.ports_trading import Failover, LedgerError, OrderLedger, Saved
from sor_core.services.context import Context
from sor_core.services.desk import Desk
from sor_core.services.drive import Driver

OWNED_FOR_MS = 60_000
"""Longer than any process lives: past it the sweep may take an order away."""
HANDED_OVER_FOR_MS = 20_000
"""How long the state machine has to begin before the sweep starts another."""
_POLL_S = 0.15
_TRIES = 20


class Follower:
    """What every process does about an order that it does not, or not yet, see ended."""

    def __init__(
        self, desk: Desk, driver: Driver, ledger: OrderLedger, failover: Failover, context: Context
    ) -> None:
        self._desk = desk
        self._driver = driver
        self._ledger = ledger
        self._failover = failover
        self._clock = context.clock
        self._sleep = context.sleep
        self._new_id = context.new_id
        self._log = context.log

    async def release(self, record: OrderRecord, me: Me, step: Step) -> OrderRecord | None:
        """Give an order up with `step` still to be taken; None where it was not ours any more."""
        now_ms = self._clock.now_ms()
        until_ms = step.until_ms if isinstance(step, protocol.Wait) else now_ms
        grace_ms = 0 if rests(record, step) else HANDED_OVER_FOR_MS
        return await self._driver.release(record, me, max(now_ms, until_ms) + grace_ms)

    async def leave(self, record: OrderRecord, me: Me, step: Step, until_ms: int) -> OrderRecord:
        """Leave an order to the machine, or to the sweep where it rests; wait for its end until then."""
        if record.ending is not None:
            return record
        if not isinstance(step, protocol.Stop):
            released = await self.release(record, me, step)
            if released is not None and rests(released, step):
                return released
            if released is not None:
                record = released
                await self._hand_over(record)
        return await self.await_end(record, until_ms)

    async def _hand_over(self, record: OrderRecord) -> None:
        try:
            await self._failover.start(record.order_id, record.epoch, record.correlation_id)
            self._log.info("handed over", order_id=record.order_id, epoch=record.epoch)
        except StateError as error:
            self._log.warning("failover not started", order_id=record.order_id, error=str(error))

    async def await_end(self, record: OrderRecord, until_ms: int) -> OrderRecord:
        """Look at an order until it has ended, or rests, or the time is up."""
        while record.ending is None and record.status is not OrderStatus.RESTING:
            if self._clock.now_ms() >= until_ms:
                break
            await self._sleep(_POLL_S)
            record = await self._ledger.load(record.order_id) or record
        return record

    async def cancel(
        self, order_id: str, caller: str | None, until_ms: int, why: str = ""
    ) -> OrderRecord | None:
        """Ask for an order's end; None where the caller has no such order. Raises `LedgerError`.

        `why` stands in the order's history and end where it is not its caller who asks.
        """
        for _ in range(_TRIES):
            record = await self._ledger.load(order_id)
            if record is None or caller not in {None, record.caller}:
                return None
            if record.ending is not None:
                await self._cancel_under_review(record)
                return record
            now_ms = self._clock.now_ms()
            asked, me = protocol.cancel_asked(record, now_ms, why), None
            if not record.owner or record.due_at_ms <= now_ms:
                due_at_ms = now_ms + OWNED_FOR_MS
                asked, me = protocol.taken_over(asked, self._new_id(), now_ms, due_at_ms=due_at_ms)
            if asked == record:
                return await self.await_end(record, until_ms)
            saved = await self._ledger.save(record, asked)
            if not isinstance(saved, Saved):
                await self._sleep(_POLL_S)
                continue
            if me is None:
                return await self.await_end(saved.record, until_ms)
            record, step = await self._driver.drive(saved.record, me, until_ms=until_ms, may=_cancelling)
            return await self.leave(record, me, step, until_ms)
        raise LedgerError("the order is written by others again and again")

    async def _cancel_under_review(self, record: OrderRecord) -> None:
        """What may still rest of an order under review is cancelled at its venue; the review stays."""
        if record.is_open:
            loose = [a for a in record.attempts if a.rests and not a.is_settled]
            told = await self._desk.cancel(loose)
            for attempt, outcome in zip(loose, told, strict=True):
                self._log.warning(
                    "cancelled under review",
                    order_id=record.order_id,
                    venue=attempt.venue,
                    attempt=attempt.number,
                    outcome=type(outcome).__name__.lower(),
                )


def rests(record: OrderRecord, step: Step) -> bool:
    """Whether nothing is to be done about an order but to ask after it now and then."""
    return record.status is OrderStatus.RESTING and isinstance(step, protocol.Wait)


def _cancelling(step: Step, record: OrderRecord) -> bool:
    match step:
        case protocol.CancelAtVenue() | protocol.Ask() | protocol.Finish() | protocol.Review():
            return True
        case protocol.Wait():
            return all(a.is_settled or a.state is AttemptState.LIVE for a in record.attempts)
        case _:
            return False
