"""The words of a venue's trading side: what it is told to do, and what it says came of it.

::

    Placement --fit--> Placement --prepare--> FrozenRequest --place--> Placed | Rejected | Unknown
                 |                   |                                             |
                 '------ Refusal ----'  nothing was sent                         query
                                                                                   |
                                                                 Found | NotFoundNow | Unknown

Whatever leaves any doubt whether an order exists is `Unknown`, which is a state to be resolved by
asking, never a failure to be tried again. All of it stands in one file, so that the closed unions of
outcomes can be read beside the words they are made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact
from sor_core.domain.order import Side

CLIENT_ORDER_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""The one form that all venues take: a UUID in hex without dashes."""


class OrderKind(StrEnum):
    """How an order meets the book."""

    LIMIT_IOC = "limit_ioc"
    """Fill what can be filled at once within the limit, let the rest go. What the router sends."""
    LIMIT_FOK = "limit_fok"
    """Fill all of it at once, or nothing."""
    LIMIT_GTC = "limit_gtc"
    """The rest waits in the book."""
    POST_ONLY = "post_only"
    """Wait in the book, or be refused where it would trade at once."""
    MARKET = "market"
    """Fill at any price."""


class RejectReason(StrEnum):
    """Why an order was definitely not taken: a closed list for all venues."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    FILTER_SIZE = "filter_size"
    FILTER_PRICE = "filter_price"
    FILTER_NOTIONAL = "filter_notional"
    HALTED = "halted"
    """The market, or the venue, takes no such orders now."""
    AUTH = "auth"
    """Key or signature are not accepted."""
    PERMISSION = "permission"
    """The key, or the account, may not do this."""
    RATE_LIMITED = "rate_limited"
    """Too many requests, as the venue counts."""
    OVERLOADED = "overloaded"
    """The venue sheds load and says that it did nothing."""
    BLOCKED = "blocked"
    """By the venue's firewall, or for where we call from."""
    DUPLICATE_ID = "duplicate_id"
    """The client order id is taken: an order with it EXISTS."""
    POST_ONLY_WOULD_CROSS = "post_only_would_cross"
    NO_LIQUIDITY = "no_liquidity"
    DEADLINE_ELAPSED = "deadline_elapsed"
    TIMESTAMP = "timestamp_out_of_window"
    NONCE = "nonce"
    TOO_MANY_ORDERS = "too_many_orders"
    """Too many open, or too large a position."""
    UNKNOWN_SYMBOL = "unknown_symbol"
    INVALID_REQUEST = "invalid_request"
    NOT_SENT = "not_sent"
    """No byte of it left this machine: the venue could not be reached."""
    HELD_BACK = "held_back"
    """No byte of it left this machine, for a reason of our own: too late, over our own budget, no key."""
    OTHER = "other"
    """Refused for a reason that the venue does not say, or that none of the others names."""

    @property
    def replay_explainable(self) -> bool:
        """Whether the venue would say this of the second copy of an order that it took.

        A proxy or a network on the way may repeat a request unseen and pass on the second answer. A
        refusal that depends on anything but the order's own words (what the first copy used up or
        made, the time, the market, the key's use) is then no proof that nothing was placed: it
        counts only once a query confirms it.
        """
        return self not in _DECIDED_BY_THE_ORDER


_DECIDED_BY_THE_ORDER = frozenset(
    {
        RejectReason.FILTER_SIZE,
        RejectReason.FILTER_PRICE,
        RejectReason.FILTER_NOTIONAL,
        RejectReason.UNKNOWN_SYMBOL,
        RejectReason.INVALID_REQUEST,
        RejectReason.NOT_SENT,
        RejectReason.HELD_BACK,
    }
)


