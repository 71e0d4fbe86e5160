"""Records without what nothing depends on, and as they are a tick later."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, NamedTuple

from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    SendWindow,
)
from sor_core.execution import protocol
from sor_core.execution.record import Attempt, OrderRecord, Terms, TimeInForce
from tests.explorer.meanings import CAP, LONG_AGO, ORDER_ID, OWNED_FOR_MS, SYMBOL
from tests.explorer.world import BASE_MS, TICK_MS


class Facts(NamedTuple):
    """What the search wants to know of a record at once."""

    ended: bool
    status: OrderStatus
    is_due: bool
    at_stake: int
    filled: int
    owner: str
    epoch: int
    attempts: tuple[tuple[int, int, int], ...]
    """By attempt: number, filled, may fill."""


NOTHING = Facts(
    ended=False,
    status=OrderStatus.WORKING,
    is_due=False,
    at_stake=0,
    filled=0,
    owner="",
    epoch=0,
    attempts=(),
)


def terms_of(size: int, *, rests: bool, strict: bool, most_rounds: int, review_ticks: int) -> Terms:
    """The terms of an order to buy so many units."""
    order = Order(
        SYMBOL,
        Side.BUY,
        OrderType.LIMIT,
        Strategy.BEST_EXECUTION,
        Decimal(size),
        None,
        Decimal(CAP),
        None,
    )
    return Terms(
        order=order,
        time_in_force=TimeInForce.GTC if rests else TimeInForce.IOC,
        decision_id="",
        selected="",
        reason="",
        arrival_mid=Decimal(CAP),
        price_cap=Decimal(CAP),
        base=Decimal(size),
        budget=None,
        expected_price=None,
        expected_savings_bps=None,
        best_single_venue=None,
        best_single_cost_bps=None,
        most_rounds=most_rounds,
        give_up_at_ms=BASE_MS + 2 * review_ticks * TICK_MS,
        review_after_ms=review_ticks * TICK_MS - TICK_MS // 2,
        strict=strict,
    )


def blank(terms: Terms) -> OrderRecord:
    """An order before its first attempts."""
    return OrderRecord(
        order_id=ORDER_ID,
        caller="",
        client_order_id="",
        correlation_id="",
        created_at_ms=BASE_MS,
        terms=terms,
        owner="",
        epoch=1,
        due_at_ms=BASE_MS + OWNED_FOR_MS,
    )


def plain(record: OrderRecord) -> OrderRecord:
    """The record without what no rule reads: texts, history, random names, the pacing of what is settled."""
    ending = record.ending
    if ending is not None:
        terms = replace(record.terms, give_up_at_ms=0)
        record = replace(record, terms=terms, owner="", due_at_ms=0, choose_at_ms=0, plan=None, rounds=0)
    return replace(
        record,
        attempts=tuple(_plain(a, has_ended=ending is not None) for a in record.attempts),
        contradiction="told" if record.contradiction else "",
        exhausted=record.exhausted if record.exhausted in {"", protocol.SPENT} else "why",
        ending=None if ending is None else replace(ending, why="", at_ms=0),
        history=(),
    )


def _plain(attempt: Attempt, *, has_ended: bool) -> Attempt:
    refusal = attempt.refusal
    order = attempt.order
    attempt = replace(
        attempt,
        owner="",
        epoch=0,
        detail="",
        refusal=None if refusal is None else replace(refusal, code="", detail=""),
        order=None if order is None else replace(order, detail="", created_at_ms=None),
        **_UNREAD,
    )
    if not attempt.is_settled and not has_ended:
        return attempt
    request = replace(attempt.request, window=SendWindow(0, 0))
    forgotten: dict[str, Any] = dict.fromkeys(_MOMENTS, 0)
    return replace(attempt, request=request, absences=(), replays=0, **forgotten)


_MOMENTS = tuple(f.name for f in fields(Attempt) if f.name.endswith(("_at_ms", "_after_ms")))
"""All that an attempt remembers of time."""
_UNREAD: dict[str, Any] = {name: 0 for name in _MOMENTS if name == "told_at_ms"}
"""For people only."""


def aged(record: OrderRecord) -> OrderRecord:
    """The record as it is a tick later: everything it remembers is further in the past."""
    if record.ending is not None:
        return record
    plan = record.plan
    terms = replace(record.terms, give_up_at_ms=_earlier(record.terms.give_up_at_ms, TICK_MS))
    return replace(
        record,
        terms=terms,
        due_at_ms=_earlier(record.due_at_ms, TICK_MS),
        choose_at_ms=_earlier(record.choose_at_ms, TICK_MS),
        plan=None if plan is None else replace(plan, made_at_ms=_earlier(plan.made_at_ms, TICK_MS)),
        attempts=tuple(a if a.is_settled else _aged(a) for a in record.attempts),
    )


def _aged(attempt: Attempt) -> Attempt:
    window = attempt.request.window
    window = SendWindow(_earlier(window.opens_at_ms), _earlier(window.closes_at_ms))
    recent = {"not_after_ms": TICK_MS, "cancelled_at_ms": TICK_MS}
    moments: dict[str, Any] = {
        name: _earlier(getattr(attempt, name), recent.get(name, LONG_AGO)) for name in _MOMENTS
    }
    return replace(
        attempt,
        request=replace(attempt.request, window=window),
        absences=tuple(replace(a, venue_time_ms=_earlier(a.venue_time_ms)) for a in attempt.absences),
        **moments,
    )


def _earlier(at_ms: int, floor_ms: int = LONG_AGO) -> int:
    """A moment, a tick further back; 0 stands for none. Floors are beyond all that the rules look back to."""
    return max(at_ms - TICK_MS, BASE_MS - floor_ms) if at_ms else 0


def facts_of(record: OrderRecord) -> Facts:
    """See `Facts`."""
    return Facts(
        ended=record.ending is not None,
        status=record.status,
        is_due=record.ending is None and record.due_at_ms <= BASE_MS,
        at_stake=int(record.at_stake),
        filled=int(record.filled),
        owner=record.owner,
        epoch=record.epoch,
        attempts=tuple((a.number, int(a.filled), int(a.may_fill)) for a in record.attempts),
    )
