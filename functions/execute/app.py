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


execute_runtime = cache(lambda: ExecuteRuntime(os.environ))
task_runtime = cache(lambda: TaskRuntime(os.environ))

# Made while Lambda starts this, for the handler that it names (AWS, "Using Lambda environment variables").
make = {"app.handler": execute_runtime, "app.task": task_runtime}.get(os.environ.get("_HANDLER", ""))
if make is not None:
    make()


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


@app.get("/api/orders/<order_id>/review")
def evidence(order_id: str) -> Response[str]:
    """Show what ledger and venues say of an order, side by side."""
    return json_answer(execute_runtime().evidence(order_id))


@app.post("/api/orders/<order_id>/review")
def review(order_id: str) -> Response[str]:
    """Take an operator's word on an order."""
    asked = (json_body(app.current_event), caller(app.current_event))
    return json_answer(execute_runtime().review(order_id, *asked))


@app.put("/api/trading")
def trading() -> Response[str]:
    """Set the operator's switch."""
    return json_answer(execute_runtime().set_switch(json_body(app.current_event), caller(app.current_event)))


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Serve an API Gateway REST event."""
    request = "requestContext.requestId"
    logged = execute_runtime().logger.inject_lambda_context(correlation_id_path=request, clear_state=True)
    return logged(execute_runtime().metered(app.resolve))(event, context)


def task(event: dict[str, Any], context: LambdaContext) -> Any:
    """Do what a message ``{"task": ...}`` asks."""
    runtime = task_runtime()
    logged = runtime.logger.inject_lambda_context(correlation_id_path="correlation_id", clear_state=True)
    return logged(runtime.metered(lambda message, _: runtime.handle(message)))(event, context)
