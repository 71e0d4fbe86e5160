"""What Binance's documentation says, each fact once.

Sources are pages of Binance's "Spot REST API" documentation: *General API Information*, *Market
Data endpoints*, *Filters*, *Errors*, *LIMITS*, *ENUM definitions*.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates, TradingStatus

VENUE = "binance"

BASE_URL = "https://api.binance.com"
"""General API Information."""

PING_PATH = "/api/v3/ping"
TIME_PATH = "/api/v3/time"
DEPTH_PATH = "/api/v3/depth"
EXCHANGE_INFO_PATH = "/api/v3/exchangeInfo"

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000, 5000)
"""Market Data endpoints, Order book: at most 5000. Every number up to that is accepted today; these
are the ones that always were. Weight: up to 100 5, to 500 25, to 1000 50, to 5000 250."""

DEFAULT_FEES = FeeRates(taker_fee_bps=Decimal(10), maker_fee_bps=Decimal(10), source="default")
"""Binance, Spot Trading Fee Rate: Regular User 0.1 % for makers and takers, without the discount
for paying in BNB."""

TRADING_STATUSES: Mapping[str, TradingStatus] = {
    "TRADING": TradingStatus.TRADING,
    "CANCEL_ONLY": TradingStatus.CANCEL_ONLY,
    "HALT": TradingStatus.HALTED,
    "BREAK": TradingStatus.HALTED,
    "END_OF_DAY": TradingStatus.HALTED,
}
"""ENUM definitions, Symbol status. What is not listed here counts as HALTED."""

SPOT_PERMISSION = "SPOT"
"""ENUM definitions, Account and Symbol Permissions."""

CODE_FAILURES: Mapping[int, VenueFailure] = {
    -1000: VenueFailure.SERVER_ERROR,
    -1001: VenueFailure.SERVER_ERROR,
    -1003: VenueFailure.RATE_LIMITED,
    -1006: VenueFailure.SERVER_ERROR,
    -1007: VenueFailure.SERVER_ERROR,
    -1008: VenueFailure.SERVER_ERROR,
    -1015: VenueFailure.RATE_LIMITED,
    -1016: VenueFailure.MAINTENANCE,
    -1034: VenueFailure.RATE_LIMITED,
    # Illegal characters in a parameter: of those sent here only `symbol` can have them (it allows
    # 20 characters, fewer than two assets' names can have).
    -1100: VenueFailure.UNKNOWN_SYMBOL,
    -1121: VenueFailure.UNKNOWN_SYMBOL,
}
"""Errors: the codes of refusals. What is not listed here is a REFUSED."""

HTTP_FAILURES: Mapping[int, VenueFailure] = {}
"""General API Information, HTTP Return Codes: 403 firewall, 418 banned after 429, 429 limit, 5XX
internal; 451 restricted location. They mean what they mean everywhere (see `wire`)."""
