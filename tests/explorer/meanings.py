"""The words of the exploration in those of the protocol: legs, answers, looks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Fill,
    OrderKind,
    OrderState,
    Placed,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    VenueOrder,
)
from sor_core.execution import protocol
from sor_core.execution.protocol import Observation, TradingMode
from sor_core.execution.record import (
    Absence,
    Attempt,
    PlannedLeg,
)
from tests.explorer.world import BASE_MS, TICK_MS, Answer, Resting

CAP = 100
SEND_WITHIN_MS = 200
OWNED_FOR_MS = TICK_MS
HANDED_OVER_FOR_MS = TICK_MS
NO_VENUE_AGAIN_MS = 2000
LONG_AGO = 5 * TICK_MS
"""Moments further in the past than this are all alike to every rule of the protocol."""

SYMBOL = Symbol("BTC", "USDT")
ORDER_ID = "0a"
MODES = (TradingMode.RUNNING, TradingMode.HALTED)


class Leg(NamedTuple):
    """A leg in whole units."""

    venue: str
    size: int
    price: int = CAP
    rests: bool = False


Spec = tuple[Any, ...]
"""What happened, in plain words that a record can be told: name, then arguments."""


def planned(leg: Leg) -> PlannedLeg:
    """A leg in the protocol's words."""
    kind = OrderKind.LIMIT_GTC if leg.rests else OrderKind.LIMIT_IOC
    return PlannedLeg(leg.venue, Decimal(leg.size), Decimal(leg.price), kind)


def venue_order(attempt: Attempt, copy: int, shows: Resting, fills: int | None) -> VenueOrder:
    """An order in the venue's words."""
    filled = Decimal(shows.filled)
    if shows.final:
        state = OrderState.FILLED if filled == attempt.size else OrderState.EXPIRED
    else:
        state = OrderState.PARTIALLY_FILLED if filled else OrderState.OPEN
    name = f"{attempt.number}.{copy}"
    listed = None
    if fills is not None:
        each = Fill(name, attempt.limit_price, Decimal(fills), Decimal(0), "USDT", name)
        listed = (each,) if fills else ()
    return VenueOrder(
        attempt.venue,
        SYMBOL,
        name,
        attempt.request.placement.client_order_id,
        Side.BUY,
        state,
        filled,
        filled * attempt.limit_price,
        None,
        size=attempt.size,
        limit_price=attempt.limit_price,
        fills=listed,
    )


def outcome(attempt: Attempt, answer: Answer) -> PlaceOutcome:
    """An answer in the protocol's words."""
    if answer.kind == "unknown":
        return Unknown(UnknownWhy.TIMEOUT, "")
    if answer.kind == "refused":
        return Rejected(RejectReason(answer.reason), "", "")
    if answer.shows is None:
        pending = venue_order(attempt, answer.copy, Resting(0, final=False), None)
        return Placed(replace(pending, state=OrderState.PENDING))
    fills = answer.shows.filled if answer.shows.final else None
    return Placed(venue_order(attempt, answer.copy, answer.shows, fills))


def observation(attempt: Attempt, seen: Spec) -> Observation:
    """What a look showed, in the protocol's words."""
    match seen:
        case ("seen", copy, shows, fills):
            return protocol.Seen(venue_order(attempt, copy, shows, fills))
        case ("absent", told, witnessed):
            return protocol.NotSeen(Absence(BASE_MS + told, witnessed))
        case _:
            return protocol.NoWord("")
