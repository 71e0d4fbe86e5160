"""Scheduled: measure the venues. Messages come through SQS, or directly when invoked by hand."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from sor_core.api.json import loads
from sor_core.bootstrap import ProbeRuntime

runtime = ProbeRuntime(os.environ)
# Failures are answered record by record, also when all failed: the queue repeats just those.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def handle_record(record: SQSRecord) -> None:
    """Do what one message asks."""
    runtime.handle(loads(record.body))


def serve(event: dict[str, Any], context: LambdaContext) -> Any:
    """Serve one or many messages."""
    if "Records" in event:
        return process_partial_response(event, handle_record, processor, context)
    return runtime.handle(event)


@runtime.logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Serve an SQS event, or one message given directly."""
    return runtime.metered(serve)(event, context)
