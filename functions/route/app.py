"""Reads: where an order should go, how the venues are, whether the service is up."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from sor_core.api.http import json_answer, json_body, make_resolver, wants_fresh
from sor_core.bootstrap import RouteRuntime

runtime = RouteRuntime(os.environ)
app = make_resolver()


@app.post("/api/route")
def route() -> Response[str]:
    """Decide where an order goes."""
    event = app.current_event
    return json_answer(runtime.route(json_body(event), fresh=wants_fresh(event)))


@app.get("/api/exchanges/status")
def status() -> Response[str]:
    """Tell how the venues are."""
    return json_answer(runtime.status())


@app.get("/health")
def health() -> Response[str]:
    """Tell that the service is up."""
    return json_answer(runtime.health())


@runtime.logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Serve an API Gateway REST event."""
    return app.resolve(event, context)
