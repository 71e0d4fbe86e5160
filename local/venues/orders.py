"""Orders and fills in no venue's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from local.venues.money import ZERO, exact


class Side(StrEnum):
    """Which way an order trades the base asset; of a public trade, its taker's way."""

    BUY = "buy"
    SELL = "sell"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Kind(StrEnum):
    """Whether an order bounds its price."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    """What becomes of what does not fill at once."""

    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"

    @property
    def rests(self) -> bool:
        """Whether the remainder waits in the book."""
        return self in {TimeInForce.GTC, TimeInForce.GTD}


class FeeIn(StrEnum):
    """The asset of the pair that a fee is taken in."""

    BASE = "base"
    QUOTE = "quote"


class SelfTrade(StrEnum):
    """Which order goes when an account would trade with itself.

    ``NEITHER`` keeps both: the account's own orders are then passed over, as this simulation
    never lets an account trade with itself.
    """

    TAKER = "taker"
    MAKER = "maker"
    BOTH = "both"
    NEITHER = "neither"


class Status(StrEnum):
    """Where an order stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    """By the account, or by the venue on its behalf."""
    EXPIRED = "expired"
    """By the order's own rules."""


class EndReason(StrEnum):
    """Why an order ended unfilled."""

    ASKED = "asked"
    """The account cancelled it."""
    TIMER = "timer"
    """The account's dead man's switch went off."""
    IOC_REMAINDER = "ioc_remainder"
    FOK_UNFILLED = "fok_unfilled"
    NO_LIQUIDITY = "no_liquidity"
    """A market order met the end of the book."""
    GTD_PASSED = "gtd_passed"
    SELF_TRADE = "self_trade"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client wants, understood and found well-formed.

    Attributes
    ----------
    base_size, quote_size
        One of them is given; `quote_size` is what a market buy may spend.
    quote_includes_fee
        Whether `quote_size` has the fee within it.
    expires_at_ms
        For GTD, by the venue's clock.
    words
        What the venue's answers repeat and nothing here depends on.
    """

    symbol: str
    side: Side
    kind: Kind
    time_in_force: TimeInForce
    fee_in: FeeIn
    client_order_id: str = ""
    price: Decimal | None = None
    base_size: Decimal | None = None
    quote_size: Decimal | None = None
    quote_includes_fee: bool = False
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.TAKER
    expires_at_ms: int | None = None
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order."""

    number: int
    fill_id: str
    order: Order
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at_ms: int
    """By the venue's clock."""

    @property
    def cost(self) -> Decimal:
        """Its worth in quote asset, fee apart."""
        with exact():
            return self.price * self.size


@dataclass(slots=True, eq=False)
class Order:
    """An order as the venue has it. Only its desk changes it."""

    number: int
    order_id: str
    ticket: Ticket
    placed_at_ms: int
    visible_from_ms: int
    """Before this (by the true clock) no question about orders finds it."""
    status: Status = Status.OPEN
    reason: EndReason | None = None
    updated_at_ms: int = 0
    fills: list[Fill] = field(default_factory=list)
    held: Decimal = ZERO
    """What the account still has aside for it."""
    rested_on: int = -1
    """The snapshot with which it was last matched."""

    @property
    def filled(self) -> Decimal:
        """Base asset traded so far."""
        return sum((fill.size for fill in self.fills), ZERO)

    @property
    def spent(self) -> Decimal:
        """Quote asset traded so far, fees apart."""
        with exact():
            return sum((fill.cost for fill in self.fills), ZERO)

    @property
    def fee(self) -> Decimal:
        """Fees so far: one order's are all in one asset."""
        with exact():
            return sum((fill.fee for fill in self.fills), ZERO)

    @property
    def size(self) -> Decimal:
        """Base asset ordered; of an order sized in quote asset, what it got."""
        return self.filled if self.ticket.base_size is None else self.ticket.base_size

    @property
    def left(self) -> Decimal:
        """Base asset not yet traded."""
        return self.size - self.filled

    @property
    def average_price(self) -> Decimal:
        """Mean price of its fills, to 28 digits; 0 without fills."""
        return self.spent / self.filled if self.fills else ZERO

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status is Status.OPEN
