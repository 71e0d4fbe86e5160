"""The order ledger in one DynamoDB table (its items: `dynamo_orders_items`, its writes: `dynamo_table`).

::

    accept  {order, key, receipt, counters, switch}   if order and key are not there yet
    save    {order, counters, switch}                 if the order still has before's version, write_id
      |-- written ------------------------------------------------------> Saved
      '-- refused, or no answer: read the order (and key), consistently
             |-- it has my write_id: my own first copy was in time -----> Saved
             |-- another wrote -----------------------------------------> Conflict | KeyTaken
             |-- a counter, or the switch, refused it ------------------> CeilingPassed | NotAdmitted
             '-- nothing to be seen of it, and no copy was answered ----> LedgerError

`LedgerError`: a copy may still be on its way. Whoever hears that sends nothing, so that an attempt
which appears afterwards was never sent; the sweep finds it and carries on. The same holds for a
caller that is cancelled while it waits here: its write goes on.

Where another process has written on top of a copy of mine that nobody told me of, the answer is
`Conflict`: whoever then applies its result to what it loads applies it for the second time, which
the functions of `execution.protocol` bear. Counters are safe from that: their changes follow from
the record that the condition names, and are made with it or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sor_core.adapters import dynamo_orders_items as items
from sor_core.adapters.dynamo_table import DynamoTable, Refused, Request
from sor_core.clock import Clock
from sor_core.execution.dues import Ceiling, Counter, Tally, changes, utc_day
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import (
    AcceptOutcome,
    CeilingPassed,
    Conflict,
    IdempotencyKey,
    KeyTaken,
    LedgerError,
    NotAdmitted,
    Page,
    Saved,
    SaveOutcome,
    Standing,
    Switch,
    standing_of,
)

_DAY_MS = 86_400_000
_MOST_TRIES = 12


class DynamoOrderLedger:
    """`ports_trading.OrderLedger` on DynamoDB.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client with explicit timeouts. It blocks, so calls run in threads. Its
        own retries do no harm: they repeat a write under the same conditions.
    table
        Name of the table.
    clock
        For how long to go on trying, and up to which day to list.
    new_id
        Gives random names of at most 36 characters, a different one each time.
    uniform
        Gives random numbers from 0 to 1, which spread repetitions in time.
    """

    def __init__(
        self,
        client: Any,
        table: str,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._table = DynamoTable(client, table, clock, uniform)
        self._clock = clock
        self._new_id = new_id

    # Writes -----------------------------------------------------------------------------------------

    async def accept(
        self,
        record: OrderRecord,
        keys: Sequence[IdempotencyKey],
        ceilings: Mapping[Counter, Ceiling],
        receipt: bytes | None,
    ) -> AcceptOutcome:
        written = replace(record, version=1, write_id=self._new_id())
        actions = [self._table.put(items.order_item(written), "attribute_not_exists(pk)")]
        named = [items.key_item(key, written.order_id) for key in keys]
        actions += [self._table.put(item, "attribute_not_exists(pk)") for item in named]
        if receipt is not None:
            actions.append(self._table.put(items.receipt_item(written.order_id, receipt)))
        shared, by_place = self._shared(None, written, ceilings, first=len(actions))
        try:
            refused = await self._table.write([*actions, *shared], written.write_id)
        except LedgerError:
            if (settled := await self._accepted(written, keys)) is not None:
                return settled
            raise
        if refused is None:
            return Saved(written)
        if (settled := await self._accepted(written, keys)) is not None:
            return settled
        if refused.may_follow:
            # Nobody may be told that it was refused while it can still come to be.
            raise LedgerError("refused, but an earlier copy of it may arrive")
        return _refusal(by_place, refused)

    async def _accepted(
        self, written: OrderRecord, keys: Sequence[IdempotencyKey]
    ) -> Saved | KeyTaken | None:
        """Whether the order, or another under a key of its, is there; the keys' word goes before all else."""
        taken = None
        for key in keys:
            taken = await self.find(key.caller, key.key)
            if taken is not None and taken.order_id != written.order_id:
                return taken
        stored = await self.load(written.order_id)
        if stored is None:
            return None
        if stored.version == written.version and stored.write_id != written.write_id:
            if taken is not None:
                return taken
            raise LedgerError("another order has the same id")
        return Saved(stored)

    async def save(
        self,
        before: OrderRecord,
        after: OrderRecord,
        ceilings: Mapping[Counter, Ceiling] | None = None,
    ) -> SaveOutcome:
        written = replace(after, version=before.version + 1, write_id=self._new_id())
        put = self._table.put(
            items.order_item(written),
            "#version = :version AND #write_id = :write_id",
            {":version": items.number(before.version), ":write_id": items.text(before.write_id)},
        )
        shared, by_place = self._shared(before, written, ceilings or {}, first=1)
        try:
            refused = await self._table.write([put, *shared], written.write_id)
        except LedgerError:
            stored = await self.load(written.order_id)
            if stored is not None and stored.write_id == written.write_id:
                return Saved(stored)
            raise
        if refused is None:
            return Saved(written)
        stored = await self.load(written.order_id)
        if stored is not None and stored.write_id == written.write_id:
            return Saved(stored)
        if stored is None or (stored.version, stored.write_id) != (before.version, before.write_id):
            return Conflict()
        return _refusal(by_place, refused)

    def _shared(
        self,
        before: OrderRecord | None,
        after: OrderRecord,
        ceilings: Mapping[Counter, Ceiling],
        *,
        first: int,
    ) -> tuple[list[Request], dict[int, CeilingPassed]]:
        """What a write does to what all orders share, and which ceiling holds which place of it."""
        adds_attempts = len(after.attempts) > (0 if before is None else len(before.attempts))
        actions: list[Request] = []
        by_place: dict[int, CeilingPassed] = {}
        for counter, change in changes(before, after).items():
            ceiling = ceilings.get(counter)
            if ceiling is not None:
                by_place[first + len(actions)] = CeilingPassed(counter, ceiling)
            elif change > 0 and adds_attempts:
                raise LedgerError(f"attempts without a ceiling for {counter}")
            actions.append(items.counter_update(self._table.name, counter, change, ceiling))
        if adds_attempts:
            actions.append(items.admits_check(self._table.name, after.side))
        return actions, by_place

    async def set_switch(self, switch: Switch) -> None:
        # On top of what was read, so that a copy which is late on its way changes nothing.
        write_id = self._new_id()
        for _ in range(_MOST_TRIES):
            seen = (await self._table.get(items.SWITCH_KEY) or {}).get("write_id")
            if seen == items.text(write_id):
                return
            put = self._table.put(
                items.switch_item(switch, write_id),
                "attribute_not_exists(write_id)" if seen is None else "#write_id = :write_id",
                None if seen is None else {":write_id": seen},
            )
            if await self._table.write([put], write_id) is None:
                return
        raise LedgerError("others keep setting the switch")

    # Reads ------------------------------------------------------------------------------------------

    async def find(self, caller: str, key: str) -> KeyTaken | None:
        item = await self._table.get(items.idempotency_key(caller, key))
        return None if item is None else items.taken_of(item)

    async def load(self, order_id: str) -> OrderRecord | None:
        item = await self._table.get(items.order_key(order_id))
        return None if item is None else items.record_of(item)

    async def receipt(self, order_id: str) -> bytes | None:
        item = await self._table.get(items.order_key(order_id, "receipt"))
        return None if item is None else items.unpacked(item)

    async def keep_report(self, day: str, body: bytes) -> None:
        await self._table.write([self._table.put(items.report_item(day, body))], self._new_id())

    async def report(self, day: str) -> bytes | None:
        item = await self._table.get(items.report_key(day))
        return None if item is None else items.unpacked(item)

    async def switch(self) -> Switch:
        return items.switch_of(await self._table.get(items.SWITCH_KEY))

    async def tallies(self, counters: Sequence[Counter]) -> Mapping[Counter, Tally]:
        wanted = {items.counter_name(counter): counter for counter in counters}
        found = dict.fromkeys(counters, Tally(Decimal(0), Decimal(0)))
        for item in await self._table.get_all([items.table_key(*key) for key in wanted]):
            found[wanted[item["pk"]["S"], item["sk"]["S"]]] = items.tally_of(item)
        return found

    async def orders(self, caller: str, *, limit: int, cursor: str | None) -> Page:
        condition, values = "#caller = :caller", {":caller": items.caller_value(caller)}
        if cursor is not None:
            condition += " AND #created < :created"
            values[":created"] = items.text(items.place_of(cursor))
        # One more than asked for tells whether there is a next page.
        keys = await self._table.query(items.BY_CALLER, condition, values, most=limit + 1, descending=True)
        page = keys[:limit]
        cursor = items.cursor_of(page[-1]) if len(keys) > limit else None
        return Page(tuple(await self._records(page)), cursor)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[str]:
        # The index lags a little: whoever takes an order reads it from the table first.
        values = {":open": _open_value(Standing.OPEN), ":due_at_ms": items.number(now_ms)}
        condition = "#open = :open AND #due_at_ms <= :due_at_ms"
        return [
            items.order_id_of(key)
            for key in await self._table.query(items.OPEN, condition, values, most=limit)
        ]

    async def under_review(self, *, limit: int) -> Sequence[str]:
        values = {":open": _open_value(Standing.NEEDS_REVIEW)}
        keys = await self._table.query(items.OPEN, "#open = :open", values, most=limit)
        return [items.order_id_of(key) for key in keys]

    async def standing(self, standing: Standing, *, limit: int, cursor: str | None) -> Page:
        after = None if cursor is None else items.due_key_of(standing, cursor)
        values = {":open": _open_value(standing)}
        keys = await self._table.query(items.OPEN, "#open = :open", values, most=limit + 1, after=after)
        page = keys[:limit]
        records = await self._records(page)
        # The index lags: an order may have gone on since.
        still = tuple(record for record in records if standing_of(record) is standing)
        return Page(still, items.cursor_of_due(page[-1]) if len(keys) > limit else None)

    async def orders_since(self, since_ms: int) -> Sequence[OrderRecord]:
        # A query a day, up to tomorrow's: another machine's clock may be ahead.
        found: list[OrderRecord] = []
        created = items.text(items.created_value(since_ms))
        for day_ms in range(since_ms - since_ms % _DAY_MS, self._clock.now_ms() + _DAY_MS, _DAY_MS):
            values = {":day": items.text(utc_day(day_ms)), ":created": created}
            condition = "#day = :day AND #created >= :created"
            found += await self._records(await self._table.query(items.BY_DAY, condition, values, most=None))
        return found

    async def _records(self, keys: Sequence[items.Item]) -> list[OrderRecord]:
        """Read orders as they stand, in the order of their keys."""
        order_ids = [items.order_id_of(key) for key in keys]
        found = await self._table.get_all([items.order_key(order_id) for order_id in order_ids])
        records = {items.order_id_of(item): items.record_of(item) for item in found}
        return [records[order_id] for order_id in order_ids if order_id in records]


def _open_value(standing: Standing) -> dict[str, str]:
    return items.text(items.OPEN_VALUES[standing])


def _refusal(by_place: Mapping[int, CeilingPassed], refused: Refused) -> CeilingPassed | NotAdmitted:
    """What a write was refused for that its own order does not stand against."""
    for item in refused.places.values():
        if "mode" in item:
            return NotAdmitted(items.switch_of(item).mode)
    for place in refused.places:
        if place in by_place:
            return by_place[place]
    raise LedgerError("refused, and every condition holds")
