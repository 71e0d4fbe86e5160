"""Coinbase's names, numbers and errors (Coinbase Developer Docs, "Advanced Trade REST API")."""

from __future__ import annotations

from datetime import UTC, datetime

from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.web import ApiReply, ApiRequest, json_reply

PREFIX = "/api/v3/brokerage"

LISTINGS_BY_ID = {f"{listing.base}-{listing.quote}": listing for listing in LISTINGS[Venue.COINBASE].values()}


class CoinbaseError(Exception):
    """An error in Advanced Trade's own form."""

    def __init__(self, status: int, error: str, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.error = error
        self.details = details

    def reply(self) -> ApiReply:
        """The error as an answer."""
        return error_reply(self.status, self.error, self.details)


class UnauthorizedError(Exception):
    """The token is missing or not good; the answer is text, not JSON, and says no more."""


def error_reply(status: int, error: str, details: str) -> ApiReply:
    """An error as an answer."""
    return json_reply({"error": error, "error_details": details, "message": details}, status)


def iso(now_ms: int) -> str:
    """Write an instant: RFC 3339 with microseconds."""
    moment = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now_ms % 1000:03d}000Z"


def instant_ms(text: str) -> int:
    """Read RFC 3339; raises `CoinbaseError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CoinbaseError(400, "INVALID_ARGUMENT", f"invalid time {text[:40]!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def product_id(listing: Listing) -> str:
    """The venue's name of a market: BTC-USD."""
    return f"{listing.base}-{listing.quote}"


def listing_named(name: str | None) -> Listing:
    """Look a product up; 404 where there is none."""
    listing = LISTINGS_BY_ID.get(name or "")
    if listing is None:
        raise CoinbaseError(404, "NOT_FOUND", "valid product_id is required")
    return listing


def count(request: ApiRequest, name: str, default: int | None) -> int | None:
    """A parameter that is a whole number."""
    text = request.first(name)
    if text is None or not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= len("1000000")):
        problem = f'parsing field "{name}": strconv.ParseInt: parsing "{text}": invalid syntax'
        raise CoinbaseError(400, "INVALID_ARGUMENT", problem)
    return int(text)
