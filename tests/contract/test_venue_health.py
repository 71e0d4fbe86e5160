"""Venues that go down and come back, seen by the probe and by routes over one store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest

from sor_core.api.no_route import no_route_problem
from sor_core.api.status import status_answer
from sor_core.domain.book import Book
from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.health import SystemStatus
from sor_core.domain.instrument import FeeRates, Instrument, Symbol
from sor_core.domain.market import Why
from sor_core.health.breaker import BreakerState, Evidence
from sor_core.health.measure import HealthRecord
from sor_core.ports import ServerTime
from sor_core.routing.verify import verify
from sor_core.services.call_health import FLUSH_EVERY_MS, FLUSH_TIMEOUT_S, CallHealth
from sor_core.services.gather import Gatherer
from sor_core.services.probe import ProbeService
from sor_core.services.route import Routed, RouteService
from sor_core.settings import Settings
from tests.fakes.clock import ManualClock
from tests.fakes.markets import BTC_USDT, instrument, levels, order
from tests.fakes.memory_state import MemoryStateStore

VENUES = ("binance", "coinbase", "kraken")
SETTINGS = Settings.from_env(
    {"SOR_MIN_LIQUIDITY_SCORE": "0", "SOR_CACHE_TTL_SECONDS": "0", "SOR_SYMBOLS": "BTC/USDT"}
)
INTERVAL_MS = SETTINGS.health_check_interval_s * 1000


class Venue:
    """A venue's public side that does what a test says."""

    default_fees = FeeRates(Decimal(10), Decimal(10), "default")

    def __init__(self, venue: str, clock: ManualClock) -> None:
        self.venue = venue
        self._clock = clock
        self.failure: VenueFailure | None = None
        self.hangs = False
        self.status = SystemStatus.ONLINE
        self.asked = 0

    async def _answer(self, timeout_s: float) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(timeout_s)
            raise VenueError(self.venue, VenueFailure.TIMEOUT)
        if self.failure is not None:
            raise VenueError(self.venue, self.failure)

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        assert depth
        await self._answer(timeout_s)
        bids, asks = levels(("99.95", "1"), ("99.6", "10")), levels(("100.05", "2"), ("100.4", "10"))
        return Book(self.venue, symbol, bids, asks, self._clock.now_ms(), latency_ms=5.0)

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        await self._answer(timeout_s)
        assert symbol == BTC_USDT
        return instrument(self.venue)

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        await self._answer(timeout_s)
        return ServerTime(self._clock.now_ms(), 3.0, 5.0)

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        await self._answer(timeout_s)
        return self.status


class Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        pass

    def warning(self, event: str, **fields: object) -> None:
        assert fields
        self.warnings.append(event)


class Queue:
    async def schedule(self, delays_s: object) -> None:
        raise AssertionError(delays_s)


