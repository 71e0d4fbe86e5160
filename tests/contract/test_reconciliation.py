"""The daily reconciliation finds whatever ledger and venues do not agree on, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.outcome import net_amounts
from sor_core.execution.record import AttemptState, OrderRecord
from sor_core.services.execute import Executed
from sor_core.services.reconciliation import ReconciliationService, Report
from tests.contract.interposed import Instead
from tests.contract.test_execute import resting
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

FUNCTION_ENDS_MS = 60_000
QUESTIONS = ("balances", "orders_since", "fills_since")


async def reconciled(made: House, trades: dict[str, dict[str, Instead]] | None = None) -> Report:
    process = made.process(trades=trades)
    venues = {venue: party.trading for venue, party in process.parties.items()}
    return await ReconciliationService(venues, made.ledger, process.context).reconcile()


def believed(made: House, record: OrderRecord, **changes: Any) -> None:
    """Let the ledger hold something else of an order's only attempt than what is true."""
    (attempt,) = record.attempts
    stored: dict[str, OrderRecord] = made.ledger.records  # type: ignore[attr-defined]
    stored[record.order_id] = replace(record, attempts=(replace(attempt, **changes),))


async def test_ledger_and_venues_agree_until_the_ledger_forgets_an_order() -> None:
    async with house() as made:
        for side in Side:
            outcome = await made.process().execution.execute(made.request(order("1.2", side=side)))
            assert isinstance(outcome, Executed)
        await made.clock.sleep(300)
        report = await reconciled(made)
        assert report.findings == []
        assert (report.orders, report.foreign_orders) == (2, 0)
        assert report.attempts >= 2
        stored: Any = made.ledger.records  # type: ignore[attr-defined]
        with exact():
            ours = sum((net_amounts(r)["BTC"] for r in stored.values()), Decimal(0))
            assert sum(each.get("BTC", Decimal(0)) for each in report.traded.values()) == ours
        stored.pop(next(iter(stored)))
        assert {f.what for f in (await reconciled(made)).findings} == {"unknown_order"}


async def test_what_filled_since_the_last_report_explains_the_balances_however_often_it_is_asked() -> None:
    async with house() as made:
        for hours in (9, 20, 9):  # the last two on one UTC day
            outcome = await made.process().execution.execute(made.request(order("0.2")))
            assert isinstance(outcome, Executed)
            await made.clock.sleep(hours * 3600)
            report = await reconciled(made)
            assert (report.findings, report.unexplained) == ([], {})
            assert report.traded


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, None),
        ({"state": AttemptState.NEVER, "order": None}, "exists_after_all"),
        ({"state": AttemptState.ENDED}, "still_open"),
    ],
    ids=["true", "never", "ended"],
)
async def test_an_order_that_can_still_fill_though_the_ledger_thinks_not(
    venue: str, changes: dict[str, Any], what: str | None
) -> None:
    async with house() as made:
        record = await resting(made, "0.2", venue=venue)
        believed(made, record, **changes)
        await made.clock.sleep(300)
        found = (await reconciled(made)).findings
        assert [(f.venue, f.what) for f in found] == ([] if what is None else [(venue, what)])


async def filled_after_days(made: House, venue: str) -> OrderRecord:
    record = await resting(made, "0.2", venue=venue)
    await made.clock.sleep(9.2 * 86_400)
    await made.book(venue, [["59900", "1"]], [["59990", "5"]])
    return record


@pytest.mark.parametrize("venue", VENUES)
async def test_an_order_that_rested_for_days_and_fills_is_known(venue: str) -> None:
    async with house() as made:
        await filled_after_days(made, venue)
        report = await reconciled(made)
        assert report.findings == []
        assert report.traded[venue]["USDT"] <= Decimal("0.2") * -59_995


@pytest.mark.parametrize("venue", VENUES)
async def test_it_is_known_also_once_the_ledger_has_heard_of_its_end(venue: str) -> None:
    async with house() as made:
        record = await filled_after_days(made, venue)
        await made.sweep(2)
        assert (await made.record(record.order_id)).status is OrderStatus.FILLED
        report = await reconciled(made)
        assert report.findings == []
        assert report.traded[venue]["USDT"] <= Decimal("0.2") * -59_995


@pytest.mark.parametrize("failure", [VenueFailure.TIMEOUT, VenueFailure.RATE_LIMITED])
async def test_a_venue_that_cannot_be_read_takes_neither_the_others_nor_the_functions_time(
    failure: VenueFailure,
) -> None:
    async with house() as made:
        record = await made.execute(order("1.2"))

        async def dead(*_: object, timeout_s: float) -> None:
            await asyncio.sleep(0.3)  # the clock jumps only once the others have answered
            await made.clock.sleep(timeout_s)
            raise VenueError("binance", failure, "")

        await made.clock.sleep(300)
        began_ms = made.clock.now_ms()
        report = await reconciled(made, {"binance": dict.fromkeys(QUESTIONS, dead)})
        assert made.clock.now_ms() - began_ms < FUNCTION_ENDS_MS
        assert {(f.venue, f.what) for f in report.findings} == {("binance", "not_read")}
        assert set(report.balances) == {"coinbase", "kraken"}
        assert set(report.traded) == {a.venue for a in record.attempts} - {"binance"}
