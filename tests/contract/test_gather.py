"""The market gathered from the simulated venues over real HTTP, faults and caches included."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from local.venues import RunningVenues, VenuesConfig, start
from sor_core.adapters.http import make_client
from sor_core.adapters.venues.registry import VENUES, market_data
from sor_core.clock import SystemClock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.market import BookSource, Why
from sor_core.domain.order import Order
from sor_core.ports import StateError, StateStore
from sor_core.routing.decide import decide
from sor_core.services.gather import Gathered, Gatherer, _remember
from sor_core.settings import Settings
from tests.fakes.markets import BTC_USDT, order
from tests.fakes.memory_state import MemoryStateStore

SETTINGS = Settings.from_env({"SOR_MAX_LATENCY_MS": "1500", "SOR_CACHE_TTL_SECONDS": "2"})
ALL = SETTINGS.venues


class Quiet:
    """A log that remembers."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, Mapping[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        pass

    def warning(self, event: str, **fields: object) -> None:
        self.warnings.append((event, fields))


@pytest.fixture
async def venues() -> AsyncIterator[RunningVenues]:
    running = await start(VenuesConfig(port=0, rate_limits=False))
    yield running
    await running.aclose()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made


class Stage:
    """Gatherers over one set of venues and one store, each as another Lambda would be."""

    def __init__(self, venues: RunningVenues, client: httpx.AsyncClient) -> None:
        self.clock = SystemClock()
        self.store = MemoryStateStore(self.clock)
        self.log = Quiet()
        self.url = venues.url
        self._client = client
        self._ids = map(str, itertools.count())

    def gatherer(self, store: StateStore | None = None) -> Gatherer:
        adapters = {v: market_data(v, self._client, self.clock, gateway_url=self.url) for v in VENUES}
        return Gatherer(
            adapters, store or self.store, self.clock, lambda: next(self._ids), SETTINGS, self.log
        )

    async def gather(
        self, *, gatherer: Gatherer | None = None, symbol: Symbol = BTC_USDT, fresh: bool = False
    ) -> Gathered:
        one = gatherer or self.gatherer()
        cached = None if self.store.broken else await self.store.load_market(symbol, ALL, None)
        gathered = await one.gather(symbol, ALL, cached, fresh=fresh)
        await one.flush()
        return gathered

    async def sim(self, method: str, path: str, body: Any = None) -> Any:
        response = await self._client.request(method, f"{self.url}{path}", json=body, timeout=5)
        response.raise_for_status()
        return response.json()

    async def book_requests(self) -> dict[str, int]:
        state = await self.sim("GET", "/sim/state")
        return {v: state["requests"].get(v, {}).get("book", 0) for v in ALL}


@pytest.fixture
def stage(venues: RunningVenues, client: httpx.AsyncClient) -> Stage:
    return Stage(venues, client)


async def test_all_three_answer(stage: Stage) -> None:
    gathered = await stage.gather()

    assert [m.venue for m in gathered.markets] == list(ALL)
    assert {m.source for m in gathered.markets} == {BookSource.VENUE}
    assert gathered.failures == ()


async def test_books_are_shared_and_kept_for_their_lifetime(stage: Stage) -> None:
    first, second = stage.gatherer(), stage.gatherer()

    await stage.gather(gatherer=first)
    again = await stage.gather(gatherer=first)
    elsewhere = await stage.gather(gatherer=second)
    assert {m.source for m in again.markets} == {BookSource.MEMORY}
    assert {m.source for m in elsewhere.markets} == {BookSource.DYNAMODB}
    assert await stage.book_requests() == dict.fromkeys(ALL, 1)

    await asyncio.sleep(SETTINGS.cache_ttl_ms / 1000)
    later = await stage.gather(gatherer=first)
    assert {m.source for m in later.markets} == {BookSource.VENUE}


async def test_fresh_asks_the_venue_whatever_the_caches_hold(stage: Stage) -> None:
    one = stage.gatherer()
    await stage.gather(gatherer=one)

    again = await stage.gather(gatherer=one, fresh=True)

    assert {m.source for m in again.markets} == {BookSource.VENUE}
    assert await stage.book_requests() == dict.fromkeys(ALL, 2)


async def test_thirty_at_once_cost_each_venue_one_request(stage: Stage) -> None:
    await stage.sim("POST", "/sim/faults", {"venue": "*", "endpoint": "book", "fault": "latency", "ms": 100})

    results = await asyncio.gather(*(stage.gather() for _ in range(30)))

    assert all(len(r.markets) == len(ALL) for r in results)
    assert await stage.book_requests() == dict.fromkeys(ALL, 1)
    assert stage.store.leases == {}


async def test_a_dead_lease_holder_delays_nobody_past_its_lease(stage: Stage) -> None:
    for venue in ALL:
        await stage.store.take_lease(f"book#{BTC_USDT}#{venue}", "dead", stage.clock.now_ms() + 200)

    gathered = await stage.gather()

    assert len(gathered.markets) == len(ALL)


