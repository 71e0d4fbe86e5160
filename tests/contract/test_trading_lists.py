"""What the venues list: orders and fills of a time, markets by their names, balances and fees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import pytest

from sor_core.adapters.venues.registry import VENUES
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import Found, OrderKind, OrderState, Placed, Refusal
from tests.contract.trading_desk import ENOUGH_S, TAKER_BPS, Desk, opened, placement


@pytest.fixture(params=list(VENUES))
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with opened(request.param) as made:
        yield made


async def test_history(desk: Desk) -> None:
    before_ms = desk.venue_clock.now_ms() - 1
    asked = [
        placement(desk.name, "0.1", "60000"),
        placement(desk.name, "0.1", "59000", kind=OrderKind.LIMIT_GTC),
        placement(desk.name, "0.1", "59995"),
    ]
    for each in asked:
        assert isinstance(await desk.place(each), Placed)
    orders = await desk.trading.orders_since(asked[0].symbol, before_ms, timeout_s=ENOUGH_S)
    assert {order.client_order_id for order in orders} == {each.client_order_id for each in asked}
    fills = await desk.trading.fills_since(asked[0].symbol, before_ms, timeout_s=ENOUGH_S)
    assert [fill.size for fill in fills] == [Decimal("0.1")]
    later_ms = desk.venue_clock.now_ms() + 5000
    assert list(await desk.trading.fills_since(asked[0].symbol, later_ms, timeout_s=ENOUGH_S)) == []
    assert list(await desk.trading.orders_since(asked[0].symbol, later_ms, timeout_s=ENOUGH_S)) == []
    eth = Symbol.parse("ETH/USDT")
    assert list(await desk.trading.orders_since(eth, before_ms, timeout_s=ENOUGH_S)) == []
    assert list(await desk.trading.fills_since(eth, before_ms, timeout_s=ENOUGH_S)) == []
    assert list(await desk.trading.open_orders(eth, timeout_s=ENOUGH_S)) == []


async def test_any_order_is_found_by_the_venues_id(desk: Desk) -> None:
    told = await desk.place(placement(desk.name, "0.1", "59000", kind=OrderKind.LIMIT_GTC))
    assert isinstance(told, Placed)
    found = await desk.trading.order(told.order.symbol, told.order.venue_order_id, timeout_s=ENOUGH_S)
    assert found is not None
    assert found.venue_order_id == told.order.venue_order_id
    assert found.state is OrderState.OPEN
    nobodys = {"binance": "999999999", "kraken": "OAAAAA-AAAAA-AAAAAA"}.get(desk.name, str(UUID(int=7)))
    assert await desk.trading.order(told.order.symbol, nobodys, timeout_s=ENOUGH_S) is None


async def test_long_histories_are_read_to_their_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """More orders than are on two pages; the one looked for is the oldest."""
    monkeypatch.setattr("sor_core.adapters.venues.binance.facts.PAGE", 50)
    for page in ("LIST_PAGE", "FILLS_PAGE"):
        monkeypatch.setattr(f"sor_core.adapters.venues.coinbase.facts.{page}", 50)
    before_ms = desk.venue_clock.now_ms() - 1
    oldest = placement(desk.name, "0.001", "60000")
    request = await desk.freeze(oldest)
    assert isinstance(await desk.send(request), Placed)
    instrument = await desk.instrument()
    for _ in range(110):
        other = desk.trading.prepare(
            placement(desk.name, "0.001", "60000"), instrument, venue_now_ms=desk.venue_clock.now_ms()
        )
        assert not isinstance(other, Refusal)
        assert isinstance(await desk.send(other), Placed)
    orders = await desk.trading.orders_since(oldest.symbol, before_ms, timeout_s=ENOUGH_S)
    assert len(orders) == len({order.venue_order_id for order in orders}) == 111
    fills = await desk.trading.fills_since(oldest.symbol, before_ms, timeout_s=ENOUGH_S)
    assert len(fills) == len({fill.fill_id for fill in fills}) == 111
    assert isinstance(await desk.trading.query(desk.ref(oldest), timeout_s=ENOUGH_S), Found)


async def test_an_order_of_many_fills(desk: Desk) -> None:
    """More than Kraken tells of in one answer."""
    levels = [[f"{60000 + number}", "0.01"] for number in range(45)]
    await desk.set_book(Symbol.parse("BTC/USDT"), [["59990", "1"]], levels)
    asked = placement(desk.name, "0.45", "61000")
    assert isinstance(await desk.place(asked), Placed)
    order = await desk.settled(desk.ref(asked))
    fills = await desk.trading.fills(asked.symbol, order.venue_order_id, timeout_s=ENOUGH_S)
    assert len({fill.fill_id for fill in fills}) == 45
    assert sum(fill.size for fill in fills) == order.filled_size == Decimal("0.45")


@pytest.mark.parametrize(
    ("name", "text"),
    [("kraken", "ETH/BTC"), ("kraken", "BTC/USD"), ("coinbase", "BTC/USDC"), ("binance", "ETH/BTC")],
)
async def test_names_of_markets(name: str, text: str) -> None:
    symbol = Symbol.parse(text)
    async with opened(name) as desk:
        book_of = Symbol.parse("BTC/USD") if text == "BTC/USDC" else symbol
        price = "0.05" if symbol.quote == "BTC" else "60000"
        bid = "0.0499" if symbol.quote == "BTC" else "59990"
        await desk.set_book(book_of, [[bid, "10"]], [[price, "10"]])
        asked = placement(name, "1", price, symbol=symbol)
        assert isinstance(await desk.place(asked), Placed)
        order = await desk.settled(desk.ref(asked))
        assert (order.symbol, order.filled_size) == (symbol, Decimal(1))
        [fill] = await desk.trading.fills(symbol, order.venue_order_id, timeout_s=ENOUGH_S)
        assert fill.fee_asset == (symbol.base if name == "binance" else symbol.quote)
        since_ms = desk.venue_clock.now_ms() - 60_000
        listed = await desk.trading.orders_since(symbol, since_ms, timeout_s=ENOUGH_S)
        assert [each.venue_order_id for each in listed] == [order.venue_order_id]
        fees = await desk.trading.account_fees(symbol, timeout_s=ENOUGH_S)
        assert fees.symbol == symbol


async def test_balances_by_common_names(desk: Desk) -> None:
    balances = await desk.trading.balances(timeout_s=ENOUGH_S)
    assert (balances["BTC"].free, balances["USDT"].free) == (Decimal(100), Decimal(5_000_000))
    assert balances["ETH"].held == 0
    assert not {"XBT", "XXBT", "XETH", "ZUSD"} & set(balances)


async def test_account_fees(desk: Desk) -> None:
    symbol = Symbol.parse("BTC/USDT")
    fees = await desk.trading.account_fees(symbol, timeout_s=ENOUGH_S)
    maker_bps = {"binance": 10, "coinbase": 60, "kraken": 25}[desk.name]
    for side in Side:
        assert fees.of(side).taker_fee_bps == TAKER_BPS[desk.name]
        assert fees.of(side).maker_fee_bps == maker_bps
    assert fees.sell.asset == "USDT"
    assert fees.buy.asset == ("BTC" if desk.name == "binance" else "USDT")
