"""Coinbase's bodies become the domain's types, or a `VenueError`: nothing else comes out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.coinbase import market_data as coinbase
from sor_core.adapters.venues.coinbase import symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.ports import SystemStatus

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "venue_samples" / "coinbase"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data/venue_samples is absent")

BTC_USD = Symbol.parse("BTC/USD")
BTC_USDC = Symbol.parse("BTC/USDC")


def product(**changes: Any) -> bytes:
    """One product as Get Public Product gives it, with what a test changes (None: left out)."""
    fields: dict[str, Any] = {
        "product_id": "BTC-USD",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.05",
        "base_min_size": "0.0001",
        "base_max_size": "3400",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_currency_id": "BTC",
        "quote_currency_id": "USD",
        "product_type": "SPOT",
        "status": "online",
        "alias": "",
        "is_disabled": False,
        "trading_disabled": False,
        "view_only": False,
        "auction_mode": False,
        "cancel_only": False,
        "post_only": False,
        "limit_only": False,
    }
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def parsed(**changes: Any) -> Instrument:
    return coinbase.parse_instrument(product(**changes), BTC_USD)


def book_of(body: bytes, symbol: Symbol = BTC_USD, *, depth: int = 100) -> Book:
    return coinbase.parse_book(body, symbol, depth=depth, received_at_ms=5, latency_ms=1.5)


def pricebook(**changes: Any) -> bytes:
    fields = {"product_id": "BTC-USD", "bids": [], "asks": [], "time": "2026-04-07T00:28:59.662782Z"}
    return json.dumps({"pricebook": {**fields, **changes}}).encode()


def refusal(status: int, body: bytes = b"", **headers: str) -> VenueError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = coinbase.failure(Answer(status, named, body, received_at_ms=5, latency_ms=1.0))
    assert error is not None
    return error


@needs_samples
def test_recorded_product_book() -> None:
    book = book_of((SAMPLES / "product_book__nautilus.json").read_bytes())
    assert book.bids[0] == ("68923.66", "0.17189468")
    assert book.bids[3] == ("68921.72", "0.000016")
    assert book.asks[-1] == ("68928", "0.058")
    assert (len(book.bids), len(book.asks)) == (5, 5)
    assert book.source_time_ms == 1775521739662
    assert book.sequence is None


@needs_samples
def test_recorded_product() -> None:
    body = (SAMPLES / "product__nautilus.json").read_bytes()
    assert coinbase.parse_instrument(body, BTC_USD) == Instrument(
        venue="coinbase",
        symbol=BTC_USD,
        venue_symbol="BTC-USD",
        tick=Decimal("0.01"),
        lot=Decimal("0.00000001"),
        min_size=Decimal("0.00000001"),
        max_size=Decimal(3400),
        min_notional=Decimal(1),
        max_notional=Decimal(150000000),
        status=TradingStatus.TRADING,
    )


@needs_samples
def test_every_recorded_product_and_the_alias_among_them() -> None:
    recorded = json.loads((SAMPLES / "products__nautilus.json").read_bytes())["products"]
    instruments = [
        coinbase.parse_instrument(
            json.dumps(each).encode(),
            symbols.common_symbol(each["base_currency_id"], each["quote_currency_id"]),
        )
        for each in recorded
    ]
    assert [i.venue_symbol for i in instruments] == ["BTC-USD", "BTC-USDC"]
    assert all(i.status is TradingStatus.TRADING for i in instruments)
    for each in recorded:
        assert symbols.shared_book(each["product_id"]) == (each["alias"] or each["product_id"])


@needs_samples
def test_recorded_time_and_rate_limit() -> None:
    time = (SAMPLES / "time__hummingbot.json").read_bytes()
    assert coinbase.parse_server_time(time) == 1435082571123
    assert coinbase.parse_system_status(time) is SystemStatus.ONLINE
    limited = (SAMPLES / "error__rate_limit_v2_429.json").read_bytes()
    assert refusal(429, limited).failure is VenueFailure.RATE_LIMITED
    assert refusal(400, limited).failure is VenueFailure.RATE_LIMITED


def test_time_in_strings() -> None:
    body = b'{"iso":"2026-04-07T00:28:59Z","epochSeconds":"1775521739","epochMillis":"1775521739662"}'
    assert coinbase.parse_server_time(body) == 1775521739662


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"epochMillis":"12e3"}',
        b'{"epochMillis":1.5}',
        b'{"epochMillis":""}',
        b'{"epochMillis":-1}',
        b'{"epochMillis":"99999999999999999999"}',
    ],
)
def test_malformed_times(body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        coinbase.parse_server_time(body)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_an_alias_gives_the_shared_book_under_either_name() -> None:
    for product_id in ("BTC-USD", "BTC-USDC"):
        assert book_of(pricebook(product_id=product_id), BTC_USDC).symbol == BTC_USDC


@pytest.mark.parametrize("product_id", ["ETH-USD", "BTC-USDT", "BTC", ""])
def test_the_book_of_another_product_is_refused(product_id: str) -> None:
    with pytest.raises(VenueError) as caught:
        book_of(pricebook(product_id=product_id))
    assert caught.value.failure is VenueFailure.MALFORMED


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-04-07T00:28:59.662782123Z", 1775521739662),
        ("2026-04-07T02:28:59.662+02:00", 1775521739662),
        ("", None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_source_time(time: str, expected: int | None) -> None:
    assert book_of(pricebook(time=time)).source_time_ms == expected


def test_depth_is_cut_to_what_was_asked() -> None:
    levels = [{"price": "3", "size": "1"}, {"price": "2", "size": "1"}]
    assert book_of(pricebook(bids=levels), depth=1).bids == [("3", "1")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"pricebook":null}',
        b'{"pricebook":{"product_id":"BTC-USD","bids":[]}}',
        pricebook(time="yesterday"),
        pricebook(time="2026-04-07T00:28:59"),
        pricebook(time="1901-01-01T00:00:00Z"),
        pricebook(bids=[["1", "1"]]),
        pricebook(bids=[{"price": 1, "size": "1"}]),
        pricebook(bids=[{"price": "1"}]),
        pricebook(bids={}),
        b'{"pricebook":{"product_id":"BTC-USD","asks":[],"bids":[{"price":"\xc3","size":"1"}]}}',
        b'{"pricebook":' + b'{"a":' * 100_000,
    ],
)
def test_malformed_books(body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        book_of(body)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_prices_step_by_their_own_increment_where_there_is_one() -> None:
    assert parsed().tick == Decimal("0.05")
    assert parsed(price_increment=None).tick == Decimal("0.01")
    assert parsed(price_increment="").tick == Decimal("0.01")


def test_an_absent_or_empty_maximum_is_none() -> None:
    instrument = parsed(base_max_size="", quote_max_size=None, quote_min_size=None)
    assert (instrument.max_size, instrument.max_notional) == (None, None)
    assert instrument.min_notional == Decimal(0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, TradingStatus.TRADING),
        ({"trading_disabled": True}, TradingStatus.HALTED),
        ({"is_disabled": True}, TradingStatus.HALTED),
        ({"view_only": True}, TradingStatus.HALTED),
        ({"auction_mode": True}, TradingStatus.HALTED),
        ({"status": "delisted"}, TradingStatus.HALTED),
        ({"cancel_only": True, "limit_only": True}, TradingStatus.CANCEL_ONLY),
        ({"post_only": True, "limit_only": True}, TradingStatus.POST_ONLY),
        ({"limit_only": True}, TradingStatus.LIMIT_ONLY),
        ({"limit_only": True, "trading_disabled": True}, TradingStatus.HALTED),
        ({"view_only": None, "auction_mode": None, "status": None}, TradingStatus.TRADING),
    ],
)
def test_status(changes: dict[str, Any], expected: TradingStatus) -> None:
    assert parsed(**changes).status is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"base_increment": "0"},
        {"base_increment": ""},
        {"base_increment": None},
        {"price_increment": "0.00"},
        {"base_min_size": "-1"},
        {"base_max_size": "1e9"},
        {"quote_min_size": "NaN"},
        {"trading_disabled": "false"},
        {"product_id": "BTC-USDC"},
        {"quote_currency_id": "USDC"},
    ],
)
def test_malformed_products(changes: dict[str, Any]) -> None:
    with pytest.raises(VenueError) as caught:
        parsed(**changes)
    assert caught.value.failure is VenueFailure.MALFORMED


def test_what_is_not_spot_is_not_listed() -> None:
    with pytest.raises(VenueError) as caught:
        parsed(product_type="FUTURE")
    assert caught.value.failure is VenueFailure.UNKNOWN_SYMBOL


@needs_samples
def test_products_of_the_older_exchange_api_are_refused() -> None:
    """They have other fields (``id``, ``base_currency``) and belong to another API."""
    older = json.loads((SAMPLES / "exchange_products__xchange.json").read_bytes())[0]
    with pytest.raises(VenueError) as caught:
        coinbase.parse_instrument(json.dumps(older).encode(), Symbol.parse("LTC/EUR"))
    assert caught.value.failure is VenueFailure.MALFORMED


NOT_FOUND = b'{"error":"NOT_FOUND","error_details":"valid product_id is required","message":"x"}'


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (404, NOT_FOUND, VenueFailure.UNKNOWN_SYMBOL),
        (400, NOT_FOUND.replace(b"NOT_FOUND", b"INVALID_ARGUMENT"), VenueFailure.UNKNOWN_SYMBOL),
        (404, b"<html>no such page</html>", VenueFailure.REFUSED),
        (400, b'{"error":"INVALID_ARGUMENT","error_details":"limit"}', VenueFailure.REFUSED),
        (401, b"Unauthorized", VenueFailure.REFUSED),
        (403, NOT_FOUND, VenueFailure.BLOCKED),
        (500, NOT_FOUND, VenueFailure.SERVER_ERROR),
        (307, b"", VenueFailure.MALFORMED),
    ],
)
def test_refusals(status: int, body: bytes, failure: VenueFailure) -> None:
    assert refusal(status, body).failure is failure


def test_symbols_map_both_ways() -> None:
    for text in ("BTC/USDT", "ETH/USD", "00/USD"):
        symbol = Symbol.parse(text)
        assert symbols.venue_symbol(symbol) == text.replace("/", "-")
        assert symbols.common_symbol(*text.split("/")) == symbol
    assert symbols.shared_book("BTC-USDT") == "BTC-USDT"
