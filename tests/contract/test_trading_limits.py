"""The venues' limits: orders find room where market data has to wait."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sor_core.adapters.venues.registry import VENUES, budget, market_data
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.clock import SystemClock
from sor_core.domain.credentials import KeyUse
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.trading import FrozenRequest, Placed, Unknown
from tests.contract.trading_desk import BTC_USDT, ENOUGH_S, opened, placement


async def test_market_data_yields_to_orders() -> None:
    """Over Binance's own headers: others at this address have used up nearly all of its weight."""
    async with opened("binance", rate_limits=True) as desk:
        shared = budget("binance", desk.clock)
        public = market_data("binance", desk.client, desk.clock, gateway_url=desk.venues.url, budget=shared)
        desk.trading = desk.another(shared)
        request = await desk.freeze(placement("binance"))
        await public.book(BTC_USDT, depth=100, timeout_s=ENOUGH_S)
        for _ in range(21):  # 250 each, past the budget
            await desk.control.get("/binance/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 5000})
        held_back = False
        for _ in range(3):
            try:
                await public.book(BTC_USDT, depth=100, timeout_s=ENOUGH_S)
            except VenueError as error:
                held_back = error.failure is VenueFailure.RATE_LIMITED
        assert held_back
        assert isinstance(await desk.send(request), Placed)


@pytest.mark.parametrize("name", list(VENUES))
async def test_adapters_keep_within_the_venues_limits(name: str) -> None:
    """Far more questions at once than are allowed: our own budget stops them, the venue never has to."""
    async with opened(name, rate_limits=True) as desk:
        shared = budget(name, desk.clock)
        desk.trading = desk.another(shared)
        request = await desk.freeze(placement(name))
        asked = await asyncio.gather(
            *(desk.trading.balances(timeout_s=ENOUGH_S) for _ in range(60)), return_exceptions=True
        )
        refusals = [each for each in asked if isinstance(each, BaseException)]
        assert {str(each).partition(": ")[2] for each in refusals} <= {
            "rate_limited: held back by our own budget of requests"
        }
        if name != "binance":  # 60 of them cost 1,200 of 6,000
            assert refusals
        assert isinstance(await desk.send(request), Placed)


async def test_a_client_may_be_shared_by_all_venues() -> None:
    """One pool: what hangs at one venue holds up no order at another."""
    async with opened("kraken") as desk:
        await desk.control.post(
            "/sim/faults", json={"venue": "binance", "endpoint": "place_order", "fault": "hang"}
        )
        keys = (await desk.control.get("/sim/credentials")).json()
        told = keys["binance"]
        desk.credentials.keys["binance", KeyUse.TRADE] = (told["api_key"], told["api_secret"])
        clock = SystemClock()
        parts = TradingParts(desk.client, clock, desk.credentials, desk.nonces, lambda: uuid.uuid4().hex)
        binance = trading("binance", parts, VenueClock(clock), gateway_url=desk.venues.url)
        rules = await market_data("binance", desk.client, clock, gateway_url=desk.venues.url).instrument(
            BTC_USDT, timeout_s=ENOUGH_S
        )
        stuck = binance.prepare(placement("binance"), rules, venue_now_ms=clock.now_ms())
        request = await desk.freeze(placement("kraken"))
        assert isinstance(stuck, FrozenRequest)
        first, second = await asyncio.gather(
            binance.place(stuck, not_after_ms=clock.now_ms() + 5000, timeout_s=1.0),
            desk.send(request),
        )
        assert isinstance(first, Unknown)
        assert isinstance(second, Placed)
