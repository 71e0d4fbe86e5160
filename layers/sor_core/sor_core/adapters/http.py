"""The one place where SOR speaks HTTP to a venue, and where a failed exchange becomes a `VenueError`.

Whatever a venue or the network does, `VenueHttp.get` and `VenueHttp.send_once` end within their
time, hold a bounded amount of memory, and either return an `Answer` (of any HTTP status: its meaning
is the venue adapter's affair) or raise `VenueError`. They differ in one thing: a `get` may be sent
again where a kept-alive connection turns out dead, what `send_once` sends is never sent again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, Protocol

import httpx

from sor_core import __version__
from sor_core.clock import Clock
from sor_core.domain.errors import VenueError, VenueFailure

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Largest body read, before and after decompression. The largest honest one, a Binance book of
5,000 levels a side, has 0.4 MB."""

KEEPALIVE_EXPIRY_S = 60.0
"""How long an idle connection is kept. httpx's own 5 s would open a new one, with a TLS handshake
of two round trips, for nearly every decision; venues close theirs after about a minute or more."""

ORDER_KEEPALIVE_S = 5.0
"""How long an idle connection may be and still carry an order. See `VenueHttp.send_once`."""

_REQUEST_HEADERS = {
    "user-agent": f"sor_core/{__version__}",
    "accept": "application/json",
    # Only what _inflate can decompress without ever holding more than the cap.
    "accept-encoding": "gzip",
}

_LAST_PORT = 65_535

_GZIP_WINDOW = 16 + zlib.MAX_WBITS

_CONNECTION_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context: reading the authorities' certificates takes some 20 ms.

    ``SSL_CERT_FILE`` is honoured, so that a gateway may use a private authority.
    """
    return httpx.create_ssl_context()


def make_client(*, keepalive_expiry_s: float = KEEPALIVE_EXPIRY_S) -> httpx.AsyncClient:
    """Make an HTTP client, to be shared by all venues and closed by the caller: one a process.

    HTTP/1.1, for the venues multiplex nothing we need; redirects are not followed, since no venue's
    API answers with one and a request must reach the host it was meant for. The environment's proxy
    variables and ``.netrc`` are ignored (`trust_env`): where requests go is decided by
    ``EXCHANGE_GATEWAY_URL`` and the venues' own addresses alone.

    The trading side has its own, from `make_order_client`.
    """
    # httpx writes whole addresses at INFO, and in those of signed questions stands the signature.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.AsyncClient(
        verify=tls_context(),
        http1=True,
        http2=False,
        follow_redirects=False,
        trust_env=False,
        limits=httpx.Limits(
            max_connections=100, max_keepalive_connections=40, keepalive_expiry=keepalive_expiry_s
        ),
        timeout=httpx.Timeout(connect=2.0, read=5.0, write=2.0, pool=1.0),
    )


def make_order_client() -> httpx.AsyncClient:
    """Make the client of the trading side, whose connections are never idle for long.

    Ask a venue's time over it while its book is fetched: the answer is the clock offset that an
    order needs, and leaves a connection behind that has just been proven.
    """
    return make_client(keepalive_expiry_s=ORDER_KEEPALIVE_S)


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


class _StaleConnectionError(Exception):
    """A connection was idle too long to carry an order; nothing has been written on it."""


class _TooLateError(Exception):
    """The moment until which the request was allowed to leave has passed; nothing has been written."""


class _ConnectionUse:
    """Watches one exchange through httpcore's trace events, and may end it before its first byte."""

    __slots__ = ("answered", "connecting", "fresh")

    def __init__(self) -> None:
        self.fresh = False
        self.connecting = False
        """Certainly still before the first byte: TCP or TLS are being set up."""
        self.answered = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event in {"connection.connect_tcp.started", "connection.start_tls.started"}:
            self.fresh = self.connecting = True
        elif event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self.connecting = False
        elif event == "http11.send_request_headers.started":
            self.leave()
        elif event == "http11.receive_response_headers.complete":
            self.answered = True

    def leave(self) -> None:
        """Take note that the next thing to happen is the first byte."""

    @property
    def was_stale(self) -> bool:
        """True if a kept-alive connection broke before a byte of the answer came."""
        return not (self.fresh or self.answered)


