"""Both dashboards from one list of panels, so that they show the same.

``python -m ops.dashboards`` writes ``ops/cloudwatch_dashboard.json``, ``ops/grafana_dashboard.json``
and the copy of the first in ``template.yaml``; a test holds them to this list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sor_core.metrics import EXCHANGES

OPS = Path(__file__).resolve().parent
CLOUDWATCH, GRAFANA = OPS / "cloudwatch_dashboard.json", OPS / "grafana_dashboard.json"
TEMPLATE = OPS.parent / "template.yaml"
IN_TEMPLATE = re.compile(r"(?<=      DashboardBody: !Sub \|\n)(?: {8}.*\n)+")
NAMESPACE = "SOR/${AWS::StackName}"
FUNCTIONS = {
    "route": "${RouteFunction}",
    "execute": "${ExecuteFunction}",
    "task": "${ExecuteTaskFunction}",
    "probe": "${HealthProbeFunction}",
}
"""By what the metrics call them."""
OF_LAMBDA = {**FUNCTIONS, "reconciliation": "${ReconciliationFunction}"}
"""In the metrics the reconciliation is a task like others; to Lambda it is a function of its own."""
CLOUDWATCH_WIDTH = GRAFANA_WIDTH = 24
_PANELS_A_ROW = 3
_HEIGHT = 6
_Row = list[Any]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    unit: str
    """Grafana's name of it."""
    prometheus: tuple[tuple[str, str], ...]
    """Queries with their legends."""
    cloudwatch: tuple[_Row, ...]
    """Rows in the form of CloudWatch's dashboards ("Dashboard body structure and syntax")."""
    bars: bool = False
    """A distribution over the whole time, not a course of it (Grafana)."""


def _ours(name: str, stat: str, label: str, **dimensions: str) -> _Row:
    pairs = [part for pair in dimensions.items() for part in pair]
    return [NAMESPACE, name, *pairs, {"stat": stat, "label": label}]


def _each(name: str, stat: str, dimension: str, values: Sequence[str]) -> tuple[_Row, ...]:
    return tuple(_ours(name, stat, value, **{dimension: value}) for value in values)


def _search(name: str, *dimensions: str) -> _Row:
    # A name with a hyphen, as a stack's may be, needs quotes (CloudWatch, "Search expression syntax").
    schema = ",".join([f'"{NAMESPACE}"', *dimensions])
    return [{"expression": f"SEARCH('{{{schema}}} MetricName=\"{name}\"', 'Sum', 60)", "id": "all"}]


def _lambda(metric: str, stat: str) -> tuple[_Row, ...]:
    return tuple(
        ["AWS/Lambda", metric, "FunctionName", name, {"stat": stat, "label": label}]
        for label, name in OF_LAMBDA.items()
    )


def _quantiles(name: str, *quantiles: float, by: str = "") -> tuple[tuple[str, str], ...]:
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    return tuple(
        (
            f"p{q * 100:g}{legend}",
            f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket[$__rate_interval])))",
        )
        for q in quantiles
    )


def _ratio(part: str, whole: str) -> str:
    return f"sum(rate({part}[$__rate_interval])) / sum(rate({whole}[$__rate_interval]))"


# A sum of values below zero falls at times: `rate` would take that for a restart, `delta` does not.
_MEAN_SAVINGS = (
    "sum(delta(best_execution_savings_bps_sum[$__rate_interval]))"
    " / sum(increase(best_execution_savings_bps_count[$__rate_interval]))"
)
_FAILOVERS = "increase(failover_events_total[$__rate_interval])"

