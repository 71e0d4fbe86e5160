"""Every metric there is, as data. Pure.

A label has a closed set of values, so that the number of series is known beforehand: CloudWatch
bills each as a metric of its own, and the counters' table keeps them in one item a function. A
value outside its set is recorded as ``other``. Ids of orders are never labels; they stand in the logs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sor_core.domain.decision import NoRouteReason, Reason
from sor_core.domain.order_status import OrderStatus

OTHER = "other"
Series = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels, in their order."""


class Kind(StrEnum):
    """Prometheus' types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Unit(StrEnum):
    """CloudWatch's units (its API's StandardUnit)."""

    COUNT = "Count"
    SECONDS = "Seconds"
    MILLISECONDS = "Milliseconds"
    BYTES = "Bytes"
    NONE = "None"


class Outcome(StrEnum):
    """What an invocation came to."""

    OK = "ok"
    REFUSED = "refused"
    """Answered with a status from 400 to 499."""
    FAILED = "failed"
    """Answered with 500 or more, or not at all."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and all its values but `OTHER`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    help: str
    key: str = ""
    """What its series are stored under; short, as an item's size is billed. Empty: it is not stored
    but found from the venues' health or from counters when it is asked for."""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, rising; one without a bound comes after them."""
    unit: Unit = Unit.NONE
    in_cloudwatch: bool = True
    """False for what CloudWatch has by itself, or has no use for."""


_BPS = (-100.0, -50.0, -20.0, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_DECISION_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_VENUE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)

EXCHANGES = ("binance", "coinbase", "kraken")
FUNCTIONS = ("route", "execute", "task", "probe")
QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "BTC", "ETH")
ACCEPTED = "accepted"
FINAL_STATUSES = tuple(s.value for s in OrderStatus if s.is_final)
HIT, MISS = "hit", "miss"

_EXCHANGE = Label("exchange", EXCHANGES)
_FUNCTION = Label("function", FUNCTIONS)

# Routing --------------------------------------------------------------------------------------------

ROUTING_DECISIONS = Metric(
    "routing_decisions_total",
    Kind.COUNTER,
    "Decisions, from a cache or not, by the exchange of the largest part and why it was chosen.",
    "rd",
    (_EXCHANGE, Label("reason", tuple(r.value for r in Reason))),
    unit=Unit.COUNT,
)
ROUTING_NO_ROUTE = Metric(
    "routing_no_route_total",
    Kind.COUNTER,
    "Orders for which no route was found, and why.",
    "rn",
    (Label("reason", tuple(r.value for r in NoRouteReason)),),
    unit=Unit.COUNT,
)
ROUTING_DECISION_SECONDS = Metric(
    "routing_decision_seconds",
    Kind.HISTOGRAM,
    "Time from an order to its decision, caches and venues included.",
    "rs",
    buckets=_DECISION_S,
    unit=Unit.SECONDS,
)
ROUTING_CACHE_LOOKUPS = Metric(
    "routing_cache_lookups_total",
    Kind.COUNTER,
    "Decisions looked for in the caches; not those asked for with no-cache.",
    "rc",
    (Label("result", (HIT, MISS)),),
    unit=Unit.COUNT,
)
ROUTING_CACHE_HIT_RATE = Metric(
    "routing_cache_hit_rate",
    Kind.GAUGE,
    "Share of the decisions looked for in the caches that were found, 0 to 1, since counting began.",
)

# Execution ------------------------------------------------------------------------------------------

EXECUTION_LATENCY_SECONDS = Metric(
    "execution_latency_seconds",
    Kind.HISTOGRAM,
    "Time from sending an order to an exchange to its answer, or to giving up on one.",
    "el",
    (_EXCHANGE,),
    _VENUE_S,
    Unit.SECONDS,
)
EXECUTION_SLIPPAGE_BPS = Metric(
    "execution_slippage_bps",
    Kind.HISTOGRAM,
    "Slippage of ended orders against the arrival mid, before fees, in basis points.",
    "es",
    buckets=_BPS,
)
BEST_EXECUTION_SAVINGS_BPS = Metric(
    "best_execution_savings_bps",
    Kind.HISTOGRAM,
    "What ended orders saved against the best single exchange on the same books, in basis points.",
    "bs",
    buckets=_BPS,
)
FAILOVER_EVENTS = Metric(
    "failover_events_total",
    Kind.COUNTER,
    "Parts of orders that were placed at another exchange because the first had failed them.",
    "fo",
    (Label("from_exchange", EXCHANGES), Label("to_exchange", EXCHANGES)),
    unit=Unit.COUNT,
)
ORDERS = Metric(
    "orders_total",
    Kind.COUNTER,
    "Orders accepted, and orders by the state in which they ended.",
    "or",
    (Label("status", (ACCEPTED, *FINAL_STATUSES)),),
    unit=Unit.COUNT,
)
ORDERS_REVIEWED = Metric(
    "orders_reviewed_total",
    Kind.COUNTER,
    "Orders under review that an operator settled.",
    "ov",
    unit=Unit.COUNT,
)
ORDERS_NEEDING_REVIEW = Metric(
    "orders_needing_review",
    Kind.GAUGE,
    "Orders that waited for a person at the last sweep; 200 stands for all from there on.",
    "nr",
    unit=Unit.COUNT,
)
UNKNOWN_OUTCOMES = Metric(
    "unknown_outcomes_total",
    Kind.COUNTER,
    "Sends of which it was not known at first what came of them.",
    "un",
    (_EXCHANGE,),
    unit=Unit.COUNT,
)
VISIBILITY_LAG_SECONDS = Metric(
    "visibility_lag_seconds",
    Kind.HISTOGRAM,
    "Time from an exchange's answer to an order until it shows the order when asked.",
    "vl",
    (_EXCHANGE,),
    (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    Unit.SECONDS,
)
ORDERS_DUE = Metric(
    "orders_due",
    Kind.GAUGE,
    "Orders that nobody followed at the last sweep: the queue of open orders.",
    "od",
    unit=Unit.COUNT,
)
DAILY_NOTIONAL_USED_RATIO = Metric(
    "daily_notional_used_ratio",
    Kind.GAUGE,
    "Share of SOR_MAX_DAILY_NOTIONAL that the UTC day's orders have claimed, by quote asset.",
    "dn",
    (Label("quote", QUOTES),),
)
DAILY_NOTIONAL_PEAK_RATIO = Metric(
    "daily_notional_peak_ratio",
    Kind.GAUGE,
    "The largest of daily_notional_used_ratio.",
    "dp",
)
RECONCILIATION_FINDINGS = Metric(
    "reconciliation_findings",
    Kind.GAUGE,
    "In how much ledger and exchanges differed at the last daily reconciliation.",
    "rf",
    unit=Unit.COUNT,
)
RECONCILIATION_NOT_READ = Metric(
    "reconciliation_not_read",
    Kind.GAUGE,
    "How many markets and balances the last daily reconciliation could not read, so did not compare.",
    "ru",
    unit=Unit.COUNT,
)

# Exchanges ------------------------------------------------------------------------------------------

EXCHANGE_HEALTH_SCORE = Metric(
    "exchange_health_score", Kind.GAUGE, "Health score of an exchange, 0 to 1.", labels=(_EXCHANGE,)
)
EXCHANGE_LATENCY_MS = Metric(
    "exchange_latency_ms",
    Kind.GAUGE,
    "Mean round trip of recent calls to an exchange, in milliseconds.",
    labels=(_EXCHANGE,),
    unit=Unit.MILLISECONDS,
)
EXCHANGE_SUCCESS_RATE = Metric(
    "exchange_success_rate",
    Kind.GAUGE,
    "Share of recent calls to an exchange that it answered usably, 0 to 1.",
    labels=(_EXCHANGE,),
)
EXCHANGE_HEALTHY = Metric(
    "exchange_healthy",
    Kind.GAUGE,
    "Whether an exchange is routed to: 1, or 0.",
    labels=(_EXCHANGE,),
    in_cloudwatch=False,
)
EXCHANGE_MEASURED = Metric(
    "exchange_measured_timestamp_seconds",
    Kind.GAUGE,
    "When an exchange was last measured, in Unix seconds.",
    labels=(_EXCHANGE,),
    in_cloudwatch=False,
)
EXCHANGES_HEALTHY = Metric(
    "exchanges_healthy", Kind.GAUGE, "How many exchanges are routed to.", unit=Unit.COUNT
)
RATE_LIMIT_BUDGET_USED_RATIO = Metric(
    "rate_limit_budget_used_ratio",
    Kind.GAUGE,
    "Share of an exchange's tightest request limit that is used up, as the process that traded last knows.",
    "bu",
    (_EXCHANGE,),
)

# The system -----------------------------------------------------------------------------------------

REQUESTS = Metric(
    "requests_total",
    Kind.COUNTER,
    "Invocations by function and what they came to.",
    "rt",
    (_FUNCTION, Label("outcome", tuple(o.value for o in Outcome))),
    unit=Unit.COUNT,
    in_cloudwatch=False,
)
REQUEST_SECONDS = Metric(
    "request_seconds",
    Kind.HISTOGRAM,
    "Time of invocations by function; the rate of its sum is how many are in flight at once.",
    "rq",
    (_FUNCTION,),
    _REQUEST_S,
    Unit.SECONDS,
    in_cloudwatch=False,
)
PROCESS_CPU_SECONDS = Metric(
    "process_cpu_seconds_total",
    Kind.COUNTER,
    "Processor time of invocations, user and system, by function.",
    "cp",
    (_FUNCTION,),
    unit=Unit.SECONDS,
)
PROCESS_MEMORY_BYTES = Metric(
    "process_memory_bytes",
    Kind.GAUGE,
    "The most memory that the process of the last invocation has held, by function.",
    "mm",
    (_FUNCTION,),
    unit=Unit.BYTES,
)

METRICS: Mapping[str, Metric] = {m.name: m for m in list(globals().values()) if isinstance(m, Metric)}
"""All of them by name, in the order of the page."""


class Metrics(Protocol):
    """Where the core tells what it measures. Nothing here raises, waits or fails a request."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        ...

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add one value to a histogram."""
        ...

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        ...


class NoMetrics:
    """`Metrics` that nobody reads."""

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Forget it."""

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Forget it."""

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Forget it."""


def series_of(metric: Metric, labels: Sequence[str]) -> Series:
    """Name a series, what is not of a label's closed set as `OTHER`."""
    pairs = zip(metric.labels, labels, strict=False)
    return metric.name, tuple(str(v) if v in label.values else OTHER for label, v in pairs)


def bucket_of(metric: Metric, value: float) -> int:
    """Which bucket of a histogram a value belongs to: the first whose bound it does not pass."""
    return bisect_left(metric.buckets, value)
