"""What stands in the log of an invocation that nobody foresaw would fail."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from moto import mock_aws

from sor_core.api.http import Answer, Event, Routes, json_answer
from sor_core.api.problems import FieldError, Kind, Problem, ProblemError
from sor_core.bootstrap import Runtime
from tests.e2e.conftest import Context

SECRET = "MARKED-SECRET-0123456789"
EVENT = {"requestContext": {"requestId": "c0ffee"}, "body": SECRET}


class Served(Runtime):
    function = "route"


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = Served({"SOR_STATE_TABLE": "table", "AWS_LAMBDA_FUNCTION_VERSION": "41"})
        yield made
        made.close()


@pytest.fixture
def written(runtime: Served) -> Iterator[io.StringIO]:
    handler = cast("Any", runtime.logger.registered_handler)
    before = handler.setStream(io.StringIO())
    yield handler.stream
    handler.setStream(before)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def failing(event: Any, _: Any) -> Any:
    try:
        return int(event["body"])
    except ValueError as error:
        raise KeyError(event["body"]) from error


def test_an_unexpected_exception_is_a_line_at_error_and_is_raised(
    runtime: Served, written: io.StringIO
) -> None:
    with pytest.raises(KeyError):
        runtime.serve(failing, EVENT, Context(), "requestContext.requestId")
    [failed] = [line for line in lines(written) if line["level"] == "ERROR"]
    assert failed["message"] == "invocation failed"
    assert (failed["error"], failed["causes"]) == ("KeyError", ["ValueError"])
    assert failed["where"][-1].startswith(f"{__name__}:")
    assert failed["where"][-1].endswith(" failing")
    assert (failed["correlation_id"], failed["function_version"]) == ("c0ffee", "41")


def test_it_says_nothing_of_what_was_asked(runtime: Served, written: io.StringIO) -> None:
    with pytest.raises(KeyError, match=SECRET):
        runtime.serve(failing, EVENT, Context())
    assert written.getvalue()
    assert SECRET not in written.getvalue()


def test_every_line_tells_the_version_and_an_invocation_that_succeeds_no_error(
    runtime: Served, written: io.StringIO
) -> None:
    def saying(_: Any, __: Any) -> dict[str, int]:
        runtime.log.info("said")
        return {"statusCode": 503}

    for _ in range(2):
        assert runtime.serve(saying, EVENT, Context()) == {"statusCode": 503}
    said = lines(written)
    assert [line["message"] for line in said].count("said") == 2
    assert {line["function_version"] for line in said} == {"41"}
    assert "ERROR" not in {line["level"] for line in said}


def refusing(kind: Kind, *errors: FieldError) -> Any:
    routes = Routes()

    @routes.on("POST", "/api/execute")
    def _execute(_: Event) -> Answer:
        raise ProblemError(Problem(kind, f"said: {SECRET}", errors))

    return routes


ASKED = {
    **EVENT,
    "httpMethod": "POST",
    "resource": "/api/execute",
    "headers": {"Idempotency-Key": SECRET, "Authorization": SECRET},
    "requestContext": {"requestId": "c0ffee", "identity": {"userArn": "arn:aws:iam::1:user/ann"}},
}


@pytest.mark.parametrize(
    ("kind", "level"), [(Kind.INVALID, "INFO"), (Kind.HALTED, "INFO"), (Kind.LEDGER_UNAVAILABLE, "WARNING")]
)
def test_a_request_answered_with_a_problem_is_one_line_without_what_was_sent(
    runtime: Served, written: io.StringIO, kind: Kind, level: str
) -> None:
    errors = (
        FieldError("amount", "a number"),
        FieldError("venues.allow.0", "a string"),
        FieldError("Idempotency-Key", "once"),
        FieldError(SECRET, "no such field"),
        FieldError("a_secret", "no such parameter; none is known here"),
        FieldError(SECRET, "once"),
    )
    answer = runtime.serve(refusing(kind, *errors), ASKED, Context(), "requestContext.requestId")
    assert answer["statusCode"] == kind.status
    [line] = [line for line in lines(written) if line["message"] == "answered with a problem"]
    assert (line["level"], line["type"], line["status"]) == (level, kind.type, kind.status)
    assert (line["caller"], line["request"]) == ("arn:aws:iam::1:user/ann", "POST /api/execute")
    assert line["fields"] == ["amount", "venues.allow.0", "Idempotency-Key"]
    assert line["correlation_id"] == "c0ffee"
    assert SECRET not in written.getvalue()
    assert "a_secret" not in written.getvalue()


def test_what_nobody_serves_is_a_line_too_and_what_is_served_none(
    runtime: Served, written: io.StringIO
) -> None:
    routes = refusing(Kind.INVALID)
    runtime.serve(routes, {**ASKED, "resource": "/{proxy+}"}, Context(), "requestContext.requestId")
    routes.on("GET", "/health")(lambda _: json_answer({"type": "fine"}))
    runtime.serve(routes, {"httpMethod": "GET", "resource": "/health"}, Context())
    told = [line for line in lines(written) if line["message"] == "answered with a problem"]
    assert [(line["type"], line["status"]) for line in told] == [("urn:sor:problem:not-found", 404)]
