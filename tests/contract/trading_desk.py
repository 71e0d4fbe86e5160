"""What the contract tests of trading share: simulated venues, their keys, and an adapter for each."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from local.venues import RunningVenues, Venue, VenuesConfig, start
from sor_core.adapters.pool import make_order_client
from sor_core.adapters.venues.budget import VenueBudget
from sor_core.adapters.venues.registry import market_data
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.clock import SystemClock
from sor_core.domain.credentials import KeyUse
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Found,
    FrozenRequest,
    OrderKind,
    OrderRef,
    Placement,
    PlaceOutcome,
    VenueOrder,
)
from sor_core.ports_trading import VenueTrading
from tests.fakes.memory_trading import MemoryNonces, StaticCredentials

ENOUGH_S = 5.0
TAKER_BPS = {"binance": 10, "coinbase": 120, "kraken": 40}
BTC_USDT = Symbol.parse("BTC/USDT")
BIDS = [["59990", "0.5"], ["59980", "1"], ["59970", "5"]]
ASKS = [["60000", "0.5"], ["60010", "1"], ["60020", "5"]]


@dataclass(slots=True)
class Desk:
    """One venue's adapter, its simulated venue, and the hand that steers that."""

    name: str
    venues: RunningVenues
    control: httpx.AsyncClient
    client: httpx.AsyncClient
    credentials: StaticCredentials
    nonces: MemoryNonces
    clock: SystemClock
    venue_clock: VenueClock
    trading: VenueTrading

    def another(self, budget: VenueBudget | None = None) -> VenueTrading:
        """Make a second adapter, as another process with the same keys and nonces has it."""
        parts = TradingParts(self.client, self.clock, self.credentials, self.nonces, lambda: uuid.uuid4().hex)
        return trading(self.name, parts, self.venue_clock, gateway_url=self.venues.url, budget=budget)

    async def instrument(self, symbol: Symbol = BTC_USDT) -> Instrument:
        adapter = market_data(self.name, self.client, self.clock, gateway_url=self.venues.url)
        return await adapter.instrument(symbol, timeout_s=ENOUGH_S)

    async def measure_clock(self) -> None:
        adapter = market_data(self.name, self.client, self.clock, gateway_url=self.venues.url)
        self.venue_clock.set_by(await adapter.server_time(timeout_s=ENOUGH_S))

    async def freeze(self, placement: Placement) -> FrozenRequest:
        instrument = await self.instrument(placement.symbol)
        request = self.trading.prepare(placement, instrument, venue_now_ms=self.venue_clock.now_ms())
        assert isinstance(request, FrozenRequest), request
        return request

    async def send(self, request: FrozenRequest, *, timeout_s: float = ENOUGH_S) -> PlaceOutcome:
        late_ms = self.clock.now_ms() + 60_000
        return await self.trading.place(request, not_after_ms=late_ms, timeout_s=timeout_s)

    async def place(self, placement: Placement, *, timeout_s: float = ENOUGH_S) -> PlaceOutcome:
        return await self.send(await self.freeze(placement), timeout_s=timeout_s)

    def ref(self, placement: Placement) -> OrderRef:
        return OrderRef(placement.symbol, placement.client_order_id, self.venue_clock.now_ms() - 1000)

    async def settled(self, ref: OrderRef) -> VenueOrder:
        """Ask until the order is final: a venue may still be matching when it answers."""
        for _ in range(100):
            queried = await self.trading.query(ref, timeout_s=ENOUGH_S)
            if isinstance(queried, Found) and queried.order.state.is_final:
                return queried.order
            await asyncio.sleep(0.02)
        raise AssertionError("not final after two seconds")

    async def fault(self, fault: str, endpoint: str = "place_order", **params: Any) -> None:
        document = {"venue": self.name, "endpoint": endpoint, "fault": fault, **params}
        (await self.control.post("/sim/faults", json=document)).raise_for_status()

    async def clear_faults(self) -> None:
        (await self.control.delete("/sim/faults")).raise_for_status()

    async def set_balance(self, asset: str, free: str) -> None:
        document = {"venue": self.name, "asset": asset, "free": free}
        (await self.control.post("/sim/balances", json=document)).raise_for_status()

    async def set_book(self, symbol: Symbol, bids: list[list[str]], asks: list[list[str]]) -> None:
        document = {"venue": self.name, "symbol": str(symbol), "bids": bids, "asks": asks}
        (await self.control.post("/sim/books", json=document)).raise_for_status()

    def order_posts(self) -> int:
        """How many orders have arrived at the venue, whatever became of them."""
        return self.venues.simulation.requests[Venue(self.name)]["place_order"]

    def true_fills(self) -> list[dict[str, Any]]:
        return [fill for fill in self.venues.simulation.fills() if fill["venue"] == self.name]


def placement(
    name: str,
    size: str | None = "0.5",
    price: str | None = "60000",
    *,
    side: Side = Side.BUY,
    kind: OrderKind = OrderKind.LIMIT_IOC,
    symbol: Symbol = BTC_USDT,
    quote_size: str | None = None,
    client_order_id: str = "",
) -> Placement:
    return Placement(
        name,
        symbol,
        side,
        kind,
        client_order_id or uuid.uuid4().hex,
        None if size is None else Decimal(size),
        None if price is None else Decimal(price),
        None if quote_size is None else Decimal(quote_size),
    )


@asynccontextmanager
async def opened(name: str, *, rate_limits: bool = False) -> AsyncIterator[Desk]:
    """Start the venues with a book of three levels a side, and make an adapter."""
    venues = await start(VenuesConfig(port=0, rate_limits=rate_limits))
    clock = SystemClock()
    try:
        async with (
            make_order_client() as client,
            httpx.AsyncClient(base_url=venues.url, trust_env=False) as control,
        ):
            keys: dict[tuple[str, KeyUse], tuple[str, str]] = {}
            for use, key in ((KeyUse.TRADE, "trading"), (KeyUse.READ, "reading")):
                told = (await control.get("/sim/credentials", params={"key": key})).json()
                keys[name, use] = (told[name]["api_key"], told[name]["api_secret"])
            credentials, nonces = StaticCredentials(keys), MemoryNonces(clock)
            parts = TradingParts(client, clock, credentials, nonces, lambda: uuid.uuid4().hex)
            venue_clock = VenueClock(clock)
            adapter = trading(name, parts, venue_clock, gateway_url=venues.url)
            desk = Desk(name, venues, control, client, credentials, nonces, clock, venue_clock, adapter)
            await desk.set_book(BTC_USDT, BIDS, ASKS)
            yield desk
    finally:
        await venues.aclose()
