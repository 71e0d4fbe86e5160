"""The document: every path that template.yaml routes, what it takes and what it may answer."""

from __future__ import annotations

import json
from typing import Any

from local.configuration import LOOPBACK
from local.openapi import answers, problems, receipts, requests
from local.openapi.examples import answers_of, requests_of, shown
from local.openapi.forms import FLAG, ID, Schema, matching, one_of, ref
from local.openapi.problems import header, responses
from local.template import REPOSITORY
from sor_core import __version__
from sor_core.api.execute import DEFAULT_LIMIT, DEFAULT_WAIT_S, MOST_LIMIT, MOST_WAIT_S
from sor_core.api.problems import Kind
from sor_core.api.prometheus import CONTENT_TYPE as METRICS_TYPE
from sor_core.ports_trading import Standing

COMMITTED = REPOSITORY / "openapi" / "openapi.json"
JSON = "application/json"
SIGNED = "aws_sigv4"
_PORT = 8007

Operation = dict[str, Any]

_BODY = (Kind.NOT_JSON, Kind.TOO_LARGE)
_LEDGER = (Kind.LEDGER_UNAVAILABLE,)
_ONE_ORDER = (Kind.NOT_FOUND, Kind.ORDER_NOT_FOUND, *_LEDGER)
_NO_ROUTE = (
    *(Kind.UNKNOWN_SYMBOL, Kind.INSUFFICIENT_DEPTH, Kind.SLIPPAGE, Kind.BELOW_MINIMUM),
    Kind.NO_VENUE,
)
_REFUSED = (
    *(Kind.KEY_REQUIRED, Kind.SYMBOL_NOT_ALLOWED, Kind.HALTED, Kind.REDUCE_ONLY, Kind.FUNDS_RESERVED),
    *(Kind.KEY_REUSED, Kind.ORDER_NOTIONAL, Kind.DAILY_NOTIONAL, Kind.PRICE_COLLAR, Kind.VENUE_RULES),
    Kind.INSUFFICIENT_FUNDS,
)


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """Make the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SOR",
            "version": __version__,
            "summary": "A smart order router for crypto spot venues",
            "description": "Meanings, units and formulas of all fields: docs/api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": f"http://{LOOPBACK}:{_PORT}", "description": "make run; takes unsigned requests"},
            {
                "url": "https://{api_id}.execute-api.{region}.amazonaws.com/v1",
                "description": "the stack's output ApiUrl",
                "variables": {"api_id": {"default": "api_id"}, "region": {"default": "eu-west-1"}},
            },
        ],
        "security": [{SIGNED: []}],
        "paths": _paths(),
        "components": {
            "schemas": {
                **requests.schemas(),
                **answers.schemas(),
                "Receipt": receipts.receipt(),
                **problems.schemas(),
            },
            "parameters": _parameters(),
            "headers": problems.headers(),
            "examples": problems.examples(),
            "securitySchemes": {
                SIGNED: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                    "description": "AWS Signature Version 4 of the service execute-api.",
                }
            },
        },
    }


def _paths() -> dict[str, dict[str, Operation]]:
    return {
        "/api/route": {"post": _route()},
        "/api/exchanges/status": {
            "get": _operation(
                "exchangesStatus",
                "How the venues are, as last measured",
                (Kind.STATE_UNAVAILABLE,),
                "StatusAnswer",
            )
        },
        "/api/execute": {"post": _execute()},
        "/api/orders": {"get": _orders()},
        "/api/orders/{order_id}": {
            "get": _operation(
                "order",
                "How an order stands, and all that happened to it",
                _ONE_ORDER,
                "OrderDetail",
                "OrderId",
            ),
            "delete": _cancel(),
        },
        "/api/orders/{order_id}/receipt": {
            "get": _operation(
                "orderReceipt", "The receipt of an order's first decision", _ONE_ORDER, "Receipt", "OrderId"
            )
        },
        "/api/orders/{order_id}/review": {
            "get": _operation(
                "evidence", "What ledger and venues say of an order", _ONE_ORDER, "Evidence", "OrderId"
            ),
            "post": _taking(
                _operation(
                    "review",
                    "Settle what only a person can",
                    (*_BODY, *_ONE_ORDER, Kind.REVIEW_REFUSED, Kind.INVALID_REQUEST),
                    "OrderDetail",
                    "OrderId",
                ),
                "ReviewRequest",
            ),
        },
        "/api/reviews": {"get": _reviews()},
        "/api/trading": {
            "get": _operation("trading", "How the operator's switch stands", _LEDGER, "SwitchAnswer"),
            "put": _taking(
                _operation(
                    "setTrading",
                    "Set the operator's switch",
                    (*_BODY, Kind.INVALID_REQUEST, *_LEDGER),
                    "SwitchSetAnswer",
                ),
                "SwitchRequest",
            ),
        },
        "/metrics": {"get": _metrics()},
        "/health": {
            "get": {**_operation("health", "That the function runs", (), "HealthAnswer"), "security": []}
        },
    }


def _operation(name: str, summary: str, kinds: tuple[Kind, ...], answer: str, *parameters: str) -> Operation:
    """An operation that answers 200 with a document, or a problem."""
    # A parameter that means nothing is refused everywhere.
    kinds = tuple(dict.fromkeys((*kinds, Kind.INVALID_REQUEST)))
    return {
        "operationId": name,
        "summary": summary,
        **(
            {"parameters": [{"$ref": f"#/components/parameters/{each}"} for each in parameters]}
            if parameters
            else {}
        ),
        "responses": {"200": _answer("Answered.", ref(answer), name), **responses(kinds)},
    }


def _answer(description: str, schema: Schema, operation: str, status: str = "200") -> Schema:
    return {
        "description": description,
        "headers": header("CacheControl", required=True),
        "content": {JSON: shown(schema, answers_of(operation, status))},
    }


def _taking(operation: Operation, body: str) -> Operation:
    """The operation with a body."""
    media = shown(ref(body), requests_of(operation["operationId"]))
    return {**operation, "requestBody": {"required": True, "content": {JSON: media}}}


def _route() -> Operation:
    kinds = (*_BODY, Kind.INVALID, Kind.INVALID_REQUEST, *_NO_ROUTE)
    summary = "Where an order should go; sends nothing to a venue"
    return _taking(
        _operation("route", summary, kinds, "RouteAnswer", "Receipt", "CacheControl"), "RouteRequest"
    )


def _execute() -> Operation:
    kinds = (*_BODY, Kind.INVALID, Kind.INVALID_REQUEST, *_REFUSED, *_NO_ROUTE, *_LEDGER)
    operation = _operation(
        "execute", "Place an order at the venues", kinds, "OrderAnswer", "IdempotencyKey", "Prefer"
    )
    either: Schema = {"oneOf": [ref("OrderAnswer"), ref("DryRunAnswer")]}
    done = _answer("Nothing more is awaited of the order; or a dry run.", either, "execute")
    done["headers"] |= header("Location")
    done["links"] = _links()
    operation["responses"] = {
        "200": done,
        "202": _going_on("execute"),
        **operation["responses"] | {"200": done},
    }
    return _taking(operation, "ExecuteRequest")


def _cancel() -> Operation:
    operation = _operation(
        "cancel", "Cancel what is still open of an order", _ONE_ORDER, "OrderAnswer", "OrderId", "Prefer"
    )
    done = operation["responses"]["200"]
    done["headers"] |= header("Location", required=True)
    operation["responses"] = {"200": done, "202": _going_on("cancel"), **operation["responses"]}
    return operation


def _going_on(operation: str) -> Schema:
    """The answer of an order that goes on by itself."""
    answer = _answer(
        "The wait was over first: the order goes on by itself.", ref("OrderAnswer"), operation, "202"
    )
    answer["headers"] |= header("Location", required=True)
    return {**answer, "links": _links()}


def _links() -> dict[str, Any]:
    order = {"parameters": {"order_id": "$response.body#/order_id"}}
    return {name: {"operationId": name, **order} for name in ("order", "orderReceipt", "evidence", "cancel")}


def _orders() -> Operation:
    operation = _operation(
        "orders",
        "Your orders, newest first",
        (Kind.INVALID_REQUEST, *_LEDGER),
        "OrdersPage",
        "Limit",
        "Cursor",
    )
    operation["responses"]["200"]["links"] = {
        "next": {"operationId": "orders", "parameters": {"cursor": "$response.body#/cursor"}},
        "newest": {"operationId": "order", "parameters": {"order_id": "$response.body#/orders/0/order_id"}},
    }
    return operation


def _reviews() -> Operation:
    operation = _operation(
        "reviews",
        "Everybody's orders that need review, or that are open",
        (Kind.INVALID_REQUEST, *_LEDGER),
        "ReviewsPage",
        "Standing",
        "Limit",
        "Cursor",
    )
    operation["responses"]["200"]["links"] = {
        "next": {"operationId": "reviews", "parameters": {"cursor": "$response.body#/cursor"}},
        "first": {"operationId": "evidence", "parameters": {"order_id": "$response.body#/orders/0/order_id"}},
    }
    return operation


def _metrics() -> Operation:
    operation = _operation(
        "metrics", "The metrics as Prometheus reads them", (Kind.STATE_UNAVAILABLE,), "MetricsPage"
    )
    answer = operation["responses"]["200"]
    answer["content"] = {METRICS_TYPE: answer["content"][JSON]}
    return operation


def _parameters() -> dict[str, Schema]:
    return {
        "OrderId": _parameter("order_id", "path", "Of the order.", matching(ID)),
        "Receipt": _parameter("receipt", "query", "Whether to add the receipt of the decision.", FLAG),
        "Standing": _parameter(
            "status", "query", "Which orders.", {**one_of(Standing), "default": Standing.NEEDS_REVIEW.value}
        ),
        "Limit": _parameter(
            "limit",
            "query",
            "The most orders to answer.",
            {"type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": DEFAULT_LIMIT},
        ),
        "Cursor": _parameter(
            "cursor",
            "query",
            "The cursor of an earlier answer: go on after its last order.",
            matching("^[!-~]{1,2048}$"),
        ),
        "IdempotencyKey": _parameter(
            "Idempotency-Key",
            "header",
            "The key of this order: the same again is the same order. Required where neither it nor "
            "client_order_id is given and SOR_REQUIRE_IDEMPOTENCY_KEY is true.",
            matching("^[ -~]{1,128}$"),
        ),
        "Prefer": _parameter(
            "Prefer",
            "header",
            f"wait=N (RFC 7240): whole seconds to wait for the order's end; {DEFAULT_WAIT_S} without it, "
            f"more than {MOST_WAIT_S} is {MOST_WAIT_S}. What cannot be read counts for nothing.",
            {"type": "string"},
        ),
        "CacheControl": _parameter(
            "Cache-Control",
            "header",
            "no-cache asks for a decision on books fetched now.",
            {"type": "string"},
        ),
    }


def _parameter(name: str, where: str, description: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": schema,
    }
