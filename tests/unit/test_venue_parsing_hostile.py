"""Whatever bytes come, parsing ends as a domain value or as a `VenueError`, for every venue."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sor_core.adapters.venues.binance import market_data as binance
from sor_core.adapters.venues.coinbase import market_data as coinbase
from sor_core.adapters.venues.kraken import market_data as kraken
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Instrument, Symbol

SYMBOL = Symbol.parse("BTC/USDT")
BOOK: dict[str, Any] = {"depth": 10, "received_at_ms": 1, "latency_ms": 1.0}

Parse = Callable[[bytes], object]

PARSERS: dict[str, tuple[Parse, Any]] = {
    "binance book": (
        lambda body: binance.parse_book(body, SYMBOL, **BOOK),
        {"lastUpdateId": 7, "bids": [["1.5", "2"]], "asks": [["1.6", "2"]]},
    ),
    "binance instrument": (
        lambda body: binance.parse_instrument(body, SYMBOL),
        {
            "symbols": [
                {
                    "symbol": "BTCUSDT",
                    "status": "TRADING",
                    "baseAsset": "BTC",
                    "quoteAsset": "USDT",
                    "baseAssetPrecision": 8,
                    "quotePrecision": 8,
                    "isSpotTradingAllowed": True,
                    "permissionSets": [["SPOT"]],
                    "filters": [
                        {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                        {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "9", "stepSize": "0.1"},
                        {"filterType": "NOTIONAL", "minNotional": "5", "maxNotional": "99"},
                    ],
                }
            ]
        },
    ),
    "binance time": (binance.parse_server_time, {"serverTime": 1499827319559}),
    "coinbase book": (
        lambda body: coinbase.parse_book(body, SYMBOL, **BOOK),
        {
            "pricebook": {
                "product_id": "BTC-USDT",
                "bids": [{"price": "1.5", "size": "2"}],
                "asks": [{"price": "1.6", "size": "2"}],
                "time": "2026-04-07T00:28:59.66Z",
            }
        },
    ),
    "coinbase instrument": (
        lambda body: coinbase.parse_instrument(body, SYMBOL),
        {
            "product_id": "BTC-USDT",
            "base_increment": "0.01",
            "quote_increment": "0.01",
            "price_increment": "0.01",
            "base_min_size": "0.1",
            "base_max_size": "9",
            "quote_min_size": "1",
            "quote_max_size": "99",
            "base_currency_id": "BTC",
            "quote_currency_id": "USDT",
            "status": "online",
            "product_type": "SPOT",
        },
    ),
    "coinbase time": (coinbase.parse_server_time, {"epochMillis": "1435082571123"}),
    "kraken book": (
        lambda body: kraken.parse_book(body, SYMBOL, **BOOK),
        {"error": [], "result": {"XBTUSDT": {"bids": [["1.5", "2", 5]], "asks": [["1.6", "2", 6]]}}},
    ),
    "kraken instrument": (
        lambda body: kraken.parse_instrument(body, SYMBOL, received_at_ms=1),
        {
            "error": [],
            "result": {
                "XBTUSDT": {
                    "altname": "XBTUSDT",
                    "base": "XXBT",
                    "quote": "USDT",
                    "pair_decimals": 1,
                    "lot_decimals": 8,
                    "tick_size": "0.1",
                    "ordermin": "0.1",
                    "costmin": "0.5",
                    "status": "online",
                }
            },
        },
    ),
    "kraken time": (
        lambda body: kraken.parse_server_time(body, received_at_ms=1),
        {"error": [], "result": {"unixtime": 1616336594}},
    ),
    "kraken status": (
        lambda body: kraken.parse_system_status(body, received_at_ms=1),
        {"error": [], "result": {"status": "online"}},
    ),
}

ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    1e308,
    "",
    "x",
    "NaN",
    "-1",
    "1e5",
    "0",
    " 1",
    "٣",
    "1" * 60,
    [],
    {},
    [[]],
    [["1", "2", []]],
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as the way to it."""
    inner: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        inner = [p for key, each in value.items() for p in places(each, (*path, key))]
    elif isinstance(value, list):
        inner = [p for index, each in enumerate(value) for p in places(each, (*path, index))]
    return [path, *inner]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The JSON value with another value at one place."""
    if not path:
        return odd
    changed = json.loads(json.dumps(value))
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = odd
    return changed


def outcome(parse: Parse, body: bytes) -> object:
    """What parsing gives; a `VenueError` is an outcome, any other exception fails the test."""
    try:
        return parse(body)
    except VenueError as error:
        caught = error
    assert "\n" not in str(caught)
    assert len(str(caught)) < 300
    return caught.failure


@pytest.mark.parametrize("name", PARSERS)
def test_the_honest_body_parses(name: str) -> None:
    parse, honest = PARSERS[name]
    assert not isinstance(outcome(parse, json.dumps(honest).encode()), VenueFailure)


@pytest.mark.parametrize("name", PARSERS)
def test_an_odd_value_at_every_place(name: str) -> None:
    parse, honest = PARSERS[name]
    for path in places(honest):
        for odd in ODD_VALUES:
            result = outcome(parse, json.dumps(replaced(honest, path, odd)).encode())
            if isinstance(result, Instrument):
                assert result.tick > 0, path
                assert result.lot > 0, path
                assert result.min_size >= result.lot, path


@pytest.mark.parametrize("name", PARSERS)
def test_cut_anywhere_it_is_malformed(name: str) -> None:
    parse, honest = PARSERS[name]
    body = json.dumps(honest).encode()
    for end in range(len(body)):
        assert outcome(parse, body[:end]) is VenueFailure.MALFORMED


@pytest.mark.parametrize("name", PARSERS)
@seed(20240808)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_bytes_overwritten_at_random(name: str, data: st.DataObject) -> None:
    parse, honest = PARSERS[name]
    body = bytearray(json.dumps(honest).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not body:
            break
    outcome(parse, bytes(body))
