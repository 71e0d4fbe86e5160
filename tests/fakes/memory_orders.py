"""`ports_trading.OrderLedger` in memory; held to the same suite as DynamoDB (tests/contract)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from sor_core.domain.money import exact
from sor_core.execution.dues import Ceiling, Counter, Tally, changes
from sor_core.execution.protocol import TradingMode
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

_ZERO = Tally(Decimal(0), Decimal(0))


class MemoryOrderLedger:
    """Keeps everything in dictionaries; `broken` makes every call fail as an unreachable table.

    Nothing waits, so every call is atomic among tasks of one event loop.
    """

    def __init__(self) -> None:
        self.records: dict[str, OrderRecord] = {}
        self.keys: dict[tuple[str, str], KeyTaken] = {}
        self.receipts: dict[str, bytes] = {}
        self.reports: dict[str, bytes] = {}
        self.counters: dict[Counter, Tally] = {}
        self.current = Switch(TradingMode.RUNNING, "", "", 0)
        self.writes = 0
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            raise LedgerError("unreachable")

    async def accept(
        self,
        record: OrderRecord,
        keys: Sequence[IdempotencyKey],
        ceilings: Mapping[Counter, Ceiling],
        receipt: bytes | None,
    ) -> AcceptOutcome:
        self._check()
        for key in keys:
            if (taken := self.keys.get((key.caller, key.key))) is not None:
                return taken
        if record.order_id in self.records:
            raise LedgerError("another order has the same id")
        if (refused := self._refusal(None, record, ceilings)) is not None:
            return refused
        for key in keys:
            self.keys[key.caller, key.key] = KeyTaken(record.order_id, key.body_hash)
        if receipt is not None:
            self.receipts[record.order_id] = receipt
        return self._write(None, record)

    async def save(
        self,
        before: OrderRecord,
        after: OrderRecord,
        ceilings: Mapping[Counter, Ceiling] | None = None,
    ) -> SaveOutcome:
        self._check()
        stored = self.records.get(before.order_id)
        if stored is None or (stored.version, stored.write_id) != (before.version, before.write_id):
            return Conflict()
        return self._refusal(before, after, ceilings or {}) or self._write(before, after)

    def _refusal(
        self, before: OrderRecord | None, after: OrderRecord, ceilings: Mapping[Counter, Ceiling]
    ) -> CeilingPassed | NotAdmitted | None:
        adds_attempts = len(after.attempts) > (0 if before is None else len(before.attempts))
        growing = {c: change for c, change in changes(before, after).items() if change > 0}
        if adds_attempts and not growing.keys() <= ceilings.keys():
            raise LedgerError("attempts without a ceiling")
        if adds_attempts and not self.current.mode.admits(after.side):
            return NotAdmitted(self.current.mode)
        for counter, change in growing.items():
            ceiling, tally = ceilings.get(counter), self.counters.get(counter, _ZERO)
            if ceiling is None:
                continue
            with exact():
                unseen = Decimal(0) if ceiling.given_back is None else tally.given_back - ceiling.given_back
                passed = tally.amount + unseen + change > ceiling.most
            if passed:
                return CeilingPassed(counter, ceiling)
        return None

    def _write(self, before: OrderRecord | None, after: OrderRecord) -> Saved:
        for counter, change in changes(before, after).items():
            tally = self.counters.get(counter, _ZERO)
            with exact():
                back = max(Decimal(0), -change)
                self.counters[counter] = Tally(tally.amount + change, tally.given_back + back)
        self.writes += 1
        version = 1 if before is None else before.version + 1
        written = replace(after, version=version, write_id=f"write-{self.writes}")
        self.records[after.order_id] = written
        return Saved(written)

    async def find(self, caller: str, key: str) -> KeyTaken | None:
        self._check()
        return self.keys.get((caller, key))

    async def load(self, order_id: str) -> OrderRecord | None:
        self._check()
        return self.records.get(order_id)

    async def tallies(self, counters: Sequence[Counter]) -> Mapping[Counter, Tally]:
        self._check()
        return {counter: self.counters.get(counter, _ZERO) for counter in counters}

    async def keep_report(self, day: str, body: bytes) -> None:
        self._check()
        self.reports[day] = body

    async def report(self, day: str) -> bytes | None:
        self._check()
        return self.reports.get(day)

    async def receipt(self, order_id: str) -> bytes | None:
        self._check()
        return self.receipts.get(order_id)

    async def orders(self, caller: str, *, limit: int, cursor: str | None) -> Page:
        self._check()
        mine = sorted((r for r in self.records.values() if r.caller == caller), key=_age, reverse=True)
        if cursor is not None:
            at = _place(cursor)
            mine = [record for record in mine if _age(record) < at]
        page = tuple(mine[:limit])
        more = len(mine) > limit
        return Page(page, f"{page[-1].created_at_ms}-{page[-1].order_id}" if more else None)

    async def due(self, now_ms: int, *, limit: int) -> Sequence[str]:
        self._check()
        due = [r for r in self._standing(Standing.OPEN) if r.due_at_ms <= now_ms]
        return [record.order_id for record in due[:limit]]

    async def under_review(self, *, limit: int) -> Sequence[str]:
        self._check()
        return [record.order_id for record in self._standing(Standing.NEEDS_REVIEW)[:limit]]

    async def standing(self, standing: Standing, *, limit: int, cursor: str | None) -> Page:
        self._check()
        found = self._standing(standing)
        if cursor is not None:
            at = _place(cursor)
            found = [record for record in found if _due(record) > at]
        page = tuple(found[:limit])
        last = _due(page[-1]) if len(found) > limit else None
        return Page(page, None if last is None else f"{last[0]}-{last[1]}")

    def _standing(self, standing: Standing) -> list[OrderRecord]:
        return sorted((r for r in self.records.values() if standing_of(r) is standing), key=_due)

    async def orders_since(self, since_ms: int) -> Sequence[OrderRecord]:
        self._check()
        return sorted((r for r in self.records.values() if r.created_at_ms >= since_ms), key=_age)

    async def switch(self) -> Switch:
        self._check()
        return self.current

    async def set_switch(self, switch: Switch) -> None:
        self._check()
        self.current = switch


def _age(record: OrderRecord) -> tuple[int, str]:
    return record.created_at_ms, record.order_id


def _due(record: OrderRecord) -> tuple[int, str]:
    """Since when an order needs review, or else when somebody should look after it."""
    ending = record.ending
    needs_review = ending is not None and standing_of(record) is Standing.NEEDS_REVIEW
    return ending.at_ms if ending is not None and needs_review else record.due_at_ms, record.order_id


def _place(cursor: str) -> tuple[int, str]:
    match = re.fullmatch(r"([0-9]{1,15})-([!-~]+)", cursor, re.ASCII)
    if match is None:
        raise ValueError("not a cursor of this list")
    return int(match[1]), match[2]