async def test_without_a_store_the_venues_still_answer(stage: Stage) -> None:
    stage.store.broken = True

    gathered = await stage.gather()

    assert len(gathered.markets) == len(ALL)
    assert stage.log.warnings == []  # it was told so, and did not ask again


@pytest.mark.parametrize("when", ["take_lease", "load_book", "save_book", "drop_lease"])
async def test_a_store_that_breaks_half_way_costs_no_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def broken(*_: object) -> None:
        raise StateError("throttled")

    one = stage.gatherer()
    for _ in range(5):  # more than once: writes of one request must not trip the next
        cached = await stage.store.load_market(BTC_USDT, ALL, None)
        with monkeypatch.context() as patched:
            patched.setattr(stage.store, when, broken)
            gathered = await one.gather(BTC_USDT, ALL, cached, fresh=False)
            await asyncio.wait_for(one.flush(), 1)
        assert len(gathered.markets) == len(ALL)
        one._books.clear()  # ask again


async def test_a_store_that_hangs_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    one = stage.gatherer()
    cached = await stage.store.load_market(BTC_USDT, ALL, None)
    monkeypatch.setattr(stage.store, "save_book", hang)

    gathered = await one.gather(BTC_USDT, ALL, cached, fresh=False)
    await asyncio.wait_for(one.flush(), 2)

    assert len(gathered.markets) == len(ALL)
    assert ("state store unavailable", "flush") in [(e, f["operation"]) for e, f in stage.log.warnings]


async def test_a_lease_is_given_back_when_the_venue_fails(stage: Stage) -> None:
    await stage.sim("POST", "/sim/faults", {"venue": "*", "endpoint": "book", "fault": "refuse"})

    await stage.gather()

    assert stage.store.leases == {}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"fault": "latency", "ms": 3000}, "timeout"),
        ({"fault": "hang"}, "timeout"),
        ({"fault": "refuse"}, "connection_failed"),
        ({"fault": "error_5xx", "status": 503}, "server_error"),
        ({"fault": "rate_limit", "status": 429, "retry_after_s": 7}, "rate_limited"),
        ({"fault": "malformed"}, "malformed_answer"),
        ({"fault": "crossed_book"}, Why.CROSSED_BOOK),
        ({"fault": "empty_book"}, Why.EMPTY_BOOK),
    ],
)
@pytest.mark.parametrize("venue", ALL)
async def test_one_bad_venue_is_left_out_and_the_others_answer(
    stage: Stage, venue: str, fault: dict[str, Any], why: str
) -> None:
    await stage.sim("POST", "/sim/faults", {"venue": venue, "endpoint": "book", **fault})

    started = asyncio.get_running_loop().time()
    gathered = await stage.gather()
    took_s = asyncio.get_running_loop().time() - started

    excluded = decided_exclusions(gathered, order("0.5"), stage)
    assert excluded == {venue: why}
    assert took_s < SETTINGS.policy.max_latency_ms / 1000 + 0.3


@pytest.mark.parametrize("venue", ALL)
async def test_a_venue_that_repeats_an_old_book_is_found_out(stage: Stage, venue: str) -> None:
    settings = Settings.from_env({"SOR_MAX_BOOK_AGE_MS": "500"})
    await stage.gather()
    await stage.sim("POST", "/sim/faults", {"venue": venue, "endpoint": "book", "fault": "stale_book"})
    await stage.gather(fresh=True)
    why: str | None = None
    for _ in range(5):  # on a busy machine a venue may be late once, and not be seen
        await asyncio.sleep(0.7)
        gathered = await stage.gather(fresh=True)
        why = decided_exclusions(gathered, order("0.5"), stage, settings).get(venue)
        if why != VenueFailure.TIMEOUT and why is not None:
            break

    assert why == Why.STALE_BOOK


async def test_a_symbol_that_a_venue_does_not_list_is_remembered(stage: Stage) -> None:
    symbol = Symbol("ETH", "BTC")
    nowhere = Symbol("FOO", "BAR")

    first = await stage.gather(symbol=nowhere)
    await stage.gather(symbol=nowhere)
    listed = await stage.gather(symbol=symbol)

    assert {f.why for f in first.failures} == {"unknown_symbol"}
    state = await stage.sim("GET", "/sim/state")
    asked = {v: state["requests"][v]["instruments"] for v in ALL}
    assert asked == dict.fromkeys(ALL, 2)  # once for each symbol
    assert listed.markets


def decided_exclusions(
    gathered: Gathered, asked: Order, stage: Stage, settings: Settings = SETTINGS
) -> dict[str, str]:
    outcome = decide(asked, gathered.markets, gathered.failures, settings.policy, stage.clock.now_ms())
    return {e.venue: e.why for e in outcome.excluded}


def test_remembered_books_are_bounded() -> None:
    memory: dict[int, Book | None] = {}
    for n in range(1000):
        _remember(memory, n, None)

    assert len(memory) <= 256
    assert 999 in memory
