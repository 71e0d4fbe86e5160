"""What can be made to go wrong, as one closed union, and the one place that reads it from JSON.

A fault stands for a venue (or all), optionally for one endpoint, optionally for the next `count`
requests only, optionally with a probability. Kinds are told apart by what they touch: the exchange
itself (`StateFault`: what every answer of that venue says) or the way an answer travels
(`TransportFault`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from local.venues.markets import Venue


class Endpoint(StrEnum):
    """What a request asks for, the same words for every venue."""

    PING = "ping"
    TIME = "time"
    STATUS = "status"
    INSTRUMENTS = "instruments"
    ASSETS = "assets"
    BOOK = "book"
    TICKER = "ticker"
    TRADES = "trades"
    ACCOUNT = "account"
    FEES = "fees"
    PLACE_ORDER = "place_order"
    TEST_ORDER = "test_order"
    QUERY_ORDER = "query_order"
    CANCEL_ORDER = "cancel_order"
    OPEN_ORDERS = "open_orders"
    ORDER_HISTORY = "order_history"
    FILLS = "fills"


class FaultError(ValueError):
    """A fault description that cannot be taken; `field` names the part at fault."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class When(StrEnum):
    """Whether the venue has handled the request by the time its answer goes wrong."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Latency:
    """The answer comes `ms` later, give or take up to `jitter_ms`.

    With ``before`` it is the request that takes so long to get there: what a client that gave up
    waiting asked for still happens, afterwards.
    """

    ms: float
    jitter_ms: float = 0.0
    when: When = When.BEFORE


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is reset without an answer, before the request is handled."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed without an answer, or in the middle of the answer's body."""

    mid_body: bool = False
    when: When = When.AFTER


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing more is heard; the connection stays open."""

    when: When = When.AFTER


@dataclass(frozen=True, slots=True)
class ServerErrorAnswer:
    """The venue's own body for a failure of its own, with a status of 500 to 599."""

    status: int = 503
    when: When = When.BEFORE


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A load balancer's error page instead of JSON."""

    status: int = 502
    when: When = When.BEFORE


@dataclass(frozen=True, slots=True)
class Malformed:
    """The answer's JSON breaks off in the middle, though the HTTP message is complete."""


@dataclass(frozen=True, slots=True)
class Huge:
    """The answer is valid JSON with so many bytes of white space behind it."""

    bytes: int = 50_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The venue says that too much was asked. 418 (a ban) exists at Binance only."""

    status: int = 429
    retry_after_s: int = 1


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The venue is down for maintenance and says so in its own way."""


@dataclass(frozen=True, slots=True)
class CancelOnly:
    """The venue takes cancels only."""


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """The venue's clock is ahead by so much (behind, if negative)."""

    ms: int


@dataclass(frozen=True, slots=True)
class StaleBook:
    """Books and trades stand still, time stamps and update ids included, as they were when this was set."""


@dataclass(frozen=True, slots=True)
class CrossedBook:
    """The best bid is above the best ask by so much."""

    by_bps: float = 5.0


@dataclass(frozen=True, slots=True)
class EmptyBook:
    """Books have no levels."""


@dataclass(frozen=True, slots=True)
class DelayedVisibility:
    """An order placed now trades at once but no question finds it, or its fills, for so long."""

    ms: int


@dataclass(frozen=True, slots=True)
class PartialFill:
    """Only this share of what would fill at once fills; the rest of the order goes on as it would."""

    share: float = 0.5


StateFault = (
    Maintenance
    | CancelOnly
    | ClockSkew
    | StaleBook
    | CrossedBook
    | EmptyBook
    | DelayedVisibility
    | PartialFill
)
TransportFault = Latency | Refuse | Drop | Hang | ServerErrorAnswer | HtmlPage | Malformed | Huge | RateLimit
Fault = StateFault | TransportFault

KINDS: Mapping[str, type[Fault]] = {
    "latency": Latency,
    "refuse": Refuse,
    "drop": Drop,
    "hang": Hang,
    "error_5xx": ServerErrorAnswer,
    "html": HtmlPage,
    "malformed": Malformed,
    "huge": Huge,
    "rate_limit": RateLimit,
    "maintenance": Maintenance,
    "cancel_only": CancelOnly,
    "clock_skew": ClockSkew,
    "stale_book": StaleBook,
    "crossed_book": CrossedBook,
    "empty_book": EmptyBook,
    "delayed_visibility": DelayedVisibility,
    "partial_fill": PartialFill,
}
"""Every fault by the name it has in JSON."""

