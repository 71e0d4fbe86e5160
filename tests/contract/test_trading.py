"""One suite for each adapter of `ports_trading.VenueTrading`, over real HTTP against the simulated venues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from sor_core.adapters.venues.registry import VENUES
from sor_core.domain.credentials import KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Cancelled,
    Found,
    NotFoundNow,
    NotOpen,
    OrderKind,
    OrderRef,
    OrderState,
    Placed,
    Refusal,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
)
from tests.contract.trading_desk import ENOUGH_S, TAKER_BPS, Desk, opened, placement


@pytest.fixture(params=list(VENUES))
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with opened(request.param) as made:
        yield made


async def test_an_order_that_fills_at_once(desk: Desk) -> None:
    asked = placement(desk.name, "0.5", "60000")
    placed = await desk.place(asked)
    assert isinstance(placed, Placed)
    order = await desk.settled(desk.ref(asked))
    assert (order.state, order.filled_size, order.quote_filled) == (
        OrderState.FILLED,
        Decimal("0.5"),
        Decimal(30000),
    )
    assert (order.average_price, order.size, order.limit_price) == (
        Decimal(60000),
        Decimal("0.5"),
        Decimal(60000),
    )
    assert (order.client_order_id, order.side, order.symbol) == (
        asked.client_order_id,
        Side.BUY,
        asked.symbol,
    )
    assert order.venue_order_id == placed.order.venue_order_id
    by_id = replace(desk.ref(asked), venue_order_id=order.venue_order_id)
    assert await desk.trading.query(by_id, timeout_s=ENOUGH_S) == Found(order)

    [fill] = await desk.trading.fills(asked.symbol, order.venue_order_id, timeout_s=ENOUGH_S)
    assert (fill.price, fill.size) == (Decimal(60000), Decimal("0.5"))
    assert fill.venue_order_id == order.venue_order_id
    assert fill.is_maker is False
    # Binance takes its fee from what is received.
    in_base = desk.name == "binance"
    rate = Decimal(TAKER_BPS[desk.name]) / 10_000
    assert (fill.fee_asset, fill.fee) == (
        ("BTC", Decimal("0.5") * rate) if in_base else ("USDT", Decimal(30000) * rate)
    )
    if in_base:
        assert placed.order.fees == {"BTC": fill.fee}
        assert placed.order.fills_complete
    else:
        assert order.fees == {"USDT": fill.fee}
    [truth] = desk.true_fills()
    assert Decimal(truth["fee"]) == fill.fee
    assert desk.order_posts() == 1


async def test_an_order_that_fills_in_part(desk: Desk) -> None:
    asked = placement(desk.name, "2", "60010")
    assert isinstance(await desk.place(asked), Placed)
    order = await desk.settled(desk.ref(asked))
    assert order.state in {OrderState.EXPIRED, OrderState.CANCELLED}
    assert (order.filled_size, order.quote_filled) == (Decimal("1.5"), Decimal(90010))
    fills = await desk.trading.fills(asked.symbol, order.venue_order_id, timeout_s=ENOUGH_S)
    assert sum(fill.size for fill in fills) == order.filled_size
    assert sum(fill.size * fill.price for fill in fills) == order.quote_filled


async def test_an_order_that_does_not_fill(desk: Desk) -> None:
    asked = placement(desk.name, "0.5", "59995")
    assert isinstance(await desk.place(asked), Placed)
    order = await desk.settled(desk.ref(asked))
    assert order.state in {OrderState.EXPIRED, OrderState.CANCELLED}
    assert (order.filled_size, order.average_price) == (Decimal(0), None)
    assert list(await desk.trading.fills(asked.symbol, order.venue_order_id, timeout_s=ENOUGH_S)) == []


@pytest.mark.parametrize(("side", "price", "got"), [(Side.BUY, "60020", 60000), (Side.SELL, "59970", 59990)])
async def test_both_sides(desk: Desk, side: Side, price: str, got: int) -> None:
    asked = placement(desk.name, "0.5", price, side=side)
    assert isinstance(await desk.place(asked), Placed)
    order = await desk.settled(desk.ref(asked))
    assert (order.side, order.filled_size, order.average_price) == (side, Decimal("0.5"), Decimal(got))
    balances = await desk.trading.balances(timeout_s=ENOUGH_S)
    fills = await desk.trading.fills(asked.symbol, order.venue_order_id, timeout_s=ENOUGH_S)
    assert {f.fee_asset for f in fills} == {"BTC" if desk.name == "binance" and side is Side.BUY else "USDT"}
    fees = {asset: sum(f.fee for f in fills if f.fee_asset == asset) for asset in ("BTC", "USDT")}
    assert balances["BTC"].free == 100 + side.sign * Decimal("0.5") - fees["BTC"]
    assert balances["USDT"].free == 5_000_000 - side.sign * order.quote_filled - fees["USDT"]


@pytest.mark.parametrize(("size", "filled", "state"), [("1.5", "1.5", OrderState.FILLED), ("1.6", "0", None)])
async def test_fill_or_kill(desk: Desk, size: str, filled: str, state: OrderState | None) -> None:
    asked = placement(desk.name, size, "60010", kind=OrderKind.LIMIT_FOK)
    assert isinstance(await desk.place(asked), Placed)
    order = await desk.settled(desk.ref(asked))
    assert order.filled_size == Decimal(filled)
    assert order.state is state or state is None


@pytest.mark.parametrize("kind", [OrderKind.LIMIT_GTC, OrderKind.POST_ONLY])
async def test_an_order_that_waits_and_is_cancelled(desk: Desk, kind: OrderKind) -> None:
    asked = placement(desk.name, "0.5", "59000", kind=kind)
    assert isinstance(await desk.place(asked), Placed)
    ref = desk.ref(asked)
    queried = await desk.trading.query(ref, timeout_s=ENOUGH_S)
    assert isinstance(queried, Found)
    assert queried.order.state is OrderState.OPEN
    assert list(await desk.trading.open_orders(asked.symbol, timeout_s=ENOUGH_S)) == [queried.order]
    held = (await desk.trading.balances(timeout_s=ENOUGH_S))["USDT"].held
    assert Decimal(29500) <= held < Decimal(30000)

    assert isinstance(await desk.trading.cancel(ref, timeout_s=ENOUGH_S), Cancelled)
    assert (await desk.settled(ref)).state is OrderState.CANCELLED
    assert list(await desk.trading.open_orders(asked.symbol, timeout_s=ENOUGH_S)) == []
    assert (await desk.trading.balances(timeout_s=ENOUGH_S))["USDT"].held == 0
    by_id = replace(ref, venue_order_id=queried.order.venue_order_id)
    for again in (ref, by_id):
        assert isinstance(await desk.trading.cancel(again, timeout_s=ENOUGH_S), NotOpen)


async def test_cancelling_by_the_venues_id(desk: Desk) -> None:
    asked = placement(desk.name, "0.5", "59000", kind=OrderKind.LIMIT_GTC)
    placed = await desk.place(asked)
    assert isinstance(placed, Placed)
    ref = replace(desk.ref(asked), venue_order_id=placed.order.venue_order_id)
    assert isinstance(await desk.trading.cancel(ref, timeout_s=ENOUGH_S), Cancelled)


async def test_a_gtc_order_fills_in_part_and_waits(desk: Desk) -> None:
    asked = placement(desk.name, "2", "60000", kind=OrderKind.LIMIT_GTC)
    assert isinstance(await desk.place(asked), Placed)
    queried = await desk.trading.query(desk.ref(asked), timeout_s=ENOUGH_S)
    assert isinstance(queried, Found)
    assert (queried.order.state, queried.order.filled_size) == (
        OrderState.PARTIALLY_FILLED,
        Decimal("0.5"),
    )


async def test_post_only_is_refused_where_it_would_trade(desk: Desk) -> None:
    got = await desk.place(placement(desk.name, "0.5", "60000", kind=OrderKind.POST_ONLY))
    assert isinstance(got, Rejected)
    assert got.reason is RejectReason.POST_ONLY_WOULD_CROSS
    assert got.replay_explainable, "the market moves between two copies"
    assert desk.true_fills() == []


async def test_market_orders(desk: Desk) -> None:
    by_size = placement(desk.name, "1.5", None, kind=OrderKind.MARKET, side=Side.SELL)
    assert isinstance(await desk.place(by_size), Placed)
    order = await desk.settled(desk.ref(by_size))
    assert (order.state, order.filled_size, order.quote_filled) == (
        OrderState.FILLED,
        Decimal("1.5"),
        Decimal(59990) / 2 + 59980,
    )
    assert order.limit_price is None
    by_quote = placement(desk.name, None, None, kind=OrderKind.MARKET, quote_size="600")
    if desk.name == "kraken":
        now_ms = desk.venue_clock.now_ms()
        refused = desk.trading.prepare(by_quote, await desk.instrument(), venue_now_ms=now_ms)
        assert isinstance(refused, Refusal)
        return
    assert isinstance(await desk.place(by_quote), Placed)
    order = await desk.settled(desk.ref(by_quote))
    # Coinbase takes its fee out of the budget.
    assert Decimal(590) < order.quote_filled <= 600
    assert order.size is None or order.size == order.filled_size


async def test_selling_for_a_budget(desk: Desk) -> None:
    asked = placement(desk.name, None, None, kind=OrderKind.MARKET, quote_size="600", side=Side.SELL)
    instrument = await desk.instrument()
    prepared = desk.trading.prepare(asked, instrument, venue_now_ms=desk.venue_clock.now_ms())
    if desk.name == "binance":
        assert isinstance(await desk.place(asked), Placed)
    else:
        assert isinstance(prepared, Refusal)
        assert prepared.reason is RejectReason.INVALID_REQUEST


async def test_a_client_order_id_that_an_open_order_has(desk: Desk) -> None:
    first = placement(desk.name, "0.5", "59000", kind=OrderKind.LIMIT_GTC)
    placed = await desk.place(first)
    assert isinstance(placed, Placed)
    got = await desk.place(first)
    if desk.trading.place_is_idempotent:
        assert isinstance(got, Placed)
        assert got.order.venue_order_id == placed.order.venue_order_id
    else:
        assert isinstance(got, Rejected)
        assert got.reason is RejectReason.DUPLICATE_ID
        assert got.replay_explainable
    assert len(await desk.trading.open_orders(first.symbol, timeout_s=ENOUGH_S)) == 1


async def test_a_client_order_id_that_an_ended_order_had(desk: Desk) -> None:
    """Why an order is never sent again: only Coinbase knows that it was."""
    request = await desk.freeze(placement(desk.name, "0.1", "60000"))
    first, second = await desk.send(request), await desk.send(request)
    assert isinstance(first, Placed)
    assert isinstance(second, Placed)
    is_first = first.order.venue_order_id == second.order.venue_order_id
    assert is_first is desk.trading.place_is_idempotent
    assert len(desk.true_fills()) == (1 if desk.trading.place_is_idempotent else 2)


async def test_a_balance_that_does_not_suffice(desk: Desk) -> None:
    await desk.set_balance("USDT", "100")
    got = await desk.place(placement(desk.name, "0.5", "60000"))
    assert isinstance(got, Rejected)
    assert got.reason is RejectReason.INSUFFICIENT_BALANCE
    assert got.replay_explainable


async def test_what_is_under_a_minimum_is_not_sent(desk: Desk) -> None:
    instrument = await desk.instrument()
    at_ms = desk.venue_clock.now_ms()
    small = placement(desk.name, str(instrument.min_size / 2), "60000")
    cheap = placement(desk.name, str(instrument.min_size), "0.1")
    for asked, reasons in (
        (small, {RejectReason.FILTER_SIZE}),
        (cheap, {RejectReason.FILTER_NOTIONAL}),
    ):
        refused = desk.trading.prepare(asked, instrument, venue_now_ms=at_ms)
        assert isinstance(refused, Refusal)
        assert refused.reason in reasons
    assert desk.order_posts() == 0


async def test_the_venues_own_word_where_our_rules_are_old(desk: Desk) -> None:
    instrument = await desk.instrument()
    lax = replace(
        instrument,
        tick=Decimal("0.00001"),
        lot=Decimal("0.0000000001"),
        min_size=Decimal("0.0000000001"),
        min_notional=Decimal(0),
    )
    for size, price, reasons in (
        (
            "0.0000001",
            "60000",
            {RejectReason.FILTER_SIZE, RejectReason.FILTER_NOTIONAL, RejectReason.INVALID_REQUEST},
        ),
        ("0.5", "60000.00001", {RejectReason.FILTER_PRICE}),
    ):
        request = desk.trading.prepare(
            placement(desk.name, size, price), lax, venue_now_ms=desk.venue_clock.now_ms()
        )
        assert not isinstance(request, Refusal)
        got = await desk.send(request)
        assert isinstance(got, Rejected)
        assert got.reason in reasons
        assert not got.replay_explainable


async def test_sizes_and_prices_are_rounded_on_the_safe_side(desk: Desk) -> None:
    instrument = await desk.instrument()
    size = str(Decimal("0.1") + instrument.lot / 3)
    for side, price in ((Side.BUY, "60000.0000001"), (Side.SELL, "59989.9999999")):
        asked = placement(desk.name, size, price, side=side)
        assert isinstance(await desk.place(asked), Placed)
        order = await desk.settled(desk.ref(asked))
        assert order.filled_size == Decimal("0.1")
        assert order.limit_price == Decimal(60000 if side is Side.BUY else 59990)


async def test_an_order_that_nobody_placed(desk: Desk) -> None:
    ref = desk.ref(placement(desk.name))
    assert await desk.trading.query(ref, timeout_s=ENOUGH_S) == NotFoundNow()
    assert isinstance(await desk.trading.cancel(ref, timeout_s=ENOUGH_S), NotOpen)
    ids = {
        "binance": "17",
        "coinbase": "6f1d7b4e-5d0c-4f4e-9a53-000000000000",
        "kraken": "OAAAAA-AAAAA-AAAAAA",
    }
    by_id = replace(ref, venue_order_id=ids[desk.name])
    assert await desk.trading.query(by_id, timeout_s=ENOUGH_S) == NotFoundNow()


async def test_an_order_of_another_client_order_id_under_the_id_asked_for(desk: Desk) -> None:
    asked = placement(desk.name, "0.1", "60000")
    placed = await desk.place(asked)
    assert isinstance(placed, Placed)
    wrong = OrderRef(asked.symbol, "f" * 32, 0, placed.order.venue_order_id)
    got = await desk.trading.query(wrong, timeout_s=ENOUGH_S)
    assert isinstance(got, Unknown)
    assert got.why is UnknownWhy.CONTRADICTORY


async def test_an_unknown_symbol(desk: Desk) -> None:
    nope = Symbol.parse("NOPE/USDT")
    asked = placement(desk.name, symbol=nope)
    instrument = replace(await desk.instrument(), symbol=nope, venue_symbol="x")
    request = desk.trading.prepare(asked, instrument, venue_now_ms=desk.venue_clock.now_ms())
    assert not isinstance(request, Refusal)
    got = await desk.send(request)
    assert isinstance(got, Rejected)
    assert got.reason is RejectReason.UNKNOWN_SYMBOL
    if desk.name != "coinbase":  # one tier for all its products
        with pytest.raises(VenueError):
            await desk.trading.account_fees(nope, timeout_s=ENOUGH_S)


async def test_reading_uses_the_key_that_cannot_trade(desk: Desk) -> None:
    """And trading the other: with the reading key as the trading one every order is refused."""
    desk.credentials.keys[desk.name, KeyUse.TRADE] = desk.credentials.keys[desk.name, KeyUse.READ]
    got = await desk.place(placement(desk.name))
    assert isinstance(got, Rejected)
    # Binance tells a missing permission and a wrong key by one code.
    assert got.reason in {RejectReason.PERMISSION, RejectReason.AUTH}
    assert await desk.trading.balances(timeout_s=ENOUGH_S)
    assert desk.true_fills() == []


async def test_one_key_for_everything(desk: Desk) -> None:
    del desk.credentials.keys[desk.name, KeyUse.READ]
    asked = placement(desk.name)
    assert isinstance(await desk.place(asked), Placed)
    assert (await desk.settled(desk.ref(asked))).state is OrderState.FILLED
