"""What `adapters.http` promises, whichever adapter asks."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import pytest

from sor_core.adapters.http import MAX_BODY_BYTES, VenueHttp, make_client
from sor_core.adapters.venues.registry import market_data
from sor_core.clock import SystemClock
from sor_core.domain.errors import VenueError, VenueFailure
from tests.contract.scripted_venue import (
    ENOUGH_S,
    GZIPPED,
    SYMBOL,
    StepClock,
    adapter,
    announce_too_much,
    failure_of,
    gzip_bomb,
    hang,
    honest,
    is_honest,
    replies,
    scripted,
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as made:
        yield made


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://127.0.0.1",
        "http://[::",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "127.0.0.1:80",
        "api.binance.com",
        "http://",
        "https://:secret@",
        "https://gateway.example/?key=secret",
        "https://gateway.example/#secret",
    ],
)
async def test_an_address_that_cannot_be_asked_stops_the_start(client: httpx.AsyncClient, url: str) -> None:
    with pytest.raises(ValueError, match="expected an address") as caught:
        VenueHttp(client, "binance", url, SystemClock())
    assert "secret" not in str(caught.value)


async def test_failures_leave_the_pool_whole(client: httpx.AsyncClient) -> None:
    """More timeouts than the pool has connections, at once, and the client still works."""
    async with scripted(hang) as dead, scripted(replies(200, honest("kraken"))) as well:
        late = [failure_of(client, "kraken", "book", dead.url, timeout_s=0.2) for _ in range(150)]
        assert {error.failure for error in await asyncio.gather(*late)} == {VenueFailure.TIMEOUT}
        assert is_honest(await adapter(client, "kraken", well.url).book(SYMBOL, depth=10, timeout_s=ENOUGH_S))


async def test_cancelling_is_not_a_failure(client: httpx.AsyncClient) -> None:
    async with scripted(hang) as venue:
        asking = asyncio.create_task(
            adapter(client, "binance", venue.url).book(SYMBOL, depth=10, timeout_s=30)
        )
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_bomb_is_not_unpacked_into_memory(client: httpx.AsyncClient) -> None:
    bomb = gzip_bomb(256 << 20)
    async with scripted(replies(200, bomb, headers=GZIPPED)) as venue:
        tracemalloc.start()
        try:
            await failure_of(client, "binance", "book", venue.url, timeout_s=20)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * MAX_BODY_BYTES


async def test_the_environments_proxy_is_not_used(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with make_client() as fresh, scripted(replies(200, honest("kraken"))) as venue:
        for each in (client, fresh):
            assert is_honest(
                await adapter(each, "kraken", venue.url).book(SYMBOL, depth=10, timeout_s=ENOUGH_S)
            )


@pytest.mark.parametrize(
    ("name", "body", "offset_ms"),
    [
        ("binance", b'{"serverTime":1700000000500}', 540.0),
        ("coinbase", b'{"iso":"x","epochSeconds":"1699999999","epochMillis":"1699999999500"}', -460.0),
        # Whole seconds: it is half a second later than it says, give or take half a second.
        ("kraken", b'{"error":[],"result":{"unixtime":1700000000,"rfc1123":"x"}}', 540.0),
    ],
)
async def test_the_offset_is_taken_half_way(
    client: httpx.AsyncClient, name: str, body: bytes, offset_ms: float
) -> None:
    async with scripted(replies(200, body)) as venue:
        told = await market_data(name, client, StepClock(), override=venue.url).server_time(
            timeout_s=ENOUGH_S
        )
    assert told.offset_ms == offset_ms
    assert told.latency_ms == 80.0


async def test_an_answer_bears_when_it_came(client: httpx.AsyncClient) -> None:
    async with scripted(replies(200, b"{}", headers={"X-Mbx-Used-Weight-1m": "12"})) as venue:
        http = VenueHttp(client, "binance", venue.url, StepClock())
        answer = await http.get("/x", timeout_s=ENOUGH_S)
    assert (answer.status, answer.body) == (200, b"{}")
    assert (answer.received_at_ms, answer.latency_ms, answer.half_way_ms) == (
        1_700_000_000_000,
        80.0,
        1_699_999_999_960.0,
    )
    assert answer.headers["x-mbx-used-weight-1m"] == "12"


async def test_a_compression_not_asked_for_is_not_taken_for_text(client: httpx.AsyncClient) -> None:
    async with scripted(replies(200, b"{}", headers={"content-encoding": "br"})) as venue:
        with pytest.raises(VenueError) as caught:
            await VenueHttp(client, "binance", venue.url, SystemClock()).get("/x", timeout_s=ENOUGH_S)
    assert caught.value.failure is VenueFailure.MALFORMED


async def test_an_answer_given_up_gives_its_connection_back() -> None:
    """More of them than the pool has connections, and each error kept with its traceback."""
    kept = []
    two = httpx.Limits(max_connections=2)
    async with (
        httpx.AsyncClient(limits=two, trust_env=False) as small,
        scripted(announce_too_much) as venue,
    ):
        http = VenueHttp(small, "binance", venue.url, SystemClock())
        for _ in range(4):
            with pytest.raises(VenueError) as caught:
                await http.get("/x", timeout_s=ENOUGH_S)
            kept.append(caught)
    assert {each.value.failure for each in kept} == {VenueFailure.TOO_LARGE}
