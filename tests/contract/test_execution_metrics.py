"""What the services measure while orders are executed over simulated venues."""

from __future__ import annotations

from dataclasses import replace

from sor_core.domain.order_status import OrderStatus
from sor_core.ports_trading import LedgerError
from sor_core.services.control import ControlService
from sor_core.services.metering import Recorded
from sor_core.services.reconciliation import ReconciliationService
from tests.contract.interposed import but
from tests.contract.test_execute_faults import ONCE
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

BINANCE_FIRST = {"SOR_TAKER_FEES_BPS": "binance=10,coinbase=20,kraken=20"}


def counts(recorded: Recorded, name: str) -> dict[tuple[str, ...], float]:
    return {labels: value for (metric, labels), value in recorded.counts.items() if metric == name}


def values(recorded: Recorded, name: str) -> dict[tuple[str, ...], list[float]]:
    return {labels: found for (metric, labels), found in recorded.observations.items() if metric == name}


async def test_an_order_that_fills() -> None:
    async with house(**BINANCE_FIRST) as made:
        record = await made.execute(order("0.5"))
        taken = made.metrics.take()

    assert record.status is OrderStatus.FILLED
    assert counts(taken, "orders_total") == {("accepted",): 1, ("filled",): 1}
    assert sum(counts(taken, "routing_decisions_total").values()) == 1
    [latency_s] = values(taken, "execution_latency_seconds")["binance",]
    assert 0 < latency_s < 8
    [slippage] = values(taken, "execution_slippage_bps")[()]
    assert abs(slippage) < 10
    assert len(values(taken, "best_execution_savings_bps")[()]) == 1
    assert values(taken, "visibility_lag_seconds")["binance",][0] >= 0
    assert counts(taken, "failover_events_total") == {}
    assert counts(taken, "unknown_outcomes_total") == {}


async def test_a_venue_that_loses_an_order_counts_once_and_so_does_the_failover() -> None:
    async with house(**BINANCE_FIRST) as made:
        await made.fault("binance", "drop", when="before", **ONCE)
        record = await made.execute(order("0.5"))
        await made.run_machine()
        record = await made.record(record.order_id)
        taken = made.metrics.take()

    assert record.status is OrderStatus.FILLED
    backups = {a.venue for a in record.attempts} - {"binance"}
    assert counts(taken, "unknown_outcomes_total") == {("binance",): 1}
    assert counts(taken, "failover_events_total") == {("binance", backup): 1 for backup in backups}
    assert counts(taken, "orders_total") == {("accepted",): 1, ("filled",): 1}


async def waiting(made: House) -> float:
    await made.process().failover.sweep()
    return made.metrics.take().levels["orders_needing_review", ()]


async def reviewed(made: House) -> None:
    await made.fault("coinbase", "drop", when="before")
    record = await made.execute(order("0.5"))
    await made.run_machine()
    record = await made.record(record.order_id)
    assert record.status is OrderStatus.NEEDS_REVIEW
    assert counts(made.metrics.take(), "orders_total")["needs_review",] == 1
    assert await waiting(made) == 1
    await made.clear_faults()
    await made.clock.sleep(900)
    control: ControlService = made.process().control
    settled = await control.settle(record.order_id, 1, never_placed=True, note="not there", by="bob")
    assert settled is not None
    assert settled.status.is_final


async def test_an_order_under_review_is_counted_when_it_comes_and_when_it_is_settled() -> None:
    async with house(SOR_VENUES="coinbase") as made:
        await reviewed(made)
        taken = made.metrics.take()
        assert counts(taken, "orders_reviewed_total") == {(): 1}
        assert await waiting(made) == 0


async def test_a_sweep_that_cannot_count_the_reviews_says_nothing_of_them() -> None:
    async def unreachable(_: object, *, limit: int) -> None:
        raise LedgerError(f"unreachable for {limit}")

    async with house() as made:
        process = made.process(but(made.ledger, under_review=unreachable))
        await process.failover.sweep()
        assert ("orders_needing_review", ()) not in made.metrics.take().levels


async def test_the_sweep_tells_the_queue_and_the_days_notional() -> None:
    async with house(**BINANCE_FIRST, SOR_MAX_DAILY_NOTIONAL="60000") as made:
        await made.execute(order("0.5"))
        await made.process().failover.sweep()
        levels = made.metrics.take().levels

    assert levels["orders_due", ()] == 0
    used = levels["daily_notional_used_ratio", ("USDT",)]
    assert 0.49 < used < 0.51
    assert levels["daily_notional_peak_ratio", ()] == used


async def test_the_reconciliation_tells_its_findings() -> None:
    async with house() as made:
        process = made.process()
        await made.execute(order("0.5"))
        service = ReconciliationService(
            {v: process.parties[v].trading for v in VENUES}, made.ledger, replace(process.context)
        )
        await service.reconcile()
        assert made.metrics.take().levels["reconciliation_findings", ()] == 0