GROUPS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Routing performance",
        (
            Panel(
                "Decision latency",
                "s",
                _quantiles("routing_decision_seconds", 0.5, 0.95, 0.99),
                tuple(_ours("routing_decision_seconds", stat, stat) for stat in ("p50", "p95", "p99")),
            ),
            Panel(
                "Cache hit rate",
                "percentunit",
                (
                    (
                        "recent",
                        _ratio('routing_cache_lookups_total{result="hit"}', "routing_cache_lookups_total"),
                    ),
                    ("since counting began", "routing_cache_hit_rate"),
                ),
                (_ours("routing_cache_hit_rate", "Average", "hit rate"),),
            ),
            Panel(
                "Decisions per second",
                "reqps",
                (
                    ("{{exchange}}", "sum by (exchange) (rate(routing_decisions_total[$__rate_interval]))"),
                    ("no route", "sum(rate(routing_no_route_total[$__rate_interval]))"),
                ),
                (
                    [{"expression": "decisions / PERIOD(decisions)", "label": "routes", "id": "rate"}],
                    [
                        NAMESPACE,
                        "routing_decision_seconds",
                        {"stat": "SampleCount", "id": "decisions", "visible": False},
                    ],
                ),
            ),
            Panel(
                "Decisions by reason",
                "reqps",
                (("{{reason}}", "sum by (reason) (rate(routing_decisions_total[$__rate_interval]))"),),
                (_search("routing_decisions_total", "exchange", "reason"),),
            ),
        ),
    ),
    (
        "Exchange health",
        (
            Panel(
                "Health score",
                "percentunit",
                (("{{exchange}}", "exchange_health_score"),),
                _each("exchange_health_score", "Average", "exchange", EXCHANGES),
            ),
            Panel(
                "Latency",
                "ms",
                (("{{exchange}}", "exchange_latency_ms"),),
                _each("exchange_latency_ms", "Average", "exchange", EXCHANGES),
            ),
            Panel(
                "Success rate",
                "percentunit",
                (("{{exchange}}", "exchange_success_rate"),),
                _each("exchange_success_rate", "Average", "exchange", EXCHANGES),
            ),
            Panel(
                "Exchanges routed to",
                "short",
                (("exchanges", "exchanges_healthy"),),
                (_ours("exchanges_healthy", "Minimum", "exchanges"),),
            ),
            Panel(
                "Order latency",
                "s",
                _quantiles("execution_latency_seconds", 0.95, by="exchange"),
                _each("execution_latency_seconds", "p95", "exchange", EXCHANGES),
            ),
        ),
    ),
    (
        "Execution quality",
        (
            Panel(
                "Slippage distribution (bps)",
                "short",
                (("{{le}}", "sum by (le) (increase(execution_slippage_bps_bucket[$__range]))"),),
                tuple(_ours("execution_slippage_bps", stat, stat) for stat in ("p10", "p50", "p90")),
                bars=True,
            ),
            Panel(
                "Savings against the best single exchange (bps)",
                "short",
                (
                    (
                        "mean",
                        _MEAN_SAVINGS,
                    ),
                    *_quantiles("best_execution_savings_bps", 0.5, 0.9),
                ),
                tuple(_ours("best_execution_savings_bps", stat, stat) for stat in ("Average", "p50", "p90")),
            ),
            Panel(
                "Failovers",
                "short",
                (
                    (
                        "{{from_exchange}} to {{to_exchange}}",
                        f"sum by (from_exchange, to_exchange) ({_FAILOVERS}) > 0",
                    ),
                ),
                (_search("failover_events_total", "from_exchange", "to_exchange"),),
            ),
            Panel(
                "Orders by state",
                "short",
                (("{{status}}", "sum by (status) (increase(orders_total[$__rate_interval])) > 0"),),
                (_search("orders_total", "status"),),
            ),
            Panel(
                "Unknown outcomes and reviews",
                "short",
                (
                    ("unknown at {{exchange}}", "increase(unknown_outcomes_total[$__rate_interval]) > 0"),
                    ("orders needing review", "orders_needing_review"),
                ),
                (
                    *_each("unknown_outcomes_total", "Sum", "exchange", EXCHANGES),
                    _ours("orders_total", "Sum", "came to need a review", status="needs_review"),
                    _ours("orders_needing_review", "Maximum", "orders needing review"),
                ),
            ),
            Panel(
                "Visibility lag",
                "s",
                _quantiles("visibility_lag_seconds", 0.99, by="exchange"),
                _each("visibility_lag_seconds", "p99", "exchange", EXCHANGES),
            ),
            Panel(
                "Daily notional used",
                "percentunit",
                (("{{quote}}", "daily_notional_used_ratio > 0"), ("most", "daily_notional_peak_ratio")),
                (_ours("daily_notional_peak_ratio", "Maximum", "most"),),
            ),
        ),
    ),
    (
        "System performance",
        (
            Panel(
                "Memory",
                "bytes",
                (("{{function}}", "process_memory_bytes"),),
                _each("process_memory_bytes", "Maximum", "function", tuple(FUNCTIONS)),
            ),
            Panel(
                "CPU time",
                "s",
                (
                    (
                        "{{function}}",
                        "sum by (function) (rate(process_cpu_seconds_total[$__rate_interval]))",
                    ),
                ),
                _each("process_cpu_seconds_total", "Sum", "function", tuple(FUNCTIONS)),
            ),
            Panel(
                "Requests in flight",
                "short",
                (("{{function}}", "sum by (function) (rate(request_seconds_sum[$__rate_interval]))"),),
                _lambda("ConcurrentExecutions", "Maximum"),
            ),
            Panel(
                "Queues",
                "short",
                (("orders due", "orders_due"),),
                (
                    _ours("orders_due", "Maximum", "orders due"),
                    [
                        "AWS/SQS",
                        "ApproximateNumberOfMessagesVisible",
                        "QueueName",
                        "${ProbeQueue.QueueName}",
                        {"stat": "Maximum", "label": "probes"},
                    ],
                ),
            ),
            Panel(
                "Requests by outcome",
                "reqps",
                (
                    (
                        "{{function}} {{outcome}}",
                        "sum by (function, outcome) (rate(requests_total[$__rate_interval])) > 0",
                    ),
                ),
                (
                    *(
                        [
                            "AWS/ApiGateway",
                            metric,
                            "ApiName",
                            "${AWS::StackName}",
                            {"stat": "Sum", "label": metric},
                        ]
                        for metric in ("Count", "4XXError", "5XXError")
                    ),
                    *_lambda("Throttles", "Sum"),
                    *(
                        [
                            "AWS/DynamoDB",
                            metric,
                            "TableName",
                            "${OrdersTable}",
                            {"stat": "Sum", "label": label},
                        ]
                        for metric, label in (
                            ("TransactionConflict", "ledger in conflict"),
                            ("WriteThrottleEvents", "ledger writes throttled"),
                            ("ReadThrottleEvents", "ledger reads throttled"),
                        )
                    ),
                ),
            ),
            Panel(
                "Rate-limit budget used",
                "percentunit",
                (("{{exchange}}", "rate_limit_budget_used_ratio"),),
                _each("rate_limit_budget_used_ratio", "Maximum", "exchange", EXCHANGES),
            ),
        ),
    ),
)


