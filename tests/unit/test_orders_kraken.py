"""Kraken's orders, fills, balances and fees as documented, and the requests of orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.kraken import orders, symbols, trading
from sor_core.domain.account import Balance
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import OrderKind, OrderState, Placement, SendWindow
from tests.unit.venue_answers import CLIENT_ID, SAMPLES, needs_samples, reply

BTC_USD = Symbol.parse("BTC/USD")


def ok(result: Any) -> Answer:
    return reply(200, {"error": [], "result": result})


def sample(name: str) -> Answer:
    return reply(200, (SAMPLES / "kraken" / name).read_bytes())


@needs_samples
def test_documented_open_orders() -> None:
    listed = orders.parse_open_orders(sample("OpenOrders__official_doc.json"), BTC_USD)
    assert len(listed) == 5
    first = listed[0]
    assert first.venue_order_id == "OQCLML-BW3P3-BUCMWZ"
    assert (first.state, first.filled_size, first.quote_filled) == (
        OrderState.PARTIALLY_FILLED,
        Decimal("0.375"),
        Decimal("11253.7"),
    )
    assert (first.average_price, first.limit_price) == (Decimal(30010), Decimal(30010))
    assert (first.client_order_id, first.fees) == (None, {"USD": Decimal(0)})
    assert first.created_at_ms == 1_616_666_559_897
    assert {order.state for order in listed[1:]} == {OrderState.OPEN}
    assert orders.parse_open_orders(sample("OpenOrders__official_doc.json"), Symbol.parse("ETH/USD")) == []


@needs_samples
def test_documented_closed_and_queried_orders() -> None:
    gbp = Symbol.parse("BTC/GBP")
    closed, rows = orders.parse_closed_orders(sample("ClosedOrders__official_doc.json"), gbp)
    assert rows == 2
    assert [(order.state, order.detail) for order in closed] == [(OrderState.CANCELLED, "User requested")] * 2
    body = sample("QueryOrders__official_doc.json")
    queried = orders.parse_queried_order(body, BTC_USD, "OBCMZD-JIEE7-77TH3F")
    assert queried is not None
    order, trades = queried
    assert (order.state, order.filled_size, order.fees) == (
        OrderState.FILLED,
        Decimal("1.25"),
        {"USD": Decimal("37.5")},
    )
    assert trades == ["TZX2WP-XSEOP-FP7WYR"]
    in_base = orders.parse_queried_order(body, BTC_USD, "OMMDB2-FSB6Z-7W3HPO")
    assert in_base is not None
    assert (in_base[0].fees, orders.fee_asset(in_base[0])) == (None, "BTC"), "oflags fcib"
    assert (in_base[0].side, in_base[0].limit_price) == (Side.SELL, None)
    assert orders.parse_queried_order(body, BTC_USD, "another") is None


@needs_samples
def test_documented_trades_balances_and_fees() -> None:
    fills, rows = orders.parse_trades(sample("TradesHistory__official_doc.json"), BTC_USD)
    assert rows >= len(fills) > 5
    first = fills[0]
    assert (first.fill_id, first.venue_order_id) == ("THVRQM-33VKH-UCI7BS", "OQCLML-BW3P3-BUCMWZ")
    assert (first.price, first.size, first.fee_asset) == (Decimal(30010), Decimal("0.02"), "USD")
    assert (first.at_ms, first.is_maker) == (1_616_667_796_880, None)
    fees = orders.parse_account_fees(sample("TradeVolume__official_doc.json"), BTC_USD)
    assert (fees.buy.taker_fee_bps, fees.buy.maker_fee_bps, fees.buy.asset) == (
        Decimal(10),
        Decimal(0),
        "USD",
    )
    with pytest.raises(VenueError):
        orders.parse_account_fees(sample("TradeVolume__official_doc.json"), Symbol.parse("ETH/USD"))


def test_balances_that_do_not_trade_are_left_out() -> None:
    answer = ok(
        {
            "XXBT": {"balance": "1.5", "hold_trade": "0.5"},
            "ZUSD": {"balance": "10", "hold_trade": "11"},
            "ETH2.S": {"balance": "9"},
            "USD.M": {"balance": "9"},
            "SOL": {"balance": "3"},
        }
    )
    assert orders.parse_balances(answer) == {
        "BTC": Balance(Decimal(1), Decimal("0.5")),
        "USD": Balance(Decimal(0), Decimal(11)),
        "SOL": Balance(Decimal(3), Decimal(0)),
    }


def told_order(**changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "status": "closed",
        "opentm": 1_700_000_000.123,
        "closetm": 1_700_000_000.456,
        "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "27500.0"},
        "vol": "1.25000000",
        "vol_exec": "1.25000000",
        "cost": "34000.00000",
        "fee": "136.00000",
        "price": "27200.0",
        "oflags": "fciq",
        "cl_ord_id": "01234567-89ab-cdef-0123-456789ABCDEF",
        "reason": None,
    }
    return ok({"O-1": {**fields, **changes}})


def read(**changes: Any) -> Any:
    queried = orders.parse_queried_order(told_order(**changes), BTC_USD, "O-1")
    assert queried is not None
    return queried[0]


def test_a_client_order_id_is_read_with_or_without_dashes() -> None:
    assert read().client_order_id == CLIENT_ID
    assert read(cl_ord_id=CLIENT_ID).client_order_id == CLIENT_ID
    assert read(cl_ord_id=None).client_order_id is None


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("pending", "0", OrderState.PENDING),
        ("open", "0", OrderState.OPEN),
        ("open", "0.5", OrderState.PARTIALLY_FILLED),
        ("closed", "1.25", OrderState.FILLED),
        ("closed", "1.2", OrderState.CANCELLED),
        ("canceled", "0.5", OrderState.CANCELLED),
        ("expired", "0", OrderState.EXPIRED),
    ],
)
def test_states(status: str, filled: str, state: OrderState) -> None:
    assert read(status=status, vol_exec=filled).state is state


def test_an_order_by_quote_asset_has_no_size() -> None:
    order = read(vol="1000", oflags="fciq,viqc")
    assert (order.size, order.state) == (None, OrderState.FILLED)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "a_new_one"},
        {"descr": {"pair": "XBTUSD", "type": "hold"}},
        {"descr": {"pair": "ETHUSD", "type": "buy"}},
        {"vol_exec": "-1"},
        {"vol_exec": 1.25},
        {"opentm": "yesterday"},
        {"opentm": -1},
    ],
)
def test_orders_that_cannot_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        read(**changes)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_trades_of_another_order() -> None:
    trade = {"ordertxid": "O-2", "pair": "XXBTZUSD", "time": 1.0, "price": "1", "vol": "1", "fee": "0"}
    with pytest.raises(VenueError):
        orders.parse_queried_trades(ok({"T-1": trade}), read(), "USD")


@pytest.mark.parametrize(
    ("pair", "text", "same"),
    [
        ("XBTUSD", "BTC/USD", True),
        ("XXBTZUSD", "BTC/USD", True),
        ("XBT/USD", "BTC/USD", True),
        ("BTCUSD", "BTC/USD", True),
        ("XBTUSDT", "BTC/USDT", True),
        ("USDTZUSD", "USDT/USD", True),
        ("XETHXXBT", "ETH/BTC", True),
        ("XXDGXXBT", "DOGE/BTC", True),
        ("XBTUSDT", "BTC/USD", False),
        ("XBTUSD", "BTC/USDT", False),
        ("ETHUSD", "BTC/USD", False),
        ("", "BTC/USD", False),
    ],
)
def test_names_of_pairs(pair: str, text: str, *, same: bool) -> None:
    assert symbols.names(pair, Symbol.parse(text)) is same


# Requests

WINDOW = SendWindow(1_700_000_000_123, 1_700_000_005_123)


def body_of(kind: OrderKind, side: Side = Side.SELL, **changes: Any) -> dict[str, str]:
    terms: dict[str, Any] = {"size": Decimal("0.00001000"), "limit_price": Decimal("60000.10")}
    if kind is OrderKind.MARKET:
        terms["limit_price"] = None
    placement = Placement("kraken", BTC_USD, side, kind, CLIENT_ID, **{**terms, **changes})
    request = trading.build_place(placement, WINDOW)
    assert (request.method, request.path) == ("POST", "/0/private/AddOrder")
    assert b"nonce" not in request.body
    assert not set(request.body.decode()) & set(":, /")
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


COMMON = {
    "type": "sell",
    "pair": "XBTUSD",
    "volume": "0.00001",
    "oflags": "fciq",
    "stptype": "cancel-newest",
    "cl_ord_id": CLIENT_ID,
    "deadline": "2023-11-14T22:13:25.123Z",
}


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        (OrderKind.LIMIT_IOC, {"timeinforce": "IOC"}),
        (OrderKind.LIMIT_FOK, {"timeinforce": "FOK"}),
        (OrderKind.LIMIT_GTC, {"timeinforce": "GTC"}),
        (OrderKind.POST_ONLY, {"timeinforce": "GTC", "oflags": "fciq,post"}),
    ],
)
def test_requests(kind: OrderKind, terms: dict[str, str]) -> None:
    assert body_of(kind) == {**COMMON, "ordertype": "limit", "price": "60000.1", **terms}


def test_market_orders() -> None:
    assert body_of(OrderKind.MARKET) == {**COMMON, "ordertype": "market"}


def listed_order(**changes: Any) -> dict[str, Any]:
    fields = {
        "status": "closed",
        "cl_ord_id": CLIENT_ID,
        "opentm": 1.0,
        "closetm": 2.0,
        "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "60000"},
        "vol": "1",
        "vol_exec": "1",
        "cost": "60000",
        "fee": "0",
        "price": "60000",
        "oflags": "fciq",
    }
    return {**fields, **changes}


def closed(row: dict[str, Any]) -> Answer:
    return ok({"closed": {"O-1": row}, "count": 1})


@pytest.mark.parametrize(
    "row",
    [
        listed_order(cl_ord_id=None),
        listed_order(descr={**listed_order()["descr"], "pair": "BITCOINUSD"}),
    ],
)
def test_a_row_that_may_be_the_order_sought_is_not_passed_over(row: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        orders.parse_closed_orders(closed(row), BTC_USD, CLIENT_ID)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_rows_of_other_orders_are_passed_over() -> None:
    other = listed_order(cl_ord_id="f" * 32, descr={**listed_order()["descr"], "pair": "BITCOINUSD"})
    assert orders.parse_closed_orders(closed(other), BTC_USD, CLIENT_ID) == ([], 1)
    [found], _ = orders.parse_closed_orders(closed(listed_order()), BTC_USD, CLIENT_ID)
    assert found.client_order_id == CLIENT_ID
