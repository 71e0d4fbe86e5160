"""Requests of one process that want the same book, and requests that do not wait for the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.domain.market import BookSource, Why
from sor_core.health.breaker import Breaker, BreakerState
from sor_core.health.measure import HealthRecord
from sor_core.ports import CachedMarket, ServerTime, SystemStatus
from sor_core.services.gather import HEALTH_MEMORY_MS, Gathered, Gatherer
from sor_core.services.single_flight import SingleFlight
from sor_core.settings import Settings
from tests.fakes.clock import ManualClock
from tests.fakes.markets import BTC_USDT, NOW_MS, instrument, levels, metrics
from tests.fakes.memory_state import MemoryStateStore

SETTINGS = Settings.from_env({"SOR_VENUES": "kraken", "SOR_MAX_LATENCY_MS": "500"})
NOTHING = CachedMarket(books={}, instruments={}, health={}, decision=None)


class Quiet:
    def info(self, event: str, **fields: object) -> None:
        pass

    def warning(self, event: str, **fields: object) -> None:
        pass


class Venue:
    """Answers when it is let."""

    venue = "kraken"
    default_fees = FeeRates(Decimal(10), Decimal(5), "default")

    def __init__(self) -> None:
        self.books = 0
        self.rules = 0
        self.cancelled = 0
        self.let = asyncio.Event()
        self.failure: VenueFailure | None = None

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        del depth, timeout_s
        self.books += 1
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise VenueError("kraken", self.failure, "scripted")
        sides = levels(("99", "1")), levels(("101", "1"))
        return Book("kraken", symbol, *sides, NOW_MS, 20.0, NOW_MS, None)

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        del symbol, timeout_s
        self.rules += 1
        return instrument("kraken")

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        raise NotImplementedError

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        raise NotImplementedError


class Stage:
    def __init__(self) -> None:
        self.venue = Venue()
        self.clock = ManualClock()
        self.store = MemoryStateStore(self.clock)
        ids = map(str, itertools.count())
        self.gatherer = Gatherer(
            {"kraken": self.venue}, self.store, self.clock, lambda: next(ids), SETTINGS, Quiet()
        )

    async def gather(
        self, cached: CachedMarket | asyncio.Future[CachedMarket | None] | None, *, fresh: bool = False
    ) -> Gathered:
        return await self.gatherer.gather(BTC_USDT, ["kraken"], cached, fresh=fresh)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def health(state: BreakerState) -> Mapping[str, HealthRecord]:
    record = HealthRecord(
        "kraken", metrics(), (), NOW_MS, None, None, "", 1, market_data=Breaker(state, NOW_MS, "down")
    )
    return {"kraken": record}


@pytest.mark.parametrize("cached", [NOTHING, None], ids=["with a store", "without one"])
async def test_ten_at_once_ask_once(stage: Stage, cached: CachedMarket | None) -> None:
    asking = [asyncio.create_task(stage.gather(cached)) for _ in range(10)]
    await rest()
    stage.venue.let.set()
    gathered = await asyncio.gather(*asking)

    assert (stage.venue.books, stage.venue.rules) == (1, 1)
    assert [g.markets[0].source for g in gathered] == [BookSource.VENUE] * 10


async def test_who_wants_it_fresh_asks_for_himself(stage: Stage) -> None:
    asking = [asyncio.create_task(stage.gather(NOTHING, fresh=True)) for _ in range(3)]
    await rest()
    stage.venue.let.set()
    await asyncio.gather(*asking)

    assert stage.venue.books == 3


async def test_all_are_told_of_one_failure_and_the_next_asks_again(stage: Stage) -> None:
    stage.venue.failure = VenueFailure.SERVER_ERROR
    stage.venue.let.set()
    gathered = await asyncio.gather(*(stage.gather(NOTHING) for _ in range(5)))
    assert {g.failures[0].why for g in gathered} == {VenueFailure.SERVER_ERROR}
    assert stage.venue.books == 1

    await stage.gather(NOTHING)
    assert stage.venue.books == 2


async def test_the_deadline_ends_the_request_that_nobody_waits_for_any_more(stage: Stage) -> None:
    gathered = await asyncio.gather(*(stage.gather(None) for _ in range(5)))

    assert {g.failures[0].why for g in gathered} == {VenueFailure.TIMEOUT}
    assert (stage.venue.books, stage.venue.cancelled) == (1, 1)


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    shared: SingleFlight[str, int] = SingleFlight(lambda _: False)
    let, begun = asyncio.Event(), 0

    async def work() -> int:
        nonlocal begun
        begun += 1
        await let.wait()
        return begun

    first, second = (asyncio.create_task(shared.share("key", work)) for _ in range(2))
    await rest()
    first.cancel()
    await rest()
    assert first.cancelled()
    let.set()

    assert await second == 1
    assert await shared.share("key", work) == 2  # a result is not kept


async def test_one_who_came_later_does_not_fail_by_the_time_of_who_began() -> None:
    shared: SingleFlight[str, int] = SingleFlight(lambda error: isinstance(error, TimeoutError))
    lets = [asyncio.Event(), asyncio.Event()]
    began: list[int] = []

    async def work() -> int:
        began.append(len(began))
        mine = began[-1]
        await lets[mine].wait()
        if not mine:
            raise TimeoutError
        return mine

    first, later, last = (asyncio.create_task(shared.share("key", work)) for _ in range(3))
    await rest()
    lets[0].set()
    await rest()
    assert isinstance(first.exception(), TimeoutError)
    lets[1].set()

    assert (await later, await last) == (1, 1)
    assert began == [0, 1]


async def test_a_store_that_is_silent_once_makes_no_venue_well(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING)  # book and rules are in memory
    await stage.gather(CachedMarket({}, {}, health(BreakerState.OPEN), None))
    await stage.gather(None)

    known = stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False)
    assert known is None or known.health["kraken"].market_data.state is BreakerState.OPEN


async def test_health_is_believed_for_a_moment_only(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is not None
    stage.clock.advance(HEALTH_MEMORY_MS)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is None


async def test_a_fresh_book_is_asked_for_while_the_store_is_still_read(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING, fresh=True)  # it was well a moment ago
    loading: asyncio.Future[CachedMarket | None] = asyncio.get_running_loop().create_future()

    asking = asyncio.create_task(stage.gather(loading, fresh=True))
    await rest()
    assert stage.venue.books == 2
    assert not asking.done()
    loading.set_result(NOTHING)

    assert (await asking).markets[0].source is BookSource.VENUE


async def test_a_venue_found_unwell_meanwhile_is_left_out(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING, fresh=True)
    loading: asyncio.Future[CachedMarket | None] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(stage.gather(loading, fresh=True))
    await rest()
    loading.set_result(CachedMarket({}, {}, health(BreakerState.OPEN), None))
    assert [failure.why for failure in (await asking).failures] == [Why.UNHEALTHY]

    before = stage.venue.books
    loading = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(stage.gather(loading, fresh=True))
    await rest()
    assert stage.venue.books == before  # known to be unwell: not asked before its health is known
    loading.set_result(NOTHING)
    assert len((await asking).markets) == 1


@pytest.mark.parametrize("later_s", [31, 3600])
async def test_health_seen_long_ago_lets_nothing_be_asked_at_once(stage: Stage, later_s: int) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING, fresh=True)
    stage.clock.advance(later_s * 1000)
    loading: asyncio.Future[CachedMarket | None] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(stage.gather(loading, fresh=True))
    await rest()
    assert stage.venue.books == 1
    loading.set_result(None)
    await asking
    assert stage.venue.books == 2


async def test_a_process_knows_enough_by_itself_once_it_has_gathered(stage: Stage) -> None:
    stage.venue.let.set()
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is None
    await stage.gather(CachedMarket({}, {}, health(BreakerState.CLOSED), None))

    recalled = stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False)
    assert recalled is not None
    assert recalled.health == health(BreakerState.CLOSED)
    gathered = await stage.gather(recalled)
    assert gathered.markets[0].source is BookSource.MEMORY
    assert gathered.markets[0].metrics == metrics()
    assert stage.gatherer.remembered(BTC_USDT, ["kraken", "binance"], fresh=False) is None


async def test_what_it_knows_ends_with_the_book_and_is_not_renewed_by_use(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING)
    stage.clock.advance(SETTINGS.cache_ttl_ms - 1)
    recalled = stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False)
    await stage.gather(recalled)
    stage.clock.advance(1)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is None


async def test_health_is_read_again_when_a_book_is_younger_than_it(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING)
    stage.clock.advance(SETTINGS.cache_ttl_ms - 1)
    recalled = stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False)
    book = stage.gatherer._books["kraken", BTC_USDT]
    stage.gatherer._books["kraken", BTC_USDT] = replace(book, received_at_ms=stage.clock.now_ms())
    await stage.gather(recalled)
    stage.clock.advance(1)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is None
    await stage.gather(NOTHING)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=False) is not None


async def test_for_fresh_books_health_and_rules_are_enough(stage: Stage) -> None:
    stage.venue.let.set()
    await stage.gather(NOTHING)
    stage.gatherer._books.clear()
    recalled = stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=True)
    gathered = await stage.gather(recalled, fresh=True)
    assert gathered.markets[0].source is BookSource.VENUE
    assert (stage.venue.books, stage.venue.rules) == (2, 1)
    stage.clock.advance(SETTINGS.cache_ttl_ms)
    assert stage.gatherer.remembered(BTC_USDT, ["kraken"], fresh=True) is None
