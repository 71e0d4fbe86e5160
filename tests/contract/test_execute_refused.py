"""Why an order is refused is told by what is wrong with it: limits before depth and money, terms by name."""

from __future__ import annotations

from typing import Any

import pytest

from sor_core.api.orders import refusal_problem
from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.order import Order, Side
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import TimeInForce
from sor_core.execution.request import RefusalReason, Refused
from sor_core.ports_trading import LedgerError
from tests.contract.trading_house import House, house
from tests.fakes.markets import order

LIMITS = {"SOR_MAX_ORDER_NOTIONAL": "100000", "SOR_PRICE_COLLAR_BPS": "500"}
GTC = TimeInForce.GTC


def limit(amount: str, price: str, side: Side = Side.BUY) -> Order:
    return order(amount, side=side, price=price, max_slippage_bps=None)


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        *((limit("0.01", price), RefusalReason.PRICE_COLLAR, "price") for price in ("1e6", "1e12", "1e17")),
        (limit("0.01", "123456789012345678"), RefusalReason.PRICE_COLLAR, "price"),
        (limit("0.01", "0.000001", Side.SELL), RefusalReason.PRICE_COLLAR, "price"),
        *((order(amount), RefusalReason.ORDER_NOTIONAL, "amount") for amount in ("100", "1e5", "1e17")),
        (limit("1e17", "60000"), RefusalReason.ORDER_NOTIONAL, "amount"),
        *(
            (order(quote_amount=amount), RefusalReason.ORDER_NOTIONAL, "quote_amount")
            for amount in ("1e6", "1e17")
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_digit_too_many_is_told_as_such(
    asked: Order, reason: RefusalReason, field: str, *, dry_run: bool
) -> None:
    async with house(**LIMITS) as made:
        refused = await made.refused(asked, dry_run=dry_run)
        assert isinstance(refused, Refused), refused
        assert (refused.reason, refused.field) == (reason, field)
        [error] = refusal_problem(refused).errors
        assert error.field == field


async def test_an_order_that_would_rest_far_away_is_its_prices_fault() -> None:
    async with house(**LIMITS) as made:
        refused = await made.refused(limit("0.01", "1e12", Side.SELL), time_in_force=GTC)
        assert isinstance(refused, Refused), refused
        assert (refused.reason, refused.field) == (RefusalReason.ORDER_NOTIONAL, "price")


async def test_numbers_are_told_as_they_were() -> None:
    async with house(**LIMITS) as made:
        refused = await made.refused(limit("1", "123456789012345678", Side.SELL))
        assert isinstance(refused, NoRoute), refused
        assert refused.reason is NoRouteReason.SLIPPAGE
        assert "123456789012345678 USDT" in refused.detail
        resting = await made.refused(limit("1", "123456789012345678", Side.SELL), time_in_force=GTC)
        assert isinstance(resting, Refused), resting
        assert resting.detail.startswith("123456789012345678 USDT at worst")


async def test_what_is_within_the_limits_keeps_its_reason() -> None:
    async with house(**LIMITS) as made:
        for asked, reason in (
            (limit("1", "50000"), NoRouteReason.SLIPPAGE),
            (limit("0.01", "1e12", Side.SELL), NoRouteReason.SLIPPAGE),
            (order("0.00000001"), NoRouteReason.BELOW_MINIMUM),
        ):
            refused = await made.refused(asked)
            assert isinstance(refused, NoRoute), refused
            assert refused.reason is reason
        for venue in ("binance", "coinbase", "kraken"):
            await made.balance(venue, "USDT", "100")
        short = await made.refused(order("1"))
        assert isinstance(short, NoRoute), short
        assert short.reason is NoRouteReason.INSUFFICIENT_FUNDS


# The key of another order -------------------------------------------------------------------------


async def reused(made: House, asked: Order, **changes: Any) -> Refused:
    refused = await made.refused(asked, keys=("key:k1",), body_hash="other", **changes)
    assert isinstance(refused, Refused), refused
    assert refused.reason is RefusalReason.KEY_REUSED
    assert refused.field == "Idempotency-Key"
    return refused


async def test_a_default_written_out_under_a_used_key_is_the_same_order() -> None:
    async with house() as made:
        first = await made.execute(order("0.30", max_slippage_bps="100"), keys=("key:k1",))
        again = await made.execute(
            order("0.3", max_slippage_bps="100.0"), keys=("key:k1",), body_hash="in other words"
        )
        assert again == first


@pytest.mark.parametrize(
    ("changes", "request_changes", "named"),
    [
        ({"max_slippage_bps": "99"}, {}, "max_slippage_bps"),
        ({"side": Side.SELL}, {}, "side"),
        ({"allowed_venues": frozenset({"kraken"})}, {}, "venues"),
        ({"max_legs": 1}, {"client_order_id": "mine"}, "max_legs, client_order_id"),
    ],
)
async def test_what_another_order_has_otherwise_is_named(
    changes: dict[str, Any], request_changes: dict[str, Any], named: str
) -> None:
    async with house() as made:
        first = await made.execute(order("0.3"), keys=("key:k1",))
        refused = await reused(made, order("0.3", **changes), **request_changes)
        assert refused.detail == f"it belongs to order {first.order_id}, which has another {named}"


async def test_a_name_used_before_is_the_field_where_it_is_the_only_key() -> None:
    async with house() as made:
        keys = ("client_order_id:mine",)
        await made.execute(order("0.3"), client_order_id="mine", keys=keys)
        refused = await made.refused(order("0.4"), client_order_id="mine", keys=keys, body_hash="other")
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.field) == (RefusalReason.KEY_REUSED, "client_order_id")
        assert refused.detail.endswith("which has another amount")


# The switch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [TradingMode.HALTED, TradingMode.REDUCE_ONLY])
async def test_a_switch_tells_the_operators_reason(mode: TradingMode) -> None:
    async with house() as made:
        await made.process().control.set_switch(mode, "incident 7", "ops")
        refused = await made.refused(order("1"))
        assert isinstance(refused, Refused)
        assert refused.detail.endswith(": incident 7")


async def test_a_switch_whose_reason_cannot_be_read_refuses_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as made:
        await made.process().control.set_switch(TradingMode.HALTED, "incident 7", "ops")
        process = made.process()
        assert await process.execution._driver.mode() is TradingMode.HALTED

        async def silent() -> Any:
            raise LedgerError("no answer")

        monkeypatch.setattr(made.ledger, "switch", silent)
        refused = await process.execution.execute(made.request(order("1")))
        assert refused == Refused(RefusalReason.HALTED, "trading is halted")
        assert made.true_fills() == []