class _OrderDeparture(_ConnectionUse):
    """Stops an order that must not leave any more, or not over this connection."""

    __slots__ = ("_clock", "_needs_fresh", "_not_after_ms")

    def __init__(self, clock: Clock, not_after_ms: int | None, *, needs_fresh: bool) -> None:
        super().__init__()
        self._clock = clock
        self._not_after_ms = not_after_ms
        self._needs_fresh = needs_fresh

    def leave(self) -> None:
        if self._needs_fresh and not self.fresh:
            raise _StaleConnectionError
        if self._not_after_ms is not None and self._clock.now_ms() > self._not_after_ms:
            raise _TooLateError


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
        query: str = "",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        """Ask, and read the whole answer.

        Parameters
        ----------
        path
            Appended to the base address; begins with ``/``.
        params
            The query, to be encoded here.
        query
            The query as it stands, for requests whose bytes are signed: then `params` are only
            what the gate counts by.
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
        url = self._url(path, query)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get_past_stale_connections(
                    url, None if query else params, headers, timeout_s
                )
        except (TimeoutError, httpx.TimeoutException) as cause:
            self._fail(VenueFailure.TIMEOUT, f"{type(cause).__name__}, given {timeout_s:g} s", cause)
        except (httpx.RequestError, OSError) as cause:
            self._fail(VenueFailure.CONNECTION, type(cause).__name__, cause)

    async def send_once(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str],
        timeout_s: float,
        not_after_ms: int | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """Send a request AT MOST ONCE, and read the whole answer.

        It may go over a kept-alive connection: that saves an order two or three round trips. A dead
        one would cost more than it saves, an outcome that nobody knows, so connections older than
        `ORDER_KEEPALIVE_S` are passed over. The pool does so by its own clock, and also drops those
        that the venue has closed; since that clock may stand still while a Lambda is frozen, none is
        used either where by wall time nothing was answered for so long. What then still breaks
        before an answer came is not tried again.

        Parameters
        ----------
        method, path, query, body, headers
            The request, as signed.
        timeout_s
            For everything together.
        not_after_ms
            By our clock: looked at just before the first byte leaves; past it nothing does.
        params
            What the gate counts by.

        Raises
        ------
        NotSentError
            Where no byte left: the gate held it back, no connection came about, or it was too late.
        VenueError
            As `get`: the request may have arrived.
        """
        self._pass_gate(method, path, params or {})
        use = _ConnectionUse()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    idle_ms = self._clock.now_ms() - self._answered_at_ms
                    use = _OrderDeparture(
                        self._clock, not_after_ms, needs_fresh=idle_ms > ORDER_KEEPALIVE_S * 1000
                    )
                    request = self._request(method, self._url(path, query), headers, timeout_s, use)
                    request.stream, request.headers["content-length"] = _body(body), str(len(body))
                    try:
                        return await self._exchange(request)
                    except _StaleConnectionError:
                        # Nothing was written and the pool has closed it. Each round closes another,
                        # so a fresh one comes.
                        continue
        except _TooLateError as cause:
            raise NotSentError(self.venue, VenueFailure.TIMEOUT, "too late to send it") from cause
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as cause:
            raise NotSentError(self.venue, VenueFailure.CONNECTION, type(cause).__name__) from cause
        except (TimeoutError, httpx.TimeoutException) as cause:
            error = NotSentError if use.connecting else VenueError
            detail = f"{type(cause).__name__}, given {timeout_s:g} s"
            raise error(self.venue, VenueFailure.TIMEOUT, detail) from cause
        except (httpx.RequestError, OSError) as cause:
            self._fail(VenueFailure.CONNECTION, type(cause).__name__, cause)

    async def _get_past_stale_connections(
        self,
        url: str,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Answer:
        """Ask again where a kept-alive connection turns out dead before any answer.

        A venue may close an idle connection in the moment we use it, and a Lambda that was frozen
        wakes with nothing but dead ones. To GET again is safe. Each round takes a dead connection
        out of the pool and a connection opened for us is never tried twice, so this ends.
        """
        while True:
            use = _ConnectionUse()
            request = self._request("GET", url, headers or {}, timeout_s, use, params)
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

    def _url(self, path: str, query: str) -> str:
        return f"{self._base_url}{path}?{query}" if query else self._base_url + path

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        use: _ConnectionUse,
        params: Mapping[str, str | int] | None = None,
    ) -> httpx.Request:
        return self._client.build_request(
            method,
            url,
            params=params,
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
        return Answer(
            status=response.status_code,
            headers=response.headers,
            body=body,
            received_at_ms=self._clock.now_ms(),
            latency_ms=self._clock.monotonic_ms() - started_ms,
        )

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
