"""Every day: what the ledger says was traded, held against what the venues say.

An order or a fill of ours that the ledger does not know, or knows otherwise, is the one thing that
must not be: it raises the alarm. What others trade with the same account is told apart by its client
order id, which is not one of ours, and only counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sor_core.domain.account import Balance
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.trading import Fill, VenueOrder
from sor_core.execution.record import Attempt, OrderRecord, is_ours
from sor_core.ports import OrderLedger, VenueTrading
from sor_core.services.context import Context

DAY_MS = 86_400_000
RESTED_DAYS = 8
"""How long an order may have rested and its fills still be told as ours."""
LIST_TIMEOUT_S = 20.0
SETTLING_MS = 120_000
"""Attempts as young as this may still be on their way into the lists."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree."""

    venue: str
    symbol: str
    what: str
    """``unknown_order``, ``unknown_fill``, ``filled_differs``, ``missing_at_venue`` or ``not_read``."""
    detail: str


@dataclass(slots=True)
class Report:
    """What a day's reconciliation found."""

    since_ms: int
    until_ms: int
    orders: int = 0
    attempts: int = 0
    foreign_orders: int = 0
    """Orders at the venues that others placed with the same account."""
    findings: list[Finding] = field(default_factory=list)
    traded: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """By venue and asset: how our fills changed the balance, fees included."""
    balances: dict[str, Mapping[str, Balance]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether ledger and venues say the same."""
        return not self.findings


class ReconciliationService:
    """Compares ledger and venues."""

    def __init__(self, venues: Mapping[str, VenueTrading], ledger: OrderLedger, context: Context) -> None:
        self._venues = venues
        self._ledger = ledger
        self._clock = context.clock
        self._settings = context.settings
        self._log = context.log

    async def reconcile(self, *, days: int = 1) -> Report:
        """Compare the last `days`, and the orders still open before; raises `LedgerError`."""
        until_ms = self._clock.now_ms()
        report = Report(until_ms - days * DAY_MS - SETTLING_MS, until_ms)
        # More of the ledger: what was accepted days before and rested may have traded since.
        records = await self._ledger.orders_since(report.since_ms - RESTED_DAYS * DAY_MS)
        symbols = sorted({*self._settings.symbols, *(r.terms.order.symbol for r in records)})
        report.orders = len(records)
        for venue in self._venues:
            await self._balances(venue, report)
            for symbol in symbols:
                await self._market(venue, symbol, records, report)
        tell = self._log.info if report.agrees else self._log.warning
        tell(
            "reconciliation",
            orders=report.orders,
            attempts=report.attempts,
            foreign_orders=report.foreign_orders,
            findings=len(report.findings),
        )
        for finding in report.findings:
            self._log.warning(
                "ledger and venue differ",
                venue=finding.venue,
                symbol=finding.symbol,
                what=finding.what,
                detail=finding.detail,
            )
        return report

    async def _balances(self, venue: str, report: Report) -> None:
        try:
            report.balances[venue] = await self._venues[venue].balances(timeout_s=LIST_TIMEOUT_S)
        except VenueError as error:
            report.findings.append(Finding(venue, "", "not_read", f"balances: {error.failure}"))

    async def _market(
        self, venue: str, symbol: Symbol, records: Sequence[OrderRecord], report: Report
    ) -> None:
        attempts = [
            a for r in records if r.terms.order.symbol == symbol for a in r.attempts if a.venue == venue
        ]
        trading = self._venues[venue]
        try:
            orders, fills = await asyncio.gather(
                trading.orders_since(symbol, report.since_ms, timeout_s=LIST_TIMEOUT_S),
                trading.fills_since(symbol, report.since_ms, timeout_s=LIST_TIMEOUT_S),
            )
        except VenueError as error:
            if attempts:
                told = f"lists: {error.failure} {error.detail}".strip()
                report.findings.append(Finding(venue, str(symbol), "not_read", told))
            return
        report.attempts += sum(a.intended_at_ms >= report.since_ms for a in attempts)
        report.findings += compare(venue, symbol, attempts, orders, fills, report)


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
        if order.client_order_id in known:
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
    if not attempt.is_settled or order.filled_size == attempt.filled:
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
    found = []
    for fill in fills:
        side = sides.get(fill.venue_order_id)
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
