"""Writes. `handler` serves the API; `task`, deployed twice more, the state machine and the schedules."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from sor_core.api import http
from sor_core.bootstrap.writes import make_execute, make_tasks

routes = http.Routes()
execute_runtime, task_runtime = cache(make_execute), cache(make_tasks)

# Made while Lambda starts this, for the handler that it names (AWS, "Using Lambda environment variables").
if make := {"app.handler": execute_runtime, "app.task": task_runtime}.get(os.environ.get("_HANDLER", "")):
    make()


@routes.on("POST", "/api/execute")
def execute(event: http.Event) -> http.Answer:
    """Execute an order."""
    http.sent_once(event, "Idempotency-Key")
    asked = (http.json_body(event), http.headers_of(event), http.caller(event), http.correlation_id(event))
    return http.json_answer(*execute_runtime().execute(*asked))


@routes.on("DELETE", "/api/orders/{order_id}")
def cancel(event: http.Event) -> http.Answer:
    """Cancel what is still open of an order."""
    asked = (http.path_of(event, "order_id"), http.caller(event), http.headers_of(event))
    return http.json_answer(*execute_runtime().cancel(*asked))


@routes.on("GET", "/api/reviews", "status", "limit", "cursor")
def reviews(event: http.Event) -> http.Answer:
    """List all callers' orders that need review, or that are open."""
    return http.json_answer(execute_runtime().reviews(http.query_of(event)))


@routes.on("GET", "/api/orders/{order_id}/review")
def evidence(event: http.Event) -> http.Answer:
    """Show what ledger and venues say of an order, side by side."""
    return http.json_answer(execute_runtime().evidence(http.path_of(event, "order_id")))


@routes.on("POST", "/api/orders/{order_id}/review")
def review(event: http.Event) -> http.Answer:
    """Take an operator's word on an order."""
    asked = (http.path_of(event, "order_id"), http.json_body(event), http.signer(event))
    return http.json_answer(execute_runtime().review(*asked))


@routes.on("PUT", "/api/trading")
def trading(event: http.Event) -> http.Answer:
    """Set the operator's switch."""
    return http.json_answer(execute_runtime().set_switch(http.json_body(event), http.signer(event)))


def handler(event: dict[str, Any], context: Any) -> Any:
    """Serve an API Gateway REST event."""
    return execute_runtime().serve(routes, event, context, "requestContext.requestId")


def task(event: dict[str, Any], context: Any) -> Any:
    """Do what a message ``{"task": ...}`` asks."""
    runtime = task_runtime()
    return runtime.serve(lambda message, _: runtime.handle(message), event, context, "correlation_id")
