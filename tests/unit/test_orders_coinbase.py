"""Coinbase's orders, fills, balances and fees as documented, and the requests of orders."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.venues.coinbase import orders, trading
from sor_core.domain.account import Balance
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import OrderKind, OrderState, Placement, SendWindow
from tests.unit.venue_answers import CLIENT_ID, SAMPLES, needs_samples

BTC_USD = Symbol.parse("BTC/USD")


def sample(name: str) -> bytes:
    return (SAMPLES / "coinbase" / name).read_bytes()


@needs_samples
def test_the_documented_order() -> None:
    order = orders.parse_order(sample("order__nautilus.json"), BTC_USD)
    assert (order.venue_order_id, order.client_order_id) == ("0000-000000-000000", "11111-000000-000000")
    assert order.state is OrderState.PARTIALLY_FILLED, "OPEN, with fills"
    assert (order.filled_size, order.quote_filled) == (Decimal("0.001"), Decimal(10000))
    assert (order.average_price, order.size) == (Decimal(50), Decimal("0.001"))
    assert order.limit_price == 10000
    assert order.fees == {"USD": Decimal(5)}
    assert order.created_at_ms == 1_622_455_199_000


@needs_samples
def test_the_documented_balances_and_fees() -> None:
    balances, cursor = orders.parse_balances(sample("accounts__nautilus.json"))
    assert balances == {
        "BTC": Balance(Decimal("1.23456789"), Decimal("0.005")),
        "USD": Balance(Decimal("10000.5"), Decimal(450)),
    }
    assert cursor == ""
    assert orders.merged(balances, {"USD": Balance(Decimal(1), Decimal(2))})["USD"] == Balance(
        Decimal("10001.5"), Decimal(452)
    )
    fees = orders.parse_account_fees(sample("transaction_summary__ccxt.json"), BTC_USD)
    assert (fees.buy.taker_fee_bps, fees.buy.maker_fee_bps, fees.buy.asset) == (
        Decimal(80),
        Decimal(60),
        "USD",
    )
    assert fees.sell == fees.buy


def told_order(**changes: Any) -> bytes:
    fields = {
        "order_id": "v-1",
        "product_id": "BTC-USD",
        "side": "BUY",
        "client_order_id": CLIENT_ID,
        "status": "FILLED",
        "order_configuration": {"sor_limit_ioc": {"base_size": "0.001", "limit_price": "60000.10"}},
        "filled_size": "0.001",
        "filled_value": "60",
        "average_filled_price": "",
        "total_fees": "0.72",
        "created_time": "2026-04-07T00:28:59.662782Z",
        "last_fill_time": None,
    }
    return json.dumps({"order": {**fields, **changes}}).encode()


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("PENDING", "0", OrderState.PENDING),
        ("QUEUED", "0", OrderState.PENDING),
        ("OPEN", "", OrderState.OPEN),
        ("OPEN", "0.0005", OrderState.PARTIALLY_FILLED),
        ("CANCEL_QUEUED", "0", OrderState.OPEN),
        ("FILLED", "0.001", OrderState.FILLED),
        ("CANCELLED", "0.0005", OrderState.CANCELLED),
        ("EXPIRED", "0", OrderState.EXPIRED),
        ("FAILED", "0", OrderState.REJECTED),
    ],
)
def test_states(status: str, filled: str, state: OrderState) -> None:
    assert orders.parse_order(told_order(status=status, filled_size=filled), BTC_USD).state is state


def test_an_average_that_is_not_told_is_reckoned() -> None:
    assert orders.parse_order(told_order(), BTC_USD).average_price == 60000


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "UNKNOWN_ORDER_STATUS"},
        {"status": "A_NEW_ONE"},
        {"side": "UNKNOWN_ORDER_SIDE"},
        {"product_id": "ETH-USD"},
        {"filled_size": "-1"},
        {"filled_size": 1},
        {"created_time": "yesterday"},
        {"order_id": None},
        {"order_configuration": {"sor_limit_ioc": {"base_size": "x"}}},
        {"order_configuration": []},
    ],
)
def test_orders_that_cannot_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        orders.parse_order(told_order(**changes), BTC_USD)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_fills_of_an_order_by_quote_asset() -> None:
    fill = {
        "trade_id": "t",
        "order_id": "v-1",
        "product_id": "BTC-USD",
        "price": "50000",
        "size": "100",
        "commission": "1.2",
        "trade_time": "2026-04-07T00:28:59.662782Z",
        "size_in_quote": True,
        "liquidity_indicator": "UNKNOWN_LIQUIDITY_INDICATOR",
    }
    fills, cursor = orders.parse_fills(json.dumps({"fills": [fill], "cursor": "next"}).encode(), BTC_USD)
    assert [(each.size, each.fee, each.fee_asset, each.is_maker) for each in fills] == [
        (Decimal("0.002"), Decimal("1.2"), "USD", None)
    ]
    assert cursor == "next"
    assert orders.parse_fills(b'{"fills":[],"cursor":"next"}', BTC_USD) == ([], "")


# Requests

WINDOW = SendWindow(1_700_000_000_000, 1_700_000_010_000)


def body_of(kind: OrderKind, **changes: Any) -> dict[str, Any]:
    terms: dict[str, Any] = {"size": Decimal("0.00001000"), "limit_price": Decimal("60000.10")}
    if kind is OrderKind.MARKET:
        terms["limit_price"] = None
    placement = Placement("coinbase", BTC_USD, Side.SELL, kind, CLIENT_ID, **{**terms, **changes})
    request = trading.build_place(placement, WINDOW)
    assert (request.method, request.path) == ("POST", "/api/v3/brokerage/orders")
    assert request == trading.build_place(placement, WINDOW), "byte for byte the same"
    document: dict[str, Any] = json.loads(request.body)
    return document


LIMIT = {"base_size": "0.00001", "limit_price": "60000.1"}


@pytest.mark.parametrize(
    ("kind", "configuration"),
    [
        (OrderKind.LIMIT_IOC, {"sor_limit_ioc": LIMIT}),
        (OrderKind.LIMIT_FOK, {"limit_limit_fok": LIMIT}),
        (OrderKind.LIMIT_GTC, {"limit_limit_gtc": {**LIMIT, "post_only": False}}),
        (OrderKind.POST_ONLY, {"limit_limit_gtc": {**LIMIT, "post_only": True}}),
        (OrderKind.MARKET, {"market_market_ioc": {"base_size": "0.00001"}}),
    ],
)
def test_requests(kind: OrderKind, configuration: dict[str, Any]) -> None:
    document = body_of(kind)
    assert document.pop("self_trade_prevention_id")
    assert document == {
        "client_order_id": CLIENT_ID,
        "product_id": "BTC-USD",
        "side": "SELL",
        "order_configuration": configuration,
    }


def test_a_market_order_by_quote_asset() -> None:
    document = body_of(OrderKind.MARKET, size=None, quote_size=Decimal("1E+3"))
    assert document["order_configuration"] == {"market_market_ioc": {"quote_size": "1000"}}


@needs_samples
def test_requests_have_the_form_of_the_official_clients() -> None:
    cases = json.loads(sample("order_requests__official_sdk_tests.json"))["cases"]
    bodies = {case["test"]: case["body"] for case in cases if "order_configuration" in case["body"]}
    for test, kind in (
        ("test_limit_order_ioc_sell", OrderKind.LIMIT_IOC),
        ("test_limit_order_fok_sell", OrderKind.LIMIT_FOK),
        ("test_limit_order_gtc_sell", OrderKind.POST_ONLY),
        ("test_market_order_sell", OrderKind.MARKET),
    ):
        [(name, terms)] = bodies[test]["order_configuration"].items()
        [(our_name, our_terms)] = body_of(kind)["order_configuration"].items()
        assert (our_name, set(our_terms)) == (name, set(terms)), test
        assert set(bodies[test]) <= set(body_of(kind))


@pytest.mark.parametrize(
    "changes",
    [{"filled_size": None}, {"filled_size": "0", "filled_value": "0", "number_of_fills": "1"}],
)
def test_that_nothing_is_filled_must_be_told(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        orders.parse_order(told_order(status="CANCELLED", **changes), BTC_USD)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize("cursor", ["", None])
def test_a_list_that_goes_on_without_a_cursor_is_not_a_whole_one(cursor: str | None) -> None:
    page = json.dumps({"orders": [], "has_next": True, "cursor": cursor}).encode()
    with pytest.raises(VenueError) as caught:
        orders.parse_orders(page, BTC_USD)
    assert caught.value.failure is VenueFailure.MALFORMED
