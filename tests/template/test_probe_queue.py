"""What becomes of a probe's message that fails: told item by item, tried twice, then kept with an alarm."""

from __future__ import annotations

import json
from typing import Any

from local.template import load

RESOURCES: dict[str, Any] = load()["Resources"]


def of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


def test_a_tick_a_minute_comes_through_the_queue() -> None:
    schedule = of("ProbeSchedule")
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert json.loads(schedule["Target"]["Input"]) == {"kind": "tick"}
    assert "ProbeQueue" in json.dumps(schedule["Target"]["Arn"])


def test_failures_are_reported_item_by_item() -> None:
    [event] = of("HealthProbeFunction")["Events"].values()
    assert event["Type"] == "SQS"
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_message_that_fails_twice_is_kept_for_two_weeks_and_alarms() -> None:
    queue = of("ProbeQueue")
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 2
    assert "ProbeDeadLetters" in json.dumps(queue["RedrivePolicy"]["deadLetterTargetArn"])
    assert of("ProbeDeadLetters")["MessageRetentionPeriod"] == 14 * 24 * 3600
    alarm = of("ProbeDeadLettersAlarm")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "GreaterThanOrEqualToThreshold")
    assert "ProbeDeadLetters" in json.dumps(alarm["Dimensions"])


def test_a_message_is_not_seen_twice_while_a_probe_is_at_work() -> None:
    # Six times the function's timeout, as AWS advises for queues that feed Lambda.
    assert of("ProbeQueue")["VisibilityTimeout"] >= 6 * of("HealthProbeFunction")["Timeout"]
