"""What Coinbase's documentation says, each fact once.

Sources are pages of the "Coinbase Advanced Trade API" documentation: *Get Public Product Book*,
*Get Public Product*, *Get Server Time*, *Create Order*, *Preview Order*, *Get Order*, *List Orders*,
*List Fills*, *Cancel Orders*, *List Accounts*, *Get Transaction Summary*, *API Key Authentication*,
*REST API Rate Limits*. What codes mean for an order stands in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates
from sor_core.domain.trading import Fence, OrderState

VENUE = "coinbase"

BASE_URL = "https://api.coinbase.com"

_PREFIX = "/api/v3/brokerage"
TIME_PATH = f"{_PREFIX}/time"
BOOK_PATH = f"{_PREFIX}/market/product_book"
PRODUCT_PATH = f"{_PREFIX}/market/products"
"""With ``/`` and a product's id: one product."""

UNCACHED: Mapping[str, str] = {"cache-control": "no-cache"}
"""Answers of the public endpoints are cached for a second unless the request says so (Advanced
Trade API overview, public endpoints). A book a second old is worse than none."""

DEFAULT_FEES = FeeRates(taker_fee_bps=Decimal(120), maker_fee_bps=Decimal(60), source="default")
"""Coinbase Advanced fees, entry tier: 1.2 % taker, 0.6 % maker."""

ONLINE = "online"
"""A product's ``status`` while it is listed and open."""

SPOT = "SPOT"
"""``product_type`` of what this router trades."""

UNSET_TIME = "0001-01-01T00:00:00Z"
"""How the API writes a time that is not set."""

HTTP_FAILURES: Mapping[int, VenueFailure] = {}
"""None beside the common ones (see `wire`). 404 decides by its body, for a wrong gateway address
answers 404 as well."""

UNKNOWN_PRODUCT_ERRORS = frozenset({"NOT_FOUND", "INVALID_ARGUMENT"})
UNKNOWN_PRODUCT_HINT = "product"
"""An id that is not listed is refused with one of these as ``error`` and with "valid product_id is
required" as ``error_details``: 404 NOT_FOUND, formerly 400 INVALID_ARGUMENT."""

RATE_LIMIT_ERROR_ID = "rate_limit_exceeded"
"""``errors[].id`` of the older envelope, with status 429."""

# The trading side

ORDERS_PATH = f"{_PREFIX}/orders"
PREVIEW_PATH = f"{_PREFIX}/orders/preview"
"""Preview Order: the product, side and configuration of an order, without its client order id."""
ORDER_PATH = f"{_PREFIX}/orders/historical"
"""With ``/`` and Coinbase's id of an order: that order."""
ORDER_LIST_PATH = f"{_PREFIX}/orders/historical/batch"
FILLS_PATH = f"{_PREFIX}/orders/historical/fills"
CANCEL_PATH = f"{_PREFIX}/orders/batch_cancel"
ACCOUNTS_PATH = f"{_PREFIX}/accounts"
FEES_PATH = f"{_PREFIX}/transaction_summary"

AUDIENCE = "api.coinbase.com"
"""API Key Authentication: what a token names in ``uri``, whatever gateway the request passes."""

ISSUER = "cdp"
"""The same: ``iss``."""

TOKEN_LIFE_MS = 60_000
"""How long the token of a question lives. Coinbase allows 120 s (API Key Authentication)."""

WINDOW_MS = 10_000
"""How long the token of an order lives: the only fence that an order has here, so it is short."""

SETTLE_MS = 5000
"""Assumed: how long a request that was let in before its token expired may wait to become an order.
The token is looked at where a request enters (API Key Authentication); of what follows nothing is
documented."""

VISIBLE_MS = 3000
"""Assumed: how late at most an order shows in queries and lists. No bound is documented."""

FENCE = Fence(settle_ms=SETTLE_MS, visible_ms=VISIBLE_MS, absence_proves=False)
"""As nothing ends a request that was let in, absence after it proves nothing by itself: it takes
Coinbase's own refusal besides."""

SELF_TRADE_PREVENTION_ID = "5e1f7a0e-50c1-4a5e-8b1d-5e1f7a0e50c1"
"""Create Order, ``self_trade_prevention_id``: orders of one id do not meet. Ours share this one."""

HISTORY_MARGIN_MS = 60_000
"""How much earlier than its order was sent a look through history begins."""

LIST_PAGE = 250
FILLS_PAGE = 1000

ORDER_STATES: Mapping[str, OrderState] = {
    "PENDING": OrderState.PENDING,
    "QUEUED": OrderState.PENDING,
    "OPEN": OrderState.OPEN,
    "CANCEL_QUEUED": OrderState.OPEN,
    "EDIT_QUEUED": OrderState.OPEN,
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELLED,
    "EXPIRED": OrderState.EXPIRED,
    "FAILED": OrderState.REJECTED,
}
"""Get Order, ``status``. UNKNOWN_ORDER_STATUS, and what is not listed here, make an answer unusable."""

NOT_FOUND = "NOT_FOUND"
UNKNOWN_ORDER_HINT = "order"
"""Get Order: an id that is not known is refused with 404, NOT_FOUND as ``error`` and a text about the
order as ``error_details``."""
