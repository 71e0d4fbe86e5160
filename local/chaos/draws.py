"""What a campaign does, drawn from a seed: orders, how clients behave, faults, and when to kill."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

VENUES = ("binance", "coinbase", "kraken")
SYMBOLS: Mapping[str, float] = {"BTC/USDT": 1.0, "ETH/USDT": 25.0}
"""What is traded, and how many of its units make about one of the first."""
STRATEGIES = ("best_liquidity", "best_liquidity", "cost_optimization", "best_execution", "lowest_latency")
TARGETS = ("binance", "binance", "binance", "coinbase", "coinbase", "kraken", "*")
"""Where an episode's faults are: most where most orders go, fewest where most must not be asked."""
LATEST_MS = 9000
"""How late a request reaches a venue at most: sooner than any look there may count (docs/resolution.md)."""
HIDDEN_MS = 1500
"""How long a venue hides an order at most: under the bound of every venue (docs/resolution.md)."""
SKEW_MS = 3000
FEWEST_A_FAULT = 2
ONE_IN_KILLED = 8

Fault = Mapping[str, Any]


class Manner(StrEnum):
    """How a client behaves."""

    WAITS = "waits"
    LEAVES = "leaves"
    """Asks with ``Prefer: wait=0`` and looks at the order later."""
    IMPATIENT = "impatient"
    """Hangs up after a while, and asks again with the same key."""
    TWINS = "twins"
    """Asks several times at once with one key."""
    CANCELS = "cancels"


@dataclass(frozen=True, slots=True)
class Episode:
    """What is wrong while some orders come in."""

    name: str
    """Its row in the report."""
    faults: tuple[Fault, ...] = ()
    """Bodies of ``POST /sim/faults``."""
    mode: str = "running"
    """The operator's switch."""
    venue: str = "*"
    """Where the faults are."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One order and its client."""

    number: int
    episode: int
    key: str
    body: Mapping[str, Any]
    """Of the request, without a limit order's price."""
    price_bps: float | None
    """A limit order's price against the mid, in the order's favour if negative."""
    manner: Manner
    wait_s: int
    after_s: float
    """When an impatient client hangs up, or one that cancels does."""
    kill_after_s: float | None
    """When a process that executes is killed."""

    @property
    def headers(self) -> dict[str, str]:
        """Of the request."""
        own = {"Content-Type": "application/json", "Prefer": f"wait={self.wait_s}"}
        return own if "client_order_id" in self.body else own | {"Idempotency-Key": self.key}


@dataclass(frozen=True, slots=True)
class Campaign:
    """Everything that is drawn."""

    seed: int
    episodes: tuple[Episode, ...]
    orders: tuple[Drawn, ...]


