"""The one place where SOR speaks HTTP to a venue, and where a failed exchange becomes a `VenueError`.

Whatever a venue or the network does, `VenueHttp.get` and `VenueHttp.send_once` end within their
time, hold a bounded amount of memory, and either return an `Answer` (of any HTTP status: its meaning
is the venue adapter's affair) or raise `VenueError`. They differ in one thing: a `get` may be sent
again where a kept-alive connection turns out dead, what `send_once` sends is never sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import httpx

from sor_core import __version__
from sor_core.adapters.pool import (
    ORDER_KEEPALIVE_S,
    ConnectionUse,
    OrderDeparture,
    StaleConnectionError,
    TooLateError,
)
from sor_core.adapters.pool import make_client as make_client  # noqa: PLC0414 - found here by its users
from sor_core.clock import Clock
from sor_core.domain.errors import VenueError, VenueFailure

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Largest body read, before and after decompression. The largest honest one, a Binance book of
5,000 levels a side, has 0.4 MB."""

_REQUEST_HEADERS = {
    "user-agent": f"sor_core/{__version__}",
    "accept": "application/json",
    # Only what _inflate can decompress without ever holding more than the cap.
    "accept-encoding": "gzip",
}

_LAST_PORT = 65_535

_GZIP_WINDOW = 16 + zlib.MAX_WBITS

_CONNECTION_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Gate(Protocol):
    """Decides whether a request may go out now, and learns from every answer (see `venues.budget`)."""

    def wait_s(self, method: str, path: str, params: Mapping[str, str | int]) -> float:
        """Count the request and give 0, or do not count it and give the seconds it would have to wait."""
        ...

    def learn(self, answer: Answer) -> None:
        """Read what an answer says of the venue's limits."""
        ...


class NotSentError(VenueError):
    """No byte of the request left this machine: the venue cannot have done anything about it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names are looked up without regard to case."""
    body: bytes
    """Decompressed; at most `MAX_BODY_BYTES`."""
    received_at_ms: int
    """When its last byte arrived, Unix milliseconds by our clock."""
    latency_ms: float
    """From before the request was sent to the last byte of the answer."""

    @property
    def half_way_ms(self) -> float:
        """When the venue stamped it, by our clock, if both ways took equally long."""
        return self.received_at_ms - self.latency_ms / 2.0


def _usable_address(base_url: str) -> str:
    """Return an address without the slash at its end. Errors do not show it: it may hold a secret."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as cause:
        raise ValueError("expected an address such as https://api.example.com") from cause
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("expected an address that begins with http:// or https:// and names a host")
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise ValueError("expected an address with a port from 1 to 65535")
    if url.query or url.fragment:
        raise ValueError("expected an address without ? and #, for paths are appended to it")
    return base_url.rstrip("/")


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A request whose bytes are signed: they go out as they stand here. Its repr shows no signature."""

    method: str
    path: str
    """Appended to the base address; begins with ``/``."""
    headers: Mapping[str, str] = field(repr=False)
    """Beside those every request carries."""
    query: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    counted_by: Mapping[str, str | int] = field(default_factory=dict)
    """Parameters that its cost depends on, for the gate."""


