"""One venue turns hostile over real HTTP: it is left out with its reason, in bounded time and memory.

The route is served by the others.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from local.venues import RunningVenues, VenuesConfig, start
from sor_core.adapters.http import MAX_BODY_BYTES, make_client
from sor_core.adapters.venues.registry import VENUES, market_data
from sor_core.clock import SystemClock
from sor_core.domain.decision import Decision
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.market import Why
from sor_core.services.gather import Gatherer
from sor_core.services.route import RouteService
from sor_core.settings import Settings
from tests.contract.scripted_venue import (
    GZIPPED,
    Script,
    announce_too_much,
    drip_body,
    drip_head,
    endless_body,
    gzip_bomb,
    hang,
    hang_up_half_way,
    replies,
    scripted,
    send_an_endless_head,
    speak_another_protocol,
)
from tests.fakes.markets import BTC_USDT, order
from tests.fakes.memory_state import MemoryStateStore

MAX_LATENCY_S = 2.0
SETTINGS = Settings.from_env({"SOR_MAX_LATENCY_MS": str(round(MAX_LATENCY_S * 1000))})
SPARE_S = 2.0
"""For a busy machine, beyond the deadline."""
MOST_MEMORY = 24 * MAX_BODY_BYTES
"""What the largest body that is read may become while it is decoded: its levels as texts, its pieces."""
_LATE: set[str] = {VenueFailure.TIMEOUT}

Levels = Sequence[Sequence[Any]]


def book(name: str, bids: Levels, asks: Levels) -> bytes:
    """A book of any levels in a venue's dialect."""
    sides: dict[str, Any] = {"bids": bids, "asks": asks}
    match name:
        case "binance":
            return json.dumps({"lastUpdateId": 7, **sides}).encode()
        case "coinbase":
            named = {
                k: [dict(zip(("price", "size"), level, strict=False)) for level in v]
                for k, v in sides.items()
            }
            told = {"product_id": "BTC-USDT", "time": datetime.now(UTC).isoformat(), **named}
            return json.dumps({"pricebook": told}).encode()
        case _:
            timed = {k: [[*level, time.time()] for level in v] for k, v in sides.items()}
            return json.dumps({"error": [], "result": {"XBTUSDT": timed}}).encode()


GOOD: Levels = [["62000", "100"]]
ODD_ASKS: dict[str, tuple[Levels, set[str]]] = {
    "negative price": ([["-62001", "1"]], {Why.MALFORMED_BOOK}),
    "zero price": ([["0", "1"], ["62001", "1"]], {Why.MALFORMED_BOOK, Why.CROSSED_BOOK}),
    "negative size": ([["62001", "-1"]], {Why.MALFORMED_BOOK}),
    "not a number": ([["NaN", "1"]], {Why.MALFORMED_BOOK}),
    "infinite": ([["62001", "Infinity"]], {Why.MALFORMED_BOOK}),
    "exponent": ([["6e4", "1"]], {Why.MALFORMED_BOOK}),
    "a literal NaN": ([[float("nan"), "1"]], {VenueFailure.MALFORMED}),
    "a literal infinity": ([["62001", float("inf")]], {VenueFailure.MALFORMED}),
    "numbers": ([[62001, 1]], {VenueFailure.MALFORMED}),
    "nulls": ([[None, None]], {VenueFailure.MALFORMED}),
    "objects": ([[{}, []]], {VenueFailure.MALFORMED}),
    "a very long number": ([["6" * 100_000, "1"]], {Why.MALFORMED_BOOK}),
    "unsorted": ([["62002", "0.05"], ["62001", "100"]], {Why.MALFORMED_BOOK}),
    "crossed": ([["61000", "1"]], {Why.CROSSED_BOOK}),
    "empty": ([], {Why.EMPTY_BOOK}),
}
BODIES: dict[str, Callable[[str], bytes]] = {
    "nested": lambda _: b'{"asks":' + b"[" * 500_000,
    "nested in what is skipped": lambda name: book(name, GOOD, GOOD)[:-1] + b',"x":' + b"[" * 100_000,
    "html": lambda _: b"<html>Just a moment...</html>",
    "not utf-8": lambda name: book(name, [["62000", "\u00e9"]], GOOD).replace(b"\\u00e9", b"\xff\xfe"),
    "one long string": lambda _: b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"',
    "a long list of nothing": lambda _: b"[" + b"null," * (MAX_BODY_BYTES // 5 - 2) + b"null]",
    "keys without end": lambda _: b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}",
}
SCRIPTS: dict[str, tuple[Script, set[str]]] = {
    "endless body": (endless_body, {VenueFailure.TOO_LARGE}),
    "announced too large": (announce_too_much, {VenueFailure.TOO_LARGE}),
    "slow body": (drip_body, _LATE),
    "slow head": (drip_head, _LATE),
    "silence": (hang, _LATE),
    "cut off": (hang_up_half_way, {VenueFailure.CONNECTION}),
    "another protocol": (speak_another_protocol, {VenueFailure.CONNECTION}),
    "endless head": (send_an_endless_head, {VenueFailure.CONNECTION}),
    "gzip bomb": (replies(200, gzip_bomb(512 << 20), headers=GZIPPED), {VenueFailure.TOO_LARGE}),
    "not gzip": (replies(200, b"{}", headers=GZIPPED), {VenueFailure.MALFORMED}),
}


