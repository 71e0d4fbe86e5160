"""Dashboards, alarms and runbooks name what the code emits, and each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from local.template import REPOSITORY
from ops import dashboards
from sor_core.adapters.emf import EmfWriter
from sor_core.metrics import METRICS, Kind
from sor_core.services.metering import Recorded

OF_AWS = {
    ("AWS/ApiGateway", "Count", ("ApiName",)),
    ("AWS/ApiGateway", "4XXError", ("ApiName",)),
    ("AWS/ApiGateway", "5XXError", ("ApiName",)),
    ("AWS/DynamoDB", "ReadThrottleEvents", ("TableName",)),
    ("AWS/DynamoDB", "TransactionConflict", ("TableName",)),
    ("AWS/DynamoDB", "WriteThrottleEvents", ("TableName",)),
    ("AWS/Lambda", "ConcurrentExecutions", ("FunctionName",)),
    ("AWS/Lambda", "Duration", ("FunctionName", "Resource", "ExecutedVersion")),
    ("AWS/Lambda", "Errors", ("FunctionName",)),
    ("AWS/Lambda", "Errors", ("FunctionName", "Resource", "ExecutedVersion")),
    ("AWS/Lambda", "Throttles", ("FunctionName",)),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", ("QueueName",)),
    ("AWS/States", "ExecutionsFailed", ("StateMachineArn",)),
    ("AWS/States", "ExecutionsTimedOut", ("StateMachineArn",)),
}
"""As AWS documents them: namespace, metric, dimensions."""
OURS = "SOR/${AWS::StackName}"
REQUIRED = {
    "Routing performance": {"Decision latency", "Cache hit rate", "Decisions per second"},
    "Exchange health": {"Health score", "Latency", "Success rate"},
    "Execution quality": {
        "Slippage distribution (bps)",
        "Savings against the best single exchange (bps)",
        "Failovers",
    },
    "System performance": {"Memory", "CPU time", "Requests in flight", "Queues"},
}
RUNBOOKS = REPOSITORY / "ops" / "runbooks"
Named = tuple[str, str, dict[str, Any]]
"""Namespace, metric, dimensions."""


@pytest.fixture
def emitted(capsys: pytest.CaptureFixture[str]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """What the functions' own writer makes of every series there may be."""
    recorded = Recorded()
    for metric in METRICS.values():
        for labels in product(*(label.values for label in metric.labels)):
            match metric.kind:
                case Kind.COUNTER:
                    recorded.counts[metric.name, labels] = 1
                case Kind.HISTOGRAM:
                    recorded.observations[metric.name, labels] = [1.0]
                case Kind.GAUGE:
                    recorded.levels[metric.name, labels] = 1
    EmfWriter(OURS).write(recorded)
    found = set()
    for line in capsys.readouterr().out.splitlines():
        written = json.loads(line)
        [directive] = written["_aws"]["CloudWatchMetrics"]
        [dimensions] = directive["Dimensions"]
        pairs = frozenset((d, written[d]) for d in dimensions)
        found |= {(metric["Name"], pairs) for metric in directive["Metrics"]}
    return found


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }


def of_alarm(alarm: dict[str, Any]) -> Iterator[Named]:
    metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", ()) if "MetricStat" in m] or [alarm]
    for metric in metrics:
        namespace = metric["Namespace"]
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", ())}
        yield (
            namespace if isinstance(namespace, str) else namespace["Fn::Sub"],
            metric["MetricName"],
            dimensions,
        )


