"""Binance's public side. Sections named here are those of its "Spot REST API" documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from sor_core.adapters.http import Answer, VenueHttp
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.binance import facts, symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.ports import ServerTime, SystemStatus

_Places = Annotated[int, msgspec.Meta(ge=0, le=30)]


class _Error(msgspec.Struct):
    code: int


class _Nothing(msgspec.Struct):
    """The empty object that ping answers."""


class _Time(msgspec.Struct):
    server_time: int = msgspec.field(name="serverTime")


class _Depth(msgspec.Struct):
    sequence: int = msgspec.field(name="lastUpdateId")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Filter(msgspec.Struct, rename="camel"):
    """Any filter: each has its type and some of these (Filters, Symbol filters)."""

    filter_type: str
    tick_size: str | None = None
    step_size: str | None = None
    min_qty: str | None = None
    max_qty: str | None = None
    min_notional: str | None = None
    max_notional: str | None = None


class _SymbolInfo(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    base_asset_precision: _Places
    quote_precision: _Places
    filters: list[_Filter]
    is_spot_trading_allowed: bool = True
    permissions: list[str] = []
    permission_sets: list[list[str]] = []


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_SymbolInfo]


_ERROR = msgspec.json.Decoder(_Error)
_PING = msgspec.json.Decoder(_Nothing)
_TIME = msgspec.json.Decoder(_Time)
_DEPTH = msgspec.json.Decoder(_Depth)
_EXCHANGE_INFO = msgspec.json.Decoder(_ExchangeInfo)


def failure(answer: Answer) -> VenueError | None:
    """Say what a refusal means; None for an answer of status 200.

    The statuses of limits and firewalls speak for themselves, for their body may be the page of a
    network in between. For the others the code decides (Errors), but no code makes an answer of
    status 5XX a definite refusal.
    """
    if answer.status == wire.OK:
        return None
    by_status = wire.http_failure(facts.VENUE, answer, failures=facts.HTTP_FAILURES)
    if by_status.failure not in {VenueFailure.REFUSED, VenueFailure.SERVER_ERROR}:
        return by_status
    try:
        code = wire.decode(facts.VENUE, _ERROR, answer.body).code
    except VenueError:
        return by_status
    meaning = facts.CODE_FAILURES.get(code, VenueFailure.REFUSED)
    if by_status.failure is VenueFailure.SERVER_ERROR and meaning is not VenueFailure.MAINTENANCE:
        meaning = VenueFailure.SERVER_ERROR
    return VenueError(
        facts.VENUE, meaning, f"{by_status.detail} {code}", retry_after_s=by_status.retry_after_s
    )


def parse_book(body: bytes, symbol: Symbol, *, depth: int, received_at_ms: int, latency_ms: float) -> Book:
    """Read *Order book*: its levels, and ``lastUpdateId`` as its sequence.

    It names neither its market nor its time. A name that could be read as two markets (see
    `symbols`) is found out by `parse_instrument`, so no book may be used without its instrument.
    """
    answer = wire.decode(facts.VENUE, _DEPTH, body)
    return Book(
        venue=facts.VENUE,
        symbol=symbol,
        bids=answer.bids[:depth],
        asks=answer.asks[:depth],
        received_at_ms=received_at_ms,
        latency_ms=latency_ms,
        source_time_ms=None,
        sequence=answer.sequence,
    )


def parse_instrument(body: bytes, symbol: Symbol) -> Instrument:
    """Read *Exchange information* of one symbol.

    Raises
    ------
    VenueError
        UNKNOWN_SYMBOL where it lists no market of these two assets; MALFORMED.
    """
    venue_symbol = symbols.venue_symbol(symbol)
    for info in wire.decode(facts.VENUE, _EXCHANGE_INFO, body).symbols:
        if info.symbol == venue_symbol and symbols.common_symbol(info.base_asset, info.quote_asset) == symbol:
            return _instrument(info, symbol)
    raise VenueError(facts.VENUE, VenueFailure.UNKNOWN_SYMBOL, f"no market of {symbol}")


def parse_server_time(body: bytes) -> int:
    """Read *Check server time*, in Unix milliseconds."""
    return wire.plausible_ms(facts.VENUE, wire.decode(facts.VENUE, _TIME, body).server_time)


def parse_system_status(body: bytes) -> SystemStatus:
    """Read *Test connectivity*: Binance's API v3 tells no status, so that it answers is all it says.

    Whether a market trades stands in the instrument's status.
    """
    wire.decode(facts.VENUE, _PING, body)
    return SystemStatus.ONLINE


def _instrument(info: _SymbolInfo, symbol: Symbol) -> Instrument:
    # LOT_SIZE, not MARKET_LOT_SIZE: the router sends LIMIT orders only.
    price_filter = _filter(info, "PRICE_FILTER")
    lot_size = _filter(info, "LOT_SIZE")
    lot = _step(lot_size.step_size, info.base_asset_precision)
    notionals = [f for f in info.filters if f.filter_type in {"NOTIONAL", "MIN_NOTIONAL"}]
    return Instrument(
        venue=facts.VENUE,
        symbol=symbol,
        venue_symbol=info.symbol,
        tick=_step(price_filter.tick_size, info.quote_precision),
        lot=lot,
        min_size=max(lot, _number(lot_size.min_qty)),
        max_size=wire.maximum(facts.VENUE, "maxQty", lot_size.max_qty),
        min_notional=max((_number(f.min_notional) for f in notionals), default=Decimal(0)),
        max_notional=min(
            filter(None, (wire.maximum(facts.VENUE, "maxNotional", f.max_notional) for f in notionals)),
            default=None,
        ),
        status=_status(info),
    )


def _filter(info: _SymbolInfo, filter_type: str) -> _Filter:
    """Find a filter; where it is absent nothing is limited, which an empty one says as well."""
    return next((f for f in info.filters if f.filter_type == filter_type), _Filter(filter_type))


def _number(text: str | None) -> Decimal:
    return Decimal(0) if text is None else wire.number(facts.VENUE, "a filter's number", text)


def _step(text: str | None, precision: int) -> Decimal:
    """Read a step; 0 disables the rule (Filters, PRICE_FILTER): then only the precision limits."""
    return _number(text) or wire.step_of_places(precision)


def _status(info: _SymbolInfo) -> TradingStatus:
    """A market that a plain spot account may not trade is as good as halted."""
    permissions: Sequence[Sequence[str]] = info.permission_sets or [
        info.permissions or [facts.SPOT_PERMISSION]
    ]
    if not info.is_spot_trading_allowed or not any(facts.SPOT_PERMISSION in p for p in permissions):
        return TradingStatus.HALTED
    return facts.TRADING_STATUSES.get(info.status, TradingStatus.HALTED)


class BinanceMarketData:
    """Asks Binance for what everybody may know (implements `ports.VenueMarketData`)."""

    def __init__(self, http: VenueHttp) -> None:
        self._http = http

    @property
    def venue(self) -> str:
        """``binance``."""
        return facts.VENUE

    @property
    def default_fees(self) -> FeeRates:
        """The fees of a regular user."""
        return facts.DEFAULT_FEES

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        """Ask for *Order book* (weight 5 up to 100 levels)."""
        depth = max(1, depth)
        params: dict[str, str | int] = {
            "symbol": symbols.venue_symbol(symbol),
            "limit": wire.next_limit(depth, facts.DEPTH_LIMITS),
        }
        answer = await self._get(facts.DEPTH_PATH, params, timeout_s)
        return parse_book(
            answer.body,
            symbol,
            depth=depth,
            received_at_ms=answer.received_at_ms,
            latency_ms=answer.latency_ms,
        )

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        """Ask for *Exchange information* of the symbol (weight 20)."""
        params = {"symbol": symbols.venue_symbol(symbol)}
        answer = await self._get(facts.EXCHANGE_INFO_PATH, params, timeout_s)
        return parse_instrument(answer.body, symbol)

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        """Ask for *Check server time* (weight 1)."""
        answer = await self._get(facts.TIME_PATH, {}, timeout_s)
        return wire.server_time(answer, parse_server_time(answer.body))

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        """Ask for *Test connectivity* (weight 1): ONLINE when it answers."""
        answer = await self._get(facts.PING_PATH, {}, timeout_s)
        return parse_system_status(answer.body)

    async def _get(self, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        answer = await self._http.get(path, params=params, timeout_s=timeout_s)
        error = failure(answer)
        if error is not None:
            raise error
        return answer
