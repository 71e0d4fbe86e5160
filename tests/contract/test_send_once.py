"""What `VenueHttp.send_once` promises: at most one request leaves, and whether one did is known."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from sor_core.adapters.http import Answer, NotSentError, SignedCall, VenueHttp
from sor_core.adapters.pool import ORDER_KEEPALIVE_S, make_order_client
from sor_core.clock import Clock, SystemClock
from sor_core.domain.errors import VenueError, VenueFailure
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
from tests.fakes.clock import ManualClock

ENOUGH_S = 5.0
CALL = SignedCall("POST", "/order", {"x-key": "k", "content-type": "text/plain"}, body=b"a=1&b=%2F")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with make_order_client() as made:
        yield made


def http(client: httpx.AsyncClient, url: str, clock: Clock | None = None) -> VenueHttp:
    return VenueHttp(client, "kraken", url, clock or SystemClock())


async def test_the_bytes_go_out_as_they_were_signed(client: httpx.AsyncClient) -> None:
    query = "a=%2F%2B%3D&b=x%2Cy&c=-_.~&signature=ab%2Bcd%3D"
    async with counting(answers()) as venue:
        channel = http(client, venue.url + "/gateway")
        await channel.send_once(CALL, timeout_s=ENOUGH_S)
        await channel.send_once(SignedCall("DELETE", "/order", {}, query=query), timeout_s=ENOUGH_S)
        await channel.ask(SignedCall("GET", "/order", {"x-key": "k"}, query=query), timeout_s=ENOUGH_S)
    posted, deleted, asked = venue.received
    assert (posted.method, posted.target, posted.body) == ("POST", "/gateway/order", CALL.body)
    assert (posted.header("x-key"), posted.header("content-type")) == ("k", "text/plain")
    assert (deleted.method, deleted.target) == ("DELETE", f"/gateway/order?{query}")
    assert (asked.method, asked.target) == ("GET", f"/gateway/order?{query}")


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (hang, VenueFailure.TIMEOUT),
        (drip, VenueFailure.TIMEOUT),
        (hang_up, VenueFailure.CONNECTION),
        (reset, VenueFailure.CONNECTION),
        (break_off, VenueFailure.CONNECTION),
        (speak_another_protocol, VenueFailure.CONNECTION),
    ],
)
@pytest.mark.parametrize("kept_alive", [False, True])
async def test_what_may_have_arrived_is_not_sent_again(
    client: httpx.AsyncClient, script: Script, failure: VenueFailure, *, kept_alive: bool
) -> None:
    async with counting(answers()) as venue:
        channel = http(client, venue.url)
        if kept_alive:
            await channel.get("/time", timeout_s=ENOUGH_S)
        venue.script = script
        with pytest.raises(VenueError) as caught:
            await channel.send_once(CALL, timeout_s=0.4 if failure is VenueFailure.TIMEOUT else ENOUGH_S)
        await asyncio.sleep(0.2)  # what is sent again is sent at once
        assert venue.posts == 1
        assert venue.connections == 1
    assert caught.value.failure is failure
    assert not isinstance(caught.value, NotSentError)


async def test_a_kept_alive_connection_is_used(client: httpx.AsyncClient) -> None:
    async with counting(answers()) as venue:
        channel = http(client, venue.url)
        await channel.get("/time", timeout_s=ENOUGH_S)
        await channel.send_once(CALL, timeout_s=ENOUGH_S)
    assert [request.connection for request in venue.received] == [1, 1]


async def test_a_connection_that_the_venue_closed_carries_no_order(client: httpx.AsyncClient) -> None:
    async def answer_and_close(request: Received, writer: asyncio.StreamWriter) -> None:
        await answers()(request, writer)
        writer.close()

    async with counting(answer_and_close) as venue:
        channel = http(client, venue.url)
        for _ in range(5):
            await channel.get("/time", timeout_s=ENOUGH_S)
            await asyncio.sleep(0.02)
            assert (await channel.send_once(CALL, timeout_s=ENOUGH_S)).status == 200
            await asyncio.sleep(0.02)
    assert venue.posts == 5


async def test_connections_that_were_idle_too_long_carry_no_order(client: httpx.AsyncClient) -> None:
    """Not one of several, though the pool's own clock saw no time pass, as while a Lambda is frozen."""
    clock = ManualClock()
    async with counting(answers()) as venue:
        channel = http(client, venue.url, clock)
        await asyncio.gather(*(channel.get("/time", timeout_s=ENOUGH_S) for _ in range(3)))
        clock.advance(int(ORDER_KEEPALIVE_S * 1000))
        await channel.send_once(CALL, timeout_s=ENOUGH_S)
        assert venue.received[-1].connection <= 3
        clock.advance(int(ORDER_KEEPALIVE_S * 1000) + 1)
        await channel.send_once(CALL, timeout_s=ENOUGH_S)
    assert venue.received[-1].connection == 4
    assert venue.posts == 2


async def test_the_pool_drops_idle_connections_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sor_core.adapters.pool.ORDER_KEEPALIVE_S", 0.1)
    async with make_order_client() as client, counting(answers()) as venue:
        channel = http(client, venue.url, ManualClock())
        await channel.get("/time", timeout_s=ENOUGH_S)
        await asyncio.sleep(0.25)
        await channel.send_once(CALL, timeout_s=ENOUGH_S)
    assert [request.connection for request in venue.received] == [1, 2]


