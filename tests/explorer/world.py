"""Three venues as they may behave, and time in ticks.

A tick is longer than any process, request or answer takes, so that whatever takes longer than that
is an event of its own. Within a tick everything happens in any order. `now` is always `BASE_MS`:
when a tick passes, all moments that are remembered move into the past instead.

An order that shows late and a replica that is behind are one thing here: within the tick of a change
a question may be answered from before it, at the next tick no more. That is the visibility bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

TICK_MS = 10_000
BASE_MS = 1_000_000_000_000


class Nature(NamedTuple):
    """What a venue is like."""

    name: str
    window_ms: int
    """From the venue's clock at preparation to the end of what the venue takes."""
    settle_ms: int
    """How long after that a request may still become an order."""
    visible_ms: int
    absence_proves: bool
    is_idempotent: bool
    tells_amounts: bool
    """Whether the answer to an order tells what it filled; else only that it was taken."""
    offset_ticks: int = 0
    """How far the venue's clock is ahead of ours."""

    @property
    def now_ms(self) -> int:
        """By its own clock."""
        return BASE_MS + self.offset_ticks * TICK_MS


BINANCE = Nature("binance", 300, TICK_MS, TICK_MS - 500, True, False, True)
COINBASE = Nature("coinbase", TICK_MS + 100, 100, TICK_MS - 500, False, True, False)
KRAKEN = Nature("kraken", 300, 100, TICK_MS - 500, True, False, False)


class Request(NamedTuple):
    """A request to place an order, on its way."""

    venue: str
    number: int
    """Of the attempt: stands for the client order id."""
    size: int
    price: int
    rests: bool
    ticks_left: int
    """How many ticks from now it may still become an order."""


class Resting(NamedTuple):
    """What a venue shows of an order."""

    filled: int
    final: bool


class VenueOrder(NamedTuple):
    """An order as it is at its venue."""

    venue: str
    number: int
    copy: int
    """Of orders with one client order id: 0, then 1, ..."""
    size: int
    price: int
    rests: bool
    shows: Resting
    before: Resting | None
    """As it was when the tick began; None where it was not."""


class Answer(NamedTuple):
    """What the sender of an order hears."""

    kind: str
    """``placed``, ``refused`` or ``unknown``."""
    reason: str = ""
    copy: int = 0
    shows: Resting | None = None
    """Of what was placed, where the answer tells it."""


class Posted(NamedTuple):
    """One way in which the sending of an order may go."""

    faults: int
    tag: str
    filled: int
    orders: tuple[VenueOrder, ...]
    wire: tuple[Request, ...]
    answer: Answer


Orders = tuple[VenueOrder, ...]
UNKNOWN = Answer("unknown", "timeout")
BALANCE = "insufficient_balance"
DUPLICATE = "duplicate_id"
TOO_LATE = "timestamp_out_of_window"


def of(orders: Orders, number: int) -> Orders:
    """The orders under one client order id."""
    return tuple(o for o in orders if o.number == number)


def amounts(request: Request) -> tuple[int, ...]:
    """What may fill the moment that it arrives: nothing, a part, all."""
    if request.rests:
        return (0, request.size)
    return (0, request.size) if request.size == 1 else (0, 1, request.size)


def taken(nature: Nature, orders: Orders, request: Request, filled: int) -> tuple[Orders, VenueOrder | None]:
    """Have a request arrive; None where the venue makes no order of it."""
    same = of(orders, request.number)
    if nature.is_idempotent and same:
        return orders, same[0]
    if any(not o.shows.final for o in same):
        return orders, None
    shows = Resting(filled, not request.rests or filled == request.size)
    order = VenueOrder(
        request.venue,
        request.number,
        len(same),
        request.size,
        request.price,
        request.rests,
        shows,
        None,
    )
    return tuple(sorted((*orders, order), key=_place)), order


def _place(order: VenueOrder) -> tuple[int, int]:
    return order.number, order.copy


