"""Trading on the simulated Binance, over HTTP and signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.simulated_venues import Stage, on_stage
from tests.contract.test_simulated_venues import misfits, sample

LIMIT: dict[str, Any] = {"symbol": "SOLUSDT", "side": "BUY", "type": "LIMIT"}
IOC = {**LIMIT, "timeInForce": "IOC"}
GTC = {**LIMIT, "timeInForce": "GTC"}
# Near the generated price, which the percent-price filter goes by.
BOOK = {
    "bids": [["149.00", "1"], ["148.00", "2"]],
    "asks": [["151.00", "1"], ["152.00", "2"], ["153.00", "4"]],
}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        await stage.place_book("binance", "SOL/USDT", BOOK)
        yield stage


async def ask(stage: Stage, method: str, path: str, status: int = 200, **params: Any) -> Any:
    answer = await stage.binance(method, path, **params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def refused(stage: Stage, code: int, text: str | None = None, **params: Any) -> None:
    answer = await stage.binance("POST", "order", **params)
    assert answer.status_code == 400
    assert answer.json()["code"] == code, answer.text
    assert text is None or answer.json()["msg"] == text


# Signatures


@pytest.mark.parametrize("key", ["trading", "second", "ed25519"])
async def test_a_signed_request_passes(stage: Stage, key: str) -> None:
    assert (await ask(stage, "GET", "account", key=key))["canTrade"]


async def test_a_signature_over_other_bytes_does_not(stage: Stage) -> None:
    good = await stage.binance("GET", "account")
    pair = await stage.key("binance")
    changed = str(good.request.url).replace("timestamp", "omitZeroBalances=true&timestamp")
    answer = await stage.client.get(changed, headers={"X-MBX-APIKEY": pair["api_key"]})
    assert (answer.status_code, answer.json()["code"]) == (400, -1022)


async def test_a_body_is_signed_like_a_query(stage: Stage) -> None:
    query = (await stage.binance("POST", "order", **IOC, quantity="0.5", price="151")).request.url.query
    pair = await stage.key("binance")
    answer = await stage.client.post(
        "/binance/api/v3/order", content=query, headers={"X-MBX-APIKEY": pair["api_key"]}
    )
    assert answer.json()["executedQty"] == "0.50000000"


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, -2014), ({"X-MBX-APIKEY": "short"}, -2014), ({"X-MBX-APIKEY": "a" * 64}, -2015)],
)
async def test_a_key_must_be_there_and_known(stage: Stage, headers: dict[str, str], code: int) -> None:
    answer = await stage.client.get("/binance/api/v3/account?timestamp=1&signature=0", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_a_reading_key_may_not_trade(stage: Stage) -> None:
    assert (await stage.binance("GET", "account", key="reading")).status_code == 200
    answer = await stage.binance("POST", "order", key="reading", **IOC, quantity="1", price="151")
    assert (answer.status_code, answer.json()["code"]) == (401, -2015)


async def test_keys_that_were_rotated_are_good_no_more(stage: Stage) -> None:
    old = await stage.key("binance")
    fresh = (await stage.sim("POST", "credentials", {"venue": "binance"}))["binance"]
    assert fresh != old
    assert (await stage.binance("GET", "account")).json()["code"] == -2015
    stage.keys["trading"]["binance"] = fresh
    assert (await stage.binance("GET", "account")).status_code == 200


@pytest.mark.parametrize(
    ("off_ms", "window", "text"),
    [
        (999, {}, None),
        (1000, {}, "Timestamp for this request was 1000ms ahead of the server's time."),
        (-5000, {}, None),
        (-5001, {}, "Timestamp for this request is outside of the recvWindow."),
        (-150, {"recvWindow": 100}, "Timestamp for this request is outside of the recvWindow."),
        (-59_000, {"recvWindow": 60_000}, None),
    ],
)
async def test_the_time_window_is_the_documented_one(
    stage: Stage, off_ms: int, window: dict[str, Any], text: str | None
) -> None:
    answer = await stage.binance("GET", "account", timestamp=stage.clock.now_ms() + off_ms, **window)
    if text is None:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        assert answer.json() == {"code": -1021, "msg": text}


async def test_a_skewed_venue_refuses_the_right_time(stage: Stage) -> None:
    await stage.fault(venue="binance", fault="clock_skew", ms=-2000)
    assert (await stage.binance("GET", "account")).json()["code"] == -1021


# Orders


async def test_a_limit_ioc_takes_levels_up_to_its_limit_and_expires(stage: Stage) -> None:
    order = await ask(stage, "POST", "order", **IOC, quantity="5", price="152", newClientOrderId="leg-1")

    assert order["status"] == "EXPIRED"
    assert order["executedQty"] == "3.00000000"
    assert order["cummulativeQuoteQty"] == "455.00000000"
    assert order["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert [
        (fill["price"], fill["qty"], fill["commission"], fill["commissionAsset"]) for fill in order["fills"]
    ] == [
        ("151.00000000", "1.00000000", "0.00100000", "SOL"),
        ("152.00000000", "2.00000000", "0.00200000", "SOL"),
    ]
    assert await stage.balance("binance", "USDT") == ("4999545", "0")
    assert await stage.balance("binance", "SOL") == ("20002.997", "0")
    queried = await ask(stage, "GET", "order", symbol="SOLUSDT", origClientOrderId="leg-1")
    assert (queried["orderId"], queried["status"]) == (order["orderId"], "EXPIRED")
    # What was taken stays taken until the next snapshot.
    depth = (await stage.client.get("/binance/api/v3/depth?symbol=SOLUSDT")).json()
    assert depth["asks"] == [["153.00000000", "4.00000000"]]
    assert (await ask(stage, "POST", "order", **IOC, quantity="1", price="152"))[
        "executedQty"
    ] == "0.00000000"
    await stage.place_book("binance", "SOL/USDT", BOOK)
    assert (await ask(stage, "POST", "order", **IOC, quantity="1", price="152"))[
        "executedQty"
    ] == "1.00000000"


async def test_a_sale_pays_its_fee_in_quote(stage: Stage) -> None:
    order = await ask(stage, "POST", "order", **{**IOC, "side": "SELL"}, quantity="1", price="149")
    assert (order["fills"][0]["commission"], order["fills"][0]["commissionAsset"]) == ("0.14900000", "USDT")
    assert await stage.balance("binance", "USDT") == ("5000148.851", "0")


async def test_fok_fills_wholly_or_not_at_all(stage: Stage) -> None:
    fok: dict[str, Any] = {**LIMIT, "timeInForce": "FOK", "price": "152"}
    killed = await ask(stage, "POST", "order", **fok, quantity="3.001")
    assert (killed["status"], killed["executedQty"], killed["fills"]) == ("EXPIRED", "0.00000000", [])
    assert killed["expiryReason"] == "UNFILLED_FOK_ORDER_EXPIRED"
    assert (await ask(stage, "POST", "order", **fok, quantity="3"))["status"] == "FILLED"


async def test_market_orders_by_quantity_and_by_budget(stage: Stage) -> None:
    market: dict[str, Any] = {"symbol": "SOLUSDT", "side": "BUY", "type": "MARKET"}
    by_quantity = await ask(stage, "POST", "order", **market, quantity="1.5")
    assert (by_quantity["status"], by_quantity["cummulativeQuoteQty"]) == ("FILLED", "227.00000000")
    by_budget = await ask(stage, "POST", "order", **market, quoteOrderQty="400")
    # 1.5 at 152 is 228; 172 more buy 1.124 at 153, rounded down to the lot.
    assert (by_budget["status"], by_budget["executedQty"]) == ("FILLED", "2.62400000")
    assert by_budget["origQuoteOrderQty"] == "400.00000000"
    beyond = await ask(stage, "POST", "order", **market, quantity="50")
    assert (beyond["status"], beyond["expiryReason"]) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")


async def test_a_resting_order_holds_money_shows_in_the_book_and_fills_as_maker(stage: Stage) -> None:
    order = await ask(stage, "POST", "order", **GTC, quantity="2", price="150")
    assert (order["status"], order["fills"]) == ("NEW", [])
    assert await stage.balance("binance", "USDT") == ("4999700", "300")
    depth = (await stage.client.get("/binance/api/v3/depth?symbol=SOLUSDT")).json()
    assert depth["bids"][0] == ["150.00000000", "2.00000000"]
    (shown,) = await ask(stage, "GET", "openOrders", symbol="SOLUSDT")
    assert shown["orderId"] == order["orderId"]

    await stage.place_book("binance", "SOL/USDT", {"bids": [["148", "1"]], "asks": [["149.5", "1.5"]]})
    stage.clock.advance_ms(250)
    partly = await ask(stage, "GET", "order", symbol="SOLUSDT", orderId=order["orderId"])
    assert (partly["status"], partly["executedQty"]) == ("PARTIALLY_FILLED", "1.50000000")
    (trade,) = await ask(stage, "GET", "myTrades", symbol="SOLUSDT")
    assert (trade["isMaker"], trade["price"]) == (True, "150.00000000")
    cancelled = await ask(stage, "DELETE", "order", symbol="SOLUSDT", orderId=order["orderId"])
    assert (cancelled["status"], cancelled["executedQty"]) == ("CANCELED", "1.50000000")
    assert await stage.balance("binance", "USDT") == ("4999775", "0")


async def test_post_only_never_takes(stage: Stage) -> None:
    maker: dict[str, Any] = {**LIMIT, "type": "LIMIT_MAKER", "quantity": "1"}
    await refused(stage, -2010, "Order would immediately match and take.", **maker, price="151")
    assert set(await ask(stage, "POST", "order", **maker, price="150.99")) == {
        "symbol", "orderId", "orderListId", "clientOrderId", "transactTime",
    }  # fmt: skip


async def test_a_client_id_is_unique_among_open_orders_only(stage: Stage) -> None:
    """The trap of Binance: an id that was filled buys a second time."""
    resting: dict[str, Any] = {**GTC, "quantity": "1", "price": "140", "newClientOrderId": "twice"}
    await ask(stage, "POST", "order", **resting)
    await refused(stage, -2010, "Duplicate order sent.", **resting)
    assert len(await stage.sim("GET", "fills")) == 0

    filled: dict[str, Any] = {**IOC, "quantity": "0.5", "price": "151", "newClientOrderId": "again"}
    first = await ask(stage, "POST", "order", **filled)
    second = await ask(stage, "POST", "order", **filled)
    assert first["orderId"] != second["orderId"]
    assert [fill["client_order_id"] for fill in await stage.sim("GET", "fills")] == ["again", "again"]
    newest = await ask(stage, "GET", "order", symbol="SOLUSDT", origClientOrderId="again")
    assert newest["orderId"] == second["orderId"]


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "FILLED"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
async def test_an_account_does_not_trade_with_itself(stage: Stage, mode: str, maker: str, taker: str) -> None:
    own = await ask(stage, "POST", "order", **{**GTC, "side": "SELL"}, quantity="1", price="150.5")
    order = await ask(stage, "POST", "order", **IOC, quantity="1", price="152", selfTradePreventionMode=mode)
    assert order["status"] == taker
    assert (await ask(stage, "GET", "order", symbol="SOLUSDT", orderId=own["orderId"]))["status"] == maker


@pytest.mark.parametrize(
    ("order", "code", "text"),
    [
        ({"price": "151.005"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "1000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.0005"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.1001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.033"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "0"}, -1013, "Invalid quantity."),
        ({"quantity": "1.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"quantity": "-1"}, -1100, None),
        ({"quantity": "1e3"}, -1100, None),
        ({"price": ""}, -1105, "Parameter 'price' was empty."),
        ({"side": "BOTH"}, -1117, "Invalid side."),
        ({"type": "STOP"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({"quoteOrderQty": "5"}, -1106, "Parameter 'quoteOrderQty' sent when not required."),
        ({"newClientOrderId": "no spaces"}, -1100, None),
        ({"symbol": "SOLUSD"}, -1121, "Invalid symbol."),
        (
            {"quantity": "50000", "price": "140"},
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        ({"leverage": "2"}, -1104, None),
    ],
)
async def test_a_bad_order_is_refused_in_binances_words_and_changes_nothing(
    stage: Stage, order: dict[str, Any], code: int, text: str | None
) -> None:
    before = await stage.sim("GET", "balances")
    await refused(stage, code, text, **{**IOC, "quantity": "1", "price": "151", **order})
    assert await stage.sim("GET", "balances") == before
    assert await ask(stage, "GET", "allOrders", symbol="SOLUSDT") == []


async def test_market_orders_have_a_smaller_largest_size(stage: Stage) -> None:
    market: dict[str, Any] = {"symbol": "SOLUSDT", "side": "BUY", "type": "MARKET", "quantity": "1001"}
    await refused(stage, -1013, "Filter failure: MARKET_LOT_SIZE", **market)


async def test_questions_about_nothing(stage: Stage) -> None:
    assert (await ask(stage, "GET", "order", 400, symbol="SOLUSDT", orderId=1))["code"] == -2013
    assert (await ask(stage, "DELETE", "order", 400, symbol="SOLUSDT", orderId=1))["code"] == -2011
    assert (await ask(stage, "GET", "order", 400, symbol="SOLUSDT"))["code"] == -1102
    assert (await ask(stage, "GET", "allOrders", 400, symbol="SOLUSDT", startTime=0, endTime=10**8))[
        "code"
    ] == -1127


async def test_a_test_order_is_checked_and_not_placed(stage: Stage) -> None:
    order: dict[str, Any] = {**IOC, "quantity": "1", "price": "151"}
    assert await ask(stage, "POST", "order/test", **order) == {}
    rates = await ask(stage, "POST", "order/test", **order, computeCommissionRates="true")
    assert rates["standardCommissionForOrder"]["taker"] == "0.00100000"
    assert (await ask(stage, "POST", "order/test", 400, **{**order, "price": "151.001"}))["code"] == -1013
    assert await stage.sim("GET", "fills") == []


async def test_answers_have_the_documented_fields(stage: Stage) -> None:
    full = await ask(stage, "POST", "order", **IOC, quantity="1", price="151")
    resting = await ask(stage, "POST", "order", **GTC, quantity="1", price="140", newOrderRespType="RESULT")
    documented = {
        "order_new__doc_response_full_2.json": full,
        "order_new__doc_response_result_1.json": resting,
        "order_query__doc_response_0.json": await ask(
            stage, "GET", "order", symbol="SOLUSDT", orderId=full["orderId"]
        ),
        "openOrders__doc_response_0.json": await ask(stage, "GET", "openOrders"),
        "allOrders__doc_response_0.json": await ask(stage, "GET", "allOrders", symbol="SOLUSDT"),
        "myTrades__doc_response_0.json": await ask(stage, "GET", "myTrades", symbol="SOLUSDT"),
        "account__doc_response_0.json": await ask(stage, "GET", "account"),
        "account_commission__doc_response_0.json": await ask(
            stage, "GET", "account/commission", symbol="SOLUSDT"
        ),
        "rateLimit_order__doc_response_0.json": await ask(stage, "GET", "rateLimit/order"),
        "order_cancel__doc_response_0.json": await ask(
            stage, "DELETE", "order", symbol="SOLUSDT", orderId=resting["orderId"]
        ),
    }
    for name, answer in documented.items():
        assert misfits(answer, sample(f"binance/{name}")) == [], name


async def test_history_is_filtered_by_id_time_and_limit(stage: Stage) -> None:
    ids = []
    for _ in range(3):
        ids.append((await ask(stage, "POST", "order", **IOC, quantity="0.1", price="151"))["orderId"])
        stage.clock.advance_ms(1000)
    now_ms = stage.clock.now_ms()

    async def orders(**params: Any) -> list[int]:
        found = await ask(stage, "GET", "allOrders", symbol="SOLUSDT", **params)
        return [each["orderId"] for each in found]

    assert await orders() == ids
    assert await orders(limit=2) == ids[1:]
    assert await orders(orderId=ids[1]) == ids[1:]
    assert await orders(startTime=now_ms - 2000) == ids[1:]
    assert await orders(endTime=now_ms - 2001) == ids[:1]
    trades = await ask(stage, "GET", "myTrades", symbol="SOLUSDT", orderId=ids[1])
    assert [each["orderId"] for each in trades] == [ids[1]]
