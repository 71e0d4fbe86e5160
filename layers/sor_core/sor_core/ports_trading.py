"""What trading asks of the world: venues that take orders, their keys, and the order ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from sor_core.domain.account import AccountFees, Balance
from sor_core.domain.credentials import Credentials, KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.health import SystemStatus as SystemStatus  # noqa: PLC0414 - part of this port
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    CancelOutcome,
    CheckOutcome,
    Fence,
    Fill,
    FrozenRequest,
    OrderRef,
    Placement,
    PlaceOutcome,
    QueryOutcome,
    Refusal,
    VenueOrder,
)
from sor_core.execution.dues import Ceiling, Counter, Tally
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import OrderRecord

_T = TypeVar("_T")


class CredentialsSource(Protocol):
    """Where the keys of the venues are, whoever rotates them."""

    async def get(self, venue: str, use: KeyUse) -> Credentials:
        """Give the key for a use; raises `domain.credentials.CredentialsError` and nothing else.

        A venue may have one key for everything: then it is given for reading, too, and says so.
        """
        ...

    def refused(self, credentials: Credentials) -> None:
        """Hear that a venue does not accept this key any more: the next `get` looks for a newer one."""
        ...


class Nonces(Protocol):
    """Numbers that only grow, for each key, over all processes. Every method raises `StateError` only.

    Growing numbers alone do not help requests that overtake each other on the way: who must not be
    overtaken takes a turn, and nobody else's turn begins before it ends.
    """

    async def next(self, key_id: str) -> int:
        """Give a number above all that were given for the key, by either method."""
        ...

    async def take_turn(self, key_id: str, owner: str, *, for_ms: int) -> int | None:
        """Give such a number and the turn with it, for so long at most; None while another has it."""
        ...

    async def end_turn(self, key_id: str, owner: str) -> None:
        """Give the turn back, if it is still `owner`'s."""
        ...


