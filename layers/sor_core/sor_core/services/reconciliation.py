"""Every day: what the ledger says was traded, held against what the venues say.

An order or a fill of ours that the ledger does not know, or knows otherwise, is the one thing that
must not be: it raises the alarm. What others trade with the same account is told apart by its client
order id, which is not one of ours, and only counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from sor_core.domain.account import Balance
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact, plain
from sor_core.domain.order import Side
from sor_core.domain.trading import Fill, VenueOrder
from sor_core.execution.dues import utc_day
from sor_core.execution.record import Attempt, AttemptState, OrderRecord, is_ours
from sor_core.metrics import RECONCILIATION_FINDINGS, RECONCILIATION_NOT_READ
from sor_core.ports_trading import History, LedgerError, OrderLedger, VenueTrading
from sor_core.services.context import Context
from sor_core.services.patience import PatientUntil

DAY_MS = 86_400_000
MOST_DAYS = 31
"""How far back a comparison may be asked for: venues' lists get long."""
MOST_MS = 840_000
"""How long the venues may be asked: the function ends at 900 s."""
_FAR_MS = 10 * 365 * DAY_MS
_MOST = 5000
OLDEST_MS = 90 * DAY_MS
"""How far back an order is looked for of which there are fills today: one query a day, where there are."""
SETTLING_MS = 120_000
"""Attempts as young as this may still be on their way into the lists."""
CLOCKS_MS = 60_000
"""An order as young as this when it began, and all that came after, is left to the next one, which goes
back further than that: the ledger was read before the venue, and venues have clocks of their own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree."""

    venue: str
    symbol: str
    what: str
    """``unknown_order``, ``unknown_fill``, ``filled_differs``, ``still_open``, ``exists_after_all`` or
    ``missing_at_venue``."""
    detail: str


@dataclass(frozen=True, slots=True)
class NotRead:
    """What could not be compared, because it could not be read: nothing is known of it."""

    venue: str
    symbol: str
    """Empty for the venue's balances."""
    why: str


@dataclass(slots=True)
class Report:
    """What a day's reconciliation found."""

    since_ms: int
    until_ms: int
    compared_since_ms: int = 0
    """When the balances were read that these are compared with."""
    orders: int = 0
    attempts: int = 0
    foreign_orders: int = 0
    """Orders at the venues that others placed with the same account."""
    findings: list[Finding] = field(default_factory=list)
    not_read: list[NotRead] = field(default_factory=list)
    """Where it was not compared. The next reconciliation goes back as far as this one, for their sake."""
    traded: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """By venue and asset: how our fills changed the balance, fees included."""
    balances: dict[str, Mapping[str, Balance]] = field(default_factory=dict)
    moved: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """By venue and asset: how all fills since the report before changed the balance, others' included."""
    unexplained: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """By venue and asset: what changed since the report before and is no fill of the markets looked at:
    deposits, withdrawals, trades in other markets."""

    @property
    def agrees(self) -> bool:
        """Whether ledger and venues say the same, in all that was to be compared."""
        return not self.findings and not self.not_read


