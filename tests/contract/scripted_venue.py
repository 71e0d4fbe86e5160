"""A venue that speaks bytes, not HTTP: a script says what it writes and when it hangs up.

Shared by the contract tests of adapters and of their HTTP.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sor_core.adapters.venues.registry import market_data
from sor_core.clock import SystemClock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.ports import VenueMarketData

SYMBOL = Symbol.parse("BTC/USDT")
METHODS = ("book", "instrument", "server_time", "system_status")
ENOUGH_S = 5.0

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class ScriptedVenue:
    """A TCP server that reads a request's head and then does what its script says."""

    script: Script
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                await self.script(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has hung up, as it may
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[ScriptedVenue]:
    venue = ScriptedVenue(script)
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    venue.url = f"http://{host}:{port}"
    try:
        yield venue
    finally:
        server.close()
        # Handlers that still drip end here; Python 3.11 has no Server.close_clients.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        handlers = [t for t in others if "serve" in getattr(t.get_coro(), "__qualname__", "")]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def replies(status: int = 200, body: bytes = b"", *, headers: Mapping[str, str] | None = None) -> Script:
    """A script that answers each request so, over a connection kept alive."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()

    return script


def adapter(client: httpx.AsyncClient, name: str, url: str) -> VenueMarketData:
    return market_data(name, client, SystemClock(), override=url)


async def ask(venue: VenueMarketData, method: str, timeout_s: float) -> object:
    if method == "book":
        return await venue.book(SYMBOL, depth=10, timeout_s=timeout_s)
    if method == "instrument":
        return await venue.instrument(SYMBOL, timeout_s=timeout_s)
    if method == "server_time":
        return await venue.server_time(timeout_s=timeout_s)
    return await venue.system_status(timeout_s=timeout_s)


async def failure_of(
    client: httpx.AsyncClient, name: str, method: str, url: str, timeout_s: float = ENOUGH_S
) -> VenueError:
    started = time.monotonic()
    with pytest.raises(VenueError) as caught:
        await ask(adapter(client, name, url), method, timeout_s)
    assert time.monotonic() - started < timeout_s + 2.0
    assert caught.value.venue == name
    return caught.value


HONEST_BOOKS: dict[str, Any] = {
    "binance": {"lastUpdateId": 7, "bids": [["1.5", "2"]], "asks": [["1.6", "3"]]},
    "coinbase": {
        "pricebook": {
            "product_id": "BTC-USDT",
            "bids": [{"price": "1.5", "size": "2"}],
            "asks": [{"price": "1.6", "size": "3"}],
            "time": "2026-04-07T00:28:59.662Z",
        }
    },
    "kraken": {
        "error": [],
        "result": {"XBTUSDT": {"bids": [["1.5", "2", 5]], "asks": [["1.6", "3", 6]]}},
    },
}


def honest(name: str) -> bytes:
    return json.dumps(HONEST_BOOKS[name]).encode()


def is_honest(book: object) -> bool:
    assert isinstance(book, Book)
    return [tuple(side[0])[:2] for side in (book.bids, book.asks)] == [("1.5", "2"), ("1.6", "3")]


GZIPPED = {"content-encoding": "gzip"}


class StepClock:
    """Our clock, told by the test: a round trip takes 80 ms."""

    def __init__(self) -> None:
        self._monotonic_ms = 0.0

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic_ms(self) -> float:
        self._monotonic_ms += 80.0
        return self._monotonic_ms


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def drip_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        writer.write(b"x-%d: y\r\n" % number)
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang_up_half_way(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"lastUpdateId"')
    await writer.drain()
    writer.close()


async def speak_another_protocol(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n" * 3)
    await writer.drain()
    writer.close()


async def claim_two_lengths(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}}")
    await writer.drain()


async def send_an_endless_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    for _ in range(1000):
        writer.write(b"y" * 65536)
        await writer.drain()


async def endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def announce_too_much(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


def gzip_bomb(size_bytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(size_bytes >> 20)) + packer.flush()
