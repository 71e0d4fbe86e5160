"""Kraken's nonces: senders of one key take turns, and who is overtaken knows what to do."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from local.venues import Venue
from sor_core.adapters.venues.registry import budget
from sor_core.domain.credentials import KeyUse
from sor_core.domain.errors import VenueError
from sor_core.domain.trading import Cancelled, OrderKind, Placed, Rejected, RejectReason, Unknown
from tests.contract.trading_desk import BIDS, BTC_USDT, ENOUGH_S, Desk, opened, placement
from tests.fakes.clock import ManualClock

R = RejectReason


def use_up_nonces(desk: Desk, api_key: str, *, ahead_ms: int) -> None:
    """Have the venue see a nonce that lies ahead of ours."""
    keyring = desk.venues.simulation.exchanges[Venue.KRAKEN].keyring
    assert keyring.use_nonce(api_key, (desk.clock.now_ms() + ahead_ms) * 1_000_000)


async def test_krakens_senders_take_turns() -> None:
    """Two processes with one key, answers that take their time: no nonce is ever overtaken."""
    async with opened("kraken") as desk:
        await desk.set_book(BTC_USDT, [["59990", "5"]], [["60000", "50"]])
        others = [desk.trading, desk.another(), desk.another()]
        requests = [await desk.freeze(placement("kraken", "0.1", "60000")) for _ in range(24)]
        await desk.fault("latency", "*", ms=5, jitter_ms=5)

        async def send(number: int) -> object:
            late_ms = desk.clock.now_ms() + 60_000
            return await others[number % 3].place(requests[number], not_after_ms=late_ms, timeout_s=20)

        async def ask() -> object:
            return await desk.trading.balances(timeout_s=20)

        got = await asyncio.gather(*(send(n) for n in range(24)), *(ask() for _ in range(8)))
        assert [outcome for outcome in got[:24] if not isinstance(outcome, Placed)] == []
        assert len(desk.true_fills()) == 24
        assert desk.order_posts() == 24


async def test_krakens_questions_with_the_key_that_trades_take_turns_too() -> None:
    async with opened("kraken") as desk:
        del desk.credentials.keys["kraken", KeyUse.READ]
        requests = [await desk.freeze(placement("kraken", "0.01", "60000")) for _ in range(8)]
        await desk.fault("latency", "*", ms=5, jitter_ms=5)
        got = await asyncio.gather(
            *(desk.send(request, timeout_s=20) for request in requests),
            *(desk.trading.balances(timeout_s=20) for _ in range(8)),
        )
        assert all(isinstance(outcome, Placed) for outcome in got[:8])


async def test_krakens_questions_survive_an_overtaken_nonce() -> None:
    """Somebody with the same key has used a number that ours reach a moment later."""
    async with opened("kraken") as desk:
        use_up_nonces(desk, (await desk.credentials.get("kraken", KeyUse.READ)).api_key, ahead_ms=60)
        await desk.fault("latency", "account", ms=50)
        assert await desk.trading.balances(timeout_s=ENOUGH_S)


async def test_krakens_orders_do_not_survive_one() -> None:
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        use_up_nonces(desk, (await desk.credentials.get("kraken", KeyUse.TRADE)).api_key, ahead_ms=60_000)
        got = await desk.send(request)
        assert isinstance(got, Rejected)
        assert (got.reason, got.replay_explainable) == (R.NONCE, True)
        assert desk.order_posts() == 1


async def test_a_turn_that_does_not_come() -> None:
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        credentials = await desk.credentials.get("kraken", KeyUse.TRADE)
        assert await desk.nonces.take_turn(credentials.key_id, "another", for_ms=60_000) is not None
        got = await desk.send(request, timeout_s=0.3)
        assert isinstance(got, Rejected)
        assert got.reason is R.HELD_BACK
        await desk.nonces.end_turn(credentials.key_id, "another")
        assert isinstance(await desk.send(request), Placed)


async def test_an_order_waits_for_its_turn_no_longer_than_it_may_leave() -> None:
    """Who has the turn has died: the order is held back while it may still go elsewhere."""
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        key_id = (await desk.credentials.get("kraken", KeyUse.TRADE)).key_id
        assert await desk.nonces.take_turn(key_id, "dead", for_ms=60_000) is not None
        began_ms = desk.clock.monotonic_ms()
        got = await desk.trading.place(request, not_after_ms=desk.clock.now_ms() + 200, timeout_s=ENOUGH_S)
        took_ms = desk.clock.monotonic_ms() - began_ms
        assert isinstance(got, Rejected)
        assert (got.reason, got.detail) == (R.HELD_BACK, "another has the key's turn")
        assert 150 < took_ms < 1500
        # Nor does it leave a turn behind that nobody has.
        await desk.nonces.end_turn(key_id, "dead")
        assert await desk.nonces.take_turn(key_id, "next", for_ms=1000) is not None
        assert desk.order_posts() == 0


@pytest.mark.parametrize(("age_ms", "used"), [(0, 8 / 60), (20_000, 4 / 60), (3_600_000, 0.0)])
async def test_a_cancel_is_counted_by_the_age_of_its_order(age_ms: int, used: float) -> None:
    async with opened("kraken") as desk:
        asked = placement("kraken", "0.5", "59000", kind=OrderKind.LIMIT_GTC)
        assert isinstance(await desk.place(asked), Placed)
        ref = replace(desk.ref(asked), sent_at_ms=desk.clock.now_ms() - age_ms)
        shared = budget("kraken", desk.clock)
        assert isinstance(await desk.another(shared).cancel(ref, timeout_s=ENOUGH_S), Cancelled)
        assert shared.used_ratio() == pytest.approx(used, abs=0.02)


async def test_more_trades_than_the_lowest_tier_may_ask_for_at_once_are_read_in_several_looks() -> None:
    async with opened("kraken") as desk:
        await desk.set_book(BTC_USDT, BIDS, [[f"{60000 + n / 10:.1f}", "0.01"] for n in range(200)])
        asked = placement("kraken", "2", "60100")
        assert isinstance(await desk.place(asked), Placed)
        order_id = (await desk.settled(desk.ref(asked))).venue_order_id
        clock = ManualClock(desk.clock.now_ms() + 60_000)
        reader = desk.another(budget("kraken", clock))
        with pytest.raises(VenueError, match="held back"):
            await reader.fills(BTC_USDT, order_id, timeout_s=ENOUGH_S)
        clock.advance(40_000)
        told = await reader.fills(BTC_USDT, order_id, timeout_s=ENOUGH_S)
        assert len({fill.fill_id for fill in told}) == 200
        assert sum(fill.size for fill in told) == 2


async def test_a_nonce_store_that_is_out_of_reach() -> None:
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        desk.nonces.broken = True
        got = await desk.send(request)
        assert isinstance(got, Rejected)
        assert got.reason is R.HELD_BACK
        with pytest.raises(VenueError):
            await desk.trading.balances(timeout_s=ENOUGH_S)
        assert desk.order_posts() == 0


async def test_a_turn_is_given_back_whatever_happens() -> None:
    async with opened("kraken") as desk:
        request = await desk.freeze(placement("kraken"))
        for fault in ("drop", "hang", "malformed"):
            await desk.fault(fault)
            assert isinstance(await desk.send(request, timeout_s=0.3), Unknown)
            await desk.clear_faults()
        assert isinstance(await desk.send(request, timeout_s=0.5), Placed | Rejected)