def cloudwatch() -> str:
    """Write CloudWatch's dashboard, a widget a line, with the substitutions that the template makes."""
    widgets, y = [], 0
    for group, panels in GROUPS:
        head = {"markdown": f"## {group}"}
        widgets.append(_widget("text", head, 0, y, CLOUDWATCH_WIDTH, 1))
        y += 1
        for number, panel in enumerate(panels):
            properties = {
                "title": panel.title,
                "region": "${AWS::Region}",
                "view": "timeSeries",
                "period": 60,
                "metrics": list(panel.cloudwatch),
            }
            width = CLOUDWATCH_WIDTH // _PANELS_A_ROW
            column, row = number % _PANELS_A_ROW, number // _PANELS_A_ROW
            widgets.append(_widget("metric", properties, column * width, y + row * _HEIGHT, width, _HEIGHT))
        y += -(-len(panels) // _PANELS_A_ROW) * _HEIGHT
    lines = ",\n".join("  " + json.dumps(widget, separators=(",", ":")) for widget in widgets)
    return f'{{"widgets":[\n{lines}\n]}}\n'


def _widget(kind: str, properties: Any, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": properties}


def grafana() -> str:
    """Write Grafana's dashboard; it asks which Prometheus to use."""
    panels: list[dict[str, Any]] = []
    y = 0
    source = {"type": "prometheus", "uid": "${datasource}"}
    for group, members in GROUPS:
        place = {"x": 0, "y": y, "w": GRAFANA_WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": group, "gridPos": place, "panels": []})
        y += 1
        for number, panel in enumerate(members):
            width = GRAFANA_WIDTH // _PANELS_A_ROW
            column, row = number % _PANELS_A_ROW, number // _PANELS_A_ROW
            shared = {"datasource": source, "range": not panel.bars, "instant": panel.bars}
            shared |= {"format": "heatmap"} if panel.bars else {}
            targets = [
                {"refId": chr(ord("A") + n), "expr": query, "legendFormat": legend, **shared}
                for n, (legend, query) in enumerate(panel.prometheus)
            ]
            place = {"x": column * width, "y": y + row * _HEIGHT, "w": width, "h": _HEIGHT}
            panels.append(
                {
                    "id": len(panels) + 1,
                    "type": "bargauge" if panel.bars else "timeseries",
                    "title": panel.title,
                    "datasource": source,
                    "gridPos": place,
                    "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                    "targets": targets,
                }
            )
        y += -(-len(members) // _PANELS_A_ROW) * _HEIGHT
    chosen = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    document = {
        "title": "SOR",
        "uid": "sor",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [chosen]},
        "panels": panels,
    }
    return json.dumps(document, indent=1) + "\n"


def in_template(body: str) -> str:
    """Indent a dashboard as it stands in the template."""
    return "".join(f"        {line}\n" for line in body.splitlines())


def main() -> None:
    """Write all three."""
    CLOUDWATCH.write_text(cloudwatch(), encoding="utf-8")
    GRAFANA.write_text(grafana(), encoding="utf-8")
    template = TEMPLATE.read_text(encoding="utf-8")
    TEMPLATE.write_text(IN_TEMPLATE.sub(lambda _: in_template(cloudwatch()), template), encoding="utf-8")


if __name__ == "__main__":
    main()
