"""The HTTP server: sockets in front of the simulation, and what transport faults do to answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from aiohttp import web

from local.venues.config import VenuesConfig
from local.venues.control import Control
from local.venues.faults import (
    Drop,
    Hang,
    HtmlPage,
    Huge,
    Latency,
    Malformed,
    RateLimit,
    Refuse,
    ServerErrorAnswer,
    TransportFault,
    When,
)
from local.venues.markets import Venue
from local.venues.simulation import DIALECTS, Incoming, Simulation
from local.venues.web import ApiReply, ApiRequest

_LARGEST_REQUEST_BYTES = 1_000_000
_CHUNK_BYTES = 1_000_000
_LOOK_EVERY_S = 0.1
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _ConnectionLostError(Exception):
    """The connection is to end here; nothing may be sent on it any more."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


@dataclass(frozen=True, slots=True)
class _Delivery:
    """An answer and how it goes out."""

    reply: ApiReply
    cut_after: int | None = None
    padding: int = 0


@dataclass(frozen=True, slots=True)
class RunningVenues:
    """The venues, listening."""

    url: str
    """Their address, without a slash at the end."""
    control: Control
    _runner: web.AppRunner

    @property
    def simulation(self) -> Simulation:
        """Their state as it is now; a reset makes another."""
        return self.control.simulation

    async def aclose(self) -> None:
        """Stop listening and end every connection, hanging ones too."""
        await self._runner.cleanup()


async def start(config: VenuesConfig) -> RunningVenues:
    """Start the venues on the running event loop.

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """
    control = Control(Simulation(config))
    app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
    control.add_routes(app)
    app.router.add_route("*", f"/{{venue:{'|'.join(Venue)}}}/{{path:.*}}", _Gate(control).handle)
    # Not cancelled when the client leaves: what it asked for happens all the same, as at a venue.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, config.host, config.port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    port = runner.addresses[0][1]
    host = f"[{config.host}]" if ":" in config.host else config.host
    return RunningVenues(f"http://{host}:{port}", control, runner)


class _Gate:
    """Takes requests off the wire and puts answers on it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._seen: WeakKeyDictionary[asyncio.Transport, set[Venue]] = WeakKeyDictionary()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        simulation = self._control.simulation
        venue = Venue(request.match_info["venue"])
        self._count_connection(simulation, venue, request)
        incoming = simulation.receive(venue, await _read(request))
        try:
            delivery = await _delivery(simulation, incoming, request)
            return await _send(request, delivery)
        except _ConnectionLostError as lost:
            _end_connection(request, reset=lost.reset)
            # The transport is gone: this answer reaches nobody, but aiohttp wants one.
            return web.Response()

    def _count_connection(self, simulation: Simulation, venue: Venue, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            return
        seen = self._seen.setdefault(transport, set())
        if venue not in seen:
            seen.add(venue)
            simulation.connections[venue] += 1


async def _read(request: web.Request) -> ApiRequest:
    return ApiRequest(
        method=request.method,
        path="/" + request.match_info["path"],
        # As it came: signatures cover these very bytes.
        raw_query=request.raw_path.partition("?")[2],
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
        client_ip=request.remote or "",
    )


async def _delivery(simulation: Simulation, incoming: Incoming, request: web.Request) -> _Delivery:
    """Let faults have their way before and after the venue handles the request."""
    early: ApiReply | None = None
    for fault in incoming.transport:
        await _pause(simulation, fault, When.BEFORE, request)
        early = early or _before(simulation, incoming, fault)
    if early is not None:
        return _Delivery(early)
    delivery = _Delivery(simulation.answer(incoming))
    for fault in incoming.transport:
        await _pause(simulation, fault, When.AFTER, request)
        delivery = _after(incoming, fault, delivery)
    return delivery


async def _pause(simulation: Simulation, fault: TransportFault, now: When, request: web.Request) -> None:
    match fault:
        case Latency(ms, jitter_ms, when) if when is now:
            await asyncio.sleep(max(0.0, ms + simulation.faults.jitter_ms(jitter_ms)) / 1000.0)
        case Hang(when) if when is now:
            # Until the client leaves, of which there is no event to wait for; the server's end cancels it.
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_EVERY_S)
            raise _ConnectionLostError(reset=False)
        case _:
            pass


def _before(simulation: Simulation, incoming: Incoming, fault: TransportFault) -> ApiReply | None:
    match fault:
        case Refuse():
            raise _ConnectionLostError(reset=True)
        case Drop(when=When.BEFORE):
            raise _ConnectionLostError(reset=False)
        case RateLimit(status, retry_after_s):
            return simulation.rate_limited(incoming, status, retry_after_s)
        case ServerErrorAnswer(status, When.BEFORE):
            return DIALECTS[incoming.venue].server_error(status)
        case HtmlPage(status, When.BEFORE):
            return _page(status)
        case _:
            return None


def _after(incoming: Incoming, fault: TransportFault, delivery: _Delivery) -> _Delivery:
    reply = delivery.reply
    match fault:
        case Drop(mid_body=False, when=When.AFTER):
            raise _ConnectionLostError(reset=False)
        case Drop(mid_body=True, when=When.AFTER):
            return _Delivery(reply, cut_after=len(reply.body) // 2)
        case ServerErrorAnswer(status, When.AFTER):
            return _Delivery(DIALECTS[incoming.venue].server_error(status))
        case HtmlPage(status, When.AFTER):
            return _Delivery(_page(status))
        case Malformed():
            half = reply.body[: len(reply.body) // 2]
            return _Delivery(ApiReply(reply.status, half, reply.headers, reply.content_type))
        case Huge(size):
            return _Delivery(reply, padding=size)
        case _:
            return delivery


def _page(status: int) -> ApiReply:
    title = f"{status} Bad Gateway" if status == 502 else f"{status}"  # noqa: PLR2004 - its own name
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return ApiReply(status, page.encode(), content_type="text/html")


async def _send(request: web.Request, delivery: _Delivery) -> web.StreamResponse:
    reply = delivery.reply
    headers = dict(reply.headers)
    if delivery.cut_after is None and not delivery.padding:
        return web.Response(
            status=reply.status, body=reply.body, headers=headers, content_type=reply.content_type
        )
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_type = reply.content_type
    response.content_length = len(reply.body) + delivery.padding
    await response.prepare(request)
    if delivery.cut_after is not None:
        await response.write(reply.body[: delivery.cut_after])
        raise _ConnectionLostError(reset=False)
    # A client that gives up in the middle is what this is for.
    with contextlib.suppress(ConnectionError):
        await response.write(reply.body)
        for size in _chunks(delivery.padding):
            await response.write(b" " * size)
        await response.write_eof()
    return response


def _chunks(total: int) -> Iterator[int]:
    for sent in range(0, total, _CHUNK_BYTES):
        yield min(_CHUNK_BYTES, total - sent)


def _end_connection(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        # What has been written goes out first.
        transport.close()
