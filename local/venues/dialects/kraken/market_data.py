"""Kraken's public endpoints ("Market Data")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_FLOOR
from functools import cache
from typing import Any

from local.venues.dialects.kraken.wire import (
    ASSET_DECIMALS,
    LISTED,
    KrakenError,
    altname,
    asset_code,
    one_pair,
    pair_altname,
    pair_key,
    pairs,
    parameters,
    price_decimals,
    price_text,
    size_text,
    whole,
    wsname,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import decimals_of
from local.venues.noise import mix
from local.venues.orders import Side
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_MOST_LEVELS = 500
_FEES = ((0, 0.4), (10_000, 0.35), (50_000, 0.24), (100_000, 0.22), (250_000, 0.2), (500_000, 0.18))
_FEES_MAKER = ((0, 0.25), (10_000, 0.2), (50_000, 0.14), (100_000, 0.12), (250_000, 0.1), (500_000, 0.08))


def _time(_given: Mapping[str, str], view: ExchangeView) -> object:
    seconds = view.now_ms // 1000
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return {"unixtime": seconds, "rfc1123": moment.strftime("%a, %d %b %y %H:%M:%S +0000")}


def _status_word(view: ExchangeView) -> str:
    if view.conditions.maintenance:
        return "maintenance"
    return "cancel_only" if view.conditions.cancel_only else "online"


def _system_status(_given: Mapping[str, str], view: ExchangeView) -> object:
    moment = datetime.fromtimestamp(view.now_ms // 1000, tz=UTC)
    return {"status": _status_word(view), "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _assets(given: Mapping[str, str], _view: ExchangeView) -> object:
    listed = dict.fromkeys(asset for each in LISTED.values() for asset in (each.base, each.quote))
    by_name = {name: asset for asset in listed for name in (asset, altname(asset), asset_code(asset))}
    wanted: Sequence[str] = list(listed)
    if given.get("asset"):
        names = [name.strip().upper() for name in given["asset"].split(",")]
        if not set(names) <= set(by_name):
            raise KrakenError("EQuery:Unknown asset")
        wanted = [by_name[name] for name in names]
    return {
        asset_code(asset): {
            "aclass": "currency",
            "altname": altname(asset),
            "decimals": ASSET_DECIMALS.get(asset, (8, 5))[0],
            "display_decimals": ASSET_DECIMALS.get(asset, (8, 5))[1],
            "collateral_value": 1.0,
            "status": "enabled",
        }
        for asset in wanted
    }


_INFO_FIELDS: Mapping[str, Sequence[str]] = {
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


def _asset_pairs(given: Mapping[str, str], view: ExchangeView) -> object:
    info = given.get("info", "info")
    if info != "info" and info not in _INFO_FIELDS:
        raise KrakenError("EGeneral:Invalid arguments")
    status = "cancel_only" if view.conditions.cancel_only else "online"
    found = {}
    for listing in pairs(given):
        pair = _pair(listing, status)
        found[pair_key(listing)] = {name: pair[name] for name in _INFO_FIELDS.get(info, pair)}
    return found


def _pair(listing: Listing, status: str) -> dict[str, Any]:
    return {
        "altname": pair_altname(listing),
        "wsname": wsname(listing),
        "aclass_base": "currency",
        "base": asset_code(listing.base),
        "aclass_quote": "currency",
        "quote": asset_code(listing.quote),
        "lot": "unit",
        "cost_decimals": 10 if listing.quote == "BTC" else 5,
        "pair_decimals": decimals_of(listing.tick),
        "lot_decimals": decimals_of(listing.lot),
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [list(tier) for tier in _FEES],
        "fees_maker": [list(tier) for tier in _FEES_MAKER],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{listing.min_size:f}",
        "costmin": f"{listing.min_notional:f}",
        "tick_size": f"{listing.tick:f}",
        "status": status,
    }


@cache
def _level_ages_s(number: int) -> Sequence[int]:
    """How long ago levels last changed, by rank: the best just now, deeper ones some seconds ago."""
    return tuple(mix(number, rank) % (rank + 1) for rank in range(_MOST_LEVELS))


def _depth(given: Mapping[str, str], view: ExchangeView) -> object:
    listing = one_pair(given)
    count = whole(given, "count", 100, 1, _MOST_LEVELS)
    book = view.book(listing.symbol)
    changed_s = book.changed_at_ms // 1000
    decimals = price_decimals(listing)

    def side(number: int, levels: Sequence[Any]) -> list[list[object]]:
        return [
            [f"{price:.{decimals}f}", size_text(size), changed_s - age_s]
            for (price, size), age_s in zip(levels[:count], _level_ages_s(number), strict=False)
        ]

    return {pair_key(listing): {"asks": side(1, book.asks), "bids": side(2, book.bids)}}


def _ticker(given: Mapping[str, str], view: ExchangeView) -> object:
    return {pair_key(listing): _ticker_of(listing, view) for listing in pairs(given)}


def _ticker_of(listing: Listing, view: ExchangeView) -> dict[str, object]:
    book = view.book(listing.symbol)
    stats = view.day_stats(listing.symbol)
    newest = view.trades(listing.symbol, 1)[0]

    def best(levels: Sequence[Any]) -> list[str]:
        if not levels:
            return ["0", "0", "0"]
        whole = int(levels[0].size.to_integral_value(rounding=ROUND_FLOOR))
        return [price_text(listing, levels[0].price), str(whole), f"{levels[0].size:.3f}"]

    return {
        "a": best(book.asks),
        "b": best(book.bids),
        "c": [price_text(listing, newest.price), f"{newest.size:.8f}"],
        "v": [f"{stats.volume / 2:.8f}", f"{stats.volume:.8f}"],
        "p": [price_text(listing, stats.average)] * 2,
        "t": [stats.trades // 2, stats.trades],
        "l": [price_text(listing, stats.low)] * 2,
        "h": [price_text(listing, stats.high)] * 2,
        "o": price_text(listing, stats.open),
    }


def _trades(given: Mapping[str, str], view: ExchangeView) -> object:
    listing = one_pair(given)
    trades = list(reversed(view.trades(listing.symbol, whole(given, "count", 1000, 1, 1000))))
    rows = [
        [
            price_text(listing, trade.price),
            f"{trade.size:.8f}",
            trade.at_ms / 1000,
            "b" if trade.taker is Side.BUY else "s",
            "l",
            "",
            trade.number,
        ]
        for trade in trades
    ]
    return {pair_key(listing): rows, "last": str(trades[-1].at_ms * 1_000_000)}


def _route(
    path: str, endpoint: Endpoint, answer: Callable[[Mapping[str, str], ExchangeView], object]
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply({"error": [], "result": answer(parameters(request), view)})

    return Route(("GET", "POST"), f"/0/public/{path}", endpoint, handle)


ROUTES: Sequence[Route] = (
    _route("Time", Endpoint.TIME, _time),
    _route("SystemStatus", Endpoint.STATUS, _system_status),
    _route("Assets", Endpoint.ASSETS, _assets),
    _route("AssetPairs", Endpoint.INSTRUMENTS, _asset_pairs),
    _route("Depth", Endpoint.BOOK, _depth),
    _route("Ticker", Endpoint.TICKER, _ticker),
    _route("Trades", Endpoint.TRADES, _trades),
)
"""Kraken's public paths."""
