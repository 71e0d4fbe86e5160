"""What Coinbase's documentation says, each fact once.

Sources are pages of the "Coinbase Advanced Trade API" documentation: *Get Public Product Book*,
*Get Public Product*, *Get Server Time*, *REST API Rate Limits*.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sor_core.domain.errors import VenueFailure
from sor_core.domain.instrument import FeeRates

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