def post(
    nature: Nature,
    orders: Orders,
    wire: tuple[Request, ...],
    request: Request,
    *,
    copies_fill: bool = False,
) -> Iterator[Posted]:
    """Every way in which sending may go: with no fault, or with one."""
    if request.ticks_left < 0:
        yield Posted(0, "past the window", 0, orders, wire, Answer("refused", TOO_LATE))
        return
    existed = nature.is_idempotent and bool(of(orders, request.number))
    for filled in (0,) if existed else amounts(request):
        after, order = taken(nature, orders, request, filled)
        if order is None:
            yield Posted(0, "duplicate", 0, orders, wire, Answer("refused", DUPLICATE))
            continue
        told = order.shows if nature.tells_amounts else None
        yield Posted(0, "taken", filled, after, wire, Answer("placed", "", order.copy, told))
        yield Posted(1, "answer lost", filled, after, wire, UNKNOWN)
        if filled and not nature.is_idempotent:
            reason = BALANCE if nature.tells_amounts else "nonce"
            yield Posted(1, "repeated on the way", filled, after, wire, Answer("refused", reason))
            if copies_fill and order.shows.final:
                more, copy = taken(nature, after, request, filled)
                if copy is not None:
                    again = Answer("placed", "", copy.copy, copy.shows)
                    yield Posted(1, "repeated, and filled twice", filled, more, wire, again)
    late = tuple(sorted((*wire, request)))
    yield Posted(1, "lost or late", 0, orders, late, UNKNOWN)
    yield Posted(1, "refused", 0, orders, wire, Answer("refused", BALANCE))
    if not existed:
        yield Posted(1, "refused for its words", 0, orders, wire, Answer("refused", "filter_size"))
    yield Posted(1, "not sent", 0, orders, wire, Answer("refused", "not_sent"))
    yield Posted(1, "held back", 0, orders, wire, Answer("refused", "held_back"))


class Looked(NamedTuple):
    """What a look at a venue shows."""

    faults: int
    tag: str
    query: VenueOrder | None
    """Of the order query, as shown; None where it finds nothing."""
    orders: Orders
    """Of the list of orders."""
    fills: tuple[tuple[int, int, int], ...]
    """Of the list of fills: number, copy, how many."""
    lies: int = 0
    """Whether it is further behind than the bound."""


def _then(orders: Orders) -> Orders:
    return tuple(o._replace(shows=o.before) for o in orders if o.before is not None)


def _fills(orders: Orders) -> tuple[tuple[int, int, int], ...]:
    return tuple((o.number, o.copy, o.shows.filled) for o in orders if o.shows.filled)


def look(
    nature: Nature, orders: Orders, number: int, *, query_is_blind: bool = False, may_lie: bool = False
) -> Iterator[Looked]:
    """Every way in which query, list of orders and list of fills may answer, each maybe behind."""
    here = tuple(o for o in orders if o.venue == nature.name)
    then = _then(here)

    def query(view: Orders) -> VenueOrder | None:
        same = () if query_is_blind else of(view, number)
        return same[-1] if same else None

    fresh, old = query(here), query(then)
    yield Looked(0, "", fresh, here, _fills(here))
    if then != here:
        if old != fresh:
            yield Looked(1, "query behind", old, here, _fills(here))
        if old is None:
            yield Looked(1, "query and orders behind", old, then, _fills(here))
            yield Looked(1, "all behind", old, then, _fills(then))
    if may_lie and here:
        yield Looked(0, "behind by more than the bound", None, (), (), 1)


def tick(orders: Orders, wire: tuple[Request, ...]) -> tuple[Orders, tuple[Request, ...]]:
    """Let a tick pass: what was is shown everywhere, what is too late is gone."""
    settled = tuple(o if o.before == o.shows else o._replace(before=o.shows) for o in orders)
    flying = tuple(r._replace(ticks_left=r.ticks_left - 1) for r in wire if r.ticks_left > 0)
    return settled, flying


def at_venues(
    orders: Orders, wire: tuple[Request, ...], idempotent: frozenset[str]
) -> dict[int, tuple[int, int]]:
    """By attempt, what is filled and what may still fill: the truth."""
    truth: dict[int, tuple[int, int]] = {}
    for order in orders:
        filled, open_ = truth.get(order.number, (0, 0))
        left = 0 if order.shows.final else order.size - order.shows.filled
        truth[order.number] = filled + order.shows.filled, open_ + left
    known = set(truth)
    for request in wire:
        filled, open_ = truth.get(request.number, (0, 0))
        if request.venue in idempotent:
            if request.number not in known:
                truth[request.number] = filled, max(open_, request.size)
        else:
            truth[request.number] = filled, open_ + request.size
    return truth
