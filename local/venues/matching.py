"""What an incoming order would take from the levels it meets: pure, no state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from local.venues.books import Level
from local.venues.money import ZERO, exact, floor_to
from local.venues.orders import Side


def crosses(taker: Side, limit: Decimal | None, price: Decimal) -> bool:
    """Whether a taker with that limit (None: none) trades at that price."""
    if limit is None:
        return True
    return price <= limit if taker is Side.BUY else price >= limit


def takes_by_size(levels: Iterable[Level], taker: Side, limit: Decimal | None, size: Decimal) -> list[Level]:
    """Take `size` of base asset from the best levels on, no further than the limit."""
    taken = []
    for price, available in levels:
        if size <= 0 or not crosses(taker, limit, price):
            break
        part = min(available, size)
        taken.append(Level(price, part))
        size -= part
    return taken


def takes_by_budget(levels: Iterable[Level], budget: Decimal, lot: Decimal) -> list[Level]:
    """Spend a budget of quote asset from the best levels on, in whole lots."""
    taken = []
    with exact():
        for price, available in levels:
            part = min(available, floor_to(budget / price, lot))
            if part <= 0:
                break
            taken.append(Level(price, part))
            budget -= price * part
    return taken


def capped(takes: Sequence[Level], size: Decimal) -> list[Level]:
    """Keep only so much of what would be taken."""
    kept = []
    for price, part in takes:
        if size <= 0:
            break
        kept.append(Level(price, min(part, size)))
        size -= part
    return kept


def total_size(takes: Iterable[Level]) -> Decimal:
    """Base asset in all."""
    return sum((take.size for take in takes), ZERO)


def total_cost(takes: Iterable[Level]) -> Decimal:
    """Quote asset in all."""
    with exact():
        return sum((take.price * take.size for take in takes), ZERO)
