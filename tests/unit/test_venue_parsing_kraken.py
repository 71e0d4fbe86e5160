"""Kraken's bodies become the domain's types, or a `VenueError`: nothing else comes out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.kraken import market_data as kraken
from sor_core.adapters.venues.kraken import symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.ports import SystemStatus

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "venue_samples" / "kraken"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data/venue_samples is absent")

NOW_MS = 1_700_000_000_000
BTC_USD = Symbol.parse("BTC/USD")
BTC_USDT = Symbol.parse("BTC/USDT")
ETH_BTC = Symbol.parse("ETH/BTC")


def ok(result: Any) -> bytes:
    return json.dumps({"error": [], "result": result}).encode()


def failed(*errors: str) -> bytes:
    return json.dumps({"error": errors}).encode()


def pair(**changes: Any) -> dict[str, Any]:
    """One market as Get Tradable Asset Pairs gives it, with what a test changes (None: left out)."""
    fields: dict[str, Any] = {
        "altname": "XBTUSDT",
        "wsname": "XBT/USDT",
        "base": "XXBT",
        "quote": "USDT",
        "pair_decimals": 1,
        "cost_decimals": 5,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "fees": [[0, 0.4], [10000, 0.35]],
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not None}


def parsed(symbol: Symbol = BTC_USDT, **changes: Any) -> Instrument:
    return kraken.parse_instrument(ok({"XBTUSDT": pair(**changes)}), symbol, received_at_ms=NOW_MS)


def book_of(body: bytes, *, depth: int = 100) -> Book:
    return kraken.parse_book(body, BTC_USD, depth=depth, received_at_ms=NOW_MS, latency_ms=1.5)


def error_of(*errors: str) -> VenueError:
    with pytest.raises(VenueError) as caught:
        book_of(failed(*errors))
    return caught.value


@needs_samples
def test_documented_depth() -> None:
    book = book_of((SAMPLES / "Depth__official_doc.json").read_bytes())
    assert [level[:2] for level in book.bids] == [("52522.90000", "0.753"), ("52522.80000", "0.006")]
    assert [level[:2] for level in book.asks] == [("52523.00000", "1.199"), ("52536.00000", "0.300")]
    assert book.source_time_ms == 1616663113000
    assert (book.sequence, book.received_at_ms, book.latency_ms) == (None, NOW_MS, 1.5)


@needs_samples
def test_documented_time_and_status() -> None:
    time = (SAMPLES / "Time__official_doc.json").read_bytes()
    assert kraken.parse_server_time(time, received_at_ms=NOW_MS) == 1616336594000
    status = (SAMPLES / "SystemStatus__official_doc.json").read_bytes()
    assert kraken.parse_system_status(status, received_at_ms=NOW_MS) is SystemStatus.ONLINE


@needs_samples
@pytest.mark.parametrize(
    ("key", "symbol", "venue_symbol", "tick", "min_size"),
    [
        ("XXBTZUSD", BTC_USD, "XBTUSD", "0.1", "0.0002"),
        ("XETHXXBT", ETH_BTC, "ETHXBT", "0.00001", "0.005"),
    ],
)
def test_documented_pairs_of_the_older_form(
    key: str, symbol: Symbol, venue_symbol: str, tick: str, min_size: str
) -> None:
    documented = json.loads((SAMPLES / "AssetPairs__official_doc.json").read_bytes())["result"]
    body = ok({key: documented[key]})
    assert kraken.parse_instrument(body, symbol, received_at_ms=NOW_MS) == Instrument(
        venue="kraken",
        symbol=symbol,
        venue_symbol=venue_symbol,
        tick=Decimal(tick),
        lot=Decimal("0.00000001"),
        min_size=Decimal(min_size),
        max_size=None,
        min_notional=Decimal(0),
        max_notional=None,
        status=TradingStatus.TRADING,
    )


@needs_samples
def test_every_documented_asset_maps_to_its_short_name() -> None:
    assets = json.loads((SAMPLES / "Assets__official_doc.json").read_bytes())["result"]
    for long, asset in assets.items():
        assert symbols.common_asset(long) == symbols.common_asset(asset["altname"])
    balances = json.loads((SAMPLES / "Balance__official_doc.json").read_bytes())["result"]
    common = {symbols.common_asset(name) for name in balances}
    assert {"BTC", "ETH", "USD", "EUR", "XTZ", "USDT", "XRP"} <= common
    assert not common & {"XBT", "XXBT", "ZUSD", "TZ", "XETH"}


@needs_samples
def test_every_documented_error_is_told_apart_from_success() -> None:
    tables = json.loads((SAMPLES.parent / "kraken_errors.json").read_bytes())
    texts = [each["error"] for each in tables["official_openapi_2021"]]
    texts += [each["code"] for each in tables["catalogue_2026"]["errors"]]
    meanings = {text: error_of(text).failure for text in texts}
    assert meanings["EQuery:Unknown asset pair"] is VenueFailure.UNKNOWN_SYMBOL
    assert meanings["EService:Market in cancel_only mode"] is VenueFailure.MAINTENANCE
    assert meanings["EAPI:Rate limit exceeded"] is VenueFailure.RATE_LIMITED
    assert meanings["EGeneral:Internal error"] is VenueFailure.SERVER_ERROR
    assert meanings["EGeneral:Permission denied"] is VenueFailure.REFUSED


def test_instrument_of_the_newer_form() -> None:
    assert parsed() == Instrument(
        venue="kraken",
        symbol=BTC_USDT,
        venue_symbol="XBTUSDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.00000001"),
        min_size=Decimal("0.00005"),
        max_size=None,
        min_notional=Decimal("0.5"),
        max_notional=None,
        status=TradingStatus.TRADING,
    )


def test_the_tick_may_be_coarser_than_the_decimals() -> None:
    assert parsed(pair_decimals=3, tick_size="0.005").tick == Decimal("0.005")
    assert parsed(pair_decimals=3, tick_size=None).tick == Decimal("0.001")
    assert parsed(pair_decimals=0, tick_size=None).tick == Decimal(1)


def test_the_lot_multiplier_counts() -> None:
    assert parsed(lot_decimals=2, lot_multiplier=5, ordermin=None).lot == Decimal("0.05")
    assert parsed(lot_decimals=2, ordermin=None).min_size == Decimal("0.01")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("online", TradingStatus.TRADING),
        ("limit_only", TradingStatus.LIMIT_ONLY),
        ("post_only", TradingStatus.POST_ONLY),
        ("cancel_only", TradingStatus.CANCEL_ONLY),
        ("reduce_only", TradingStatus.REDUCE_ONLY),
        ("maintenance", TradingStatus.HALTED),
        ("a_new_one", TradingStatus.HALTED),
    ],
)
def test_status(status: str, expected: TradingStatus) -> None:
    assert parsed(status=status).status is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("online", SystemStatus.ONLINE),
        ("post_only", SystemStatus.POST_ONLY),
        ("cancel_only", SystemStatus.CANCEL_ONLY),
        ("maintenance", SystemStatus.MAINTENANCE),
        ("a_new_one", SystemStatus.MAINTENANCE),
    ],
)
def test_system_status(status: str, expected: SystemStatus) -> None:
    body = ok({"status": status, "timestamp": "2026-04-07T00:28:59Z"})
    assert kraken.parse_system_status(body, received_at_ms=NOW_MS) is expected


def test_a_joined_name_of_other_assets_is_not_the_symbol() -> None:
    twin = Symbol.parse("BTCU/SDT")
    with pytest.raises(VenueError) as caught:
        parsed(twin)
    assert caught.value.failure is VenueFailure.UNKNOWN_SYMBOL


def test_a_warning_is_no_error() -> None:
    body = json.dumps({"error": ["WGeneral:Something"], "result": {"unixtime": 1616336594}}).encode()
    assert kraken.parse_server_time(body, received_at_ms=NOW_MS) == 1616336594000


def test_depth_is_cut_to_what_was_asked_and_the_rest_has_no_say() -> None:
    side = [["3", "1", 100], ["2", "1", 300], ["1", "1", 900]]
    book = book_of(ok({"XXBTZUSD": {"bids": side, "asks": []}}), depth=2)
    assert [level[0] for level in book.bids] == ["3", "2"]
    assert book.source_time_ms == 300_000


def test_an_empty_book_has_no_time() -> None:
    assert book_of(ok({"XXBTZUSD": {"bids": [], "asks": []}})).source_time_ms is None


EMPTY_SIDES: dict[str, Any] = {"bids": [], "asks": []}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"error":[]}',
        b'{"error":null,"result":{}}',
        b'{"error":[],"result":{"XXBTZUSD":{"bids":[["1","1",NaN]],"asks":[]}}}',
        ok({}),
        ok([]),
        ok({"XXBTZUSD": EMPTY_SIDES, "XETHZUSD": EMPTY_SIDES}),
        ok({"XXBTZUSD": {"bids": []}}),
        ok({"XXBTZUSD": {"bids": [[1.0, "1", 1]], "asks": []}}),
        ok({"XXBTZUSD": {"bids": [["1", "1"]], "asks": []}}),
        ok({"XXBTZUSD": {"bids": [["1", "1", -1]], "asks": []}}),
        ok({"XXBTZUSD": {"bids": [["1", "1", 1e300]], "asks": []}}),
        b'{"error":[],"result":' + b"[" * 200_000,
        b'{"error":["\xfe"]}',
    ],
)
def test_malformed_books(body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        book_of(body)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"pair_decimals": -1},
        {"pair_decimals": 10**9},
        {"lot_decimals": "8"},
        {"lot_decimals": None},
        {"lot_multiplier": 0},
        {"tick_size": "0"},
        {"tick_size": "1e-1"},
        {"ordermin": "-1"},
        {"costmin": 0.5},
        {"base": None},
    ],
)
def test_malformed_pairs(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        parsed(**changes)
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ("EQuery:Unknown asset pair", VenueFailure.UNKNOWN_SYMBOL),
        ("EAPI:Rate limit exceeded", VenueFailure.RATE_LIMITED),
        ("EGeneral:Too many requests", VenueFailure.RATE_LIMITED),
        ("EService:Unavailable", VenueFailure.MAINTENANCE),
        ("EService:Market in post_only mode", VenueFailure.MAINTENANCE),
        ("EService:Busy", VenueFailure.SERVER_ERROR),
        ("EService:Timeout", VenueFailure.SERVER_ERROR),
        ("EGeneral:Internal error:XQ2", VenueFailure.SERVER_ERROR),
        ("EGeneral:Temporary lockout", VenueFailure.BLOCKED),
        ("EGeneral:Invalid arguments", VenueFailure.REFUSED),
        ("EBrand:New", VenueFailure.REFUSED),
        ("", VenueFailure.REFUSED),
    ],
)
def test_errors(error: str, failure: VenueFailure) -> None:
    assert error_of(error).failure is failure


def test_throttling_says_until_when() -> None:
    error = error_of(f"EService:Throttled: {NOW_MS // 1000 + 12}")
    assert (error.failure, error.retry_after_s) == (VenueFailure.RATE_LIMITED, 12.0)
    assert error_of("EService:Throttled: 5").retry_after_s == 0.0
    for odd in ("EService:Throttled", "EService:Throttled: soon", "EService:Throttled: " + "9" * 5000):
        error = error_of(odd)
        assert (error.failure, error.retry_after_s) == (VenueFailure.RATE_LIMITED, None)


def test_an_error_that_is_no_code_is_not_passed_on() -> None:
    for text in ("EEvil:\nforged log line", "E" * 500, "E\u2028"):
        assert text not in str(error_of(text))


def test_other_statuses_than_200_come_from_the_network() -> None:
    answer = Answer(520, {}, b"<html>", received_at_ms=NOW_MS, latency_ms=1.0)
    error = kraken.failure(answer)
    assert error is not None
    assert error.failure is VenueFailure.SERVER_ERROR


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("BTC/USDT", "XBTUSDT"),
        ("DOGE/BTC", "XDGXBT"),
        ("ETH/USD", "ETHUSD"),
        ("XTZ/EUR", "XTZEUR"),
    ],
)
def test_names_for_requests(text: str, name: str) -> None:
    assert symbols.venue_symbol(Symbol.parse(text)) == name


@pytest.mark.parametrize(
    ("base", "quote", "text"),
    [
        ("XXBT", "ZUSD", "BTC/USD"),
        ("XBT", "USDT", "BTC/USDT"),
        ("BTC", "USDT", "BTC/USDT"),
        ("XXDG", "XXBT", "DOGE/BTC"),
        ("XTZ", "ZEUR", "XTZ/EUR"),
        ("ZRX", "USD", "ZRX/USD"),
        ("ZETA", "XETH", "ZETA/ETH"),
    ],
)
def test_names_in_answers(base: str, quote: str, text: str) -> None:
    assert symbols.common_symbol(base, quote) == Symbol.parse(text)
