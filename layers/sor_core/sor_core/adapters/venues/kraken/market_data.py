"""Kraken's public side. Pages named here are of the "Spot REST API" documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from operator import itemgetter
from typing import Annotated, TypeVar

import msgspec

from sor_core.adapters.http import Answer, VenueHttp
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.kraken import facts, symbols
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.ports import ServerTime, SystemStatus

T = TypeVar("T")

_Places = Annotated[int, msgspec.Meta(ge=0, le=30)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=wire.LATEST_MS / 1000)]
_Level = tuple[str, str, _Seconds]

_LOGGABLE = re.compile(r"[A-Za-z0-9 :_.\-]{1,80}", re.ASCII)


class _Envelope(msgspec.Struct):
    """Every answer: what went wrong, and the result where nothing did."""

    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"")


class _Time(msgspec.Struct):
    unixtime: int


class _Status(msgspec.Struct):
    status: str


class _Depth(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


class _Pair(msgspec.Struct):
    """One market. Older answers lack ``tick_size``, ``costmin``, ``status`` and ``ordermin``."""

    altname: str
    base: str
    quote: str
    pair_decimals: _Places
    lot_decimals: _Places
    lot_multiplier: Annotated[int, msgspec.Meta(ge=1)] = 1
    tick_size: str | None = None
    ordermin: str | None = None
    costmin: str | None = None
    status: str = "online"


_CHANGED = itemgetter(2)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_TIME = msgspec.json.Decoder(_Time)
_STATUS = msgspec.json.Decoder(_Status)
_DEPTH = msgspec.json.Decoder(dict[str, _Depth])
_PAIRS = msgspec.json.Decoder(dict[str, _Pair])


def failure(answer: Answer) -> VenueError | None:
    """Say what an answer of another status than 200 means; None for one of status 200.

    Kraken tells its own errors with status 200, in the body (see `error_failure`); other statuses
    come from the network before it.
    """
    if answer.status == wire.OK:
        return None
    return wire.http_failure(facts.VENUE, answer, failures=facts.HTTP_FAILURES)


def error_failure(errors: list[str], *, received_at_ms: int) -> VenueError | None:
    """Say what the entries of ``error`` mean (Spot Errors); None where all are warnings."""
    error = next((text for text in errors if not text.startswith(facts.WARNING)), None)
    if error is None:
        return None
    meaning = next(
        (failure for prefix, failure in facts.ERROR_PREFIX_FAILURES.items() if error.startswith(prefix)),
        VenueFailure.REFUSED,
    )
    detail = error if _LOGGABLE.fullmatch(error) else "an error that is not a code"
    return VenueError(facts.VENUE, meaning, detail, retry_after_s=_throttled_s(error, received_at_ms))


def parse_book(body: bytes, symbol: Symbol, *, depth: int, received_at_ms: int, latency_ms: float) -> Book:
    """Read *Get Order Book* of one pair.

    The key of the result is Kraken's long name and differs from the name asked (XBTUSD gives
    XXBTZUSD), so it is not looked at; there must be one. That the name asked means this market is
    found out by `parse_instrument`, so no book may be used without its instrument.

    The source time is the newest of the levels' times, each of which says when that level last
    changed.
    """
    [answer] = _one(_result(body, _DEPTH, received_at_ms)).values()
    bids, asks = answer.bids[:depth], answer.asks[:depth]
    newest_s = max(map(_CHANGED, chain(bids, asks)), default=0.0)
    return Book(
        venue=facts.VENUE,
        symbol=symbol,
        bids=bids,
        asks=asks,
        received_at_ms=received_at_ms,
        latency_ms=latency_ms,
        source_time_ms=int(newest_s * 1000) or None,
        sequence=None,
    )


def parse_instrument(body: bytes, symbol: Symbol, *, received_at_ms: int) -> Instrument:
    """Read *Get Tradable Asset Pairs* of one pair.

    Raises
    ------
    VenueError
        UNKNOWN_SYMBOL where the pair it found is of other assets (the names asked are joined and
        could be read in two ways); MALFORMED; whatever its ``error`` says.
    """
    [pair] = _one(_result(body, _PAIRS, received_at_ms)).values()
    if symbols.common_symbol(pair.base, pair.quote) != symbol:
        raise VenueError(facts.VENUE, VenueFailure.UNKNOWN_SYMBOL, f"no market of {symbol}")
    lot = wire.step_of_places(pair.lot_decimals) * pair.lot_multiplier
    return Instrument(
        venue=facts.VENUE,
        symbol=symbol,
        venue_symbol=pair.altname,
        tick=(
            wire.step_of_places(pair.pair_decimals)
            if pair.tick_size is None
            else wire.step(facts.VENUE, "tick_size", pair.tick_size)
        ),
        lot=lot,
        min_size=max(lot, wire.number(facts.VENUE, "ordermin", pair.ordermin or "0")),
        max_size=None,
        min_notional=wire.number(facts.VENUE, "costmin", pair.costmin or "0"),
        max_notional=None,
        status=facts.TRADING_STATUSES.get(pair.status, TradingStatus.HALTED),
    )


def parse_server_time(body: bytes, *, received_at_ms: int) -> int:
    """Read *Get Server Time*, in Unix milliseconds (whole seconds)."""
    return wire.plausible_ms(facts.VENUE, _result(body, _TIME, received_at_ms).unixtime * 1000)


def parse_system_status(body: bytes, *, received_at_ms: int) -> SystemStatus:
    """Read *Get System Status*; a word it did not document counts as MAINTENANCE."""
    return facts.SYSTEM_STATUSES.get(_result(body, _STATUS, received_at_ms).status, SystemStatus.MAINTENANCE)


def _result(body: bytes, decoder: msgspec.json.Decoder[T], received_at_ms: int) -> T:
    envelope = wire.decode(facts.VENUE, _ENVELOPE, body)
    error = error_failure(envelope.error, received_at_ms=received_at_ms)
    if error is not None:
        raise error
    return wire.decode(facts.VENUE, decoder, envelope.result)


def _one(result: dict[str, T]) -> dict[str, T]:
    if len(result) != 1:
        raise wire.malformed(facts.VENUE, f"{len(result)} pairs where one was asked for")
    return result


def _throttled_s(error: str, received_at_ms: int) -> float | None:
    """Seconds until the time that a throttled answer names."""
    until = error.removeprefix(facts.THROTTLED_UNTIL).strip()
    if until == error or not (until.isascii() and until.isdigit() and len(until) <= len("4102444800")):
        return None
    return max(0.0, int(until) - received_at_ms / 1000.0)


class KrakenMarketData:
    """Asks Kraken for what everybody may know (implements `ports.VenueMarketData`)."""

    def __init__(self, http: VenueHttp) -> None:
        self._http = http

    @property
    def venue(self) -> str:
        """``kraken``."""
        return facts.VENUE

    @property
    def default_fees(self) -> FeeRates:
        """The fees of the lowest tier."""
        return facts.DEFAULT_FEES

    async def book(self, symbol: Symbol, *, depth: int, timeout_s: float) -> Book:
        """Ask for *Get Order Book*, 500 levels at most."""
        depth = min(max(1, depth), facts.MAX_DEPTH)
        params: dict[str, str | int] = {"pair": symbols.venue_symbol(symbol), "count": depth}
        answer = await self._get(facts.DEPTH_PATH, params, timeout_s)
        return parse_book(
            answer.body,
            symbol,
            depth=depth,
            received_at_ms=answer.received_at_ms,
            latency_ms=answer.latency_ms,
        )

    async def instrument(self, symbol: Symbol, *, timeout_s: float) -> Instrument:
        """Ask for *Get Tradable Asset Pairs* of the symbol."""
        answer = await self._get(facts.PAIRS_PATH, {"pair": symbols.venue_symbol(symbol)}, timeout_s)
        return parse_instrument(answer.body, symbol, received_at_ms=answer.received_at_ms)

    async def server_time(self, *, timeout_s: float) -> ServerTime:
        """Ask for *Get Server Time*; the offset is known to half a second either way."""
        answer = await self._get(facts.TIME_PATH, {}, timeout_s)
        venue_time_ms = parse_server_time(answer.body, received_at_ms=answer.received_at_ms)
        return wire.server_time(answer, venue_time_ms, resolution_ms=facts.TIME_RESOLUTION_MS)

    async def system_status(self, *, timeout_s: float) -> SystemStatus:
        """Ask for *Get System Status*."""
        answer = await self._get(facts.STATUS_PATH, {}, timeout_s)
        return parse_system_status(answer.body, received_at_ms=answer.received_at_ms)

    async def _get(self, path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        answer = await self._http.get(path, params=params, timeout_s=timeout_s)
        error = failure(answer)
        if error is not None:
            raise error
        return answer
