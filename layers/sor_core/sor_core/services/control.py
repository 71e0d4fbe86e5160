"""What an operator does: the switch, and settling an order that needs review."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sor_core.domain.errors import VenueError
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import VenueOrder
from sor_core.execution import protocol
from sor_core.execution.record import Attempt, OrderRecord
from sor_core.metrics import ORDERS_REVIEWED
from sor_core.ports_trading import Conflict, LedgerError, OrderLedger, Saved, Switch
from sor_core.services.context import Context
from sor_core.services.desk import Desk
from sor_core.services.follow import Follower
from sor_core.services.quality import measure_end

CANCEL_WITHIN_MS = 10_000
"""How long setting the switch begins to cancel what rests, and waits for it; the sweep goes on after it.
What was begun last may take as long again: the function ends at 28 s."""
_AT_ONCE = 8
_MOST = 5000
_FAR_MS = 10 * 365 * 86_400_000


class ReviewError(Exception):
    """An order cannot be settled that way; its text says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a venue says now of an attempt."""

    attempt: Attempt
    shown: VenueOrder | None
    """None where it does not show it, or gave no clear answer."""
    problem: str
    """Why it gave no clear answer; empty where it did."""


class ControlService:
    """The operator's hands."""

    def __init__(self, follower: Follower, desk: Desk, ledger: OrderLedger, context: Context) -> None:
        self._follower = follower
        self._desk = desk
        self._ledger = ledger
        self._clock = context.clock
        self._log = context.log
        self._metrics = context.metrics

    async def set_switch(self, mode: protocol.TradingMode, reason: str, by: str) -> tuple[Switch, int]:
        """Set the switch, then cancel what rests and is not admitted any more.

        Returns the switch and how many orders are still open that it does not admit. Raises
        `LedgerError` before the switch is set; after that the sweep makes up for what fails.
        """
        switch = Switch(mode, reason, by, self._clock.now_ms())
        await self._ledger.set_switch(switch)
        self._log.warning("trading switch", mode=mode, reason=reason, by=by)
        if mode is protocol.TradingMode.RUNNING:
            return switch, 0
        try:
            still_open = await self._end_all(mode, f"trading {mode.replace('_', ' ')}: {reason}")
        except LedgerError as error:
            self._log.warning("ledger unavailable", error=str(error))
            still_open = -1
        return switch, still_open

    async def _end_all(self, mode: protocol.TradingMode, why: str) -> int:
        """Have all orders end that the switch does not admit; say how many are still open after a while."""
        until_ms = self._clock.now_ms() + CANCEL_WITHIN_MS
        ids = [
            *await self._ledger.due(self._clock.now_ms() + _FAR_MS, limit=_MOST),
            *await self._ledger.under_review(limit=_MOST),  # what they left may still rest
        ]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def end(order_id: str) -> OrderRecord | None:
            async with gate:  # nobody waits here: what rests further down the list is cancelled soon
                record = await self._ledger.load(order_id)
                if record is None or not record.is_open or mode.admits(record.side):
                    return None
                now_ms = self._clock.now_ms()
                return (
                    record if now_ms >= until_ms else await self._follower.cancel(order_id, None, now_ms, why)
                )

        results = await asyncio.gather(*(end(order_id) for order_id in ids), return_exceptions=True)
        left: list[OrderRecord | str] = []
        for order_id, result in zip(ids, results, strict=True):
            if isinstance(result, OrderRecord):
                left.append(result)
            elif isinstance(result, Exception):
                self._log.warning("order not cancelled", order_id=order_id, error=repr(result))
                left.append(order_id)
            elif result is not None:
                raise result
        return sum(await asyncio.gather(*(self._is_open(each, until_ms) for each in left)))

    async def _is_open(self, order: OrderRecord | str, until_ms: int) -> bool:
        if isinstance(order, str):
            return True
        ended = await self._follower.await_end(order, until_ms) if order.ending is None else order
        return ended.is_open

    async def evidence(self, order_id: str) -> tuple[OrderRecord, tuple[Evidence, ...]] | None:
        """What the venues say now of every attempt, beside the ledger; None where there is no such order.

        Raises `LedgerError`.
        """
        record = await self._ledger.load(order_id)
        if record is None:
            return None
        return record, tuple(await asyncio.gather(*(self._evidence(a) for a in record.attempts)))

    async def _evidence(self, attempt: Attempt) -> Evidence:
        try:
            return Evidence(attempt, await self._desk.lookout.shown(attempt), "")
        except VenueError as error:
            return Evidence(attempt, None, f"{error.failure}: {error.detail}")

    async def settle(
        self, order_id: str, number: int, *, never_placed: bool, note: str, by: str
    ) -> OrderRecord | None:
        """Take over a person's finding about one attempt of an order under review.

        With `never_placed` it counts as never placed, which is refused where the venue shows it;
        otherwise the venue's present word is taken over. None where there is no such order. Raises
        `ReviewError`, `LedgerError`.
        """
        record = await self._ledger.load(order_id)
        if record is None:
            return None
        if record.status is not OrderStatus.NEEDS_REVIEW:
            raise ReviewError(f"the order is {record.status}, not under review")
        try:
            attempt = record.attempt(number)
        except KeyError:
            raise ReviewError(f"the order has no attempt {number}") from None
        found = await self._shown(attempt)
        if never_placed and found is not None:
            raise ReviewError(f"{attempt.venue} shows it: {found.state}, {found.filled_size} filled")
        if not never_placed and found is None:
            raise ReviewError(f"{attempt.venue} does not show it")
        try:
            after = protocol.reviewed(record, number, found, by, note, self._clock.now_ms())
        except protocol.ProtocolError as error:
            raise ReviewError(str(error)) from error
        saved = await self._ledger.save(record, after)
        if isinstance(saved, Saved):
            if after.status is not OrderStatus.NEEDS_REVIEW:
                self._metrics.count(ORDERS_REVIEWED)
                measure_end(self._metrics, after)
            self._log.warning("reviewed", order_id=order_id, attempt=number, by=by, status=after.status)
            return saved.record
        if isinstance(saved, Conflict):
            raise ReviewError("it was written by another at the same moment; look at it again")
        raise LedgerError("the review was not written")

    async def _shown(self, attempt: Attempt) -> VenueOrder | None:
        try:
            return await self._desk.lookout.shown(attempt)
        except VenueError as error:
            raise ReviewError(f"{attempt.venue} does not answer: {error.failure}") from error
