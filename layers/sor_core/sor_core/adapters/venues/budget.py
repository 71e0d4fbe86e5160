"""Keeping within a venue's limits, so that an order is never held up by a question.

A venue counts what is asked of it and refuses, or bans, who asks too much. What it tells of its
counters in headers is believed; what it does not tell is modelled. Of every limit market data may
use up one share, questions about the account a larger one, and orders all: so market data yields
before orders do. `decide`, `observed` and `blocked` are pure; `VenueBudget` holds the state.

The counters are those of this process. Others that share a key or an address show in what the venue
tells (Binance, Coinbase) or in its refusals, which empty a budget (Kraken).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sor_core.adapters.http import Answer
from sor_core.clock import Clock

Params = Mapping[str, str | int]


class Purpose(StrEnum):
    """What a request is for, the least urgent first."""

    MARKET_DATA = "market_data"
    ACCOUNT = "account"
    """Questions about the account and its orders."""
    ORDER = "order"
    """Placing and cancelling."""
    CANCEL = "cancel"
    """Cancelling where the venue may decide (`Rules.cancel_calls`)."""


SHARES: Mapping[Purpose, float] = {
    Purpose.MARKET_DATA: 0.6,
    Purpose.ACCOUNT: 0.85,
    Purpose.ORDER: 1.0,
    Purpose.CANCEL: math.inf,
}
"""How much of a limit each purpose may see used up."""


@dataclass(frozen=True, slots=True)
class Window:
    """A limit counted anew in every window of time: so much a minute, by the wall clock."""

    capacity: float
    window_ms: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit that fills with requests and drains steadily."""

    capacity: float
    drained_per_s: float


Limit = Window | Bucket
FULL = math.inf
"""Told of a limit: as much of it is used up as it holds."""


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a limit was used up at a moment."""

    used: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What is known of a venue's counters."""

    limits: Mapping[str, Limit]
    """By the names that `Rules` gives them; those of one family are ``family:member``."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    blocked_until_ms: int = 0
    """Before this nothing may be sent at all: the venue has said so."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a venue counts."""

    limits: Mapping[str, Limit]
    costs: Callable[[str, str, Params], Mapping[str, float]]
    """What a request (method, path, parameters) costs of which limits."""
    observe: Callable[[Answer], Mapping[str, float]]
    """What an answer tells of how much is used up of which limits."""
    away_s: Callable[[Answer], float]
    """For how long an answer tells us to send nothing at all; 0 where it does not."""
    order_calls: frozenset[tuple[str, str]]
    """Which requests (method, path) place and cancel: they are `Purpose.ORDER` whoever sends them."""
    cancel_calls: frozenset[tuple[str, str]] = frozenset()
    """Which requests cancel, where limits are modelled and passing one costs a refusal and no more: they
    are counted and never held back for it, for what rests unwanted costs money. Not among `order_calls`."""
    preparing_calls: frozenset[tuple[str, str]] = frozenset()
    """Which requests only prepare new orders (balances, fees): they yield like market data, so that what
    came of earlier orders can still be asked."""
    tiers: Mapping[str, Mapping[str, Limit]] = field(default_factory=dict)
    """The limits by the name of the account's tier, where the venue has such."""


def decide(budget: Budget, purpose: Purpose, costs: Mapping[str, float], now_ms: int) -> tuple[Budget, float]:
    """Say whether a request may go out now.

    Returns
    -------
    Budget and float
        The budget with the request counted, and 0; or the same budget and the seconds to wait.
    """
    if now_ms < budget.blocked_until_ms:
        return budget, (budget.blocked_until_ms - now_ms) / 1000.0
    share = SHARES[purpose]
    wait_s = max(
        (
            _wait_s(_limit(budget, name), _used(budget, name, now_ms), cost, share, now_ms)
            for name, cost in costs.items()
        ),
        default=0.0,
    )
    if wait_s > 0:
        return budget, wait_s
    used = {name: _used(budget, name, now_ms) + cost for name, cost in costs.items()}
    return observed(budget, used, now_ms), 0.0


