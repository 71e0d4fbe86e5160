"""The connections to venues: how they are made and kept, and when one may still carry an order."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx

from sor_core.clock import Clock

KEEPALIVE_EXPIRY_S = 60.0
"""How long an idle connection is kept. httpx's own 5 s would open a new one, with a TLS handshake
of two round trips, for nearly every decision; venues close theirs after about a minute or more."""

ORDER_KEEPALIVE_S = 5.0
"""How long an idle connection may be and still carry an order. See `VenueHttp.send_once`."""


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
    _tell_no_addresses()
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


def _tell_no_addresses() -> None:
    """Keep httpx's line about each request to itself, unless the process's logger let it out.

    In that line stands the whole address, and in that of a signed question the signature: it never leaves
    with its query. A level that is set already, as by `make_logger`, stays.
    """
    requests = logging.getLogger("httpx")
    requests.addFilter(_without_query)
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the query off an address: a venue may be told there who signs, and with what."""
    if isinstance(record.args, tuple):
        record.args = tuple(a if isinstance(a, int) else str(a).partition("?")[0] for a in record.args)
    return True


def make_order_client() -> httpx.AsyncClient:
    """Make the client of the trading side, whose connections are never idle for long.

    Ask a venue's time over it while its book is fetched: the answer is the clock offset that an
    order needs, and leaves a connection behind that has just been proven.
    """
    return make_client(keepalive_expiry_s=ORDER_KEEPALIVE_S)


class StaleConnectionError(Exception):
    """A connection was idle too long to carry an order; nothing has been written on it."""


class TooLateError(Exception):
    """The moment until which the request was allowed to leave has passed; nothing has been written."""


class ConnectionUse:
    """Watches one exchange through httpcore's trace events, and may end it before its first byte."""

    __slots__ = ("answered", "fresh")

    def __init__(self) -> None:
        self.fresh = False
        self.answered = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.fresh = True
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


class OrderDeparture(ConnectionUse):
    """Stops an order that must not leave any more, or not over this connection."""

    __slots__ = ("_clock", "_needs_fresh", "_not_after_ms")

    def __init__(self, clock: Clock, not_after_ms: int | None, *, needs_fresh: bool) -> None:
        super().__init__()
        self._clock = clock
        self._not_after_ms = not_after_ms
        self._needs_fresh = needs_fresh

    def leave(self) -> None:
        if self._needs_fresh and not self.fresh:
            raise StaleConnectionError
        if self._not_after_ms is not None and self._clock.now_ms() > self._not_after_ms:
            raise TooLateError
