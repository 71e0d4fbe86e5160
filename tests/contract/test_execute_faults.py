"""Whatever a venue or the network does to an order: it never fills twice, and it ends."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from sor_core.api.orders import venue_answer
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.outcome import outcome
from sor_core.execution.record import AttemptState, OrderRecord
from sor_core.services.control import ReviewError
from tests.contract.test_execute import ONLY, day, holds, resting
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

ONCE: dict[str, Any] = {"count": 1}
LOST: list[tuple[str, dict[str, Any]]] = [
    ("refuse", {}),
    ("drop", {"when": "before"}),
    ("drop", {"when": "after"}),
    ("drop", {"mid_body": True}),
    ("error_5xx", {"when": "before"}),
    ("error_5xx", {"when": "after"}),
    ("html", {"when": "before"}),
    ("html", {"when": "after"}),
    ("malformed", {}),
    ("rate_limit", {}),
    ("maintenance", {}),
    ("cancel_only", {}),
]


async def settled(made: House, record: OrderRecord) -> OrderRecord:
    await made.run_machine()
    await made.sweep(2)
    done = await made.record(record.order_id)
    assert done.status.is_final, done
    return done


def agrees(made: House, record: OrderRecord) -> None:
    """What the ledger says is what the venues did, and never more than was ordered."""
    filled = made.truly_filled(record)
    assert filled <= record.terms.base
    assert all(Decimal(f["price"]) <= record.terms.price_cap for f in made.true_fills(record))
    if record.status is not OrderStatus.NEEDS_REVIEW:
        assert record.filled == filled
        assert outcome(record).at_risk == 0
        assert holds(made) == {}
    else:
        assert filled <= record.at_stake


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("fault", "params"), LOST, ids=[f"{f}-{'-'.join(map(str, p.values()))}" for f, p in LOST]
)
async def test_a_venue_that_fails_an_order_is_found_out_about_and_another_takes_over(
    venue: str, fault: str, params: dict[str, Any]
) -> None:
    async with house(SOR_TAKER_FEES_BPS=",".join(f"{v}={10 if v == venue else 20}" for v in VENUES)) as made:
        await made.fault(venue, fault, **params, **ONCE)
        record = await made.execute(order("0.5"))
        assert [a.venue for a in record.attempts] == [venue]
        done = await settled(made, record)
        agrees(made, done)
        assert done.status in {OrderStatus.FILLED, OrderStatus.NEEDS_REVIEW}
        if done.status is OrderStatus.NEEDS_REVIEW:
            assert venue == "coinbase"
        posts = {v: made.posts(v) for v in VENUES}
        if venue != "coinbase":
            assert posts[venue] == 1  # never sent again
        if done.failover_used:
            assert done.attempts[0].state is AttemptState.NEVER
            assert done.attempts[1].venue != venue


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_that_dies_with_an_order_in_hand(venue: str) -> None:
    """The order filled, the answer is lost, and for minutes nobody can ask."""
    async with house(SOR_TAKER_FEES_BPS=",".join(f"{v}={10 if v == venue else 20}" for v in VENUES)) as made:
        await made.fault(venue, "drop", when="after", **ONCE)
        record = await made.execute(order("0.5"))
        await made.fault(venue, "refuse", endpoint="*")
        assert record.status is OrderStatus.RESOLVING
        assert outcome(record).at_risk == Decimal("0.5")
        assert holds(made) == {venue: pytest.approx(holds(made)[venue])}
        await made.clock.sleep(200)
        await made.process().failover.sweep()
        await made.clear_faults()
        done = await settled(made, record)
        agrees(made, done)
        assert done.status is OrderStatus.FILLED
        assert sum(made.posts(v) for v in VENUES) == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_that_stays_dead_leaves_the_order_to_a_person(venue: str) -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        await made.fault(venue, "drop", when="after", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=ONLY[venue]))
        await made.fault(venue, "refuse", endpoint="*")
        done = await settled(made, record)
        assert done.status is OrderStatus.NEEDS_REVIEW
        assert outcome(done).at_risk == Decimal("0.5")
        assert day(made) > 0
        assert holds(made)[venue] > 0
        await made.clear_faults()
        control = made.process().control
        reviewed = await control.settle(
            done.order_id, 1, never_placed=False, note="seen on the venue's own page", by="ops"
        )
        assert reviewed is not None
        assert reviewed.status is OrderStatus.FILLED
        agrees(made, reviewed)


async def test_an_order_that_shows_late_is_not_taken_for_absent() -> None:
    async with house() as made:
        await made.fault("binance", "delayed_visibility", endpoint="*", ms=1500)
        await made.fault("binance", "drop", when="after", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=frozenset({"binance", "kraken"})))
        done = await settled(made, record)
        agrees(made, done)
        assert done.status is OrderStatus.FILLED
        assert sum(made.posts(v) for v in VENUES) == 1


@pytest.mark.parametrize("venue", ["binance", "kraken"])
async def test_the_fill_of_an_older_order_is_not_taken_for_the_lost_ones(venue: str) -> None:
    async with house() as made:
        older = await resting(made, "0.2", venue=venue)
        assert older.status is OrderStatus.RESTING
        await made.clock.sleep(7200)
        await made.book(venue, [["59990", "0.5"]], [["60000", "0.5"]])
        await made.fault(venue, "drop", when="before", **ONCE)
        lost = await made.execute(order("0.4", max_slippage_bps="200", allowed_venues=ONLY[venue]))
        await made.book(venue, [["59900", "1"]], [["59990", "5"]])  # what rests fills
        await made.run_machine()
        await made.sweep(6, every_s=120)
        done = await made.record(lost.order_id)
        assert done.attempts[0].state is AttemptState.NEVER
        agrees(made, done)
        assert (await made.record(older.order_id)).status is OrderStatus.FILLED


@pytest.mark.parametrize("skew_ms", [-4000, 4000])
@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_whose_clock_is_off(venue: str, skew_ms: int) -> None:
    async with house() as made:
        await made.fault(venue, "clock_skew", endpoint="*", ms=skew_ms)
        await made.fault(venue, "drop", when="before", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=frozenset({venue, "kraken"}) | {venue}))
        done = await settled(made, record)
        agrees(made, done)


async def test_partial_fills_go_on_elsewhere() -> None:
    async with house() as made:
        await made.fault("binance", "partial_fill", share=0.5, **ONCE)
        record = await made.execute(order("0.5"))
        done = await settled(made, record)
        agrees(made, done)
        assert done.status is OrderStatus.FILLED
        assert done.rounds > 1


@pytest.mark.parametrize("down", VENUES)
async def test_with_one_venue_down_orders_still_execute(down: str) -> None:
    async with house() as made:
        await made.fault(down, "refuse", endpoint="*")
        record = await made.execute(order("0.5", side=Side.SELL))
        assert record.status is OrderStatus.FILLED
        assert down not in {a.venue for a in record.attempts}


async def test_every_task_invoked_twice_at_once_does_no_harm() -> None:
    """Lambda may run one event twice; the machine hears of one of the two."""
    async with house() as made:
        await made.fault("binance", "drop", when="before", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=frozenset({"binance", "kraken"})))
        ((order_id, epoch),) = made.machine.waiting
        made.machine.waiting.clear()
        task = "reconcile"
        while True:
            twice = [made.process().failover.task(task, order_id, epoch) for _ in range(2)]
            heard = min(await asyncio.gather(*twice), key=lambda answer: answer.next == "wait")
            if heard.next == "done":
                break
            await made.clock.sleep(heard.wait_s)
            task = "reconcile" if heard.next == "wait" else heard.next
        done = await settled(made, record)
        agrees(made, done)
        assert done.status is OrderStatus.FILLED
        assert (made.posts("binance"), made.posts("kraken")) == (1, 1)


async def test_an_execution_of_an_older_epoch_does_nothing() -> None:
    async with house() as made:
        await made.fault("binance", "drop", when="before", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=frozenset({"binance", "kraken"})))
        ((order_id, epoch),) = made.machine.waiting
        made.machine.waiting.clear()
        await made.sweep()  # nobody began: the sweep starts another
        assert await made.run_execution(order_id, epoch) == ["reconcile"]
        done = await settled(made, record)
        agrees(made, done)
        assert done.epoch > epoch


async def test_the_evidence_of_a_review_stands_side_by_side() -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        await made.fault("binance", "drop", when="after", **ONCE)
        record = await made.execute(order("0.5", allowed_venues=ONLY["binance"]))
        await made.fault("binance", "refuse", endpoint="*")
        done = await settled(made, record)
        control = made.process().control
        found = await control.evidence(done.order_id)
        assert found is not None
        assert found[1][0].shown is None
        assert found[1][0].problem
        await made.clear_faults()
        found = await control.evidence(done.order_id)
        assert found is not None
        (evidence,) = found[1]
        assert evidence.shown is not None
        assert evidence.shown.filled_size == Decimal("0.5")
        told = venue_answer(evidence.attempt, evidence.shown, evidence.problem)
        assert (told["resolution"], told["agrees_with_ledger"]) == ("keep_as_told", False)
        with pytest.raises(ReviewError, match="shows it"):
            await control.settle(done.order_id, 1, never_placed=True, note="not there", by="ops")


async def test_an_attempt_that_was_never_placed_is_settled_so() -> None:
    async with house() as made:
        await made.fault("coinbase", "drop", when="before", count=10)
        record = await made.execute(order("0.5", allowed_venues=ONLY["coinbase"]))
        done = await settled(made, record)
        assert done.status is OrderStatus.NEEDS_REVIEW
        await made.clear_faults()
        control = made.process().control
        reviewed = await control.settle(done.order_id, 1, never_placed=True, note="not there", by="ops")
        assert reviewed is not None
        assert reviewed.status is OrderStatus.EXPIRED
        agrees(made, reviewed)
        assert day(made) == 0
