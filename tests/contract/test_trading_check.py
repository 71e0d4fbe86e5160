"""`VenueTrading.check` asks for a venue's word on an order and never places one; and each venue's fence."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.pool import make_order_client
from sor_core.adapters.venues.binance import facts as binance
from sor_core.adapters.venues.coinbase import facts as coinbase
from sor_core.adapters.venues.kraken import facts as kraken
from sor_core.adapters.venues.registry import VENUES, budget
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.domain.credentials import KeyUse
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    FrozenRequest,
    OrderKind,
    Placed,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    WouldTake,
)
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
)
from tests.contract.trading_desk import BTC_USDT, ENOUGH_S, Desk, opened, placement

R, U = RejectReason, UnknownWhy

KINDS = [
    (OrderKind.LIMIT_IOC, "60000"),
    (OrderKind.LIMIT_FOK, "60000"),
    (OrderKind.LIMIT_GTC, "59000"),
    (OrderKind.POST_ONLY, "59000"),
    (OrderKind.MARKET, None),
]


@pytest.fixture(params=list(VENUES))
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with opened(request.param) as made:
        yield made


async def check(desk: Desk, request: FrozenRequest, timeout_s: float = ENOUGH_S) -> object:
    """Check, and see that there is nothing afterwards that was not there before."""
    before = await desk.trading.balances(timeout_s=ENOUGH_S)
    got = await desk.trading.check(request, timeout_s=timeout_s)
    since_ms = desk.venue_clock.now_ms() - 60_000
    assert list(await desk.trading.orders_since(BTC_USDT, since_ms, timeout_s=ENOUGH_S)) == []
    assert list(await desk.trading.open_orders(BTC_USDT, timeout_s=ENOUGH_S)) == []
    assert await desk.trading.balances(timeout_s=ENOUGH_S) == before
    assert desk.true_fills() == []
    return got


def endpoint(desk: Desk) -> str:
    """What a check meets at the venue: Kraken's goes where its orders go."""
    return "place_order" if desk.name == "kraken" else "test_order"


@pytest.mark.parametrize(("kind", "price"), KINDS)
@pytest.mark.parametrize("side", list(Side))
async def test_what_the_venue_would_take(desk: Desk, kind: OrderKind, price: str | None, side: Side) -> None:
    if side is Side.SELL and price is not None:
        price = {"60000": "59990", "59000": "61000"}[price]
    request = await desk.freeze(placement(desk.name, "0.5", price, kind=kind, side=side))
    assert await check(desk, request) == WouldTake()
    # Its client order id is not used up.
    assert isinstance(await desk.send(request), Placed)


@pytest.mark.parametrize(
    ("size", "price"), [("0.0000001", "60000"), ("0.5", "60000.00001"), ("0.0001", "0.1")]
)
async def test_a_refusal_is_the_one_that_the_order_would_get(desk: Desk, size: str, price: str) -> None:
    lax = replace(
        await desk.instrument(),
        tick=Decimal("0.00001"),
        lot=Decimal("0.0000000001"),
        min_size=Decimal("0.0000000001"),
        min_notional=Decimal(0),
    )
    request = desk.trading.prepare(
        placement(desk.name, size, price), lax, venue_now_ms=desk.venue_clock.now_ms()
    )
    assert isinstance(request, FrozenRequest)
    got = await check(desk, request)
    assert isinstance(got, Rejected)
    sent = await desk.send(request)
    assert isinstance(sent, Rejected)
    assert got.reason is sent.reason


async def test_only_coinbase_looks_at_balances(desk: Desk) -> None:
    await desk.set_balance("USDT", "100")
    await desk.set_balance("BTC", "0.1")
    for side, price in ((Side.BUY, "60000"), (Side.SELL, "59990")):
        got = await check(desk, await desk.freeze(placement(desk.name, "0.5", price, side=side)))
        if desk.name == "coinbase":
            assert isinstance(got, Rejected)
            assert got.reason is R.INSUFFICIENT_BALANCE
        else:
            assert got == WouldTake()


async def test_only_coinbase_looks_at_the_book(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name, "0.5", "60000", kind=OrderKind.POST_ONLY))
    got = await check(desk, request)
    if desk.name == "coinbase":
        assert isinstance(got, Rejected)
        assert got.reason is R.POST_ONLY_WOULD_CROSS
    else:
        assert got == WouldTake()


