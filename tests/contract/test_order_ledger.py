"""One suite for the order ledger in memory and on DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.dues import Ceiling, Counter, Tally, changes, claims
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import (
    CeilingPassed,
    Conflict,
    IdempotencyKey,
    KeyTaken,
    LedgerError,
    NotAdmitted,
    OrderLedger,
    Saved,
    Switch,
)
from tests.contract.order_ledgers import (
    DAY,
    HOLD,
    accepted,
    dynamodb_in_memory,
    key,
    on_dynamodb,
    saved,
    stands_at,
)
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS
from tests.fakes.memory_orders import MemoryOrderLedger
from tests.fakes.order_records import ended, new_order, roomy, with_attempt, with_fill
from tests.fakes.orders_table import OneAtATime

HOUR_MS = 3_600_000


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OrderLedger]:
    if request.param == "memory":
        yield MemoryOrderLedger()
        return
    for client in dynamodb_in_memory(monkeypatch):
        yield on_dynamodb(OneAtATime(client), clock)


# Accepting --------------------------------------------------------------------------------------


async def test_an_empty_ledger_holds_nothing(ledger: OrderLedger) -> None:
    assert await ledger.load("0a") is None
    assert await ledger.find("alice", "key") is None
    assert await ledger.receipt("0a") is None
    assert await ledger.due(NOW_MS * 2, limit=10) == []
    assert list(await ledger.orders_since(NOW_MS)) == []
    assert await ledger.switch() == Switch(TradingMode.RUNNING, "", "", 0)
    assert await ledger.tallies([DAY, HOLD, DAY]) == {
        DAY: Tally(Decimal(0), Decimal(0)),
        HOLD: Tally(Decimal(0), Decimal(0)),
    }
    page = await ledger.orders("alice", limit=5, cursor=None)
    assert (page.orders, page.cursor) == ((), None)


async def test_what_is_accepted_is_there_whole(ledger: OrderLedger) -> None:
    record = new_order()
    outcome = await ledger.accept(record, [key()], roomy(None, record), b"receipt" * 1000)

    assert isinstance(outcome, Saved)
    stored = outcome.record
    assert stored == replace(record, version=1, write_id=stored.write_id)
    assert stored.write_id
    assert await ledger.load("0a") == stored
    assert await ledger.find("alice", "key") == KeyTaken("0a", "a" * 64)
    assert await ledger.receipt("0a") == b"receipt" * 1000
    assert await stands_at(ledger, DAY) == Tally(Decimal(100), Decimal(0))


async def test_a_key_has_one_order_whatever_else_is_asked_under_it(ledger: OrderLedger) -> None:
    record, other = new_order("0a"), new_order("0b")
    await ledger.accept(record, [key()], roomy(None, record), None)

    full = {DAY: Ceiling(Decimal(100))}
    assert await ledger.accept(other, [key()], roomy(None, other), None) == KeyTaken("0a", "a" * 64)
    assert await ledger.accept(other, [key("b" * 64)], full, b"r") == KeyTaken("0a", "a" * 64)
    assert await ledger.load("0b") is None
    assert await ledger.receipt("0b") is None
    assert (await stands_at(ledger, DAY)).amount == 100


@pytest.mark.parametrize("another", [key(name="another"), key(caller="bob"), key(name="", caller="alicekey")])
async def test_keys_are_a_callers_own(ledger: OrderLedger, another: IdempotencyKey) -> None:
    record, other = new_order("0a"), new_order("0b", caller="bob")
    await ledger.accept(record, [key()], roomy(None, record), None)
    assert isinstance(await ledger.accept(other, [another], roomy(None, other), None), Saved)


async def test_fifty_at_once_under_one_key_are_one_order(ledger: OrderLedger) -> None:
    orders = [new_order(f"{n:02x}") for n in range(50)]
    outcomes = await asyncio.gather(*(ledger.accept(o, [key()], roomy(None, o), b"r") for o in orders))

    won = [outcome.record.order_id for outcome in outcomes if isinstance(outcome, Saved)]
    assert len(won) == 1
    assert [o for o in outcomes if not isinstance(o, Saved)] == [KeyTaken(won[0], "a" * 64)] * 49
    assert [record.order_id for record in await ledger.orders_since(NOW_MS)] == won
    assert (await stands_at(ledger, DAY)).amount == 100


async def test_an_order_id_is_used_once(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    with pytest.raises(LedgerError):
        await ledger.accept(new_order(), [key()], roomy(None, new_order()), None)
    assert await ledger.load("0a") == first
    assert await ledger.find("alice", "key") is None


# Saving -----------------------------------------------------------------------------------------


async def test_versions_follow_each_other(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    second = await saved(ledger, first, replace(first, due_at_ms=1))
    third = await saved(ledger, second, with_attempt(second))

    assert [r.version for r in (first, second, third)] == [1, 2, 3]
    assert len({first.write_id, second.write_id, third.write_id}) == 3
    assert await ledger.load("0a") == third


@pytest.mark.parametrize("change", [lambda r: replace(r, due_at_ms=1), with_attempt], ids=["put", "transact"])
async def test_who_read_an_older_version_writes_nothing(
    ledger: OrderLedger, change: Callable[[OrderRecord], OrderRecord]
) -> None:
    first = await accepted(ledger, new_order())
    second = await saved(ledger, first, replace(first, due_at_ms=2))

    assert await ledger.save(first, change(first), roomy(first, change(first))) == Conflict()
    forged = replace(second, write_id="another")
    assert await ledger.save(forged, change(forged), roomy(forged, change(forged))) == Conflict()
    assert (
        await ledger.save(new_order("0b"), change(new_order("0b")), roomy(first, change(first))) == Conflict()
    )
    assert await ledger.load("0a") == second
    assert await stands_at(ledger, HOLD) == Tally(Decimal(0), Decimal(0))


@pytest.mark.parametrize("change", [lambda r: replace(r, due_at_ms=1), with_attempt], ids=["put", "transact"])
async def test_of_racers_that_write_the_same_one_wins(
    ledger: OrderLedger, change: Callable[[OrderRecord], OrderRecord]
) -> None:
    first = await accepted(ledger, new_order())
    after = change(first)
    outcomes = await asyncio.gather(*(ledger.save(first, after, roomy(first, after)) for _ in range(8)))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 7 + ["Saved"]
    assert await ledger.load("0a") in [o.record for o in outcomes if isinstance(o, Saved)]
    assert (await stands_at(ledger, DAY)).amount == 100


# What all orders share --------------------------------------------------------------------------


async def test_claims_are_taken_and_given_back_with_the_record(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    sent = await saved(ledger, first, with_attempt(first))
    assert await stands_at(ledger, HOLD) == Tally(Decimal("100.26"), Decimal(0))

    filled = await saved(ledger, sent, with_fill(sent, "0.4"))
    assert await stands_at(ledger, HOLD) == Tally(Decimal(0), Decimal("100.26"))
    assert await stands_at(ledger, DAY) == Tally(Decimal(100), Decimal(0))

    after = ended(filled, OrderStatus.PARTIALLY_FILLED)
    last = await saved(ledger, filled, after)
    assert await ledger.save(filled, after) == Conflict()
    assert await stands_at(ledger, DAY) == Tally(Decimal("39.96"), Decimal("60.04"))
    assert claims(last) == {DAY: Decimal("39.96")}


async def test_a_ceiling_holds_to_the_last_digit(ledger: OrderLedger) -> None:
    least = Decimal("0.000000000000000001")
    first = await accepted(ledger, new_order("0a"))
    other = new_order("0b")
    for most in (Decimal(200) - least, Decimal(50), Decimal(-5)):
        ceilings = {DAY: Ceiling(most)}
        assert await ledger.accept(other, [key()], ceilings, b"r") == CeilingPassed(DAY, ceilings[DAY])
    assert await ledger.load("0b") is None
    assert await ledger.find("alice", "key") is None
    assert isinstance(await ledger.accept(other, [key()], {DAY: Ceiling(Decimal(200))}, None), Saved)

    sent = with_attempt(first)
    with exact():
        tight = Ceiling(Decimal("100.26") - least)
    assert await ledger.save(first, sent, {HOLD: tight}) == CeilingPassed(HOLD, tight)
    assert await ledger.load("0a") == first
    assert isinstance(await ledger.save(first, sent, {HOLD: Ceiling(Decimal("100.26"))}), Saved)


async def test_the_first_claim_is_held_to_the_ceiling_too(ledger: OrderLedger) -> None:
    low = Ceiling(Decimal("99.99"))
    assert await ledger.accept(new_order(), [], {DAY: low}, None) == CeilingPassed(DAY, low)
    assert await ledger.load("0a") is None


async def test_a_balance_read_before_something_was_given_back_counts_it_as_claimed(
    ledger: OrderLedger,
) -> None:
    first, second = [await accepted(ledger, new_order(n)) for n in ("0a", "0b")]
    claim = Decimal("100.26")

    def most(times: str, given_back: str) -> dict[Counter, Ceiling]:
        with exact():
            return {HOLD: Ceiling(claim * Decimal(times), Decimal(given_back))}

    assert isinstance(await ledger.save(first, with_attempt(first), most("0.9", "0")), CeilingPassed)
    sent = (await ledger.save(first, with_attempt(first), most("1", "0")), await ledger.load("0a"))[1]
    assert sent is not None
    await saved(ledger, sent, with_fill(sent))
    tally = await stands_at(ledger, HOLD)
    # Read before it was given back, the balance holds one claim more than there is.
    passed = await ledger.save(second, with_attempt(second), most("1.9", "0"))
    assert passed == CeilingPassed(HOLD, most("1.9", "0")[HOLD])
    # Read after it, it holds what it holds; and with money for all, nobody is refused.
    sent = with_attempt(second)
    assert isinstance(await ledger.save(second, sent, most("1", str(tally.given_back))), Saved)
    third = await accepted(ledger, new_order("0c"))
    assert isinstance(await ledger.save(third, with_attempt(third), most("100", "0")), Saved)


async def test_attempts_without_a_ceiling_are_not_written(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    with pytest.raises(LedgerError):
        await ledger.save(first, with_attempt(first))
    with pytest.raises(LedgerError):
        await ledger.accept(with_attempt(new_order("0b")), [], {DAY: Ceiling(Decimal(10**12))}, None)
    assert await ledger.load("0a") == first


async def test_many_at_once_never_pass_a_ceiling_and_give_back_all(ledger: OrderLedger) -> None:
    orders = [new_order(f"{n:02x}") for n in range(20)]
    ceilings = {DAY: Ceiling(Decimal(1250))}

    outcomes = await asyncio.gather(*(ledger.accept(o, [], ceilings, None) for o in orders))

    written = [outcome.record for outcome in outcomes if isinstance(outcome, Saved)]
    assert len(written) == 12
    assert all(o == CeilingPassed(DAY, ceilings[DAY]) for o in outcomes if not isinstance(o, Saved))
    assert await stands_at(ledger, DAY) == Tally(Decimal(1200), Decimal(0))
    await asyncio.gather(*(ledger.save(r, ended(r, OrderStatus.EXPIRED)) for r in written))
    assert await stands_at(ledger, DAY) == Tally(Decimal(0), Decimal(1200))


async def test_sums_of_claims_are_exact(ledger: OrderLedger) -> None:
    """Sizes with 18 decimals, a sum of 30 digits: more than Python's own default of 28."""
    most = {DAY: Ceiling(Decimal("Infinity"))}
    sizes = ["1234567890.123456789012345678", "0.000000000000000001", "987654321.987654321987654321"]
    for n, size in enumerate(sizes):
        assert isinstance(await ledger.accept(new_order(f"{n}", base=Decimal(size)), [], most, None), Saved)
    with exact():
        expected = sum(map(Decimal, sizes)) * 100
    assert (await stands_at(ledger, DAY)).amount == expected
    for n in range(3):
        record = await ledger.load(f"{n}")
        assert record is not None
        await saved(ledger, record, ended(record, OrderStatus.EXPIRED))
    assert await stands_at(ledger, DAY) == Tally(Decimal(0), Decimal("222222221211.1111111"))


