"""What Binance's documentation says, each fact once.

Sources are pages of Binance's "Spot REST API" documentation: *General API Information*, *Market
Data endpoints*, *Trading endpoints*, *Account endpoints*, *Request security*, *Filters*, *Errors*,
*LIMITS*, *ENUM definitions*. What codes mean for an order stands in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates, TradingStatus
from sor_core.domain.trading import Fence, OrderState

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

# The trading side

ORDER_PATH = "/api/v3/order"
ORDER_TEST_PATH = "/api/v3/order/test"
"""Test new order: takes the parameters of *New order*, "creates and validates a new order but does not
send it into the matching engine". Balances are the engine's to refuse (-2010), so it does not look at
them."""
OPEN_ORDERS_PATH = "/api/v3/openOrders"
ALL_ORDERS_PATH = "/api/v3/allOrders"
MY_TRADES_PATH = "/api/v3/myTrades"
ACCOUNT_PATH = "/api/v3/account"
COMMISSION_PATH = "/api/v3/account/commission"

KEY_HEADER = "x-mbx-apikey"
"""Request security: the API key; the signature is a parameter."""

WINDOW_MS = 2000
"""``recvWindow`` sent with everything: a request that arrives later is refused, and is checked again
before the matching engine (Request security, Timing security; 5000 without it, 60000 at most). It is
the fence of an order, so it is short."""

ENGINE_WAIT_MS = 10_000
"""Errors, -1007: the API waits so long for the matching engine before it says that it does not know
what came of an order. Taken for the longest that an order which was let in can be on its way."""

SETTLE_GRACE_MS = 1000
"""Assumed: how far the clocks of Binance's own servers may lie apart. It lets a timestamp be so far
ahead of the server (Timing security)."""

VISIBLE_MS = 2000
"""Assumed: how late at most an order shows in queries and lists, which are answered by a data source
that may lag behind the engine (General API Information, Data sources; no bound is given)."""

FENCE = Fence(settle_ms=ENGINE_WAIT_MS + SETTLE_GRACE_MS, visible_ms=VISIBLE_MS, absence_proves=True)
"""After it an order that was let in has met the engine, and one that was not is too old to be."""

SELF_TRADE_PREVENTION = "EXPIRE_TAKER"
"""Self Trade Prevention FAQ: of two orders of the account that would meet, the new one goes. Orders
that rest are never touched by one that comes."""

RESPONSE_TYPE = "FULL"
"""New order, ``newOrderRespType``: with the fills and their commissions."""

PAGE = 1000
"""Account trade list and All orders: the most rows an answer has."""

HISTORY_MS = 86_400_000
"""The same: ``startTime`` and ``endTime`` are a day apart at most."""

ORDER_STATES: Mapping[str, OrderState] = {
    "NEW": OrderState.OPEN,
    "PENDING_NEW": OrderState.PENDING,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "PENDING_CANCEL": OrderState.OPEN,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
"""ENUM definitions, Order status. A word that is not listed here makes an answer unusable."""
