"""Whatever hangs, lags or is lost: every call ends in time, and the orders go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from local.venues import Venue
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import Fill, Unknown, UnknownWhy
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import AcceptOutcome, SaveOutcome, Switch
from sor_core.services.execute import DryRun, Executed
from sor_core.services.follow import HANDED_OVER_FOR_MS
from tests.contract.interposed import Instead, but
from tests.contract.test_execute import ONLY, resting
from tests.contract.trading_house import VENUES, House, Process, house
from tests.fakes.markets import order

GATEWAY_WAITS_MS = 29_000


# A venue that hangs -------------------------------------------------------------------------------


def hanging(made: House) -> Instead:
    """A call that takes all the time it is given, by the clock that jumps; not for ever."""
    ends_at_ms = made.clock.now_ms() + 120_000

    async def hang(*_: object, timeout_s: float) -> Unknown:
        if made.clock.now_ms() > ends_at_ms:
            raise AssertionError("asked again and again")
        await made.clock.sleep(timeout_s)
        return Unknown(UnknownWhy.TIMEOUT, "")

    return hang


@pytest.mark.parametrize("by", ["delete", "machine", "sweep", "halt"])
async def test_cancelling_at_a_venue_that_hangs_ends_in_time_and_goes_on_later(by: str) -> None:
    async with house() as made:
        record = await resting(made, "0.2", venue="binance")
        if by == "machine":
            await made.ledger.save(record, replace(record, cancel_requested=True, due_at_ms=0))
        if by == "sweep":
            await made.ledger.set_switch(Switch(TradingMode.HALTED, "", "ops", 0))
            await made.clock.sleep(60)
        hang = hanging(made)
        process = made.process(trades={"binance": {"cancel": hang, "query": hang}})
        began_ms = made.clock.now_ms()
        match by:
            case "delete":
                await process.follower.cancel(record.order_id, "alice", began_ms)
            case "machine":
                await process.failover.task("reconcile", record.order_id, record.epoch)
            case "sweep":
                await process.failover.sweep()
            case _:
                await process.control.set_switch(TradingMode.HALTED, "drill", "ops")
        assert 0 < made.clock.now_ms() - began_ms < GATEWAY_WAITS_MS - 1000
        await made.run_machine()  # the venue answers again
        await made.sweep(2)
        assert (await made.record(record.order_id)).status is OrderStatus.CANCELLED


async def test_measuring_how_late_an_order_shows_keeps_its_answer_a_second_at_most() -> None:
    async with house() as made:
        await made.fault("binance", "hang", endpoint="query_order")
        began_ms = made.clock.now_ms()
        record = await made.execute(order("0.1", allowed_venues=ONLY["binance"]))
        assert record.status is OrderStatus.FILLED
        assert made.clock.now_ms() - began_ms < 2000


# What a venue tells late, or not ------------------------------------------------------------------


@pytest.mark.parametrize("venue", VENUES)
async def test_an_order_that_rested_long_may_take_a_while_to_show_its_fills(venue: str) -> None:
    looks = 0

    async def behind_once(fills: Any, *arguments: Any, **named: Any) -> list[Fill]:
        nonlocal looks
        looks += 1
        told: list[Fill] = await fills(*arguments, **named)
        return told[:-1] if looks == 1 else told

    async with house() as made:
        record = await resting(made, "0.2", venue=venue)
        await made.clock.sleep(record.terms.review_after_ms / 1000 + 100)
        await made.process().failover.sweep()
        assert (await made.record(record.order_id)).status is OrderStatus.RESTING
        await made.book(venue, [["59900", "1"]], [["59990", "5"]])
        process = made.process(trades={venue: {"fills": behind_once}})
        await made.clock.sleep(40)
        await process.failover.sweep()
        assert looks >= 1
        assert (await made.record(record.order_id)).ending is None
        await made.run_machine(process)
        await made.sweep(2)
        assert (await made.record(record.order_id)).status is OrderStatus.FILLED


async def test_a_cancel_that_is_lost_is_sent_again_soon() -> None:
    async with house() as made:
        record = await resting(made, "0.2", venue="binance")
        await made.fault("binance", "drop", endpoint="cancel_order", when="before", count=1)
        began_ms = made.clock.now_ms()
        await made.process().follower.cancel(record.order_id, "alice", began_ms)
        await made.run_machine()
        assert (await made.record(record.order_id)).status is OrderStatus.CANCELLED
        assert 2000 <= made.clock.now_ms() - began_ms < 6000
        assert made.venues.simulation.requests[Venue.BINANCE]["cancel_order"] == 2


# What others do at the same moment ----------------------------------------------------------------


def deleted_at_the_last_write(made: House) -> Process:
    """A process whose order is asked to end at the moment when it lets go of it."""
    client, asked = made.process(), False

    async def save(save: Any, before: OrderRecord, after: OrderRecord, *rest: Any) -> SaveOutcome:
        nonlocal asked
        if before.owner and not after.owner and not asked:
            asked = True
            await client.follower.cancel(before.order_id, "alice", 0)
        saved: SaveOutcome = await save(before, after, *rest)
        return saved

    return made.process(but(made.ledger, save=save))


@pytest.mark.parametrize("driver", ["handler", "machine"])
async def test_an_order_deleted_while_it_is_let_go_is_handed_over_all_the_same(driver: str) -> None:
    async with house() as made:
        await made.fault("binance", "drop", when="before", count=1)
        process = deleted_at_the_last_write(made)
        handler = process if driver == "handler" else made.process()
        asked = made.request(order("0.1", allowed_venues=ONLY["binance"]))
        outcome = await handler.execution.execute(asked)
        assert isinstance(outcome, Executed)
        began_ms = made.clock.now_ms()
        await made.run_machine(process)  # no sweep
        done = await made.record(outcome.record.order_id)
        assert (done.cancel_requested, done.status) == (True, OrderStatus.CANCELLED)
        assert made.clock.now_ms() - began_ms < HANDED_OVER_FOR_MS


@pytest.mark.parametrize("by", ["sweep", "halt"])
async def test_a_venue_that_is_configured_no_more_keeps_nobody_from_the_others(by: str) -> None:
    async with house() as made:
        gone = await resting(made, "0.2", venue="kraken")
        kept = await resting(made, "0.2", venue="binance")
        made.settings = replace(made.settings, venues=("binance", "coinbase"))
        if by == "sweep":
            await made.book("binance", [["59900", "5"]], [["59990", "5"]])
            await made.sweep(2)
            assert (await made.record(kept.order_id)).status is OrderStatus.FILLED
        else:
            _, still_open = await made.process().control.set_switch(TradingMode.HALTED, "drill", "ops")
            assert still_open == 1
            assert (await made.record(kept.order_id)).status is OrderStatus.CANCELLED
        assert (await made.record(gone.order_id)).ending is None  # it may still fill there


# Our own slowness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("venues", [VENUES, ("binance",)])
async def test_a_slow_ledger_is_not_the_venues_fault(venues: tuple[str, ...]) -> None:
    async with house(SOR_TAKER_FEES_BPS="binance=10,coinbase=20,kraken=20") as made:

        async def slow(accept: Any, *arguments: Any) -> AcceptOutcome:
            accepted: AcceptOutcome = await accept(*arguments)
            await made.clock.sleep(1.6)
            return accepted

        process = made.process(but(made.ledger, accept=slow))
        asked = made.request(order("0.1", allowed_venues=frozenset(venues)))
        outcome = await process.execution.execute(asked)
        assert isinstance(outcome, Executed)
        await made.run_machine()
        done = await made.record(outcome.record.order_id)
        assert (done.status, done.avoid, done.failover_used) == (OrderStatus.FILLED, (), False)
        assert {a.venue for a in done.attempts} == {"binance"}
        assert made.posts("binance") == 1


@pytest.mark.parametrize("first", [Executed, DryRun])
async def test_waiting_for_ones_turn_at_kraken_is_not_the_venues_fault(first: type) -> None:
    """A key's requests reach Kraken one after another: their nonces must rise."""
    async with house(SOR_MAX_LATENCY_MS="2000") as made:
        await made.fault("kraken", "latency", ms=1500, when="after", count=1)

        async def one(after_s: float, *, dry_run: bool) -> Any:
            await asyncio.sleep(after_s)
            asked = order("0.1", allowed_venues=ONLY["kraken"])
            return await made.process().execution.execute(made.request(asked, wait_s=6, dry_run=dry_run))

        ahead, behind = await asyncio.gather(one(0, dry_run=first is DryRun), one(0.1, dry_run=False))
        assert isinstance(ahead, first)
        await made.run_machine()
        done = await made.record(behind.record.order_id)
        assert (done.status, done.avoid) == (OrderStatus.FILLED, ())
        assert len(done.attempts) > 1  # the first was held back


async def test_with_money_for_all_many_orders_at_once_are_all_taken() -> None:
    async with house(SOR_MAX_DAILY_NOTIONAL="100000000") as made:

        async def client(number: int) -> list[object]:
            await asyncio.sleep(0.05 * number)
            process = made.process()
            asked = [made.request(order("0.001", allowed_venues=ONLY["binance"])) for _ in range(3)]
            return [await process.execution.execute(each) for each in asked]

        outcomes = [o for told in await asyncio.gather(*(client(i) for i in range(12))) for o in told]
        assert [o for o in outcomes if not isinstance(o, Executed)] == []
        await made.run_machine()
        assert sum(Decimal(f["quantity"]) for f in made.true_fills()) == Decimal("0.036")
