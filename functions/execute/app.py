"""Writes. `handler` serves the API; `task`, deployed a second time, the state machine and the schedules."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from sor_core.api import http

if TYPE_CHECKING:
    from sor_core.bootstrap.execute import ExecuteRuntime
    from sor_core.bootstrap.tasks import TaskRuntime

routes = http.Routes()


@cache
def execute_runtime() -> ExecuteRuntime:
    """Serve the API; the tasks need none of what reads its requests."""
    from sor_core.bootstrap.execute import ExecuteRuntime  # noqa: PLC0415

    return ExecuteRuntime(os.environ)


@cache
def task_runtime() -> TaskRuntime:
    """Serve the tasks."""
    from sor_core.bootstrap.tasks import TaskRuntime  # noqa: PLC0415

    return TaskRuntime(os.environ)


# Made while Lambda starts this, for the handler that it names (AWS, "Using Lambda environment variables").
if make := {"app.handler": execute_runtime, "app.task": task_runtime}.get(os.environ.get("_HANDLER", "")):
    make()


@routes.on("POST", "/api/execute")
def execute(event: http.Event) -> http.Answer:
    """Execute an order."""
    asked = (http.json_body(event), http.headers_of(event), http.caller(event), http.correlation_id(event))
    return http.json_answer(*execute_runtime().execute(*asked))


@routes.on("DELETE", "/api/orders/{order_id}")
def cancel(event: http.Event) -> http.Answer:
    """Cancel what is still open of an order."""
    asked = (http.path_of(event, "order_id"), http.caller(event), http.headers_of(event))
    return http.json_answer(*execute_runtime().cancel(*asked))


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
