"""Trading on the simulated Binance while it fails: what was placed, and what a client could know of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from local.venues import VenuesConfig
from tests.contract.simulated_venues import Stage, on_stage
from tests.contract.test_simulated_venues_trading_binance import BOOK, IOC, ask, refused


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        await stage.place_book("binance", "SOL/USDT", BOOK)
        yield stage


async def test_an_order_lost_before_is_not_placed_and_one_lost_after_is(stage: Stage) -> None:
    order: dict[str, Any] = {**IOC, "quantity": "0.1", "price": "151"}
    for when, fills in (("before", 0), ("after", 1)):
        for fault in ({"fault": "drop"}, {"fault": "error_5xx"}, {"fault": "html"}):
            await stage.fault(venue="binance", endpoint="place_order", when=when, count=1, **fault)
            already = len(await stage.sim("GET", "fills"))
            try:
                answer = await stage.binance("POST", "order", **order)
                assert answer.status_code >= 500
            except httpx.RemoteProtocolError:
                assert fault == {"fault": "drop"}
            assert len(await stage.sim("GET", "fills")) - already == fills, (when, fault)


async def test_an_order_slow_on_its_way_is_placed_after_its_sender_has_given_up(stage: Stage) -> None:
    signed = (await stage.binance("POST", "order/test", **IOC, quantity="0.1", price="151")).request
    await stage.fault(venue="binance", endpoint="place_order", fault="latency", ms=300)
    with pytest.raises(httpx.ReadTimeout):
        await stage.client.post(
            str(signed.url).replace("order/test", "order"), headers=signed.headers, timeout=0.1
        )
    assert await stage.sim("GET", "fills") == []

    await asyncio.sleep(0.5)

    assert len(await stage.sim("GET", "fills")) == 1


async def test_an_accepted_order_can_stay_hidden_for_a_while(stage: Stage) -> None:
    await stage.fault(venue="binance", endpoint="place_order", fault="delayed_visibility", ms=3000)
    order = await ask(stage, "POST", "order", **IOC, quantity="1", price="151", newClientOrderId="hidden")
    assert order["status"] == "FILLED"
    question: dict[str, Any] = {"symbol": "SOLUSDT", "origClientOrderId": "hidden"}

    stage.clock.advance_ms(2999)
    assert (await ask(stage, "GET", "order", 400, **question))["code"] == -2013
    assert await ask(stage, "GET", "allOrders", symbol="SOLUSDT") == []
    assert await ask(stage, "GET", "myTrades", symbol="SOLUSDT") == []
    assert len(await stage.sim("GET", "fills")) == 1, "the simulation itself tells the truth"

    stage.clock.advance_ms(1)
    assert (await ask(stage, "GET", "order", **question))["status"] == "FILLED"


async def test_partial_fill_halting_and_ban(stage: Stage) -> None:
    order: dict[str, Any] = {**IOC, "quantity": "1", "price": "151"}
    await stage.fault(venue="binance", fault="partial_fill", share=0.25)
    partly = await ask(stage, "POST", "order", **order)
    assert (partly["status"], partly["executedQty"]) == ("EXPIRED", "0.25000000")

    await stage.fault(venue="binance", fault="cancel_only")
    await refused(stage, -1013, "Market is closed.", **order)
    await stage.fault(venue="binance", fault="maintenance")
    assert (await stage.binance("POST", "order", **order)).status_code == 503
    await stage.sim("DELETE", "faults")

    await stage.fault(venue="binance", endpoint="place_order", fault="rate_limit", status=418)
    assert (await stage.binance("POST", "order", **order)).status_code == 418
    assert (await stage.binance("GET", "account")).status_code == 200


async def test_orders_are_counted_in_headers_and_limited() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        await stage.place_book("binance", "SOL/USDT", BOOK)
        answers = [
            await stage.binance("POST", "order", **IOC, quantity="0.1", price="140") for _ in range(101)
        ]
        assert answers[0].headers["X-MBX-ORDER-COUNT-10S"] == "1"
        assert answers[1].headers["X-MBX-ORDER-COUNT-1D"] == "2"
        assert [each.status_code for each in answers] == [200] * 100 + [429]
        assert answers[-1].json()["code"] == -1015
