"""What the services found out, told to the metrics: ended orders, those under review, the day's notional."""

from __future__ import annotations

from sor_core.execution.dues import Counter, utc_day
from sor_core.execution.limits import of_quote
from sor_core.execution.outcome import outcome
from sor_core.execution.record import OrderRecord
from sor_core.metrics import (
    BEST_EXECUTION_SAVINGS_BPS,
    DAILY_NOTIONAL_PEAK_RATIO,
    DAILY_NOTIONAL_USED_RATIO,
    EXECUTION_SLIPPAGE_BPS,
    ORDERS,
    ORDERS_NEEDING_REVIEW,
    QUOTES,
    Metrics,
)
from sor_core.observability import Log
from sor_core.ports_trading import LedgerError, OrderLedger
from sor_core.settings import Settings

REVIEWS_MOST = 200
"""Counting further would tell nobody more."""


def measure_end(metrics: Metrics, record: OrderRecord) -> None:
    """Count an order that has just ended; what is still open is left alone."""
    if not record.status.is_final:
        return
    metrics.count(ORDERS, record.status)
    done = outcome(record)
    if done.slippage_bps is not None:
        metrics.observe(EXECUTION_SLIPPAGE_BPS, float(done.slippage_bps))
    if done.savings_bps is not None:
        metrics.observe(BEST_EXECUTION_SAVINGS_BPS, float(done.savings_bps))


async def measure_reviews(metrics: Metrics, ledger: OrderLedger, log: Log) -> None:
    """Tell how many orders wait for a person; without a ledger nothing is told."""
    try:
        waiting = await ledger.under_review(limit=REVIEWS_MOST)
    except LedgerError as error:
        log.warning("ledger unavailable", operation="metrics", error=str(error))
        return
    metrics.set(ORDERS_NEEDING_REVIEW, len(waiting))


async def measure_day(
    metrics: Metrics, ledger: OrderLedger, settings: Settings, now_ms: int, log: Log
) -> None:
    """Tell how much of the day's notional is claimed; without a ledger nothing is told."""
    day = utc_day(now_ms)
    quotes = sorted({*QUOTES, *(s.quote for s in settings.symbols)})
    try:
        tallies = await ledger.tallies([Counter("day", day, quote) for quote in quotes])
    except LedgerError as error:
        log.warning("ledger unavailable", operation="metrics", error=str(error))
        return
    used = {
        c.asset: t.amount / of_quote(settings.limits.daily_notionals, c.asset) for c, t in tallies.items()
    }
    for quote, ratio in used.items():
        metrics.set(DAILY_NOTIONAL_USED_RATIO, float(ratio), quote)
    metrics.set(DAILY_NOTIONAL_PEAK_RATIO, float(max(used.values())))
