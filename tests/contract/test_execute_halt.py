"""After a halt no order is made any more, and what rests is cancelled, whatever else is in the way."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.venues.registry import budget
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import CancelOutcome, Found, Placed, PlaceOutcome
from sor_core.execution.protocol import TradingMode, fence_at
from sor_core.execution.record import AttemptState, OrderRecord, TimeInForce
from sor_core.ports_trading import AcceptOutcome, LedgerError, SaveOutcome, Switch
from sor_core.services.control import ReviewError
from sor_core.services.execute import Executed
from tests.contract.interposed import but
from tests.contract.test_execute import ONLY, resting
from tests.contract.trading_house import House, house
from tests.fakes.markets import order


async def set_mode(made: House, mode: TradingMode = TradingMode.HALTED) -> None:
    """The switch alone: whoever set it has not come to any order yet."""
    await made.ledger.set_switch(Switch(mode, "drill", "ops", made.clock.now_ms()))


# What was on its way ------------------------------------------------------------------------------


async def lost_at_coinbase(made: House) -> OrderRecord:
    """An order that never reached Coinbase, where repeating a request makes the order."""
    await made.fault("coinbase", "refuse", count=1)
    record = await made.execute(order("0.1", allowed_venues=ONLY["coinbase"]))
    assert record.status is OrderStatus.RESOLVING
    return record


@pytest.mark.parametrize(
    ("mode", "filled"),
    [(TradingMode.RUNNING, "0.1"), (TradingMode.REDUCE_ONLY, "0"), (TradingMode.HALTED, "0")],
)
async def test_a_request_is_repeated_only_while_the_switch_admits_it(mode: TradingMode, filled: str) -> None:
    async with house() as made:
        record = await lost_at_coinbase(made)
        await set_mode(made, mode)
        await made.clock.sleep(0.6)
        await made.run_machine()
        assert made.truly_filled(record) == Decimal(filled)


async def test_a_halt_between_counting_a_repetition_and_making_it() -> None:
    async with house() as made:
        record = await lost_at_coinbase(made)

        async def halting(save: Any, before: OrderRecord, after: OrderRecord, *rest: Any) -> SaveOutcome:
            saved: SaveOutcome = await save(before, after, *rest)
            if any(a.replays for a in after.attempts):
                await set_mode(made)
            return saved

        await made.run_machine(made.process(but(made.ledger, save=halting)))
        assert (await made.ledger.switch()).mode is TradingMode.HALTED
        assert made.truly_filled(record) == 0


async def test_a_halt_that_cannot_list_the_orders_stops_repetitions_all_the_same() -> None:
    async def throttled(*_: object, **__: object) -> None:
        raise LedgerError("throttled")

    async with house() as made:
        record = await lost_at_coinbase(made)
        control = made.process(but(made.ledger, due=throttled)).control
        _, still_open = await control.set_switch(TradingMode.HALTED, "drill", "ops")
        assert still_open == -1
        await made.clock.sleep(0.6)
        await made.run_machine()
        assert made.truly_filled(record) == 0


@pytest.mark.parametrize(("later_s", "filled"), [(0.2, "0.1"), (1.0, "0")])
async def test_what_was_written_down_before_a_halt_leaves_within_a_second_or_never(
    later_s: float, filled: str
) -> None:
    async with house() as made:

        async def halted(accept: Any, *arguments: Any) -> AcceptOutcome:
            accepted: AcceptOutcome = await accept(*arguments)
            await set_mode(made)
            await made.clock.sleep(later_s)
            return accepted

        process = made.process(but(made.ledger, accept=halted))
        outcome = await process.execution.execute(made.request(order("0.1")))
        assert isinstance(outcome, Executed)
        assert outcome.record.filled == made.truly_filled(outcome.record) == Decimal(filled)


# What rests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked_by", "filled"), [("nobody", "0.2"), ("delete", "0"), ("halt", "0")])
async def test_what_rests_under_review_is_cancelled_at_its_venue(asked_by: str, filled: str) -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        await made.fault("binance", "drop", when="after", count=1)
        asked = order("0.2", price="59995", max_slippage_bps=None, allowed_venues=ONLY["binance"])
        record = await made.execute(asked, time_in_force=TimeInForce.GTC)
        await made.fault("binance", "refuse", endpoint="*")
        await made.run_machine()
        await made.clear_faults()
        assert (await made.record(record.order_id)).status is OrderStatus.NEEDS_REVIEW

        process = made.process()
        if asked_by == "delete":
            await process.follower.cancel(record.order_id, "alice", made.clock.now_ms())
        if asked_by == "halt":
            _, still_open = await process.control.set_switch(TradingMode.HALTED, "drill", "ops")
            assert still_open == 1

        await made.book("binance", [["59900", "1"]], [["59990", "5"]])
        found = await process.parties["binance"].trading.query(record.attempts[0].ref, timeout_s=4)
        assert isinstance(found, Found)
        assert found.order.state.is_final
        assert made.truly_filled(record) == Decimal(filled)
        assert (await made.record(record.order_id)).status is OrderStatus.NEEDS_REVIEW


async def test_a_halt_ends_within_its_functions_time_and_stands_in_what_it_ended() -> None:
    async with house() as made:
        rests = [await resting(made, "0.02", venue="binance") for _ in range(40)]

        async def slow(ask: Any, *arguments: Any, **named: Any) -> Any:
            await made.clock.sleep(3)
            return await ask(*arguments, **named)

        process = made.process(trades={"binance": {"cancel": slow, "query": slow}})
        began_ms = made.clock.now_ms()
        _, still_open = await process.control.set_switch(TradingMode.HALTED, "drill 7", "ops")
        assert made.clock.now_ms() - began_ms < 25_000
        ended = [r for r in [await made.record(r.order_id) for r in rests] if r.ending is not None]
        assert 0 < len(ended) == 40 - still_open < 40
        assert {r.ending.why for r in ended if r.ending} == {"trading halted: drill 7"}
        await made.sweep(2)
        records = [await made.record(r.order_id) for r in rests]
        assert {r.status for r in records} == {OrderStatus.CANCELLED}


async def test_what_rests_is_cancelled_before_what_is_unclear_is_waited_for() -> None:
    async with house() as made:
        await made.fault("binance", "drop", when="after", count=8)
        unclear = [await made.execute(order("0.01", allowed_venues=ONLY["binance"])) for _ in range(8)]
        assert {r.status for r in unclear} == {OrderStatus.RESOLVING}
        rests = await resting(made, "0.2", venue="kraken")
        await made.fault("binance", "refuse", endpoint="*")
        cancelled_at_ms = []

        async def noted(cancel: Any, *arguments: Any, **named: Any) -> CancelOutcome:
            cancelled_at_ms.append(made.clock.now_ms())
            outcome: CancelOutcome = await cancel(*arguments, **named)
            return outcome

        process, began_ms = made.process(trades={"kraken": {"cancel": noted}}), made.clock.now_ms()
        _, still_open = await process.control.set_switch(TradingMode.HALTED, "drill", "ops")
        assert still_open == 8
        assert cancelled_at_ms[0] - began_ms < 2000
        assert (await made.record(rests.order_id)).status is OrderStatus.CANCELLED


async def test_a_halt_cancels_more_at_kraken_than_the_model_of_its_limits_bears() -> None:
    """20 cancels within the first minute cost 80 of the 60 that Kraken's lowest tier has."""
    async with house() as made:
        rests = [await resting(made, "0.02", venue="kraken") for _ in range(20)]
        assert {r.status for r in rests} == {OrderStatus.RESTING}
        await made.clock.sleep(20)
        process = made.process(budgets={"kraken": budget("kraken", made.clock)})
        await process.control.set_switch(TradingMode.HALTED, "drill", "ops")
        kraken = made.process().parties["kraken"].trading
        assert await kraken.open_orders(rests[0].terms.order.symbol, timeout_s=4) == []
        await made.sweep()
        assert {(await made.record(r.order_id)).status for r in rests} == {OrderStatus.CANCELLED}


