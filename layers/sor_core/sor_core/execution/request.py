"""What a caller asks to be executed, and why that may be refused before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.order import Order
from sor_core.domain.trading import CheckOutcome, Refusal
from sor_core.execution.record import OrderRecord, TimeInForce

_NAMES = {"strategy": "execution_strategy", "allowed_venues": "venues", "denied_venues": "venues"}
"""Of what an order says, where the request has another name for it."""


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """An order to execute, as accepted at the edge."""

    order: Order
    time_in_force: TimeInForce
    """What becomes of a limit order's rest; IOC for a market order."""
    caller: str
    """Who asks, as the gateway authenticated them."""
    client_order_id: str
    """The caller's own name of the order; empty where none was given."""
    keys: tuple[str, ...]
    """What makes it one order however often it is asked for: the `Idempotency-Key` and the client order
    id, each marked as what it is; empty where neither was given."""
    body_hash: str
    """SHA-256 in hex of what was asked, in canonical form."""
    dry_run: bool
    wait_s: float
    """How long the caller waits for the end, from receipt."""
    received_at_ms: int
    correlation_id: str

    def differs_from(self, record: OrderRecord) -> tuple[str, ...]:
        """The fields in which this asks for another order, defaults filled in; none where it is the same."""
        asked, had = self.order, record.terms.order
        found = [
            _NAMES.get(f.name, f.name)
            for f in fields(Order)
            if getattr(asked, f.name) != getattr(had, f.name)
        ]
        if self.time_in_force is not record.terms.time_in_force:
            found.append("time_in_force")
        if self.client_order_id != record.client_order_id:
            found.append("client_order_id")
        return tuple(dict.fromkeys(found))


class RefusalReason(StrEnum):
    """Why an order is refused before anything is sent; each has its own problem type."""

    SYMBOL_NOT_ALLOWED = "symbol_not_allowed"
    HALTED = "trading_halted"
    REDUCE_ONLY = "reduce_only"
    KEY_REQUIRED = "idempotency_key_required"
    KEY_REUSED = "idempotency_key_reused"
    """The key belongs to an order with another body."""
    ORDER_NOTIONAL = "order_notional_limit"
    DAILY_NOTIONAL = "daily_notional_limit"
    PRICE_COLLAR = "price_collar"
    FUNDS_RESERVED = "funds_reserved"
    """Other orders in flight have claimed the balances."""
    VENUE_RULES = "venue_rules"
    """A leg does not fit its venue's trading rules."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was sent and nothing stored."""

    reason: RefusalReason
    detail: str
    field: str = ""
    """The field of the request to change; empty where it is none, or the reason itself says which."""


@dataclass(frozen=True, slots=True)
class CheckedLeg:
    """What a dry run found of a leg."""

    venue: str
    size: Decimal
    limit_price: Decimal
    outcome: CheckOutcome | Refusal