class UnknownWhy(StrEnum):
    """Why it is not known what came of a request: a closed list for all venues."""

    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    SERVER_ERROR = "server_error"
    """HTTP 5xx, whatever its body says."""
    MALFORMED = "malformed_answer"
    """An answer that cannot be read, or is not from the venue's API at all (HTML)."""
    CONTRADICTORY = "contradictory_answer"
    """An answer that can be read and cannot be true."""
    VENUE_UNSURE = "venue_unsure"
    """A code with which the venue itself says that it does not know."""
    UNEXPECTED_CODE = "unexpected_code"
    """A code that is not known, or is no answer to this request."""
    REFUSED = "question_refused"
    """Of a query or a cancel: refused, so that nothing was learnt or done."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One order for one venue, in common words.

    Raises
    ------
    ValueError
        If it contradicts itself; whether the *venue* can take it is `fitting.fit`'s to say.
    """

    venue: str
    symbol: Symbol
    side: Side
    kind: OrderKind
    client_order_id: str
    """32 hex digits, used for this one attempt and never again."""
    size: Decimal | None
    """Base asset. None only for a market order by `quote_size`."""
    limit_price: Decimal | None
    """Worst price; None only for a market order."""
    quote_size: Decimal | None = None
    """Quote asset to spend (or to receive) at the market, instead of `size`."""

    def __post_init__(self) -> None:
        if not CLIENT_ORDER_ID.fullmatch(self.client_order_id):
            raise ValueError("client_order_id: expected 32 hex digits in lower case")
        if (self.size is None) == (self.quote_size is None):
            raise ValueError("size, quote_size: expected exactly one of them")
        if self.quote_size is not None and self.kind is not OrderKind.MARKET:
            raise ValueError("quote_size: expected with market orders only")
        if (self.limit_price is None) != (self.kind is OrderKind.MARKET):
            raise ValueError("limit_price: expected with every kind but market")
        for name, amount in (
            ("size", self.size),
            ("quote_size", self.quote_size),
            ("limit_price", self.limit_price),
        ):
            if amount is not None and not (amount.is_finite() and amount > 0):
                raise ValueError(f"{name}: expected a number above zero")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why we do not send what the venue is sure to refuse, or cannot do."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True)
class SendWindow:
    """When the venue may take a request, in Unix milliseconds of the VENUE's clock.

    It is the fence: made by what the request itself carries (Binance ``timestamp`` and
    ``recvWindow``, Kraken ``deadline``, the life of Coinbase's token), it holds whatever a network
    does with the request meanwhile.
    """

    opens_at_ms: int
    closes_at_ms: int


@dataclass(frozen=True, slots=True)
class Fence:
    """When a venue's silence about a request begins to mean something (see docs/resolution.md)."""

    settle_ms: int
    """How long after its window a request may still be on its way through the venue."""
    visible_ms: int
    """How late, at most, an order shows in the venue's queries and lists."""
    absence_proves: bool
    """Whether absence after both is proof where the venue has said nothing at all."""


@dataclass(frozen=True, slots=True)
class FrozenRequest:
    """The exact request of an order, signatures apart: what an intent stores before anything is sent."""

    placement: Placement
    """As fitted to the venue's rules: what the answer is held against."""
    method: str
    path: str
    content_type: str
    body: bytes
    window: SendWindow


class OrderState(StrEnum):
    """Where an order stands."""

    PENDING = "pending"
    """Taken. What came of it is not told yet: its amounts mean nothing, ask."""
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    """And still open."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    """Ended by its account, or by the venue's own rules where the venue calls that so."""
    EXPIRED = "expired"
    """Ended by its own rules, as an IOC order's rest."""
    REJECTED = "rejected"
    """Taken and then refused by the matching engine."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more can fill."""
        return self not in {OrderState.PENDING, OrderState.OPEN, OrderState.PARTIALLY_FILLED}


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order."""

    fill_id: str
    price: Decimal
    size: Decimal
    """Base asset."""
    fee: Decimal
    fee_asset: str
    venue_order_id: str = ""
    is_maker: bool | None = None
    """None where the venue does not say."""
    at_ms: int | None = None
    """By the venue's clock."""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as a venue tells of it at one moment."""

    venue: str
    symbol: Symbol
    venue_order_id: str
    client_order_id: str | None
    """None where this answer does not repeat it."""
    side: Side
    state: OrderState
    filled_size: Decimal
    """Base asset."""
    quote_filled: Decimal
    """Quote asset, fees apart."""
    average_price: Decimal | None
    """None before the first fill."""
    size: Decimal | None = None
    """As ordered; None where not told, or where the order is by quote asset."""
    limit_price: Decimal | None = None
    """None where not told, or for market orders."""
    fees: Mapping[str, Decimal] | None = None
    """All fees so far by the asset they were taken in; None where this answer does not tell."""
    fills: tuple[Fill, ...] | None = None
    """None where this answer does not list them."""
    created_at_ms: int | None = None
    updated_at_ms: int | None = None
    detail: str = ""
    """The venue's own word on how it ended, if it has one."""

    @property
    def fills_complete(self) -> bool:
        """Whether the listed fills add up to what is filled."""
        return self.fills is not None and sum_of_fills(self.fills) == self.filled_size


