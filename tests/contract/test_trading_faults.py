"""What goes wrong around an order: nobody is told more than is known, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from sor_core.adapters.pool import make_order_client
from sor_core.adapters.venues.binance import trading as binance
from sor_core.adapters.venues.coinbase import trading as coinbase
from sor_core.adapters.venues.kraken import trading as kraken
from sor_core.adapters.venues.registry import VENUES
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.trading import (
    Found,
    NotFoundNow,
    OrderKind,
    OrderRef,
    Placed,
    Rejected,
    RejectReason,
    SendWindow,
    Unknown,
    UnknownWhy,
)
from tests.contract.trading_desk import BTC_USDT, ENOUGH_S, Desk, opened, placement

R, U = RejectReason, UnknownWhy

BUILD = {"binance": binance.build_place, "coinbase": coinbase.build_place, "kraken": kraken.build_place}


@pytest.fixture(params=list(VENUES))
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with opened(request.param) as made:
        yield made


# Fault, parameters, whether the venue has taken the order, and why nobody knows.
DOUBTS: list[tuple[str, dict[str, Any], bool, UnknownWhy]] = [
    ("hang", {"when": "before"}, False, U.TIMEOUT),
    ("hang", {"when": "after"}, True, U.TIMEOUT),
    ("latency", {"ms": 700, "when": "after"}, True, U.TIMEOUT),
    ("refuse", {}, False, U.CONNECTION_LOST),
    ("drop", {"when": "before"}, False, U.CONNECTION_LOST),
    ("drop", {"when": "after"}, True, U.CONNECTION_LOST),
    ("drop", {"mid_body": True}, True, U.CONNECTION_LOST),
    ("error_5xx", {"status": 500, "when": "before"}, False, U.SERVER_ERROR),
    ("error_5xx", {"status": 503, "when": "before"}, False, U.SERVER_ERROR),
    ("error_5xx", {"status": 504, "when": "after"}, True, U.SERVER_ERROR),
    ("html", {"status": 502, "when": "before"}, False, U.SERVER_ERROR),
    ("html", {"status": 502, "when": "after"}, True, U.SERVER_ERROR),
    ("html", {"status": 200, "when": "before"}, False, U.MALFORMED),
    ("html", {"status": 200, "when": "after"}, True, U.MALFORMED),
    ("html", {"status": 403, "when": "before"}, False, U.MALFORMED),
    ("malformed", {}, True, U.MALFORMED),
    ("huge", {"bytes": 20_000_000}, True, U.MALFORMED),
]


@pytest.mark.parametrize(("fault", "params", "taken", "why"), DOUBTS)
@pytest.mark.parametrize("kept_alive", [True, False])
async def test_doubts(
    desk: Desk,
    fault: str,
    params: dict[str, Any],
    taken: bool,  # noqa: FBT001 - a column of the table
    why: UnknownWhy,
    *,
    kept_alive: bool,
) -> None:
    asked = placement(desk.name, "0.5", "60000")
    request = await desk.freeze(asked)
    if not kept_alive:
        await desk.client.aclose()
        desk.client = make_order_client()
        desk.trading = desk.another()
    await desk.fault(fault, **params)
    got = await desk.send(request, timeout_s=0.3 if why is U.TIMEOUT else ENOUGH_S)
    assert isinstance(got, Unknown)
    assert got.why is why
    await desk.clear_faults()
    await asyncio.sleep(0.05)  # what is sent again is sent at once
    assert desk.order_posts() == 1

    queried = await desk.trading.query(desk.ref(asked), timeout_s=ENOUGH_S)
    assert isinstance(queried, Found if taken else NotFoundNow)
    assert len(desk.true_fills()) == taken
    await desk.client.aclose()


async def ask(desk: Desk, endpoint: str, ref: OrderRef) -> object:
    """Do what meets that endpoint of the venue."""
    if endpoint == "cancel_order":
        return await desk.trading.cancel(ref, timeout_s=0.5)
    if endpoint == "query_order":
        return await desk.trading.query(ref, timeout_s=0.5)
    # By the client order id, where a venue has no question for one order by it.
    return await desk.trading.query(replace(ref, venue_order_id=None), timeout_s=0.5)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [(name, endpoint) for name in VENUES for endpoint in ("query_order", "cancel_order")]
    + [("kraken", "open_orders"), ("kraken", "order_history"), ("coinbase", "order_history")],
)
@pytest.mark.parametrize(
    ("fault", "params", "why"),
    [
        ("hang", {}, U.TIMEOUT),
        ("drop", {}, U.CONNECTION_LOST),
        ("error_5xx", {"status": 503}, U.SERVER_ERROR),
        ("html", {"status": 502}, U.SERVER_ERROR),
        ("html", {"status": 200}, U.MALFORMED),
        ("malformed", {}, U.MALFORMED),
        ("rate_limit", {"retry_after_s": 3}, U.REFUSED),
    ],
)
async def test_questions_and_cancels_that_come_to_nothing(
    name: str, endpoint: str, fault: str, params: dict[str, Any], why: UnknownWhy
) -> None:
    async with opened(name) as desk:
        # On Kraken an order that has ended is looked for among the open ones first.
        waits = (name, endpoint) != ("kraken", "order_history")
        kind = OrderKind.LIMIT_GTC if waits else OrderKind.LIMIT_IOC
        asked = placement(name, "0.5", "59000", kind=kind)
        placed = await desk.place(asked)
        assert isinstance(placed, Placed)
        ref = replace(desk.ref(asked), venue_order_id=placed.order.venue_order_id)
        await desk.fault(fault, endpoint, **params)
        got = await ask(desk, endpoint, ref)
        assert isinstance(got, Unknown)
        assert got.why is why
        await desk.clear_faults()
        assert isinstance(await desk.trading.query(ref, timeout_s=ENOUGH_S), Found)


async def test_lists_that_come_to_nothing(desk: Desk) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "balances": lambda: desk.trading.balances(timeout_s=ENOUGH_S),
        "account_fees": lambda: desk.trading.account_fees(BTC_USDT, timeout_s=ENOUGH_S),
        "open_orders": lambda: desk.trading.open_orders(BTC_USDT, timeout_s=ENOUGH_S),
        "orders_since": lambda: desk.trading.orders_since(BTC_USDT, desk.clock.now_ms(), timeout_s=ENOUGH_S),
        "fills_since": lambda: desk.trading.fills_since(BTC_USDT, desk.clock.now_ms(), timeout_s=ENOUGH_S),
        "fills": lambda: desk.trading.fills(BTC_USDT, "17", timeout_s=ENOUGH_S),
    }
    for fault, params, failure in (
        ("error_5xx", {"status": 503}, VenueFailure.SERVER_ERROR),
        ("html", {"status": 200}, VenueFailure.MALFORMED),
        ("drop", {}, VenueFailure.CONNECTION),
    ):
        await desk.fault(fault, "*", **params)
        for name, call in calls.items():
            with pytest.raises(VenueError) as caught:
                await call()
            assert caught.value.failure is failure, name
        await desk.clear_faults()


async def test_an_order_that_is_seen_late(desk: Desk) -> None:
    """Taken and filled, and for a while no question finds it."""
    asked = placement(desk.name, "0.5", "60000")
    request = await desk.freeze(asked)
    await desk.fault("delayed_visibility", ms=1000)
    await desk.fault("drop", when="after")
    assert isinstance(await desk.send(request), Unknown)
    await desk.clear_faults()
    ref = desk.ref(asked)
    assert await desk.trading.query(ref, timeout_s=ENOUGH_S) == NotFoundNow()
    assert len(desk.true_fills()) == 1
    since_ms = desk.venue_clock.now_ms() - 1000
    assert list(await desk.trading.fills_since(BTC_USDT, since_ms, timeout_s=ENOUGH_S)) == []
    await asyncio.sleep(1.1)
    assert isinstance(await desk.trading.query(ref, timeout_s=ENOUGH_S), Found)
    assert len(await desk.trading.fills_since(BTC_USDT, since_ms, timeout_s=ENOUGH_S)) == 1
    assert desk.order_posts() == 1


async def test_maintenance_leaves_it_open(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    await desk.fault("maintenance", "*")
    assert isinstance(await desk.send(request), Unknown)
    assert desk.order_posts() == 1


async def test_a_market_that_takes_cancels_only(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    await desk.fault("cancel_only")
    got = await desk.send(request)
    assert isinstance(got, Rejected)
    assert got.reason is R.HALTED


async def test_too_many_requests(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    await desk.fault("rate_limit", retry_after_s=9)
    got = await desk.send(request)
    assert isinstance(got, Rejected)
    assert got.reason is R.RATE_LIMITED
    if desk.name != "kraken":  # it does not say for how long
        assert got.retry_after_s == 9.0
    if desk.name == "binance":
        await desk.clear_faults()
        await desk.fault("rate_limit", status=418, retry_after_s=120)
        banned = await desk.send(request)
        assert isinstance(banned, Rejected)
        assert (banned.reason, banned.retry_after_s) == (R.RATE_LIMITED, 120.0)


# The fence


async def test_a_request_that_arrives_after_its_window_is_refused(desk: Desk) -> None:
    """Whatever held it up on the way: what the request itself carries ends it."""
    request = await desk.freeze(placement(desk.name))
    now_ms = desk.venue_clock.now_ms()
    # Coinbase's tokens know whole seconds only.
    life_ms = 1000 + (-now_ms % 1000) if desk.name == "coinbase" else 200
    window = SendWindow(now_ms, now_ms + life_ms)
    short = BUILD[desk.name](request.placement, window)
    await desk.fault("latency", ms=life_ms + 300)
    got = await desk.send(short)
    assert isinstance(got, Rejected)
    assert got.reason is {"binance": R.TIMESTAMP, "coinbase": R.AUTH, "kraken": R.DEADLINE_ELAPSED}[desk.name]
    assert desk.true_fills() == []


async def test_nothing_leaves_after_the_intents_deadline(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    got = await desk.trading.place(request, not_after_ms=desk.clock.now_ms() - 1, timeout_s=ENOUGH_S)
    assert isinstance(got, Rejected)
    assert (got.reason, got.replay_explainable) == (R.HELD_BACK, False)
    assert desk.order_posts() == 0


@pytest.mark.parametrize("skew_ms", [90_000, -90_000])
async def test_a_venue_whose_clock_is_off(desk: Desk, skew_ms: int) -> None:
    await desk.fault("clock_skew", "*", ms=skew_ms)
    refused = await desk.place(placement(desk.name))
    if desk.name == "kraken" and skew_ms < 0:
        # Its deadline is then more than a minute ahead.
        assert isinstance(refused, Rejected)
        assert refused.reason is R.INVALID_REQUEST
    else:
        assert isinstance(refused, Rejected)
        assert refused.reason in {R.TIMESTAMP, R.AUTH, R.DEADLINE_ELAPSED}
    await desk.measure_clock()
    asked = placement(desk.name)
    assert isinstance(await desk.place(asked), Placed)
    assert (await desk.settled(desk.ref(asked))).filled_size == asked.size


@pytest.mark.parametrize("name", list(VENUES))
async def test_a_venue_that_cannot_be_reached(name: str) -> None:
    async with opened(name) as desk:
        request = await desk.freeze(placement(name))
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        parts = TradingParts(desk.client, desk.clock, desk.credentials, desk.nonces, lambda: uuid.uuid4().hex)
        away = trading(name, parts, desk.venue_clock, override=f"http://127.0.0.1:{port}")
        got = await away.place(request, not_after_ms=desk.clock.now_ms() + 5000, timeout_s=ENOUGH_S)
        assert isinstance(got, Rejected)
        assert (got.reason, got.replay_explainable) == (R.NOT_SENT, False)


async def test_coinbases_replay_of_the_same_body() -> None:
    """Lost before: created now. Lost after: the first is returned. Either way there is one order."""
    for when in ("before", "after"):
        async with opened("coinbase") as desk:
            asked = placement("coinbase")
            request = await desk.freeze(asked)
            await desk.fault("drop", when=when, count=1)
            assert isinstance(await desk.send(request), Unknown)
            again_ms = desk.venue_clock.now_ms()
            later = replace(request, window=SendWindow(again_ms, again_ms + 5000))
            assert later.body == request.body
            assert isinstance(await desk.send(later), Placed)
            assert len(desk.true_fills()) == 1
            assert (await desk.settled(desk.ref(asked))).filled_size == asked.size
