"""The front door, before an upstream that tells what reached it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from local.front_door import LARGEST_BODY_BYTES, LOGGER, front_door


@dataclass
class Upstream:
    """Stands where the local AWS does."""

    url: str = ""
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.connections.add(request.transport)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.raw_path, headers, await request.content.read()))
        if "fails" in request.path:
            text = json.dumps({"message": "Too Many Requests"})
            extra = {"x-amzn-ErrorType": "LimitExceededException", "x-amzn-requestid": "r-1"}
            return web.Response(status=429, text=text, content_type="application/json", headers=extra)
        if "dies" in request.path:
            text = json.dumps({"message": json.dumps({"errorMessage": "SECRET"})})
            return web.Response(status=502, text=text, content_type="application/json")
        if "breaks" in request.path and request.transport is not None:
            request.transport.close()
        response = web.Response(
            status=201, body=b"made", headers={"X-Kept": "yes", "Keep-Alive": "timeout=5"}
        )
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    runner = web.ServerRunner(web.Server(upstream.answer, auto_decompress=False))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/_aws/execute-api/id/v1"
    yield upstream
    await runner.cleanup()


@pytest.fixture
async def door(upstream: Upstream) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with front_door(listening, upstream.url):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def raw(door: str, request: bytes) -> bytes:
    host, port = door.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_request_passes_through_under_the_apis_path_and_signed(door: str, upstream: Upstream) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        sent = {"X-Own": "1", "Authorization": "Bearer x", "Connection": "keep-alive", "TE": "trailers"}
        url = URL(f"{door}/api/route?a=%2Fb&a=c", encoded=True)
        async with session.post(url, data=b"{}", headers=sent) as answer:
            assert (answer.status, await answer.read()) == (201, b"made")
            assert answer.headers["X-Kept"] == "yes"
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert "Keep-Alive" not in answer.headers
    ((method, path, headers, body),) = upstream.seen
    assert (method, path, body) == ("POST", "/_aws/execute-api/id/v1/api/route?a=%2Fb&a=c", b"{}")
    assert headers["x-own"] == "1"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
    assert "te" not in headers
    assert door.removeprefix("http://") not in headers["host"]


async def test_a_compressed_body_is_left_as_it_is(door: str, upstream: Upstream) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(f"{door}/x", data=b"not really gzip", headers={"Content-Encoding": "gzip"})
    assert upstream.seen[0][3] == b"not really gzip"


async def test_requests_share_a_connection(door: str, upstream: Upstream) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"{door}/health") as answer:
                await answer.read()
    assert len(upstream.connections) == 1


async def test_expect_is_answered_here_and_not_passed_on(door: str, upstream: Upstream) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
    answer = await raw(door, head + b"Expect: 100-continue\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    assert "expect" not in upstream.seen[0][2]


async def test_a_body_announced_as_too_large_is_refused_unread(door: str, upstream: Upstream) -> None:
    length = str(LARGEST_BODY_BYTES + 1).encode()
    answer = await raw(door, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert upstream.seen == []


async def test_the_limit_itself_passes_and_a_stream_beyond_it_does_not(door: str, upstream: Upstream) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY_BYTES // 2**20 + 1):
            yield b" " * 2**20

    async with aiohttp.ClientSession() as session:
        async with session.post(f"{door}/x", data=BytesIO(b" " * LARGEST_BODY_BYTES)) as answer:
            assert answer.status == 201
        async with session.post(f"{door}/x", data=stream()) as answer:
            assert answer.status == 413
    assert [len(body) for _, _, _, body in upstream.seen] == [LARGEST_BODY_BYTES]


async def test_the_gateways_own_errors_become_problems(door: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{door}/fails") as answer:
        assert (answer.status, answer.content_type) == (429, "application/problem+json")
        assert await answer.json(content_type=None) == {
            "type": "about:blank",
            "title": "LimitExceededException",
            "status": 429,
            "detail": "Too Many Requests",
            "instance": "urn:sor:request:r-1",
        }


async def test_a_function_that_dies_is_a_problem_that_does_not_tell_of_what(door: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{door}/dies") as answer:
        assert (answer.status, answer.content_type) == (502, "application/problem+json")
        assert "SECRET" not in await answer.text()


async def test_the_openapi_document_is_served_here(door: str, upstream: Upstream) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{door}/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert (await answer.json())["openapi"].startswith("3.")
    assert upstream.seen == []


async def test_a_broken_answer_and_no_upstream_are_problems(door: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{door}/breaks") as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")
    with (
        socket.create_server(("127.0.0.1", 0)) as nobody,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        closed = nobody.getsockname()[1]
        nobody.close()
        async with front_door(listening, f"http://127.0.0.1:{closed}"), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/health"
            async with session.get(url) as answer:
                assert (answer.status, (await answer.json(content_type=None))["status"]) == (503, 503)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n",
        b"FOO BAR /health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX-Name\x00: 1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["no host", "length", "method", "header name", "long header", "chunk", "tls"],
)
async def test_what_is_no_http_request_is_a_problem_and_no_traceback(
    door: str, upstream: Upstream, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    LOGGER.addHandler(caplog.handler)
    try:
        answer = await raw(door, request_)
    finally:
        LOGGER.removeHandler(caplog.handler)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == 400
    assert upstream.seen == []
    assert [(r.levelname, r.exc_info) for r in caplog.records] == [("WARNING", None)]