def observed(budget: Budget, used: Mapping[str, float], now_ms: int) -> Budget:
    """Take over what the venue tells of its counters."""
    limits = {name: _limit(budget, name) for name in used}
    most = {name: math.inf if limit is None else limit.capacity for name, limit in limits.items()}
    levels = {name: Level(min(each, most[name]), now_ms) for name, each in used.items()}
    return replace(budget, levels={**budget.levels, **levels})


def blocked(budget: Budget, for_s: float, now_ms: int) -> Budget:
    """Stay away for so long."""
    until_ms = now_ms + round(for_s * 1000)
    return replace(budget, blocked_until_ms=max(budget.blocked_until_ms, until_ms))


def _limit(budget: Budget, name: str) -> Limit | None:
    return budget.limits.get(name.partition(":")[0])


def _used(budget: Budget, name: str, now_ms: int) -> float:
    level, limit = budget.levels.get(name), _limit(budget, name)
    if level is None or limit is None:
        return 0.0
    match limit:
        case Window(_, window_ms):
            return level.used if level.at_ms // window_ms == now_ms // window_ms else 0.0
        case Bucket(_, drained_per_s):
            return max(0.0, level.used - max(0, now_ms - level.at_ms) / 1000.0 * drained_per_s)


def _wait_s(limit: Limit | None, used: float, cost: float, share: float, now_ms: int) -> float:
    """Seconds until a cost fits in a share of a limit; a full share's wait for what never would."""
    if limit is None:
        return 0.0
    over = used + cost - max(limit.capacity * share, cost)
    if over <= 0:
        return 0.0
    match limit:
        case Window(_, window_ms):
            return ((now_ms // window_ms + 1) * window_ms - now_ms) / 1000.0
        case Bucket(_, drained_per_s):
            return over / drained_per_s


class VenueBudget:
    """The budget of one venue, shared by all that ask it from this process.

    Parameters
    ----------
    rules
        How it counts.
    clock
        Ours; windows of a minute bear its being off by a little.
    tier
        The account's, one of `Rules.tiers`; empty for the venue's lowest.

    Raises
    ------
    KeyError
        If the venue has no such tier.
    """

    def __init__(self, rules: Rules, clock: Clock, tier: str = "") -> None:
        self._rules = rules
        self._clock = clock
        self._budget = Budget(rules.tiers[tier] if tier else rules.limits)

    def gate(self, usual: Purpose) -> VenueGate:
        """Give the gate (`adapters.http.Gate`) for requests that are usually for one purpose."""
        return VenueGate(self, usual)

    def wait_s(self, usual: Purpose, method: str, path: str, params: Params) -> float:
        """Count a request and give 0, or give the seconds it would have to wait."""
        purpose = usual
        if (method, path) in self._rules.cancel_calls:
            purpose = Purpose.CANCEL
        elif (method, path) in self._rules.order_calls:
            purpose = Purpose.ORDER
        elif (method, path) in self._rules.preparing_calls:
            purpose = Purpose.MARKET_DATA
        costs = self._rules.costs(method, path, params)
        self._budget, wait_s = decide(self._budget, purpose, costs, self._clock.now_ms())
        return wait_s

    def used_ratio(self) -> float:
        """Give how much of the tightest limit is used up, as far as is known: 0 is nothing, 1 is all."""
        known, now_ms = self._budget, self._clock.now_ms()
        limits = ((name, _limit(known, name)) for name in known.levels)
        shares = [_used(known, name, now_ms) / limit.capacity for name, limit in limits if limit is not None]
        return 1.0 if now_ms < known.blocked_until_ms else max(shares, default=0.0)

    def learn(self, answer: Answer) -> None:
        """Take over what an answer tells."""
        now_ms = answer.received_at_ms
        self._budget = observed(self._budget, self._rules.observe(answer), now_ms)
        self._budget = blocked(self._budget, self._rules.away_s(answer), now_ms)


class VenueGate:
    """Lets requests of one side of a venue out (implements `adapters.http.Gate`)."""

    def __init__(self, budget: VenueBudget, usual: Purpose) -> None:
        self._budget = budget
        self._usual = usual

    def wait_s(self, method: str, path: str, params: Params) -> float:
        return self._budget.wait_s(self._usual, method, path, params)

    def learn(self, answer: Answer) -> None:
        self._budget.learn(answer)
