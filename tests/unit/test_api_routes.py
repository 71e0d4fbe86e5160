"""Every route of the handlers' tables: its query is held against what it knows, before anything is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from local.openapi.document import document
from local.template import load as template
from sor_core.api.http import Routes
from tests.e2e.conftest import load

WRONG = (("dry_run", "true"), ("verbose", ""), ("Limit", "1"), ("RECEIPT", "true"))


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Routes]]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.delenv("_HANDLER", raising=False)
        for name in (
            *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SOR_STATE_TABLE", "SOR_ORDERS_TABLE"),
            *("SOR_FAILOVER_MACHINE", "SOR_SECRETS_PREFIX"),
        ):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        modules = {name: load(name) for name in ("route", "execute")}
        yield {name: module.routes for name, module in modules.items()}
        modules["route"].runtime.close()
        modules["execute"].execute_runtime().close()


def parameters(path: str, method: str) -> list[str]:
    """What the OpenAPI document says that a query may have."""
    made = document()
    named = [each["$ref"].rpartition("/")[2] for each in made["paths"][path][method].get("parameters", [])]
    known = [made["components"]["parameters"][each] for each in named]
    return [each["name"] for each in known if each["in"] == "query"]


def test_the_tables_have_every_route_of_the_template_and_their_parameters_are_the_documents(
    tables: dict[str, Routes],
) -> None:
    served = {at: sorted(query) for routes in tables.values() for at, query in routes.table.items()}
    routed = {
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for resource in template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and "{proxy+}" not in event["Properties"]["Path"]
    }
    assert set(served) == routed
    assert served == {(method, path): sorted(parameters(path, method.lower())) for method, path in routed}


def asked(routes: Routes, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
    answer = routes(
        {
            "httpMethod": method,
            "resource": path,
            "queryStringParameters": {name: values[-1] for name, values in query.items()},
            "multiValueQueryStringParameters": query,
        }
    )
    return answer["statusCode"], json.loads(answer["body"])


def test_no_route_takes_a_parameter_that_it_does_not_know_or_one_twice(tables: dict[str, Routes]) -> None:
    tried = 0
    for routes in tables.values():
        for (method, path), known in routes.table.items():
            queries = [{name: [value]} for name, value in WRONG if name not in known]
            queries += [{name: ["1", "1"]} for name in known]
            for query in queries:
                status, problem = asked(routes, method, path, query)
                assert (status, problem["type"]) == (422, "urn:sor:problem:invalid-request"), (path, query)
                assert [error["field"] for error in problem["errors"]] == list(query)
                [error] = problem["errors"]
                assert all(name in error["expected"] for name in known) or not known
                tried += 1
    assert tried > 50


def test_no_route_that_takes_a_body_takes_one_that_says_a_name_twice(tables: dict[str, Routes]) -> None:
    body = '{"mode": "halted", "mode": "running"}'
    paths = document()["paths"]
    taking = [(path, m) for path, methods in paths.items() for m in methods if "requestBody" in methods[m]]
    assert len(taking) == 4
    for path, method in taking:
        [routes] = [r for r in tables.values() if (method.upper(), path) in r.table]
        answer = routes({"httpMethod": method.upper(), "resource": path, "body": body})
        assert answer["statusCode"] == 422
        assert json.loads(answer["body"])["errors"] == [{"field": "mode", "expected": "once"}]


def test_an_order_with_two_idempotency_keys_is_refused(tables: dict[str, Routes]) -> None:
    event = {
        "httpMethod": "POST",
        "resource": "/api/execute",
        "headers": {"Idempotency-Key": "b"},
        "multiValueHeaders": {"Idempotency-Key": ["a", "b"]},
        "body": '{"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 1}',
    }
    answer = tables["execute"](event)
    assert answer["statusCode"] == 422
    assert json.loads(answer["body"])["errors"] == [{"field": "Idempotency-Key", "expected": "once"}]
