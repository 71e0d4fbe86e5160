"""Every day: what the ledger says was traded, held against what the venues say.

An order or a fill of ours that the ledger does not know, or knows otherwise, is the one thing that
must not be: it raises the alarm. What others trade with the same account is told apart by its client
order id, which is not one of ours, and only counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from sor_core.domain.account import Balance
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import exact, plain
from sor_core.domain.order import Side
from sor_core.domain.trading import Fill, VenueOrder
from sor_core.execution.dues import utc_day
from sor_core.execution.record import Attempt, AttemptState, OrderRecord, is_ours
from sor_core.metrics import RECONCILIATION_FINDINGS
from sor_core.ports_trading import OrderLedger, VenueTrading
from sor_core.services.context import Context

DAY_MS = 86_400_000
LIST_TIMEOUT_S = 10.0
MOST_DAYS = 31
"""How far back a comparison may be asked for: venues' lists get long."""
MOST_MS = 40_000
"""No further question is begun after that long: the function ends at 60 s."""
_FAR_MS = 10 * 365 * DAY_MS
_MOST = 5000
OLDEST_MS = 90 * DAY_MS
"""How far back an order is looked for of which there are fills today: one query a day, where there are."""
_T = TypeVar("_T")
SETTLING_MS = 120_000
"""Attempts as young as this may still be on their way into the lists."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree."""

    venue: str
    symbol: str
    what: str
    """``unknown_order``, ``unknown_fill``, ``filled_differs``, ``still_open``, ``exists_after_all``,
    ``missing_at_venue`` or ``not_read``."""
    detail: str


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
        """Whether ledger and venues say the same."""
        return not self.findings


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
        last report at least, so that whatever filled since explains how the balances have changed.
        """
        until_ms = self._clock.now_ms()
        before = await self._report_before(until_ms)
        since_ms = until_ms - min(days * DAY_MS, MOST_DAYS * DAY_MS)
        report = Report(min(since_ms, before.get("until_ms", since_ms)) - SETTLING_MS, until_ms)
        records = await self._records(report.since_ms)
        markets = sorted({*self._settings.symbols, *symbols, *(r.terms.order.symbol for r in records)})
        report.orders = sum(r.created_at_ms >= report.since_ms for r in records)
        stop_ms = until_ms + MOST_MS
        report.compared_since_ms = before.get("until_ms", until_ms)
        await asyncio.gather(*(self._venue(v, markets, records, report, stop_ms) for v in self._venues))
        report.unexplained = _unexplained(report, before.get("balances", {}))
        body = msgspec.json.encode(document_of(report), order="deterministic")
        await self._ledger.keep_report(utc_day(until_ms), body)
        self._metrics.set(RECONCILIATION_FINDINGS, len(report.findings))
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

    async def _report_before(self, now_ms: int) -> dict[str, Any]:
        """The newest report of this UTC day or the one before."""
        for day_ms in (now_ms, now_ms - DAY_MS):
            body = await self._ledger.report(utc_day(day_ms))
            if body is not None:
                found: dict[str, Any] = msgspec.json.decode(body)
                return found
        return {}

    async def _records(self, since_ms: int) -> list[OrderRecord]:
        """The orders of the time, those shortly before it, and whatever is still open."""
        recent = await self._ledger.orders_since(since_ms - DAY_MS)
        known = {record.order_id: record for record in recent}
        for order_id in await self._ledger.due(self._clock.now_ms() + _FAR_MS, limit=_MOST):
            if order_id not in known and (record := await self._ledger.load(order_id)) is not None:
                known[order_id] = record
        return list(known.values())

    async def _venue(
        self,
        venue: str,
        symbols: Sequence[Symbol],
        records: Sequence[OrderRecord],
        report: Report,
        stop_ms: int,
    ) -> None:
        """Read a venue, one question after another: it may count them."""
        trading = self._venues[venue]
        try:
            report.balances[venue] = await self._patiently(
                lambda: trading.balances(timeout_s=LIST_TIMEOUT_S), stop_ms
            )
        except VenueError as error:
            report.findings.append(Finding(venue, "", "not_read", f"balances: {error.failure}"))
        for symbol in symbols:
            try:
                await self._market(trading, symbol, records, report, stop_ms)
            except VenueError as error:
                if error.failure is not VenueFailure.UNKNOWN_SYMBOL:
                    told = f"lists: {error.failure} {error.detail}".strip()
                    report.findings.append(Finding(venue, str(symbol), "not_read", told))

    async def _market(
        self,
        trading: VenueTrading,
        symbol: Symbol,
        records: Sequence[OrderRecord],
        report: Report,
        stop_ms: int,
    ) -> None:
        since_ms = report.since_ms
        orders = await self._patiently(
            lambda: trading.orders_since(symbol, since_ms, timeout_s=LIST_TIMEOUT_S), stop_ms
        )
        fills = await self._patiently(
            lambda: trading.fills_since(symbol, since_ms, timeout_s=LIST_TIMEOUT_S), stop_ms
        )
        attempts = _attempts(trading.venue, symbol, records)
        if _strange(fills, attempts, orders):  # of an order that rested long, perhaps, and has ended since
            older = await self._ledger.orders_since(since_ms - OLDEST_MS)
            known = {r.order_id: r for r in (*older, *records)}
            attempts = _attempts(trading.venue, symbol, list(known.values()))
        report.attempts += sum(a.intended_at_ms >= since_ms for a in attempts)
        report.findings += compare(trading.venue, symbol, attempts, orders, fills, report)

    async def _patiently(self, ask: Callable[[], Awaitable[_T]], stop_ms: int) -> _T:
        """Ask again where too much was asked for the moment; raises `VenueError` where time is up."""
        while True:
            if self._clock.now_ms() >= stop_ms:
                raise VenueError("", VenueFailure.TIMEOUT, "no time was left")
            try:
                return await ask()
            except VenueError as error:
                if error.failure is not VenueFailure.RATE_LIMITED:
                    raise
                await self._sleep(max(1.0, min(error.retry_after_s or 0.0, 10.0)))


def _attempts(venue: str, symbol: Symbol, records: Sequence[OrderRecord]) -> list[Attempt]:
    return [a for r in records if r.terms.order.symbol == symbol for a in r.attempts if a.venue == venue]


def _strange(fills: Sequence[Fill], attempts: Sequence[Attempt], orders: Sequence[VenueOrder]) -> bool:
    """Whether there are fills whose order neither the ledger's time nor the venue's list has."""
    known = {a.order.venue_order_id for a in attempts if a.order is not None}
    known |= {o.venue_order_id for o in orders}
    return any(fill.venue_order_id not in known for fill in fills)


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
        "traded": _texts(report.traded),
        "unexplained_balance_changes": _texts(report.unexplained),
        "balances": {
            venue: {asset: {"free": plain(b.free), "held": plain(b.held)} for asset, b in each.items()}
            for venue, each in report.balances.items()
        },
    }


def _texts(amounts: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, str]]:
    return {venue: {asset: plain(n) for asset, n in each.items()} for venue, each in amounts.items()}
