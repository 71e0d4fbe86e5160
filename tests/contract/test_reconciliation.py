"""The daily reconciliation finds whatever ledger and venues do not agree on, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import pytest

from sor_core.adapters.venues.budget import VenueBudget
from sor_core.adapters.venues.histories import one_by_one
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import FrozenRequest, OrderKind, Placed, Placement
from sor_core.execution.outcome import net_amounts
from sor_core.execution.record import AttemptState, OrderRecord
from sor_core.ports_trading import History, LedgerError, OrderLedger, Patience
from sor_core.services.execute import Executed
from sor_core.services.reconciliation import ReconciliationService, Report
from tests.contract.interposed import Instead, but
from tests.contract.test_execute import ONLY, resting
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

FUNCTION_ENDS_MS = 900_000


async def reconciled(
    made: House,
    trades: dict[str, dict[str, Instead]] | None = None,
    *,
    budgets: dict[str, VenueBudget] | None = None,
    ledger: OrderLedger | None = None,
    at: Collection[str] = VENUES,
) -> Report:
    process = made.process(trades=trades, budgets=budgets)
    venues = {venue: process.parties[venue].trading for venue in at}
    return await ReconciliationService(venues, ledger or made.ledger, process.context).reconcile()


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
    # The simulated venue matches what rests when it is asked.
    await made.process().parties[venue].trading.open_orders(record.terms.order.symbol, timeout_s=5)
    await made.clock.sleep(1)
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

        async def dead(*_: object, timeout_s: float) -> NoReturn:
            await asyncio.sleep(
                0.3 if made.clock.now_ms() - began_ms < 1000 else 0
            )  # the others answer first
            await made.clock.sleep(timeout_s)
            raise VenueError("binance", failure, "")

        async def dead_lists(_: object, symbols: Any, __: int, patience: Patience) -> Any:
            async def ask(_: Symbol) -> History:
                return await patience.ask(lambda left_s: dead(timeout_s=left_s))

            return await one_by_one(symbols, ask)

        await made.clock.sleep(300)
        began_ms = made.clock.now_ms()
        report = await reconciled(made, {"binance": {"balances": dead, "histories": dead_lists}})
        assert made.clock.now_ms() - began_ms < FUNCTION_ENDS_MS
        assert report.findings == []
        assert {n.venue for n in report.not_read} == {"binance"}
        assert {n.symbol for n in report.not_read} == {"", *map(str, made.settings.symbols)}
        assert set(report.balances) == {"coinbase", "kraken"}
        assert set(report.traded) == {a.venue for a in record.attempts} - {"binance"}


def forgotten(made: House) -> None:
    """Let the ledger forget every order."""
    made.ledger.records.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("venue", VENUES)
async def test_what_others_let_rest_for_days_with_the_same_account_is_theirs(venue: str) -> None:
    async with house() as made:
        process = made.process()
        party, symbol = process.parties[venue], order("1").symbol
        instrument = await party.public.instrument(symbol, timeout_s=5)
        others = UUID(int=4711, version=4).hex
        size, price = Decimal("0.2"), Decimal(59995)
        placement = Placement(venue, symbol, Side.BUY, OrderKind.LIMIT_GTC, others, size, price)
        request = party.trading.prepare(placement, instrument, venue_now_ms=made.clock.now_ms())
        assert isinstance(request, FrozenRequest)
        not_after_ms = made.clock.now_ms() + 5000
        placed = await party.trading.place(request, not_after_ms=not_after_ms, timeout_s=5)
        assert isinstance(placed, Placed)
        await made.clock.sleep(3 * 86_400)
        await made.book(venue, [["59900", "1"]], [["59990", "5"]])
        assert await party.trading.open_orders(symbol, timeout_s=5) == []  # it has filled
        await made.clock.sleep(60)
        report = await reconciled(made)
        assert (report.findings, report.not_read, report.foreign_orders) == ([], [], 1)


async def test_an_order_placed_while_it_reads_is_left_to_the_next_one() -> None:
    """The ledger was read before the venue showed it."""
    async with house() as made:

        async def then_read(histories: Any, *asked: Any) -> Any:
            await made.clock.sleep(90)
            await made.execute(order("0.2", allowed_venues=ONLY["kraken"]))
            return await histories(*asked)

        report = await reconciled(made, {"kraken": {"histories": then_read}}, at=["kraken"])
        assert (report.findings, report.not_read, report.traded) == ([], [], {})
        await made.clock.sleep(86_000)
        forgotten(made)
        assert {(f.venue, f.what) for f in (await reconciled(made)).findings} == {("kraken", "unknown_order")}


async def test_what_could_not_be_read_is_compared_the_day_after() -> None:
    async with house() as made:
        await made.execute(order("0.2", allowed_venues=ONLY["kraken"]))
        forgotten(made)
        await made.clock.sleep(300)

        async def refused(_: object, symbols: Any, *__: object) -> Any:
            return dict.fromkeys(symbols, VenueError("kraken", VenueFailure.REFUSED, "not today"))

        report = await reconciled(made, {"kraken": {"histories": refused}})
        assert not report.agrees
        assert (report.findings, {n.venue for n in report.not_read}) == ([], {"kraken"})
        levels = made.metrics.take().levels
        assert levels["reconciliation_findings", ()] == 0
        assert levels["reconciliation_not_read", ()] == len(made.settings.symbols)
        assert "ledger and venue differ" not in {event for event, _ in made.log.lines}
        await made.clock.sleep(86_400)
        assert {f.what for f in (await reconciled(made)).findings} == {"unknown_order"}
        await made.clock.sleep(86_400)
        assert (await reconciled(made)).agrees


async def test_gaps_do_not_make_the_time_to_compare_ever_longer() -> None:
    """Two days may be too much for a venue where one is not."""
    async with house() as made:

        async def refused(_: object, symbols: Any, *__: object) -> Any:
            return dict.fromkeys(symbols, VenueError("kraken", VenueFailure.RATE_LIMITED, "too much"))

        lengths = []
        for _ in range(5):
            report = await reconciled(made, {"kraken": {"histories": refused}})
            lengths.append(round((report.until_ms - report.since_ms) / 86_400_000))
            await made.clock.sleep(86_400)
        assert lengths == [1, 2, 1, 2, 1]


async def test_findings_are_told_though_the_report_cannot_be_kept() -> None:
    async with house() as made:
        await made.execute(order("0.2"))
        forgotten(made)
        await made.clock.sleep(300)

        async def lost(*_: object) -> NoReturn:
            raise LedgerError("throttled")

        with pytest.raises(LedgerError):
            await reconciled(made, ledger=but(made.ledger, keep_report=lost))
        assert made.metrics.take().levels["reconciliation_findings", ()] >= 1
        assert "ledger and venue differ" in {event for event, _ in made.log.lines}


async def test_what_the_ledger_cannot_tell_of_one_market_hides_no_finding_in_another() -> None:
    """At one venue a fill is strange, so that the ledger is asked again, which it does not answer."""
    async with house() as made:
        await filled_after_days(made, "binance")
        await made.sweep(2)
        await made.book("kraken", [["59900", "1"]], [["60000", "5"]])
        forgotten_at_kraken = await made.execute(order("0.2", allowed_venues=ONLY["kraken"]))
        made.ledger.records.pop(forgotten_at_kraken.order_id)  # type: ignore[attr-defined]
        await made.clock.sleep(300)
        asked = 0

        async def once(orders_since: Any, *bounds: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > 1:
                raise LedgerError("throttled")
            return await orders_since(*bounds)

        report = await reconciled(made, ledger=but(made.ledger, orders_since=once))
        assert [(n.venue, n.why) for n in report.not_read] == [("binance", "ledger: throttled")]
        assert {(f.venue, f.what) for f in report.findings} == {("kraken", "unknown_order")}