class ReconciliationService:
    """Compares ledger and venues."""

    def __init__(self, venues: Mapping[str, VenueTrading], ledger: OrderLedger, context: Context) -> None:
        self._venues = venues
        self._ledger = ledger
        self._clock = context.clock
        self._sleep = context.sleep
        self._settings = context.settings
        self._log = context.log
        self._metrics = context.metrics

    async def reconcile(self, *, days: int = 1, symbols: Sequence[Symbol] = ()) -> Report:
        """Compare the last `days`, and the orders still open before; raises `LedgerError`.

        Looked at are the markets configured, those of the orders known, and `symbols`. It goes back to the
        last report at least, so that whatever filled since explains how the balances have changed; where that
        one could not read everything, as far as it did. What is found is told whatever becomes of the report.
        """
        until_ms = self._clock.now_ms()
        before = await self._report_before(until_ms)
        since_ms = until_ms - min(days, MOST_DAYS) * DAY_MS
        report = Report(min(since_ms, _compared_until(before, since_ms)) - SETTLING_MS, until_ms)
        records = await self._records(report.since_ms)
        known = _Known(self._ledger, records, report.since_ms)
        markets = sorted({*self._settings.symbols, *symbols, *(r.terms.order.symbol for r in records)})
        report.orders = sum(r.created_at_ms >= report.since_ms for r in records)
        report.compared_since_ms = before.get("until_ms", until_ms)
        patience = PatientUntil(self._clock, self._sleep, until_ms + MOST_MS)
        await asyncio.gather(*(self._venue(v, markets, known, report, patience) for v in self._venues))
        report.unexplained = _unexplained(report, before.get("balances", {}))
        self._tell(report)
        body = msgspec.json.encode(document_of(report), order="deterministic")
        await self._ledger.keep_report(utc_day(until_ms), body)
        return report

    def _tell(self, report: Report) -> None:
        self._metrics.set(RECONCILIATION_FINDINGS, len(report.findings))
        self._metrics.set(RECONCILIATION_NOT_READ, len(report.not_read))
        tell = self._log.info if report.agrees else self._log.warning
        tell(
            "reconciliation",
            orders=report.orders,
            attempts=report.attempts,
            foreign_orders=report.foreign_orders,
            findings=len(report.findings),
            not_read=len(report.not_read),
        )
        for finding in report.findings:
            self._log.warning("ledger and venue differ", **asdict(finding))
        for missing in report.not_read:
            self._log.warning("not read for reconciliation", **asdict(missing))

    async def _report_before(self, now_ms: int) -> dict[str, Any]:
        """The newest report of this UTC day or the one before."""
        for day_ms in (now_ms, now_ms - DAY_MS):
            body = await self._ledger.report(utc_day(day_ms))
            if body is not None:
                found: dict[str, Any] = msgspec.json.decode(body)
                return found
        return {}

    async def _records(self, since_ms: int) -> list[OrderRecord]:
        """The orders of the time, those shortly before it, and whatever is still open or under review."""
        recent = await self._ledger.orders_since(since_ms - DAY_MS)
        known = {record.order_id: record for record in recent}
        due = await self._ledger.due(self._clock.now_ms() + _FAR_MS, limit=_MOST)
        for order_id in (*due, *await self._ledger.under_review(limit=_MOST)):
            if order_id not in known and (record := await self._ledger.load(order_id)) is not None:
                known[order_id] = record
        return list(known.values())

    async def _venue(
        self,
        venue: str,
        symbols: Sequence[Symbol],
        known: _Known,
        report: Report,
        patience: PatientUntil,
    ) -> None:
        """Read a venue, one question after another: it may count them."""
        trading = self._venues[venue]
        try:
            report.balances[venue] = await patience.ask(lambda left_s: trading.balances(timeout_s=left_s))
        except VenueError as error:
            report.not_read.append(NotRead(venue, "", f"balances: {error.failure} {error.detail}".strip()))
        histories = await trading.histories(symbols, report.since_ms, patience)
        for symbol, history in histories.items():
            if isinstance(history, History):
                await self._market(venue, symbol, history, known, report, patience)
            elif history.failure is not VenueFailure.UNKNOWN_SYMBOL:
                why = f"lists: {history.failure} {history.detail}".strip()
                report.not_read.append(NotRead(venue, str(symbol), why))

    async def _market(
        self,
        venue: str,
        symbol: Symbol,
        history: History,
        known: _Known,
        report: Report,
        patience: PatientUntil,
    ) -> None:
        orders = history.orders
        fills = [fill for fill in history.fills if (fill.at_ms or 0) <= report.until_ms]
        attempts = _attempts(venue, symbol, known.records)
        if _strange(fills, attempts, orders):  # of an order that rested long, perhaps, and has ended since
            try:
                attempts = _attempts(venue, symbol, await known.long_since())
            except LedgerError as error:  # what the other markets show is told all the same
                report.not_read.append(NotRead(venue, str(symbol), f"ledger: {error}"))
                return
        if older := _strange(fills, attempts, orders):  # of others with the same account, as like as not
            try:
                orders = [*orders, *await self._older(venue, symbol, sorted(older), patience)]
            except VenueError as error:
                why = f"older orders: {error.failure} {error.detail}".strip()
                report.not_read.append(NotRead(venue, str(symbol), why))
                return
        report.attempts += sum(a.intended_at_ms >= report.since_ms for a in attempts)
        report.findings += compare(venue, symbol, attempts, orders, fills, report)

    async def _older(
        self, venue: str, symbol: Symbol, order_ids: Sequence[str], patience: PatientUntil
    ) -> list[VenueOrder]:
        """Ask for orders that are older than the list, as far as the venue shows them."""
        trading = self._venues[venue]
        found = [await patience.ask(partial(_asked, trading, symbol, each)) for each in order_ids]
        return [order for order in found if order is not None]


