"""Orders as the ledger holds them, made by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from sor_core.domain.money import exact
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    Fence,
    Fill,
    FrozenRequest,
    OrderKind,
    OrderState,
    Placement,
    Rejected,
    RejectReason,
    SendWindow,
    VenueOrder,
)
from sor_core.execution.dues import Ceiling, Counter, changes
from sor_core.execution.record import (
    Absence,
    Attempt,
    AttemptState,
    Ending,
    Event,
    OrderRecord,
    Plan,
    PlannedLeg,
    Terms,
    TimeInForce,
    client_order_id,
)
from tests.fakes.markets import BTC_USDT, NOW_MS

NO_LIMIT = Decimal(10) ** 12


def new_order(order_id: str = "0a", **changed: Any) -> OrderRecord:
    """An order of 1 BTC at no more than 100 USDT, without attempts."""
    side, base = changed.pop("side", Side.BUY), changed.pop("base", Decimal(1))
    order = Order(BTC_USDT, side, OrderType.MARKET, Strategy.BEST_EXECUTION, base, None, None, Decimal(50))
    terms = Terms(
        order=order,
        time_in_force=TimeInForce.IOC,
        decision_id="decision",
        selected="kraken",
        reason="cheapest",
        arrival_mid=Decimal("99.5"),
        price_cap=Decimal(100),
        base=base,
        budget=None,
        expected_price=Decimal("99.9"),
        expected_savings_bps=Decimal("1.5"),
        best_single_venue="kraken",
        best_single_cost_bps=Decimal("12.25"),
        most_rounds=4,
        give_up_at_ms=NOW_MS + 60_000,
        review_after_ms=900_000,
        strict=False,
        receipt_digest="ab" * 32,
    )
    record = OrderRecord(
        order_id=order_id,
        caller="alice",
        client_order_id="",
        correlation_id="correlation",
        created_at_ms=NOW_MS,
        terms=terms,
        owner="owner",
        epoch=1,
        due_at_ms=NOW_MS + 30_000,
    )
    return replace(record, **changed)


def with_attempt(
    record: OrderRecord, size: str = "1", venue: str = "kraken", price: str = "100"
) -> OrderRecord:
    """The order with one more attempt, written down and not yet sent."""
    number = len(record.attempts) + 1
    placement = Placement(
        venue,
        BTC_USDT,
        record.side,
        OrderKind.LIMIT_IOC,
        client_order_id(record.order_id, number),
        Decimal(size),
        Decimal(price),
    )
    request = FrozenRequest(
        placement, "POST", "/0/private/AddOrder", "text", b"\x00\xff=&", SendWindow(NOW_MS, NOW_MS + 5000)
    )
    attempt = Attempt(
        number=number,
        round=1,
        request=request,
        fee_bps=Decimal(26),
        fence=Fence(1000, 2000, absence_proves=True),
        idempotent=False,
        owner=record.owner,
        epoch=record.epoch,
        intended_at_ms=NOW_MS,
        not_after_ms=NOW_MS + 4000,
    )
    return replace(record, attempts=(*record.attempts, attempt), rounds=record.rounds + 1)


def with_fill(record: OrderRecord, filled: str = "1", price: str = "99.9") -> OrderRecord:
    """The order with its last attempt ended, so much of it filled."""
    *earlier, last = record.attempts
    size = Decimal(filled)
    with exact():
        quote = size * Decimal(price)
    fill = Fill("fill", Decimal(price), size, Decimal("0.1"), "USDT", "venue-order", False, NOW_MS + 1)
    order = VenueOrder(
        last.venue,
        BTC_USDT,
        "venue-order",
        last.request.placement.client_order_id,
        record.side,
        OrderState.EXPIRED if size < last.size else OrderState.FILLED,
        size,
        quote,
        Decimal(price) if size else None,
        size=last.size,
        fees={"USDT": Decimal("0.1")},
        fills=(fill,) if size else (),
    )
    return replace(record, attempts=(*earlier, replace(last, state=AttemptState.ENDED, order=order)))


def ended(record: OrderRecord, status: OrderStatus = OrderStatus.FILLED) -> OrderRecord:
    """The order, ended."""
    return replace(record, ending=Ending(status, "why", NOW_MS + 2), plan=None)


def roomy(before: OrderRecord | None, after: OrderRecord) -> dict[Counter, Ceiling]:
    """Ceilings that hold nothing back."""
    return {counter: Ceiling(NO_LIMIT) for counter in changes(before, after)}


def full_order(order_id: str = "0f") -> OrderRecord:
    """An order that has something, and something awkward, in every field."""
    record = new_order(order_id, base=Decimal("3.00000000"))
    order = replace(
        record.terms.order,
        type=OrderType.LIMIT,
        quote_amount=Decimal("1E+3"),
        price=Decimal("0.000000000000000001"),
        allowed_venues=frozenset({"kraken", "binance", "coinbase"}),
        denied_venues=frozenset({"b", "a"}),
        max_legs=3,
    )
    record = replace(
        record,
        terms=replace(record.terms, order=order, time_in_force=TimeInForce.GTC, budget=Decimal("1E-8")),
        client_order_id='name \u00e9\u4e2d\U0001f600 "quoted" \\ \x00',
        caller="arn:aws:sts::1:assumed-role/\u00e9",
    )
    record = with_fill(with_attempt(record, "1.10"), "0.40")
    record = with_attempt(with_attempt(record, "0.123456789012345678"), "0.5", "binance", "99.99")
    ended_, unknown, never = record.attempts
    told = ended_.order
    assert told is not None
    told = replace(
        told,
        limit_price=Decimal("100.00"),
        created_at_ms=NOW_MS,
        updated_at_ms=NOW_MS + 3,
        detail="\u2713 done",
        fees={"USDT": Decimal("0.10"), "KFEE": Decimal("0E-8")},
    )
    unknown = replace(
        unknown,
        state=AttemptState.UNKNOWN,
        detail="timeout: \u201cno answer\u201d",
        absences=(Absence(NOW_MS + 9000, True), Absence(NOW_MS + 12_000, False)),
        replays=2,
        asked_at_ms=NOW_MS + 1,
        cancelled_at_ms=NOW_MS + 2,
        clear_at_ms=NOW_MS + 3,
        told_at_ms=NOW_MS + 4,
    )
    refusal = Rejected(RejectReason.FILTER_NOTIONAL, "-1013", "Filter failure: NOTIONAL", 1.5)
    never = replace(never, state=AttemptState.NEVER, refusal=refusal, idempotent=True)
    leg = PlannedLeg("coinbase", Decimal("0.010"), Decimal(100), OrderKind.LIMIT_GTC)
    return replace(
        record,
        attempts=(replace(ended_, order=told), unknown, never),
        plan=Plan((leg,), NOW_MS + 7),
        choose_at_ms=NOW_MS + 8,
        exhausted="nothing",
        contradiction="none \u00e9",
        avoid=("kraken", "binance"),
        cancel_requested=True,
        ending=Ending(OrderStatus.NEEDS_REVIEW, "why", NOW_MS + 99),
        failover_used=True,
        history=(Event(NOW_MS, 1, "sent", 1, "\u2026"), Event(NOW_MS + 1, 2, "taken_over")),
    )
