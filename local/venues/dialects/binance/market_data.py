"""Binance's public endpoints (Binance Spot API docs, "General endpoints", "Market Data endpoints")."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from local.venues.dialects.binance.wire import (
    LISTINGS_BY_NAME,
    SYMBOL_FORM,
    BinanceError,
    Parameters,
    amount,
    listing_named,
    symbol_name,
)
from local.venues.exchange import DayStats, ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import floor_to
from local.venues.orders import Side
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

WEIGHT_LIMIT = 6000
ORDERS_IN_10_S = 100
ORDERS_A_DAY = 200_000
MOST_OPEN_ORDERS = 200
PRICE_BAND = Decimal(5)
"""PERCENT_PRICE_BY_SIDE: prices from a fifth of the average to five times it."""

_SYMBOLS_FORM = r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$"


def _chosen(given: Parameters) -> Listing | list[Listing]:
    """`symbol`, or `symbols`, or every market."""
    name = given.text("symbol", SYMBOL_FORM)
    names = given.text("symbols", _SYMBOLS_FORM)
    if name is not None and names is not None:
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    if name is not None:
        return listing_named(name)
    if names is not None:
        return [listing_named(each) for each in json.loads(names)]
    return list(LISTINGS_BY_NAME.values())


def _asks_one(request: ApiRequest) -> bool:
    return request.first("symbol") is not None


def _depth_weight(request: ApiRequest) -> int:
    text = request.first("limit") or "100"
    limit = int(text) if text.isdecimal() and len(text) <= len("5000") else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def _ticker_weight(request: ApiRequest) -> int:
    return 2 if _asks_one(request) else 4


def _stats_weight(request: ApiRequest) -> int:
    symbols = request.first("symbols")
    if _asks_one(request) or (symbols is not None and symbols.count(",") < 20):  # noqa: PLR2004 - documented
        return 2
    return 40 if symbols is not None and symbols.count(",") < 100 else 80  # noqa: PLR2004 - documented


def _ping(request: ApiRequest, _view: ExchangeView) -> object:
    Parameters(request)
    return {}


def _time(request: ApiRequest, view: ExchangeView) -> object:
    Parameters(request)
    return {"serverTime": view.now_ms}


def _exchange_info(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")
    chosen = _chosen(given)
    listings = [chosen] if isinstance(chosen, Listing) else chosen
    symbols = [_symbol_info(listing, symbol_status(view)) for listing in listings]
    wanted = given.choice("symbolStatus", -1122, "Invalid symbolStatus.", "TRADING", "HALT", "BREAK")
    if wanted is not None:
        symbols = [symbol for symbol in symbols if symbol["status"] == wanted]
    return {
        "timezone": "UTC",
        "serverTime": view.now_ms,
        "rateLimits": [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT),
            rate_limit("ORDERS", "SECOND", 10, ORDERS_IN_10_S),
            rate_limit("ORDERS", "DAY", 1, ORDERS_A_DAY),
            rate_limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
        ],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def rate_limit(kind: str, interval: str, number: int, limit: int) -> dict[str, object]:
    """One of Binance's limits as it lists them."""
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def symbol_status(view: ExchangeView) -> str:
    """Whether symbols trade now, in Binance's word."""
    if view.conditions.maintenance:
        return "BREAK"
    return "CANCEL_ONLY" if view.conditions.cancel_only else "TRADING"


