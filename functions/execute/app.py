"""Writes. `handler` serves the API; `task`, deployed a second time, the state machine and the schedules."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from sor_core.api.http import (
    Answer,
    Event,
    Routes,
    caller,
    correlation_id,
    headers_of,
    json_answer,
    json_body,
    path_of,
    signer,
)
from sor_core.bootstrap.trading import ExecuteRuntime, TaskRuntime

execute_runtime = cache(lambda: ExecuteRuntime(os.environ))
task_runtime = cache(lambda: TaskRuntime(os.environ))

# Made while Lambda starts this, for the handler that it names (AWS, "Using Lambda environment variables").
make = {"app.handler": execute_runtime, "app.task": task_runtime}.get(os.environ.get("_HANDLER", ""))
if make is not None:
    make()


routes = Routes()


@routes.on("POST", "/api/execute")
def execute(event: Event) -> Answer:
    """Execute an order."""
    asked = (json_body(event), headers_of(event), caller(event), correlation_id(event))
    return json_answer(*execute_runtime().execute(*asked))


@routes.on("DELETE", "/api/orders/{order_id}")
def cancel(event: Event) -> Answer:
    """Cancel what is still open of an order."""
    asked = (path_of(event, "order_id"), caller(event), headers_of(event))
    return json_answer(*execute_runtime().cancel(*asked))


@routes.on("GET", "/api/orders/{order_id}/review")
def evidence(event: Event) -> Answer:
    """Show what ledger and venues say of an order, side by side."""
    return json_answer(execute_runtime().evidence(path_of(event, "order_id")))


@routes.on("POST", "/api/orders/{order_id}/review")
def review(event: Event) -> Answer:
    """Take an operator's word on an order."""
    asked = (path_of(event, "order_id"), json_body(event), signer(event))
    return json_answer(execute_runtime().review(*asked))


@routes.on("PUT", "/api/trading")
def trading(event: Event) -> Answer:
    """Set the operator's switch."""
    return json_answer(execute_runtime().set_switch(json_body(event), signer(event)))


def handler(event: dict[str, Any], context: Any) -> Any:
    """Serve an API Gateway REST event."""
    request = "requestContext.requestId"
    logged = execute_runtime().logger.inject_lambda_context(correlation_id_path=request, clear_state=True)
    return logged(execute_runtime().metered(routes))(event, context)


def task(event: dict[str, Any], context: Any) -> Any:
    """Do what a message ``{"task": ...}`` asks."""
    runtime = task_runtime()
    logged = runtime.logger.inject_lambda_context(correlation_id_path="correlation_id", clear_state=True)
    return logged(runtime.metered(lambda message, _: runtime.handle(message)))(event, context)
