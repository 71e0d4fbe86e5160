"""A venue of bytes that counts: it reads whole requests, keeps them, and does what its script says.

For what is sent at most once: whatever the script does, `posts` tells how often an order arrived.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came off the wire."""

    head: str
    body: bytes
    connection: int

    @property
    def method(self) -> str:
        return self.head.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.head.split(" ", 2)[1]

    def header(self, name: str) -> str:
        found = re.search(rf"\r\n{re.escape(name)}: ([^\r]*)", self.head, re.IGNORECASE)
        return "" if found is None else found[1]


@dataclass(slots=True)
class CountingVenue:
    """A TCP server; `script` may be replaced between requests."""

    script: Script
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                request = Received(head.decode(), body, number)
                self.received.append(request)
                await self.script(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has hung up, as it may
        finally:
            writer.close()


@asynccontextmanager
async def counting(script: Script) -> AsyncIterator[CountingVenue]:
    venue = CountingVenue(script)
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    venue.url = f"http://{host}:{port}"
    try:
        yield venue
    finally:
        server.close()
        # Handlers that still hang end here; Python 3.11 has no Server.close_clients.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        handlers = [t for t in others if "serve" in getattr(t.get_coro(), "__qualname__", "")]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def answers(status: int = 200, body: bytes = b"{}", *, content_type: str = "application/json") -> Script:
    """A script that answers each request so, over a connection kept alive."""

    async def script(_request: Received, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return script


async def hang(_request: Received, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def hang_up(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def break_off(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"orderId"')
    await writer.drain()
    writer.close()


async def drip(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def speak_another_protocol(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n" * 3)
    await writer.drain()
    writer.close()