@dataclass
class House:
    """The router over three venues, one of which is to be replaced."""

    venues: RunningVenues
    client: httpx.AsyncClient

    async def route_with(self, hostile: str, url: str) -> Decision:
        """Decide an order while a venue's market data come from elsewhere; its rules are known."""
        clock, ids = SystemClock(), map(str, itertools.count())
        store = MemoryStateStore(clock)
        adapters = {v: market_data(v, self.client, clock, gateway_url=self.venues.url) for v in VENUES}
        rules = await adapters[hostile].instrument(BTC_USDT, timeout_s=5)
        await store.save_instrument(BTC_USDT, hostile, rules, clock.now_ms() + 60_000)
        adapters[hostile] = market_data(hostile, self.client, clock, override=url)
        parts = (store, clock, lambda: next(ids), SETTINGS, Silent())
        service = RouteService(Gatherer(adapters, *parts), *parts)
        started = time.monotonic()
        routed = await service.route(order("0.1"), fresh=True)
        assert time.monotonic() - started < MAX_LATENCY_S + SPARE_S
        assert routed is not None
        assert hasattr(routed, "decision"), routed
        return routed.decision

    async def why_without(self, hostile: str, script: Script) -> str:
        """Why the venue was left out of a route that the others serve."""
        async with scripted(script) as venue:
            decision = await self.route_with(hostile, venue.url)
        assert {used.venue for used in decision.books} == set(VENUES) - {hostile}
        [exclusion] = decision.excluded
        assert exclusion.venue == hostile
        assert len(exclusion.detail) < 300
        return exclusion.why


class Silent:
    """A log that nobody reads."""

    def info(self, event: str, **fields: object) -> None:
        """Say nothing."""

    def warning(self, event: str, **fields: object) -> None:
        """Say nothing."""


@pytest.fixture
async def house() -> AsyncIterator[House]:
    running = await start(VenuesConfig(port=0, rate_limits=False))
    async with make_client() as client:
        yield House(running, client)
    await running.aclose()


every_venue = pytest.mark.parametrize("name", list(VENUES))


@every_venue
async def test_levels_that_no_market_has(house: House, name: str) -> None:
    for what, (asks, whys) in ODD_ASKS.items():
        why = await house.why_without(name, replies(200, book(name, GOOD, asks)))
        assert why in whys, what


@every_venue
async def test_bodies_that_are_no_book(house: House, name: str) -> None:
    for what, body in BODIES.items():
        why = await house.why_without(name, replies(200, body(name)))
        assert why == VenueFailure.MALFORMED, what


@every_venue
async def test_answers_that_do_not_end_as_they_should(house: House, name: str) -> None:
    for what, (script, whys) in SCRIPTS.items():
        assert await house.why_without(name, script) in whys, what


def many_levels(name: str, number: int) -> bytes:
    """An orderly book of very many levels."""
    asks = [[f"{62001 + n / 100:.2f}", "0.001"] for n in range(number)]
    return book(name, GOOD, asks)


@every_venue
async def test_a_million_levels_are_too_large_also_when_compressed(house: House, name: str) -> None:
    body = many_levels(name, 1_000_000)
    for script in (replies(200, body), replies(200, gzip.compress(body, 1), headers=GZIPPED)):
        assert await house.why_without(name, script) == VenueFailure.TOO_LARGE


@every_venue
async def test_the_largest_body_that_is_read_becomes_a_book_of_the_depth_asked_for(
    house: House, name: str
) -> None:
    body = many_levels(name, 150_000)
    assert MAX_BODY_BYTES / 3 < len(body) < MAX_BODY_BYTES
    async with scripted(replies(200, body)) as venue:
        asked = market_data(name, house.client, SystemClock(), override=venue.url)
        tracemalloc.start()
        try:
            found = await asked.book(BTC_USDT, depth=100, timeout_s=20)
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(found.asks) == 100
    assert peak < MOST_MEMORY
    assert held < MAX_BODY_BYTES


@every_venue
async def test_what_is_refused_leaves_no_memory_behind(house: House, name: str) -> None:
    bomb = gzip_bomb(256 << 20)
    tracemalloc.start()
    try:
        for script in (endless_body, replies(200, bomb, headers=GZIPPED)):
            async with scripted(script) as venue:
                asked = market_data(name, house.client, SystemClock(), override=venue.url)
                with pytest.raises(VenueError, match="more than"):
                    await asked.book(BTC_USDT, depth=100, timeout_s=20)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BODY_BYTES
    assert held < MAX_BODY_BYTES


@every_venue
async def test_a_redirect_is_not_followed(house: House, name: str) -> None:
    async with scripted(replies(200, book(name, GOOD, [["62001", "1"]]))) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            for location in (elsewhere.url, f"{elsewhere.url}/api", "file:///etc/passwd", "//", "\u00ff"):
                headers = {"location": location.encode("ascii", "ignore").decode()}
                why = await house.why_without(name, replies(status, b"{}", headers=headers))
                assert why == VenueFailure.MALFORMED
        assert elsewhere.connections == 0


@every_venue
async def test_a_flood_of_headers(house: House, name: str) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n")
        for number in range(200_000):
            writer.write(b"x-%d: %s\r\n" % (number, b"y" * 200))
            if number % 1000 == 0:
                await writer.drain()
        writer.write(b"\r\n{}")
        await writer.drain()

    why = await house.why_without(name, flood)
    assert why in {VenueFailure.CONNECTION, VenueFailure.MALFORMED, VenueFailure.TIMEOUT}


@every_venue
@pytest.mark.parametrize(
    "content_type", ["text/html", "application/octet-stream", "multipart/mixed; boundary=x", ""]
)
async def test_the_body_counts_and_not_what_it_is_called(house: House, name: str, content_type: str) -> None:
    headers = {"content-type": content_type}
    page = replies(200, b"<html></html>", headers=headers)
    assert await house.why_without(name, page) == VenueFailure.MALFORMED
