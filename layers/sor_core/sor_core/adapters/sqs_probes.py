"""The probe queue on SQS: message delays reach what the scheduler's minute cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sor_core.ports import StateError

PROBE_MESSAGE = '{"kind":"scheduled_probe"}'


class SqsProbeQueue:
    """`ports.ProbeQueue` on an SQS queue.

    Parameters
    ----------
    client
        A boto3 ``sqs`` client with explicit timeouts.
    url
        The queue's address.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    async def schedule(self, delays_s: Sequence[int]) -> None:
        entries = [
            {"Id": str(n), "MessageBody": PROBE_MESSAGE, "DelaySeconds": delay}
            for n, delay in enumerate(delays_s)
        ]
        try:
            answer = await asyncio.to_thread(
                self._client.send_message_batch, QueueUrl=self._url, Entries=entries
            )
        except ClientError as error:
            raise StateError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StateError(type(error).__name__) from error
        if answer.get("Failed"):
            raise StateError(f"{len(answer['Failed'])} of {len(entries)} probes not scheduled")
