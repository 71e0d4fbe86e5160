"""A body says each name once, at any depth and however it is written; else it is refused by the name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sor_core.api.http import Event, json_body
from sor_core.api.json import NotJsonError, RepeatedNameError, loads_once
from sor_core.api.problems import Kind, Problem, ProblemError


def refused(body: Any, **parts: Any) -> Problem:
    event: Event = {"body": body, **parts}
    with pytest.raises(ProblemError) as caught:
        json_body(event)
    return caught.value.problem


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"side": "buy", "side": "sell"}', "side"),
        ('{"dry_run": true, "amount": 1, "dry_run": false}', "dry_run"),
        ('{"side": "buy", "side": "buy"}', "side"),
        ('{"side": "buy", "s\\u0069de": "sell"}', "side"),
        ('{"venues": {"allow": ["kraken"], "allow": ["binance"]}}', "venues.allow"),
        ('{"venues": [{"a": 1}, {"a": 1, "a": 1}]}', "venues.1.a"),
        ('[{"a": 1, "a": 1}]', "0.a"),
        ('{"amount": ' + "1" * 5000 + ', "amount": 1}', "amount"),
        ('{"\\ud83d\\ude00": 1, "\U0001f600": 2}', "\U0001f600"),
        ('{"' + "x" * 900 + '": 1, "' + "x" * 900 + '": 2}', "x" * 64),
    ],
)
def test_a_name_said_twice_is_refused_by_its_path(body: str, name: str) -> None:
    problem = refused(body)
    assert (problem.kind, problem.kind.status) == (Kind.INVALID_REQUEST, 422)
    assert [(e.field, e.expected) for e in problem.errors] == [(name, "once")]
    assert name in problem.detail


def test_one_name_in_several_objects_is_no_repetition() -> None:
    body = '{"a": {"x": 1}, "b": {"x": 1}, "x": [{"x": 0.10}, {"x": 1}], "": {}}'
    document = {"a": {"x": 1}, "b": {"x": 1}, "x": [{"x": Decimal("0.10")}, {"x": 1}], "": {}}
    assert loads_once(body) == document
    assert json_body({"body": body}) == document


@pytest.mark.parametrize("depth", [400, 3_000, 30_000])
def test_depth_ends_nothing(depth: int) -> None:
    deep = '{"a":' * depth + '{"b": 1, "b": 2}' + "}" * depth
    with pytest.raises((NotJsonError, RepeatedNameError)):
        loads_once(deep)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "there is none"),
        ("", "there is none"),
        (" \n", "there is none"),
        ('{"a"', "it ends too early"),
        ("{'a': 1}", "it is no JSON at byte 1"),
        ('{"a": "\x01"}', "it is no JSON at byte "),
        ("[" * 30_000 + "]" * 30_000, "it is nested too deeply"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_of_in_our_own_words(body: str | None, why: str) -> None:
    problem = refused(body)
    assert problem.kind is Kind.NOT_JSON
    assert problem.detail.startswith(f"body: expected a JSON object, and {why}")
    assert [(e.field, e.expected) for e in problem.errors] == [("body", "a JSON object")]


def test_bytes_that_are_no_utf_8_are_told_of_too() -> None:
    assert refused("eyJhIjoi/yJ9", isBase64Encoded=True).detail.endswith("it is not UTF-8")
    assert refused("%", isBase64Encoded=True).detail.endswith(
        "it is not base64, although the gateway says so"
    )
