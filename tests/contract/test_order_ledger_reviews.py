"""One suite for the lists of all callers' orders that are not done with, in memory and on DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import OrderKind
from sor_core.execution.record import AttemptState, Ending, OrderRecord
from sor_core.ports_trading import OrderLedger, Standing
from tests.contract.order_ledgers import accepted, dynamodb_in_memory, on_dynamodb, saved
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS
from tests.fakes.memory_orders import MemoryOrderLedger
from tests.fakes.order_records import ended, full_order, new_order, with_attempt, with_fill
from tests.fakes.orders_table import OneAtATime

FAR_MS = NOW_MS * 2


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OrderLedger]:
    if request.param == "memory":
        yield MemoryOrderLedger()
        return
    for client in dynamodb_in_memory(monkeypatch):
        yield on_dynamodb(OneAtATime(client), clock)


async def under_review(ledger: OrderLedger, order_id: str, since_ms: int, **changes: Any) -> OrderRecord:
    first = await accepted(ledger, new_order(order_id, **changes))
    ending = Ending(OrderStatus.NEEDS_REVIEW, "why", since_ms)
    return await saved(ledger, first, replace(first, ending=ending))


async def pages(ledger: OrderLedger, standing: Standing, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = None
    for _ in range(20):
        page = await ledger.standing(standing, limit=limit, cursor=cursor)
        found.append([record.order_id for record in page.orders])
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


async def test_in_an_empty_ledger_nothing_is_to_be_done(ledger: OrderLedger) -> None:
    assert list(await ledger.under_review(limit=10)) == []
    for standing in Standing:
        page = await ledger.standing(standing, limit=5, cursor=None)
        assert (page.orders, page.cursor) == ((), None)


async def test_all_callers_orders_under_review_come_the_longest_waiting_first(ledger: OrderLedger) -> None:
    for n, since in enumerate([50, 10, 30, 20, 40]):
        # Created in another order than they came to need review.
        await under_review(ledger, f"{n:02x}", NOW_MS + since, caller=f"caller {n}", created_at_ms=NOW_MS + n)
    await accepted(ledger, new_order("aa"))
    done = await accepted(ledger, new_order("bb"))
    await saved(ledger, done, ended(done, OrderStatus.FILLED))

    assert await pages(ledger, Standing.NEEDS_REVIEW, 2) == [["01", "03"], ["02", "04"], ["00"]]
    assert await pages(ledger, Standing.NEEDS_REVIEW, 5) == [["01", "03", "02", "04", "00"]]
    assert list(await ledger.under_review(limit=10)) == ["01", "03", "02", "04", "00"]
    assert list(await ledger.under_review(limit=3)) == ["01", "03", "02"]


async def test_those_of_one_millisecond_are_all_listed_once(ledger: OrderLedger) -> None:
    for n in range(7):
        await under_review(ledger, f"{n:02x}", NOW_MS)
    found = await pages(ledger, Standing.NEEDS_REVIEW, 2)
    assert sorted(order_id for page in found for order_id in page) == [f"{n:02x}" for n in range(7)]


async def test_a_list_goes_on_after_an_order_that_is_settled_meanwhile(ledger: OrderLedger) -> None:
    for n in range(4):
        await under_review(ledger, f"{n:02x}", NOW_MS + n)
    first = await ledger.standing(Standing.NEEDS_REVIEW, limit=2, cursor=None)
    for record in first.orders:
        await saved(ledger, record, ended(record, OrderStatus.EXPIRED))
    rest = await ledger.standing(Standing.NEEDS_REVIEW, limit=2, cursor=first.cursor)
    assert [record.order_id for record in rest.orders] == ["02", "03"]
    assert rest.cursor is None


async def test_an_order_is_listed_whole_until_it_is_settled(ledger: OrderLedger) -> None:
    record = await accepted(ledger, full_order())
    assert (await ledger.standing(Standing.NEEDS_REVIEW, limit=5, cursor=None)).orders == (record,)

    # One finding of several changes neither that it is there nor since when.
    noted = await saved(ledger, record, replace(record, contradiction="another"))
    assert (await ledger.standing(Standing.NEEDS_REVIEW, limit=5, cursor=None)).orders == (noted,)

    await saved(ledger, noted, ended(noted, OrderStatus.PARTIALLY_FILLED))
    assert (await ledger.standing(Standing.NEEDS_REVIEW, limit=5, cursor=None)).orders == ()
    assert list(await ledger.under_review(limit=5)) == []


async def test_what_is_under_review_is_never_due_whatever_it_left_in_a_book(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    sent = with_attempt(first)
    [attempt] = sent.attempts
    placement = replace(attempt.request.placement, kind=OrderKind.LIMIT_GTC)
    loose = replace(
        attempt, request=replace(attempt.request, placement=placement), state=AttemptState.UNKNOWN
    )
    resting = await saved(ledger, first, replace(sent, attempts=(loose,)))
    assert list(await ledger.due(FAR_MS, limit=5)) == ["0a"]
    assert list(await ledger.under_review(limit=5)) == []

    waiting = await saved(ledger, resting, ended(resting, OrderStatus.NEEDS_REVIEW))
    assert waiting.is_open
    assert list(await ledger.due(FAR_MS, limit=5)) == []
    assert list(await ledger.under_review(limit=5)) == ["0a"]
    assert (await ledger.standing(Standing.OPEN, limit=5, cursor=None)).orders == ()


async def test_all_callers_open_orders_come_the_soonest_due_first(ledger: OrderLedger) -> None:
    for n, due in enumerate([30, 10, 20]):
        await accepted(ledger, new_order(f"{n:02x}", due_at_ms=NOW_MS + due, caller=f"caller {n}"))
    await under_review(ledger, "aa", NOW_MS)
    assert await pages(ledger, Standing.OPEN, 2) == [["01", "02"], ["00"]]

    record = await ledger.load("01")
    assert record is not None
    await saved(ledger, record, ended(with_fill(with_attempt(record))))
    assert await pages(ledger, Standing.OPEN, 2) == [["02", "00"]]


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "\u00e9", "AAAA", "eyJhIjoxfQ==", "'; DROP", "MTIz", "\ud800", "A" * 5000]
)
async def test_a_cursor_that_was_never_given_out_is_refused(
    ledger: OrderLedger, standing: Standing, cursor: str
) -> None:
    await under_review(ledger, "0a", NOW_MS)
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is the port's promise, the words are not
        await ledger.standing(standing, limit=5, cursor=cursor)


class Lagging:
    """A client whose indexes stand still once they were read."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._first: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, **request: Any) -> Any:
        self._first = self._first or self._client.query(**request)
        return self._first


async def test_an_index_that_lags_shows_nobody_what_is_settled(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in dynamodb_in_memory(monkeypatch):
        ledger = on_dynamodb(Lagging(client), clock)
        records = [await under_review(ledger, f"{n:02x}", NOW_MS + n) for n in range(2)]
        seen = await ledger.standing(Standing.NEEDS_REVIEW, limit=5, cursor=None)
        assert seen.orders == tuple(records)
        await saved(ledger, records[0], ended(records[0], OrderStatus.EXPIRED))
        still = await ledger.standing(Standing.NEEDS_REVIEW, limit=5, cursor=None)
        assert still.orders == (records[1],)
