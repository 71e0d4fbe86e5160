"""What is read out of an API Gateway event, and how an answer is made."""

from __future__ import annotations

from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from sor_core.api.http import caller, correlation_id, headers_of, json_answer

ARN = "arn:aws:iam::123456789012:user/trader"


def event(**parts: Any) -> APIGatewayProxyEvent:
    return APIGatewayProxyEvent(parts)


def test_the_caller_is_who_the_gateway_authenticated() -> None:
    assert caller(event(requestContext={"identity": {"userArn": ARN}})) == ARN


@pytest.mark.parametrize(
    "context", [None, {}, {"identity": None}, {"identity": {}}, {"identity": {"userArn": None}}]
)
def test_a_caller_whom_the_gateway_did_not_ask_is_anonymous(context: Any) -> None:
    assert caller(event(requestContext=context)) == "anonymous"


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
    assert answer.status_code == 202
    kind = {"Content-Type": "application/json"}
    assert answer.headers == {**kind, "Cache-Control": "no-store", "Location": "/api/orders/1"}
    assert json_answer({}).status_code == 200