async def _asked(trading: VenueTrading, symbol: Symbol, order_id: str, left_s: float) -> VenueOrder | None:
    return await trading.order(symbol, order_id, timeout_s=left_s)


class _Known:
    """The orders that the ledger knows of the time, and those of long before, read if they are needed."""

    def __init__(self, ledger: OrderLedger, records: Sequence[OrderRecord], since_ms: int) -> None:
        self.records = records
        self._ledger = ledger
        self._since_ms = since_ms
        self._long: Sequence[OrderRecord] | None = None
        self._reading = asyncio.Lock()

    async def long_since(self) -> Sequence[OrderRecord]:
        """Give all of `OLDEST_MS`, read once; raises `LedgerError`."""
        async with self._reading:
            if self._long is None:
                older = await self._ledger.orders_since(self._since_ms - OLDEST_MS)
                self._long = list({r.order_id: r for r in (*older, *self.records)}.values())
        return self._long


def _compared_until(before: Mapping[str, Any], otherwise_ms: int) -> int:
    """From when on nothing was compared: since the report before, or since it began where it has gaps.

    One that went back further for an earlier one's gaps, and has some again, is not gone back for: where
    time is too short for a day, it is shorter still for two.
    """
    if not before:
        return otherwise_ms
    since_ms, until_ms = int(before["since_ms"]), int(before["until_ms"])
    return since_ms if before.get("not_read") and until_ms - since_ms < 1.5 * DAY_MS else until_ms


def _attempts(venue: str, symbol: Symbol, records: Sequence[OrderRecord]) -> list[Attempt]:
    return [a for r in records if r.terms.order.symbol == symbol for a in r.attempts if a.venue == venue]


def _strange(fills: Sequence[Fill], attempts: Sequence[Attempt], orders: Sequence[VenueOrder]) -> set[str]:
    """The orders of fills that neither the ledger's time nor the venue's list has."""
    known = {a.order.venue_order_id for a in attempts if a.order is not None}
    known |= {o.venue_order_id for o in orders}
    return {fill.venue_order_id for fill in fills} - known


def compare(
    venue: str,
    symbol: Symbol,
    attempts: Sequence[Attempt],
    orders: Sequence[VenueOrder],
    fills: Sequence[Fill],
    report: Report,
) -> list[Finding]:
    """Hold one market's attempts against the venue's lists of a time."""
    listed = {o.client_order_id: o for o in orders if o.client_order_id is not None}
    known = {a.request.placement.client_order_id for a in attempts}
    found = [each for a in attempts if (each := _of_attempt(a, listed, report)) is not None]
    for order in orders:
        if order.client_order_id in known or (order.created_at_ms or 0) > report.until_ms - CLOCKS_MS:
            continue
        if order.client_order_id is None or not is_ours(order.client_order_id):
            report.foreign_orders += 1
            continue
        detail = f"{order.venue_order_id} {order.client_order_id}: {order.filled_size} filled"
        found.append(Finding(venue, str(symbol), "unknown_order", detail))
    return found + _of_fills(venue, symbol, attempts, orders, fills, report)


