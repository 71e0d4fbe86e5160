"""An independent client library trades on the simulated venues, told nothing but their address.

The library is ccxt; its own base addresses are replaced by ours and nothing else is changed.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from local.venues import VenuesConfig
from local.venues.clock import WallClock
from local.venues.server import RunningVenues, start

ccxt = pytest.importorskip("ccxt", reason="the independent client library is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
async def venues() -> AsyncIterator[RunningVenues]:
    running = await start(VenuesConfig(port=0, rate_limits=False, clock=WallClock()))
    yield running
    await running.aclose()


def pointed_at(address: str, urls: Any) -> Any:
    if isinstance(urls, dict):
        return {name: pointed_at(address, value) for name, value in urls.items()}
    return re.sub(r"^https://[a-z0-9.-]*(binance|coinbase|kraken)\.com", address, urls)


def outsider(venues: RunningVenues, name: str) -> Any:
    key = venues.simulation.exchanges[name].keyring.by_name["trading"]  # type: ignore[index]
    client = getattr(ccxt, name)(
        {"apiKey": key.api_key, "secret": key.api_secret, "enableRateLimit": False, "timeout": 10_000}
    )
    client.urls["api"] = pointed_at(f"{venues.url}/{name}", client.urls["api"])
    # Its own nonces are milliseconds: two calls can fall into one, where Kraken wants each to be higher.
    nonces = itertools.count(client.milliseconds())
    client.nonce = lambda: next(nonces)
    return client


@pytest.mark.parametrize(
    ("name", "symbol"), [("binance", "BTC/USDT"), ("coinbase", "BTC/USD"), ("kraken", "BTC/USDT")]
)
async def test_an_outsider_trades(venues: RunningVenues, name: str, symbol: str) -> None:
    await asyncio.to_thread(trade, outsider(venues, name), symbol)

    fills = venues.simulation.fills()
    assert {fill["venue"] for fill in fills} == {name}
    assert {fill["symbol"] for fill in fills} == {symbol}


def trade(client: Any, symbol: str) -> None:
    base, quote = symbol.split("/")
    markets = client.load_markets()
    assert symbol in markets
    assert markets[symbol]["precision"]["price"] > 0

    book = client.fetch_order_book(symbol, 10)
    best_bid, best_ask = book["bids"][0][0], book["asks"][0][0]
    assert best_bid < best_ask
    assert abs(client.fetch_ticker(symbol)["bid"] / best_bid - 1) < 0.01

    # Coinbase's older accounts, which the client asks by itself, tell nothing of holds.
    newer = {"v3": True} if client.id == "coinbase" else {}
    before = client.fetch_balance(newer)
    assert before[base]["free"] > 1
    assert before[quote]["free"] > 100_000

    resting = client.create_order(symbol, "limit", "buy", 0.01, round(best_bid * 0.9, 1))
    found = client.fetch_order(resting["id"], symbol)
    assert (found["status"], found["amount"], found["filled"]) == ("open", 0.01, 0)
    assert [each["id"] for each in client.fetch_open_orders(symbol)] == [resting["id"]]
    assert client.fetch_balance(newer)[quote]["used"] > 0
    client.cancel_order(resting["id"], symbol)
    assert client.fetch_order(resting["id"], symbol)["status"] == "canceled"
    assert client.fetch_open_orders(symbol) == []

    sold = client.fetch_order(client.create_order(symbol, "market", "sell", 0.01)["id"], symbol)
    assert (sold["status"], sold["filled"]) == ("closed", 0.01)
    assert abs(sold["average"] / best_bid - 1) < 0.01

    limit = client.create_order(
        symbol, "limit", "buy", 0.02, round(best_ask * 1.01, 1), {"timeInForce": "IOC"}
    )
    bought = client.fetch_order(limit["id"], symbol)
    assert (bought["status"], bought["filled"]) == ("closed", 0.02)

    trades = client.fetch_my_trades(symbol)
    assert sum(each["amount"] for each in trades) == pytest.approx(0.03)
    assert all(each["fee"]["cost"] > 0 for each in trades)
    after = client.fetch_balance()
    # Where fees come out of the base asset, they are some 1e-4 at most.
    assert after[base]["total"] - before[base]["total"] == pytest.approx(0.01, abs=2e-4)


async def test_an_outsider_recognises_refusals(venues: RunningVenues) -> None:
    def try_it() -> None:
        for name, symbol in (("binance", "BTC/USDT"), ("coinbase", "BTC/USD"), ("kraken", "BTC/USDT")):
            client = outsider(venues, name)
            price = round(client.fetch_order_book(symbol, 5)["bids"][0][0], 1)
            with pytest.raises(ccxt.InsufficientFunds):
                client.create_order(symbol, "limit", "buy", 100, price)
            with pytest.raises(ccxt.BadSymbol):
                client.fetch_order_book("NO/SUCH")
            client.apiKey = "a" * 64
            with pytest.raises((ccxt.AuthenticationError, ccxt.ExchangeError)):
                client.fetch_balance()

    await asyncio.to_thread(try_it)
