"""Scheduled: measure the venues. Messages come through SQS, or directly when invoked by hand."""

from __future__ import annotations

import os
from typing import Any

from sor_core.api.sqs import each_message
from sor_core.bootstrap.probe import ProbeRuntime

runtime = ProbeRuntime(os.environ)


def serve(event: dict[str, Any], _: object) -> Any:
    """Serve one or many messages."""
    if "Records" in event:
        return each_message(event, runtime.handle, runtime.log)
    return runtime.handle(event)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Serve an SQS event, or one message given directly."""
    return runtime.serve(serve, event, context)
