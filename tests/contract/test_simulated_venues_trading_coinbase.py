"""Trading on the simulated Coinbase, over HTTP with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from local.venues import VenuesConfig
from tests.contract.simulated_venues import Stage, coinbase_token, on_stage
from tests.contract.test_simulated_venues import misfits, sample

PRODUCT = "SOL-USD"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        await stage.place_book("coinbase", "SOL/USD")
        yield stage


def order(
    configuration: str, client_order_id: str = "one", side: str = "BUY", **terms: object
) -> dict[str, Any]:
    return {
        "client_order_id": client_order_id,
        "product_id": PRODUCT,
        "side": side,
        "order_configuration": {configuration: terms},
    }


async def place(stage: Stage, document: object, status: int = 200) -> Any:
    answer = await stage.coinbase("POST", "orders", document)
    assert answer.status_code == status, answer.text
    return answer.json()


async def placed(stage: Stage, document: object) -> Any:
    """Place an order that must be taken, and ask what became of it."""
    answer = await place(stage, document)
    assert answer["success"], answer
    return await ask(stage, f"orders/historical/{answer['success_response']['order_id']}", "order")


async def ask(stage: Stage, path: str, part: str | None = None, status: int = 200) -> Any:
    answer = await stage.coinbase("GET", path)
    assert answer.status_code == status, answer.text
    return answer.json() if part is None else answer.json()[part]


# Tokens


@pytest.mark.parametrize("key", ["trading", "second", "ed25519", "reading"])
async def test_a_good_token_passes(stage: Stage, key: str) -> None:
    assert (await stage.coinbase("GET", "accounts", key=key)).status_code == 200


NOW_S = 1_723_161_257


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"iss": "someone"}, 401),
        ({"sub": "another key"}, 401),
        ({"exp": NOW_S}, 401),
        ({"exp": NOW_S + 10}, 200),
        ({"exp": NOW_S + 121}, 401),
        ({"nbf": NOW_S + 30, "exp": NOW_S + 60}, 401),
        ({"nbf": "now"}, 401),
        ({"uri": "POST api.coinbase.com/api/v3/brokerage/accounts"}, 401),
        ({"uri": "GET api.coinbase.com/api/v3/brokerage/orders"}, 401),
        ({"uri": "GET api.coinbase.com/api/v3/brokerage/accounts?limit=1"}, 401),
        ({"uri": None, "uris": ["GET api.coinbase.com/api/v3/brokerage/accounts"]}, 200),
    ],
)
async def test_a_tokens_claims_are_checked(stage: Stage, claims: dict[str, Any], status: int) -> None:
    answer = await stage.coinbase("GET", "accounts?limit=1", **claims)
    assert answer.status_code == status
    if status == 401:
        assert answer.text == "Unauthorized\n"
        assert answer.headers["Content-Type"].startswith("text/plain")


async def test_a_token_signed_by_another_key_or_not_at_all_fails(stage: Stage) -> None:
    name = (await stage.key("coinbase"))["api_key"]
    other = (await stage.key("coinbase", "second"))["api_secret"]
    claims = {
        "sub": name,
        "iss": "cdp",
        "nbf": NOW_S,
        "exp": NOW_S + 60,
        "uri": "GET api.coinbase.com/api/v3/brokerage/accounts",
    }
    good = coinbase_token(name, (await stage.key("coinbase"))["api_secret"], claims)
    forged = [coinbase_token(name, other, claims), good.rpartition(".")[0] + ".", "x.y.z", "x", good + "A"]
    for token, status in [(good, 200), *((each, 401) for each in forged)]:
        answer = await stage.client.get(
            "/coinbase/api/v3/brokerage/accounts", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == status, token
    assert (await stage.client.get("/coinbase/api/v3/brokerage/accounts")).status_code == 401


async def test_a_reading_key_lacks_the_scope_to_trade(stage: Stage) -> None:
    document = order("sor_limit_ioc", base_size="1", limit_price="101")
    answer = await stage.coinbase("POST", "orders", document, key="reading")
    assert (answer.status_code, answer.json()["error_details"]) == (403, "Missing required scopes")
    permissions = (await stage.coinbase("GET", "key_permissions", key="reading")).json()
    assert (permissions["can_view"], permissions["can_trade"]) == (True, False)


# Orders


async def test_a_limit_ioc_takes_up_to_its_limit_and_cancels_the_rest(stage: Stage) -> None:
    found = await placed(stage, order("sor_limit_ioc", base_size="4", limit_price="102"))

    assert found["status"] == "CANCELLED"
    assert (found["filled_size"], found["filled_value"], found["number_of_fills"]) == ("3", "305", "2")
    assert found["total_fees"] == "3.66"
    assert found["total_value_after_fees"] == "308.66"
    assert found["settled"] is True
    assert await stage.balance("coinbase", "USD") == ("4999691.34", "0")
    assert await stage.balance("coinbase", "SOL") == ("20003", "0")
    fills = await ask(stage, f"orders/historical/fills?order_ids={found['order_id']}", "fills")
    assert [(each["price"], each["size"], each["commission"]) for each in fills] == [
        ("102", "2", "2.448"),
        ("101", "1", "1.212"),
    ]
    assert {each["liquidity_indicator"] for each in fills} == {"TAKER"}


async def test_a_known_client_id_gets_the_first_order_back_and_makes_no_second(stage: Stage) -> None:
    document = order("sor_limit_ioc", base_size="0.5", limit_price="101")
    first = await place(stage, document)
    again = await place(stage, document)
    changed = await place(stage, order("sor_limit_ioc", base_size="0.25", limit_price="102"))

    assert first["success_response"] == again["success_response"] == changed["success_response"]
    assert changed["order_configuration"] == document["order_configuration"]
    assert len(await stage.sim("GET", "fills")) == 1


async def test_market_orders_by_base_and_by_quote(stage: Stage) -> None:
    sold = await placed(stage, order("market_market_ioc", side="SELL", base_size="1"))
    assert (sold["status"], sold["filled_value"], sold["total_fees"]) == ("FILLED", "99", "1.188")

    bought = await placed(stage, order("market_market_ioc", "two", quote_size="101.20"))
    # 101.20 has the fee in it: 100 buy 0.99009900 at 101, cut to the increment.
    assert (bought["status"], bought["filled_size"]) == ("FILLED", "0.990099")
    assert float(bought["total_value_after_fees"]) <= 101.2
    assert bought["size_in_quote"] is True


async def test_fok_gtc_gtd_and_post_only(stage: Stage) -> None:
    killed = await placed(stage, order("limit_limit_fok", base_size="4", limit_price="102"))
    assert (killed["status"], killed["filled_size"]) == ("CANCELLED", "0")
    filled = await placed(stage, order("limit_limit_fok", "f", base_size="3", limit_price="102"))
    assert filled["status"] == "FILLED"

    resting = await placed(stage, order("limit_limit_gtc", "g", base_size="1", limit_price="100"))
    assert (resting["status"], resting["outstanding_hold_amount"]) == ("OPEN", "101.2")
    await stage.place_book("coinbase", "SOL/USD")
    crossing = order("limit_limit_gtc", "p", base_size="1", limit_price="101", post_only=True)
    refused = await place(stage, crossing)
    assert refused["error_response"]["error"] == "INVALID_LIMIT_PRICE_POST_ONLY"

    end = "2024-08-08T23:55:17Z"
    good = order("limit_limit_gtd", "d", base_size="1", limit_price="100", end_time=end)
    until = await placed(stage, good)
    assert until["status"] == "OPEN"
    stage.clock.advance_ms(60_001)
    assert (await ask(stage, f"orders/historical/{until['order_id']}", "order"))["status"] == "EXPIRED"


@pytest.mark.parametrize(
    ("document", "error", "preview"),
    [
        (order("sor_limit_ioc", base_size="0.000000001", limit_price="101"), "INVALID_SIZE_PRECISION", None),
        (order("sor_limit_ioc", base_size="1", limit_price="101.001"), "INVALID_PRICE_PRECISION", None),
        (
            order("sor_limit_ioc", base_size="0.001", limit_price="101"),
            "UNKNOWN_FAILURE_REASON",
            "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL",
        ),
        (
            order("sor_limit_ioc", base_size="400000", limit_price="1"),
            "UNKNOWN_FAILURE_REASON",
            "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE",
        ),
        (order("sor_limit_ioc", base_size="60000", limit_price="101"), "INSUFFICIENT_FUND", None),
        (order("stop_limit_gtc", base_size="1", limit_price="1"), "UNSUPPORTED_ORDER_CONFIGURATION", None),
        (order("market_market_ioc", side="SELL", quote_size="10"), "UNSUPPORTED_ORDER_CONFIGURATION", None),
        (
            {**order("sor_limit_ioc", base_size="1", limit_price="1"), "product_id": "NO-SUCH"},
            "INVALID_PRODUCT_ID",
            None,
        ),
    ],
)
async def test_an_order_that_fails_says_so_with_http_200_and_changes_nothing(
    stage: Stage, document: object, error: str, preview: str | None
) -> None:
    before = await stage.sim("GET", "balances")
    answer = await place(stage, document)
    assert answer["success"] is False
    assert answer["error_response"]["error"] == error
    assert answer["error_response"]["preview_failure_reason"] == (preview or f"PREVIEW_{error}")
    assert await stage.sim("GET", "balances") == before


@pytest.mark.parametrize(
    "change",
    [
        {"client_order_id": ""},
        {"client_order_id": "x" * 129},
        {"side": "HOLD"},
        {"order_configuration": {}},
        {"order_configuration": {"sor_limit_ioc": {"base_size": "1"}}},
        {"order_configuration": {"sor_limit_ioc": {"base_size": 1, "limit_price": "101"}}},
        {"order_configuration": {"sor_limit_ioc": {"base_size": "1e2", "limit_price": "101"}}},
    ],
)
async def test_a_request_without_meaning_is_http_400(stage: Stage, change: dict[str, Any]) -> None:
    document = {**order("sor_limit_ioc", base_size="1", limit_price="101"), **change}
    answer = await place(stage, document, status=400)
    assert answer["error"] == "INVALID_ARGUMENT"
    assert await ask(stage, "orders/historical/batch", "orders") == []


async def test_cancelling_a_batch_tells_each_ones_fate(stage: Stage) -> None:
    one = await placed(stage, order("limit_limit_gtc", base_size="1", limit_price="90"))
    answer = await stage.coinbase(
        "POST", "orders/batch_cancel", {"order_ids": [one["order_id"], "no-such-order"]}
    )
    results = answer.json()["results"]
    assert [each["success"] for each in results] == [True, False]
    assert results[1]["failure_reason"] == "UNKNOWN_CANCEL_ORDER"
    assert (await ask(stage, f"orders/historical/{one['order_id']}", "order"))["status"] == "CANCELLED"
    assert await stage.balance("coinbase", "USD") == ("5000000", "0")


async def test_orders_are_listed_by_filter_and_page(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        await place(stage, order("limit_limit_gtc", name, base_size="1", limit_price="90"))
        stage.clock.advance_ms(1000)
    await place(stage, order("sor_limit_ioc", "d", base_size="0.5", limit_price="101"))

    async def names(query: str) -> list[str]:
        return [
            each["client_order_id"]
            for each in (await ask(stage, f"orders/historical/batch?{query}", "orders"))
        ]

    assert await names("") == ["d", "c", "b", "a"]
    assert await names("order_status=OPEN") == ["c", "b", "a"]
    assert await names("order_status=FILLED&product_ids=SOL-USD") == ["d"]
    assert await names("product_ids=BTC-USD") == []
    assert await names("start_date=2024-08-08T23:54:19Z") == ["d", "c"]
    first = await ask(stage, "orders/historical/batch?limit=3")
    assert (len(first["orders"]), first["has_next"]) == (3, True)
    rest = await ask(stage, f"orders/historical/batch?limit=3&cursor={first['cursor']}")
    assert ([each["client_order_id"] for each in rest["orders"]], rest["has_next"]) == (["a"], False)


async def test_answers_have_the_documented_fields(stage: Stage) -> None:
    success = await place(stage, order("limit_limit_gtc", base_size="1", limit_price="101"))
    failure = await place(stage, order("limit_limit_gtc", "2", base_size="60000", limit_price="101"))
    documented = {
        "create_order__success_nautilus.json": success,
        "create_order__error_nautilus.json": failure,
        "accounts__nautilus.json": await ask(stage, "accounts"),
        "transaction_summary__ccxt.json": {
            **await ask(stage, "transaction_summary"),
            # The sample has these as strings, Coinbase's specification as numbers.
            **dict.fromkeys(
                ("total_volume", "total_fees", "advanced_trade_only_volume", "advanced_trade_only_fees"), ""
            ),
            **dict.fromkeys(("coinbase_pro_volume", "coinbase_pro_fees"), ""),
        },
        "order__nautilus.json": await ask(stage, f"orders/historical/{success['order_id']}"),
    }
    for name, answer in documented.items():
        missing = misfits(answer, sample(f"coinbase/{name}"))
        assert [each for each in missing if "order_configuration" not in each] == [], name


async def test_unknown_orders_and_accounts_are_not_found(stage: Stage) -> None:
    assert (await ask(stage, "orders/historical/nothing", status=404))["error"] == "NOT_FOUND"
    assert (await ask(stage, "accounts/nothing", status=404))["error"] == "NOT_FOUND"
    first = (await ask(stage, "accounts", "accounts"))[0]
    assert (await ask(stage, f"accounts/{first['uuid']}", "account"))["currency"] == first["currency"]


async def test_a_preview_changes_nothing(stage: Stage) -> None:
    document = order("sor_limit_ioc", base_size="1", limit_price="101")
    del document["client_order_id"]
    preview = (await stage.coinbase("POST", "orders/preview", document)).json()
    assert (preview["commission_total"], preview["errs"], preview["best_ask"]) == ("1.212", [], "101")
    document["order_configuration"]["sor_limit_ioc"]["limit_price"] = "101.001"
    bad = (await stage.coinbase("POST", "orders/preview", document)).json()
    assert bad["errs"] == ["PREVIEW_INVALID_PRICE_PRECISION"]
    assert await stage.sim("GET", "fills") == []


async def test_an_alias_trades_on_the_same_book_in_its_own_quote(stage: Stage) -> None:
    found = await placed(
        stage, {**order("sor_limit_ioc", base_size="1", limit_price="101"), "product_id": "SOL-USDC"}
    )
    assert found["status"] == "FILLED"
    assert await stage.balance("coinbase", "USDC") == ("4999897.788", "0")
    book = await stage.client.get("/coinbase/api/v3/brokerage/market/product_book?product_id=SOL-USD")
    assert book.json()["pricebook"]["asks"][0]["price"] == "102"


# Faults


async def test_an_order_lost_after_acceptance_is_found_by_sending_it_again(stage: Stage) -> None:
    document = order("sor_limit_ioc", base_size="1", limit_price="101")
    await stage.fault(venue="coinbase", endpoint="place_order", fault="drop", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await place(stage, document)
    again = await place(stage, document)
    (fill,) = await stage.sim("GET", "fills")
    assert fill["order_id"] == again["success_response"]["order_id"]
    assert (fill["venue"], fill["client_order_id"], fill["symbol"], fill["side"]) == (
        "coinbase", "one", "SOL/USD", "buy",
    )  # fmt: skip
    assert (fill["price"], fill["quantity"], fill["fee"], fill["fee_asset"]) == ("101", "1", "1.212", "USD")


async def test_hidden_orders_halts_and_limits(stage: Stage) -> None:
    await stage.fault(venue="coinbase", endpoint="place_order", fault="delayed_visibility", ms=1000, count=1)
    answer = await place(stage, order("sor_limit_ioc", base_size="0.5", limit_price="101"))
    path = f"orders/historical/{answer['order_id']}"
    await ask(stage, path, status=404)
    stage.clock.advance_ms(1000)
    assert (await ask(stage, path, "order"))["status"] == "FILLED"

    await stage.fault(venue="coinbase", fault="cancel_only")
    refused = await place(stage, order("sor_limit_ioc", "2", base_size="0.1", limit_price="101"))
    assert refused["error_response"]["error"] == "ORDER_ENTRY_DISABLED"
    await stage.fault(venue="coinbase", fault="maintenance")
    assert (await stage.coinbase("POST", "orders", {})).status_code == 503


async def test_a_key_makes_thirty_requests_a_second() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        answers = [await stage.coinbase("GET", "accounts") for _ in range(31)]
        assert [each.status_code for each in answers] == [200] * 30 + [429]
        assert (await stage.coinbase("GET", "accounts", key="second")).status_code == 200