def draw_campaign(seed: int, count: int) -> Campaign:
    """Draw a campaign of so many orders; the same seed and count give the same.

    Every kind of episode occurs once there are two orders for each.
    """
    draw = random.Random(seed)
    makers = list(_MAKERS)
    draw.shuffle(makers)
    makers = makers[: max(1, count // FEWEST_A_FAULT)]
    episodes = tuple(_episode(draw, maker) for maker in makers)
    orders = tuple(_order(draw, seed, n, n * len(episodes) // count, episodes) for n in range(count))
    return Campaign(seed, episodes, orders)


# Orders -------------------------------------------------------------------------------------------


def _order(draw: random.Random, seed: int, number: int, episode: int, episodes: Sequence[Episode]) -> Drawn:
    symbol = draw.choice(tuple(SYMBOLS))
    body: dict[str, Any] = {
        "symbol": symbol,
        "side": draw.choice(("buy", "sell")),
        "type": "market",
        "execution_strategy": draw.choice(STRATEGIES),
    }
    price_bps, by_quote = None, draw.random() < 0.25  # noqa: PLR2004 - a share
    if draw.random() < 0.35:  # noqa: PLR2004 - a share
        body |= {"type": "limit", "time_in_force": draw.choice(("IOC", "GTC"))}
        price_bps = round(draw.uniform(-25, 60), 1)
        by_quote = by_quote and body["time_in_force"] == "IOC"
    else:
        body["max_slippage_bps"] = draw.choice((20, 50, 100))
    if by_quote:
        body["quote_amount"] = draw.randrange(20, 40_000)
    else:
        body["amount"] = round(10 ** draw.uniform(-3.2, 0.1) * SYMBOLS[symbol], 4)
    if (venues := _venues(draw, episodes[episode].venue)) is not None:
        body["venues"] = {"allow": venues}
    key = f"chaos-{seed}-{number}"
    if draw.random() < 0.3:  # noqa: PLR2004 - a share
        body["client_order_id"] = key
    manner = draw.choices(tuple(Manner), (40, 20, 15, 10, 15))[0]
    wait_s = 0 if manner in {Manner.LEAVES, Manner.CANCELS} else draw.choice((2, 5, 20))
    kill_after_s = draw.uniform(0.0, 1.2) if draw.randrange(ONE_IN_KILLED) == 0 else None
    return Drawn(number, episode, key, body, price_bps, manner, wait_s, draw.uniform(0.05, 2.0), kill_after_s)


def _venues(draw: random.Random, target: str) -> list[str] | None:
    kind = draw.randrange(10)
    if target == "*" or kind < 4:  # noqa: PLR2004 - a share
        return None
    others = [venue for venue in VENUES if venue != target]
    return [target] if kind < 6 else [target, draw.choice(others)]  # noqa: PLR2004 - a share


# Faults -------------------------------------------------------------------------------------------

_Maker = Callable[[random.Random, str], Episode]


def _episode(draw: random.Random, maker: _Maker) -> Episode:
    return maker(draw, draw.choice(TARGETS))


def _fault(
    name: str, fault: str, endpoint: str = "place_order", *, sure: bool = False, **params: Any
) -> _Maker:
    """Make an episode of one fault; a parameter that is a pair of whole numbers is drawn between them."""

    def make(draw: random.Random, venue: str) -> Episode:
        return Episode(name, (_document(draw, venue, fault, endpoint, params, sure=sure),), venue=venue)

    return make


def _lost_and(name: str, fault: str, endpoint: str, **params: Any) -> _Maker:
    """Make an episode in which answers to orders are lost, and asking what came of them goes wrong, too."""

    def make(draw: random.Random, venue: str) -> Episode:
        when = draw.choice(("before", "after"))
        lost = {"venue": venue, "endpoint": "place_order", "fault": "drop", "when": when, "probability": 0.8}
        return Episode(name, (lost, _document(draw, venue, fault, endpoint, params)), venue=venue)

    return make


def _document(
    draw: random.Random,
    venue: str,
    fault: str,
    endpoint: str,
    params: Mapping[str, Any],
    *,
    sure: bool = False,
) -> Fault:
    drawn = {
        name: draw.randint(*value) if isinstance(value, tuple) else value for name, value in params.items()
    }
    probability = 1.0 if sure else draw.choice((0.5, 1.0))
    return {"venue": venue, "endpoint": endpoint, "fault": fault, "probability": probability, **drawn}


def _down(name: str, count: int) -> _Maker:
    def make(draw: random.Random, _: str) -> Episode:
        venues = draw.sample(VENUES, count)
        fault = draw.choice(("refuse", "hang", "error_5xx"))
        faults = tuple({"venue": venue, "endpoint": "*", "fault": fault} for venue in venues)
        return Episode(name, faults, venue=venues[0] if count == 1 else "*")

    return make


def _partial_fill(draw: random.Random, venue: str) -> Episode:
    share = round(draw.uniform(0.1, 0.9), 2)
    return Episode("partial_fill", ({"venue": venue, "fault": "partial_fill", "share": share},), venue=venue)


def _switch(mode: str) -> _Maker:
    return lambda _, __: Episode(f"switch {mode}", mode=mode)


_MAKERS: tuple[_Maker, ...] = (
    lambda _, __: Episode("none"),
    lambda _, __: Episode("none"),
    lambda _, __: Episode("none"),
    _fault("latency before", "latency", ms=(1500, LATEST_MS), when="before"),
    _fault("latency after", "latency", ms=(1500, LATEST_MS), when="after"),
    _fault("refuse", "refuse"),
    _fault("drop before", "drop", when="before"),
    _fault("drop after", "drop", when="after"),
    _fault("drop mid-body", "drop", mid_body=True),
    _fault("hang before", "hang", when="before"),
    _fault("hang after", "hang", when="after"),
    _fault("error_5xx before", "error_5xx", when="before"),
    _fault("error_5xx after", "error_5xx", when="after"),
    _fault("html before", "html", when="before"),
    _fault("html after", "html", when="after"),
    _fault("malformed", "malformed"),
    _fault("huge", "huge", bytes=20_000_000),
    _fault("rate_limit", "rate_limit", retry_after_s=(1, 3)),
    _fault("rate_limit anywhere", "rate_limit", "*"),
    _fault("maintenance", "maintenance", "*", sure=True),
    _fault("cancel_only", "cancel_only", "*", sure=True),
    _fault("clock_skew ahead", "clock_skew", "*", sure=True, ms=(500, SKEW_MS)),
    _fault("clock_skew behind", "clock_skew", "*", sure=True, ms=(-SKEW_MS, -500)),
    _fault("stale_book", "stale_book", "*", sure=True),
    _fault("crossed_book", "crossed_book", "*", sure=True, by_bps=(1, 50)),
    _fault("empty_book", "empty_book", "*", sure=True),
    _lost_and("lost + delayed_visibility", "delayed_visibility", "*", ms=(200, HIDDEN_MS)),
    _partial_fill,
    _lost_and("lost + query error_5xx", "error_5xx", "query_order"),
    _lost_and("lost + query hang", "hang", "query_order"),
    _lost_and("lost + query drop", "drop", "query_order"),
    _lost_and("lost + open orders html", "html", "open_orders"),
    _lost_and("lost + history malformed", "malformed", "order_history"),
    _lost_and("lost + fills rate_limit", "rate_limit", "fills"),
    _lost_and("lost + time latency", "latency", "time", ms=(500, 3000)),
    _fault("cancel drop", "drop", "cancel_order"),
    _fault("account error_5xx", "error_5xx", "account"),
    _fault("anything error_5xx", "error_5xx", "*"),
    _down("one venue down", 1),
    _down("one venue down", 1),
    _down("two venues down", 2),
    _down("all venues down", 3),
    _switch("halted"),
    _switch("reduce_only"),
)
