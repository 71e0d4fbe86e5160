"""Trading on the simulated Kraken, over HTTP and signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from local.venues import VenuesConfig
from tests.contract.simulated_venues import Stage, on_stage
from tests.contract.test_simulated_venues import misfits, sample

LIMIT = {"pair": "SOLUSD", "type": "buy", "ordertype": "limit", "oflags": "fciq"}
IOC = {**LIMIT, "timeinforce": "IOC"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        await stage.place_book("kraken", "SOL/USD")
        yield stage


async def ask(stage: Stage, path: str, **params: Any) -> Any:
    answer = await stage.kraken(path, **params)
    assert answer["error"] == [], answer
    return answer["result"]


async def placed(stage: Stage, **params: Any) -> Any:
    """Place an order that must be taken, and ask what became of it."""
    (txid,) = (await ask(stage, "AddOrder", **params))["txid"]
    return (await ask(stage, "QueryOrders", txid=txid))[txid]


async def refused(stage: Stage, path: str = "AddOrder", **params: Any) -> str:
    answer = await stage.kraken(path, **params)
    assert "result" not in answer
    (error,) = answer["error"]
    return str(error)


# Signatures and nonces


async def test_the_nonce_of_a_key_must_grow_whatever_the_request(stage: Stage) -> None:
    assert (await stage.kraken_with_nonce(10, "Balance"))["error"] == []
    for nonce in (10, 9):
        assert (await stage.kraken_with_nonce(nonce, "Balance"))["error"] == ["EAPI:Invalid nonce"]
    assert (await stage.kraken_with_nonce(1, "Balance", key="second"))["error"] == [], "another key, its own"
    assert (await stage.kraken_with_nonce(2**64 - 1, "Balance"))["error"] == []
    assert (await stage.kraken_with_nonce(2**64, "Balance", key="second"))["error"] == ["EAPI:Invalid nonce"]


async def test_a_later_nonce_fences_off_an_order_still_on_its_way(stage: Stage) -> None:
    assert (await stage.kraken_with_nonce(20, "OpenOrders"))["error"] == []
    late = await stage.kraken_with_nonce(19, "AddOrder", **IOC, volume="1", price="101")
    assert late["error"] == ["EAPI:Invalid nonce"]
    assert await stage.sim("GET", "fills") == []


async def test_a_wrong_signature_spends_no_nonce(stage: Stage) -> None:
    pair = await stage.key("kraken")
    answer = await stage.client.post(
        "/kraken/0/private/Balance",
        content="nonce=5",
        headers={"API-Key": pair["api_key"], "API-Sign": base64.b64encode(b"0" * 64).decode()},
    )
    assert answer.json()["error"] == ["EAPI:Invalid signature"]
    assert (await stage.kraken_with_nonce(5, "Balance"))["error"] == []


async def test_unknown_keys_and_missing_permissions(stage: Stage) -> None:
    answer = await stage.client.post("/kraken/0/private/Balance", content="nonce=1")
    assert answer.json()["error"] == ["EAPI:Invalid key"]
    assert (await stage.kraken("Balance", key="reading"))["error"] == []
    assert (await stage.kraken("AddOrder", key="reading", **IOC, volume="1", price="101"))["error"] == [
        "EGeneral:Permission denied"
    ]


async def test_a_json_body_is_signed_and_read_too(stage: Stage) -> None:
    pair = await stage.key("kraken")
    body = '{"nonce": 7, "pair": "SOLUSD"}'
    message = b"/0/private/TradeVolume" + hashlib.sha256(f"7{body}".encode()).digest()
    signature = hmac.new(base64.b64decode(pair["api_secret"]), message, hashlib.sha512).digest()
    answer = await stage.client.post(
        "/kraken/0/private/TradeVolume",
        content=body,
        headers={
            "API-Key": pair["api_key"],
            "API-Sign": base64.b64encode(signature).decode(),
            "Content-Type": "application/json",
        },
    )
    assert answer.json()["result"]["fees"]["SOLUSD"]["fee"] == "0.4000"


# Orders


async def test_a_limit_ioc_takes_up_to_its_limit_and_cancels_the_rest(stage: Stage) -> None:
    (txid,) = (await ask(stage, "AddOrder", **IOC, volume="4", price="102", cl_ord_id="f" * 32))["txid"]

    found = (await ask(stage, "QueryOrders", txid=txid, trades="true"))[txid]
    assert (found["status"], found["vol_exec"], found["cost"]) == ("canceled", "3.00000000", "305.00000")
    assert (found["fee"], found["price"], found["cl_ord_id"]) == ("1.22000", "101.66667", "f" * 32)
    assert found["descr"]["order"] == "buy 4.00000000 SOLUSD @ limit 102.00"
    assert await stage.balance("kraken", "USD") == ("4999693.78", "0")
    history = await ask(stage, "TradesHistory")
    assert history["count"] == 2
    assert sorted(history["trades"]) == sorted(found["trades"])
    assert sum(float(each["fee"]) for each in history["trades"].values()) == pytest.approx(1.22)
    closed = await ask(stage, "ClosedOrders", cl_ord_id="f" * 32)
    assert list(closed["closed"]) == [txid]


@pytest.mark.parametrize(
    ("side", "flags", "fee", "asset", "flag_shown"),
    [
        ("buy", "fciq", "0.404", "USD", "fciq"),
        ("buy", "", "0.404", "USD", "fciq"),
        ("buy", "fcib", "0.004", "SOL", "fcib"),
        ("sell", "fciq", "0.396", "USD", "fciq"),
        ("sell", "", "0.004", "SOL", "fcib"),
    ],
)
async def test_the_fees_asset_is_chosen_by_flag_and_defaults_by_side(
    stage: Stage, side: str, flags: str, fee: str, asset: str, flag_shown: str
) -> None:
    price = "101" if side == "buy" else "99"
    found = await placed(stage, **{**IOC, "type": side, "oflags": flags}, volume="1", price=price)
    (fill,) = await stage.sim("GET", "fills")
    assert (fill["fee"], fill["fee_asset"]) == (fee, asset)
    assert (found["status"], found["oflags"]) == ("closed", flag_shown)


async def test_market_orders_by_volume_and_by_quote(stage: Stage) -> None:
    market = {"pair": "SOLUSD", "ordertype": "market", "oflags": "fciq"}
    sold = await placed(stage, **market, type="sell", volume="2")
    assert (sold["status"], sold["cost"]) == ("closed", "197.00000")
    bought = await placed(stage, **{**market, "oflags": "fciq,viqc"}, type="buy", volume="151")
    assert (bought["vol_exec"], bought["cost"]) == ("1.49019607", "150.99999914")


async def test_resting_orders_hold_fill_as_maker_and_cancel(stage: Stage) -> None:
    found = await placed(stage, **LIMIT, volume="2", price="100", userref="42")
    assert (found["status"], found["userref"]) == ("open", 42)
    assert (await ask(stage, "BalanceEx"))["ZUSD"]["hold_trade"] == "200.8000"
    (txid,) = (await ask(stage, "OpenOrders"))["open"]

    await stage.place_book("kraken", "SOL/USD", {"bids": [], "asks": [["99.5", "0.5"]]})
    partly = (await ask(stage, "QueryOrders", txid=txid))[txid]
    assert (partly["status"], partly["vol_exec"], partly["fee"]) == ("open", "0.50000000", "0.12500")
    assert await ask(stage, "CancelOrder", txid=txid) == {"count": 1}
    assert await refused(stage, "CancelOrder", txid=txid) == "EOrder:Unknown order"
    closed = (await ask(stage, "ClosedOrders"))["closed"][txid]
    assert (closed["status"], closed["reason"]) == ("canceled", "User requested")
    assert await stage.balance("kraken", "USD") == ("4999949.875", "0")


async def test_cancel_by_client_id_all_and_by_timer(stage: Stage) -> None:
    resting = {**LIMIT, "volume": "1", "price": "90"}
    await placed(stage, **resting, cl_ord_id="mine")
    assert await ask(stage, "CancelOrder", cl_ord_id="mine") == {"count": 1}
    for _ in range(2):
        await placed(stage, **resting)
    assert await ask(stage, "CancelAll") == {"count": 2}
    await placed(stage, **resting)
    timer = await ask(stage, "CancelAllOrdersAfter", timeout=60)
    assert set(timer) == {"currentTime", "triggerTime"}
    stage.clock.advance_ms(59_999)
    assert len((await ask(stage, "OpenOrders"))["open"]) == 1
    stage.clock.advance_ms(1)
    assert (await ask(stage, "OpenOrders"))["open"] == {}


async def test_fok_gtd_post_only_and_validate(stage: Stage) -> None:
    killed = await placed(stage, **{**LIMIT, "timeinforce": "FOK"}, volume="4", price="102")
    assert (killed["status"], killed["vol_exec"]) == ("canceled", "0.00000000")
    assert await refused(stage, **{**LIMIT, "oflags": "fciq,post"}, volume="1", price="101") == (
        "EOrder:Post only order"
    )
    gtd = {**LIMIT, "timeinforce": "GTD", "expiretm": "+30"}
    (txid,) = (await ask(stage, "AddOrder", **gtd, volume="1", price="90"))["txid"]
    stage.clock.advance_ms(30_000)
    assert (await ask(stage, "QueryOrders", txid=txid))[txid]["status"] == "expired"
    checked = await ask(stage, "AddOrder", **IOC, volume="1", price="101", validate="true")
    assert set(checked) == {"descr"}
    assert await stage.sim("GET", "fills") == []


@pytest.mark.parametrize(
    ("off_s", "error"),
    [
        (5, None),
        (59, None),
        (-0.001, "EService:Deadline elapsed"),
        (61, "EGeneral:Invalid arguments:deadline"),
    ],
)
async def test_the_engine_takes_nothing_past_the_deadline(
    stage: Stage, off_s: float, error: str | None
) -> None:
    moment = datetime.fromtimestamp(stage.clock.now_ms() / 1000, tz=UTC) + timedelta(seconds=off_s)
    answer = await stage.kraken("AddOrder", **IOC, volume="1", price="101", deadline=moment.isoformat())
    assert answer["error"] == ([] if error is None else [error])
    assert len(await stage.sim("GET", "fills")) == (1 if error is None else 0)


async def test_a_client_id_is_unique_among_open_orders_only(stage: Stage) -> None:
    """The trap of Kraken: an id that was filled buys a second time."""
    await placed(stage, **LIMIT, volume="1", price="90", cl_ord_id="open")
    assert await refused(stage, **LIMIT, volume="1", price="90", cl_ord_id="open") == "EOrder:Duplicate order"
    for _ in range(2):
        await placed(stage, **IOC, volume="0.5", price="101", cl_ord_id="filled")
    assert [fill["client_order_id"] for fill in await stage.sim("GET", "fills")] == ["filled", "filled"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pair": "NOSUCH"}, "EQuery:Unknown asset pair"),
        ({"price": "101.001"}, "EOrder:Invalid price:price can only be specified up to 2 decimals"),
        ({"price": "0"}, "EOrder:Invalid price"),
        ({"price": ""}, "EGeneral:Invalid arguments:price"),
        ({"volume": "0.01"}, "EOrder:Order minimum not met"),
        ({"price": "0.01", "volume": "1"}, "EOrder:Cost minimum not met"),
        ({"volume": "0.123456789"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "60000"}, "EOrder:Insufficient funds"),
        ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:ordertype"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"timeinforce": "DAY"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags"),
        ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "x", "userref": "1"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"stptype": "none"}, "EGeneral:Invalid arguments:stptype"),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
async def test_a_bad_order_is_refused_in_krakens_words_and_changes_nothing(
    stage: Stage, change: dict[str, Any], error: str
) -> None:
    before = await stage.sim("GET", "balances")
    assert await refused(stage, **{**IOC, "volume": "1", "price": "101", **change}) == error
    assert await stage.sim("GET", "balances") == before


@pytest.mark.parametrize(
    "name",
    ["a" * 18, "0123456789abcdef0123456789ABCDEF", "6d1b345e-2821-40e2-ad83-4ecb18a06876"],
)
async def test_client_ids_have_three_forms(stage: Stage, name: str) -> None:
    assert (await placed(stage, **IOC, volume="1", price="101", cl_ord_id=name))["cl_ord_id"] == name


async def test_answers_have_the_documented_fields(stage: Stage) -> None:
    filled = await stage.kraken("AddOrder", **IOC, volume="1", price="101", userref="1")
    await stage.kraken("AddOrder", **LIMIT, volume="1", price="90", userref="1")
    (txid,) = filled["result"]["txid"]
    (trade,) = (await ask(stage, "TradesHistory"))["trades"]
    documented = {
        "AddOrder__official_Python_Limit_.json": filled,
        "Balance__official_doc.json": await stage.kraken("Balance"),
        "OpenOrders__official_doc.json": await stage.kraken("OpenOrders"),
        "CancelAll__official_doc.json": await stage.kraken("CancelAll"),
        "ClosedOrders__official_doc.json": await stage.kraken("ClosedOrders"),
        "QueryOrders__official_doc.json": await stage.kraken("QueryOrders", txid=txid),
        "TradesHistory__official_doc.json": await stage.kraken("TradesHistory"),
        "QueryTrades__official_doc.json": await stage.kraken("QueryTrades", txid=trade),
        "TradeVolume__official_doc.json": await stage.kraken("TradeVolume", pair="XBTUSD"),
        "CancelAllOrdersAfter__official_doc.json": await stage.kraken("CancelAllOrdersAfter", timeout=60),
    }
    for name, answer in documented.items():
        expected = sample(f"kraken/{name}")
        missing = misfits(_any_key(answer, name), _any_key(expected, name))
        # The sample's orders have traded, and list their trades.
        assert [each for each in missing if not each.endswith(".trades")] == [], name


def _any_key(body: dict[str, Any], name: str) -> Any:
    """The body with the ids of orders, trades, pairs and assets put aside: the first of each."""
    result = body["result"]
    if name.startswith(("OpenOrders", "ClosedOrders", "TradesHistory")):
        return {
            key: next(iter(part.values())) if isinstance(part, dict) else part for key, part in result.items()
        }
    if name.startswith(("QueryOrders", "QueryTrades")):
        return next(iter(result.values()))
    return [*result.values()][:1] if name.startswith("Balance") else result


async def test_history_pages_by_fifty_and_starts_after_its_start(stage: Stage) -> None:
    start_s = stage.clock.now_ms() / 1000
    await stage.place_book("kraken", "SOL/USD", {"bids": [], "asks": [["101", "100"]]})
    for _ in range(51):
        await ask(stage, "AddOrder", **IOC, volume="0.1", price="101")
        stage.clock.advance_ms(1000)

    first = await ask(stage, "ClosedOrders")
    rest = await ask(stage, "ClosedOrders", ofs="50")
    assert (len(first["closed"]), len(rest["closed"]), first["count"]) == (50, 1, 51)
    assert "count" not in await ask(stage, "ClosedOrders", without_count="true")
    assert (await ask(stage, "ClosedOrders", start=start_s))["count"] == 50
    assert (await ask(stage, "TradesHistory", end=start_s))["count"] == 1
    assert await refused(stage, "QueryOrders", txid="ONONE0-00000-000000") == "EOrder:Unknown order"
    assert await refused(stage, "ClosedOrders", closetime="never") == "EGeneral:Invalid arguments:closetime"


# Faults


async def test_an_order_lost_after_acceptance_is_found_by_its_client_id(stage: Stage) -> None:
    await stage.fault(venue="kraken", endpoint="place_order", fault="drop", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await stage.kraken("AddOrder", **IOC, volume="1", price="101", cl_ord_id="lost")
    (order,) = (await ask(stage, "ClosedOrders", cl_ord_id="lost"))["closed"].values()
    assert (order["status"], order["vol_exec"]) == ("closed", "1.00000000")


async def test_hidden_orders_halts_and_limits(stage: Stage) -> None:
    await stage.fault(venue="kraken", endpoint="place_order", fault="delayed_visibility", ms=2000, count=1)
    await ask(stage, "AddOrder", **IOC, volume="1", price="101", cl_ord_id="hidden")
    for method in ("OpenOrders", "ClosedOrders"):
        (orders, *_) = (await ask(stage, method, cl_ord_id="hidden")).values()
        assert orders == {}
    assert (await ask(stage, "TradesHistory"))["count"] == 0
    stage.clock.advance_ms(2000)
    assert (await ask(stage, "ClosedOrders", cl_ord_id="hidden"))["count"] == 1

    order = {**IOC, "volume": "0.1", "price": "102"}
    await stage.fault(venue="kraken", fault="cancel_only")
    assert await refused(stage, **order) == "EService:Market in cancel_only mode"
    await stage.fault(venue="kraken", fault="maintenance")
    assert await refused(stage, **order) == "EService:Unavailable"
    await stage.sim("DELETE", "faults")
    await stage.fault(venue="kraken", fault="rate_limit")
    assert await refused(stage, **order) == "EAPI:Rate limit exceeded"


async def test_counters_fill_by_key_and_by_pair() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        errors = [(await stage.kraken("Balance"))["error"] for _ in range(21)]
        assert errors == [[]] * 20 + [["EAPI:Rate limit exceeded"]]
        assert (await stage.kraken("Balance", key="second"))["error"] == []
        # A cancel within five seconds of its order costs the pair's counter eight, an order one.
        await stage.place_book("kraken", "SOL/USD")
        outcomes = []
        for _ in range(15):
            answer = await stage.kraken("AddOrder", **LIMIT, volume="1", price="90", cl_ord_id="x")
            outcomes.append(answer["error"])
            outcomes.append((await stage.kraken("CancelOrder", cl_ord_id="x"))["error"])
        assert outcomes[:26] == [[]] * 26
        assert outcomes[27] == ["EOrder:Rate limit exceeded"]