class Patience(Protocol):
    """How long the pages of a list may take together, and what is done where one is held up."""

    async def ask(self, question: Callable[[float], Awaitable[_T]]) -> _T:
        """Ask for a page, in so many seconds at most; raises `VenueError` where it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class History:
    """What the account did in one market since a moment, each row once."""

    orders: Sequence[VenueOrder]
    fills: Sequence[Fill]


class VenueTrading(Protocol):
    """The private side of one venue.

    What is done about an order (`place`, `query`, `cancel`) ends in an outcome, never in an
    exception. What is listed raises `domain.errors.VenueError` and nothing else.
    """

    @property
    def venue(self) -> str:
        """The venue's name, as in ``binance``."""
        ...

    @property
    def place_is_idempotent(self) -> bool:
        """Whether the venue answers a repeated order with the first one instead of making a second."""
        ...

    @property
    def fence(self) -> Fence:
        """When the venue's silence about a request begins to mean something."""
        ...

    async def check(self, request: FrozenRequest, *, timeout_s: float) -> CheckOutcome:
        """Ask the venue, by its own means of validating, whether it would take a request; place nothing."""
        ...

    def prepare(
        self, placement: Placement, instrument: Instrument, *, venue_now_ms: int
    ) -> FrozenRequest | Refusal:
        """Fit a placement to the venue's rules and write its request. Pure: nothing is sent or signed.

        `venue_now_ms` is the time by the venue's clock, from which its window counts.
        """
        ...

    async def place(self, request: FrozenRequest, *, not_after_ms: int, timeout_s: float) -> PlaceOutcome:
        """Sign a request and send it AT MOST ONCE.

        `not_after_ms` (our clock) is looked at just before the first byte leaves; past it nothing
        does. `timeout_s` covers everything, credentials and nonces included. `Placed` is what the
        answer to the POST tells: where it says PENDING, `query` is needed for the amounts.
        """
        ...

    async def query(self, ref: OrderRef, *, timeout_s: float) -> QueryOutcome:
        """Ask what came of an order."""
        ...

    async def order(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> VenueOrder | None:
        """Ask for any order of the account by the venue's id; None where the venue shows none."""
        ...

    async def cancel(self, ref: OrderRef, *, timeout_s: float) -> CancelOutcome:
        """Cancel what is still open of an order."""
        ...

    async def open_orders(self, symbol: Symbol, *, timeout_s: float) -> Sequence[VenueOrder]:
        """List the account's open orders in a market."""
        ...

    async def orders_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[VenueOrder]:
        """List the account's orders in a market, open and ended, since a moment of the venue's clock."""
        ...

    async def fills(self, symbol: Symbol, venue_order_id: str, *, timeout_s: float) -> Sequence[Fill]:
        """List the fills of an order."""
        ...

    async def fills_since(self, symbol: Symbol, since_ms: int, *, timeout_s: float) -> Sequence[Fill]:
        """List the account's fills in a market since a moment of the venue's clock."""
        ...

    async def histories(
        self, symbols: Sequence[Symbol], since_ms: int, patience: Patience
    ) -> Mapping[Symbol, History | VenueError]:
        """List the account's orders and fills in markets since a moment of the venue's clock.

        A list that the venue gives for all markets at once is read once. A page that is held up is
        asked for again, as `patience` says, and the list goes on from there. Every market has its
        history, complete, or the error that stood in its way.
        """
        ...

    async def balances(self, *, timeout_s: float) -> Mapping[str, Balance]:
        """List what the account has, by the assets' common names; what is not listed is nothing."""
        ...

    async def account_fees(self, symbol: Symbol, *, timeout_s: float) -> AccountFees:
        """Ask for the account's own fees in a market, discounts included."""
        ...


# The order ledger -----------------------------------------------------------------------------------


class LedgerError(Exception):
    """The ledger did not answer, or could not say whether it wrote.

    Whoever meets it sends nothing: what was written, if it was, is found and carried on by the sweep.
    """


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's promise that requests with it are one and the same."""

    caller: str
    key: str
    body_hash: str
    """SHA-256 in hex of what was asked, in canonical form."""


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """An order was accepted under the key."""

    order_id: str
    body_hash: str
    """Of the request that it was accepted for."""


@dataclass(frozen=True, slots=True)
class Saved:
    """It was written; `record` is as it stands."""

    record: OrderRecord


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another wrote since the record was read.

    Nothing was written; or it was, and another has already gone on from it.
    """


@dataclass(frozen=True, slots=True)
class CeilingPassed:
    """A counter would pass its ceiling, or was given back to since it was read: nothing was written."""

    counter: Counter
    ceiling: Ceiling


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """The operator's switch does not admit new attempts of that side: nothing was written."""

    mode: TradingMode


SaveOutcome = Saved | Conflict | CeilingPassed | NotAdmitted
AcceptOutcome = Saved | KeyTaken | CeilingPassed | NotAdmitted


@dataclass(frozen=True, slots=True)
class Switch:
    """The operator's switch as it stands."""

    mode: TradingMode
    reason: str
    by: str
    since_ms: int


class Standing(StrEnum):
    """What is still to be done about an order that is not done with."""

    NEEDS_REVIEW = "needs_review"
    """A person must look at it."""
    OPEN = "open"
    """It has not ended."""


def standing_of(record: OrderRecord) -> Standing | None:
    """Which list of all callers' orders an order stands in; None for one that is done with."""
    if record.status is OrderStatus.NEEDS_REVIEW:
        return Standing.NEEDS_REVIEW
    return Standing.OPEN if record.is_open else None


@dataclass(frozen=True, slots=True)
class Page:
    """Some orders, in the order of their list."""

    orders: tuple[OrderRecord, ...]
    cursor: str | None
    """Where to go on; None at the end."""


class OrderLedger(Protocol):
    """The truth about orders. Every method raises `LedgerError` only; reads of one order are consistent.

    A write stands or fails whole: the record under its version, the shared counters by what it
    claims more or less than before (`execution.dues.changes`), and, where attempts were written
    down, the operator's switch. A write whose answer was lost is recognised by its random
    `write_id`, never taken for another's.
    """

    async def accept(
        self,
        record: OrderRecord,
        keys: Sequence[IdempotencyKey],
        ceilings: Mapping[Counter, Ceiling],
        receipt: bytes | None,
    ) -> AcceptOutcome:
        """Write a new order, its keys, its claims and its receipt; `KeyTaken` where a key has an order."""
        ...

    async def find(self, caller: str, key: str) -> KeyTaken | None:
        """Find the order of a key."""
        ...

    async def load(self, order_id: str) -> OrderRecord | None:
        """Read an order."""
        ...

    async def save(
        self,
        before: OrderRecord,
        after: OrderRecord,
        ceilings: Mapping[Counter, Ceiling] | None = None,
    ) -> SaveOutcome:
        """Write `after` if the ledger still holds `before`'s version.

        Where `after` has attempts that `before` has not, the operator's switch must admit them, and
        every counter that grows needs its ceiling.
        """
        ...

    async def tallies(self, counters: Sequence[Counter]) -> Mapping[Counter, Tally]:
        """Read shared counters; those never used stand at zero."""
        ...

    async def receipt(self, order_id: str) -> bytes | None:
        """Read the receipt of an order's first decision."""
        ...

    async def orders(self, caller: str, *, limit: int, cursor: str | None) -> Page:
        """List a caller's orders, newest first; raises `ValueError` for a cursor it did not give out."""
        ...

    async def due(self, now_ms: int, *, limit: int) -> Sequence[str]:
        """Ids of orders that have not ended and that somebody should look after, longest due first.

        Orders that need review are not among them, although what they left may still rest at a venue.
        """
        ...

    async def under_review(self, *, limit: int) -> Sequence[str]:
        """Ids of orders that need review, whoever's, those first that have needed it longest."""
        ...

    async def standing(self, standing: Standing, *, limit: int, cursor: str | None) -> Page:
        """List all callers' orders that need review, or that have not ended, as they stand.

        The first are those that have needed review longest, or that are due soonest. An order that
        is written meanwhile may be missing or come twice. Raises `ValueError` for a cursor it did
        not give out.
        """
        ...

    async def orders_since(self, since_ms: int) -> Sequence[OrderRecord]:
        """All orders created since a moment, whoever's, oldest first."""
        ...

    async def keep_report(self, day: str, body: bytes) -> None:
        """Keep the report of a day's reconciliation, in place of an earlier one of that day."""
        ...

    async def report(self, day: str) -> bytes | None:
        """Read the report of a day's reconciliation, as ``2026-11-22``."""
        ...

    async def switch(self) -> Switch:
        """Read the operator's switch; running where it was never set."""
        ...

    async def set_switch(self, switch: Switch) -> None:
        """Set the operator's switch: no attempt is written down against it from here on."""
        ...


class Failover(Protocol):
    """Carries an order on when its handler is done with it."""

    async def start(self, order_id: str, epoch: int, correlation_id: str) -> None:
        """Start the machine once for an order and epoch; again is harmless. Raises `StateError`."""
        ...