def _of_attempt(attempt: Attempt, listed: Mapping[str, VenueOrder], report: Report) -> Finding | None:
    placement = attempt.request.placement
    order = listed.get(placement.client_order_id)
    if order is None:
        within = report.since_ms <= attempt.intended_at_ms <= report.until_ms - SETTLING_MS
        if not attempt.filled or not within:
            return None
        detail = f"{placement.client_order_id}: {attempt.filled} filled by the ledger"
        return Finding(attempt.venue, str(placement.symbol), "missing_at_venue", detail)
    if not attempt.is_settled:
        return None
    if attempt.state is AttemptState.NEVER or not order.state.is_final:
        what = "exists_after_all" if attempt.state is AttemptState.NEVER else "still_open"
        detail = f"{order.venue_order_id}: {order.state}, {order.filled_size} filled"
        return Finding(attempt.venue, str(placement.symbol), what, detail)
    if order.filled_size == attempt.filled:
        return None
    detail = f"{order.venue_order_id}: {order.filled_size} at the venue, {attempt.filled} in the ledger"
    return Finding(attempt.venue, str(placement.symbol), "filled_differs", detail)


def _of_fills(
    venue: str,
    symbol: Symbol,
    attempts: Sequence[Attempt],
    orders: Sequence[VenueOrder],
    fills: Sequence[Fill],
    report: Report,
) -> list[Finding]:
    """Add up the fills of our orders; one whose order neither the ledger nor the list has is a finding."""
    sides = {a.order.venue_order_id: a.request.placement.side for a in attempts if a.order is not None}
    listed = {o.venue_order_id for o in orders}
    any_side = {o.venue_order_id: o.side for o in orders} | sides
    found = []
    for fill in fills:
        side = sides.get(fill.venue_order_id)
        known_side = any_side.get(fill.venue_order_id)
        if known_side is not None and (fill.at_ms or report.until_ms) > report.compared_since_ms:
            _add(report.moved.setdefault(venue, {}), symbol, known_side, fill)
        if side is not None:
            _add(report.traded.setdefault(venue, {}), symbol, side, fill)
        elif fill.venue_order_id not in listed:
            detail = f"fill {fill.fill_id} of {fill.venue_order_id}, {fill.size} at {fill.price}"
            found.append(Finding(venue, str(symbol), "unknown_fill", detail))
    return found


def _add(traded: dict[str, Decimal], symbol: Symbol, side: Side, fill: Fill) -> None:
    with exact():
        for asset, change in (
            (symbol.base, side.sign * fill.size),
            (symbol.quote, -side.sign * fill.size * fill.price),
            (fill.fee_asset, -fill.fee),
        ):
            traded[asset] = traded.get(asset, Decimal(0)) + change


def _unexplained(report: Report, before: Mapping[str, Any]) -> dict[str, dict[str, Decimal]]:
    found: dict[str, dict[str, Decimal]] = {}
    with exact():
        for venue, balances in report.balances.items():
            old = before.get(venue)
            if old is None:
                continue
            moved = report.moved.get(venue, {})
            for asset in sorted({*balances, *old}):
                zero = Balance(Decimal(0), Decimal(0))
                now = balances.get(asset, zero)
                was = old.get(asset, {"free": "0", "held": "0"})
                change = now.free + now.held - Decimal(was["free"]) - Decimal(was["held"])
                change -= moved.get(asset, Decimal(0))
                if change:
                    found.setdefault(venue, {})[asset] = change
    return found


def document_of(report: Report) -> dict[str, Any]:
    """A report as a JSON document, amounts as strings."""
    return {
        "since_ms": report.since_ms,
        "until_ms": report.until_ms,
        "orders": report.orders,
        "attempts": report.attempts,
        "foreign_orders": report.foreign_orders,
        "agrees": report.agrees,
        "findings": [asdict(finding) for finding in report.findings],
        "not_read": [asdict(missing) for missing in report.not_read],
        "traded": _texts(report.traded),
        "unexplained_balance_changes": _texts(report.unexplained),
        "balances": {
            venue: {asset: {"free": plain(b.free), "held": plain(b.held)} for asset, b in each.items()}
            for venue, each in report.balances.items()
        },
    }


def _texts(amounts: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, str]]:
    return {venue: {asset: plain(n) for asset, n in each.items()} for venue, each in amounts.items()}