def _symbol_info(listing: Listing, status: str) -> dict[str, Any]:
    precisions = ("baseAssetPrecision", "quotePrecision", "quoteAssetPrecision")
    commissions = ("baseCommissionPrecision", "quoteCommissionPrecision")
    return {
        "symbol": symbol_name(listing),
        "status": status,
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        **dict.fromkeys((*precisions, *commissions), 8),
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(listing),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def largest_market(listing: Listing) -> Decimal:
    """The largest market order (MARKET_LOT_SIZE), a share of the largest limit order."""
    return floor_to(listing.max_size / 90, listing.lot)


def _filters(listing: Listing) -> list[dict[str, object]]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": amount(listing.tick),
            "maxPrice": amount(listing.tick * 100_000_000),
            "tickSize": amount(listing.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": amount(listing.min_size),
            "maxQty": amount(listing.max_size),
            "stepSize": amount(listing.lot),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": amount(Decimal(0)),
            "maxQty": amount(largest_market(listing)),
            "stepSize": amount(Decimal(0)),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(PRICE_BAND),
            "bidMultiplierDown": str(1 / PRICE_BAND),
            "askMultiplierUp": str(PRICE_BAND),
            "askMultiplierDown": str(1 / PRICE_BAND),
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": amount(listing.min_notional),
            "applyMinToMarket": True,
            "maxNotional": amount(listing.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MOST_OPEN_ORDERS},
    ]


def _depth(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "limit", "symbolStatus")
    listing = given.listing()
    limit = given.limit(default=100, most=5000)
    book = view.book(listing.symbol)
    return {
        "lastUpdateId": book.sequence,
        "bids": [[amount(price), amount(size)] for price, size in book.bids[:limit]],
        "asks": [[amount(price), amount(size)] for price, size in book.asks[:limit]],
    }


def _for_each(given: Parameters, build: Callable[[Listing], object]) -> object:
    """One object for `symbol`, an array for `symbols` or for neither."""
    chosen = _chosen(given)
    return build(chosen) if isinstance(chosen, Listing) else [build(listing) for listing in chosen]


def _book_ticker(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "symbols", "symbolStatus")

    def build(listing: Listing) -> object:
        book = view.book(listing.symbol)
        bid, ask = next(iter(book.bids), None), next(iter(book.asks), None)
        nothing = amount(Decimal(0))
        return {
            "symbol": symbol_name(listing),
            "bidPrice": amount(bid.price) if bid else nothing,
            "bidQty": amount(bid.size) if bid else nothing,
            "askPrice": amount(ask.price) if ask else nothing,
            "askQty": amount(ask.size) if ask else nothing,
        }

    return _for_each(given, build)


def _price(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "symbols", "symbolStatus")
    return _for_each(
        given,
        lambda listing: {"symbol": symbol_name(listing), "price": amount(view.last_price(listing.symbol))},
    )


def _day(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "symbols", "type", "symbolStatus")
    kind = given.choice("type", -1139, "Invalid ticker type.", "FULL", "MINI")
    return _for_each(given, lambda listing: _day_of(listing, view, full=kind != "MINI"))


def _day_of(listing: Listing, view: ExchangeView, *, full: bool) -> dict[str, object]:
    stats = view.day_stats(listing.symbol)
    newest = view.trades(listing.symbol, 1)[0]
    document: dict[str, object] = {
        "symbol": symbol_name(listing),
        "openPrice": amount(stats.open),
        "highPrice": amount(stats.high),
        "lowPrice": amount(stats.low),
        "lastPrice": amount(stats.last),
        "volume": amount(stats.volume),
        "quoteVolume": amount(stats.volume * stats.average),
        "openTime": view.now_ms - 86_400_000,
        "closeTime": view.now_ms,
        "firstId": newest.number - stats.trades + 1,
        "lastId": newest.number,
        "count": stats.trades,
    }
    return {**document, **_full_day(listing, view, stats)} if full else document


def _full_day(listing: Listing, view: ExchangeView, stats: DayStats) -> dict[str, object]:
    book = view.book(listing.symbol)
    change = stats.last - stats.open
    nothing = amount(Decimal(0))
    return {
        "priceChange": amount(change),
        "priceChangePercent": f"{change / stats.open * 100:.3f}",
        "weightedAvgPrice": amount(stats.average),
        "prevClosePrice": amount(stats.open),
        "lastQty": amount(view.trades(listing.symbol, 1)[0].size),
        "bidPrice": amount(book.bids[0].price) if book.bids else nothing,
        "bidQty": amount(book.bids[0].size) if book.bids else nothing,
        "askPrice": amount(book.asks[0].price) if book.asks else nothing,
        "askQty": amount(book.asks[0].size) if book.asks else nothing,
    }


def _trades(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol", "limit")
    listing = given.listing()
    trades = reversed(view.trades(listing.symbol, given.limit(default=500, most=1000)))
    return [
        {
            "id": trade.number,
            "price": amount(trade.price),
            "qty": amount(trade.size),
            "quoteQty": amount(trade.price * trade.size),
            "time": trade.at_ms,
            "isBuyerMaker": trade.taker is Side.SELL,
            "isBestMatch": True,
        }
        for trade in trades
    ]


def _avg_price(request: ApiRequest, view: ExchangeView) -> object:
    given = Parameters(request, "symbol")
    listing = given.listing()
    price = view.average_price(listing.symbol, minutes=5)
    return {"mins": 5, "price": amount(price), "closeTime": view.trades(listing.symbol, 1)[0].at_ms}


def _route(
    path: str,
    endpoint: Endpoint,
    answer: Callable[[ApiRequest, ExchangeView], object],
    weight: Callable[[ApiRequest], int],
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    return Route(("GET",), f"/api/v3/{path}", endpoint, handle, weight=weight)


ROUTES: Sequence[Route] = (
    _route("ping", Endpoint.PING, _ping, lambda _: 1),
    _route("time", Endpoint.TIME, _time, lambda _: 1),
    _route("exchangeInfo", Endpoint.INSTRUMENTS, _exchange_info, lambda _: 20),
    _route("depth", Endpoint.BOOK, _depth, _depth_weight),
    _route("ticker/bookTicker", Endpoint.TICKER, _book_ticker, _ticker_weight),
    _route("ticker/price", Endpoint.TICKER, _price, _ticker_weight),
    _route("ticker/24hr", Endpoint.TICKER, _day, _stats_weight),
    _route("trades", Endpoint.TRADES, _trades, lambda _: 25),
    _route("avgPrice", Endpoint.TICKER, _avg_price, lambda _: 2),
)
"""Binance's public paths."""
