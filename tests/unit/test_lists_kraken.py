"""How much of a busy account Kraken's limits let the reconciliation read; a list without end ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from sor_core.adapters.http import Answer, NotSentError
from sor_core.adapters.venues.budget import Purpose
from sor_core.adapters.venues.kraken import facts, lists
from sor_core.adapters.venues.registry import budget
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.services.patience import PatientUntil
from sor_core.services.reconciliation import MOST_MS
from tests.fakes.clock import ManualClock

TRADE = {"ordertxid": "O", "pair": "XXBTZUSD", "time": 1.7e9, "price": "1", "vol": "1", "fee": "0"}
FULL = {"error": [], "result": {"trades": {f"T{row}": TRADE for row in range(facts.PAGE)}}}
BODY = msgspec.json.encode(FULL)


@pytest.mark.parametrize(("tier", "rows"), [("starter", 7000), ("intermediate", 10_000), ("pro", 21_000)])
def test_a_list_without_end_is_read_as_long_as_there_is_time_and_is_then_no_list(
    tier: str, rows: int
) -> None:
    clock = ManualClock()
    gate = budget(facts.VENUE, clock, tier).gate(Purpose.ACCOUNT)
    began_ms = clock.now_ms()
    read = 0

    async def sleep(seconds: float) -> None:
        clock.advance(round(seconds * 1000))

    async def ask(path: str, params: Mapping[str, str | int], timeout_s: float) -> Answer:
        nonlocal read
        assert timeout_s > 0
        wait_s = gate.wait_s("POST", path, params)
        if wait_s > 0:
            raise NotSentError(facts.VENUE, VenueFailure.RATE_LIMITED, retry_after_s=wait_s)
        assert params["ofs"] == read  # nothing is read again, nothing left out
        read += facts.PAGE
        return Answer(200, {}, BODY, clock.now_ms(), 1.0)

    patience = PatientUntil(clock, sleep, began_ms + MOST_MS)
    with pytest.raises(VenueError) as caught:
        asyncio.run(lists.trade_lists(ask, 0, patience))
    assert caught.value.failure is VenueFailure.RATE_LIMITED
    assert rows <= read < rows * 1.1
    assert clock.now_ms() - began_ms <= MOST_MS
