"""One `place` is at most one POST, whatever a venue of bytes does; and its outcome is one of three."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sor_core.adapters.pool import make_order_client
from sor_core.adapters.venues.registry import VENUES
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.clock import SystemClock
from sor_core.domain.credentials import KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.domain.trading import (
    FrozenRequest,
    Placed,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
)
from sor_core.ports_trading import VenueTrading
from tests.contract.counting_venue import (
    CountingVenue,
    Received,
    Script,
    answers,
    break_off,
    counting,
    drip,
    hang,
    hang_up,
    reset,
    speak_another_protocol,
)
from tests.contract.trading_desk import ENOUGH_S, placement
from tests.fakes.memory_trading import MemoryNonces, StaticCredentials

SYMBOL = Symbol.parse("BTC/USDT")
SECRETS = {
    "binance": "BINANCEHIDDEN" * 4,
    "coinbase": base64.b64encode(bytes(range(32))).decode(),
    "kraken": base64.b64encode(b"KRAKENHIDDEN").decode(),
}
API_KEY = "PUBLICNAME"

every_venue = pytest.mark.parametrize("name", list(VENUES))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_order_client() as made:
        yield made


def adapter(client: httpx.AsyncClient, name: str, url: str) -> VenueTrading:
    clock = SystemClock()
    keys = {(name, KeyUse.TRADE): (API_KEY, SECRETS[name])}
    parts = TradingParts(
        client, clock, StaticCredentials(keys), MemoryNonces(clock), lambda: uuid.uuid4().hex
    )
    return trading(name, parts, VenueClock(clock), override=url)


def frozen(venue: VenueTrading) -> FrozenRequest:
    rules = Instrument(
        venue.venue,
        SYMBOL,
        "?",
        tick=Decimal("0.01"),
        lot=Decimal("0.0001"),
        min_size=Decimal("0.0001"),
        max_size=None,
        min_notional=Decimal(0),
        max_notional=None,
        status=TradingStatus.TRADING,
    )
    request = venue.prepare(placement(venue.venue), rules, venue_now_ms=SystemClock().now_ms())
    assert isinstance(request, FrozenRequest)
    return request


async def send(
    client: httpx.AsyncClient, name: str, venue: CountingVenue, timeout_s: float = ENOUGH_S
) -> PlaceOutcome:
    return await send_with(adapter(client, name, venue.url), timeout_s)


async def send_with(desk: VenueTrading, timeout_s: float = ENOUGH_S) -> PlaceOutcome:
    late_ms = SystemClock().now_ms() + 60_000
    got = await desk.place(frozen(desk), not_after_ms=late_ms, timeout_s=timeout_s)
    await asyncio.sleep(0.05)  # what is sent again is sent at once
    return got


async def error_page(_request: Received, writer: asyncio.StreamWriter) -> None:
    await answers(503, b"<html>busy</html>", content_type="text/html")(_request, writer)
    writer.close()


async def two_answers(request: Received, writer: asyncio.StreamWriter) -> None:
    await answers(503)(request, writer)
    await answers(200)(request, writer)


async def redirect(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Temporary\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()


async def retry_after(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()


async def go_on(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await answers(504)(request, writer)


SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (
        hang,
        drip,
        hang_up,
        reset,
        break_off,
        speak_another_protocol,
        error_page,
        two_answers,
        redirect,
        retry_after,
        go_on,
    )
}


@every_venue
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("kept_alive", [False, True])
async def test_one_place_is_one_post(
    client: httpx.AsyncClient, name: str, script: str, *, kept_alive: bool
) -> None:
    async with counting(answers()) as venue:
        desk = adapter(client, name, venue.url)
        if kept_alive:
            with pytest.raises(VenueError):
                await desk.balances(timeout_s=ENOUGH_S)
            venue.received.clear()
        venue.script = SCRIPTS[script]
        got = await send_with(desk, 0.3 if script in {"hang", "drip"} else ENOUGH_S)
        assert isinstance(got, Unknown)
        assert venue.posts == 1
        assert venue.connections == 1


@every_venue
async def test_forty_places_at_once_are_forty_posts(client: httpx.AsyncClient, name: str) -> None:
    """Over connections that the venue closes after every answer, some before it."""
    number = 0

    async def moody(request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        if number % 3:
            await answers(500)(request, writer)
        if number % 2:
            writer.close()

    async with counting(moody) as venue:
        desk = adapter(client, name, venue.url)
        requests = [frozen(desk) for _ in range(40)]
        late_ms = SystemClock().now_ms() + 60_000
        got = await asyncio.gather(
            *(desk.place(request, not_after_ms=late_ms, timeout_s=1.0) for request in requests)
        )
        ids = [_client_order_id(request.body) for request in venue.received]
        assert len(ids) == len(set(ids)), "no order arrived twice"
        # Kraken's wait for each other, and not all of them get their turn.
        sent = [outcome for outcome in got if not _is_not_sent(outcome)]
        # The time of one may end while it connects.
        assert len(sent) - 1 <= venue.posts <= len(sent)
        assert all(isinstance(outcome, Unknown) for outcome in sent)


def _client_order_id(body: bytes) -> str:
    text = body.decode()
    if text.startswith("{"):
        found: str = json.loads(text)["client_order_id"]
        return found
    pairs = dict(pair.split("=", 1) for pair in text.split("&"))
    return pairs.get("newClientOrderId") or pairs["cl_ord_id"]


def _is_not_sent(outcome: PlaceOutcome) -> bool:
    return isinstance(outcome, Rejected) and outcome.reason is RejectReason.HELD_BACK


@every_venue
async def test_cancelling_the_caller_ends_the_request(client: httpx.AsyncClient, name: str) -> None:
    """No send outlives its handler: the connection is closed, nothing more is sent."""
    async with counting(hang) as venue:
        sending = asyncio.create_task(send(client, name, venue, timeout_s=30))
        await asyncio.sleep(0.2)
        assert venue.posts == 1
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        venue.script = answers(500)
        assert isinstance(await send(client, name, venue), Unknown)
        assert venue.connections == 2


@every_venue
async def test_bodies_that_mean_nothing(client: httpx.AsyncClient, name: str) -> None:
    bodies: list[Any] = [
        b"",
        b"null",
        b"0",
        b'"ok"',
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"success":true}',
        b'{"error":[]}',
        b'{"error":[],"result":{}}',
        b"[" * 100_000,
    ]
    for body in bodies:
        async with counting(answers(200, body)) as venue:
            got = await send(client, name, venue)
            assert isinstance(got, Unknown)
            assert got.why in {UnknownWhy.MALFORMED, UnknownWhy.CONTRADICTORY, UnknownWhy.VENUE_UNSURE}
            assert venue.posts == 1


HONEST: dict[str, Any] = {
    "binance": lambda cid: {
        "symbol": "BTCUSDT",
        "orderId": 1,
        "clientOrderId": cid,
        "transactTime": 1,
        "status": "EXPIRED",
        "side": "BUY",
        "origQty": "0.5",
        "price": "60000",
        "executedQty": "0",
        "cummulativeQuoteQty": "0",
        "fills": [],
    },
    "coinbase": lambda cid: {
        "success": True,
        "success_response": {
            "order_id": "v",
            "product_id": "BTC-USDT",
            "side": "BUY",
            "client_order_id": cid,
        },
    },
    "kraken": lambda _cid: {"error": [], "result": {"txid": ["O-1"], "descr": {}}},
}


@every_venue
async def test_nothing_that_is_logged_shows_a_key(
    client: httpx.AsyncClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []

    async def honest(request: Received, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(HONEST[name](_client_order_id(request.body))).encode()
        await answers(200, body)(request, writer)

    async with counting(honest) as venue:
        got = await send(client, name, venue)
        assert isinstance(got, Placed)
        shown.append(repr(got))
        for script in (answers(400, b'{"code":-2015,"msg":"no","error":["EAPI:Invalid key"]}'), hang_up):
            venue.script = script
            shown.append(repr(await send(client, name, venue)))
        desk = adapter(client, name, venue.url)
        shown.append(repr(frozen(desk)))
        [request, *_] = venue.received
        signatures = [request.header("api-sign"), request.header("authorization")]
        signatures += [
            part.rpartition("=")[2] for part in request.body.decode().split("&") if "signature" in part
        ]
    text = caplog.text + " ".join(shown)
    secrets = [SECRETS[name], API_KEY, *(each for each in signatures if each)]
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in text]
