"""What a load run draws, counts and refuses to call borne."""

from __future__ import annotations

import argparse
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from local.chaos.checks import Books
from local.load.__main__ import DEFAULT_MIX, parse_mix
from local.load.clients import Seen, asks, quantile
from local.load.orders import wrong
from local.load.processes import MB, Process, growth, processor_s
from local.load.report import Run, failures, text


def test_requests_are_those_of_their_seed_and_mix() -> None:
    mix = parse_mix(DEFAULT_MIX)
    drawn = list(islice(asks(mix, "1"), 400))
    assert drawn == list(islice(asks(mix, "1"), 400))
    assert drawn != list(islice(asks(mix, "2"), 400))
    assert {ask.kind for ask in drawn} == {"route", "fresh", "execute"}
    assert 280 < sum(ask.kind == "route" for ask in drawn) < 360
    keys = [ask.headers["Idempotency-Key"] for ask in drawn if ask.kind == "execute"]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("told", ["", "route", "route=x", "route=-1,execute=2", "route=0", "cancel=5"])
def test_a_mix_that_makes_no_sense_is_refused(told: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_mix(told)


def test_quantiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 201)]
    assert [quantile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [100, 190, 198, 200]
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([], 0.5) == 0.0


def of_route(resident_mb: float, processor_s: float = 0.0) -> Process:
    return Process("RouteFunction", True, round(resident_mb * MB), processor_s)


def test_growth_is_that_of_processes_that_lived_throughout() -> None:
    (each,) = growth({1: of_route(70), 2: of_route(80), 3: of_route(10)}, {1: of_route(77), 2: of_route(88)})
    assert (each.processes, each.others, round(each.ratio, 6)) == (2, 1, 0.1)


def test_processor_time_counts_new_processes_whole() -> None:
    assert processor_s({1: of_route(1, 5)}, {1: of_route(1, 7), 2: of_route(1, 3)}) == {"RouteFunction": 5}


BALANCES = {"kraken": {"BTC": {"free": "0", "held": "0"}, "USDT": {"free": "200", "held": "0"}}}
AFTER = {"kraken": {"BTC": {"free": "2", "held": "0"}, "USDT": {"free": "0", "held": "0"}}}
FILL = {"client_order_id": "c1", "price": "100", "quantity": "2", "fee": "0", "fee_asset": "USDT"}
ORDER: dict[str, Any] = {
    "order_id": "o1",
    "symbol": "BTC/USDT",
    "side": "buy",
    "status": "filled",
    "ended_at": Decimal(1),
    "filled_amount": Decimal(2),
    "remaining_amount": Decimal(0),
    "at_risk_amount": Decimal(0),
    "fees": [],
    "attempts": [{"number": 1, "client_order_id": "c1", "filled_amount": Decimal(2)}],
    "terms": {"price_cap": Decimal(100), "ordered": {"amount": Decimal(2), "quote_amount": None}},
    "result": {"notional": Decimal(200), "net_amounts": {"BTC": Decimal(2), "USDT": Decimal(-200)}},
}
BOOKS = Books({"o1": ORDER}, [FILL], BALANCES, AFTER, {})


@pytest.mark.parametrize(
    ("books", "told", "finding"),
    [
        (replace(BOOKS, fills=[FILL, FILL]), ["o1"], "over-fill: 4 of 2"),
        (replace(BOOKS, orders={"o1": {**ORDER, "ended_at": None}}), ["o1"], "does not end"),
        (replace(BOOKS, orders={"o1": {**ORDER, "status": "needs_review"}}), ["o1"], "needs review"),
        (replace(BOOKS, orders={"o1": {**ORDER, "filled_amount": Decimal(1)}}), ["o1"], "in the ledger"),
        (replace(BOOKS, after=BALANCES), ["o1"], "balances"),
        (BOOKS, ["o1", "o2"], "o2 is lost"),
        (BOOKS, ["o1", "o1"], "several keys"),
    ],
)
def test_books_that_do_not_agree_are_told(books: Books, told: list[str], finding: str) -> None:
    assert wrong(BOOKS, ["o1"]) == []
    assert any(finding in each for each in wrong(books, told))


def a_run(**changes: Any) -> Run:
    seen = Seen()
    seen.latencies_ms["route"] = [10.0, 20.0]
    memory = growth({1: of_route(100)}, {1: of_route(104)})
    return replace(Run("a test", 1.0, seen, {"book": 1}, memory, 0.05, {}, BOOKS, (), {}), **changes)


def test_a_run_that_held_says_so() -> None:
    assert failures(a_run()) == []
    assert "It held" in text(a_run())
    assert "| book | 1 | 0.50 |" in text(a_run())


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": Seen()},
        {"memory": growth({1: of_route(100)}, {1: of_route(106)})},
        {"wrong": ("order o1: over-fill: 4 of 2",)},
        {"warm_up": {"in the warm-up: route: 503": 1}},
    ],
)
def test_a_run_that_did_not_hold_fails(changes: dict[str, Any]) -> None:
    assert len(failures(a_run(**changes))) == 1
    assert "It did not hold" in text(a_run(**changes))


def test_an_answer_that_is_no_answer_is_an_error() -> None:
    run = a_run()
    run.seen.errors["route: 503"] += 1
    assert failures(run) == ["1 x route: 503"]