# The switch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", TradingMode)
@pytest.mark.parametrize("side", Side)
async def test_the_switch_holds_back_attempts_and_nothing_else(
    ledger: OrderLedger, mode: TradingMode, side: Side
) -> None:
    first = await accepted(ledger, new_order(side=side))
    switch = Switch(mode, "drill \u2713", "operator", NOW_MS)
    await ledger.set_switch(switch)
    assert await ledger.switch() == switch

    sent = with_attempt(first)
    outcome = await ledger.save(first, sent, roomy(first, sent))
    whole = with_attempt(new_order("0b", side=side))
    at_once = await ledger.accept(whole, [key()], roomy(None, whole), None)
    if mode.admits(side):
        assert isinstance(outcome, Saved)
        assert isinstance(at_once, Saved)
        return
    assert outcome == NotAdmitted(mode)
    assert at_once == NotAdmitted(mode)
    assert await ledger.load("0b") is None
    assert await ledger.find("alice", "key") is None
    assert isinstance(await ledger.save(first, ended(first, OrderStatus.CANCELLED)), Saved)
    await accepted(ledger, new_order("0c", side=side))


async def test_the_switch_is_turned_back(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    for mode in (TradingMode.HALTED, TradingMode.REDUCE_ONLY, TradingMode.RUNNING):
        await ledger.set_switch(Switch(mode, "", "operator", NOW_MS))
    assert isinstance(await ledger.save(first, with_attempt(first), roomy(first, with_attempt(first))), Saved)


def test_changes_of_these_records_are_what_the_suite_takes_them_for() -> None:
    assert changes(None, new_order()) == {DAY: Decimal(100)}
    assert changes(new_order(), with_attempt(new_order())) == {HOLD: Decimal("100.26")}