async def test_a_market_that_is_not_listed_or_takes_cancels_only(desk: Desk) -> None:
    nope = Symbol.parse("NOPE/USDT")
    rules = replace(await desk.instrument(), symbol=nope, venue_symbol="x")
    unlisted = desk.trading.prepare(
        placement(desk.name, symbol=nope), rules, venue_now_ms=desk.venue_clock.now_ms()
    )
    assert isinstance(unlisted, FrozenRequest)
    got = await check(desk, unlisted)
    assert isinstance(got, Rejected)
    assert got.reason is R.UNKNOWN_SYMBOL
    await desk.fault("cancel_only", endpoint(desk))
    got = await check(desk, await desk.freeze(placement(desk.name)))
    assert isinstance(got, Rejected)
    assert got.reason is R.HALTED


async def test_a_key_that_may_not_trade(desk: Desk) -> None:
    desk.credentials.keys[desk.name, KeyUse.TRADE] = desk.credentials.keys[desk.name, KeyUse.READ]
    got = await check(desk, await desk.freeze(placement(desk.name)))
    assert isinstance(got, Rejected)
    assert got.reason in {R.PERMISSION, R.AUTH}


@pytest.mark.parametrize(
    ("fault", "params", "why"),
    [
        ("hang", {"when": "before"}, U.TIMEOUT),
        ("hang", {"when": "after"}, U.TIMEOUT),
        ("refuse", {}, U.CONNECTION_LOST),
        ("drop", {"mid_body": True}, U.CONNECTION_LOST),
        ("error_5xx", {"status": 503, "when": "before"}, U.SERVER_ERROR),
        ("html", {"status": 502, "when": "after"}, U.SERVER_ERROR),
        ("html", {"status": 200, "when": "after"}, U.MALFORMED),
        ("malformed", {}, U.MALFORMED),
    ],
)
async def test_a_dead_venue(desk: Desk, fault: str, params: dict[str, Any], why: UnknownWhy) -> None:
    request = await desk.freeze(placement(desk.name))
    await desk.fault(fault, endpoint(desk), **params)
    got = await check(desk, request, timeout_s=0.3 if why is U.TIMEOUT else ENOUGH_S)
    assert isinstance(got, Unknown)
    assert got.why is why


async def test_what_is_not_sent(desk: Desk) -> None:
    """A venue that cannot be reached, and our own budget of requests."""
    request = await desk.freeze(placement(desk.name))
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    parts = TradingParts(desk.client, desk.clock, desk.credentials, desk.nonces, lambda: uuid.uuid4().hex)
    away = trading(desk.name, parts, desk.venue_clock, override=f"http://127.0.0.1:{port}")
    got = await away.check(request, timeout_s=ENOUGH_S)
    assert isinstance(got, Rejected)
    assert got.reason is R.NOT_SENT

    shared = budget(desk.name, desk.clock)
    shared.learn(Answer(429, {}, b"", received_at_ms=desk.clock.now_ms(), latency_ms=1.0))
    got = await desk.another(shared).check(request, timeout_s=ENOUGH_S)
    assert isinstance(got, Rejected)
    assert got.reason is R.HELD_BACK
    assert (got.retry_after_s or 0) > 0


async def test_krakens_check_takes_its_turn() -> None:
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        credentials = await desk.credentials.get("kraken", KeyUse.TRADE)
        assert await desk.nonces.take_turn(credentials.key_id, "another", for_ms=60_000) is not None
        got = await desk.trading.check(request, timeout_s=0.3)
        assert isinstance(got, Rejected | Unknown)
        assert desk.order_posts() == 0
        await desk.nonces.end_turn(credentials.key_id, "another")
        assert await desk.trading.check(request, timeout_s=ENOUGH_S) == WouldTake()
        desk.nonces.broken = True
        got = await desk.trading.check(request, timeout_s=ENOUGH_S)
        assert isinstance(got, Rejected)
        assert got.reason is R.HELD_BACK


# Over a venue of bytes: what leaves this machine


def is_harmless(name: str, request: Received) -> bool:
    """Whether the venue's documentation says of a request that it places nothing."""
    match name:
        case "binance":
            return request.target == "/api/v3/order/test"
        case "coinbase":
            document = json.loads(request.body)
            return request.target == "/api/v3/brokerage/orders/preview" and set(document) == {
                "product_id",
                "side",
                "order_configuration",
            }
        case _:
            return parse_qs(request.body.decode())["validate"] == ["true"]


def at(desk: Desk, venue: CountingVenue) -> Desk:
    parts = TradingParts(desk.client, desk.clock, desk.credentials, desk.nonces, lambda: uuid.uuid4().hex)
    return replace(desk, trading=trading(desk.name, parts, desk.venue_clock, override=venue.url))


