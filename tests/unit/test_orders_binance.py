"""Binance's orders, fills, balances and fees as documented, and the requests of orders."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from sor_core.adapters.venues.binance import orders, trading
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import OrderKind, OrderState, Placement, SendWindow
from tests.unit.venue_answers import CLIENT_ID, SAMPLES, needs_samples

BTC_USDT = Symbol.parse("BTC/USDT")


def sample(name: str) -> bytes:
    return (SAMPLES / "binance" / name).read_bytes()


@needs_samples
def test_documented_orders() -> None:
    placed = orders.parse_new_order(sample("order_new__doc_response_full_2.json"), BTC_USDT, Side.BUY)
    assert (placed.side, placed.state, placed.filled_size) == (Side.SELL, OrderState.FILLED, Decimal(10))
    assert placed.fees == {"USDT": Decimal("39.983")}
    assert placed.fills_complete
    assert placed.limit_price is None
    result = orders.parse_new_order(sample("order_new__doc_response_result_1.json"), BTC_USDT, Side.BUY)
    assert (result.fills, result.fees, result.state) == (None, None, OrderState.FILLED)
    ack = orders.parse_new_order(sample("order_new__doc_response_ack_0.json"), BTC_USDT, Side.SELL)
    assert (ack.state, ack.side, ack.venue_order_id) == (OrderState.PENDING, Side.SELL, "28")

    ltc_btc = Symbol.parse("LTC/BTC")
    queried = orders.parse_order(sample("order_query__doc_response_0.json"), ltc_btc)
    assert (queried.client_order_id, queried.state, queried.size) == ("myOrder1", OrderState.OPEN, Decimal(1))
    assert queried.limit_price == Decimal("0.1")
    cancelled = orders.parse_order(sample("order_cancel__doc_response_0.json"), ltc_btc)
    assert (cancelled.client_order_id, cancelled.state) == ("myOrder1", OrderState.CANCELLED)
    for name in ("openOrders__doc_response_0.json", "allOrders__doc_response_0.json"):
        [listed] = orders.parse_orders(sample(name), ltc_btc)
        assert listed == queried


@needs_samples
def test_documented_fills_balances_and_fees() -> None:
    [trade] = orders.parse_fills(sample("myTrades__doc_response_0.json"), Symbol.parse("BNB/BTC"))
    assert (trade.fill_id, trade.venue_order_id, trade.size) == ("28457", "100234", Decimal(12))
    assert (trade.fee, trade.fee_asset, trade.is_maker) == (Decimal("10.1"), "BNB", False)
    balances = orders.parse_balances(sample("account__doc_response_0.json"))
    assert balances["LTC"].free == Decimal("4763368.68006011")

    fees = orders.parse_account_fees(sample("account_commission__doc_response_0.json"), BTC_USDT)
    # Three kinds of (taker + buyer); a quarter off the first, paid in BNB.
    assert fees.buy.taker_fee_bps == 10_000 * (
        Decimal("0.0000005") * Decimal("0.75") + Decimal("0.05") + Decimal("0.00000232")
    )
    assert fees.sell.maker_fee_bps == 10_000 * (
        Decimal("0.0000005") * Decimal("0.75") + Decimal("0.05") + Decimal("0.00000228")
    )
    assert (fees.buy.asset, fees.sell.asset) == ("BNB", "BNB")
    assert fees.rates(Side.BUY).source == "account"


def commission(**discount: Any) -> bytes:
    def rates(maker: str, taker: str, buyer: str, seller: str) -> dict[str, str]:
        return {"maker": maker, "taker": taker, "buyer": buyer, "seller": seller}

    told = {"enabledForAccount": False, "enabledForSymbol": True, "discountAsset": "BNB", "discount": "0.75"}
    return json.dumps(
        {
            "symbol": "BTCUSDT",
            "standardCommission": rates("0.0000001", "0.0000002", "0.0000003", "0.0000004"),
            "specialCommission": rates("0", "0", "0", "0"),
            "taxCommission": rates("0", "0", "0", "0"),
            "discount": {**told, **discount},
        }
    ).encode()


def test_the_documented_commission_of_a_sale() -> None:
    """Commission FAQ: 0.49975 sold at 35,000 with taker and seller commission of 6e-7 together."""
    fees = orders.parse_account_fees(commission(), BTC_USDT)
    sold = Decimal("0.49975") * 35000
    assert sold * fees.sell.taker_fee_bps / 10_000 == Decimal("0.01049475")
    assert (fees.buy.asset, fees.sell.asset) == ("BTC", "USDT"), "taken from what is received"
    assert fees.buy.maker_fee_bps == Decimal("0.004")


@pytest.mark.parametrize("told", ["0.75", "0.25"])
def test_a_discount_told_either_way_is_a_quarter(told: str) -> None:
    fees = orders.parse_account_fees(commission(enabledForAccount=True, discount=told), BTC_USDT)
    assert fees.sell.taker_fee_bps == Decimal("0.006") * Decimal("0.75")
    assert fees.sell.asset == "BNB"


def test_fees_of_another_symbol_or_beyond_reason() -> None:
    for body, symbol in (
        (commission(), Symbol.parse("ETH/USDT")),
        (commission(enabledForAccount=True, discount="1.5"), BTC_USDT),
    ):
        with pytest.raises(VenueError) as caught:
            orders.parse_account_fees(body, symbol)
        assert caught.value.failure is VenueFailure.MALFORMED


# Requests

WINDOW = SendWindow(1_700_000_000_000, 1_700_000_002_000)


def body_of(placement: Placement) -> str:
    request = trading.build_place(placement, WINDOW)
    assert (request.method, request.path) == ("POST", "/api/v3/order")
    assert request.content_type == "application/x-www-form-urlencoded"
    assert (request.placement, request.window) == (placement, WINDOW)
    return request.body.decode()


TAIL = (
    f"&newClientOrderId={CLIENT_ID}&newOrderRespType=FULL&selfTradePreventionMode=EXPIRE_TAKER"
    "&recvWindow=2000&timestamp=1700000000000"
)


def placement(kind: OrderKind, **changes: Any) -> Placement:
    terms: dict[str, Any] = {"size": Decimal("0.00001000"), "limit_price": Decimal("60000.10")}
    if kind is OrderKind.MARKET:
        terms["limit_price"] = None
    return Placement("binance", BTC_USDT, Side.SELL, kind, CLIENT_ID, **{**terms, **changes})


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        (OrderKind.LIMIT_IOC, "type=LIMIT&timeInForce=IOC&quantity=0.00001&price=60000.1"),
        (OrderKind.LIMIT_FOK, "type=LIMIT&timeInForce=FOK&quantity=0.00001&price=60000.1"),
        (OrderKind.LIMIT_GTC, "type=LIMIT&timeInForce=GTC&quantity=0.00001&price=60000.1"),
        (OrderKind.POST_ONLY, "type=LIMIT_MAKER&quantity=0.00001&price=60000.1"),
        (OrderKind.MARKET, "type=MARKET&quantity=0.00001"),
    ],
)
def test_requests(kind: OrderKind, terms: str) -> None:
    assert body_of(placement(kind)) == f"symbol=BTCUSDT&side=SELL&{terms}{TAIL}"


def test_a_market_order_by_quote_asset() -> None:
    by_quote = placement(OrderKind.MARKET, size=None, quote_size=Decimal("1E+3"))
    assert body_of(by_quote) == f"symbol=BTCUSDT&side=SELL&type=MARKET&quoteOrderQty=1000{TAIL}"
