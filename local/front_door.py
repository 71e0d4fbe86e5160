"""The front door: serves the API deployed to the local AWS under an address of its own, as API Gateway does.

The local AWS answers under a path that names the API's id, which changes with every deployment, and wants
signed requests. Everything else passes through as it came, but for the OpenAPI document, which is a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from io import BytesIO

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    hdrs,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from local.template import REPOSITORY

LARGEST_BODY_BYTES = 10 * 1024 * 1024
"""API Gateway's limit, "Quotas for configuring and running a REST API"."""
ANSWER_TIMEOUT_S = 35.0
"""A little over API Gateway's own 29 s, so that its answer to a late function comes first."""
UPSTREAM_IDLE_S = 60.0
"""Less than the 75 s after which ministack closes: a connection about to be closed is never used."""
LINGER_S = 2.0
"""How long a client whose body was refused may go on sending before it is cut off, so that it sees why."""
END_TIMEOUT_S = 1.0
PROBLEM = "application/problem+json"
DOCUMENT_PATH = "/openapi.json"
DOCUMENT = REPOSITORY / "openapi" / "openapi.json"
GATEWAY_ERROR = "x-amzn-errortype"
LOGGER = logging.getLogger(__name__)
"""What went wrong here, for a file: nothing of it is for whoever started the stack."""
LOGGER.propagate = False
TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
SIGNED_BY_NOBODY = "AWS4-HMAC-SHA256 Credential=local/20000101/us-east-1/execute-api/aws4_request"
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization"}) | {
    *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
}
NOT_FORWARDED = HOP_BY_HOP | {"host", "authorization", "content-length", "expect"}
NOT_RETURNED = HOP_BY_HOP | {"content-length", "date", "server"}


@asynccontextmanager
async def front_door(listening: socket.socket, upstream: str) -> AsyncIterator[None]:
    """Serve on a bound socket what lies under the address `upstream`, until the context is left."""
    connector = TCPConnector(limit=0, keepalive_timeout=UPSTREAM_IDLE_S)
    async with ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=ANSWER_TIMEOUT_S),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        trust_env=False,
    ) as session:
        door = _FrontDoor(session, upstream)
        server = _Server(
            door.answer, access_log=None, auto_decompress=False, lingering_time=LINGER_S, logger=LOGGER
        )
        runner = web.ServerRunner(server, shutdown_timeout=END_TIMEOUT_S)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            yield
        finally:
            await runner.cleanup()


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    """Answers what is no HTTP request with a problem, and says a line of it to the log alone."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            LOGGER.error("failed at a request", exc_info=exc)
        else:
            LOGGER.warning("no HTTP request: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is under way already")
        refused = HTTPStatus(status)
        told = (message or refused.description).partition(":")[0]  # what was sent is not repeated
        answer = _problem(refused, told)
        answer.force_close()
        return answer


class _FrontDoor:
    def __init__(self, session: ClientSession, upstream: str) -> None:
        self._session = session
        self._upstream = upstream

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.path == DOCUMENT_PATH:
            return web.Response(body=DOCUMENT.read_bytes(), content_type="application/json")
        body = await _body(request)
        if body is None:
            refusal = _problem(TOO_LARGE, f"a request's body is at most {LARGEST_BODY_BYTES} bytes")
            refusal.force_close()  # the rest of the body is not read, so no further request can follow on it
            return refusal
        headers = _without(request.headers.items(), NOT_FORWARDED)
        headers[hdrs.AUTHORIZATION] = SIGNED_BY_NOBODY
        url = URL(self._upstream + request.rel_url.raw_path_qs, encoded=True)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=BytesIO(body) if body else None,
                allow_redirects=False,
            ) as response:
                if GATEWAY_ERROR in response.headers or response.status == HTTPStatus.BAD_GATEWAY:
                    return _gateway_response(response, await response.read())
                return web.Response(
                    status=response.status,
                    reason=response.reason,
                    headers=_without(response.headers.items(), NOT_RETURNED),
                    body=await response.read(),
                )
        except TimeoutError:
            return _problem(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {ANSWER_TIMEOUT_S:.0f} s")
        except ClientConnectionError:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the local AWS is not to be reached")
        except ClientError as error:
            return _problem(HTTPStatus.BAD_GATEWAY, f"no usable answer: {type(error).__name__}")


def _gateway_response(response: ClientResponse, body: bytes) -> web.Response:
    """Give API Gateway's own errors as the template's GatewayResponses do: the local AWS leaves those out."""
    title = response.headers.get(GATEWAY_ERROR, "INTEGRATION_FAILURE")
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")
    if response.status == HTTPStatus.BAD_GATEWAY:  # what a function died of is told to the log alone
        message = "Internal server error"
    problem = {
        "type": "about:blank",
        "title": title,
        "status": response.status,
        "detail": message,
        "instance": f"urn:sor:request:{response.headers.get('x-amzn-requestid', '')}",
    }
    return web.Response(status=response.status, text=json.dumps(problem), content_type=PROBLEM)


async def _body(request: web.BaseRequest) -> bytes | None:
    """Read the body; None where it is larger than allowed, at once where that was announced."""
    if (request.content_length or 0) > LARGEST_BODY_BYTES:
        return None
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            return None
    return bytes(body)


def _without(headers: Iterable[tuple[str, str]], names: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in names)


def _problem(status: HTTPStatus, detail: str) -> web.Response:
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return web.Response(status=status, text=json.dumps(problem), content_type=PROBLEM)


async def get(url: str, *, timeout_s: float) -> tuple[int, str]:
    """Fetch a page from this machine; status 0 with the reason where nothing answers."""
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=timeout_s)) as session,
            session.get(url) as response,
        ):
            return response.status, await response.text()
    except (ClientError, TimeoutError) as error:
        return 0, str(error) or type(error).__name__


async def wait_until_answering(url: str, *, timeout_s: float, pause_s: float = 0.05) -> bool:
    """Ask until something answers; False after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline:
        status, _ = await get(url, timeout_s=2.0)
        if status:
            return True
        await asyncio.sleep(pause_s)
    return False
