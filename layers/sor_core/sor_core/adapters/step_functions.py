"""Starts the failover state machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sor_core.ports import StateError

_STARTED_BEFORE = "ExecutionAlreadyExists"


class StepFunctionsFailover:
    """`ports_trading.Failover` on AWS Step Functions.

    Parameters
    ----------
    make_client
        Gives a boto3 ``stepfunctions`` client with explicit timeouts; asked for when first needed,
        because most orders never need it.
    machine_arn
        Of the state machine.
    """

    def __init__(self, make_client: Callable[[], Any], machine_arn: str) -> None:
        self._make_client = make_client
        self._client: Any = None
        self._machine_arn = machine_arn

    async def start(self, order_id: str, epoch: int, correlation_id: str) -> None:
        message = {"order_id": order_id, "epoch": epoch, "correlation_id": correlation_id}
        try:
            await asyncio.to_thread(self._start, f"{order_id}-{epoch}", json.dumps(message))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != _STARTED_BEFORE:
                raise StateError(code) from error
        except BotoCoreError as error:
            raise StateError(type(error).__name__) from error

    def _start(self, name: str, message: str) -> None:
        if self._client is None:
            self._client = self._make_client()
        self._client.start_execution(stateMachineArn=self._machine_arn, name=name, input=message)