class VenueHttp:
    """Requests to one venue at one base address.

    Parameters
    ----------
    client
        See `make_client`; it is not closed here.
    venue
        The name that errors carry.
    base_url
        Scheme, host and, for a gateway, the venue's prefix: ``https://api.kraken.com``,
        ``http://127.0.0.1:8006/kraken``.
    clock
        Stamps answers.
    gate
        Keeps requests within the venue's limits; None lets everything out.

    Raises
    ------
    ValueError
        If the address is none that could be asked.
    """

    def __init__(
        self, client: httpx.AsyncClient, venue: str, base_url: str, clock: Clock, gate: Gate | None = None
    ) -> None:
        self.venue = venue
        self._client = client
        self._base_url = _usable_address(base_url)
        self._clock = clock
        self._gate = gate
        self._answered_at_ms = 0

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        """Ask, and read the whole answer.

        Parameters
        ----------
        path
            Appended to the base address; begins with ``/``.
        params
            The query.
        headers
            Beside those every request carries.
        timeout_s
            For everything together, from waiting for a connection to the last byte of the body: an
            answer that drips ends here too.

        Raises
        ------
        VenueError
            TIMEOUT, CONNECTION, TOO_LARGE, or MALFORMED (a compression that is broken or was not
            asked for). `NotSentError` with RATE_LIMITED where the gate holds it back.
        """
        self._pass_gate("GET", path, params or {})
        url = httpx.URL(self._base_url + path, params=params)
        return await self._ask("GET", url, headers or {}, timeout_s)

    async def ask(self, call: SignedCall, *, timeout_s: float) -> Answer:
        """Ask a signed question, a GET; otherwise as `get`."""
        self._pass_gate(call.method, call.path, call.counted_by)
        return await self._ask(call.method, self._url(call), call.headers, timeout_s)

    async def send_once(
        self, call: SignedCall, *, timeout_s: float, not_after_ms: int | None = None
    ) -> Answer:
        """Send a request AT MOST ONCE, and read the whole answer.

        It may go over a kept-alive connection: that saves an order two or three round trips. A dead
        one would cost more than it saves, an outcome that nobody knows, so connections idle for
        longer than `ORDER_KEEPALIVE_S` are passed over. The pool (of `make_order_client`) does so by
        its own clock, and drops those that the venue has closed; as that clock may stand still while
        a Lambda is frozen, none is used either where by wall time nothing was answered for so long.
        What breaks nevertheless before an answer came is not tried again.

        Parameters
        ----------
        call
            The request.
        timeout_s
            For everything together.
        not_after_ms
            By our clock: looked at just before the first byte leaves; past it nothing does.

        Raises
        ------
        NotSentError
            Where no byte left: the gate held it back, no connection came about, or it was too late.
        VenueError
            As `get`: the request may have arrived.
        """
        self._pass_gate(call.method, call.path, call.counted_by)
        needs_fresh = self._clock.now_ms() - self._answered_at_ms > ORDER_KEEPALIVE_S * 1000
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    use = OrderDeparture(self._clock, not_after_ms, needs_fresh=needs_fresh)
                    request = self._request(
                        call.method, self._url(call), call.headers, timeout_s, use, call.body
                    )
                    # A stale one was closed with nothing written on it. Each round closes another,
                    # so that a fresh one comes.
                    with contextlib.suppress(StaleConnectionError):
                        return await self._exchange(request)
        except TooLateError as cause:
            # The next may leave at once: the venue has nothing to do with it.
            late = "too late to send it"
            raise NotSentError(self.venue, VenueFailure.TIMEOUT, late, retry_after_s=0.0) from cause
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as cause:
            raise NotSentError(self.venue, VenueFailure.CONNECTION, type(cause).__name__) from cause
        except (TimeoutError, httpx.TimeoutException) as cause:
            self._fail(VenueFailure.TIMEOUT, f"{type(cause).__name__}, given {timeout_s:g} s", cause)
        except (httpx.RequestError, OSError) as cause:
            self._fail(VenueFailure.CONNECTION, type(cause).__name__, cause)

    async def _ask(self, method: str, url: httpx.URL, headers: Mapping[str, str], timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask_past_stale_connections(method, url, headers, timeout_s)
        except (TimeoutError, httpx.TimeoutException) as cause:
            self._fail(VenueFailure.TIMEOUT, f"{type(cause).__name__}, given {timeout_s:g} s", cause)
        except (httpx.RequestError, OSError) as cause:
            self._fail(VenueFailure.CONNECTION, type(cause).__name__, cause)

    async def _ask_past_stale_connections(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Ask again where a kept-alive connection turns out dead before any answer.

        A venue may close an idle connection in the moment we use it, and a Lambda that was frozen
        wakes with nothing but dead ones. To ask again is safe. Each round takes a dead connection
        out of the pool and a connection opened for us is never tried twice, so this ends.
        """
        while True:
            use = ConnectionUse()
            request = self._request(method, url, headers, timeout_s, use)
            try:
                return await self._exchange(request)
            except _CONNECTION_LOST:
                if not use.was_stale:
                    raise

    def _pass_gate(self, method: str, path: str, params: Mapping[str, str | int]) -> None:
        wait_s = 0.0 if self._gate is None else self._gate.wait_s(method, path, params)
        if wait_s > 0:
            raise NotSentError(
                self.venue,
                VenueFailure.RATE_LIMITED,
                "held back by our own budget of requests",
                retry_after_s=wait_s,
            )

    def _url(self, call: SignedCall) -> httpx.URL:
        return httpx.URL(
            f"{self._base_url}{call.path}?{call.query}" if call.query else self._base_url + call.path
        )

    def _request(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        timeout_s: float,
        use: ConnectionUse,
        body: bytes = b"",
    ) -> httpx.Request:
        return self._client.build_request(
            method,
            url,
            content=body or None,
            headers={**_REQUEST_HEADERS, **headers},
            # A TCP connect and a TLS handshake may each take half the time. If the end of all
            # time came in a handshake, httpcore would leave its socket to the garbage collector.
            timeout=httpx.Timeout(timeout_s, connect=timeout_s / 2, pool=timeout_s / 2),
            extensions={"trace": use},
        )

    async def _exchange(self, request: httpx.Request) -> Answer:
        started_ms = self._clock.monotonic_ms()
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            body = await self._read_body(response)
        finally:
            await response.aclose()
        answer = Answer(
            status=response.status_code,
            headers=response.headers,
            body=body,
            received_at_ms=self._clock.now_ms(),
            latency_ms=self._clock.monotonic_ms() - started_ms,
        )
        self._answered_at_ms = answer.received_at_ms
        if self._gate is not None:
            self._gate.learn(answer)
        return answer

    async def _read_body(self, response: httpx.Response) -> bytes:
        """Read and decompress, never holding more than the cap and one chunk.

        httpx's own decoder inflates a chunk at once, whatever it grows to; here zlib is told how
        much may come out.
        """
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", ""}:
            self._fail(VenueFailure.MALFORMED, "the body has a compression that was not asked for")
        inflater = zlib.decompressobj(_GZIP_WINDOW) if encoding == "gzip" else None
        body = bytearray()
        wire_bytes = 0
        async for chunk in response.aiter_raw():
            wire_bytes += len(chunk)
            body += chunk if inflater is None else self._inflate(inflater, chunk, len(body))
            if max(wire_bytes, len(body)) > MAX_BODY_BYTES:
                self._fail(VenueFailure.TOO_LARGE, f"the body has more than {MAX_BODY_BYTES} bytes")
        if inflater is not None and wire_bytes and not inflater.eof:
            self._fail(VenueFailure.MALFORMED, "the compressed body ends early")
        return bytes(body)

    def _inflate(self, inflater: zlib._Decompress, chunk: bytes, held_bytes: int) -> bytes:
        try:
            return inflater.decompress(chunk, MAX_BODY_BYTES + 1 - held_bytes)
        except zlib.error as cause:
            self._fail(VenueFailure.MALFORMED, "the body's compression is broken", cause)

    def _fail(self, failure: VenueFailure, detail: str, cause: BaseException | None = None) -> NoReturn:
        raise VenueError(self.venue, failure, detail) from cause
