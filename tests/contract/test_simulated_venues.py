"""The simulated venues' market data, over HTTP, held to the venues' own documentation samples."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from local.venues import LISTINGS, VenuesConfig
from tests.contract.simulated_venues import DATA, Stage, on_stage

BINANCE, COINBASE, KRAKEN = "/binance/api/v3", "/coinbase/api/v3/brokerage", "/kraken/0/public"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with on_stage() as stage:
        yield stage


async def get(stage: Stage, path: str, status: int = 200) -> Any:
    answer = await stage.client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def misfits(answer: object, sample: object, where: str = "") -> list[str]:
    """Every field of the sample that the answer lacks, or has as another type."""
    if sample is None or sample in ({}, []):
        return []
    if isinstance(sample, dict):
        if not isinstance(answer, dict):
            return [where]
        return [
            misfit
            for name, value in sample.items()
            for misfit in (
                misfits(answer[name], value, f"{where}.{name}") if name in answer else [f"{where}.{name}"]
            )
        ]
    if isinstance(sample, list):
        if not isinstance(answer, list) or not answer:
            return [where]
        return misfits(answer[0], sample[0], f"{where}[0]")
    numbers = isinstance(sample, int | float) and isinstance(answer, int | float)
    return [] if type(answer) is type(sample) or (numbers and not isinstance(sample, bool)) else [where]


def sample(name: str) -> Any:
    path = DATA / "venue_samples" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{BINANCE}/ping", "binance/ping__doc_response_0.json"),
        (f"{BINANCE}/time", "binance/time__doc_response_0.json"),
        (f"{BINANCE}/depth?symbol=BTCUSDT", "binance/depth__doc_response_0.json"),
        (f"{BINANCE}/ticker/bookTicker?symbol=BTCUSDT", "binance/bookTicker__doc_response_0.json"),
        (f"{BINANCE}/ticker/bookTicker", "binance/bookTicker__doc_response_1.json"),
        (f"{BINANCE}/ticker/price?symbol=ETHBTC", "binance/ticker_price__doc_response_0.json"),
        (f'{BINANCE}/ticker/price?symbols=["ETHBTC"]', "binance/ticker_price__doc_response_1.json"),
        (f"{BINANCE}/ticker/24hr?symbol=BTCUSDT", "binance/ticker_24hr__doc_response_full_0.json"),
        (f"{BINANCE}/ticker/24hr", "binance/ticker_24hr__doc_response_full_1.json"),
        (f"{BINANCE}/ticker/24hr?symbol=BTCUSDT&type=MINI", "binance/ticker_24hr__doc_response_mini_2.json"),
        (f"{BINANCE}/trades?symbol=BTCUSDT", "binance/trades__doc_response_0.json"),
        (f"{BINANCE}/avgPrice?symbol=BTCUSDT", "binance/avgPrice__doc_response_0.json"),
        (f"{COINBASE}/market/product_book?product_id=BTC-USD", "coinbase/product_book__nautilus.json"),
        (f"{COINBASE}/market/products", "coinbase/products__nautilus.json"),
        (f"{COINBASE}/market/products/BTC-USD", "coinbase/product__nautilus.json"),
        (f"{COINBASE}/market/products/BTC-USD/ticker", "coinbase/ticker__nautilus.json"),
        (f"{KRAKEN}/Time", "kraken/Time__official_doc.json"),
        (f"{KRAKEN}/SystemStatus", "kraken/SystemStatus__official_doc.json"),
        (f"{KRAKEN}/Assets", "kraken/Assets__official_doc.json"),
        (f"{KRAKEN}/AssetPairs", "kraken/AssetPairs__official_doc.json"),
        (f"{KRAKEN}/Depth?pair=XBTUSD", "kraken/Depth__official_doc.json"),
        (f"{KRAKEN}/Ticker?pair=XBTUSD", "kraken/Ticker__official_doc.json"),
        (f"{KRAKEN}/Trades?pair=XBTUSD", "kraken/Trades__official_doc.json"),
    ],
)
async def test_an_answer_has_the_fields_and_types_of_the_documentation(
    stage: Stage, path: str, name: str
) -> None:
    expected = sample(name)

    answer = await get(stage, path)

    # The sample's markets and assets are some of ours; leverage is not offered.
    assert [each for each in misfits(answer, expected) if "leverage" not in each] == []


async def test_every_listed_market_has_a_book_that_is_not_crossed_and_on_its_ticks(stage: Stage) -> None:
    for venue, listings in LISTINGS.items():
        for symbol, listing in listings.items():
            base, quote = symbol.split("/")
            path = {
                "binance": f"{BINANCE}/depth?symbol={base}{quote}&limit=5000",
                "coinbase": f"{COINBASE}/market/product_book?product_id={base}-{quote}",
                "kraken": f"{KRAKEN}/Depth?pair={symbol}&count=500",
            }[venue]
            answer = await get(stage, path)
            book = {
                "binance": lambda body: body,
                "coinbase": lambda body: body["pricebook"],
                "kraken": lambda body: next(iter(body["result"].values())),
            }[venue](answer)
            sides = {
                side: [
                    (Decimal(level["price"] if venue == "coinbase" else level[0]),) for level in book[side]
                ]
                for side in ("bids", "asks")
            }
            bids, asks = ([price for (price,) in sides[side]] for side in ("bids", "asks"))
            assert bids[0] < asks[0], symbol
            assert bids == sorted(set(bids), reverse=True)
            assert asks == sorted(set(asks))
            assert not any(price % listing.tick for price in bids + asks)
            assert len(bids) >= 500, symbol


async def test_a_books_two_readings_differ_in_time_and_agree_while_the_clock_stands(stage: Stage) -> None:
    path = f"{BINANCE}/depth?symbol=BTCUSDT&limit=20"
    first = await get(stage, path)
    assert await get(stage, path) == first

    stage.clock.advance_ms(1000)
    second = await get(stage, path)

    assert second["lastUpdateId"] > first["lastUpdateId"]
    assert second["bids"] != first["bids"]


async def test_the_same_seed_gives_the_same_books_and_another_seed_others() -> None:
    books = []
    for seed in (1, 1, 2):
        async with on_stage(VenuesConfig(seed=seed)) as stage:
            books.append(await get(stage, f"{KRAKEN}/Depth?pair=XBTUSDT"))
    assert books[0] == books[1] != books[2]


# Binance


@pytest.mark.parametrize(
    ("limit", "levels", "weight"),
    [
        ("", 100, 5),
        ("&limit=5", 5, 5),
        ("&limit=101", 101, 25),
        ("&limit=1000", 1000, 50),
        ("&limit=9999", 1500, 250),
    ],
)
async def test_binance_depth_gives_and_weighs_what_its_limit_says(
    limit: str, levels: int, weight: int
) -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as limited:
        answer = await limited.client.get(f"{BINANCE}/depth?symbol=BTCUSDT{limit}")

    assert len(answer.json()["bids"]) == levels
    assert answer.headers["X-MBX-USED-WEIGHT"] == answer.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("depth?symbol=NOSUCH", -1121),
        ("depth?symbol=btcusdt", -1100),
        ("depth?symbol=", -1105),
        ("depth", -1102),
        ("depth?symbol=BTCUSDT&limit=ten", -1100),
        ("depth?symbol=BTCUSDT&limit=0", -1130),
        ("depth?symbol=BTCUSDT&depth=5", -1104),
        ("depth?symbol=BTCUSDT&symbol=ETHUSDT", -1101),
        ("exchangeInfo?symbol=NOSUCH", -1121),
        ('exchangeInfo?symbols=["BTCUSDT"', -1100),
        ('exchangeInfo?symbol=BTCUSDT&symbols=["BTCUSDT"]', -1128),
    ],
)
async def test_binance_says_what_is_wrong_in_its_own_codes(stage: Stage, path: str, code: int) -> None:
    answer = await get(stage, f"{BINANCE}/{path}", status=400)
    assert answer["code"] == code
    assert set(answer) == {"code", "msg"}


async def test_binance_exchange_info_has_the_filters_that_adapters_read(stage: Stage) -> None:
    (symbol,) = (await get(stage, f"{BINANCE}/exchangeInfo?symbol=BTCUSDT"))["symbols"]

    filters = {each["filterType"]: each for each in symbol["filters"]}
    assert symbol["status"] == "TRADING"
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert len((await get(stage, f"{BINANCE}/exchangeInfo"))["symbols"]) == len(LISTINGS["binance"])  # type: ignore[index]


async def test_binance_answers_429_past_its_weight_and_then_bans_who_goes_on() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        path = f"{BINANCE}/depth?symbol=BTCUSDT&limit=5000"
        for _ in range(24):
            assert (await stage.client.get(path)).status_code == 200
        limited = await stage.client.get(path)
        assert limited.status_code == 429
        assert limited.json()["code"] == -1003
        assert 0 < int(limited.headers["Retry-After"]) <= 60

        statuses = [(await stage.client.get(path)).status_code for _ in range(10)]
        assert statuses == [429] * 9 + [418]
        stage.clock.advance_ms(60_000)
        banned = await stage.client.get(f"{BINANCE}/ping")
        assert banned.status_code == 418
        assert "banned until" in banned.json()["msg"]

        stage.clock.advance_ms(int(banned.headers["Retry-After"]) * 1000)
        assert (await stage.client.get(path)).status_code == 200


# Coinbase


async def test_coinbase_aliases_show_one_book(stage: Stage) -> None:
    usd = await get(stage, f"{COINBASE}/market/product_book?product_id=BTC-USD&limit=5")
    usdc = await get(stage, f"{COINBASE}/market/product_book?product_id=BTC-USDC&limit=5")
    product = await get(stage, f"{COINBASE}/market/products/BTC-USDC")

    assert usd["pricebook"]["bids"] == usdc["pricebook"]["bids"]
    assert product["alias"] == "BTC-USD"
    assert (await get(stage, f"{COINBASE}/market/products/BTC-USD"))["alias_to"] == ["BTC-USDC"]


@pytest.mark.parametrize("path", ["market/products/NO-SUCH", "market/product_book?product_id=NO-SUCH"])
async def test_coinbase_knows_no_such_product(stage: Stage, path: str) -> None:
    answer = await get(stage, f"{COINBASE}/{path}", status=404)
    assert answer["error"] == "NOT_FOUND"
    assert set(answer) == {"error", "error_details", "message"}


async def test_coinbase_takes_ten_public_requests_a_second() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        answers = [await stage.client.get(f"{COINBASE}/time") for _ in range(11)]
        assert [each.status_code for each in answers] == [200] * 10 + [429]
        assert [each.headers["x-ratelimit-remaining"] for each in answers[:3]] == ["9", "8", "7"]
        assert "Retry-After" in answers[-1].headers

        stage.clock.advance_ms(100)
        assert (await stage.client.get(f"{COINBASE}/time")).status_code == 200


async def test_coinbase_groups_levels_by_the_increment_asked_for(stage: Stage) -> None:
    path = f"{COINBASE}/market/product_book?product_id=BTC-USD"
    whole = (await get(stage, path))["pricebook"]
    grouped = (await get(stage, f"{path}&aggregation_price_increment=10"))["pricebook"]

    assert all(Decimal(level["price"]) % 10 == 0 for level in grouped["bids"] + grouped["asks"])
    for side in ("bids", "asks"):
        assert sum(Decimal(level["size"]) for level in grouped[side]) == sum(
            Decimal(level["size"]) for level in whole[side]
        )


# Kraken


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("XBTUSD", "XXBTZUSD"),
        ("XXBTZUSD", "XXBTZUSD"),
        ("XBT/USD", "XXBTZUSD"),
        ("BTC/USD", "XXBTZUSD"),
        ("xbtusd", "XXBTZUSD"),
        ("XBTUSDT", "XBTUSDT"),
        ("BTC/USDT", "XBTUSDT"),
        ("ETHXBT", "XETHXXBT"),
        ("SOLUSD", "SOLUSD"),
        ("USDTUSD", "USDTZUSD"),
    ],
)
async def test_kraken_answers_under_its_own_name_of_the_pair(stage: Stage, asked: str, key: str) -> None:
    for method in ("Depth", "Ticker", "AssetPairs"):
        assert list((await get(stage, f"{KRAKEN}/{method}?pair={asked}"))["result"]) == [key]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("Depth?pair=NOSUCH", "EQuery:Unknown asset pair"),
        ("Depth", "EGeneral:Invalid arguments"),
        ("Depth?pair=XBTUSD&count=501", "EGeneral:Invalid arguments:count"),
        ("Depth?pair=XBTUSD&count=0", "EGeneral:Invalid arguments:count"),
        ("AssetPairs?pair=XBTUSD,NOSUCH", "EQuery:Unknown asset pair"),
        ("Assets?asset=NOSUCH", "EQuery:Unknown asset"),
        ("NoSuchMethod", "EGeneral:Unknown method"),
    ],
)
async def test_kraken_tells_errors_with_http_200(stage: Stage, path: str, error: str) -> None:
    assert (await get(stage, f"{KRAKEN}/{path}"))["error"] == [error]


async def test_kraken_pairs_have_the_newer_fields(stage: Stage) -> None:
    pair = (await get(stage, f"{KRAKEN}/AssetPairs?pair=XBTUSD"))["result"]["XXBTZUSD"]
    assert (pair["costmin"], pair["tick_size"], pair["status"]) == ("0.5", "0.1", "online")
    fees = await get(stage, f"{KRAKEN}/AssetPairs?pair=XBTUSD&info=fees")
    assert set(fees["result"]["XXBTZUSD"]) == {"fees", "fees_maker", "fee_volume_currency"}


async def test_kraken_takes_a_post_as_well_as_a_get(stage: Stage) -> None:
    answer = await stage.client.post(f"{KRAKEN}/Depth", data={"pair": "XBTUSD", "count": "1"})
    assert answer.json() == await get(stage, f"{KRAKEN}/Depth?pair=XBTUSD&count=1")


async def test_kraken_tires_of_public_requests() -> None:
    async with on_stage(VenuesConfig(rate_limits=True)) as stage:
        errors = [(await get(stage, f"{KRAKEN}/Time"))["error"] for _ in range(16)]
        assert errors == [[]] * 15 + [["EAPI:Rate limit exceeded"]]
        stage.clock.advance_ms(1000)
        assert (await get(stage, f"{KRAKEN}/Time"))["error"] == []


# Steering


async def test_a_book_placed_by_hand_is_shown_exactly(stage: Stage) -> None:
    await stage.place_book("kraken", "SOL/USD", {"bids": [["99.5", "1"]], "asks": [["100.25", "2.5"]]})
    book = (await get(stage, f"{KRAKEN}/Depth?pair=SOLUSD"))["result"]["SOLUSD"]
    assert [level[:2] for level in book["bids"] + book["asks"]] == [
        ["99.50000", "1.000"],
        ["100.25000", "2.500"],
    ]

    await stage.sim("DELETE", "books")
    released = (await get(stage, f"{KRAKEN}/Depth?pair=SOLUSD"))["result"]["SOLUSD"]
    assert len(released["bids"]) == 100


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"venue": "nowhere"}, "venue"),
        ({"symbol": "NO/SUCH"}, "symbol"),
        ({"bids": [["98", "1"], ["99", "1"]]}, "bids"),
        ({"asks": [["101", "1"], ["101", "1"]]}, "asks"),
        ({"asks": [["-1", "1"]]}, "asks"),
        ({"asks": [[101, 1]]}, "asks"),
        ({"asks": [["101", "1e400"]]}, "asks"),
        ({"asks": "none"}, "asks"),
    ],
)
async def test_a_book_that_makes_no_sense_is_refused_by_field(
    stage: Stage, change: dict[str, object], field: str
) -> None:
    document = {"venue": "binance", "symbol": "BTC/USDT", "bids": [], "asks": [], **change}
    answer = await stage.client.post("/sim/books", json=document)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{field}: expected")


async def test_state_counts_requests_and_connections_and_reset_starts_afresh(stage: Stage) -> None:
    await get(stage, f"{BINANCE}/time")
    await get(stage, f"{BINANCE}/depth?symbol=BTCUSDT")
    await get(stage, f"{KRAKEN}/Depth?pair=XBTUSD")
    state = await stage.sim("GET", "state")
    assert state["requests"]["binance"] == {"time": 1, "book": 1}
    assert state["requests"]["kraken"] == {"book": 1}
    assert state["connections"] == {"binance": 1, "coinbase": 0, "kraken": 1}
    assert "BTC/USDT" in state["markets"]["coinbase"]

    await stage.fault(venue="*", fault="maintenance")
    await stage.sim("POST", "reset")

    assert (await stage.sim("GET", "state"))["requests"] == {"binance": {}, "coinbase": {}, "kraken": {}}
    assert (await stage.sim("GET", "faults"))["faults"] == []
