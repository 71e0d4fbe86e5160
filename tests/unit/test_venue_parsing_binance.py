"""Binance's bodies become the domain's types, or a `VenueError`: nothing else comes out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.binance import market_data as binance
from sor_core.adapters.venues.binance import symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.ports import SystemStatus

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "venue_samples" / "binance"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data/venue_samples is absent")

BTC_USDT = Symbol.parse("BTC/USDT")


def exchange_info(**changes: Any) -> dict[str, Any]:
    """One market as Exchange information gives it, with what a test changes."""
    market: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.01000000",
                "maxPrice": "1000000.00000000",
                "tickSize": "0.01000000",
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00020000",
                "maxQty": "9000.00000000",
                "stepSize": "0.00001000",
            },
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "84.5",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
    }
    return {"timezone": "UTC", "symbols": [{**market, **changes}]}


def parsed(**changes: Any) -> Instrument:
    return binance.parse_instrument(json.dumps(exchange_info(**changes)).encode(), BTC_USDT)


def with_filters(*filters: dict[str, Any]) -> Instrument:
    return parsed(filters=list(filters))


def book_of(body: bytes, *, depth: int = 100) -> Book:
    return binance.parse_book(body, BTC_USDT, depth=depth, received_at_ms=5, latency_ms=1.5)


def refusal(status: int, body: bytes = b"", **headers: str) -> VenueError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = binance.failure(Answer(status, named, body, received_at_ms=5, latency_ms=1.0))
    assert error is not None
    return error


@needs_samples
def test_documented_depth() -> None:
    book = book_of((SAMPLES / "depth__doc_response_0.json").read_bytes())
    assert book == Book(
        venue="binance",
        symbol=BTC_USDT,
        bids=[("4.00000000", "431.00000000")],
        asks=[("4.00000200", "12.00000000")],
        received_at_ms=5,
        latency_ms=1.5,
        source_time_ms=None,
        sequence=1027024,
    )


@needs_samples
def test_documented_time_ping_and_error() -> None:
    assert binance.parse_server_time((SAMPLES / "time__doc_response_0.json").read_bytes()) == 1499827319559
    ping = (SAMPLES / "ping__doc_response_0.json").read_bytes()
    assert binance.parse_system_status(ping) is SystemStatus.ONLINE
    error = refusal(400, (SAMPLES / "error_envelope__doc_doc_0.json").read_bytes())
    assert error.failure is VenueFailure.UNKNOWN_SYMBOL


@needs_samples
def test_every_documented_error_code_has_a_meaning() -> None:
    codes = json.loads((SAMPLES.parent / "binance_error_codes.json").read_bytes())["codes"]
    meanings = {
        entry["code"]: refusal(400, json.dumps({"code": entry["code"], "msg": "x"}).encode()).failure
        for entry in codes
    }
    assert meanings[-1003] is VenueFailure.RATE_LIMITED
    assert meanings[-1007] is VenueFailure.SERVER_ERROR
    assert meanings[-1121] is VenueFailure.UNKNOWN_SYMBOL
    assert meanings[-1102] is VenueFailure.REFUSED


def test_depth_is_cut_to_what_was_asked() -> None:
    levels = [["3", "1"], ["2", "1"], ["1", "1"]]
    book = book_of(json.dumps({"lastUpdateId": 1, "bids": levels, "asks": []}).encode(), depth=2)
    assert (book.bids, book.asks) == ([("3", "1"), ("2", "1")], [])


def test_instrument_follows_the_filters_of_limit_orders() -> None:
    assert parsed() == Instrument(
        venue="binance",
        symbol=BTC_USDT,
        venue_symbol="BTCUSDT",
        tick=Decimal("0.01"),
        lot=Decimal("0.00001"),
        min_size=Decimal("0.0002"),
        max_size=Decimal(9000),
        min_notional=Decimal(5),
        max_notional=Decimal(9000000),
        status=TradingStatus.TRADING,
    )


def test_a_zero_disables_a_rule_and_the_precision_remains() -> None:
    instrument = with_filters(
        {"filterType": "PRICE_FILTER", "minPrice": "0", "maxPrice": "0", "tickSize": "0.00000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.00000000", "maxQty": "0.0", "stepSize": "0.00000000"},
        {"filterType": "NOTIONAL", "minNotional": "0.0", "maxNotional": "0"},
    )
    assert instrument.tick == instrument.lot == instrument.min_size == Decimal("0.00000001")
    assert (instrument.max_size, instrument.min_notional, instrument.max_notional) == (None, Decimal(0), None)


def test_absent_filters_limit_nothing() -> None:
    instrument = with_filters()
    assert instrument.tick == instrument.lot == Decimal("0.00000001")
    assert (instrument.max_size, instrument.min_notional, instrument.max_notional) == (None, Decimal(0), None)


def test_the_older_minimum_and_the_stricter_of_two_count() -> None:
    older = {"filterType": "MIN_NOTIONAL", "minNotional": "10.0", "applyToMarket": True, "avgPriceMins": 5}
    assert with_filters(older).min_notional == Decimal(10)
    newer = {"filterType": "NOTIONAL", "minNotional": "5.0", "maxNotional": "100"}
    assert with_filters(newer, older).min_notional == Decimal(10)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRADING", TradingStatus.TRADING),
        ("CANCEL_ONLY", TradingStatus.CANCEL_ONLY),
        ("HALT", TradingStatus.HALTED),
        ("BREAK", TradingStatus.HALTED),
        ("END_OF_DAY", TradingStatus.HALTED),
        ("A_NEW_ONE", TradingStatus.HALTED),
    ],
)
def test_status(status: str, expected: TradingStatus) -> None:
    assert parsed(status=status).status is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"isSpotTradingAllowed": False}, TradingStatus.HALTED),
        ({"permissionSets": [["MARGIN"], ["TRD_GRP_004"]]}, TradingStatus.HALTED),
        ({"permissionSets": [], "permissions": ["LEVERAGED"]}, TradingStatus.HALTED),
        ({"permissionSets": [], "permissions": ["SPOT", "MARGIN"]}, TradingStatus.TRADING),
        ({"permissionSets": [], "permissions": []}, TradingStatus.TRADING),
    ],
)
def test_a_market_closed_to_spot_accounts_is_halted(changes: dict[str, Any], expected: TradingStatus) -> None:
    assert parsed(**changes).status is expected


def test_a_joined_name_of_other_assets_is_not_the_symbol() -> None:
    twin = Symbol.parse("BTCU/SDT")
    assert symbols.venue_symbol(twin) == symbols.venue_symbol(BTC_USDT)
    with pytest.raises(VenueError) as caught:
        binance.parse_instrument(json.dumps(exchange_info()).encode(), twin)
    assert caught.value.failure is VenueFailure.UNKNOWN_SYMBOL


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "1e-2"}]},
        {"filters": [{"filterType": "PRICE_FILTER", "tickSize": "-0.01"}]},
        {"filters": [{"filterType": "LOT_SIZE", "stepSize": "NaN"}]},
        {"filters": [{"filterType": "LOT_SIZE", "stepSize": 0.001}]},
        {"filters": [{"filterType": "LOT_SIZE", "minQty": ""}]},
        {"filters": [{}]},
        {"filters": None},
        {"quotePrecision": -1, "filters": []},
        {"baseAssetPrecision": 10**9, "filters": []},
        {"status": 7},
    ],
)
def test_malformed_instruments(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        parsed(**changes)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>502</html>",
        b'{"lastUpdateId":1,"bids":[["1","1"]]}',
        b'{"lastUpdateId":1,"bids":[[1,"1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["1","1"]],"asks":[NaN]}',
        b'{"lastUpdateId":1.5,"bids":[],"asks":[]}',
        b'{"lastUpdateId":' + b"9" * 5000 + b',"bids":[],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[["\xff","1"]],"asks":[]}',
        b'{"lastUpdateId":1,"bids":[],"asks":[],"x":' + b"[" * 200_000,
        b'{"lastUpdateId":1,"bids":[["1","1"]],"asks":[["2","1"]',
    ],
)
def test_malformed_books(body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        book_of(body)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize("body", [b'{"serverTime":0}', b'{"serverTime":-5}', b'{"serverTime":9e18}', b"{}"])
def test_malformed_times(body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        binance.parse_server_time(body)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, b'{"code":-1100,"msg":"Illegal characters found"}', VenueFailure.UNKNOWN_SYMBOL),
        (400, b'{"code":-1016,"msg":"no longer available"}', VenueFailure.MAINTENANCE),
        (400, b'{"code":-1130,"msg":"x"}', VenueFailure.REFUSED),
        (400, b"<html>", VenueFailure.REFUSED),
        (403, b"<html>", VenueFailure.BLOCKED),
        (451, b"{}", VenueFailure.BLOCKED),
        (503, b'{"code":-1121,"msg":"x"}', VenueFailure.SERVER_ERROR),
        (503, b'{"code":-1016,"msg":"no longer available"}', VenueFailure.MAINTENANCE),
        (500, b'{"code":-99999,"msg":"x"}', VenueFailure.SERVER_ERROR),
        (429, b'{"code":-1121,"msg":"x"}', VenueFailure.RATE_LIMITED),
        (302, b"", VenueFailure.MALFORMED),
        (204, b"", VenueFailure.MALFORMED),
    ],
)
def test_refusals(status: int, body: bytes, failure: VenueFailure) -> None:
    assert refusal(status, body).failure is failure


def test_a_ban_says_for_how_long() -> None:
    error = refusal(418, b'{"code":-1003,"msg":"banned"}', retry_after="120")
    assert (error.failure, error.retry_after_s) == (VenueFailure.RATE_LIMITED, 120.0)
    assert refusal(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s is None


def test_symbols_map_both_ways() -> None:
    for text, name in (("BTC/USDT", "BTCUSDT"), ("DOGE/BTC", "DOGEBTC"), ("1000SATS/USDT", "1000SATSUSDT")):
        symbol = Symbol.parse(text)
        assert symbols.venue_symbol(symbol) == name
        assert symbols.common_symbol(*text.split("/")) == symbol
