"""What a venue shows of an order: now, in its history, and how late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.trading import Found, NotFoundNow, OrderState, Unknown, VenueOrder
from sor_core.execution.evidence import judge, unlisted
from sor_core.execution.protocol import NotSeen, NoWord, Observation, Seen, fence_at
from sor_core.execution.record import Absence, Attempt, AttemptState
from sor_core.health.breaker import Evidence
from sor_core.health.outcomes import verdict_on_outcome
from sor_core.metrics import VISIBILITY_LAG_SECONDS
from sor_core.services.call_health import CallHealth
from sor_core.services.context import Context
from sor_core.services.counterparties import Counterparties

ASK_TIMEOUT_S = 4.0
ORDERS_MARGIN_MS = 300_000
FILLS_MARGIN_MS = 10_000
"""How long before an attempt its venue's lists are read from. That of orders begins before that of
fills, so that few fills are of orders that are not listed; a longer list costs a venue's allowance."""
MOST_UNLISTED = 10
"""Orders older than the list that are asked for one by one where they fill meanwhile."""
WATCH_S = 1.0
"""How long an answer may wait for the visibility of its orders to be measured."""
_NOT_SHOWN = "the venue shows it no more, or not yet"
_VISIBILITY_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)


class Lookout:
    """Asks venues about attempts."""

    def __init__(self, venues: Counterparties, calls: CallHealth, context: Context) -> None:
        self._venues = venues
        self._calls = calls
        self._clock = context.clock
        self._sleep = context.sleep
        self._log = context.log
        self._metrics = context.metrics

    async def look(self, attempts: Sequence[Attempt]) -> list[Observation]:
        """Ask the venues what came of attempts."""
        return list(await asyncio.gather(*(self._look(a) for a in attempts)))

    async def _look(self, attempt: Attempt) -> Observation:
        asked_at_ms = self._clock.now_ms()
        try:
            # The venue's time is told before the question is asked: the question is younger.
            venue_time_ms = 0
            if attempt.state is not AttemptState.LIVE:
                venue_time_ms = (await self._venues.tell_time(attempt.venue, ASK_TIMEOUT_S)).venue_time_ms
            question = self._venues[attempt.venue].trading.query(attempt.ref, timeout_s=ASK_TIMEOUT_S)
            found = await self._calls.timed(
                attempt.venue, Evidence.ACCOUNT, question, judge=verdict_on_outcome
            )
            match found:
                case Found(order):
                    self._tell_lag_of_first_sight(attempt, asked_at_ms)
                    return Seen(await self._with_fills(attempt.venue, order))
                case Unknown():
                    return NoWord(f"{found.why}: {found.detail}")
                case NotFoundNow():
                    return await self._look_through_history(attempt, venue_time_ms)
        except VenueError as error:
            return NoWord(f"{error.failure}: {error.detail}")

    async def shown(self, attempt: Attempt) -> VenueOrder | None:
        """An order as its venue shows it, with its fills; None where neither query nor history does.

        Raises `VenueError` where the venue gives no clear answer.
        """
        seen = await self._look(replace(attempt, state=AttemptState.UNKNOWN, order=None))
        if isinstance(seen, NotSeen) and seen.absence.venue_time_ms < fence_at(attempt):
            raise VenueError(attempt.venue, VenueFailure.REFUSED, "too early to tell: it may still arrive")
        match seen:
            case Seen(order):
                return order
            case NotSeen():
                return None
            case NoWord(detail):
                raise VenueError(attempt.venue, VenueFailure.REFUSED, detail)

    async def _look_through_history(self, attempt: Attempt, venue_time_ms: int) -> Observation:
        if attempt.state is AttemptState.LIVE:
            return NoWord(_NOT_SHOWN)
        if venue_time_ms < fence_at(attempt):
            return NotSeen(Absence(venue_time_ms, witnessed=False))  # too early to count
        trading, symbol = self._venues[attempt.venue].trading, attempt.request.placement.symbol
        opened_at_ms = attempt.request.window.opens_at_ms
        orders = await trading.orders_since(symbol, opened_at_ms - ORDERS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        fills = await trading.fills_since(symbol, opened_at_ms - FILLS_MARGIN_MS, timeout_s=ASK_TIMEOUT_S)
        # Whatever rests in the account fills when it will: a fill is the attempt's only if its order is.
        older = sorted(unlisted(attempt, orders, fills))[:MOST_UNLISTED]
        found = [await trading.order(symbol, order_id, timeout_s=ASK_TIMEOUT_S) for order_id in older]
        return judge(attempt, venue_time_ms, [*orders, *(o for o in found if o is not None)], fills)

    async def _with_fills(self, venue: str, order: VenueOrder) -> VenueOrder:
        """Add the fills of an order that has ended, where they are not told yet; raises `VenueError`."""
        if not order.state.is_final or not order.filled_size or order.fills_complete:
            return order
        fills = await self._venues[venue].trading.fills(
            order.symbol, order.venue_order_id, timeout_s=ASK_TIMEOUT_S
        )
        return replace(order, fills=tuple(fills))

    async def watch_visibility(self, attempts: Sequence[Attempt], placed_at_ms: int) -> None:
        """Measure how long orders take to show in the venue's query that its answer told of in full.

        What the visibility bound of `domain.trading.Fence` is held against; it is told as a warning
        from half of the bound. Of other orders the question that follows measures it.
        """
        try:
            async with asyncio.timeout(WATCH_S):
                await asyncio.gather(*(self._watch(a, placed_at_ms) for a in attempts))
        except TimeoutError:
            self._log.info("visibility not measured", venues=[a.venue for a in attempts])

    async def _watch(self, attempt: Attempt, placed_at_ms: int) -> None:
        ref = replace(attempt.ref, venue_order_id=None)
        trading = self._venues[attempt.venue].trading
        found = await trading.query(ref, timeout_s=WATCH_S)
        for pause_s in _VISIBILITY_PAUSES_S:
            if not isinstance(found, NotFoundNow):
                break
            await self._sleep(pause_s)
            found = await trading.query(ref, timeout_s=WATCH_S)
        if not isinstance(found, Unknown):
            self._tell_lag(attempt, self._clock.now_ms() - placed_at_ms)

    def _tell_lag_of_first_sight(self, attempt: Attempt, asked_at_ms: int) -> None:
        """Tell the lag of an order that was taken, now that it is found.

        It counts where the first look came soon, and after a look that missed it. Between a miss and
        the find lies our own pause: only the time up to the miss is the venue's.
        """
        if attempt.order is None or attempt.order.state is not OrderState.PENDING:
            return
        if attempt.detail == _NOT_SHOWN:
            self._tell_lag(attempt, attempt.asked_at_ms - attempt.told_at_ms)
        elif not attempt.asked_at_ms and asked_at_ms - attempt.told_at_ms < WATCH_S * 1000:
            self._tell_lag(attempt, self._clock.now_ms() - attempt.told_at_ms)

    def _tell_lag(self, attempt: Attempt, lag_ms: int) -> None:
        self._metrics.observe(VISIBILITY_LAG_SECONDS, lag_ms / 1000, attempt.venue)
        tell = self._log.warning if lag_ms * 2 > attempt.fence.visible_ms else self._log.info
        tell("visibility lag", venue=attempt.venue, lag_ms=lag_ms, bound_ms=attempt.fence.visible_ms)
