"""One DynamoDB table whose writes are all conditional, and never in doubt without saying so.

::

    write: PutItem, or TransactWriteItems
      |-- done ---------------------------------------------> None
      |-- a condition failed -------------------------------> Refused
      |-- busy (in conflict with a transaction, throttled): the same again, a little later
      |-- no answer, or 5xx: it may be written, now or later: the same again
      '-- anything else, or that too often -----------------> LedgerError

Repeating a write unchanged is safe where being applied makes its own condition fail: however many
copies are on their way (the SDK repeats, too, unasked), at most one is ever applied. So a condition
that fails may be the work of my own first copy: the caller reads what is there, and knows it by its
random `write_id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

from sor_core.adapters.dynamo_orders_items import Item
from sor_core.clock import Clock
from sor_core.ports_trading import LedgerError

Request = dict[str, Any]

_GIVE_UP_AFTER_MS = 3000
_MOST_TRIES = 12
_MOST_UNANSWERED = 2
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.4
_KEYS_A_READ = 100
_SERVER_ERROR = 500

_BUSY = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
    }
)
"""Nothing was written, and the same may be written in a moment (DynamoDB's errors of TransactWriteItems)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Conditions failed."""

    places: Mapping[int, Item]
    """By their place in the write: each item as it stood, where the write asks for that, else empty."""
    may_follow: bool
    """Whether another copy of the write may still arrive, and find the conditions changed."""


class DynamoTable:
    """The table. Every method raises `LedgerError` only.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client with explicit timeouts. It blocks, so calls run in threads.
    name
        Of the table.
    clock
        For how long to go on trying.
    uniform
        Gives random numbers from 0 to 1, which spread repetitions in time.
    """

    def __init__(self, client: Any, name: str, clock: Clock, uniform: Callable[[], float]) -> None:
        self._client = client
        self.name = name
        self._clock = clock
        self._uniform = uniform

    def put(
        self, item: Item, condition: str = "", values: Mapping[str, Mapping[str, str]] | None = None
    ) -> Request:
        """Make a Put; each value ``:x`` is compared to the attribute ``#x``."""
        request: Request = {"TableName": self.name, "Item": item}
        if condition:
            request["ConditionExpression"] = condition
        if values is not None:
            request["ExpressionAttributeNames"] = _names(values)
            request["ExpressionAttributeValues"] = values
        return {"Put": request}

    async def write(self, actions: Sequence[Request], token: str) -> Refused | None:
        """Write all, or nothing: one Put by itself, several actions as a transaction.

        The `token` must be random: made from the content it would tell success to two that race to
        write the same.

        Raises
        ------
        LedgerError
            If it is not written, or if nobody can say: a copy of it may arrive later.
        """
        call = partial(self._client.transact_write_items, TransactItems=actions, ClientRequestToken=token)
        if len(actions) == 1:
            call = partial(self._client.put_item, **actions[0]["Put"])
        until_ms = self._clock.monotonic_ms() + _GIVE_UP_AFTER_MS
        unanswered = tries = 0
        while True:
            tries += 1
            try:
                await asyncio.to_thread(call)
            except ClientError as error:
                unanswered += _status(error) >= _SERVER_ERROR
                if places := _failed_conditions(error):
                    return Refused(places, may_follow=bool(unanswered or _was_repeated(error)))
                problem = LedgerError(", ".join(sorted(_codes(error))))
                problem.__cause__ = error
                again = _codes(error) <= _BUSY or _status(error) >= _SERVER_ERROR
            except BotoCoreError as error:
                unanswered += 1
                problem = LedgerError(f"no answer, it may or may not be written: {type(error).__name__}")
                problem.__cause__ = error
                again = isinstance(error, (HTTPClientError, NotConnectedError))
            else:
                return None
            late = self._clock.monotonic_ms() >= until_ms
            if not again or late or tries == _MOST_TRIES or unanswered >= _MOST_UNANSWERED:
                raise problem
            await self._pause(tries)

    async def get(self, key: Mapping[str, Any]) -> Item | None:
        """Read an item as it stands."""
        answer = await self._read(
            partial(self._client.get_item, TableName=self.name, Key=key, ConsistentRead=True)
        )
        item: Item | None = answer.get("Item")
        return item

    async def get_all(self, keys: Sequence[Mapping[str, Any]]) -> list[Item]:
        """Read items as they stand, in any order; all that exist."""
        found: list[Item] = []
        for start in range(0, len(keys), _KEYS_A_READ):
            some = list(keys[start : start + _KEYS_A_READ])
            wanted: Request = {self.name: {"Keys": some, "ConsistentRead": True}}
            for tries in range(1, _MOST_TRIES + 1):
                answer = await self._read(partial(self._client.batch_get_item, RequestItems=wanted))
                found += answer["Responses"].get(self.name, ())
                wanted = answer.get("UnprocessedKeys") or {}
                if not wanted:
                    break
                await self._pause(tries)
            if wanted:
                raise LedgerError("not all that was asked for was read")
        return found

    async def query(
        self,
        index: str,
        condition: str,
        values: Mapping[str, Mapping[str, str]],
        *,
        most: int | None,
        descending: bool = False,
        after: Item | None = None,
    ) -> list[Item]:
        """Read an index, which lags a little, in its order: to the end, or the most that is wanted.

        Each value ``:x`` is compared to the attribute ``#x``. `after` is a key of index and table,
        of an item that need not be there any more: only what comes after it is read.
        """
        request: Request = {
            "TableName": self.name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": _names(values),
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not descending,
        }
        if after is not None:
            request["ExclusiveStartKey"] = after
        found: list[Item] = []
        while True:
            if most is not None:
                request["Limit"] = most - len(found)
            answer = await self._read(partial(self._client.query, **request))
            found += answer["Items"]
            if len(found) == most or not answer.get("LastEvaluatedKey"):
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def _read(self, call: Callable[[], Request]) -> Request:
        try:
            return await asyncio.to_thread(call)
        except ClientError as error:
            raise LedgerError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise LedgerError(type(error).__name__) from error

    async def _pause(self, tries: int) -> None:
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**tries)
        await asyncio.sleep(self._uniform() * longest_s)


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    """Never the bare names: many, such as `day` and `open`, are words of DynamoDB's own."""
    return {"#" + name[1:]: name[1:] for name in values}


def _failed_conditions(error: ClientError) -> dict[int, Item]:
    if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
        return {0: {}}
    reasons = error.response.get("CancellationReasons", ())
    return {
        place: reason.get("Item", {})
        for place, reason in enumerate(reasons)
        if reason.get("Code") == "ConditionalCheckFailed"
    }


def _codes(error: ClientError) -> set[str]:
    reasons = error.response.get("CancellationReasons", ())
    told = {reason["Code"] for reason in reasons if reason.get("Code", "None") != "None"}
    return told or {error.response["Error"]["Code"]}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _was_repeated(error: ClientError) -> bool:
    """Whether the SDK sent it before: what came of that it does not tell."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
