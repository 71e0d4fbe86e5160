"""Coinbase's public side. Pages named here are of the "Advanced Trade API" documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from sor_core.adapters.http import Answer, VenueHttp
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.coinbase import facts, symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.ports import ServerTime, SystemStatus

_Digits = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,15}$")]


class _OldError(msgspec.Struct):
    id: str = ""


class _Error(msgspec.Struct):
    """Both envelopes: that of Advanced Trade, and the older one with a list."""

    error: str = ""
    error_details: str = ""
    errors: list[_OldError] = []


class _Time(msgspec.Struct):
    epoch_millis: int | _Digits = msgspec.field(name="epochMillis")


class _Level(msgspec.Struct, gc=False):
    price: str
    size: str


class _PriceBook(msgspec.Struct):
    product_id: str
    bids: list[_Level]
    asks: list[_Level]
    time: str = ""


class _ProductBook(msgspec.Struct):
    pricebook: _PriceBook


class _Product(msgspec.Struct):
    """Flags that are false may be left out, as in any JSON made from protocol buffers."""

    product_id: str
    base_increment: str
    quote_increment: str
    base_min_size: str
    base_currency_id: str
    quote_currency_id: str
    price_increment: str = ""
    base_max_size: str = ""
    quote_min_size: str = "0"
    quote_max_size: str = ""
    status: str = ""
    product_type: str = facts.SPOT
    is_disabled: bool = False
    trading_disabled: bool = False
    view_only: bool = False
    auction_mode: bool = False
    cancel_only: bool = False
    post_only: bool = False
    limit_only: bool = False


_ERROR = msgspec.json.Decoder(_Error)
_TIME = msgspec.json.Decoder(_Time)
_BOOK = msgspec.json.Decoder(_ProductBook)
_PRODUCT = msgspec.json.Decoder(_Product)


def failure(answer: Answer) -> VenueError | None:
    """Say what a refusal means; None for an answer of status 200."""
    if answer.status == wire.OK:
        return None
    by_status = wire.http_failure(facts.VENUE, answer, failures=facts.HTTP_FAILURES)
    if by_status.failure is not VenueFailure.REFUSED:
        return by_status
    try:
        refusal = wire.decode(facts.VENUE, _ERROR, answer.body)
    except VenueError:
        return by_status
    if refusal.error in facts.UNKNOWN_PRODUCT_ERRORS and facts.UNKNOWN_PRODUCT_HINT in refusal.error_details:
        return VenueError(facts.VENUE, VenueFailure.UNKNOWN_SYMBOL, f"{by_status.detail} {refusal.error}")
    if any(error.id == facts.RATE_LIMIT_ERROR_ID for error in refusal.errors):
        return VenueError(
            facts.VENUE, VenueFailure.RATE_LIMITED, by_status.detail, retry_after_s=by_status.retry_after_s
        )
    return by_status


def parse_book(body: bytes, symbol: Symbol, *, depth: int, received_at_ms: int, latency_ms: float) -> Book:
    """Read *Get Public Product Book*; its ``time`` is the source time.

    BTC/USDC asked here gives the book of BTC-USD, for on Coinbase they are one (see `symbols`).

    Raises
    ------
    VenueError
        MALFORMED, also where it is the book of another product.
    """
    pricebook = wire.decode(facts.VENUE, _BOOK, body).pricebook
    asked = symbols.venue_symbol(symbol)
    if symbols.shared_book(pricebook.product_id) != symbols.shared_book(asked):
        raise wire.malformed(facts.VENUE, f"the book of another product than {asked}")
    return Book(
        venue=facts.VENUE,
        symbol=symbol,
        bids=[(level.price, level.size) for level in pricebook.bids[:depth]],
        asks=[(level.price, level.size) for level in pricebook.asks[:depth]],
        received_at_ms=received_at_ms,
        latency_ms=latency_ms,
        source_time_ms=(
            None if pricebook.time in {"", facts.UNSET_TIME} else wire.rfc3339_ms(facts.VENUE, pricebook.time)
        ),
        sequence=None,
    )


def parse_instrument(body: bytes, symbol: Symbol) -> Instrument:
    """Read *Get Public Product*.

    An alias is an instrument of its own: BTC-USDC is ordered by its own id and settles in USDC.

    Raises
    ------
    VenueError
        UNKNOWN_SYMBOL where the product is not spot; MALFORMED, also where it is another product.
    """
    product = wire.decode(facts.VENUE, _PRODUCT, body)
    asked = symbols.venue_symbol(symbol)
    assets = symbols.common_symbol(product.base_currency_id, product.quote_currency_id)
    if product.product_id != asked or assets != symbol:
        raise wire.malformed(facts.VENUE, f"another product than {asked}")
    if product.product_type != facts.SPOT:
        raise VenueError(facts.VENUE, VenueFailure.UNKNOWN_SYMBOL, f"{asked} is not a spot product")
    lot = wire.step(facts.VENUE, "base_increment", product.base_increment)
    return Instrument(
        venue=facts.VENUE,
        symbol=symbol,
        venue_symbol=product.product_id,
        # quote_increment counts amounts of money; older answers have no other for prices.
        tick=wire.step(facts.VENUE, "price_increment", product.price_increment or product.quote_increment),
        lot=lot,
        min_size=max(lot, wire.number(facts.VENUE, "base_min_size", product.base_min_size)),
        max_size=wire.maximum(facts.VENUE, "base_max_size", product.base_max_size),
        min_notional=wire.number(facts.VENUE, "quote_min_size", product.quote_min_size),
        max_notional=wire.maximum(facts.VENUE, "quote_max_size", product.quote_max_size),
        status=_status(product),
    )


def parse_server_time(body: bytes) -> int:
    """Read *Get Server Time*, in Unix milliseconds; its numbers come as numbers or as strings."""
    return wire.plausible_ms(facts.VENUE, int(wire.decode(facts.VENUE, _TIME, body).epoch_millis))


def parse_system_status(body: bytes) -> SystemStatus:
    """Read *Get Server Time*: Coinbase's API tells no status, so that it answers is all it says.

    Whether a market trades stands in the instrument's status.
    """
    parse_server_time(body)
    return SystemStatus.ONLINE


def _status(product: _Product) -> TradingStatus:
    """Let the strictest flag decide. In an auction nothing is matched: nothing can fill at once."""
    if (
        product.is_disabled
        or product.trading_disabled
        or product.view_only
        or product.auction_mode
        or product.status not in {"", facts.ONLINE}
    ):
        return TradingStatus.HALTED
    if product.cancel_only:
        return TradingStatus.CANCEL_ONLY
    if product.post_only:
        return TradingStatus.POST_ONLY
    return TradingStatus.LIMIT_ONLY if product.limit_only else TradingStatus.TRADING


class CoinbaseMarketData:
    """Asks Coinbase for what everybody may know (implements `ports.VenueMarketData`)."""

    def __init__(self, http: VenueHttp) -> None:
        self._http = http

    @property
    def venue(self) -> str:
        """``coinbase``."""
        return facts.VENUE

    @property
    def default_fees(self) -> FeeRates:
        """The fees of the entry tier."""
        return facts.DEFAULT_FEES

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        """Ask for *Get Public Product Book*, past its cache.

        BTC/USDC gives the book of BTC-USD: on Coinbase they are one, never to be counted twice (see
        `symbols`).
        """
        depth = max(1, depth)
        params: dict[str, str | int] = {"product_id": symbols.venue_symbol(symbol), "limit": depth}
        answer = await self._get(facts.BOOK_PATH, params, timeout_s)
        return parse_book(
            answer.body,
            symbol,
            depth=depth,
            received_at_ms=answer.received_at_ms,
            latency_ms=answer.latency_ms,
        )

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        """Ask for *Get Public Product*."""
        path = f"{facts.PRODUCT_PATH}/{symbols.venue_symbol(symbol)}"
        answer = await self._get(path, {}, timeout_s)
        return parse_instrument(answer.body, symbol)

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        """Ask for *Get Server Time*."""
        answer = await self._get(facts.TIME_PATH, {}, timeout_s)
        return wire.server_time(answer, parse_server_time(answer.body))

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        """Ask for *Get Server Time*: ONLINE when it answers."""
        answer = await self._get(facts.TIME_PATH, {}, timeout_s)
        return parse_system_status(answer.body)

    async def _get(self, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        answer = await self._http.get(path, params=params, headers=facts.UNCACHED, timeout_s=timeout_s)
        error = failure(answer)
        if error is not None:
            raise error
        return answer
