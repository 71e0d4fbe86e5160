"""Orders, dry runs and the switch as documents; refusals as problems."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sor_core.api.json import dumps
from sor_core.api.orders import (
    cursor_problem,
    dry_run_answer,
    ledger_unavailable_problem,
    order_answer,
    order_detail,
    order_not_found_problem,
    order_status_code,
    orders_page,
    refusal_problem,
    reviews_page,
    switch_answer,
)
from sor_core.domain.decision import Decision
from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    CheckOutcome,
    OrderKind,
    OrderState,
    Refusal,
    Rejected,
    RejectReason,
    Unknown,
    UnknownWhy,
    WouldTake,
)
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import Attempt, AttemptState, Event, OrderRecord
from sor_core.execution.request import CheckedLeg, RefusalReason, Refused
from sor_core.ports_trading import Page, Switch
from sor_core.routing.decide import decide
from tests.fakes.markets import NOW_MS, POLICY, market, order
from tests.fakes.records import ORDER_ID, attempt, fill, record, sums, terms, venue_order

FILLED = attempt(state=AttemptState.ENDED, told=venue_order(fill("60010.5", "1", "60.0105")))
HALF = attempt(state=AttemptState.ENDED, told=venue_order(fill("60000", "0.5", "0.0005", "BTC")))
EMPTY = attempt(state=AttemptState.ENDED, told=venue_order())
NEVER = attempt(
    state=AttemptState.NEVER,
    refusal=Rejected(RejectReason.FILTER_SIZE, "-1013", "too small"),
    detail="filter_size -1013 too small",
)
UNKNOWN = attempt(state=AttemptState.UNKNOWN, detail="timeout: no answer")
RESTING = attempt(
    state=AttemptState.LIVE,
    told=venue_order(fill("60000", "0.25"), state=OrderState.PARTIALLY_FILLED),
    kind=OrderKind.LIMIT_GTC,
)

STANDING: list[tuple[OrderRecord, OrderStatus, bool | None, int]] = [
    (record(attempt()), OrderStatus.WORKING, None, 202),
    (record(), OrderStatus.WORKING, None, 202),
    (record(UNKNOWN), OrderStatus.RESOLVING, None, 202),
    (record(RESTING), OrderStatus.RESTING, True, 200),
    (record(RESTING, cancel_requested=True), OrderStatus.CANCELLING, None, 202),
    (record(FILLED, ended=OrderStatus.FILLED), OrderStatus.FILLED, True, 200),
    (record(HALF, ended=OrderStatus.PARTIALLY_FILLED), OrderStatus.PARTIALLY_FILLED, True, 200),
    (record(HALF, ended=OrderStatus.CANCELLED), OrderStatus.CANCELLED, True, 200),
    (record(ended=OrderStatus.CANCELLED), OrderStatus.CANCELLED, False, 200),
    (record(EMPTY, ended=OrderStatus.EXPIRED), OrderStatus.EXPIRED, False, 200),
    (record(NEVER, ended=OrderStatus.REJECTED), OrderStatus.REJECTED, False, 200),
    (record(UNKNOWN, ended=OrderStatus.NEEDS_REVIEW), OrderStatus.NEEDS_REVIEW, None, 200),
    (record(HALF, ended=OrderStatus.NEEDS_REVIEW), OrderStatus.NEEDS_REVIEW, None, 200),
]


def written(document: dict[str, Any]) -> dict[str, Any]:
    """As a caller reads it, to the last digit."""
    read: dict[str, Any] = json.loads(dumps(document), parse_float=Decimal, parse_int=Decimal)
    return read


def test_every_status_is_looked_at() -> None:
    assert {status for _, status, _, _ in STANDING} == set(OrderStatus)
    assert {a.state for r, *_ in STANDING for a in r.attempts} == set(AttemptState)


@pytest.mark.parametrize(("order_record", "status", "success", "code"), STANDING)
def test_success_and_code_say_whether_it_is_known_what_came_of_it(
    order_record: OrderRecord, status: OrderStatus, success: object, code: int
) -> None:
    answer = written(order_detail(order_record))
    assert answer["status"] == status
    assert answer["success"] is success
    assert order_status_code(order_record) == code
    assert (answer["ended_at"] is None) is (order_record.ending is None)
    assert answer["why"] == (None if order_record.ending is None else "because")


def test_a_filled_order_is_told_exactly() -> None:
    answer = written(order_answer(record(FILLED, ended=OrderStatus.FILLED)))
    assert answer == {
        "success": True,
        "exchange": "binance",
        "result": {
            "average_price": Decimal("60010.5"),
            "expected_price": Decimal(60010),
            "filled_amount": 1,
            "notional": Decimal("60010.5"),
            "fees": [{"asset": "USDT", "amount": Decimal("60.0105")}],
            "net_amounts": {"BTC": 1, "USDT": Decimal("-60070.5105")},
        },
        "failover_used": False,
        "order_id": ORDER_ID,
        "client_order_id": "mine-1",
        "symbol": "BTC/USDT",
        "side": "buy",
        "type": "market",
        "status": "filled",
        "filled_amount": 1,
        "remaining_amount": 0,
        "at_risk_amount": 0,
        "average_price": Decimal("60010.5"),
        "fees": [{"asset": "USDT", "amount": Decimal("60.0105")}],
        "slippage_bps": Decimal("1.75"),
        "savings_bps": Decimal("8.24825"),
        "attempts": [
            {
                "number": 1,
                "venue": "binance",
                "client_order_id": FILLED.request.placement.client_order_id,
                "state": "ended",
                "amount": 1,
                "limit_price": 60300,
                "filled_amount": 1,
                "average_price": Decimal("60010.5"),
                "venue_order_id": "v-1",
                "refusal": None,
                "detail": "",
            }
        ],
        "decision_id": "d1" * 16,
        "created_at": NOW_MS,
        "ended_at": NOW_MS + 900,
        "why": "because",
        "epoch": 1,
    }


def test_an_order_without_a_fill_has_no_prices() -> None:
    answer = written(order_answer(record(EMPTY, ended=OrderStatus.EXPIRED, client_order_id="")))
    for name in ("average_price", "slippage_bps", "savings_bps", "client_order_id"):
        assert answer[name] is None
    assert answer["fees"] == []
    assert answer["result"]["net_amounts"] == {}
    assert answer["remaining_amount"] == 1
    assert answer["exchange"] == "binance"
    assert answer["attempts"][0]["average_price"] is None


def test_what_may_have_filled_is_at_risk_and_what_rests_is_not() -> None:
    assert written(order_answer(record(UNKNOWN)))["at_risk_amount"] == 1
    answer = written(order_answer(record(RESTING)))
    assert (answer["filled_amount"], answer["remaining_amount"]) == (Decimal("0.25"), Decimal("0.75"))
    assert answer["at_risk_amount"] == 0


def test_a_refusal_is_told_with_the_venues_own_code() -> None:
    [told] = written(order_answer(record(NEVER, ended=OrderStatus.REJECTED)))["attempts"]
    assert told["refusal"] == {"reason": "filter_size", "code": "-1013", "detail": "too small"}
    assert told["detail"] == "filter_size -1013 too small"
    assert told["venue_order_id"] is None


def test_fees_of_several_assets_stay_apart_and_cost_no_savings_to_be_made_up() -> None:
    first = attempt(
        1, AttemptState.ENDED, venue_order(fill("60000", "0.4", "0.00000001", "BNB"), size="0.4"), size="0.4"
    )
    second = attempt(
        2,
        AttemptState.ENDED,
        venue_order(fill("60100", "0.6", "0.0006", "BTC"), size="0.6", venue="kraken"),
        size="0.6",
        venue="kraken",
    )
    answer = written(order_answer(record(first, second, ended=OrderStatus.FILLED)))
    assert sums(answer) == {"BNB": Decimal("1E-8"), "BTC": Decimal("0.0006")}
    assert answer["savings_bps"] is None
    assert answer["exchange"] == "kraken"
    assert answer["result"]["net_amounts"] == {
        "BTC": Decimal("0.9994"),
        "USDT": Decimal(-60060),
        "BNB": Decimal("-1E-8"),
    }


def test_selling_brings_quote() -> None:
    sold = attempt(
        state=AttemptState.ENDED, told=venue_order(fill("60000", "1", "60"), side=Side.SELL), side=Side.SELL
    )
    asked = terms(order("1", side=Side.SELL), price_cap=Decimal(59000))
    answer = written(order_answer(record(sold, ended=OrderStatus.FILLED, terms=asked)))
    assert answer["result"]["net_amounts"] == {"BTC": -1, "USDT": 59940}
    assert answer["slippage_bps"] == 0


amounts = st.integers(1, 10**30).map(lambda units: Decimal(f"{units}E-18"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=6))
def test_no_digit_of_a_sum_is_lost(rows: list[tuple[Decimal, Decimal, Decimal]]) -> None:
    with exact():
        asked = terms(order(str(sum(size for _, size, _ in rows))))
    done = [
        attempt(i, AttemptState.ENDED, venue_order(fill(str(p), str(s), str(f)), size=str(s)), size=str(s))
        for i, (p, s, f) in enumerate(rows, start=1)
    ]
    answer = written(order_answer(record(*done, ended=OrderStatus.FILLED, terms=asked)))
    paid = sum(Fraction(p) * Fraction(s) for p, s, _ in rows)
    fees = sum(Fraction(f) for _, _, f in rows)
    assert Fraction(answer["filled_amount"]) == sum(Fraction(s) for _, s, _ in rows)
    assert Fraction(answer["result"]["notional"]) == paid
    assert Fraction(answer["result"]["net_amounts"]["USDT"]) == -paid - fees
    assert Fraction(sums(answer)["USDT"]) == fees


def test_the_detail_has_terms_and_history_after_the_answer() -> None:
    event = Event(NOW_MS, 1, "intended", 1, "binance 1 at 60300")
    shown = record(FILLED, ended=OrderStatus.FILLED, history=(event,))
    detail = order_detail(shown)
    assert list(detail) == [*order_answer(shown), "terms", "history"]
    assert written(detail)["history"] == [
        {"at_ms": NOW_MS, "what": "intended", "attempt": 1, "detail": "binance 1 at 60300", "epoch": 1}
    ]
    assert written(detail)["terms"] == {
        "ordered": {
            "amount": 1,
            "quote_amount": None,
            "price": None,
            "max_slippage_bps": 100,
            "execution_strategy": "cost_optimization",
        },
        "time_in_force": "IOC",
        "arrival_mid": 60000,
        "price_cap": 60300,
    }


def test_a_page_has_orders_and_where_to_go_on() -> None:
    assert written(orders_page(Page((), None))) == {"orders": [], "cursor": None}
    page = orders_page(Page((record(FILLED, ended=OrderStatus.FILLED),), "next"))
    assert [o["order_id"] for o in page["orders"]] == [ORDER_ID]
    assert page["cursor"] == "next"


# Dry runs and the switch --------------------------------------------------------------------------

REJECTED = Rejected(RejectReason.INSUFFICIENT_BALANCE, "-2010", "not enough")
UNSURE = Unknown(UnknownWhy.TIMEOUT, "no answer")
UNSENDABLE = Refusal(RejectReason.FILTER_SIZE, "0.1 is less than the minimum")


@pytest.mark.parametrize(
    ("outcomes", "success", "words"),
    [
        ([WouldTake()], True, ["would_take"]),
        ([WouldTake(), UNSURE], None, ["would_take", "unknown"]),
        ([WouldTake(), REJECTED], False, ["would_take", "rejected"]),
        ([UNSENDABLE, UNSURE], False, ["not_sendable", "unknown"]),
    ],
)
def test_a_dry_run_succeeds_where_every_leg_would_be_taken(
    outcomes: list[CheckOutcome | Refusal], success: object, words: list[str]
) -> None:
    decision = decide(order("1"), [market("binance")], [], POLICY, NOW_MS)
    assert isinstance(decision, Decision)
    legs = [CheckedLeg("binance", Decimal("0.50"), Decimal("100.10"), outcome) for outcome in outcomes]
    answer = written(dry_run_answer("d", decision, legs))
    assert (answer["success"], answer["result"], answer["failover_used"]) == (success, None, False)
    assert answer["exchange"] == "binance"
    assert answer["dry_run"] is True
    assert [leg["outcome"] for leg in answer["legs"]] == words
    assert [leg["amount"] for leg in answer["legs"]] == [Decimal("0.5")] * len(legs)
    assert answer["expected"]["average_price"] == Decimal("100.1")


def test_a_dry_run_says_why_a_leg_would_not_go() -> None:
    legs = [
        CheckedLeg("kraken", Decimal(1), Decimal(100), outcome) for outcome in (REJECTED, UNSENDABLE, UNSURE)
    ]
    answer = written(dry_run_answer("d", None, legs))
    assert (answer["exchange"], answer["expected"]) == ("kraken", None)
    rejected, unsendable, unsure = answer["legs"]
    assert rejected["refusal"] == {"reason": "insufficient_balance", "code": "-2010", "detail": "not enough"}
    assert unsendable["refusal"]["reason"] == "filter_size"
    assert unsure["refusal"] is None
    assert unsure["detail"] == "timeout: no answer"


def test_the_switch_is_told_with_who_set_it_and_when() -> None:
    halted = Switch(TradingMode.HALTED, "incident 7", "arn:a", NOW_MS)
    expected = {"mode": "halted", "reason": "incident 7", "by": "arn:a", "since": NOW_MS}
    assert written(switch_answer(halted)) == expected
    never_set = switch_answer(Switch(TradingMode.RUNNING, "", "", 0))
    assert never_set == {"mode": "running", "reason": "", "by": None, "since": None}


# Problems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_refusal_is_a_4xx_problem_named_after_it(reason: RefusalReason) -> None:
    problem = refusal_problem(Refused(reason, "because"))
    assert problem.kind.type == f"urn:sor:problem:{reason.value.replace('_', '-')}"
    assert 400 <= problem.kind.status < 500
    assert problem.detail == "because"
    assert (problem.retry_after_s is not None) == (reason is RefusalReason.FUNDS_RESERVED)


def test_each_refusal_has_its_own_type() -> None:
    kinds = {refusal_problem(Refused(reason, "")).kind for reason in RefusalReason}
    assert len(kinds) == len(RefusalReason)


def test_a_silent_ledger_is_a_503_that_tells_how_to_ask_again() -> None:
    problem = ledger_unavailable_problem()
    assert problem.kind.status == 503
    assert problem.retry_after_s
    assert "same key" in problem.detail


def test_other_problems() -> None:
    assert order_not_found_problem().kind.status == 404
    assert cursor_problem().kind.status == 422


# Orders that are not done with ------------------------------------------------------------------------


def waiting(*attempts: Attempt, **changes: Any) -> dict[str, Any]:
    page = reviews_page(Page((record(*attempts, **changes),), "on"))
    assert page["cursor"] == "on"
    [shown] = page["orders"]
    found: dict[str, Any] = shown
    return found


def test_of_an_order_under_review_what_is_unclear_is_shown_and_since_when() -> None:
    unclear = replace(UNKNOWN, number=2)
    shown = waiting(HALF, unclear, ended=OrderStatus.NEEDS_REVIEW)
    assert (shown["since"], shown["due_at"], shown["why"]) == (NOW_MS + 900, None, "because")
    assert (shown["caller"], shown["status"]) == ("arn:aws:iam::1:user/a", "needs_review")
    assert [(a["number"], a["state"], a["detail"]) for a in shown["attempts"]] == [
        (2, "unknown", "timeout: no answer")
    ]
    assert shown["attempts"][0]["intended_at"] == NOW_MS


def test_where_a_venue_contradicted_itself_every_attempt_is_shown() -> None:
    told = {"ended": OrderStatus.NEEDS_REVIEW, "contradiction": "filled after all"}
    assert [a["state"] for a in waiting(FILLED, NEVER, **told)["attempts"]] == ["ended", "never"]


def test_an_open_order_is_due_and_needs_nobody() -> None:
    shown = waiting(UNKNOWN)
    assert (shown["since"], shown["due_at"], shown["why"]) == (None, NOW_MS + 30_000, None)


def test_what_is_sent_to_a_venue_is_shown_in_no_list() -> None:
    secret = replace(UNKNOWN.request, path="/secret-path", body=b"secret-body")
    hidden = waiting(replace(UNKNOWN, request=secret, owner="secret-owner"), owner="secret-owner")
    assert "secret" not in dumps(hidden)
