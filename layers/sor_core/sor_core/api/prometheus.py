"""The page of `GET /metrics`: Prometheus' text format 0.0.4 (Prometheus, "Exposition formats")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, product
from typing import TypeVar

from sor_core.health.measure import HealthRecord, believable
from sor_core.metrics import (
    EXCHANGE_HEALTH_SCORE,
    EXCHANGE_HEALTHY,
    EXCHANGE_LATENCY_MS,
    EXCHANGE_MEASURED,
    EXCHANGE_SUCCESS_RATE,
    EXCHANGES,
    EXCHANGES_HEALTHY,
    FAILOVER_EVENTS,
    HIT,
    METRICS,
    MISS,
    ROUTING_CACHE_HIT_RATE,
    ROUTING_CACHE_LOOKUPS,
    Kind,
    Label,
    Metric,
    Series,
)
from sor_core.services.metering import Distribution, Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_T = TypeVar("_T")


def page(
    totals: Totals, venues: Sequence[str], health: Mapping[str, HealthRecord], now_ms: int, interval_s: int
) -> str:
    """Write the page.

    Counters and histograms that were never used stand at zero, so that a rate is known from the
    first event on. A gauge that was never set is missing, and so is the health of a venue of which
    nothing has been heard for three probes.
    """
    levels = {**totals.levels, **_derived(totals), **_of_health(venues, health, now_ms, interval_s)}
    lines: list[str] = []
    for metric in METRICS.values():
        lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
        match metric.kind:
            case Kind.GAUGE:
                lines += (
                    _line(metric, "", s[1], v) for s, v in sorted(levels.items()) if s[0] == metric.name
                )
            case Kind.COUNTER:
                found = dict.fromkeys(_combinations(metric, venues), 0.0) | _of(metric, totals.counts)
                lines += (_line(metric, "", labels, found[labels]) for labels in sorted(found))
            case Kind.HISTOGRAM:
                none = Distribution((0.0,) * (len(metric.buckets) + 1), 0.0)
                spread = dict.fromkeys(_combinations(metric, venues), none)
                spread |= _of(metric, totals.distributions)
                for labels in sorted(spread):
                    lines += _histogram(metric, labels, spread[labels])
    return "\n".join(lines) + "\n"


def _of(metric: Metric, found: Mapping[Series, _T]) -> dict[tuple[str, ...], _T]:
    return {labels: value for (name, labels), value in found.items() if name == metric.name}


def _derived(totals: Totals) -> dict[Series, float]:
    """Gauges that follow from counters."""
    counts = totals.counts
    hits, misses = (counts.get((ROUTING_CACHE_LOOKUPS.name, (result,)), 0.0) for result in (HIT, MISS))
    return {(ROUTING_CACHE_HIT_RATE.name, ()): hits / (hits + misses)} if hits + misses else {}


def _of_health(
    venues: Sequence[str], health: Mapping[str, HealthRecord], now_ms: int, interval_s: int
) -> dict[Series, float]:
    found: dict[Series, float] = {}
    healthy = 0
    for venue in venues:
        record = health.get(venue)
        if record is None:
            continue
        found[EXCHANGE_MEASURED.name, (venue,)] = record.measured_at_ms / 1000
        metrics = believable(record, now_ms, interval_s)
        if metrics is None:
            continue
        healthy += metrics.is_healthy
        found[EXCHANGE_HEALTH_SCORE.name, (venue,)] = metrics.health_score
        found[EXCHANGE_LATENCY_MS.name, (venue,)] = metrics.latency_ms
        found[EXCHANGE_SUCCESS_RATE.name, (venue,)] = metrics.success_rate
        found[EXCHANGE_HEALTHY.name, (venue,)] = float(metrics.is_healthy)
    return {**found, (EXCHANGES_HEALTHY.name, ()): float(healthy)}


def _combinations(metric: Metric, venues: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every set of label values that there may be; from one exchange to itself is none."""
    for labels in product(*(_values(label, venues) for label in metric.labels)):
        if metric is not FAILOVER_EVENTS or labels[0] != labels[1]:
            yield labels


def _values(label: Label, venues: Sequence[str]) -> Sequence[str]:
    return [v for v in label.values if v in venues] if label.values == EXCHANGES else label.values


def _histogram(metric: Metric, labels: tuple[str, ...], spread: Distribution) -> Iterator[str]:
    bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
    for bound, count in zip(bounds, accumulate(spread.counts), strict=True):
        yield _line(metric, "_bucket", labels, count, bound)
    yield _line(metric, "_sum", labels, spread.total)
    yield _line(metric, "_count", labels, sum(spread.counts))


def _line(metric: Metric, suffix: str, labels: tuple[str, ...], value: float, bound: str = "") -> str:
    pairs = [f'{label.name}="{v}"' for label, v in zip(metric.labels, labels, strict=True)]
    pairs += [f'le="{bound}"'] * bool(bound)
    told = "{" + ",".join(pairs) + "}" if pairs else ""
    return f"{metric.name}{suffix}{told} {value:.15g}"
