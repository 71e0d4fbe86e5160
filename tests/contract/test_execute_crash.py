"""A process dies at every point between two I/O operations: orders end, and never fill too much."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sor_core.adapters.pool import make_client, make_order_client
from sor_core.domain.order import Order
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.record import OrderRecord, TimeInForce
from tests.contract.crashing import TrippedLedger, TrippedTransport, Tripwire, run_until_killed
from tests.contract.test_execute import holds
from tests.contract.test_execute_faults import agrees
from tests.contract.trading_house import VENUES, House, Process, house
from tests.fakes.markets import order

FEES = {"SOR_TAKER_FEES_BPS": "binance=10,coinbase=10,kraken=10"}
STRIDE = int(os.environ.get("SOR_TEST_CRASH_STRIDE", "4"))
"""1 kills at every point also while a lost order is looked for."""
SPLIT = order("1.4")
# The sockets of a dead process are closed by nobody here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
RESTING = order("1", price="59995", max_slippage_bps=None)


@asynccontextmanager
async def doomed(made: House, at: int | None) -> AsyncIterator[tuple[Process, Tripwire]]:
    """A process whose ledger and venues it reaches only through a tripwire."""
    wire = Tripwire(at)
    async with make_order_client() as order_client, make_client() as market_client:
        for client in (order_client, market_client):
            client._transport = TrippedTransport(client._transport, wire)
        ledger: Any = TrippedLedger(made.ledger, wire)
        yield made.process(ledger, (order_client, market_client)), wire


async def points(asked: Order, fault: tuple[str, str] | None, **request: Any) -> int:
    """How many points there are to die at, where nobody does."""
    async with house(**FEES) as made:
        if fault is not None:
            await made.fault(fault[0], "drop", when=fault[1], count=1)
        async with doomed(made, None) as (process, wire):
            await process.execution.execute(made.request(asked, keys=("k",), **request))
            await made.run_machine(process)
        return wire.count


async def afterwards(made: House, asked: Order, **request: Any) -> OrderRecord | None:
    """The client asks again, the machine goes on where it was started, the sweep finds the rest."""
    await made.clock.sleep(2)
    retried = await made.process().execution.execute(made.request(asked, keys=("k",), **request))
    await made.run_machine()
    await made.sweep(4)
    assert hasattr(retried, "record"), retried
    return await made.record(retried.record.order_id)


def ends_well(made: House, record: OrderRecord | None) -> None:
    assert record is not None
    assert record.status.is_final or record.status is OrderStatus.RESTING, record
    records: Any = made.ledger.records  # type: ignore[attr-defined]
    assert len(records) == 1  # one key, one order
    assert len(made.true_fills()) == len(made.true_fills(record))  # no fill that it does not know
    agrees(made, record)
    if record.status is OrderStatus.NEEDS_REVIEW:
        assert holds(made)


@pytest.mark.parametrize("share", range(4))
async def test_killed_anywhere_while_all_goes_well(share: int) -> None:
    for at in range(1 + share, 1 + await points(SPLIT, None, wait_s=0), 4):
        async with house(**FEES) as made:
            async with doomed(made, at) as (process, _):
                killed = run_until_killed(process.execution.execute(made.request(SPLIT, keys=("k",))))
                assert await killed is None
            ends_well(made, await afterwards(made, SPLIT))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("venue", VENUES)
async def test_killed_anywhere_while_a_lost_order_is_looked_for(venue: str, when: str) -> None:
    asked = order("0.4")
    fees = {"SOR_TAKER_FEES_BPS": ",".join(f"{v}={10 if v == venue else 20}" for v in VENUES)}
    async with house(**fees) as made:
        await made.fault(venue, "drop", when=when, count=1)
        await made.execute(asked, keys=("k",))
        async with doomed(made, None) as (process, wire):
            await made.run_machine(process)
    # Every fourth point, another one for each case: all six cases take the same path up to the venue.
    first = 1 + (VENUES.index(venue) + 3 * (when == "after")) % STRIDE
    for at in range(first, wire.count + 1, STRIDE):
        async with house(**fees) as made:
            await made.fault(venue, "drop", when=when, count=1)
            await made.execute(asked, keys=("k",))
            async with doomed(made, at) as (process, _):
                await run_until_killed(made.run_machine(process))
            ends_well(made, await afterwards(made, asked))


async def test_killed_anywhere_while_an_order_comes_to_rest() -> None:
    request = {"time_in_force": TimeInForce.GTC}
    for at in range(1, 1 + await points(RESTING, None, **request)):
        async with house(**FEES) as made:
            async with doomed(made, at) as (process, _):
                await run_until_killed(
                    process.execution.execute(made.request(RESTING, keys=("k",), **request))
                )
            ends_well(made, await afterwards(made, RESTING, **request))
