"""Writes. `handler` serves the API; `task`, deployed a second time, the state machine and the schedules."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from sor_core.api.http import caller, correlation_id, headers_of, json_answer, json_body, make_resolver
from sor_core.bootstrap_trading import ExecuteRuntime, TaskRuntime

app = make_resolver()


@cache
def execute_runtime() -> ExecuteRuntime:
    """Give what serves the API, one for this process."""
    return ExecuteRuntime(os.environ)


@cache
def task_runtime() -> TaskRuntime:
    """Give what does tasks, one for this process."""
    return TaskRuntime(os.environ)


# Made while Lambda starts this, for the handler that it names (AWS, "Using Lambda environment variables").
if os.environ.get("_HANDLER") == "app.handler":
    execute_runtime()
elif os.environ.get("_HANDLER") == "app.task":
    task_runtime()


@app.post("/api/execute")
def execute() -> Response[str]:
    """Execute an order."""
    event = app.current_event
    asked = (json_body(event), headers_of(event), caller(event), correlation_id(event))
    return json_answer(*execute_runtime().execute(*asked))


@app.delete("/api/orders/<order_id>")
def cancel(order_id: str) -> Response[str]:
    """Cancel what is still open of an order."""
    event = app.current_event
    return json_answer(*execute_runtime().cancel(order_id, caller(event), headers_of(event)))


@app.post("/api/orders/<order_id>/review")
def review(order_id: str) -> Response[str]:
    """Take an operator's word on an order."""
    event = app.current_event
    return json_answer(execute_runtime().review(order_id, json_body(event), caller(event)))


@app.put("/api/trading")
def trading() -> Response[str]:
    """Set the operator's switch."""
    event = app.current_event
    return json_answer(execute_runtime().set_switch(json_body(event), caller(event)))


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Serve an API Gateway REST event."""
    path = "requestContext.requestId"
    logged = execute_runtime().logger.inject_lambda_context(correlation_id_path=path, clear_state=True)
    return logged(app.resolve)(event, context)


def task(event: dict[str, Any], context: LambdaContext) -> Any:
    """Do what a message ``{"task": ...}`` asks."""
    runtime = task_runtime()
    logged = runtime.logger.inject_lambda_context(correlation_id_path="correlation_id", clear_state=True)
    return logged(lambda message, _: runtime.handle(message))(event, context)
