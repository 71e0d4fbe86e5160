"""How Binance counts requests (*LIMITS* and each endpoint's "Weight" in its documentation)."""

from __future__ import annotations

from collections.abc import Mapping

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.binance import facts
from sor_core.adapters.venues.budget import Params, Rules, Window

WEIGHT = "weight"
ORDERS_10S = "orders_10s"
ORDERS_1D = "orders_1d"

LIMITS = {
    WEIGHT: Window(6000, 60_000),
    ORDERS_10S: Window(50, 10_000),
    ORDERS_1D: Window(160_000, 86_400_000),
}
"""``rateLimits`` of *Exchange information*: request weight by address, unfilled orders by account."""

_HEADERS = {
    WEIGHT: "x-mbx-used-weight-1m",
    ORDERS_10S: "x-mbx-order-count-10s",
    ORDERS_1D: "x-mbx-order-count-1d",
}

_WEIGHTS = {
    facts.PING_PATH: 1,
    facts.TIME_PATH: 1,
    facts.EXCHANGE_INFO_PATH: 20,
    facts.ALL_ORDERS_PATH: 20,
    facts.ACCOUNT_PATH: 20,
    facts.COMMISSION_PATH: 20,
    facts.ORDER_TEST_PATH: 1,
}
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_AWAY_S = 60.0
"""How long to stay away where ``Retry-After`` is missing: weight is counted by the minute."""
_TOO_MANY_ORDERS = b"-1015"
_MOST_DIGITS = 9


def costs(method: str, path: str, params: Params) -> Mapping[str, float]:
    """What a request costs."""
    if path == facts.ORDER_PATH:
        if method == "POST":
            return {WEIGHT: 1, ORDERS_10S: 1, ORDERS_1D: 1}
        return {WEIGHT: 1 if method == "DELETE" else 4}
    if path == facts.DEPTH_PATH:
        limit = int(params.get("limit", 100))
        return {WEIGHT: next((weight for up_to, weight in _DEPTH_WEIGHTS if limit <= up_to), 250)}
    if path == facts.OPEN_ORDERS_PATH:
        return {WEIGHT: 6 if "symbol" in params else 80}
    if path == facts.MY_TRADES_PATH:
        return {WEIGHT: 5 if "orderId" in params else 20}
    return {WEIGHT: _WEIGHTS.get(path, 20)}


def observe(answer: Answer) -> Mapping[str, float]:
    """Read the counters that stand in headers; -1015 says that an order counter is at its end."""
    told = {limit: answer.headers.get(header, "") for limit, header in _HEADERS.items()}
    used = {limit: float(text) for limit, text in told.items() if _is_count(text)}
    if _orders_exhausted(answer):
        used[ORDERS_10S] = LIMITS[ORDERS_10S].capacity
    return used


def away_s(answer: Answer) -> float:
    """How long to stay away: after 429, lest it become 418, and during the ban that 418 tells of."""
    if answer.status not in {418, 429} or _orders_exhausted(answer):
        return 0.0
    told_s = wire.retry_after_s(answer.headers)
    return _AWAY_S if told_s is None else told_s


def _orders_exhausted(answer: Answer) -> bool:
    return answer.status == 429 and _TOO_MANY_ORDERS in answer.body[:200]  # noqa: PLR2004 - HTTP's own


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


RULES = Rules(
    LIMITS,
    costs,
    observe,
    away_s,
    order_calls=frozenset({("POST", facts.ORDER_PATH), ("DELETE", facts.ORDER_PATH)}),
    preparing_calls=frozenset({("GET", facts.ACCOUNT_PATH), ("GET", facts.COMMISSION_PATH)}),
)
