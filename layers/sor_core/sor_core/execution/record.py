"""What the order ledger holds of an order: everything that its safety depends on, and nothing else.

::

    OrderRecord                       the order, its bounds, who drives it, how it ended
      '-- Attempt, Attempt, ...       one send of a leg to one venue, with its own client order id
            '-- FrozenRequest         the exact request, written down before it is sent

The state of an attempt (`AttemptState`)::

    INTENDED --answer--> LIVE --ended, fills complete--> ENDED
        |                 ^                                ^
        |--no word----> UNKNOWN --found-------------------'
        |                 |
        '--refused--------'--fence passed, absent twice--> NEVER

Everything here is plain data with exact sums; what may follow what is in `protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import NAMESPACE_URL, uuid5

from sor_core.domain.money import BPS, exact
from sor_core.domain.order import Order, Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    CLIENT_ORDER_ID,
    Fence,
    FrozenRequest,
    OrderKind,
    OrderRef,
    OrderState,
    Rejected,
    VenueOrder,
)

_IDS = uuid5(NAMESPACE_URL, "urn:sor:attempt")


class TimeInForce(StrEnum):
    """What becomes of the part of a limit order that cannot be filled at once."""

    IOC = "IOC"
    """It is let go."""
    GTC = "GTC"
    """It waits in the book of one venue."""


class AttemptState(StrEnum):
    """What is known of an attempt; a closed set."""

    INTENDED = "intended"
    """Written down. Its owner may be sending it, may have sent it, or may have died before."""
    UNKNOWN = "unknown"
    """Sent, and it is not known what came of it."""
    LIVE = "live"
    """The venue has it, and more may fill or not all its fills are told."""
    ENDED = "ended"
    """Nothing more can fill, and its fills add up to what is filled."""
    NEVER = "never"
    """Proven not to exist."""


@dataclass(frozen=True, slots=True)
class Absence:
    """One look through a venue's order query AND its history that did not find the attempt."""

    venue_time_ms: int
    """By the venue's clock, told before the question was asked."""
    witnessed: bool
    """Whether the same list showed a younger order of ours: it was not behind."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One send of a leg. Its request never changes and is sent once."""

    number: int
    """1, 2, ... over the whole order."""
    round: int
    request: FrozenRequest
    fee_bps: Decimal
    """Taker fee taken into account for what it may cost."""
    fence: Fence
    idempotent: bool
    """Whether the venue answers a repeated request with the first order."""
    owner: str
    """Who wrote it down, and alone may send it."""
    epoch: int
    intended_at_ms: int
    not_after_ms: int
    """Our clock: past it no byte of it leaves."""
    state: AttemptState = AttemptState.INTENDED
    order: VenueOrder | None = None
    """As the venue told last."""
    refusal: Rejected | None = None
    """The venue's refusal: final in NEVER, still to be confirmed in UNKNOWN."""
    detail: str = ""
    """Why it is not known what came of it, or what proves that nothing did."""
    absences: tuple[Absence, ...] = ()
    replays: int = 0
    """How often an idempotent request was repeated."""
    asked_at_ms: int = 0
    """When the venue was last asked about it; 0 asks at once."""
    cancelled_at_ms: int = 0
    """When the venue was last told to cancel it."""
    clear_at_ms: int = 0
    """When it was last seen to rest: until then nothing about it was unclear."""
    told_at_ms: int = 0
    """When the venue first told of it."""

    @property
    def venue(self) -> str:
        """Where it goes."""
        return self.request.placement.venue

    @property
    def size(self) -> Decimal:
        """Base asset, as sent."""
        size = self.request.placement.size
        if size is None:
            raise ValueError("an attempt is always by size")
        return size

    @property
    def limit_price(self) -> Decimal:
        """Its worst price."""
        price = self.request.placement.limit_price
        if price is None:
            raise ValueError("an attempt always has a limit price")
        return price

    @property
    def rests(self) -> bool:
        """Whether it waits in the book."""
        return self.request.placement.kind is OrderKind.LIMIT_GTC

    @property
    def is_resting(self) -> bool:
        """Whether it is known to wait in the book: the venue itself holds what it may cost."""
        return (
            self.rests
            and self.state is AttemptState.LIVE
            and self.order is not None
            and self.order.state in {OrderState.OPEN, OrderState.PARTIALLY_FILLED}
        )

    @property
    def filled(self) -> Decimal:
        """Base asset known to be filled."""
        return self.order.filled_size if self.order is not None else Decimal(0)

    @property
    def quote_filled(self) -> Decimal:
        """Quote asset known to be paid or received, fees apart."""
        return self.order.quote_filled if self.order is not None else Decimal(0)

    @property
    def may_fill(self) -> Decimal:
        """Base asset that may still fill, for all that is known."""
        match self.state:
            case AttemptState.INTENDED | AttemptState.UNKNOWN | AttemptState.LIVE:
                with exact():
                    return self.size - self.filled
            case AttemptState.ENDED | AttemptState.NEVER:
                return Decimal(0)

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be found out about it."""
        return self.state in {AttemptState.ENDED, AttemptState.NEVER}

    @property
    def ref(self) -> OrderRef:
        """How the venue is asked about it."""
        return OrderRef(
            self.request.placement.symbol,
            self.request.placement.client_order_id,
            self.request.window.opens_at_ms,
            None if self.order is None else self.order.venue_order_id,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """What was settled when the order was accepted, once and for all."""

    order: Order
    time_in_force: TimeInForce
    decision_id: str
    selected: str
    """The venue of the largest leg of the first decision."""
    reason: str
    arrival_mid: Decimal
    price_cap: Decimal
    """No attempt is ever beyond it; it is not moved by what the market does later."""
    base: Decimal
    """The most base asset that all attempts together may fill."""
    budget: Decimal | None
    """Of a quote-sized order the quote asset to spend, fees included, or to receive; else None."""
    expected_price: Decimal | None
    """As decided; None where the order rests without a decision."""
    expected_savings_bps: Decimal | None
    best_single_venue: str | None
    best_single_cost_bps: Decimal | None
    """Its total cost on the same books."""
    most_rounds: int
    give_up_at_ms: int
    """Our clock: past it nothing new is tried."""
    review_after_ms: int
    """How long an unknown outcome is looked into before a person must."""
    strict: bool
    """Whether an absence must be witnessed to count."""
    receipt_digest: str = ""


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """A leg chosen for the next round."""

    venue: str
    size: Decimal
    limit_price: Decimal
    kind: OrderKind


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next round sends, if it is sent soon."""

    legs: tuple[PlannedLeg, ...]
    made_at_ms: int


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an order's history."""

    at_ms: int
    epoch: int
    what: str
    """A short code."""
    attempt: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an order ended."""

    status: OrderStatus
    why: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order as the ledger holds it."""

    order_id: str
    caller: str
    """Who placed it, and alone may see and cancel it."""
    client_order_id: str
    """The caller's own name of it; empty where none was given."""
    correlation_id: str
    created_at_ms: int
    terms: Terms
    owner: str
    """Random name of the process that drives it; empty where it waits for one."""
    epoch: int
    """Raised whenever it is taken away from a process: one of an older epoch does nothing more."""
    due_at_ms: int
    """When somebody should look after it if nothing has happened to it since."""
    attempts: tuple[Attempt, ...] = ()
    plan: Plan | None = None
    rounds: int = 0
    choose_at_ms: int = 0
    """Before it no venue can be chosen: there was none."""
    exhausted: str = ""
    """Why nothing more can be placed; empty while it may."""
    contradiction: str = ""
    """What a venue told that cannot be; empty where all agrees."""
    avoid: tuple[str, ...] = ()
    """Venues that failed it."""
    cancel_requested: bool = False
    ending: Ending | None = None
    failover_used: bool = False
    history: tuple[Event, ...] = ()
    version: int = 0
    write_id: str = ""
    """Random name of the write that made this version."""

    @property
    def symbol(self) -> str:
        """Such as ``BTC/USDT``."""
        return str(self.terms.order.symbol)

    @property
    def side(self) -> Side:
        """Of the order and all its attempts."""
        return self.terms.order.side

    @property
    def status(self) -> OrderStatus:
        """Where it stands."""
        if self.ending is not None:
            return self.ending.status
        if self.cancel_requested:
            return OrderStatus.CANCELLING
        if any(a.state is AttemptState.UNKNOWN for a in self.attempts):
            return OrderStatus.RESOLVING
        if any(a.rests and a.state is AttemptState.LIVE for a in self.attempts):
            return OrderStatus.RESTING
        return OrderStatus.WORKING

    @property
    def filled(self) -> Decimal:
        """Base asset known to be filled."""
        with exact():
            return sum((a.filled for a in self.attempts), Decimal(0))

    @property
    def quote_filled(self) -> Decimal:
        """Quote asset known to be paid or received, fees apart."""
        with exact():
            return sum((a.quote_filled for a in self.attempts), Decimal(0))

    @property
    def may_fill(self) -> Decimal:
        """Base asset of all attempts that may still fill."""
        with exact():
            return sum((a.may_fill for a in self.attempts), Decimal(0))

    @property
    def at_stake(self) -> Decimal:
        """Filled and may still fill: what must never pass `Terms.base`."""
        with exact():
            return self.filled + self.may_fill

    @property
    def is_open(self) -> bool:
        """Whether anything of it may still be going on: also a rest that may wait unseen under review."""
        return self.ending is None or any(a.rests and not a.is_settled for a in self.attempts)

    def attempt(self, number: int) -> Attempt:
        """The attempt of that number; raises `KeyError`."""
        for attempt in self.attempts:
            if attempt.number == number:
                return attempt
        raise KeyError(number)


def client_order_id(order_id: str, number: int) -> str:
    """The client order id of an attempt: 32 hex digits, the same for whoever asks again.

    Examples
    --------
    >>> client_order_id("7f", 1) == client_order_id("7f", 1) != client_order_id("7f", 2)
    True
    """
    return uuid5(_IDS, f"{order_id}/{number}").hex


def is_ours(client_order_id: str) -> bool:
    """Whether an id has the form of ours: 32 hex digits of a UUID made from a name (RFC 9562, version 5)."""
    return CLIENT_ORDER_ID.fullmatch(client_order_id) is not None and client_order_id[12] == "5"


def cost_bound(side: Side, size: Decimal, limit_price: Decimal, fee_bps: Decimal) -> Decimal:
    """The most quote asset that buying `size` may cost with its fee; 0 selling."""
    if side is Side.SELL:
        return Decimal(0)
    with exact():
        return size * limit_price * (1 + fee_bps / BPS)