@pytest.mark.parametrize("kept_alive", [False, True])
async def test_nothing_leaves_when_it_is_too_late(client: httpx.AsyncClient, *, kept_alive: bool) -> None:
    clock = ManualClock()
    async with counting(answers()) as venue:
        channel = http(client, venue.url, clock)
        if kept_alive:
            await channel.get("/time", timeout_s=ENOUGH_S)
        with pytest.raises(NotSentError) as caught:
            await channel.send_once(CALL, timeout_s=ENOUGH_S, not_after_ms=clock.now_ms() - 1)
        await asyncio.sleep(0.05)
        assert venue.posts == 0
        assert caught.value.failure is VenueFailure.TIMEOUT
        await channel.send_once(CALL, timeout_s=ENOUGH_S, not_after_ms=clock.now_ms())
        assert venue.posts == 1


async def test_the_time_is_looked_at_after_connecting(client: httpx.AsyncClient) -> None:
    """Just before the first byte, not before the handshake."""

    class Hurrying(ManualClock):
        """Its time jumps once somebody has connected."""

        venue: CountingVenue

        def now_ms(self) -> int:
            return self.at_ms + (10_000 if self.venue.connections else 0)

    clock = Hurrying()
    async with counting(answers()) as venue:
        clock.venue = venue

        async def waiting_for_the_connection(_request: Received, _writer: asyncio.StreamWriter) -> None:
            raise AssertionError("nothing should arrive")

        venue.script = waiting_for_the_connection
        with pytest.raises(NotSentError):
            await http(client, venue.url, clock).send_once(
                CALL, timeout_s=ENOUGH_S, not_after_ms=clock.at_ms + 5000
            )
        assert venue.connections <= 1
        assert venue.received == []


async def test_no_connection_means_not_sent(client: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NotSentError) as caught:
        await http(client, f"http://127.0.0.1:{port}").send_once(CALL, timeout_s=ENOUGH_S)
    assert caught.value.failure is VenueFailure.CONNECTION


@pytest.mark.parametrize("timeout_s", [0.05, 0.4])
async def test_a_handshake_that_takes_too_long_means_not_sent(
    client: httpx.AsyncClient, timeout_s: float
) -> None:
    """A server that accepts and says nothing: TLS never comes about."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(NotSentError):
            await http(client, f"https://127.0.0.1:{port}").send_once(CALL, timeout_s=timeout_s)
    finally:
        server.close()


async def test_a_full_pool_means_not_sent() -> None:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as one, counting(hang) as venue:
        channel = http(one, venue.url)
        first = asyncio.create_task(channel.send_once(CALL, timeout_s=2.0))
        await asyncio.sleep(0.1)
        with pytest.raises(NotSentError):
            await channel.send_once(CALL, timeout_s=0.4)
        assert venue.posts == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


class ClosedGate:
    """Lets nothing out, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str | int]]] = []
        self.learnt: list[Answer] = []
        self.wait = 2.5

    def wait_s(self, method: str, path: str, params: Mapping[str, str | int]) -> float:
        self.asked.append((method, path, dict(params)))
        return self.wait

    def learn(self, answer: Answer) -> None:
        self.learnt.append(answer)


async def test_what_the_gate_holds_back_is_not_sent(client: httpx.AsyncClient) -> None:
    gate = ClosedGate()
    counted = SignedCall("POST", "/order", {}, body=b"x", counted_by={"pair": "XBTUSD"})
    async with counting(answers()) as venue:
        channel = VenueHttp(client, "kraken", venue.url, SystemClock(), gate)
        for asking in (
            channel.send_once(counted, timeout_s=ENOUGH_S),
            channel.get("/book", params={"limit": 5}, timeout_s=ENOUGH_S),
        ):
            with pytest.raises(NotSentError) as caught:
                await asking
            assert (caught.value.failure, caught.value.retry_after_s) == (VenueFailure.RATE_LIMITED, 2.5)
        assert venue.received == []
        gate.wait = 0.0
        await channel.send_once(counted, timeout_s=ENOUGH_S)
    assert gate.asked == [
        ("POST", "/order", {"pair": "XBTUSD"}),
        ("GET", "/book", {"limit": 5}),
        ("POST", "/order", {"pair": "XBTUSD"}),
    ]
    assert [answer.status for answer in gate.learnt] == [200]


async def test_logs_show_neither_signatures_nor_keys(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    call = SignedCall("POST", "/order", {"x-key": "MYKEY"}, query="signature=MYSIGN", body=b"MYBODY")
    async with counting(answers()) as venue:
        channel = http(client, venue.url)
        await channel.send_once(call, timeout_s=ENOUGH_S)
        await channel.ask(SignedCall("GET", "/o", {"x-key": "MYKEY"}, query="s=MYSIGN"), timeout_s=ENOUGH_S)
        venue.script = hang_up
        with pytest.raises(VenueError) as caught:
            await channel.send_once(call, timeout_s=ENOUGH_S)
    shown = caplog.text + repr(call) + repr(caught.value) + str(caught.value)
    assert not [secret for secret in ("MYKEY", "MYSIGN", "MYBODY") if secret in shown]
