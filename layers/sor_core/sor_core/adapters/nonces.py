"""Kraken's nonces: numbers that only grow, for each key, over all processes that use it.

One item a key, ``nonce#<key id>`` | ``-``. A number is the time in nanoseconds, or one more than the
last where that is not enough: so a lost item, or a key that another program used before, does no
harm, and neither do clocks that differ. It never expires.

::

    next       nonce = now             if nonce < now
               nonce = nonce + 1       otherwise
    take_turn  the same, with owner and until_ms, if nobody's until_ms lies ahead
    end_turn   until_ms = 0            if owner is still the same
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sor_core.clock import Clock
from sor_core.ports import StateError

_T = TypeVar("_T")

_NS_IN_MS = 1_000_000
_CONDITION_FAILED = "ConditionalCheckFailedException"
# `owner` itself may take it again: the SDK repeats an update whose answer was lost.
_FREE = "(attribute_not_exists(until_ms) OR until_ms <= :now_ms OR #owner = :owner)"
_BEHIND = "(attribute_not_exists(nonce) OR nonce < :now_ns)"
_TAKE = "#owner = :owner, until_ms = :until_ms"


class DynamoNonces:
    """`ports_trading.Nonces` on DynamoDB.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client with explicit timeouts. It blocks, so calls run in threads. Its
        retries do no harm: a number given to nobody is a gap, and gaps are allowed.
    table
        Name of the state table.
    clock
        Ours.
    """

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    async def next(self, key_id: str) -> int:
        now_ns = {":now_ns": _number(self._clock.now_ms() * _NS_IN_MS)}
        nonce = await self._update(key_id, "SET nonce = :now_ns", _BEHIND, now_ns)
        if nonce is None:
            nonce = await self._update(
                key_id, "SET nonce = nonce + :one", "attribute_exists(nonce)", {":one": _number(1)}
            )
        if nonce is None:
            raise StateError("the item of a nonce vanished")
        return nonce

    async def take_turn(self, key_id: str, owner: str, *, for_ms: int) -> int | None:
        now_ms = self._clock.now_ms()
        turn = {
            ":owner": {"S": owner},
            ":until_ms": _number(now_ms + for_ms),
            ":now_ms": _number(now_ms),
        }
        names = {"#owner": "owner"}
        nonce = await self._update(
            key_id,
            f"SET nonce = :now_ns, {_TAKE}",
            f"{_BEHIND} AND {_FREE}",
            {**turn, ":now_ns": _number(now_ms * _NS_IN_MS)},
            names,
        )
        if nonce is not None:
            return nonce
        return await self._update(
            key_id,
            f"SET nonce = nonce + :one, {_TAKE}",
            f"attribute_exists(nonce) AND {_FREE}",
            {**turn, ":one": _number(1)},
            names,
        )

    async def end_turn(self, key_id: str, owner: str) -> None:
        await self._update(
            key_id,
            "SET until_ms = :zero",
            "#owner = :owner",
            {":zero": _number(0), ":owner": {"S": owner}},
            {"#owner": "owner"},
        )

    async def _update(
        self,
        key_id: str,
        update: str,
        condition: str,
        values: dict[str, dict[str, str]],
        names: dict[str, str] | None = None,
    ) -> int | None:
        """Run an update and give the nonce after it; None if its condition did not hold."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"pk": {"S": f"nonce#{key_id}"}, "sk": {"S": "-"}},
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
        }
        if names is not None:
            request["ExpressionAttributeNames"] = names
        try:
            answer = await self._run(lambda: self._client.update_item(**request))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == _CONDITION_FAILED:
                return None
            raise StateError(code) from error
        return int(answer["Attributes"]["nonce"]["N"])

    async def _run(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(call)
        except BotoCoreError as error:
            raise StateError(type(error).__name__) from error


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}
