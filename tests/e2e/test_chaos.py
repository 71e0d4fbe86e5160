"""A small chaos campaign, whole: what `make chaos` runs, with fewer orders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from local.chaos.campaign import Placed
from local.chaos.checks import Books, violations
from local.chaos.draws import Episode, Manner, draw_campaign
from local.template import REPOSITORY
from local.venues.faults import KINDS, parse_fault_orders

ORDERS, SEED = 25, 4
END_S = 240.0
PROGRAM = [sys.executable, "-m", "local.environments", "run", "aws", "--", "-m", "local.chaos"]


def test_a_campaign_is_the_same_for_the_same_seed_only() -> None:
    assert draw_campaign(3, 90) == draw_campaign(3, 90)
    assert draw_campaign(3, 90) != draw_campaign(4, 90)


@pytest.mark.parametrize("seed", range(5))
def test_a_full_campaign_draws_every_kind_of_fault_and_client(seed: int) -> None:
    campaign = draw_campaign(seed, 500)
    drawn = [fault for episode in campaign.episodes for fault in episode.faults]
    assert len(parse_fault_orders(drawn)) == len(drawn)  # the venues take every one of them
    assert {fault["fault"] for fault in drawn} == set(KINDS)
    assert {order.manner for order in campaign.orders} == set(Manner)
    assert {order.episode for order in campaign.orders} == set(range(len(campaign.episodes)))
    assert any(order.kill_after_s is not None for order in campaign.orders)
    assert {episode.mode for episode in campaign.episodes} == {"running", "halted", "reduce_only"}


FILL = {
    "venue": "kraken",
    "client_order_id": "c1",
    "symbol": "BTC/USDT",
    "price": "100",
    "quantity": "2",
    "fee": "1",
    "fee_asset": "USDT",
}
BALANCES = {"kraken": {"BTC": {"free": "0", "held": "0"}, "USDT": {"free": "201", "held": "0"}}}


def books(**changes: Any) -> Books:
    """One order for two, filled once."""
    attempt: dict[str, Any] = {"number": 1, "venue": "kraken", "state": "ended"}
    attempt |= {"client_order_id": "c1", "filled_amount": Decimal(2)}
    order = {
        "order_id": "o1",
        "symbol": "BTC/USDT",
        "side": "buy",
        "status": "filled",
        "ended_at": Decimal(1),
        "filled_amount": Decimal(2),
        "remaining_amount": Decimal(0),
        "at_risk_amount": Decimal(0),
        "fees": [{"asset": "USDT", "amount": Decimal(1)}],
        "attempts": [attempt],
        "terms": {"price_cap": Decimal(100), "ordered": {"amount": Decimal(2), "quote_amount": None}},
        "result": {"notional": Decimal(200), "net_amounts": {"BTC": Decimal(2), "USDT": Decimal(-201)}},
    }
    after = {"kraken": {"BTC": {"free": "2", "held": "0"}, "USDT": {"free": "0", "held": "0"}}}
    made = Books({"o1": order}, [FILL], BALANCES, after, {("day", "2026-11-22", "USDT"): 200 * 10**18})
    return replace(made, **{name: change(made) for name, change in changes.items()})


def placed(*order_ids: str) -> list[Placed]:
    drawn = draw_campaign(1, 2).orders[0]
    return [Placed(drawn, Episode("none"), set(order_ids))]


def with_order(**fields: Any) -> Any:
    return lambda made: {"o1": {**made.orders["o1"], **fields}}


def test_books_that_agree_have_no_violation() -> None:
    assert violations(books(), placed("o1")) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fills": lambda made: [*made.fills, FILL]}, "over-fill: 4 of 2"),
        ({"fills": lambda _: [{**FILL, "price": "101"}]}, "beyond its cap"),
        ({"fills": lambda _: [{**FILL, "fee": "2"}]}, "fees:"),
        ({"fills": lambda made: [*made.fills, {**FILL, "client_order_id": "x"}]}, "that no order knows"),
        ({"orders": with_order(ended_at=None, status="working")}, "does not end"),
        ({"orders": with_order(filled_amount=Decimal(1))}, "filled: 1 in the ledger, 2 at the venues"),
        ({"orders": with_order(at_risk_amount=Decimal(1))}, "at risk"),
        ({"orders": lambda _: {}}, "is lost"),
        ({"after": lambda made: made.before}, "balances:"),
        ({"counters": lambda made: {**made.counters, ("hold", "kraken", "USDT"): 1}}, "left over: hold"),
        ({"counters": lambda _: {}}, "the day's notional"),
    ],
)
def test_what_does_not_agree_is_told(change: Mapping[str, Any], told: str) -> None:
    assert any(told in each for each in violations(books(**change), placed("o1")))


@pytest.mark.parametrize(
    ("order_ids", "told"), [((), "neither an order nor"), (("o1", "o2"), "several orders")]
)
def test_a_key_is_one_order(order_ids: Sequence[str], told: str) -> None:
    assert any(told in each for each in violations(books(), placed(*order_ids)))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes to kill in /proc")
def test_a_small_campaign_loses_nothing_and_fills_nothing_twice() -> None:
    arguments = ["--orders", str(ORDERS), "--seed", str(SEED), "--minutes", "0.1"]
    arguments += ["--review-after", "120", "--no-degradation"]
    done = subprocess.run(  # noqa: S603
        [*PROGRAM, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=END_S, check=False
    )
    assert "**0 violations**" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
