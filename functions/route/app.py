"""Reads: where an order should go, how the venues are, whether the service is up."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from sor_core.api.http import caller, json_answer, json_body, make_resolver, wants_fresh, wants_receipt
from sor_core.api.prometheus import CONTENT_TYPE
from sor_core.bootstrap import RouteRuntime

runtime = RouteRuntime(os.environ)
app = make_resolver()


@app.post("/api/route")
def route() -> Response[str]:
    """Decide where an order goes."""
    event = app.current_event
    asked = {"fresh": wants_fresh(event), "receipt": wants_receipt(event)}
    return json_answer(runtime.route(json_body(event), **asked))


@app.get("/api/exchanges/status")
def status() -> Response[str]:
    """Tell how the venues are."""
    return json_answer(runtime.status())


@app.get("/api/orders")
def orders() -> Response[str]:
    """List the caller's orders, newest first."""
    event = app.current_event
    return json_answer(runtime.orders(caller(event), event.query_string_parameters or {}))


@app.get("/api/orders/<order_id>")
def order(order_id: str) -> Response[str]:
    """Tell how an order stands, and what happened to it."""
    return json_answer(runtime.order(order_id, caller(app.current_event)))


@app.get("/api/orders/<order_id>/receipt")
def receipt(order_id: str) -> Response[str]:
    """Give the receipt of an order's first decision."""
    return json_answer(runtime.receipt(order_id, caller(app.current_event)))


@app.get("/api/trading")
def trading() -> Response[str]:
    """Tell how the operator's switch stands."""
    return json_answer(runtime.switch())


@app.get("/metrics")
def metrics() -> Response[str]:
    """Give the metrics as Prometheus reads them."""
    return Response(200, CONTENT_TYPE, runtime.metrics_page(), headers={"Cache-Control": "no-store"})


@app.get("/health")
def health() -> Response[str]:
    """Tell that the service is up."""
    return json_answer(runtime.health())


@runtime.logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an API Gateway REST event."""
    return runtime.metered(app.resolve)(event, context)
