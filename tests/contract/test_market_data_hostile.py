"""Every adapter over real HTTP against a venue that misbehaves: which failure, in bounded time."""

from __future__ import annotations

import asyncio
import gc
import gzip
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from sor_core import __version__
from sor_core.adapters.http import make_client
from sor_core.adapters.venues.registry import VENUES
from sor_core.domain.errors import VenueError, VenueFailure
from tests.contract.scripted_venue import (
    ENOUGH_S,
    GZIPPED,
    METHODS,
    SYMBOL,
    Script,
    adapter,
    announce_too_much,
    claim_two_lengths,
    drip_body,
    drip_head,
    endless_body,
    failure_of,
    gzip_bomb,
    hang,
    hang_up,
    hang_up_half_way,
    honest,
    is_honest,
    replies,
    reset,
    scripted,
    send_an_endless_head,
    speak_another_protocol,
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made


every_venue = pytest.mark.parametrize("name", list(VENUES))
every_method = pytest.mark.parametrize("method", METHODS)


STATUSES = [
    (204, VenueFailure.MALFORMED),
    (301, VenueFailure.MALFORMED),
    (400, VenueFailure.REFUSED),
    (401, VenueFailure.REFUSED),
    (403, VenueFailure.BLOCKED),
    (404, VenueFailure.REFUSED),
    (418, VenueFailure.RATE_LIMITED),
    (429, VenueFailure.RATE_LIMITED),
    (451, VenueFailure.BLOCKED),
    (500, VenueFailure.SERVER_ERROR),
    (503, VenueFailure.SERVER_ERROR),
    (520, VenueFailure.SERVER_ERROR),
    (599, VenueFailure.SERVER_ERROR),
]


@every_venue
@every_method
@pytest.mark.parametrize(("status", "failure"), STATUSES)
async def test_statuses_with_a_page_of_html(
    client: httpx.AsyncClient, name: str, method: str, status: int, failure: VenueFailure
) -> None:
    body = b"" if status == 204 else b"<html><title>Just a moment...</title></html>"
    script = replies(status, body, headers={"retry-after": "7", "location": "/elsewhere"})
    async with scripted(script) as venue:
        error = await failure_of(client, name, method, venue.url)
        assert len(venue.heads) == 1, "asked again, or followed the redirect"
    assert error.failure is failure
    assert error.retry_after_s == 7.0
    assert "moment" not in str(error)


BODIES = {
    "empty": b"",
    "html": b"<html>login</html>",
    "null": b"null",
    "list": b"[]",
    "text": b'"x"',
    "cut": b'{"error":[],"result":{"XBT',
    "nested": b'{"a":' * 50_000,
    "binary": bytes(range(256)),
}


@every_venue
@every_method
@pytest.mark.parametrize("body", list(BODIES))
async def test_bodies_that_are_not_the_documented_ones(
    client: httpx.AsyncClient, name: str, method: str, body: str
) -> None:
    async with scripted(replies(200, BODIES[body])) as venue:
        error = await failure_of(client, name, method, venue.url)
    assert error.failure is VenueFailure.MALFORMED


@every_venue
async def test_the_venues_own_word_for_an_unknown_symbol(client: httpx.AsyncClient, name: str) -> None:
    unknown = {
        "binance": replies(400, b'{"code":-1121,"msg":"Invalid symbol."}'),
        "coinbase": replies(
            404, b'{"error":"NOT_FOUND","error_details":"valid product_id is required","message":"x"}'
        ),
        "kraken": replies(200, b'{"error":["EQuery:Unknown asset pair"]}'),
    }
    for method in ("book", "instrument"):
        async with scripted(unknown[name]) as venue:
            error = await failure_of(client, name, method, venue.url)
        assert error.failure is VenueFailure.UNKNOWN_SYMBOL


@every_venue
@pytest.mark.parametrize("script", [hang, drip_head, drip_body])
async def test_an_answer_that_never_ends_ends_at_the_timeout(
    client: httpx.AsyncClient, name: str, script: Script
) -> None:
    async with scripted(script) as venue:
        started = time.monotonic()
        error = await failure_of(client, name, "book", venue.url, timeout_s=0.15)
        assert 0.1 < time.monotonic() - started < 2.0
    assert error.failure is VenueFailure.TIMEOUT


@every_venue
async def test_no_time_at_all_is_a_timeout(client: httpx.AsyncClient, name: str) -> None:
    async with scripted(replies(200, honest(name))) as venue:
        for timeout_s in (0.0, -1.0):
            with pytest.raises(VenueError) as caught:
                await adapter(client, name, venue.url).book(SYMBOL, depth=10, timeout_s=timeout_s)
            assert caught.value.failure is VenueFailure.TIMEOUT


@every_venue
@every_method
@pytest.mark.parametrize(
    "script",
    [
        reset,
        hang_up,
        hang_up_half_way,
        speak_another_protocol,
        claim_two_lengths,
        send_an_endless_head,
    ],
)
async def test_a_connection_that_breaks(
    client: httpx.AsyncClient, name: str, method: str, script: Script
) -> None:
    async with scripted(script) as venue:
        error = await failure_of(client, name, method, venue.url)
        assert venue.connections == 1, "a connection opened for this request is never tried again"
    assert error.failure is VenueFailure.CONNECTION


@every_venue
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://name.invalid", "https://127.0.0.1:1"])
async def test_an_address_where_nobody_is(client: httpx.AsyncClient, name: str, url: str) -> None:
    error = await failure_of(client, name, "book", url)
    assert error.failure is VenueFailure.CONNECTION


@every_venue
@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_tls_that_is_none(client: httpx.AsyncClient, name: str, says: bytes) -> None:
    async def refuse_the_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(refuse_the_handshake, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(client, name, "book", f"https://127.0.0.1:{port}")
    assert error.failure is VenueFailure.CONNECTION


@every_venue
async def test_a_handshake_that_hangs(client: httpx.AsyncClient, name: str) -> None:
    """It ends in time and leaves no socket behind (a warning of one would fail the test)."""
    async with scripted(hang) as venue:
        error = await failure_of(client, name, "book", venue.url.replace("http:", "https:"), timeout_s=0.3)
        gc.collect()
    assert error.failure is VenueFailure.TIMEOUT


@every_venue
async def test_a_kept_connection_found_dead_is_replaced(client: httpx.AsyncClient, name: str) -> None:
    """The venue closes an idle connection at the moment it is used: to GET again is safe."""
    answers = 0

    async def once_a_connection(writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        answers += 1
        if answers % 2:
            await replies(200, honest(name))(writer)
        else:
            writer.transport.abort()

    async with scripted(once_a_connection) as venue:
        asked = adapter(client, name, venue.url)
        for _ in range(3):
            assert is_honest(await asked.book(SYMBOL, depth=10, timeout_s=ENOUGH_S))
        assert venue.connections == 3
        assert len(venue.heads) == 5


@every_venue
async def test_an_answer_that_broke_half_way_is_not_asked_for_again(
    client: httpx.AsyncClient, name: str
) -> None:
    answers = 0

    async def half_the_second(writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        answers += 1
        await (replies(200, honest(name)) if answers == 1 else hang_up_half_way)(writer)

    async with scripted(half_the_second) as venue:
        assert is_honest(await adapter(client, name, venue.url).book(SYMBOL, depth=10, timeout_s=ENOUGH_S))
        error = await failure_of(client, name, "book", venue.url)
        assert len(venue.heads) == 2
    assert error.failure is VenueFailure.CONNECTION


@every_venue
async def test_connections_are_reused(client: httpx.AsyncClient, name: str) -> None:
    async with scripted(replies(200, honest(name))) as venue:
        asked = adapter(client, name, venue.url)
        for _ in range(5):
            assert is_honest(await asked.book(SYMBOL, depth=10, timeout_s=ENOUGH_S))
        assert venue.connections == 1


@every_venue
async def test_too_large(client: httpx.AsyncClient, name: str) -> None:
    bomb = replies(200, gzip_bomb(256 << 20), headers=GZIPPED)
    for script in (endless_body, announce_too_much, bomb):
        async with scripted(script) as venue:
            error = await failure_of(client, name, "book", venue.url)
        assert error.failure is VenueFailure.TOO_LARGE


@every_venue
async def test_compression(client: httpx.AsyncClient, name: str) -> None:
    packed = gzip.compress(honest(name))
    async with scripted(replies(200, packed, headers=GZIPPED)) as venue:
        assert is_honest(await adapter(client, name, venue.url).book(SYMBOL, depth=10, timeout_s=ENOUGH_S))
    bad = {
        "broken": replies(200, b"not gzip at all", headers=GZIPPED),
        "cut": replies(200, packed[:-9], headers=GZIPPED),
        "not asked for": replies(200, packed, headers={"content-encoding": "br"}),
        "twice": replies(200, gzip.compress(packed), headers={"content-encoding": "gzip, gzip"}),
    }
    for script in bad.values():
        async with scripted(script) as venue:
            error = await failure_of(client, name, "book", venue.url)
        assert error.failure is VenueFailure.MALFORMED


REQUESTS = {
    ("binance", "book"): "/api/v3/depth?symbol=BTCUSDT&limit=10",
    ("binance", "instrument"): "/api/v3/exchangeInfo?symbol=BTCUSDT",
    ("binance", "server_time"): "/api/v3/time",
    ("binance", "system_status"): "/api/v3/ping",
    ("coinbase", "book"): "/api/v3/brokerage/market/product_book?product_id=BTC-USDT&limit=10",
    ("coinbase", "instrument"): "/api/v3/brokerage/market/products/BTC-USDT",
    ("coinbase", "server_time"): "/api/v3/brokerage/time",
    ("coinbase", "system_status"): "/api/v3/brokerage/time",
    ("kraken", "book"): "/0/public/Depth?pair=XBTUSDT&count=10",
    ("kraken", "instrument"): "/0/public/AssetPairs?pair=XBTUSDT",
    ("kraken", "server_time"): "/0/public/Time",
    ("kraken", "system_status"): "/0/public/SystemStatus",
}


@every_venue
@every_method
async def test_what_is_sent(client: httpx.AsyncClient, name: str, method: str) -> None:
    async with scripted(replies(500)) as venue:
        await failure_of(client, name, method, f"{venue.url}/prefix/")
        [head] = venue.heads
    line, *fields = head.lower().split("\r\n")
    assert line == f"get /prefix{REQUESTS[name, method]} http/1.1".lower()
    assert f"user-agent: sor_core/{__version__}" in fields
    assert "accept-encoding: gzip" in fields
    assert ("cache-control: no-cache" in fields) is (name == "coinbase")
    assert not any(each.startswith(("authorization", "cookie", "x-mbx", "api-key")) for each in fields)


@pytest.mark.parametrize(
    ("name", "depth", "asked"),
    [
        ("binance", 1, "limit=5"),
        ("binance", 100, "limit=100"),
        ("binance", 101, "limit=500"),
        ("binance", 501, "limit=1000"),
        ("binance", 9999, "limit=5000"),
        ("coinbase", 250, "limit=250"),
        ("kraken", 500, "count=500"),
        ("kraken", 501, "count=500"),
        ("kraken", 0, "count=1"),
    ],
)
async def test_depth_becomes_an_allowed_limit(
    client: httpx.AsyncClient, name: str, depth: int, asked: str
) -> None:
    async with scripted(replies(200, honest(name))) as venue:
        await adapter(client, name, venue.url).book(SYMBOL, depth=depth, timeout_s=ENOUGH_S)
        [head] = venue.heads
    assert head.split("\r\n")[0].endswith(f"&{asked} HTTP/1.1")
