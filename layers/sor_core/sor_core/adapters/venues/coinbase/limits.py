"""How Coinbase counts requests (*Advanced Trade REST API Rate Limits*)."""

from __future__ import annotations

from collections.abc import Mapping

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.budget import Bucket, Params, Rules
from sor_core.adapters.venues.coinbase import facts

PUBLIC = "public"
PRIVATE = "private"

LIMITS = {PUBLIC: Bucket(10, drained_per_s=10.0), PRIVATE: Bucket(30, drained_per_s=30.0)}
"""10 requests a second of an address, 30 a second of a user."""

_PUBLIC_PATHS = (facts.TIME_PATH, facts.BOOK_PATH, facts.PRODUCT_PATH)
_AWAY_S = 1.0
"""How long to stay away where ``Retry-After`` is missing: requests are counted by the second."""
_MOST_DIGITS = 9


def costs(method: str, path: str, params: Params) -> Mapping[str, float]:  # noqa: ARG001 - all cost the same
    """What a request costs."""
    return {PUBLIC if path.startswith(_PUBLIC_PATHS) else PRIVATE: 1}


def observe(answer: Answer) -> Mapping[str, float]:
    """Read the counter that stands in headers: which one, its limit tells."""
    limit, remaining = (
        answer.headers.get(f"x-ratelimit-{name}", "").strip() for name in ("limit", "remaining")
    )
    if not (_is_count(limit) and _is_count(remaining)):
        return {}
    capacity = float(limit)
    name = next((name for name, bucket in LIMITS.items() if bucket.capacity == capacity), None)
    return {} if name is None else {name: max(0.0, capacity - float(remaining))}


def away_s(answer: Answer) -> float:
    """How long to stay away: after 429."""
    if answer.status != 429:  # noqa: PLR2004 - HTTP's own
        return 0.0
    told_s = wire.retry_after_s(answer.headers)
    return _AWAY_S if told_s is None else told_s


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


RULES = Rules(
    LIMITS,
    costs,
    observe,
    away_s,
    order_calls=frozenset({("POST", facts.ORDERS_PATH), ("POST", facts.CANCEL_PATH)}),
    preparing_calls=frozenset({("GET", facts.ACCOUNTS_PATH), ("GET", facts.FEES_PATH)}),
)
