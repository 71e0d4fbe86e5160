"""What Kraken's documentation says, each fact once.

Sources are pages of the "Kraken Spot REST API" documentation: *Get Order Book*, *Get Tradable Asset
Pairs*, *Get Server Time*, *Get System Status*, *Spot Errors*, *Spot REST rate limits*, *Asset names*.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates, TradingStatus
from sor_core.ports import SystemStatus

VENUE = "kraken"

BASE_URL = "https://api.kraken.com"

TIME_PATH = "/0/public/Time"
STATUS_PATH = "/0/public/SystemStatus"
PAIRS_PATH = "/0/public/AssetPairs"
DEPTH_PATH = "/0/public/Depth"

MAX_DEPTH = 500
"""Get Order Book: ``count`` 1..500."""

TIME_RESOLUTION_MS = 1000
"""Get Server Time tells whole seconds."""

DEFAULT_FEES = FeeRates(taker_fee_bps=Decimal(40), maker_fee_bps=Decimal(25), source="default")
"""Kraken Pro fee schedule, spot, lowest tier: 0.40 % taker, 0.25 % maker."""

COMMON_ASSETS: Mapping[str, str] = {"XBT": "BTC", "XDG": "DOGE"}
"""Assets that Kraken calls by another name than everybody."""

LEGACY_ASSETS = frozenset(
    f"{letter}{asset}"
    for letter, assets in (
        ("X", ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC")),
        ("Z", ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")),
    )
    for asset in assets
)
"""Assets with a letter before their name, X for coins and Z for money: ``XXBT``, ``ZUSD``. A closed
list: newer assets have none, and some of their own names begin so (XTZ, ZRX)."""

TRADING_STATUSES: Mapping[str, TradingStatus] = {
    "online": TradingStatus.TRADING,
    "limit_only": TradingStatus.LIMIT_ONLY,
    "post_only": TradingStatus.POST_ONLY,
    "cancel_only": TradingStatus.CANCEL_ONLY,
    "reduce_only": TradingStatus.REDUCE_ONLY,
}
"""Get Tradable Asset Pairs, ``status``. What is not listed here (maintenance, delisted,
work_in_progress) counts as HALTED."""

SYSTEM_STATUSES: Mapping[str, SystemStatus] = {
    "online": SystemStatus.ONLINE,
    "post_only": SystemStatus.POST_ONLY,
    "cancel_only": SystemStatus.CANCEL_ONLY,
    "maintenance": SystemStatus.MAINTENANCE,
}
"""Get System Status. What is not listed here counts as MAINTENANCE."""

ERROR_PREFIX_FAILURES: Mapping[str, VenueFailure] = {
    "EQuery:Unknown asset pair": VenueFailure.UNKNOWN_SYMBOL,
    "EQuery:Invalid asset pair": VenueFailure.UNKNOWN_SYMBOL,
    "EQuery:Unknown asset": VenueFailure.UNKNOWN_SYMBOL,
    "EAPI:Rate limit exceeded": VenueFailure.RATE_LIMITED,
    "EGeneral:Too many requests": VenueFailure.RATE_LIMITED,
    "EService:Throttled": VenueFailure.RATE_LIMITED,
    "EGeneral:Temporary lockout": VenueFailure.BLOCKED,
    "EService:Unavailable": VenueFailure.MAINTENANCE,
    "EService:Market in": VenueFailure.MAINTENANCE,
    "EService:": VenueFailure.SERVER_ERROR,
    "EGeneral:Internal error": VenueFailure.SERVER_ERROR,
}
"""Spot Errors: beginnings of the strings in ``error``, the first that fits decides. What is not
listed here is REFUSED. EService:Unavailable is "the matching engine or API is offline"."""

THROTTLED_UNTIL = "EService:Throttled:"
"""Followed by the Unix second from which requests are welcome again."""

WARNING = "W"
"""First letter of an entry in ``error`` that is no error: the result comes with it."""

HTTP_FAILURES: Mapping[int, VenueFailure] = {}
"""None beside the common ones (see `wire`): Kraken's own errors come with status 200."""
