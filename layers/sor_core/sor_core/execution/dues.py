"""What an order claims of what all orders share: balances at the venues, and the day's notional.

The claims follow from the record alone. Whoever writes a record changes the shared counters by the
difference to what it claimed before, in the same transaction: so nothing is claimed twice or given
back twice, whatever is repeated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.execution.record import OrderRecord, cost_bound

_STEP = Decimal(1).scaleb(-18)
"""Claims are rounded up to it, so that a sum of them never needs more digits than a store keeps."""


@dataclass(frozen=True, slots=True, order=True)
class Counter:
    """One shared counter."""

    kind: str
    """``hold`` (scope: a venue) or ``day`` (scope: a UTC day such as ``2026-11-22``)."""
    scope: str
    asset: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How a counter stands."""

    amount: Decimal
    given_back: Decimal
    """The sum of all that was ever given back."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a counter must not pass by what is added."""

    most: Decimal
    given_back: Decimal | None = None
    """As the counter told before `most` was read: what is given back after that counts as claimed still,
    for it may not be in `most` yet. None where `most` does not depend on what is given back."""


def claims(record: OrderRecord) -> Mapping[Counter, Decimal]:
    """What the order claims, each above zero.

    A venue's hold is the worst case of what is still open there, except for an order known to rest:
    for that the venue itself sets the balance aside. The day's notional is the whole
    order at the dearer of cap and arrival mid while it runs, and what was filled once it ended; an
    order that a person must look at keeps what may still fill.
    """
    found: dict[Counter, Decimal] = defaultdict(Decimal)
    symbol, side, terms = record.terms.order.symbol, record.side, record.terms
    with exact():
        for attempt in record.attempts:
            if not attempt.may_fill or attempt.is_resting:
                continue
            asset, amount = symbol.base, attempt.may_fill
            if side is Side.BUY:
                asset = symbol.quote
                amount = cost_bound(side, attempt.may_fill, attempt.limit_price, attempt.fee_bps)
            found[Counter("hold", attempt.venue, asset)] += amount
        worst = max(terms.price_cap, terms.arrival_mid)
        notional = terms.base * worst
        if record.ending is not None:
            notional = record.quote_filled + record.may_fill * worst
        found[Counter("day", utc_day(record.created_at_ms), symbol.quote)] += notional
        return {key: amount.quantize(_STEP, ROUND_CEILING) for key, amount in found.items() if amount}


def changes(before: OrderRecord | None, after: OrderRecord) -> Mapping[Counter, Decimal]:
    """By how much each counter changes from one record to the next, none by zero."""
    old = claims(before) if before is not None else {}
    new = claims(after)
    with exact():
        differences = {k: new.get(k, Decimal(0)) - old.get(k, Decimal(0)) for k in {*old, *new}}
    return {key: differences[key] for key in sorted(differences) if differences[key]}


def utc_day(at_ms: int) -> str:
    """The UTC day of a moment, as in ``2026-11-22``."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).date().isoformat()