REFUSED_KEY: dict[str, Script] = {
    "binance": answers(401, b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'),
    "coinbase": answers(401, b"Unauthorized", content_type="text/plain"),
    "kraken": answers(200, b'{"error":["EAPI:Invalid key"]}'),
}
OVERTAKEN = answers(200, b'{"error":["EAPI:Invalid nonce"]}')


@pytest.mark.parametrize(("kind", "price"), KINDS)
async def test_nothing_that_leaves_could_place_an_order(
    desk: Desk, kind: OrderKind, price: str | None
) -> None:
    """Whatever comes back: also where the question is asked again, for a newer key or a higher nonce."""
    request = await desk.freeze(placement(desk.name, "0.5", price, kind=kind))
    old = desk.credentials.keys[desk.name, KeyUse.TRADE]
    desk.credentials.newer[desk.name, KeyUse.TRADE] = ("ANOTHER", old[1])
    scripts = (REFUSED_KEY[desk.name], OVERTAKEN, hang, drip, hang_up, reset, break_off, answers(500))
    async with counting(hang) as venue, make_order_client() as client:
        desk.client = client
        for script in scripts:
            venue.script = script
            got = await at(desk, venue).trading.check(request, timeout_s=0.2)
            assert isinstance(got, Rejected | Unknown)
        await asyncio.sleep(0.05)  # what is sent again is sent at once
    assert venue.posts >= len(scripts)
    assert all(each.method == "POST" and is_harmless(desk.name, each) for each in venue.received)
    assert len({venue.received[0].header("x-mbx-apikey"), venue.received[1].header("x-mbx-apikey")}) == (
        2 if desk.name == "binance" else 1
    )


async def test_what_is_checked_is_what_would_be_sent(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    async with counting(answers(500)) as venue:
        await at(desk, venue).trading.check(request, timeout_s=ENOUGH_S)
    [received] = venue.received
    if desk.name == "coinbase":
        document = json.loads(request.body)
        assert json.loads(received.body).items() <= document.items()
    else:
        assert request.body in received.body


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("binance", b'{"symbol":"BTCUSDT","orderId":28,"clientOrderId":"x"}', U.CONTRADICTORY),
        ("binance", b"{", U.MALFORMED),
        ("binance", b"[]", U.MALFORMED),
        ("kraken", b'{"error":[],"result":{"descr":{"order":"x"},"txid":["OU22CG"]}}', U.CONTRADICTORY),
        (
            "kraken",
            b'{"error":[],"result":{"descr":{"order":"sell 0.50000000 XBTUSDT @ limit 60000"}}}',
            U.CONTRADICTORY,
        ),
        ("kraken", b'{"error":[]}', U.MALFORMED),
        ("kraken", b'{"error":["EOrder:Something new"]}', U.UNEXPECTED_CODE),
        ("coinbase", b"{}", U.MALFORMED),
        ("coinbase", b'{"errs":["UNKNOWN_PREVIEW_FAILURE_REASON"]}', U.VENUE_UNSURE),
        ("coinbase", b'{"errs":["PREVIEW_SOMETHING_NEW"]}', U.UNEXPECTED_CODE),
        ("coinbase", b'{"errs":["PREVIEW_INSUFFICIENT_FUND","PREVIEW_RISK_PROXY_FAILURE"]}', U.VENUE_UNSURE),
    ],
)
async def test_answers_that_tell_nothing(name: str, body: bytes, why: UnknownWhy) -> None:
    async with opened(name) as desk, counting(answers(200, body)) as venue:
        request = await desk.freeze(placement(name))
        got = await at(desk, venue).trading.check(request, timeout_s=ENOUGH_S)
        assert isinstance(got, Unknown)
        assert got.why is why


@pytest.mark.parametrize(
    "body",
    [
        b'{"errs":["PREVIEW_INSUFFICIENT_FUND"]}',
        b'{"errs":[],"preview_failure_reason":"PREVIEW_INSUFFICIENT_FUND"}',
    ],
)
async def test_where_coinbase_says_why_not(body: bytes) -> None:
    async with opened("coinbase") as desk, counting(answers(200, body)) as venue:
        got = await at(desk, venue).trading.check(
            await desk.freeze(placement("coinbase")), timeout_s=ENOUGH_S
        )
        assert isinstance(got, Rejected)
        assert (got.reason, got.code) == (R.INSUFFICIENT_BALANCE, "PREVIEW_INSUFFICIENT_FUND")


# The fence


async def test_the_fence(desk: Desk) -> None:
    fence = desk.trading.fence
    assert fence == {"binance": binance, "coinbase": coinbase, "kraken": kraken}[desk.name].FENCE
    assert fence.settle_ms > 0
    assert fence.visible_ms > 0
    # Of the venue that promises to answer a repetition with the first order, absence proves nothing:
    # no fence of the engine's own ends what it has let in.
    assert fence.absence_proves is not desk.trading.place_is_idempotent
