"""One book out of all venues', ordered by what a unit costs with the venue's taker fee.

Made from the receipts of two routes (docs/receipt.md), one of each side: a receipt shows a prefix of
every venue's book. Beyond the point where the first prefix ends, a level of that venue could lie that
is not shown, so there the consolidated side ends too: up to it nothing is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sor_core.domain.money import BPS, ceil_to_step, decimal_from_wire, exact, floor_to_step
from sor_core.domain.order import Side

BESIDE_THE_BOOK = frozenset({"no_depth_within_limit", "below_venue_minimum"})
"""Why a venue is left out of an order though its book is sound."""
_SIDES = {Side.BUY: "asks", Side.SELL: "bids"}


@dataclass(frozen=True, slots=True)
class Level:
    """A level of one venue."""

    all_in_price: Decimal
    """With the taker fee: price x (1 + fee) of an ask, price x (1 - fee) of a bid."""
    price: Decimal
    size: Decimal
    """Base."""
    venue: str


@dataclass(frozen=True, slots=True)
class VenueBook:
    """What one receipt tells of a venue's book."""

    venue: str
    fee_bps: Decimal
    age_ms: int
    best_bid: Decimal | None
    best_ask: Decimal | None
    shown: int
    """Levels shown of the side taken."""
    of: int
    """Levels that the API had."""


@dataclass(frozen=True, slots=True)
class BookSide:
    """What can be taken by a buyer (asks) or a seller (bids), best all-in price first."""

    side: Side
    """The taker's."""
    levels: Sequence[Level]
    complete_to: Decimal
    """The all-in price up to which nothing is missing."""
    arrival_mid: Decimal
    venues: Sequence[VenueBook]


@dataclass(frozen=True, slots=True)
class Rung:
    """Levels whose all-in prices lie within one step."""

    price: Decimal
    """The step's worse end, or the side's where that comes first."""
    sizes: Mapping[str, Decimal]
    """Base, by venue."""
    cumulative: Decimal
    """Base, from the best level to here."""
    cost_bps: Decimal
    """Average all-in price of all that against the arrival mid; positive is a cost."""


def side_of(receipt: Mapping[str, Any]) -> BookSide:
    """The side that the receipt's order takes.

    Raises
    ------
    ValueError, KeyError, TypeError, LookupError
        It is no receipt of the format sor-receipt/1.
    """
    inputs, result = receipt["inputs"], receipt["result"]
    side = Side(inputs["order"]["side"])
    out = {e["venue"] for e in result["excluded"] if e["why"] not in BESIDE_THE_BOOK}
    with exact():
        levels: list[Level] = []
        ends: list[Decimal] = []
        venues: list[VenueBook] = []
        for seen in inputs["venues"]:
            book, fee_bps = seen["book"], decimal_from_wire(seen["fees"]["taker_fee_bps"])
            if seen["venue"] in out:
                continue
            factor = 1 + side.sign * fee_bps / BPS
            raw = book[_SIDES[side]]
            mine = [
                Level(price * factor, price, size, seen["venue"]) for price, size in _levels(raw["prefix"])
            ]
            if mine:
                ends.append(mine[-1].all_in_price)
            levels += mine
            bid, ask = (next(_levels(book[name]["prefix"]), (None,))[0] for name in ("bids", "asks"))
            age_ms = max(0, inputs["decided_at_ms"] - book["received_at_ms"])
            venues.append(
                VenueBook(seen["venue"], fee_bps, age_ms, bid, ask, len(raw["prefix"]), raw["levels"])
            )
        if not ends:
            raise ValueError("no venue shows a level")
        complete_to = min(ends) if side is Side.BUY else max(ends)
        kept = [x for x in levels if (x.all_in_price - complete_to) * side.sign <= 0]
        kept.sort(key=lambda x: (x.all_in_price * side.sign, x.venue))
    return BookSide(side, kept, complete_to, decimal_from_wire(result["arrival_mid"]), venues)


def _levels(prefix: Sequence[Sequence[str]]) -> Iterator[tuple[Decimal, Decimal]]:
    """(price, size) of the levels shown, up to the first that is none; empty ones are passed over."""
    for level in prefix:
        try:
            price, size = (decimal_from_wire(text) for text in level)
        except ValueError:
            return
        if size:
            yield price, size


def ladder(side: BookSide, rows: int, step: Decimal | None = None) -> Sequence[Rung]:
    """The side's levels put together by steps of the all-in price, best first, `rows` (2 or more) at most.

    Without a `step`, it is the finest of 1, 2, 5, 10, ... with which the whole side fits in.
    """
    with exact():
        step, sign = step or _step(side, rows), side.side.sign
        rungs: list[Rung] = []
        sizes: dict[str, Decimal] = {}
        size = worth = Decimal(0)
        for at, level in enumerate(side.levels):
            price = _rounded(level.all_in_price, step, side.side)
            sizes[level.venue] = sizes.get(level.venue, Decimal(0)) + level.size
            size += level.size
            worth += level.size * level.all_in_price
            after = side.levels[at + 1].all_in_price if at + 1 < len(side.levels) else None
            if after is None or _rounded(after, step, side.side) != price:
                cost_bps = (worth / size - side.arrival_mid) / side.arrival_mid * BPS * sign
                seen_to = min(price * sign, side.complete_to * sign) * sign
                rungs.append(Rung(seen_to, sizes, size, cost_bps))
                sizes = {}
                if len(rungs) == rows:
                    break
    return rungs


def _rounded(price: Decimal, step: Decimal, side: Side) -> Decimal:
    return ceil_to_step(price, step) if side is Side.BUY else floor_to_step(price, step)


def _step(side: BookSide, rows: int) -> Decimal:
    span = abs(side.complete_to - side.levels[0].all_in_price)
    least = max(span, side.arrival_mid / 10**9) / (rows - 1)  # one more for the rounding at both ends
    unit = Decimal(1).scaleb(least.adjusted())
    return next(unit * times for times in (1, 2, 5, 10) if unit * times >= least)
