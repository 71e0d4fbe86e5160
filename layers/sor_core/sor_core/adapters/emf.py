"""Metrics for CloudWatch, as lines of the log in the embedded metric format.

CloudWatch makes metrics of them without a call (AWS, "Specification: CloudWatch embedded metric
format"). A line has one set of dimensions, so each set of labels is a line of its own.
"""

from __future__ import annotations

from collections import defaultdict

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from sor_core.metrics import METRICS, Metric
from sor_core.services.metering import Recorded

_Values = list[tuple[Metric, float]]


class EmfWriter:
    """Writes lines to standard output; none without a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def write(self, recorded: Recorded) -> None:
        """Write what one invocation recorded."""
        if not self._namespace:
            return
        lines: dict[tuple[tuple[str, str], ...], _Values] = defaultdict(list)
        single = [*recorded.counts.items(), *recorded.levels.items()]
        many = [(series, value) for series, values in recorded.observations.items() for value in values]
        for (name, labels), value in (*single, *many):
            metric = METRICS[name]
            if metric.in_cloudwatch:
                names = (label.name for label in metric.labels)
                lines[tuple(zip(names, labels, strict=False))].append((metric, value))
        for dimensions, values in lines.items():
            line = EphemeralMetrics(namespace=self._namespace)
            for dimension, told in dimensions:
                line.add_dimension(dimension, told)
            for metric, value in values:
                line.add_metric(metric.name, MetricUnit(metric.unit), value)
            line.flush_metrics()