class Stage:
    """One store, one probe, one process that routes; nothing is ever started again."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStateStore(self.clock)
        self.venues = {v: Venue(v, self.clock) for v in VENUES}
        self.log = Log()
        ids = map(str, itertools.count())
        parts = (self.store, self.clock, lambda: next(ids), SETTINGS, self.log)
        self.gatherer = Gatherer(self.venues, *parts)
        self._route = RouteService(self.gatherer, *parts)
        self._probe = ProbeService(self.venues, self.store, Queue(), *parts[1:])

    async def probe(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(INTERVAL_MS)
            await self._probe.probe()

    async def route(self, *, receipt: bool = False) -> Routed | NoRoute:
        return await self._route.route(order("0.5"), fresh=False, receipt=receipt)

    async def excluded(self) -> Mapping[str, str]:
        outcome = await self.route()
        decision = outcome.decision if isinstance(outcome, Routed) else outcome
        return {e.venue: e.why for e in decision.excluded}

    def calls(self) -> CallHealth:
        """Of another process."""
        return CallHealth(self.store, self.clock, SETTINGS, self.log)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def lost(venue: str, failure: VenueFailure = VenueFailure.SERVER_ERROR) -> None:
    raise VenueError(venue, failure)


async def answered() -> None:
    pass


async def fail(calls: CallHealth, venue: str, failure: VenueFailure = VenueFailure.SERVER_ERROR) -> None:
    with pytest.raises(VenueError):
        await calls.timed(venue, Evidence.ORDER, lost(venue, failure))


async def test_a_probe_measures_depth_round_trip_and_offset(stage: Stage) -> None:
    await stage.probe()
    record = stage.store.health["kraken"]

    [depth] = record.depths
    assert (depth.bid_10_bps, depth.ask_10_bps) == (100.0, 200.0)
    assert (depth.bid_50_bps, depth.ask_50_bps) == (1100.0, 1200.0)
    assert (record.round_trip_ms, record.clock_offset_ms) == (0.0, 3.0)


async def test_a_venue_that_hangs_does_not_delay_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sor_core.services.probe.CALL_TIMEOUT_S", 0.5)
    stage.venues["kraken"].hangs = True
    started_s = asyncio.get_running_loop().time()
    probing = asyncio.create_task(stage.probe())
    while not {"binance", "coinbase"} <= set(stage.store.health):
        await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - started_s < 0.4
    assert "kraken" not in stage.store.health

    await probing

    assert asyncio.get_running_loop().time() - started_s < 1.0
    assert stage.store.health["kraken"].failure == "timeout"


async def test_a_venue_that_is_out_is_not_even_asked_and_says_since_when_and_why(stage: Stage) -> None:
    await stage.probe(3)
    stage.venues["kraken"].failure = VenueFailure.SERVER_ERROR
    await stage.probe(3)
    asked = stage.venues["kraken"].asked

    outcome = await stage.route()

    assert isinstance(outcome, Routed)
    [kraken] = outcome.decision.excluded
    assert (kraken.venue, kraken.why) == ("kraken", Why.UNHEALTHY)
    assert "market data breaker open since 2023-11-14T22:16:20Z: " in kraken.detail
    assert "server_error" in kraken.detail
    assert stage.venues["kraken"].asked == asked


async def test_a_receipt_of_a_route_without_a_venue_that_is_out_stands(stage: Stage) -> None:
    await stage.probe()
    stage.venues["kraken"].status = SystemStatus.MAINTENANCE
    await stage.probe()

    routed = await stage.route(receipt=True)

    assert isinstance(routed, Routed)
    assert routed.receipt is not None
    assert {"venue": "kraken", "why": "unhealthy"} in routed.receipt["inputs"]["failures"]
    verify(routed.receipt)


@pytest.mark.parametrize("probes_down", [3, 40])
async def test_a_venue_that_comes_back_is_used_again_within_two_good_probes(
    stage: Stage, probes_down: int
) -> None:
    await stage.probe(3)
    stage.venues["kraken"].failure = VenueFailure.SERVER_ERROR
    await stage.probe(probes_down)
    assert await stage.excluded() == {"kraken": Why.UNHEALTHY}
    stage.venues["kraken"].failure = None

    await stage.probe(2)

    assert await stage.excluded() == {}


async def test_its_own_word_takes_a_venue_out_at_once(stage: Stage) -> None:
    await stage.probe()
    stage.venues["kraken"].status = SystemStatus.CANCEL_ONLY
    await stage.probe()

    assert await stage.excluded() == {"kraken": Why.UNHEALTHY}
    stage.venues["kraken"].status = SystemStatus.ONLINE
    await stage.probe(2)
    assert await stage.excluded() == {}


async def test_with_all_venues_down_the_answer_says_when_to_retry_and_recovery_is_noticed(
    stage: Stage,
) -> None:
    await stage.probe(3)
    for venue in stage.venues.values():
        venue.failure = VenueFailure.SERVER_ERROR
    await stage.probe(3)

    outcome = await stage.route()

    assert isinstance(outcome, NoRoute)
    assert outcome.reason is NoRouteReason.NO_VENUE
    problem = no_route_problem(order("0.5"), outcome)
    assert problem.retry_after_s == 5
    assert {e.why for e in outcome.excluded} == {Why.UNHEALTHY}
    for venue in stage.venues.values():
        venue.failure = None
    await stage.probe(2)
    assert isinstance(await stage.route(), Routed)


async def test_when_nothing_is_reached_our_own_egress_is_suspected_and_no_venue_goes_out(
    stage: Stage,
) -> None:
    await stage.probe(3)
    for venue in stage.venues.values():
        venue.failure = VenueFailure.CONNECTION
    before = dict(stage.store.health)
    for _ in range(5):
        await stage.probe()
        assert isinstance(await stage.route(), NoRoute)
        stage.clock.advance(1000)

    assert stage.store.health == before
    assert "no venue reached: our own egress is suspected" in stage.log.warnings
    for venue in stage.venues.values():
        venue.failure = None
    assert await stage.excluded() == {}
    await stage.probe()
    assert await stage.excluded() == {}


async def test_when_one_venue_answers_the_others_are_to_blame(stage: Stage) -> None:
    await stage.probe(3)
    for name in ("binance", "kraken"):
        stage.venues[name].failure = VenueFailure.CONNECTION
    await stage.probe(3)

    assert await stage.excluded() == {"binance": Why.UNHEALTHY, "kraken": Why.UNHEALTHY}


# What routes meet with ------------------------------------------------------------------------------


async def test_routes_are_counted_without_a_write_for_each(stage: Stage) -> None:
    await stage.probe()
    version = stage.store.health["kraken"].version
    for _ in range(20):
        assert isinstance(await stage.route(), Routed)
    assert stage.store.health["kraken"].version == version

    stage.clock.advance(FLUSH_EVERY_MS)
    await stage.route()

    record = stage.store.health["kraken"]
    assert record.version == version + 1
    assert record.windows(stage.clock.now_ms())["5m"].calls == 4 + 21


async def test_a_failure_is_written_at_once(stage: Stage) -> None:
    await stage.probe()
    stage.venues["kraken"].failure = VenueFailure.SERVER_ERROR
    await stage.route()

    assert stage.store.health["kraken"].metrics.success_rate == pytest.approx(4 / 5)


async def test_failures_of_many_routes_bring_a_venue_out_with_the_next_bad_probe(stage: Stage) -> None:
    await stage.probe(5)
    stage.venues["kraken"].failure = VenueFailure.SERVER_ERROR
    for _ in range(3):
        await stage.route()
        stage.clock.advance(1000)
    assert await stage.excluded() == {"kraken": "server_error"}

    await stage.probe()

    assert await stage.excluded() == {"kraken": Why.UNHEALTHY}


# What orders meet with ------------------------------------------------------------------------------


async def test_processes_that_write_at_once_lose_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.probe()
    load = stage.store.load_health

    async def slowly(venues: Sequence[str]) -> Mapping[str, HealthRecord]:
        known = await load(venues)
        await asyncio.sleep(0)  # all have read before the first writes
        return known

    monkeypatch.setattr(stage.store, "load_health", slowly)
    others = [stage.calls() for _ in range(3)]
    for calls in others:
        await fail(calls, "kraken")

    await asyncio.gather(*(calls.flush() for calls in others))

    record = stage.store.health["kraken"]
    assert record.windows(stage.clock.now_ms())["5m"].calls == 4 + 3
    assert record.trading.state is BreakerState.OPEN


async def test_a_sum_that_could_not_be_written_is_written_next_time(stage: Stage) -> None:
    await stage.probe()
    calls = stage.calls()
    await fail(calls, "kraken")
    stage.store.broken = True
    await calls.flush()
    stage.store.broken = False
    await fail(calls, "kraken")
    assert not calls.due  # failures too are written once a second at most

    stage.clock.advance(1000)
    await calls.flush()

    assert stage.store.health["kraken"].windows(stage.clock.now_ms())["5m"].calls == 4 + 2


async def test_a_store_that_hangs_holds_nobody_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    await stage.probe()
    calls = stage.calls()
    await fail(calls, "kraken")
    with monkeypatch.context() as patched:
        patched.setattr(stage.store, "save_health", hang)
        started_s = asyncio.get_running_loop().time()
        await calls.flush()
        assert asyncio.get_running_loop().time() - started_s < FLUSH_TIMEOUT_S + 0.1

    stage.clock.advance(1000)
    await calls.flush()
    assert stage.store.health["kraken"].trading.failures == {"order": 1}


async def test_a_venue_not_reached_counts_only_if_another_was(stage: Stage) -> None:
    await stage.probe()
    calls = stage.calls()
    await fail(calls, "kraken", VenueFailure.TIMEOUT)
    await calls.flush()
    assert stage.store.health["kraken"].trading.failures == {}

    await calls.timed("binance", Evidence.ACCOUNT, answered())
    stage.clock.advance(1000)
    await fail(calls, "kraken", VenueFailure.TIMEOUT)
    await calls.flush()
    assert stage.store.health["kraken"].trading.failures == {"order": 1}


async def test_a_venue_never_probed_has_no_health_to_add_to(stage: Stage) -> None:
    calls = stage.calls()
    await fail(calls, "kraken")
    await calls.flush()

    assert stage.store.health == {}
    assert not calls.due


def test_the_status_shows_both_breakers_windows_and_depth(stage: Stage) -> None:
    asyncio.run(stage.probe())
    now_ms = stage.clock.now_ms()
    shown = status_answer(VENUES, stage.store.health, now_ms, 30)["exchanges"]["kraken"]

    assert shown["breakers"] == {
        name: {"state": "closed", "since": now_ms, "why": ""} for name in ("market_data", "trading")
    }
    assert list(shown["windows"]) == ["5m", "1h", "1d"]
    assert shown["windows"]["1d"] == {"calls": 4, "success_rate": 1.0, "uptime_pct": 100.0}
    assert shown["depth"]["BTC/USDT"]["ask_10_bps"] == 200.0
