"""What an operator sees of all callers' orders that are not done with, over simulated venues."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sor_core.api.orders import reviews_page
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.record import TimeInForce
from sor_core.ports_trading import Standing
from tests.contract.test_execute import ONLY
from tests.contract.trading_house import House, house
from tests.fakes.markets import order


async def listed(made: House, standing: Standing = Standing.NEEDS_REVIEW) -> list[dict[str, Any]]:
    page = reviews_page(await made.ledger.standing(standing, limit=10, cursor=None))
    assert page["cursor"] is None
    orders: list[dict[str, Any]] = page["orders"]
    return orders


async def test_what_nobody_can_tell_is_listed_with_what_is_unclear_until_it_is_settled() -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        filled = await made.execute(order("0.1", allowed_venues=ONLY["kraken"]), caller="bob")
        assert filled.status is OrderStatus.FILLED
        await made.fault("binance", "drop", when="after", count=1)
        asked = await made.execute(order("0.5", allowed_venues=ONLY["binance"]), caller="alice")
        assert [o["order_id"] for o in await listed(made, Standing.OPEN)] == [asked.order_id]
        assert await listed(made) == []
        await made.fault("binance", "refuse", endpoint="*")
        await made.run_machine()

        record = await made.record(asked.order_id)
        assert record.ending is not None
        assert await listed(made, Standing.OPEN) == []
        [waiting] = await listed(made)
        assert (waiting["order_id"], waiting["caller"], waiting["side"]) == (asked.order_id, "alice", "buy")
        assert waiting["since"] == record.ending.at_ms > waiting["created_at"]
        assert waiting["why"] == record.ending.why
        assert waiting["at_risk_amount"] == Decimal("0.5")
        [unclear] = waiting["attempts"]
        assert (unclear["number"], unclear["venue"], unclear["state"]) == (1, "binance", "unknown")
        assert unclear["detail"]
        assert unclear["client_order_id"] == record.attempts[0].request.placement.client_order_id
        assert unclear["intended_at"] == record.attempts[0].intended_at_ms
        # The request itself, which is what would be signed, is nobody's to see.
        assert record.attempts[0].request.body.decode() not in repr(waiting)

        await made.sweep(times=2)  # they leave it alone
        assert await listed(made) == [waiting]

        await made.clear_faults()
        control = made.process().control
        settled = await control.settle(asked.order_id, 1, never_placed=False, note="filled", by="ops")
        assert settled is not None
        assert settled.status is OrderStatus.FILLED
        assert await listed(made) == []


async def test_of_several_attempts_only_those_not_settled_are_shown() -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        await made.book("kraken", [["59990", "0.5"]], [["60000", "0.2"]])
        await made.book("binance", [["59990", "0.5"]], [["60000", "0.2"]])
        await made.fault("binance", "drop", when="after", count=1)
        both = ONLY["binance"] | ONLY["kraken"]
        asked = await made.execute(order("0.4", allowed_venues=both))
        assert len(asked.attempts) == 2
        await made.fault("binance", "refuse", endpoint="*")
        await made.run_machine()

        [waiting] = await listed(made)
        assert [(a["venue"], a["state"]) for a in waiting["attempts"]] == [("binance", "unknown")]
        assert (waiting["filled_amount"], waiting["at_risk_amount"]) == (Decimal("0.2"), Decimal("0.2"))


async def test_what_rests_under_review_keeps_no_sweep_busy() -> None:
    async with house(SOR_REVIEW_AFTER_SECONDS="60") as made:
        await made.fault("binance", "drop", when="after", count=1)
        asked = order("0.2", price="59995", max_slippage_bps=None, allowed_venues=ONLY["binance"])
        record = await made.execute(asked, time_in_force=TimeInForce.GTC)
        await made.fault("binance", "refuse", endpoint="*")
        await made.run_machine()
        assert (await made.record(record.order_id)).is_open

        await made.clock.sleep(2 * 86_400)
        counts = await made.process().failover.sweep()
        assert counts["due"] == 0
        assert [o["order_id"] for o in await listed(made)] == [record.order_id]