NAMES = {kind: name for name, kind in KINDS.items()}
"""The name in JSON of every fault."""


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """A fault and where it applies."""

    fault: Fault
    venue: Venue | None
    """None: every venue."""
    endpoint: Endpoint | None
    """None: every endpoint."""
    count: int | None
    """How many requests it meets before it ends; None: all until it is cleared."""
    probability: float

    def covers(self, venue: Venue, endpoint: Endpoint) -> bool:
        """Whether a request for that endpoint of that venue meets it."""
        return self.venue in {None, venue} and self.endpoint in {None, endpoint}

    def replaces(self, other: FaultOrder) -> bool:
        """Whether it takes the place of `other`: same kind, same scope."""
        return (type(self.fault), self.venue, self.endpoint) == (
            type(other.fault),
            other.venue,
            other.endpoint,
        )


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a field's value must be."""

    holds: Callable[[object], bool]
    expected: str

    def check(self, field: str, value: object) -> None:
        if not self.holds(value):
            raise FaultError(field, f"expected {self.expected}")


def _number(low: float, high: float) -> _Rule:
    def holds(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return _Rule(holds, f"a number from {low:g} to {high:g}")


def _integer(low: int, high: int) -> _Rule:
    def holds(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return _Rule(holds, f"a whole number from {low} to {high}")


def _one_of(*values: object) -> _Rule:
    # Types are compared too: to Python, 1 and True are equal.
    return _Rule(
        lambda value: any(type(value) is type(one) and value == one for one in values),
        "one of " + ", ".join(json.dumps(value) for value in values),
    )


_DAY_MS = 86_400_000
_WHEN = _one_of(*(str(when) for when in When))
_RULES: Mapping[tuple[type[Fault], str], _Rule] = {
    (Latency, "ms"): _number(0, 600_000),
    (Latency, "jitter_ms"): _number(0, 600_000),
    (Drop, "mid_body"): _one_of(True, False),
    (ServerErrorAnswer, "status"): _integer(500, 599),
    (HtmlPage, "status"): _integer(200, 599),
    (Huge, "bytes"): _integer(1, 1_000_000_000),
    (RateLimit, "status"): _one_of(429, 418),
    (RateLimit, "retry_after_s"): _integer(0, 259_200),
    (ClockSkew, "ms"): _integer(-_DAY_MS, _DAY_MS),
    (CrossedBook, "by_bps"): _number(0.01, 5000),
    (DelayedVisibility, "ms"): _integer(0, 3_600_000),
    (PartialFill, "share"): _number(0, 1),
}
_COUNT = _integer(1, 1_000_000)
_PROBABILITY = _number(0, 1)
_SCOPE = ("venue", "endpoint", "fault", "count", "probability")


def parse_fault_orders(document: object) -> list[FaultOrder]:
    """Read what ``POST /sim/faults`` was sent: one fault as an object, or an array of them.

    Raises
    ------
    FaultError
        Naming the first field that cannot be taken.
    """
    entries = document if isinstance(document, list) else [document]
    return [_parse_one(entry) for entry in entries]


def _parse_one(entry: object) -> FaultOrder:
    if not isinstance(entry, dict):
        raise FaultError("body", 'expected an object such as {"venue": "kraken", "fault": "refuse"}')
    name = entry.get("fault")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FaultError("fault", "expected one of " + ", ".join(KINDS))
    takes = fields(kind)
    known = (*(each.name for each in takes), *_SCOPE)
    for key in entry:
        if key not in known:
            raise FaultError(str(key), f"no such field: {name} takes {', '.join(known)}")
    for field, rule in (("count", _COUNT), ("probability", _PROBABILITY)):
        if entry.get(field) is not None:
            rule.check(field, entry[field])
    return FaultOrder(
        kind(**_parameters(kind, takes, entry)),
        venue=_scope(entry, "venue", Venue),
        endpoint=_scope(entry, "endpoint", Endpoint),
        count=entry.get("count"),
        probability=1.0 if entry.get("probability") is None else float(entry["probability"]),
    )


def _parameters(kind: type[Fault], takes: Sequence[Field[Any]], entry: Mapping[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for each in takes:
        rule = _WHEN if each.name == "when" else _RULES[kind, each.name]
        if each.name in entry:
            rule.check(each.name, entry[each.name])
            parameters[each.name] = When(entry["when"]) if each.name == "when" else entry[each.name]
        elif each.default is MISSING:
            raise FaultError(each.name, f"expected {rule.expected}")
    return parameters


_Word = TypeVar("_Word", bound=StrEnum)


def _scope(entry: Mapping[str, Any], field: str, words: type[_Word]) -> _Word | None:
    value = entry.get(field, "*")
    if value == "*":
        return None
    try:
        return words(value)
    except ValueError:
        raise FaultError(field, "expected one of *, " + ", ".join(words)) from None
