"""Small hand-made orders as the ledger would hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sor_core.domain.money import exact
from sor_core.domain.order import Order, Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    Fence,
    Fill,
    FrozenRequest,
    OrderKind,
    OrderState,
    Placement,
    SendWindow,
    VenueOrder,
)
from sor_core.execution.record import (
    Attempt,
    AttemptState,
    Ending,
    OrderRecord,
    Terms,
    TimeInForce,
    client_order_id,
)
from tests.fakes.markets import BTC_USDT, NOW_MS, order

ORDER_ID = "0f" * 16


def terms(asked: Order | None = None, **changes: Any) -> Terms:
    asked = asked or order("1")
    values: dict[str, Any] = {
        "order": asked,
        "time_in_force": TimeInForce.IOC,
        "decision_id": "d1" * 16,
        "selected": "binance",
        "reason": "best_price",
        "arrival_mid": Decimal(60_000),
        "price_cap": Decimal(60_300),
        "base": asked.amount if asked.amount is not None else Decimal(1),
        "budget": asked.quote_amount,
        "expected_price": Decimal(60_010),
        "expected_savings_bps": Decimal(3),
        "best_single_venue": "kraken",
        "best_single_cost_bps": Decimal(20),
        "most_rounds": 4,
        "give_up_at_ms": NOW_MS + 60_000,
        "review_after_ms": 900_000,
        "strict": False,
    }
    return Terms(**{**values, **changes})


def venue_order(
    *fills: Fill,
    venue: str = "binance",
    size: str = "1",
    state: OrderState = OrderState.EXPIRED,
    side: Side = Side.BUY,
    **changes: Any,
) -> VenueOrder:
    with exact():
        filled = sum((fill.size for fill in fills), Decimal(0))
        paid = sum((fill.size * fill.price for fill in fills), Decimal(0))
    values: dict[str, Any] = {
        "venue": venue,
        "symbol": BTC_USDT,
        "venue_order_id": "v-1",
        "client_order_id": None,
        "side": side,
        "state": state,
        "filled_size": filled,
        "quote_filled": paid,
        "average_price": None,
        "size": Decimal(size),
        "fills": fills,
    }
    return VenueOrder(**{**values, **changes})


def fill(price: str, size: str, fee: str = "0", asset: str = "USDT") -> Fill:
    return Fill("t-1", Decimal(price), Decimal(size), Decimal(fee), asset)


def attempt(
    number: int = 1,
    state: AttemptState = AttemptState.INTENDED,
    told: VenueOrder | None = None,
    *,
    venue: str = "binance",
    size: str = "1",
    limit: str = "60300",
    side: Side = Side.BUY,
    kind: OrderKind = OrderKind.LIMIT_IOC,
    **changes: Any,
) -> Attempt:
    placement = Placement(
        venue, BTC_USDT, side, kind, client_order_id(ORDER_ID, number), Decimal(size), Decimal(limit)
    )
    request = FrozenRequest(placement, "POST", "/order", "", b"", SendWindow(NOW_MS, NOW_MS + 5000))
    made = Attempt(
        number=number,
        round=1,
        request=request,
        fee_bps=Decimal(10),
        fence=Fence(1000, 1000, absence_proves=True),
        idempotent=False,
        owner="me",
        epoch=1,
        intended_at_ms=NOW_MS,
        not_after_ms=NOW_MS + 2000,
        state=state,
        order=told,
    )
    return replace(made, **changes)


def record(*attempts: Attempt, ended: OrderStatus | None = None, **changes: Any) -> OrderRecord:
    values: dict[str, Any] = {
        "order_id": ORDER_ID,
        "caller": "arn:aws:iam::1:user/a",
        "client_order_id": "mine-1",
        "correlation_id": "c-1",
        "created_at_ms": NOW_MS,
        "terms": terms(),
        "owner": "me",
        "epoch": 1,
        "due_at_ms": NOW_MS + 30_000,
        "attempts": attempts,
        "ending": None if ended is None else Ending(ended, "because", NOW_MS + 900),
    }
    return OrderRecord(**{**values, **changes})


def sums(answer: Mapping[str, Any]) -> dict[str, Decimal]:
    """Fees of an answer by asset."""
    return {fee["asset"]: fee["amount"] for fee in answer["fees"]}