@dataclass(frozen=True, slots=True)
class Placed:
    """The order exists at the venue."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue (or, for NOT_SENT, our own side) says that no order was made."""

    reason: RejectReason
    code: str
    """The venue's own code; empty where it has none."""
    detail: str
    retry_after_s: float | None = None

    @property
    def replay_explainable(self) -> bool:
        """See `RejectReason.replay_explainable`: if so, it is `Unknown` until a query confirms it."""
        return self.reason.replay_explainable


@dataclass(frozen=True, slots=True)
class Unknown:
    """It is not known what came of the request."""

    why: UnknownWhy
    detail: str
    code: str = ""
    retry_after_s: float | None = None


PlaceOutcome = Placed | Rejected | Unknown


@dataclass(frozen=True, slots=True)
class WouldTake:
    """The venue's own validation has no objection."""


CheckOutcome = WouldTake | Rejected | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """The venue knows the order."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class NotFoundNow:
    """The venue does not show such an order at this moment, which is no proof that there is none."""


QueryOutcome = Found | NotFoundNow | Unknown


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The venue took the cancel. What was filled before is for a query to say."""

    order: VenueOrder | None
    """As the answer tells it, where it does."""


@dataclass(frozen=True, slots=True)
class NotOpen:
    """The venue has no such order open: it ended, or is not visible yet, or never was."""

    detail: str


CancelOutcome = Cancelled | NotOpen | Unknown


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Which order is meant: by the venue's id where it is known, else by the client order id."""

    symbol: Symbol
    client_order_id: str
    sent_at_ms: int
    """By the venue's clock: where to begin looking through its history."""
    venue_order_id: str | None = None


def sum_of_fills(fills: tuple[Fill, ...]) -> Decimal:
    """Base asset of all the fills."""
    with exact():
        return sum((fill.size for fill in fills), Decimal(0))


def inconsistency(order: VenueOrder) -> str | None:
    """Say why an order cannot be as the venue tells it; None where it can."""
    if not order.venue_order_id:
        return "an order without an id"
    if order.size is not None and order.filled_size > order.size:
        return "more filled than ordered"
    if order.fills is not None and sum_of_fills(order.fills) > order.filled_size:
        return "fills that add up to more than is filled"
    if order.state is not OrderState.PENDING and bool(order.filled_size) != bool(order.quote_filled):
        return "base filled without quote, or quote without base"
    if order.state is OrderState.FILLED and not order.filled_size:
        return "filled without a fill"
    if order.state is OrderState.FILLED and order.size is not None and order.filled_size < order.size:
        return "filled and less than ordered"
    return None


def mismatch(placement: Placement, order: VenueOrder) -> str | None:
    """Say in what an order is not the one that was placed; None where all that is told agrees."""
    if order.venue != placement.venue:
        return "another venue"
    if order.symbol != placement.symbol:
        return "another symbol"
    if order.client_order_id not in {None, placement.client_order_id}:
        return "another client order id"
    if order.side is not placement.side:
        return "another side"
    if placement.size is not None and order.size not in {None, placement.size}:
        return "another size"
    if order.limit_price not in {None, placement.limit_price}:
        return "another limit price"
    if placement.size is not None and order.filled_size > placement.size:
        return "more filled than ordered"
    return None
