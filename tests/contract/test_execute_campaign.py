"""Random orders under random faults: the ledger's sums are the venues' balances, to the last digit."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from sor_core.domain.money import exact
from sor_core.domain.order import Order, Side, Strategy
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.outcome import net_amounts
from sor_core.execution.record import OrderRecord, TimeInForce
from tests.contract.test_execute import holds
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

ORDERS = 40
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop", {"when": "before"}),
    ("drop", {"when": "after"}),
    ("error_5xx", {"when": "after"}),
    ("html", {"when": "before"}),
    ("malformed", {}),
    ("partial_fill", {"share": 0.3}),
    ("partial_fill", {"share": 0.7}),
    ("rate_limit", {}),
    ("cancel_only", {}),
)


def drawn(draw: random.Random) -> tuple[Order, dict[str, Any]]:
    side = draw.choice(list(Side))
    amount = str(Decimal(draw.randrange(1, 30_000)).scaleb(-4))
    strategy = draw.choice(list(Strategy))
    kind = draw.randrange(4)
    if kind == 0:
        price = str(60_000 + side.sign * draw.randrange(-20, 60))
        tif = draw.choice(list(TimeInForce))
        asked = order(amount, side=side, price=price, max_slippage_bps=None, strategy=strategy)
        return asked, {"time_in_force": tif}
    if kind == 1:
        asked = order(side=side, quote_amount=str(draw.randrange(20, 90_000)), strategy=strategy)
        return asked, {}
    return order(amount, side=side, strategy=strategy, max_legs=draw.choice([None, 1, 2])), {}


async def wealth(made: House) -> dict[tuple[str, str], Decimal]:
    told = (await made.control.get("/sim/balances")).json()
    return {
        (venue, asset): Decimal(each["free"]) + Decimal(each["held"])
        for venue, assets in told.items()
        for asset, each in assets.items()
    }


def changes_of(records: list[OrderRecord], made: House) -> dict[str, Decimal]:
    """By asset over all venues: as the ledger says, or for orders under review as the venues' fills say."""
    changed: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for record in records:
            if record.status is not OrderStatus.NEEDS_REVIEW:
                for asset, change in net_amounts(record).items():
                    changed[asset] += change
                continue
            for fill in made.true_fills(record):
                size, price = Decimal(fill["quantity"]), Decimal(fill["price"])
                changed["BTC"] += record.side.sign * size
                changed["USDT"] -= record.side.sign * size * price
                changed[fill["fee_asset"]] -= Decimal(fill["fee"])
    return {asset: change for asset, change in changed.items() if change}


@pytest.mark.parametrize("seed", [7, 8, 9])
async def test_the_sums_are_those_of_the_venues(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
    async with house(SOR_MAX_DAILY_NOTIONAL="100000000", SOR_PRICE_COLLAR_BPS="5000") as made:
        before = await wealth(made)
        for _ in range(ORDERS):
            if draw.random() < 0.4:
                fault, params = draw.choice(FAULTS)
                await made.fault(draw.choice(VENUES), fault, **params, count=1)
            asked, changes = drawn(draw)
            await made.process().execution.execute(made.request(asked, **changes))
            if draw.random() < 0.5:
                await made.run_machine()
            await made.clear_faults()
        await made.run_machine()
        await made.sweep(3)
        stored: Any = made.ledger.records  # type: ignore[attr-defined]
        records = list(stored.values())
        for record in records:
            if record.status is OrderStatus.RESTING:
                until_ms = made.clock.now_ms() + 10_000
                await made.process().follower.cancel(record.order_id, "alice", until_ms)
        records = list(stored.values())
        assert len(records) > ORDERS // 3
        assert all(r.status.is_final for r in records), [r.status for r in records]
        after = await wealth(made)
        with exact():
            moved: dict[str, Decimal] = defaultdict(Decimal)
            for (venue, asset), amount in after.items():
                moved[asset] += amount - before.get((venue, asset), Decimal(0))
        assert {asset: change for asset, change in moved.items() if change} == changes_of(records, made)
        reviewed = [r for r in records if r.status is OrderStatus.NEEDS_REVIEW]
        assert all(a.venue == "coinbase" for r in reviewed for a in r.attempts if not a.is_settled)
        assert bool(holds(made)) == bool(reviewed)
        for record in records:
            assert made.truly_filled(record) <= record.terms.base
            budget = record.terms.budget
            if budget is not None and record.side is Side.BUY:
                assert -net_amounts(record).get("USDT", Decimal(0)) <= budget
