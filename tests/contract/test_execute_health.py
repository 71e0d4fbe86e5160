"""What orders meet with at a venue takes it out of execution, not out of routes, and lets it back."""

from __future__ import annotations

import asyncio
import time

import pytest

from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.health import SystemStatus
from sor_core.domain.market import Why
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import Rejected, RejectReason
from sor_core.execution.record import OrderRecord
from sor_core.health.breaker import BreakerState
from sor_core.health.measure import Probe, fold
from sor_core.services.desk import Desk
from tests.contract.trading_house import VENUES, House, Process, house
from tests.fakes.markets import order

CHEAPEST = {"SOR_TAKER_FEES_BPS": "binance=20,coinbase=20,kraken=10"}


def probed(made: House, venue: str) -> None:
    good = Probe(made.clock.now_ms(), (10.0,) * 4, 4, SystemStatus.ONLINE, 7.0, 0.0, "")
    made.store.health[venue] = fold(venue, made.store.health.get(venue), good)


async def lost(made: House, process: Process) -> OrderRecord:
    """An order that Kraken fails, and what becomes of it."""
    outcome = await process.execution.execute(made.request(order("0.1")))
    assert not isinstance(outcome, NoRoute)
    await made.run_machine(process)
    await made.clock.sleep(1)
    return await made.record(outcome.record.order_id)  # type: ignore[union-attr]


async def test_a_venue_that_fails_orders_gets_none_until_its_trial() -> None:
    async with house(**CHEAPEST) as made:
        for venue in VENUES:
            probed(made, venue)
        process = made.process()
        await made.fault("kraken", "error_5xx")
        for _ in range(3):
            done = await lost(made, process)
            assert done.attempts[0].venue == "kraken"
            assert done.status is OrderStatus.FILLED  # somewhere else
        record = made.store.health["kraken"]
        assert record.trading.state is BreakerState.OPEN
        assert record.trading.why == "orders failed in a row, the last with server_error"
        assert record.metrics.is_healthy
        posts = made.posts("kraken")

        elsewhere = await lost(made, process)
        assert elsewhere.attempts[0].venue != "kraken"
        assert made.posts("kraken") == posts

        # Half-open, the next order may try it; one failure is enough.
        await made.clock.sleep(30)
        for venue in VENUES:
            probed(made, venue)
        assert (await lost(made, process)).attempts[0].venue == "kraken"
        assert (await lost(made, process)).attempts[0].venue != "kraken"

        await made.clear_faults()
        await made.clock.sleep(30)
        for venue in VENUES:
            probed(made, venue)
        for _ in range(2):
            done = await lost(made, process)
            assert [a.venue for a in done.attempts] == ["kraken"]
            assert done.status is OrderStatus.FILLED
        await made.clock.sleep(10)
        await process.failover.sweep()
        assert made.store.health["kraken"].trading.state is BreakerState.CLOSED


async def test_with_no_venue_to_trade_at_the_answer_is_a_clear_no() -> None:
    async with house(**CHEAPEST) as made:
        process = made.process()
        for venue in VENUES:
            probed(made, venue)
            await made.fault(venue, "error_5xx", endpoint="account")
        for _ in range(3):
            await process.execution.execute(made.request(order("0.1")))
            await made.clock.sleep(1)

        outcome = await process.execution.execute(made.request(order("0.1")))

        assert isinstance(outcome, NoRoute)
        assert outcome.reason is NoRouteReason.NO_VENUE
        assert {e.why for e in outcome.excluded} == {Why.UNHEALTHY}
        assert all("trading breaker open since" in e.detail for e in outcome.excluded)
        await made.clear_faults()
        await made.clock.sleep(30)
        assert (await lost(made, process)).status is OrderStatus.FILLED


@pytest.mark.parametrize("reason", [RejectReason.INSUFFICIENT_BALANCE, RejectReason.FILTER_SIZE])
async def test_what_a_venue_refuses_for_the_orders_own_sake_is_not_held_against_it(
    monkeypatch: pytest.MonkeyPatch, reason: RejectReason
) -> None:
    async def refuse(*_: object, **__: object) -> Rejected:
        return Rejected(reason, "", "")

    async with house(**CHEAPEST) as made:
        for venue in VENUES:
            probed(made, venue)
        process = made.process()
        monkeypatch.setattr(process.parties["kraken"].trading, "place", refuse)
        for _ in range(4):
            done = await lost(made, process)
            assert done.attempts[0].venue == "kraken"
        await made.clock.sleep(10)
        await process.failover.sweep()

        record = made.store.health["kraken"]
        assert record.windows(made.clock.now_ms())["5m"].calls >= 4 + 2 * 4
        assert (record.trading.state, record.metrics.success_rate) == (BreakerState.CLOSED, 1.0)


async def test_an_order_waits_for_the_health_store_a_fifth_of_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    async with house(**CHEAPEST) as made:
        for venue in VENUES:
            probed(made, venue)
        process = made.process()
        monkeypatch.setattr(made.store, "load_health", hang)
        waited: list[float] = []
        told = Desk.tell_health

        async def timed(desk: Desk) -> None:
            started_s = time.monotonic()
            await told(desk)
            waited.append(time.monotonic() - started_s)

        monkeypatch.setattr(Desk, "tell_health", timed)
        await made.fault("kraken", "error_5xx", count=1)

        assert (await lost(made, process)).status is OrderStatus.FILLED
        assert 0.15 < max(waited) < 0.35
