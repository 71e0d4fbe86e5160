"""What cannot be sent, or read, at this moment: another venue takes it, or it is tried again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from sor_core.adapters.http import NotSentError
from sor_core.adapters.venues.calls import failed
from sor_core.domain.errors import VenueFailure
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import FrozenRequest, PlaceOutcome, Rejected, RejectReason
from sor_core.execution.protocol import HELD_BACK_ROUNDS
from sor_core.execution.record import OrderRecord
from sor_core.services.execute import Executed
from tests.contract.interposed import Instead
from tests.contract.test_execute import ONLY
from tests.contract.trading_house import House, house
from tests.fakes.markets import order

CHEAP_TO_DEAR = "binance=10,coinbase=11,kraken=12"


def held_back(times: int, retry_after_s: float | None) -> Instead:
    """A venue whose orders our own budget holds back so often, then lets through."""
    left = times

    async def place(real: Any, request: FrozenRequest, **options: Any) -> PlaceOutcome:
        nonlocal left
        if left == 0:
            told: PlaceOutcome = await real(request, **options)
            return told
        left -= 1
        why = "held back by our own budget of requests"
        return failed(NotSentError("binance", VenueFailure.RATE_LIMITED, why, retry_after_s=retry_after_s))

    return place


async def executed(made: House, instead: Instead, wait_s: float = 20, **asked: Any) -> OrderRecord:
    process = made.process(trades={"binance": {"place": instead}})
    done = await process.execution.execute(made.request(order("0.4", **asked), wait_s=wait_s))
    assert isinstance(done, Executed), done
    return done.record


@pytest.mark.parametrize("retry_after_s", [None, 8.0])
async def test_another_venue_takes_what_is_held_back_from_the_first(retry_after_s: float | None) -> None:
    async with house(SOR_TAKER_FEES_BPS=CHEAP_TO_DEAR) as made:
        record = await executed(made, held_back(9, retry_after_s), max_slippage_bps="500")
        assert [a.venue for a in record.attempts][:2] == ["binance", "coinbase"]
        assert (record.status, record.filled) == (OrderStatus.FILLED, Decimal("0.4"))
        assert made.truly_filled(record) == Decimal("0.4")


async def followed(made: House, instead: Instead) -> OrderRecord:
    """What the machine makes of the order that waits for it, each task another process."""
    [(order_id, epoch)] = made.machine.waiting
    task = "reconcile"
    for _ in range(60):
        process = made.process(trades={"binance": {"place": instead}})
        answer = await process.failover.task(task, order_id, epoch)
        if answer.next == "done":
            break
        await made.clock.sleep(answer.wait_s or 0)
        task = "reconcile" if answer.next == "wait" else answer.next
    return await made.record(order_id)


async def test_the_only_venue_is_tried_again_more_often_than_rounds_count() -> None:
    async with house(SOR_MAX_ROUNDS="2") as made:
        instead = held_back(4, None)
        await executed(made, instead, allowed_venues=ONLY["binance"])
        record = await followed(made, instead)
        assert [a.refusal is None for a in record.attempts] == [False] * 4 + [True]
        assert record.filled == made.truly_filled(record) == Decimal("0.4")
        pauses = [b.intended_at_ms - a.not_after_ms for a, b in pairwise(record.attempts)]
        assert min(pauses) >= 1900


async def test_what_is_always_held_back_ends() -> None:
    async with house(SOR_MAX_ROUNDS="2", SOR_EXECUTION_SECONDS="600") as made:
        instead = held_back(999, None)
        await executed(made, instead, allowed_venues=ONLY["binance"])
        record = await followed(made, instead)
        assert (record.status, made.truly_filled(record)) == (OrderStatus.EXPIRED, Decimal(0))
        assert len(record.attempts) == 2 + HELD_BACK_ROUNDS


async def test_an_order_counts_the_fee_of_the_account_not_that_of_the_settings() -> None:
    async with house() as made:
        told = made.settings.taker_fees_bps
        made.settings = replace(made.settings, taker_fees_bps={**told, "coinbase": Decimal(1)})
        asked = order(quote_amount="10000", allowed_venues=ONLY["coinbase"])
        done = await made.process().execution.execute(made.request(asked, wait_s=20))
        assert isinstance(done, Executed)
        assert done.record.status is OrderStatus.FILLED
        fills = made.true_fills(done.record)
        paid = sum(Decimal(f["quantity"]) * Decimal(f["price"]) + Decimal(f["fee"]) for f in fills)
        assert Decimal(9900) < paid <= Decimal(10000)


async def refused_for_its_size(_: Any, request: FrozenRequest, **__: Any) -> PlaceOutcome:
    return Rejected(RejectReason.FILTER_SIZE, "x", f"{request.placement.size} is too little")


@pytest.mark.parametrize("asked", [{"amount": "0.9"}, {"quote_amount": "54000"}], ids=["amount", "budget"])
@pytest.mark.parametrize("endpoint", ["book", "account"])
async def test_a_venue_that_does_not_answer_while_it_is_placed_at_is_tried_again(
    asked: dict[str, Any], endpoint: str
) -> None:
    """Choosing and placing are two invocations: the second reads the market anew."""
    async with house(SOR_TAKER_FEES_BPS="binance=10,coinbase=10,kraken=20") as made:
        process = made.process(trades={"coinbase": {"place": refused_for_its_size}})
        begun = await process.execution.execute(made.request(order(**asked)))
        assert isinstance(begun, Executed)
        order_id, epoch = made.machine.waiting.pop()
        task, failed_once = "reconcile", False
        for _ in range(20):
            if task == "place" and not failed_once:
                plan = (await made.record(order_id)).plan
                assert plan is not None
                for leg in plan.legs:
                    await made.fault(leg.venue, "error_5xx", endpoint=endpoint, count=1)
                failed_once = True
            answer = await made.process().failover.task(task, order_id, epoch)
            if answer.next == "done":
                break
            await made.clock.sleep(answer.wait_s or 0)
            task = "reconcile" if answer.next == "wait" else answer.next
        assert failed_once
        record = await made.record(order_id)
        assert record.status is OrderStatus.FILLED
        assert record.filled == made.truly_filled(record)
        if "amount" in asked:
            assert record.filled == Decimal("0.9")
        else:
            assert Decimal(53900) < record.quote_filled <= Decimal(54000)