# What a person says -------------------------------------------------------------------------------


async def test_never_placed_is_not_believed_before_the_order_could_have_arrived() -> None:
    async def of_another_side(place: Any, *arguments: Any, **named: Any) -> PlaceOutcome:
        told: PlaceOutcome = await place(*arguments, **named)
        assert isinstance(told, Placed)
        return Placed(replace(told.order, side=Side.SELL))

    async with house(SOR_TAKER_FEES_BPS="binance=10,coinbase=10,kraken=10") as made:
        await made.fault("binance", "drop", when="before", count=1)
        process = made.process(trades={"kraken": {"place": of_another_side}})
        asked = order("1.4", allowed_venues=frozenset({"binance", "kraken"}))
        outcome = await process.execution.execute(made.request(asked))
        assert isinstance(outcome, Executed)
        record = outcome.record
        assert record.status is OrderStatus.NEEDS_REVIEW  # at once: the venue contradicts itself
        lost = next(a for a in record.attempts if a.venue == "binance")
        assert not lost.is_settled

        async def settle() -> OrderRecord | None:
            return await process.control.settle(
                record.order_id, lost.number, never_placed=True, note="not on its page", by="ops"
            )

        with pytest.raises(ReviewError):
            await settle()
        await made.clock.sleep((fence_at(lost) - lost.request.window.opens_at_ms) / 1000)
        settled = await settle()
        assert settled is not None
        assert settled.attempt(lost.number).state is AttemptState.NEVER
