"""The reconciliation keeps to Kraken's small limits, and reads what a busy account has done all the same."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from local.venues import Venue
from sor_core.adapters.venues.kraken import facts
from sor_core.adapters.venues.registry import budget
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import FrozenRequest, OrderKind, Placed, Placement
from sor_core.ports_trading import History, VenueTrading
from sor_core.services.patience import PatientUntil
from tests.contract.test_execute import ONLY
from tests.contract.test_reconciliation import FUNCTION_ENDS_MS, reconciled
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import BTC_USDT, order

T = TypeVar("T")
DEFAULT_MARKETS = 4
LISTS = ("open_orders", "order_history", "fills")
ETH_USDT = Symbol.parse("ETH/USDT")


async def others(made: House, count: int, symbol: Symbol = BTC_USDT) -> None:
    """Let somebody else trade with the same account: orders that fill at once."""
    party = made.process().parties["kraken"]
    instrument = await party.public.instrument(symbol, timeout_s=5)
    for _ in range(count):
        await others_order(made, party.trading, instrument, symbol)


async def others_order(made: House, trading: VenueTrading, instrument: Any, symbol: Symbol) -> None:
    placement = Placement(
        *("kraken", symbol, Side.BUY, OrderKind.LIMIT_IOC, uuid.uuid4().hex),
        *(Decimal("0.001"), Decimal(60_100)),
    )
    request = trading.prepare(placement, instrument, venue_now_ms=made.clock.now_ms())
    assert isinstance(request, FrozenRequest)
    assert isinstance(
        await trading.place(request, not_after_ms=made.clock.now_ms() + 60_000, timeout_s=5), Placed
    )
    await made.clock.sleep(1)


def asked(made: House) -> list[int]:
    requests = made.venues.simulation.requests[Venue.KRAKEN]
    return [requests[name] for name in LISTS]


def pages(rows: int) -> int:
    return rows // facts.PAGE + 1


@pytest.mark.parametrize("limits", ["off", "on"], ids=["ours", "and_the_venues"])
@pytest.mark.parametrize(
    ("count", "markets", "tier"),
    [(5, DEFAULT_MARKETS, "starter"), (110, 1, "starter"), (220, 1, "pro"), (1010, DEFAULT_MARKETS, "pro")],
    ids=str,
)
async def test_every_list_of_the_account_is_read_once_and_to_its_end(
    count: int, markets: int, tier: str, limits: str
) -> None:
    named = {} if markets == DEFAULT_MARKETS else {"SOR_SYMBOLS": "BTC/USDT"}
    async with house(SOR_VENUES_RATE_LIMITS=limits, **named) as made:
        assert len(made.settings.symbols) == markets
        await made.execute(order("0.2", allowed_venues=ONLY["kraken"]))
        await others(made, count - 1)
        await made.clock.sleep(300)
        before, began_ms = asked(made), made.clock.now_ms()
        report = await reconciled(made, budgets={"kraken": budget("kraken", made.clock, tier)}, at=["kraken"])
        assert made.clock.now_ms() - began_ms < FUNCTION_ENDS_MS
        assert (report.findings, report.not_read) == ([], [])
        assert (report.orders, report.attempts, report.foreign_orders) == (1, 1, count - 1)
        now = [n - b for n, b in zip(asked(made), before, strict=True)]
        if limits == "on" and count > 1000:
            # The tier that the account really has is a lower one: the venue refuses pages, that page is
            # asked for again, and none before it.
            assert 2 * pages(count) < sum(now[1:]) < 3 * pages(count)
        else:
            assert now == [1, pages(count), pages(count)]


async def test_a_list_for_which_there_is_no_time_is_none() -> None:
    """Half of it would be a finding for each order of the other half."""
    async with house(SOR_SYMBOLS="BTC/USDT") as made:
        await made.execute(order("0.2", allowed_venues=ONLY["kraken"]))
        await others(made, 110)
        trading = (
            made.process(budgets={"kraken": budget("kraken", made.clock, "starter")})
            .parties["kraken"]
            .trading
        )
        patience = PatientUntil(made.clock, made.clock.sleep, made.clock.now_ms() + 2000)
        since_ms = made.clock.now_ms() - 3_600_000
        began_ms = made.clock.now_ms()
        lists = await trading.histories([BTC_USDT, ETH_USDT], since_ms, patience)
        assert made.clock.now_ms() - began_ms < 2500
        for error in lists.values():
            assert isinstance(error, VenueError)
            assert error.failure is VenueFailure.RATE_LIMITED
        assert list(lists) == [BTC_USDT, ETH_USDT]


async def test_rows_that_move_between_pages_are_neither_missed_nor_told_twice() -> None:
    """Before each page others trade, so that every row moves to a later place."""
    async with house() as made:
        await others(made, 130)
        party = made.process().parties["kraken"]
        instrument = await party.public.instrument(BTC_USDT, timeout_s=5)
        since_ms = made.clock.now_ms() - 3_600_000
        known = {
            row.venue_order_id for row in await party.trading.orders_since(BTC_USDT, since_ms, timeout_s=5)
        }
        assert len(known) == 130

        class Busy:
            async def ask(self, question: Callable[[float], Awaitable[T]]) -> T:
                for _ in range(7):
                    await others_order(made, party.trading, instrument, BTC_USDT)
                return await question(5.0)

        lists = await party.trading.histories([BTC_USDT, ETH_USDT], since_ms, Busy())
        history = lists[BTC_USDT]
        assert isinstance(history, History)
        listed = [row.venue_order_id for row in history.orders]
        filled = [row.fill_id for row in history.fills]
        assert len(set(listed)) == len(listed)
        assert len(set(filled)) == len(filled)
        assert known <= set(listed)
        assert known <= {row.venue_order_id for row in history.fills}
        assert lists[ETH_USDT] == History([], [])


@pytest.mark.parametrize("venue", VENUES)
async def test_a_page_that_is_held_up_is_asked_for_again_and_no_other(venue: str) -> None:
    async with house() as made:
        for _ in range(3):
            await made.execute(order("0.05", allowed_venues=ONLY[venue]))
        await made.clock.sleep(300)
        trading = made.process().parties[venue].trading
        patience = PatientUntil(made.clock, made.clock.sleep, made.clock.now_ms() + 600_000)
        since_ms = made.clock.now_ms() - 3_600_000
        for fault in ("rate_limit", "error_5xx"):
            before = made.venues.simulation.requests[Venue(venue)]["fills"]
            await made.fault(venue, fault, endpoint="fills", count=1)
            lists = await trading.histories([BTC_USDT], since_ms, patience)
            history = lists[BTC_USDT]
            assert isinstance(history, History), history
            assert len(history.orders) == len({fill.venue_order_id for fill in history.fills}) == 3
            asked_for = made.venues.simulation.requests[Venue(venue)]["fills"] - before
            await made.clear_faults()
            again = await trading.histories([BTC_USDT], since_ms, patience)
            assert again == lists
            without = made.venues.simulation.requests[Venue(venue)]["fills"] - before - asked_for
            assert asked_for == without + 1
