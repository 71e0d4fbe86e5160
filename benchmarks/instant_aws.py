"""A DynamoDB that holds nothing and answers at once: what a function takes beside it is its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOTHING_FOUND: dict[str, dict[str, object]] = {"BatchGetItem": {"Responses": {}, "UnprocessedKeys": {}}}
_HEAD_END = b"\r\n\r\n"


class _Instant(asyncio.Protocol):
    def __init__(self, opened: set[asyncio.Transport]) -> None:
        self._held = b""
        self._opened = opened
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a server's are
        self._transport = transport
        self._opened.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._transport is not None:
            self._opened.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        while _HEAD_END in self._held:
            head, _, rest = self._held.partition(_HEAD_END)
            named = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
            headers = {name.lower(): value for name, value in named.items()}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._held = rest[length:]
            self._answer(headers.get("x-amz-target", "").rpartition(".")[2])

    def _answer(self, operation: str) -> None:
        body = json.dumps(_NOTHING_FOUND.get(operation, {})).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}"
        if self._transport is not None:
            self._transport.write(head.encode() + _HEAD_END + body)


@contextmanager
def instant_aws() -> Iterator[str]:
    """Run it in a thread; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened: set[asyncio.Transport] = set()

    async def listen() -> asyncio.Server:
        return await loop.create_server(lambda: _Instant(opened), "127.0.0.1", 0)

    async def leave(server: asyncio.Server) -> None:
        server.close()
        for transport in tuple(opened):
            transport.abort()
        await asyncio.sleep(0)  # in which they are closed

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(5)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(leave(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