def of_widgets(body: str) -> Iterator[Named]:
    for widget in json.loads(body)["widgets"]:
        for row in widget["properties"].get("metrics", ()):
            if isinstance(row[0], dict):
                continue
            namespace, name, *pairs = row[:-1]
            yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def filtered(template: dict[str, Any]) -> set[str]:
    return {
        resource["Properties"]["MetricTransformations"][0]["MetricName"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Logs::MetricFilter"
    }


def test_dashboards_are_as_written_from_the_list() -> None:
    assert dashboards.CLOUDWATCH.read_text(encoding="utf-8") == dashboards.cloudwatch()
    assert dashboards.GRAFANA.read_text(encoding="utf-8") == dashboards.grafana()


def test_the_template_has_cloudwatchs(template: dict[str, Any]) -> None:
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert body == dashboards.CLOUDWATCH.read_text(encoding="utf-8")
    resources = set(re.findall(r"\$\{(\w+)[.}]", body))
    assert resources
    assert resources <= set(template["Resources"])


def test_both_have_the_required_groups_and_panels() -> None:
    assert {
        group: {p.title for p in panels} & REQUIRED[group] for group, panels in dashboards.GROUPS
    } == REQUIRED
    grafana = json.loads(dashboards.GRAFANA.read_text(encoding="utf-8"))["panels"]
    cloudwatch = json.loads(dashboards.CLOUDWATCH.read_text(encoding="utf-8"))["widgets"]
    titles = [panel.title for _, panels in dashboards.GROUPS for panel in panels]
    assert [p["title"] for p in grafana if p["type"] != "row"] == titles
    assert [w["properties"]["title"] for w in cloudwatch if w["type"] == "metric"] == titles
    assert [p["title"] for p in grafana if p["type"] == "row"] == list(REQUIRED)


def test_every_metric_of_an_alarm_or_widget_is_emitted_with_those_dimensions(
    template: dict[str, Any], emitted: set[tuple[str, frozenset[tuple[str, str]]]]
) -> None:
    named = [*of_widgets(dashboards.cloudwatch())]
    named += [metric for alarm in alarms(template).values() for metric in of_alarm(alarm)]
    for namespace, name, dimensions in named:
        if namespace != OURS:
            assert (namespace, name, tuple(dimensions)) in OF_AWS
        elif name in filtered(template):
            assert not dimensions
        else:
            assert (name, frozenset(dimensions.items())) in emitted, (name, dimensions)


def test_a_search_names_the_dimensions_of_its_metric() -> None:
    found = re.findall(
        r'\{"([^"]+)",([\w,]+)\} MetricName="(\w+)"', dashboards.cloudwatch().replace("\\", "")
    )
    assert len(found) == dashboards.cloudwatch().count("SEARCH(")
    for namespace, dimensions, name in found:
        assert namespace == OURS
        assert METRICS[name].in_cloudwatch
        assert dimensions.split(",") == [label.name for label in METRICS[name].labels]


@pytest.mark.parametrize(
    "query", [q for _, panels in dashboards.GROUPS for panel in panels for _, q in panel.prometheus]
)
def test_every_query_of_grafana_names_what_the_page_has(query: str) -> None:
    suffixed = {
        f"{m.name}{suffix}": m
        for m in METRICS.values()
        for suffix in (("_bucket", "_sum", "_count") if m.kind is Kind.HISTOGRAM else ("",))
    }
    bare = re.sub(r"by \([^)]*\)|\{[^}]*\}|\$\w+|histogram_quantile", "", query)
    named = [suffixed[name] for name in re.findall(r"[a-z]+(?:_[a-z]+)+", bare)]
    assert named
    for metric in named:
        own = {label.name: label.values for label in metric.labels} | {"le": ()}
        for label, value in re.findall(r'(\w+)="([^"]*)"', query):
            assert value in own[label]
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert set(re.split(r",\s*", group)) <= set(own)
        rated = re.search(rf"(rate|increase|delta)\({metric.name}", query) is not None
        assert rated == (metric.kind is not Kind.GAUGE)


def test_saved_queries_look_for_what_the_functions_and_the_gateway_write(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    queries = {
        resource["Properties"]["Name"]["Fn::Sub"]: resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }
    assert set(queries) == {"${AWS::StackName}/" + name for name in ("order", "correlation-id", "errors")}
    core = REPOSITORY / "layers" / "sor_core" / "sor_core"
    said = "".join(path.read_text(encoding="utf-8") for path in core.rglob("*.py"))
    of_the_api = resources["Api"]["Properties"]["AccessLogSetting"]["Format"]
    of_the_logger = {"message", "level", "correlation_id"}
    for query in queries.values():
        assert {resources[group["Ref"]]["Type"] for group in query["LogGroupNames"]} == {
            "AWS::Logs::LogGroup"
        }
        fields, filtered_by, *_ = query["QueryString"].split("\n")
        named = re.findall(r"(?<![@\w.])[a-z_]+", fields.removeprefix("fields"))
        named += re.findall(r"([a-z_]+) =", filtered_by)
        assert named
        for name in set(named) - of_the_logger:
            assert f"{name}=" in said or f'"{name}"' in said or f'"{name}":"$context' in of_the_api, name


def kebab(name: str) -> str:
    if name.endswith("CanaryAlarm"):
        return "canary"  # one page: whichever it is, the same is to be done
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name.removesuffix("Alarm")).lower()


def test_every_alarm_names_its_runbook_and_every_runbook_has_its_alarm(template: dict[str, Any]) -> None:
    told = {}
    for name, alarm in alarms(template).items():
        runbook = re.search(r" Runbook: ops/runbooks/([a-z-]+)\.md$", alarm["AlarmDescription"].strip())
        assert runbook, name
        told[name] = runbook[1]
        assert alarm["AlarmActions"]["Fn::If"][0] == "HasAlarmTopic"
    assert told == {name: kebab(name) for name in told}
    assert sorted(set(told.values())) == sorted(
        path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README"
    )


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    if path.stem != "README":
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["What it means", "What to look at", "What to do"]
        assert "```sh" in text
    said = "".join(
        p.read_text(encoding="utf-8") for p in (REPOSITORY / "layers" / "sor_core" / "sor_core").rglob("*.py")
    )
    for message in re.findall(r'\$\.message = "([^"]+)"', text):
        assert f'"{message}"' in said, message
    for group in re.findall(r"/sor/\$STACK/([a-z-]+)", text):
        assert group in {"api", "route", "execute", "execute-task", "health-probe"}
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (path.parent / link).exists(), link
    for metric in re.findall(r"`(\w+)\{", text):
        assert metric in METRICS, metric
