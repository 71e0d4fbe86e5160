"""Reads: where an order should go, how the venues are, how orders stand, whether the service is up."""

from __future__ import annotations

import os
from typing import Any

from sor_core.api.http import (
    Answer,
    Event,
    Routes,
    answer,
    caller,
    json_answer,
    json_body,
    path_of,
    query_of,
    wants_fresh,
    wants_receipt,
)
from sor_core.bootstrap.route import RouteRuntime

runtime = RouteRuntime(os.environ)
routes = Routes()


@routes.on("POST", "/api/route", "receipt")
def route(event: Event) -> Answer:
    """Decide where an order goes."""
    asked = {"fresh": wants_fresh(event), "receipt": wants_receipt(event)}
    return json_answer(runtime.route(json_body(event), **asked))


@routes.on("GET", "/api/exchanges/status")
def status(_: Event) -> Answer:
    """Tell how the venues are."""
    return json_answer(runtime.status())


@routes.on("GET", "/api/orders", "limit", "cursor")
def orders(event: Event) -> Answer:
    """List the caller's orders, newest first."""
    return json_answer(runtime.orders.page(caller(event), query_of(event)))


@routes.on("GET", "/api/orders/{order_id}")
def order(event: Event) -> Answer:
    """Tell how an order stands, and what happened to it."""
    return json_answer(runtime.orders.order(path_of(event, "order_id"), caller(event)))


@routes.on("GET", "/api/orders/{order_id}/receipt")
def receipt(event: Event) -> Answer:
    """Give the receipt of an order's first decision."""
    return json_answer(runtime.orders.receipt(path_of(event, "order_id"), caller(event)))


@routes.on("GET", "/api/trading")
def trading(_: Event) -> Answer:
    """Tell how the operator's switch stands."""
    return json_answer(runtime.orders.switch())


@routes.on("GET", "/metrics")
def metrics(_: Event) -> Answer:
    """Give the metrics as Prometheus reads them."""
    return answer(*runtime.metrics_page())


@routes.on("GET", "/health")
def health(_: Event) -> Answer:
    """Tell that the service is up."""
    return json_answer(runtime.health())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve an API Gateway REST event."""
    return runtime.serve(routes, event, context, "requestContext.requestId")
