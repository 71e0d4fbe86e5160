"""Batches of SQS messages in, what failed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sor_core.api.json import loads
from sor_core.observability import Log
from sor_core.ports import StateError


def each_message(event: Mapping[str, Any], handle: Callable[[Any], object], log: Log) -> dict[str, Any]:
    """Handle every message of a batch; give those that failed, so that the queue repeats just these.

    A message fails that is none of ours, or that finds no store. Anything else is a bug and raised: the
    queue repeats the batch, and Lambda counts an error, by which a new version is taken back.

    The answer is what ``ReportBatchItemFailures`` wants (AWS, "Handling errors for an SQS event source
    in Lambda"). Powertools' batch processor does the same and would load its event classes at every
    cold start (docs/performance.md).
    """
    failed = []
    for record in event["Records"]:
        try:
            handle(loads(record["body"]))
        except (StateError, ValueError) as error:
            log.warning("message failed", message_id=record["messageId"], error=repr(error))
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
