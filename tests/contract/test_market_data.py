"""One suite for every adapter of `ports.VenueMarketData`, over real HTTP against the simulated venues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest

from local.venues import LISTINGS, Listing, RunningVenues, VenuesConfig, start
from sor_core.adapters.http import make_client
from sor_core.adapters.venues.registry import VENUES, base_url, market_data
from sor_core.clock import SystemClock
from sor_core.domain.book import Book, RawLevel
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.domain.money import decimal_from_wire
from sor_core.ports import SystemStatus, VenueMarketData

ENOUGH_S = 5.0
BTC_USDT = Symbol.parse("BTC/USDT")

every_venue = pytest.mark.parametrize("name", list(VENUES))
every_listing = pytest.mark.parametrize(
    ("name", "listing"),
    [
        pytest.param(venue.value, listing, id=f"{venue.value}-{symbol}")
        for venue, listings in LISTINGS.items()
        for symbol, listing in listings.items()
    ],
)


@pytest.fixture
async def venues() -> AsyncIterator[RunningVenues]:
    running = await start(VenuesConfig(port=0, rate_limits=False))
    yield running
    await running.aclose()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made


def adapter(client: httpx.AsyncClient, venues: RunningVenues, name: str) -> VenueMarketData:
    return market_data(name, client, SystemClock(), gateway_url=venues.url)


async def set_fault(venues: RunningVenues, name: str, fault: str, **params: Any) -> None:
    async with httpx.AsyncClient(trust_env=False) as control:
        answer = await control.post(
            f"{venues.url}/sim/faults", json={"venue": name, "fault": fault, **params}
        )
        assert answer.status_code == 200, answer.text


def prices(levels: Sequence[RawLevel]) -> list[Decimal]:
    return [decimal_from_wire(level[0]) for level in levels]


def sizes(levels: Sequence[RawLevel]) -> list[Decimal]:
    return [decimal_from_wire(level[1]) for level in levels]


async def failure_of(venue: VenueMarketData, *, timeout_s: float = ENOUGH_S) -> VenueError:
    with pytest.raises(VenueError) as caught:
        await venue.book(BTC_USDT, depth=10, timeout_s=timeout_s)
    assert caught.value.venue == venue.venue
    return caught.value


@every_listing
async def test_books(client: httpx.AsyncClient, venues: RunningVenues, name: str, listing: Listing) -> None:
    symbol = Symbol.parse(listing.symbol)
    before_ms = time.time_ns() // 1_000_000
    book = await adapter(client, venues, name).book(symbol, depth=60, timeout_s=ENOUGH_S)
    after_ms = time.time_ns() // 1_000_000

    assert (book.venue, book.symbol) == (name, symbol)
    assert len(book.bids) == len(book.asks) == 60
    assert prices(book.bids) == sorted(set(prices(book.bids)), reverse=True)
    assert prices(book.asks) == sorted(set(prices(book.asks)))
    assert prices(book.bids)[0] < prices(book.asks)[0]
    assert min(sizes(book.bids) + sizes(book.asks)) > 0
    assert all(price % listing.tick == 0 for price in prices(book.bids) + prices(book.asks))
    assert before_ms <= book.received_at_ms <= after_ms
    assert 0 < book.latency_ms < ENOUGH_S * 1000


@every_venue
async def test_what_each_book_says_of_its_age(
    client: httpx.AsyncClient, venues: RunningVenues, name: str
) -> None:
    venue = adapter(client, venues, name)
    book = await venue.book(BTC_USDT, depth=60, timeout_s=ENOUGH_S)
    if name == "binance":
        assert book.source_time_ms is None
        await asyncio.sleep(0.3)
        later = await venue.book(BTC_USDT, depth=60, timeout_s=ENOUGH_S)
        assert book.sequence is not None
        assert later.sequence is not None
        assert later.sequence > book.sequence
    else:
        assert book.sequence is None
        assert book.source_time_ms is not None
        assert -50 <= book.received_at_ms - book.source_time_ms < 3000


@pytest.mark.parametrize(
    ("name", "depth", "levels"), [("binance", 501, 501), ("coinbase", 501, 501), ("kraken", 501, 500)]
)
async def test_deep_books(
    client: httpx.AsyncClient, venues: RunningVenues, name: str, depth: int, levels: int
) -> None:
    book = await adapter(client, venues, name).book(BTC_USDT, depth=depth, timeout_s=ENOUGH_S)
    assert (len(book.bids), len(book.asks)) == (levels, levels)


@every_listing
async def test_instruments(
    client: httpx.AsyncClient, venues: RunningVenues, name: str, listing: Listing
) -> None:
    symbol = Symbol.parse(listing.symbol)
    instrument = await adapter(client, venues, name).instrument(symbol, timeout_s=ENOUGH_S)
    has_maximum = name != "kraken"  # Kraken publishes none
    assert instrument == Instrument(
        venue=name,
        symbol=symbol,
        venue_symbol=instrument.venue_symbol,
        tick=listing.tick,
        lot=listing.lot,
        min_size=listing.min_size,
        max_size=listing.max_size if has_maximum else None,
        min_notional=listing.min_notional,
        max_notional=listing.max_notional if has_maximum else None,
        status=TradingStatus.TRADING,
    )


@pytest.mark.parametrize(
    ("name", "text", "venue_symbol"),
    [
        ("binance", "BTC/USDT", "BTCUSDT"),
        ("coinbase", "BTC/USDT", "BTC-USDT"),
        ("coinbase", "BTC/USDC", "BTC-USDC"),
        ("kraken", "BTC/USDT", "XBTUSDT"),
        ("kraken", "BTC/USD", "XBTUSD"),
        ("kraken", "ETH/BTC", "ETHXBT"),
    ],
)
async def test_venue_symbols(
    client: httpx.AsyncClient, venues: RunningVenues, name: str, text: str, venue_symbol: str
) -> None:
    instrument = await adapter(client, venues, name).instrument(Symbol.parse(text), timeout_s=ENOUGH_S)
    assert instrument.venue_symbol == venue_symbol


@every_venue
@pytest.mark.parametrize("text", ["NOPE/USDT", "USDT/BTC", "A2345678901234/B2345678901234"])
async def test_unknown_symbols(
    client: httpx.AsyncClient, venues: RunningVenues, name: str, text: str
) -> None:
    venue = adapter(client, venues, name)
    symbol = Symbol.parse(text)
    for asking in (
        venue.book(symbol, depth=10, timeout_s=ENOUGH_S),
        venue.instrument(symbol, timeout_s=ENOUGH_S),
    ):
        with pytest.raises(VenueError) as caught:
            await asking
        assert caught.value.failure is VenueFailure.UNKNOWN_SYMBOL


@every_venue
async def test_a_symbol_whose_joined_name_is_another_markets(
    client: httpx.AsyncClient, venues: RunningVenues, name: str
) -> None:
    """BTCU/SDT joins to BTCUSDT: the venue finds a market, the adapter finds it is not that one."""
    with pytest.raises(VenueError) as caught:
        await adapter(client, venues, name).instrument(Symbol.parse("BTCU/SDT"), timeout_s=ENOUGH_S)
    assert caught.value.failure is VenueFailure.UNKNOWN_SYMBOL


@pytest.mark.parametrize("asset", ["BTC", "ETH", "SOL"])
async def test_coinbases_alias_shows_one_book(
    client: httpx.AsyncClient, venues: RunningVenues, asset: str
) -> None:
    await set_fault(venues, "coinbase", "stale_book")
    venue = adapter(client, venues, "coinbase")
    own, alias = [
        await venue.book(Symbol(asset, quote), depth=50, timeout_s=ENOUGH_S) for quote in ("USD", "USDC")
    ]
    assert (own.bids, own.asks) == (alias.bids, alias.asks)
    assert (own.symbol.quote, alias.symbol.quote) == ("USD", "USDC")


@every_venue
async def test_levels_come_as_they_are(client: httpx.AsyncClient, venues: RunningVenues, name: str) -> None:
    bids, asks = [["60000.5", "0.125"], ["59999", "2"]], [["60001", "0.00000001"], ["60002.7", "1"]]
    async with httpx.AsyncClient(trust_env=False) as control:
        document = {"venue": name, "symbol": "BTC/USDT", "bids": bids, "asks": asks}
        (await control.post(f"{venues.url}/sim/books", json=document)).raise_for_status()
    book = await adapter(client, venues, name).book(BTC_USDT, depth=10, timeout_s=ENOUGH_S)
    for got, placed in ((book.bids, bids), (book.asks, asks)):
        assert prices(got) == [Decimal(price) for price, _ in placed]
        assert sizes(got) == [Decimal(size) for _, size in placed]


@every_venue
async def test_an_empty_book_is_a_book(client: httpx.AsyncClient, venues: RunningVenues, name: str) -> None:
    """That it cannot be routed on is for the decision to say."""
    await set_fault(venues, name, "empty_book")
    book = await adapter(client, venues, name).book(BTC_USDT, depth=10, timeout_s=ENOUGH_S)
    assert (list(book.bids), list(book.asks)) == ([], [])


@every_venue
@pytest.mark.parametrize("skew_ms", [0, 90_000, -90_000])
async def test_server_time(client: httpx.AsyncClient, venues: RunningVenues, name: str, skew_ms: int) -> None:
    await set_fault(venues, name, "clock_skew", ms=skew_ms)
    told = await adapter(client, venues, name).server_time(timeout_s=ENOUGH_S)
    resolution_ms = 500 if name == "kraken" else 0
    assert abs(told.offset_ms - skew_ms) <= resolution_ms + told.latency_ms + 1
    assert abs(told.venue_time_ms - time.time() * 1000 - skew_ms) < 2000


@every_venue
async def test_an_open_venue_is_online(client: httpx.AsyncClient, venues: RunningVenues, name: str) -> None:
    venue = adapter(client, venues, name)
    assert await venue.system_status(timeout_s=ENOUGH_S) is SystemStatus.ONLINE


@pytest.mark.parametrize(
    ("name", "fault", "system", "instrument"),
    [
        # Binance and Coinbase tell of the whole venue only by its instruments.
        ("binance", "maintenance", SystemStatus.ONLINE, TradingStatus.HALTED),
        ("binance", "cancel_only", SystemStatus.ONLINE, TradingStatus.CANCEL_ONLY),
        ("coinbase", "maintenance", SystemStatus.ONLINE, TradingStatus.HALTED),
        ("coinbase", "cancel_only", SystemStatus.ONLINE, TradingStatus.CANCEL_ONLY),
        ("kraken", "maintenance", SystemStatus.MAINTENANCE, None),
        ("kraken", "cancel_only", SystemStatus.CANCEL_ONLY, TradingStatus.CANCEL_ONLY),
    ],
)
async def test_a_closed_venue_says_so(
    client: httpx.AsyncClient,
    venues: RunningVenues,
    name: str,
    fault: str,
    system: SystemStatus,
    instrument: TradingStatus | None,
) -> None:
    await set_fault(venues, name, fault)
    venue = adapter(client, venues, name)
    assert await venue.system_status(timeout_s=ENOUGH_S) is system
    if instrument is None:
        with pytest.raises(VenueError) as caught:
            await venue.instrument(BTC_USDT, timeout_s=ENOUGH_S)
        assert caught.value.failure is VenueFailure.MAINTENANCE
    else:
        status = (await venue.instrument(BTC_USDT, timeout_s=ENOUGH_S)).status
        assert status is instrument
        assert not status.takes_limit_ioc


FAULTS: list[tuple[str, dict[str, Any], VenueFailure]] = [
    ("refuse", {}, VenueFailure.CONNECTION),
    ("drop", {}, VenueFailure.CONNECTION),
    ("drop", {"mid_body": True}, VenueFailure.CONNECTION),
    ("hang", {}, VenueFailure.TIMEOUT),
    ("latency", {"ms": 3000}, VenueFailure.TIMEOUT),
    ("error_5xx", {"status": 500}, VenueFailure.SERVER_ERROR),
    ("error_5xx", {"status": 503}, VenueFailure.SERVER_ERROR),
    ("html", {"status": 502}, VenueFailure.SERVER_ERROR),
    ("html", {"status": 200}, VenueFailure.MALFORMED),
    ("html", {"status": 403}, VenueFailure.BLOCKED),
    ("malformed", {}, VenueFailure.MALFORMED),
    ("huge", {"bytes": 20_000_000}, VenueFailure.TOO_LARGE),
    ("rate_limit", {"retry_after_s": 9}, VenueFailure.RATE_LIMITED),
]


@every_venue
@pytest.mark.parametrize(("fault", "params", "failure"), FAULTS)
async def test_faults(
    client: httpx.AsyncClient,
    venues: RunningVenues,
    name: str,
    fault: str,
    params: dict[str, Any],
    failure: VenueFailure,
) -> None:
    await set_fault(venues, name, fault, **params)
    timeout_s = 0.3 if failure is VenueFailure.TIMEOUT else ENOUGH_S
    started = time.monotonic()
    error = await failure_of(adapter(client, venues, name), timeout_s=timeout_s)
    assert time.monotonic() - started < timeout_s + 2.0
    assert error.failure is failure
    if fault == "rate_limit" and name != "kraken":  # Kraken does not say for how long
        assert error.retry_after_s == 9.0


async def test_binances_ban(client: httpx.AsyncClient, venues: RunningVenues) -> None:
    await set_fault(venues, "binance", "rate_limit", status=418, retry_after_s=120)
    error = await failure_of(adapter(client, venues, "binance"))
    assert (error.failure, error.retry_after_s) == (VenueFailure.RATE_LIMITED, 120.0)


@every_venue
async def test_books_in_maintenance_fail_for_the_venues_reasons(
    client: httpx.AsyncClient, venues: RunningVenues, name: str
) -> None:
    await set_fault(venues, name, "maintenance")
    error = await failure_of(adapter(client, venues, name))
    assert error.failure in {VenueFailure.MAINTENANCE, VenueFailure.SERVER_ERROR}


@pytest.mark.parametrize("name", ["coinbase", "kraken"])
async def test_the_venues_own_limits(client: httpx.AsyncClient, name: str) -> None:
    limited = await start(VenuesConfig(port=0))
    try:
        venue = adapter(client, limited, name)
        asked = await asyncio.gather(
            *(venue.server_time(timeout_s=ENOUGH_S) for _ in range(40)), return_exceptions=True
        )
    finally:
        await limited.aclose()
    failures = {each.failure for each in asked if isinstance(each, VenueError)}
    assert failures == {VenueFailure.RATE_LIMITED}


async def test_a_venue_that_hangs_holds_up_nobody(client: httpx.AsyncClient, venues: RunningVenues) -> None:
    await set_fault(venues, "coinbase", "hang")

    async def ask(name: str) -> Book:
        return await adapter(client, venues, name).book(BTC_USDT, depth=100, timeout_s=1.0)

    started = time.monotonic()
    answers = dict(zip(VENUES, await asyncio.gather(*map(ask, VENUES), return_exceptions=True), strict=True))
    assert time.monotonic() - started < 3.0
    assert isinstance(answers["binance"], Book)
    assert isinstance(answers["kraken"], Book)
    assert isinstance(answers["coinbase"], VenueError)
    assert answers["coinbase"].failure is VenueFailure.TIMEOUT


async def test_default_fees(client: httpx.AsyncClient, venues: RunningVenues) -> None:
    fees = {name: adapter(client, venues, name).default_fees for name in VENUES}
    assert {name: each.taker_fee_bps for name, each in fees.items()} == {
        "binance": 10,
        "coinbase": 120,
        "kraken": 40,
    }
    assert {each.source for each in fees.values()} == {"default"}
    assert all(each.maker_fee_bps <= each.taker_fee_bps for each in fees.values())


def test_where_a_venue_is_asked() -> None:
    assert base_url("binance") == "https://api.binance.com"
    assert base_url("coinbase") == "https://api.coinbase.com"
    assert base_url("kraken") == "https://api.kraken.com"
    gateway = "http://127.0.0.1:8006/"
    assert [base_url(name, gateway) for name in VENUES] == [gateway + name for name in VENUES]
    assert base_url("kraken", gateway, "https://kraken.example/") == "https://kraken.example"
    assert base_url("kraken", "", "https://kraken.example") == "https://kraken.example"
    with pytest.raises(KeyError):
        base_url("nasdaq", gateway)
    with pytest.raises(KeyError):
        base_url("nasdaq", "", "https://nasdaq.example")


async def test_making_the_adapters_asks_nothing(client: httpx.AsyncClient, venues: RunningVenues) -> None:
    for name in VENUES:
        assert adapter(client, venues, name).venue == name
    assert not any(sum(count.values()) for count in venues.simulation.requests.values())
