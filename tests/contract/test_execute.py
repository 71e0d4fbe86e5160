"""Orders executed over real HTTP at the three simulated venues."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.order import Order, Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import OrderKind, WouldTake
from sor_core.execution.outcome import net_amounts, outcome
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import AttemptState, OrderRecord, TimeInForce
from sor_core.execution.request import RefusalReason, Refused
from sor_core.metrics import VISIBILITY_LAG_SECONDS, series_of
from sor_core.routing import verify
from sor_core.services.execute import DryRun, Executed
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order

ONLY = {venue: frozenset({venue}) for venue in VENUES}


def holds(made: House) -> dict[str, Decimal]:
    counters: Any = made.ledger.counters  # type: ignore[attr-defined]
    return {k.scope: t.amount for k, t in counters.items() if k.kind == "hold" and t.amount}


def day(made: House) -> Decimal:
    counters: Any = made.ledger.counters  # type: ignore[attr-defined]
    return sum((t.amount for k, t in counters.items() if k.kind == "day"), Decimal(0))


# As it should go ----------------------------------------------------------------------------------


async def test_a_market_order_is_split_filled_and_adds_up() -> None:
    async with house() as made:
        record = await made.execute(order("1.2"))
        assert record.status is OrderStatus.FILLED
        assert record.filled == made.truly_filled(record) == Decimal("1.2")
        assert all(a.state is AttemptState.ENDED for a in record.attempts)
        sums = outcome(record)
        assert sums.remaining == sums.at_risk == 0
        paid = sum(Decimal(f["price"]) * Decimal(f["quantity"]) for f in made.true_fills(record))
        assert sums.notional == paid
        assert holds(made) == {}
        assert day(made) == paid


@pytest.mark.parametrize("venue", VENUES)
async def test_how_late_its_order_shows_in_the_venues_query_is_measured(venue: str) -> None:
    async with house() as made:
        record = await made.execute(order("0.1", allowed_venues=ONLY[venue]), wait_s=5)
        assert record.status is OrderStatus.FILLED
        lags = [fields for event, fields in made.log.lines if event == "visibility lag"]
        assert [lag["venue"] for lag in lags] == [venue]
        told = made.metrics.take().observations[series_of(VISIBILITY_LAG_SECONDS, (venue,))]
        assert len(told) == 1


async def test_its_receipt_is_kept_and_proves_the_decision(tmp_path: Path) -> None:
    async with house() as made:
        record = await made.execute(order("1.2"))
        body = await made.ledger.receipt(record.order_id)
    assert body is not None
    path = tmp_path / "receipt.json"
    path.write_bytes(body)
    assert verify.main([str(path), "--digest", record.terms.receipt_digest]) == 0
    path.write_bytes(body.replace(b'"side":"buy"', b'"side":"sell"'))
    assert verify.main([str(path)]) == 1


async def test_every_attempt_is_a_limit_ioc_at_the_frozen_cap() -> None:
    async with house() as made:
        record = await made.execute(order("7", max_slippage_bps="30"))
        assert {a.venue for a in record.attempts} >= {"binance", "kraken"}
        for attempt in record.attempts:
            placement = attempt.request.placement
            assert placement.kind is OrderKind.LIMIT_IOC
            assert record.terms.price_cap - 1 < attempt.limit_price <= record.terms.price_cap
        assert all(Decimal(f["price"]) <= record.terms.price_cap for f in made.true_fills())


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("side", list(Side))
async def test_what_came_and_went_is_what_the_venue_says(venue: str, side: Side) -> None:
    async with house() as made:
        before = (await made.control.get("/sim/balances")).json()[venue]
        record = await made.execute(order("0.7", side=side, allowed_venues=ONLY[venue]))
        after = (await made.control.get("/sim/balances")).json()[venue]
        changed = {
            asset: Decimal(after[asset]["free"]) - Decimal(before[asset]["free"])
            for asset in after
            if after[asset] != before.get(asset)
        }
        assert record.status is OrderStatus.FILLED
        assert net_amounts(record) == changed


@pytest.mark.parametrize("side", list(Side))
async def test_fees_in_a_third_asset_are_counted_in_it(side: Side) -> None:
    async with house() as made:
        in_bnb = {"venue": "binance", "asset": "BNB", "price": "600", "free": "10"}
        (await made.control.post("/sim/fee-asset", json=in_bnb)).raise_for_status()
        before = (await made.control.get("/sim/balances")).json()["binance"]
        record = await made.execute(order("0.7", side=side, allowed_venues=ONLY["binance"]))
        after = (await made.control.get("/sim/balances")).json()["binance"]
        changed = {a: Decimal(after[a]["free"]) - Decimal(before[a]["free"]) for a in after}
        assert record.status is OrderStatus.FILLED
        assert net_amounts(record) == {asset: change for asset, change in changed.items() if change}
        assert set(outcome(record).fees) == {"BNB"}
        assert outcome(record).savings_bps is None  # nothing here says what a BNB is worth
        assert outcome(record).slippage_bps is not None


async def test_a_budget_is_spent_to_the_last_lot_and_never_passed() -> None:
    async with house() as made:
        record = await made.execute(order(quote_amount="50000", max_slippage_bps="50"))
        sums = outcome(record)
        spent = sums.notional + sums.fees.get("USDT", Decimal(0))
        assert record.status is OrderStatus.FILLED
        assert Decimal(49_940) < spent <= 50_000


async def test_a_limit_order_takes_what_its_price_gives_and_lets_the_rest_go() -> None:
    async with house() as made:
        record = await made.execute(order("5", price="60000", max_slippage_bps=None))
        assert record.status is OrderStatus.PARTIALLY_FILLED
        assert record.filled == made.truly_filled(record) == Decimal("1.5")
        assert outcome(record).remaining == Decimal("3.5")
        assert all(Decimal(f["price"]) <= 60_000 for f in made.true_fills())


async def test_a_limit_order_out_of_reach_expires_as_no_route() -> None:
    async with house() as made:
        refused = await made.refused(order("1", price="50000", max_slippage_bps=None))
        assert isinstance(refused, NoRoute)
        assert refused.reason is NoRouteReason.SLIPPAGE
        assert sum(made.posts(v) for v in VENUES) == 0


# Resting ------------------------------------------------------------------------------------------


async def resting(
    made: House, amount: str = "1", price: str = "59995", *, venue: str | None = None
) -> OrderRecord:
    venues = None if venue is None else ONLY[venue]
    asked = order(amount, price=price, max_slippage_bps=None, allowed_venues=venues)
    return await made.execute(asked, time_in_force=TimeInForce.GTC, wait_s=5)


async def test_a_limit_order_rests_is_followed_and_fills() -> None:
    async with house() as made:
        record = await resting(made)
        assert record.status is OrderStatus.RESTING
        assert holds(made) == {}  # the venue itself holds it
        venue = record.attempts[-1].venue
        await made.sweep()
        assert (await made.record(record.order_id)).status is OrderStatus.RESTING
        await made.book(venue, [["59900", "5"]], [["59990", "5"]])
        await made.sweep(3)
        done = await made.record(record.order_id)
        assert done.status is OrderStatus.FILLED
        assert done.filled == made.truly_filled(done) == 1


async def test_what_can_be_filled_at_once_is_and_the_rest_waits() -> None:
    async with house() as made:
        record = await resting(made, "2", "60000")
        assert record.status is OrderStatus.RESTING
        assert record.filled == Decimal("1.5")
        assert [a.rests for a in record.attempts][-1]
        assert record.at_stake == 2


async def test_a_resting_order_is_cancelled() -> None:
    async with house() as made:
        record = await resting(made)
        process = made.process()
        assert await process.follower.cancel(record.order_id, "mallory", 0) is None
        done = await process.follower.cancel(record.order_id, "alice", made.clock.now_ms() + 5000)
        assert done is not None
        assert done.status is OrderStatus.CANCELLED
        assert done.filled == day(made) == 0
        assert holds(made) == {}
        again = await process.follower.cancel(record.order_id, "alice", 0)
        assert again == done


async def test_halt_cancels_what_rests_and_refuses_what_comes() -> None:
    async with house() as made:
        record = await resting(made)
        switch, still_open = await made.process().control.set_switch(TradingMode.HALTED, "drill", "ops")
        assert (switch.mode, still_open) == (TradingMode.HALTED, 0)
        assert (await made.record(record.order_id)).status is OrderStatus.CANCELLED
        refused = await made.refused(order("1"))
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.HALTED
        await made.process().control.set_switch(TradingMode.REDUCE_ONLY, "drill", "ops")
        bought = await made.refused(order("0.1"))
        assert isinstance(bought, Refused)
        assert bought.reason is RefusalReason.REDUCE_ONLY
        assert (await made.execute(order("0.1", side=Side.SELL))).status is OrderStatus.FILLED


# Idempotency --------------------------------------------------------------------------------------


async def test_fifty_requests_with_one_key_are_one_order() -> None:
    fees = "binance=10,coinbase=20,kraken=20"  # told, so that nobody asks the venues
    async with house(SOR_MAX_LATENCY_MS="10000", SOR_TAKER_FEES_BPS=fees) as made:
        process = made.process()
        requests = [made.request(order("0.3"), keys=("k1",), wait_s=20) for _ in range(50)]
        outcomes = await asyncio.gather(*(process.execution.execute(r) for r in requests))
        assert all(isinstance(o, Executed) for o in outcomes), outcomes
        ids = {o.record.order_id for o in outcomes}  # type: ignore[union-attr]
        assert len(ids) == 1
        await made.run_machine()  # their waiting made the clock jump under the one that sent
        assert (await made.record(ids.pop())).status is OrderStatus.FILLED
        assert sum(Decimal(f["quantity"]) for f in made.true_fills()) == Decimal("0.3")


async def test_a_key_belongs_to_one_body_and_one_caller() -> None:
    async with house() as made:
        first = await made.execute(order("0.3"), keys=("k1",))
        refused = await made.refused(order("0.4"), keys=("k1",), body_hash="other")
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.KEY_REUSED
        other = await made.execute(order("0.3"), keys=("k1",), caller="bob")
        assert other.order_id != first.order_id


async def test_one_client_order_id_is_one_order_whatever_the_idempotency_keys() -> None:
    async with house() as made:
        first, again = [
            await made.execute(order("0.1"), client_order_id="mine", keys=(key, "client_order_id:mine"))
            for key in ("key:a", "key:b")
        ]
        assert again == first
        assert made.truly_filled(first) == sum(Decimal(f["quantity"]) for f in made.true_fills())
        other = await made.refused(order("0.2"), keys=("key:c", "client_order_id:mine"), body_hash="other")
        assert isinstance(other, Refused)
        assert other.reason is RefusalReason.KEY_REUSED


async def test_one_client_order_id_at_the_same_moment_is_one_order_too() -> None:
    async with house() as made:
        requests = [
            made.request(order("0.1"), client_order_id="mine", keys=(f"key:{i}", "client_order_id:mine"))
            for i in range(5)
        ]
        outcomes = await asyncio.gather(*(made.process().execution.execute(r) for r in requests))
        assert {type(outcome) for outcome in outcomes} == {Executed}
        assert len(made.ledger.records) == 1  # type: ignore[attr-defined]
        assert sum(Decimal(f["quantity"]) for f in made.true_fills()) <= Decimal("0.1")


# Risk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "settings", "reason"),
    [
        (order("1"), {"SOR_ALLOWED_SYMBOLS": "ETH/USDT"}, RefusalReason.SYMBOL_NOT_ALLOWED),
        (order("2"), {"SOR_MAX_ORDER_NOTIONAL": "100000"}, RefusalReason.ORDER_NOTIONAL),
        (order("1"), {"SOR_MAX_DAILY_NOTIONAL": "60000"}, RefusalReason.DAILY_NOTIONAL),
        (
            order("1", price="90000", max_slippage_bps=None),
            {"SOR_PRICE_COLLAR_BPS": "500"},
            RefusalReason.PRICE_COLLAR,
        ),
    ],
)
async def test_risk_refuses_before_anything_is_sent(
    asked: Order, settings: dict[str, str], reason: RefusalReason
) -> None:
    async with house(**settings) as made:
        refused = await made.refused(asked)
        assert isinstance(refused, Refused)
        assert refused.reason is reason
        assert sum(made.posts(v) for v in VENUES) == 0
        assert made.ledger.records == {}  # type: ignore[attr-defined]


async def test_the_days_notional_is_counted_as_it_was_filled_and_given_back() -> None:
    async with house(SOR_MAX_DAILY_NOTIONAL="70000", SOR_MAX_ORDER_NOTIONAL="1000000") as made:
        await made.execute(order("0.5"))
        refused = await made.refused(order("1"))
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.DAILY_NOTIONAL
        assert (await made.execute(order("0.6"))).status is OrderStatus.FILLED


async def test_concurrent_orders_never_count_the_same_money() -> None:
    async with house() as made:
        for venue in VENUES:
            await made.balance(venue, "USDT", "40000")
        asked = replace(order("0.6", max_legs=1), allowed_venues=frozenset({"binance"}))
        outcomes = await asyncio.gather(
            *(made.process().execution.execute(made.request(asked)) for _ in range(4))
        )
        filled = [o for o in outcomes if hasattr(o, "record")]
        assert len(filled) == 1
        assert all(isinstance(other, NoRoute | Refused) for other in outcomes if other not in filled)
        assert made.posts("binance") == 1  # the others were refused here, not by the venue


async def test_a_dry_run_places_nothing() -> None:
    async with house() as made:
        told = await made.refused(order("1.2"), dry_run=True)
        assert isinstance(told, DryRun)
        assert told.decision is not None
        assert {leg.venue for leg in told.legs} == {leg.venue for leg in told.decision.legs}
        assert all(isinstance(leg.outcome, WouldTake) for leg in told.legs)
        assert made.true_fills() == []
        assert made.ledger.records == {}  # type: ignore[attr-defined]
