"""How Kraken counts requests (*Spot REST rate limits*, *Spot trading rate limits*).

Its headers tell nothing, so its counters are modelled, with the sizes of the account's tier
(``SOR_KEY_TIERS``; the lowest where none is named); its refusals say that a counter is at its end.

A cancel is never held back for a counter. Past a pair's threshold Kraken answers ``EOrder:Rate limit
exceeded`` until the counter has drained; no ban is documented for that, nor what a refused cancel adds.
So the worst of one too many is that it is sent again and new orders of its pair wait longer; the worst
of one held back by a model that is wrong is a fill that nobody wants.
"""

from __future__ import annotations

from collections.abc import Mapping

from sor_core.adapters.http import Answer
from sor_core.adapters.venues import wire
from sor_core.adapters.venues.budget import FULL, Bucket, Limit, Params, Rules
from sor_core.adapters.venues.kraken import facts

PUBLIC = "public"
PRIVATE = "private"
ENGINE = "engine"
"""One for each pair: ``engine:XBTUSD``."""


def _tier(private: Bucket, engine: Bucket) -> Mapping[str, Limit]:
    # Of an address about one request a second, whatever the tier; the burst is not published.
    return {PUBLIC: Bucket(15, drained_per_s=1.0), PRIVATE: private, ENGINE: engine}


TIERS = {
    "starter": _tier(Bucket(15, drained_per_s=0.33), Bucket(60, drained_per_s=1.0)),
    "intermediate": _tier(Bucket(20, drained_per_s=0.5), Bucket(125, drained_per_s=2.34)),
    "pro": _tier(Bucket(20, drained_per_s=1.0), Bucket(180, drained_per_s=3.75)),
}
"""Of a key, and of a pair, by the account's verification (both pages)."""

_LEDGER_PATHS = frozenset({facts.CLOSED_ORDERS_PATH, facts.TRADES_HISTORY_PATH, facts.QUERY_TRADES_PATH})
_CANCEL_COSTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
"""A cancel within so many seconds of its order; later it costs nothing (*Spot trading rate limits*)."""
_AWAY_S = 5.0
"""How long to stay away where it is not told."""
_THROTTLED = facts.THROTTLED_UNTIL.rstrip(":").encode()


def costs(method: str, path: str, params: Params) -> Mapping[str, float]:  # noqa: ARG001 - Kraken's go by path
    """What a request costs; orders and cancels are counted by pair only."""
    engine = f"{ENGINE}:{params.get('pair', '')}"
    if path == facts.ADD_ORDER_PATH:
        return {engine: 1}
    if path == facts.CANCEL_ORDER_PATH:
        age_s = int(params.get("age_ms", 0)) / 1000
        return {engine: next((cost for within_s, cost in _CANCEL_COSTS if age_s < within_s), 0)}
    if path.startswith("/0/private/"):
        return {PRIVATE: 2 if path in _LEDGER_PATHS else 1}
    return {PUBLIC: 1}


def observe(answer: Answer) -> Mapping[str, float]:
    """Read a refusal as a full counter. Which pair's engine is full it does not say."""
    head = answer.body[:200]
    # Both the public and the private side say so; the one that was not full will have to wait too.
    if b"EAPI:Rate limit exceeded" in head or b"EGeneral:Too many requests" in head:
        return {PRIVATE: FULL, PUBLIC: FULL}
    return {}


def away_s(answer: Answer) -> float:
    """How long to stay away: when throttled, and after 429."""
    if answer.status == 429 or _THROTTLED in answer.body[:200]:  # noqa: PLR2004 - HTTP's own
        told_s = wire.retry_after_s(answer.headers)
        return _AWAY_S if told_s is None else told_s
    return 0.0


RULES = Rules(
    TIERS["starter"],
    costs,
    observe,
    away_s,
    order_calls=frozenset({("POST", facts.ADD_ORDER_PATH)}),
    cancel_calls=frozenset({("POST", facts.CANCEL_ORDER_PATH)}),
    preparing_calls=frozenset({("POST", facts.BALANCE_PATH), ("POST", facts.FEES_PATH)}),
    tiers=TIERS,
)
