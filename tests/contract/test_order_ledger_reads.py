"""One suite for what is read from the order ledger, in memory and on DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import pytest

from sor_core.domain.order_status import OrderStatus
from sor_core.ports_trading import OrderLedger
from tests.contract.order_ledgers import (
    accepted,
    dynamodb_in_memory,
    on_dynamodb,
    saved,
)
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS
from tests.fakes.memory_orders import MemoryOrderLedger
from tests.fakes.order_records import ended, full_order, new_order
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


# Lists ------------------------------------------------------------------------------------------


async def test_a_caller_sees_its_own_orders_newest_first(ledger: OrderLedger) -> None:
    for n in range(7):
        await accepted(ledger, new_order(f"{n:02x}", created_at_ms=NOW_MS + n // 2))
        await accepted(ledger, new_order(f"b{n}", caller="bob", created_at_ms=NOW_MS + n))
    pages, cursor = [], None
    for _ in range(10):
        page = await ledger.orders("alice", limit=3, cursor=cursor)
        pages.append([record.order_id for record in page.orders])
        cursor = page.cursor
        if cursor is None:
            break
    assert pages == [["06", "05", "04"], ["03", "02", "01"], ["00"]]
    whole = await ledger.orders("alice", limit=7, cursor=None)
    assert (len(whole.orders), whole.cursor) == (7, None)


async def test_a_list_shows_orders_as_they_stand(ledger: OrderLedger) -> None:
    first = await accepted(ledger, new_order())
    last = await saved(ledger, first, ended(first, OrderStatus.EXPIRED))
    assert (await ledger.orders("alice", limit=3, cursor=None)).orders == (last,)
    assert list(await ledger.orders_since(NOW_MS)) == [last]


async def test_anothers_cursor_shows_nothing_of_anothers(ledger: OrderLedger) -> None:
    for n in range(3):
        await accepted(ledger, new_order(f"{n:02x}", caller="bob", created_at_ms=NOW_MS + n))
    mine = await accepted(ledger, new_order("aa", created_at_ms=NOW_MS))
    bobs = (await ledger.orders("bob", limit=1, cursor=None)).cursor
    assert (await ledger.orders("alice", limit=5, cursor=bobs)).orders == (mine,)


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "\u00e9", "AAAA", "eyJhIjoxfQ==", "'; DROP", "MTIz", "\ud800", "A" * 5000]
)
async def test_a_cursor_that_was_never_given_out_is_refused(ledger: OrderLedger, cursor: str) -> None:
    await accepted(ledger, new_order())
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is the port's promise, the words are not
        await ledger.orders("alice", limit=5, cursor=cursor)


async def test_orders_that_have_not_ended_are_due_the_longest_due_first(ledger: OrderLedger) -> None:
    for n, due in enumerate([30, 10, 20, 99]):
        await accepted(ledger, new_order(f"{n:02x}", due_at_ms=NOW_MS + due))
    assert list(await ledger.due(NOW_MS + 30, limit=10)) == ["01", "02", "00"]
    assert list(await ledger.due(NOW_MS + 30, limit=2)) == ["01", "02"]
    assert list(await ledger.due(NOW_MS + 9, limit=10)) == []

    second, third = await ledger.load("01"), await ledger.load("02")
    assert second is not None
    assert third is not None
    await saved(ledger, second, ended(second, OrderStatus.NEEDS_REVIEW))
    await saved(ledger, third, replace(third, due_at_ms=NOW_MS + 50))
    assert list(await ledger.due(NOW_MS + 60, limit=10)) == ["00", "02"]


async def test_all_orders_since_a_moment(ledger: OrderLedger, clock: ManualClock) -> None:
    times = [NOW_MS + hours * HOUR_MS for hours in (0, 1, 20, 30, 50)]
    for n, at_ms in enumerate(times):
        await accepted(ledger, new_order(f"{n:02x}", created_at_ms=at_ms, caller=f"caller {n}"))
    clock.at_ms = times[-1] - HOUR_MS  # another machine's clock is ahead of ours
    for n, at_ms in enumerate(times):
        assert [r.order_id for r in await ledger.orders_since(at_ms)] == [f"{m:02x}" for m in range(n, 5)]
    assert list(await ledger.orders_since(times[-1] + 1)) == []


async def test_long_lists_are_read_to_their_end(ledger: OrderLedger) -> None:
    for n in range(105):
        await accepted(ledger, new_order(f"{n:03x}", created_at_ms=NOW_MS + n))
    assert [r.created_at_ms - NOW_MS for r in await ledger.orders_since(NOW_MS)] == list(range(105))
    assert len((await ledger.orders("alice", limit=104, cursor=None)).orders) == 104


# What is written is what is read ----------------------------------------------------------------


def blank(value: object, path: str = "") -> Iterator[str]:
    """Paths of fields that hold their default: what a round trip would not test."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            inner = getattr(value, field.name)
            if inner == field.default:
                yield f"{path}.{field.name}"
            else:
                yield from blank(inner, f"{path}.{field.name}")
    elif isinstance(value, tuple):
        several = [set(blank(one, path)) for one in value]
        yield from set.intersection(*several) if several else set()


def text_of(value: object) -> str:
    """All of it, with every Decimal as it is written, sets and mappings in order."""
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{f.name}={text_of(getattr(value, f.name))}" for f in fields(value))
        return f"{type(value).__name__}({inner})"
    if isinstance(value, frozenset | dict):
        return repr(sorted(value if isinstance(value, frozenset) else value.items()))
    return f"({', '.join(map(text_of, value))})" if isinstance(value, tuple) else repr(value)


async def test_nothing_of_an_order_is_lost(ledger: OrderLedger) -> None:
    record = full_order()
    of_market_orders = ".attempts.request.placement.quote_size"
    assert sorted(blank(record)) == [of_market_orders, ".version", ".write_id"]
    stored = await accepted(ledger, record)
    loaded = await ledger.load("0f")
    assert loaded == stored
    assert text_of(loaded) == text_of(replace(record, version=1, write_id=stored.write_id))
    assert loaded is not None
    again = await saved(ledger, loaded, replace(loaded, correlation_id="another"))
    assert text_of(await ledger.load("0f")) == text_of(again)
