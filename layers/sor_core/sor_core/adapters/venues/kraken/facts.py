"""What Kraken's documentation says, each fact once.

Sources are pages of the "Kraken Spot REST API" documentation: *Get Order Book*, *Get Tradable Asset
Pairs*, *Get Server Time*, *Get System Status*, *Add Order*, *Cancel Order*, *Get Open Orders*, *Get
Closed Orders*, *Query Orders Info*, *Get Trades History*, *Query Trades Info*, *Get Extended Balance*,
*Get Trade Volume*, *Spot REST Authentication*, *Spot Errors*, *Spot REST rate limits*, *Asset names*.
What errors mean for an order stands in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates, TradingStatus
from sor_core.domain.trading import Fence, OrderState
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

# The trading side

ADD_ORDER_PATH = "/0/private/AddOrder"
VALIDATE_ONLY = "validate"
"""Add Order: with this ``true`` the order is checked and not placed, and the answer has no ``txid``.
Balances are not looked at, as clients have seen."""
CANCEL_ORDER_PATH = "/0/private/CancelOrder"
OPEN_ORDERS_PATH = "/0/private/OpenOrders"
CLOSED_ORDERS_PATH = "/0/private/ClosedOrders"
QUERY_ORDERS_PATH = "/0/private/QueryOrders"
TRADES_HISTORY_PATH = "/0/private/TradesHistory"
QUERY_TRADES_PATH = "/0/private/QueryTrades"
BALANCE_PATH = "/0/private/BalanceEx"
FEES_PATH = "/0/private/TradeVolume"

KEY_HEADER = "api-key"
SIGNATURE_HEADER = "api-sign"
"""Spot REST Authentication. The nonce is the first parameter of the form."""

WINDOW_MS = 5000
"""How far ahead an order's ``deadline`` lies, after which the matching engine refuses it (Add Order: 2
s to 60 s). It is the fence of an order, so it is short; Kraken's clock is known to half a second."""

SETTLE_MS = 2000
"""Assumed: how long after its deadline an order that the engine took may still be at work there. The
engine itself refuses what is past its deadline (Add Order), so this is for its clock to differ from
the one that *Get Server Time* tells."""

VISIBLE_MS = 2000
"""Assumed: how late at most an order shows in queries and lists. No bound is documented."""

FENCE = Fence(settle_ms=SETTLE_MS, visible_ms=VISIBLE_MS, absence_proves=True)
"""After it nothing that the engine had not taken is taken any more."""

SELF_TRADE_PREVENTION = "cancel-newest"
"""Add Order, ``stptype``: of two orders of the account that would meet, the new one goes."""

FEE_IN_QUOTE = "fciq"
FEE_IN_BASE = "fcib"
POST_FLAG = "post"
BY_QUOTE_FLAG = "viqc"
"""Add Order, ``oflags``. Without a flag the fee is taken in base asset when selling, in quote asset
when buying; `FEE_IN_QUOTE` is sent with every order. `BY_QUOTE_FLAG`: market orders that buy only."""

PAGE = 50
"""Closed orders and trades history: rows of an answer."""
MOST_IDS = 20
"""Query Orders Info and Query Trades Info: the most ids in a request."""

HISTORY_MARGIN_MS = 60_000
"""How much earlier than its order was sent a look through history begins (``start`` is exclusive)."""

NONCE_TRIES = 6
"""How often a question is asked whose nonce was overtaken by another's. An order never is."""

ORDER_STATES: Mapping[str, OrderState] = {
    "pending": OrderState.PENDING,
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
}
"""Query Orders Info, ``status``. A word that is not listed here makes an answer unusable."""
