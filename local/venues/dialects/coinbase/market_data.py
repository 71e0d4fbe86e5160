"""Coinbase's market data, public and with a key (Advanced Trade REST API, "Public", "Products")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from local.venues.books import Level
from local.venues.credentials import Permission
from local.venues.dialects.coinbase.wire import (
    LISTINGS_BY_ID,
    PREFIX,
    CoinbaseError,
    count,
    iso,
    listing_named,
    product_id,
)
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.markets import Listing
from local.venues.money import plain
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

ASSET_NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "SOL": "Solana",
    "USD": "US Dollar",
    "USDT": "Tether",
    "USDC": "USDC",
}
"""Assets in words."""
_BLANK_FIELDS = (
    "mid_market_price",
    "market_cap",
    "base_cbrn",
    "quote_cbrn",
    "product_cbrn",
    "icon_color",
    "icon_url",
    "display_name_overwrite",
    "about_description",
    "best_bid_price",
    "best_ask_price",
)
"""Fields of a product that are empty strings for spot products."""


def _time(_request: ApiRequest, view: ExchangeView) -> object:
    now_ms = view.now_ms
    return {
        "iso": datetime.fromtimestamp(now_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "epochSeconds": str(now_ms // 1000),
        "epochMillis": str(now_ms),
    }


def _pricebook(listing: Listing, view: ExchangeView, bids: Sequence[Level], asks: Sequence[Level]) -> object:
    return {
        "product_id": product_id(listing),
        "bids": [{"price": plain(price), "size": plain(size)} for price, size in bids],
        "asks": [{"price": plain(price), "size": plain(size)} for price, size in asks],
        "time": iso(view.book(listing.symbol).changed_at_ms),
    }


def _product_book(request: ApiRequest, view: ExchangeView) -> object:
    listing = listing_named(request.first("product_id"))
    limit = count(request, "limit", None)
    book = view.book(listing.symbol)
    bids, asks = book.bids[:limit], book.asks[:limit]
    step = request.first("aggregation_price_increment")
    if step is not None:
        bids = _aggregated(book.bids, step, up=False)[:limit]
        asks = _aggregated(book.asks, step, up=True)[:limit]
    answer = {"pricebook": _pricebook(listing, view, bids, asks)}
    if not bids or not asks:
        return {**answer, **dict.fromkeys(("last", "mid_market", "spread_bps", "spread_absolute"), "")}
    spread = asks[0].price - bids[0].price
    mid = (asks[0].price + bids[0].price) / 2
    return {
        **answer,
        "last": plain(view.last_price(listing.symbol)),
        "mid_market": plain(mid),
        "spread_bps": f"{spread / mid * 10_000:.12f}",
        "spread_absolute": plain(spread),
    }


def _aggregated(levels: Sequence[Level], step_text: str, *, up: bool) -> list[Level]:
    try:
        step = Decimal(step_text)
    except ArithmeticError:
        step = Decimal(0)
    if not step.is_finite() or step <= 0:
        raise CoinbaseError(400, "INVALID_ARGUMENT", "aggregation_price_increment is invalid")
    sizes: dict[Decimal, Decimal] = {}
    for level in levels:
        price = level.price // step * step
        if up and price < level.price:
            price += step
        sizes[price] = sizes.get(price, Decimal(0)) + level.size
    return [Level(price, size) for price, size in sizes.items()]


def _products(request: ApiRequest, view: ExchangeView) -> object:
    wanted = [value for name, value in request.query if name == "product_ids"]
    listings = [listing_named(name) for name in wanted] if wanted else list(LISTINGS_BY_ID.values())
    kind = request.first("product_type")
    if kind not in {None, "", "UNKNOWN_PRODUCT_TYPE", "SPOT"}:
        listings = []
    offset = count(request, "offset", 0)
    limit = count(request, "limit", None)
    chosen = listings[offset:][: limit or None]
    return {
        "products": [_product_of(listing, view) for listing in chosen],
        "num_products": len(chosen),
        "pagination": None,
    }


def _product(request: ApiRequest, view: ExchangeView) -> object:
    return _product_of(listing_named(request.path_params["product_id"]), view)


def _product_of(listing: Listing, view: ExchangeView) -> dict[str, Any]:
    stats = view.day_stats(listing.symbol)
    down, cancel_only = view.conditions.maintenance, view.conditions.cancel_only
    aliased_by = [product_id(other) for other in LISTINGS_BY_ID.values() if other.alias_of == listing.symbol]
    return {
        "product_id": product_id(listing),
        "price": plain(stats.last),
        "price_percentage_change_24h": plain((stats.last / stats.open - 1) * 100)[:18],
        "volume_24h": plain(stats.volume),
        "volume_percentage_change_24h": "0",
        "base_increment": plain(listing.lot),
        "quote_increment": plain(listing.tick),
        "quote_min_size": plain(listing.min_notional),
        "quote_max_size": plain(listing.max_notional),
        "base_min_size": plain(listing.min_size),
        "base_max_size": plain(listing.max_size),
        "base_name": ASSET_NAMES.get(listing.base, listing.base),
        "quote_name": ASSET_NAMES.get(listing.quote, listing.quote),
        "watched": False,
        "is_disabled": down,
        "new": False,
        "status": "offline" if down else "online",
        "cancel_only": cancel_only,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": down,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": listing.quote,
        "base_currency_id": listing.base,
        "fcm_trading_session_details": None,
        "alias": "" if listing.alias_of is None else listing.alias_of.replace("/", "-"),
        "alias_to": aliased_by,
        "base_display_symbol": listing.base,
        "quote_display_symbol": "USD" if listing.quote == "USDC" else listing.quote,
        "view_only": False,
        "price_increment": plain(listing.tick),
        "display_name": product_id(listing),
        "product_venue": "CBE",
        "approximate_quote_24h_volume": f"{stats.volume * stats.average:.2f}",
        "new_at": "2023-01-01T00:00:00Z",
        "is_alpha_testing": False,
        **dict.fromkeys(_BLANK_FIELDS, ""),
    }


def _ticker(request: ApiRequest, view: ExchangeView) -> object:
    listing = listing_named(request.path_params["product_id"])
    limit = count(request, "limit", 100)
    book = view.book(listing.symbol)
    return {
        "trades": [
            {
                "trade_id": str(trade.number),
                "product_id": product_id(listing),
                "price": plain(trade.price),
                "size": plain(trade.size),
                "time": iso(trade.at_ms),
                "side": trade.taker.upper(),
                "bid": "",
                "ask": "",
                "exchange": "coinbase",
            }
            for trade in view.trades(listing.symbol, min(limit or 100, 1000))
        ],
        "best_bid": plain(book.bids[0].price) if book.bids else "",
        "best_ask": plain(book.asks[0].price) if book.asks else "",
    }


def _best_bid_ask(request: ApiRequest, view: ExchangeView) -> object:
    wanted = [value for name, value in request.query if name == "product_ids"]
    listings = [listing_named(name) for name in wanted] if wanted else list(LISTINGS_BY_ID.values())
    pricebooks = []
    for listing in listings:
        book = view.book(listing.symbol)
        pricebooks.append(_pricebook(listing, view, book.bids[:1], book.asks[:1]))
    return {"pricebooks": pricebooks}


def _route(
    path: str,
    endpoint: Endpoint,
    answer: Callable[[ApiRequest, ExchangeView], object],
    permission: Permission | None = None,
) -> Route:
    def handle(request: ApiRequest, view: ExchangeView) -> ApiReply:
        return json_reply(answer(request, view))

    return Route(("GET",), PREFIX + path, endpoint, handle, permission)


ROUTES: Sequence[Route] = (
    _route("/time", Endpoint.TIME, _time),
    _route("/market/product_book", Endpoint.BOOK, _product_book),
    _route("/market/products", Endpoint.INSTRUMENTS, _products),
    _route("/market/products/{product_id}", Endpoint.INSTRUMENTS, _product),
    _route("/market/products/{product_id}/ticker", Endpoint.TRADES, _ticker),
    _route("/product_book", Endpoint.BOOK, _product_book, Permission.READ),
    _route("/best_bid_ask", Endpoint.BOOK, _best_bid_ask, Permission.READ),
    _route("/products", Endpoint.INSTRUMENTS, _products, Permission.READ),
    _route("/products/{product_id}", Endpoint.INSTRUMENTS, _product, Permission.READ),
    _route("/products/{product_id}/ticker", Endpoint.TRADES, _ticker, Permission.READ),
)
"""Coinbase's paths of market data."""
