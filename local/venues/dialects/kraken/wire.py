"""Kraken's names, numbers, parameters and errors (Kraken API Center, "Spot REST API")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.money import decimals_of
from local.venues.web import ApiReply, ApiRequest, json_reply

LISTED = LISTINGS[Venue.KRAKEN]
ASSET_DECIMALS = {
    "USD": (4, 2),
    "EUR": (4, 2),
    "USDT": (8, 4),
    "USDC": (8, 4),
    "ETH": (10, 5),
    "BTC": (10, 5),
}
"""Decimals kept and decimals shown, by asset ("Get Asset Info"); others have 8 and 5."""

_ALTNAMES = {"BTC": "XBT"}
# The first assets carry X (crypto) or Z (money) in front; later ones do not ("Get Asset Info").
_CODES = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR"}


class KrakenError(Exception):
    """An error in Kraken's own form: severity, category and text in one string, with HTTP 200."""

    def reply(self) -> ApiReply:
        """The error as an answer."""
        return error_reply(str(self))


def error_reply(text: str, status: int = 200) -> ApiReply:
    """An error as an answer."""
    return json_reply({"error": [text]}, status)


def at_least(value: Decimal, decimals: int) -> str:
    """Write a number with so many decimals, or with more if it needs them: nothing is rounded."""
    return f"{value:.{max(decimals, decimals_of(value))}f}"


def altname(asset: str) -> str:
    """Kraken's alternative name of an asset: XBT for BTC."""
    return _ALTNAMES.get(asset, asset)


def asset_code(asset: str) -> str:
    """Kraken's own name of an asset: XXBT for BTC, SOL for SOL."""
    return _CODES.get(asset, asset)


def pair_altname(listing: Listing) -> str:
    """A pair's alternative name, as in XBTUSD: what requests usually carry."""
    return altname(listing.base) + altname(listing.quote)


def pair_key(listing: Listing) -> str:
    """The name under which answers carry a pair: XXBTZUSD, but XBTUSDT."""
    if listing.base in _CODES and listing.quote in _CODES:
        return asset_code(listing.base) + asset_code(listing.quote)
    return "USDTZUSD" if listing.symbol == "USDT/USD" else pair_altname(listing)


def wsname(listing: Listing) -> str:
    """A pair's name on the WebSocket: XBT/USD."""
    return f"{altname(listing.base)}/{altname(listing.quote)}"


def _names(listing: Listing) -> set[str]:
    common = {listing.symbol, listing.base + listing.quote}
    return {pair_key(listing), pair_altname(listing), wsname(listing), *common}


_BY_NAME = {name: listing for listing in LISTED.values() for name in _names(listing)}


def price_text(listing: Listing, value: Decimal) -> str:
    """A price with five decimals, or as many as the pair has."""
    return f"{value:.{price_decimals(listing)}f}"


def price_decimals(listing: Listing) -> int:
    """How many decimals the pair's prices are shown with."""
    return max(5, decimals_of(listing.tick))


def size_text(value: Decimal) -> str:
    """Three decimals as in Kraken's books, or as many as the size needs."""
    whole_part, _, fraction = f"{value:f}".partition(".")
    return f"{whole_part}.{fraction.rstrip('0').ljust(3, '0')}"


def parameters(request: ApiRequest) -> dict[str, str]:
    """The parameters of the query and of the body, which may be a form or JSON."""
    given = dict(request.query)
    if request.method != "POST" or not request.body:
        return given
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            document = json.loads(request.body)
        except ValueError:
            raise KrakenError("EGeneral:Invalid arguments") from None
        if not isinstance(document, dict):
            raise KrakenError("EGeneral:Invalid arguments")
        return {**given, **{name: _as_text(value) for name, value in document.items()}}
    return {**given, **dict(request.form)}


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def listing_named(name: str) -> Listing:
    """Look a pair up by any of its names."""
    listing = _BY_NAME.get(name.upper())
    if listing is None:
        raise KrakenError("EQuery:Unknown asset pair")
    return listing


def one_pair(given: Mapping[str, str]) -> Listing:
    """The pair that must be named."""
    if not given.get("pair"):
        raise KrakenError("EGeneral:Invalid arguments")
    return listing_named(given["pair"])


def pairs(given: Mapping[str, str]) -> list[Listing]:
    """The pairs that are named, or all."""
    names = given.get("pair")
    return [listing_named(name.strip()) for name in names.split(",")] if names else list(LISTED.values())


def whole(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A parameter that is a whole number within bounds."""
    text = given.get(name, str(default))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and low <= int(text) <= high):  # noqa: PLR2004
        raise KrakenError(f"EGeneral:Invalid arguments:{name}")
    return int(text)
