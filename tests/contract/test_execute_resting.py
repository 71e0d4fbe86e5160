"""Where and when the rest of a limit order goes to wait, and how it is done with once it is filled."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import Found, PlaceOutcome, QueryOutcome
from sor_core.execution.record import OrderRecord, TimeInForce
from sor_core.services.execute import Executed
from tests.contract.test_execute import ONLY, resting
from tests.contract.trading_house import House, house
from tests.fakes.markets import order


async def filled_by_the_market(made: House, record: OrderRecord) -> OrderRecord:
    for venue in {a.venue for a in record.attempts if a.rests}:
        await made.book(venue, [["59900", "5"]], [["59990", "5"]])
    await made.sweep(3)
    return await made.record(record.order_id)


@pytest.mark.parametrize(("amount", "price"), [("1", "59995"), ("2", "60000")], ids=["all", "rest"])
async def test_it_waits_at_no_venue_that_could_not_take_part_in_a_decision(amount: str, price: str) -> None:
    async with house() as made:
        best = (await resting(made, amount, price)).attempts[-1].venue
    async with house() as made:
        await made.fault(best, "crossed_book", endpoint="*")
        record = await resting(made, amount, price)
        assert record.status is OrderStatus.RESTING
        assert best not in {a.venue for a in record.attempts}


async def test_with_no_venue_to_wait_at_it_is_put_into_a_book_later() -> None:
    async with house() as made:

        async def then_crossed(place: Any, *arguments: Any, **named: Any) -> PlaceOutcome:
            placed: PlaceOutcome = await place(*arguments, **named)
            await made.fault("binance", "crossed_book", endpoint="*")
            return placed

        await made.book("binance", [["59990", "1"]], [["60000", "0.1"], ["60100", "1"]])
        asked = order("0.3", price="60000", max_slippage_bps=None, allowed_venues=ONLY["binance"])
        process = made.process(trades={"binance": {"place": then_crossed}})
        outcome = await process.execution.execute(
            made.request(asked, time_in_force=TimeInForce.GTC, wait_s=5)
        )
        assert isinstance(outcome, Executed)
        record = outcome.record
        assert record.filled == Decimal("0.1")
        assert not any(a.rests for a in record.attempts)

        await made.clear_faults()
        await made.run_machine()
        record = await made.record(record.order_id)
        assert (record.status, [a.rests for a in record.attempts]) == (OrderStatus.RESTING, [False, True])


async def test_it_rests_though_the_time_to_fill_at_once_is_over() -> None:
    async with house(SOR_TAKER_FEES_BPS="binance=10,coinbase=20,kraken=20") as made:
        await made.fault("binance", "drop", when="after", count=1)
        record = await resting(made, "2", "60000")
        assert record.status is OrderStatus.RESOLVING
        await made.fault("binance", "refuse", endpoint="query_order")
        await made.clock.sleep(70)
        assert made.clock.now_ms() > record.terms.give_up_at_ms
        await made.clear_faults()
        await made.sweep(3)
        record = await made.record(record.order_id)
        assert record.status is OrderStatus.RESTING
        assert record.at_stake == 2
        assert (await filled_by_the_market(made, record)).status is OrderStatus.FILLED


async def test_it_rests_though_no_round_to_fill_at_once_is_left() -> None:
    async with house(SOR_MAX_ROUNDS="1") as made:
        record = await resting(made, "2", "60000")
        assert (record.status, record.rounds, record.filled) == (OrderStatus.RESTING, 2, Decimal("1.5"))
        assert record.at_stake == 2


@pytest.mark.parametrize("amount", ["0.200000004", "0.2"])
async def test_what_no_venue_takes_of_it_leaves_it_filled(amount: str) -> None:
    async with house() as made:
        record = await resting(made, amount, venue="binance")
        assert record.status is OrderStatus.RESTING
        done = await filled_by_the_market(made, record)
        assert (done.status, done.filled) == (OrderStatus.FILLED, Decimal("0.2"))


async def test_what_may_rest_unseen_under_review_is_not_due_for_ever() -> None:
    """A person has it: the sweep has no more to do with it, a day later neither."""
    async with house() as made:

        async def of_another_price(query: Any, *arguments: Any, **named: Any) -> QueryOutcome:
            told: QueryOutcome = await query(*arguments, **named)
            assert isinstance(told, Found)
            assert told.order.limit_price is not None
            return Found(replace(told.order, limit_price=told.order.limit_price + 1))

        record = await resting(made, "0.2", venue="binance")
        await made.clock.sleep(61)
        await made.process(trades={"binance": {"query": of_another_price}}).failover.sweep()
        record = await made.record(record.order_id)
        assert (record.status, record.is_open) == (OrderStatus.NEEDS_REVIEW, True)
        assert (await made.process().failover.sweep())["due"] == 0
        await made.clock.sleep(25 * 3600)
        assert (await made.process().failover.sweep())["due"] == 0


async def test_with_no_venue_to_wait_at_for_long_it_is_given_up() -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="120", SOR_EXECUTION_SECONDS="30") as made:

        async def then_crossed(place: Any, *arguments: Any, **named: Any) -> PlaceOutcome:
            placed: PlaceOutcome = await place(*arguments, **named)
            await made.fault("binance", "crossed_book", endpoint="*")
            return placed

        await made.book("binance", [["59990", "1"]], [["60000", "0.1"], ["60100", "1"]])
        asked = order("0.3", price="60000", max_slippage_bps=None, allowed_venues=ONLY["binance"])
        process = made.process(trades={"binance": {"place": then_crossed}})
        await process.execution.execute(made.request(asked, time_in_force=TimeInForce.GTC, wait_s=5))
        await made.run_machine()
        (record,) = made.ledger.records.values()  # type: ignore[attr-defined]
        assert record.status is OrderStatus.PARTIALLY_FILLED
        assert record.filled == Decimal("0.1")
        assert record.ending.at_ms - record.created_at_ms < 300_000
