"""What is read out of an API Gateway event, and how an answer is made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sor_core.api.http import (
    Answer,
    Event,
    Routes,
    caller,
    correlation_id,
    headers_of,
    json_answer,
    path_of,
    query_of,
    sent_once,
    signer,
    wants_fresh,
)
from sor_core.api.problems import Kind, Problem, ProblemError

ARN = "arn:aws:iam::123456789012:user/trader"


def event(**parts: Any) -> Event:
    return parts


def test_the_caller_is_who_the_gateway_authenticated() -> None:
    assert caller(event(requestContext={"identity": {"userArn": ARN}})) == ARN


@pytest.mark.parametrize(
    "context", [None, {}, {"identity": None}, {"identity": {}}, {"identity": {"userArn": None}}]
)
def test_a_caller_whom_the_gateway_did_not_ask_is_anonymous(context: Any) -> None:
    assert caller(event(requestContext=context)) == "anonymous"


ROLE = "arn:aws:sts::123456789012:assumed-role/strategy"


@pytest.mark.parametrize("session", ["i-0abc", "botocore-session-1700000000", "a@b.example", "a/b"])
def test_a_role_is_one_caller_in_all_its_sessions(session: str) -> None:
    signed = event(requestContext={"identity": {"userArn": f"{ROLE}/{session}"}})
    assert caller(signed) == ROLE
    assert signer(signed) == f"{ROLE}/{session}"


@pytest.mark.parametrize(
    "arn", [ARN, "arn:aws:iam::123456789012:root", "arn:aws:sts::123456789012:federated-user/ann", ROLE]
)
def test_any_other_identity_is_a_caller_as_it_is(arn: str) -> None:
    assert caller(event(requestContext={"identity": {"userArn": arn}})) == arn


def test_a_caller_cannot_name_itself() -> None:
    sent = {"userArn": ARN, "X-Amz-User-Arn": ARN, "Authorization": ARN}
    assert caller(event(headers=sent, body=ARN, requestContext={})) == "anonymous"


def test_the_correlation_id_is_the_gateways() -> None:
    assert correlation_id(event(requestContext={"requestId": "r-1"})) == "r-1"
    assert correlation_id(event(requestContext=None)) == ""


def test_headers_are_handed_on() -> None:
    assert headers_of(event(headers={"Prefer": "wait=3"})) == {"prefer": "wait=3"}
    assert headers_of(event(headers=None)) == {}


def test_an_answer_has_its_status_and_its_headers_beside_ours() -> None:
    answer = json_answer({"a": 1}, 202, {"Location": "/api/orders/1"})
    assert answer["statusCode"] == 202
    kind = {"Content-Type": "application/json"}
    assert answer["headers"] == {**kind, "Cache-Control": "no-store", "Location": "/api/orders/1"}
    assert json_answer({})["statusCode"] == 200


def test_a_header_that_came_several_times_has_all_its_values() -> None:
    sent = {"Idempotency-Key": "b", "Prefer": "wait=3"}
    several = {"Idempotency-Key": ["a", "b"], "Prefer": ["wait=3"]}
    read = headers_of(event(headers=sent, multiValueHeaders=several))
    assert read == {"idempotency-key": "a, b", "prefer": "wait=3"}


def test_a_name_without_a_value_is_not_there() -> None:
    assert headers_of(event(headers={"Prefer": None}, multiValueHeaders={"Prefer": None})) == {}
    assert query_of(event(queryStringParameters={"limit": None})) == {}


@pytest.mark.parametrize(
    "several",
    [
        {"multiValueHeaders": {"Idempotency-Key": ["a", "b"]}},
        {"multiValueHeaders": {"Idempotency-Key": ["a", "a"]}},
        {"multiValueHeaders": {"idempotency-key": ["a"], "Idempotency-Key": ["b"]}},
        {"headers": {"idempotency-key": "a", "Idempotency-Key": "b"}},
    ],
)
def test_a_header_that_may_come_once_is_refused_when_it_comes_twice(several: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as caught:
        sent_once(event(**several), "Idempotency-Key")
    problem = caught.value.problem
    assert problem.kind is Kind.INVALID_REQUEST
    assert [(e.field, e.expected) for e in problem.errors] == [("Idempotency-Key", "once")]


@pytest.mark.parametrize("value", ["k", "a, b"])
def test_one_header_is_one_whatever_stands_in_it(value: str) -> None:
    one = event(headers={"idempotency-key": value}, multiValueHeaders={"idempotency-key": [value]})
    sent_once(one, "Idempotency-Key")
    sent_once(event(headers=None, multiValueHeaders=None), "Idempotency-Key")


@pytest.mark.parametrize("value", ["no-cache", "No-Cache", "max-age=0, no-cache", "max-age=0 ,no-cache "])
@pytest.mark.parametrize("name", ["Cache-Control", "cache-control"])
def test_a_caller_who_wants_nothing_cached_is_heard(name: str, value: str) -> None:
    assert wants_fresh(event(headers={name: value}))


@pytest.mark.parametrize("headers", [None, {}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}])
def test_caches_are_used_otherwise(headers: Any) -> None:
    assert not wants_fresh(event(headers=headers))


def test_what_the_gateway_left_out_is_empty() -> None:
    assert query_of(event(queryStringParameters=None)) == {}
    assert path_of(event(pathParameters=None), "order_id") == ""
    assert path_of(event(pathParameters={"order_id": "1"}), "order_id") == "1"


def serve(**parts: Any) -> Answer:
    routes = Routes()

    @routes.on("GET", "/api/orders/{order_id}")
    def _order(event: Event) -> Answer:
        return json_answer({"order_id": path_of(event, "order_id")})

    @routes.on("DELETE", "/api/orders/{order_id}")
    def _cancel(_: Event) -> Answer:
        raise ProblemError(Problem(Kind.STATE_UNAVAILABLE, "try again", retry_after_s=5))

    return routes(event(**parts))


def test_a_path_of_the_template_is_served_by_its_function() -> None:
    named = {"resource": "/api/orders/{order_id}", "pathParameters": {"order_id": "1"}}
    assert serve(httpMethod="GET", **named)["body"] == '{"order_id":"1"}'


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"httpMethod": None, "resource": None},
        {"httpMethod": ["GET"], "resource": {}},
        {"httpMethod": "POST", "resource": "/api/orders/{order_id}"},
        {"httpMethod": "GET", "resource": "/{proxy+}"},
    ],
)
def test_what_nobody_serves_is_a_problem_of_its_own(parts: dict[str, Any]) -> None:
    answer = serve(**parts, requestContext={"requestId": "r-1"})
    assert answer["statusCode"] == 404
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert "urn:sor:request:r-1" in answer["body"]


def test_a_problem_says_when_to_come_back() -> None:
    answer = serve(httpMethod="DELETE", resource="/api/orders/{order_id}")
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")


# Queries -------------------------------------------------------------------------------------------


def asked(query: dict[str, list[str]], *known: str) -> tuple[int, Any]:
    routes = Routes()
    routes.on("GET", "/x", *known)(lambda _: json_answer({}))
    once = {name: values[-1] for name, values in query.items()} or None
    parts = {"queryStringParameters": once, "multiValueQueryStringParameters": query or None}
    answer = routes(event(httpMethod="GET", resource="/x", **parts))
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("query", [{}, {"limit": ["2"]}, {"limit": [""], "cursor": ["a"]}])
def test_parameters_that_mean_something_may_come_once(query: dict[str, list[str]]) -> None:
    assert asked(query, "limit", "cursor") == (200, {})


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        ({"dry_run": ["true"]}, "dry_run", "no such parameter; known here: limit, cursor"),
        ({"Limit": ["1"]}, "Limit", "no such parameter; known here: limit, cursor"),
        ({"": [""]}, "", "no such parameter; known here: limit, cursor"),
        ({"limit": ["1", "1"]}, "limit", "once; known here: limit, cursor"),
        ({"\ud800" + "x" * 99: ["1"]}, "\\ud800" + "x" * 63, "no such parameter; known here: limit, cursor"),
    ],
)
def test_any_other_is_refused_by_its_name(query: dict[str, list[str]], field: str, expected: str) -> None:
    status, problem = asked(query, "limit", "cursor")
    assert (status, problem["type"]) == (422, "urn:sor:problem:invalid-request")
    assert problem["errors"] == [{"field": field, "expected": expected}]


def test_where_none_is_known_that_is_said() -> None:
    _, problem = asked({"a": ["1"]})
    assert problem["detail"] == "a: expected no such parameter; none is known here"


def test_what_stands_in_one_of_the_gateways_two_lists_alone_is_seen() -> None:
    routes = Routes()
    routes.on("GET", "/x")(lambda _: json_answer({}))
    for name in ("queryStringParameters", "multiValueQueryStringParameters"):
        assert routes(event(httpMethod="GET", resource="/x", **{name: {"a": None}}))["statusCode"] == 422


def test_a_signature_in_the_query_is_the_gateways() -> None:
    assert asked({"X-Amz-Signature": ["a"], "X-Amz-Credential": ["b"]})[0] == 200
    assert asked({"X-Amz-Anything": ["a"]})[0] == 422
