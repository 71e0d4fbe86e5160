"""Sums of metrics in the state table.

One item for each function and shard, ``metrics#route#3`` | ``-``; its attributes are the series::

    rd|binance|best_price    a counter                     ADD
    rs|0.25                  a histogram's bucket, <= 0.25 ADD
    rs|sum                   the sum of its values         ADD
    mm|route  mm|route@      a gauge, and when (Unix ms)   SET

`ADD` is applied whole to whatever is there (DynamoDB, "Update expressions"), so concurrent functions
lose nothing of each other. It is not idempotent: where an answer is lost and the SDK sends again, a
count may be too high. A shard is chosen once a process: an item takes about 1000 writes a second.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sor_core.clock import Clock
from sor_core.metrics import FUNCTIONS, METRICS, Kind, Metric, Series, bucket_of
from sor_core.ports import StateError
from sor_core.services.metering import Distribution, Recorded, Totals

SHARDS = 8
_SUM = "sum"
_LAST = "+Inf"
_READS = 4
_READ_PAUSE_S = 0.05
_KEYS: Mapping[str, Metric] = {m.key: m for m in METRICS.values() if m.key}
_Numbers = dict[str, float]
_T = TypeVar("_T")


class DynamoCounters:
    """`services.metering.CounterStore` on DynamoDB.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client with explicit timeouts. It blocks, so calls run in threads.
    table
        Name of the state table.
    function
        Whose item is written, one of `metrics.FUNCTIONS`.
    shard
        A random number of this process.
    clock
        Dates gauges.
    """

    def __init__(self, client: Any, table: str, function: str, shard: int, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._own = _item_key(function, shard % SHARDS)
        self._clock = clock

    async def add(self, recorded: Recorded) -> None:
        """Add one invocation's, in one write."""
        added, levels = encode(recorded, self._clock.now_ms())
        if added or levels:
            request = _update(added, levels)
            await self._run(
                partial(self._client.update_item, TableName=self._table, Key=self._own, **request)
            )

    async def totals(self) -> Totals:
        """Add all items up.

        Reads are consistent: a sum that falls would look like a restart to Prometheus.
        """
        wanted = [_item_key(f, shard) for f, shard in product(FUNCTIONS, range(SHARDS))]
        items: list[dict[str, Any]] = []
        for read in range(_READS):
            request = {self._table: {"Keys": wanted, "ConsistentRead": True}}
            answer = await self._run(partial(self._client.batch_get_item, RequestItems=request))
            items += answer["Responses"].get(self._table, ())
            wanted = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not wanted:
                return decode({n: float(v["N"]) for n, v in i.items() if "N" in v} for i in items)
            await asyncio.sleep(_READ_PAUSE_S * 2**read)
        raise StateError("not all counters could be read")

    async def _run(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(call)
        except ClientError as error:
            raise StateError(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise StateError(type(error).__name__) from error


def encode(recorded: Recorded, now_ms: int) -> tuple[_Numbers, _Numbers]:
    """What is added to which attributes, and what is set."""
    added: _Numbers = defaultdict(float)
    for series, count in recorded.counts.items():
        added[_attribute(series)] += count
    for series, values in recorded.observations.items():
        metric, base = METRICS[series[0]], _attribute(series)
        for value in values:
            added[f"{base}|{_bound(metric, bucket_of(metric, value))}"] += 1
            added[f"{base}|{_SUM}"] += value
    levels: _Numbers = {}
    for series, level in recorded.levels.items():
        if METRICS[series[0]].key:
            levels[_attribute(series)] = level
            levels[f"{_attribute(series)}@"] = now_ms
    return added, levels


def decode(items: Iterable[Mapping[str, float]]) -> Totals:
    """Add items up; of a gauge the youngest counts. What this version does not know is left out."""
    counts: dict[Series, float] = defaultdict(float)
    buckets: dict[Series, list[float]] = {}
    sums: dict[Series, float] = defaultdict(float)
    levels: dict[Series, tuple[float, float]] = {}
    for item in items:
        for name, number in item.items():
            key, *labels = name.split("|")
            metric = _KEYS.get(key)
            if metric is None or name.endswith("@"):
                continue
            if metric.kind is Kind.HISTOGRAM:
                *labels, bound = labels
                series = (metric.name, tuple(labels))
                into = buckets.setdefault(series, [0.0] * (len(metric.buckets) + 1))
                if bound == _SUM:
                    sums[series] += number
                else:
                    # Bounds may change from version to version: what was counted moves up to the next.
                    into[bucket_of(metric, float(bound))] += number
            elif metric.kind is Kind.COUNTER:
                counts[metric.name, tuple(labels)] += number
            else:
                series, at_ms = (metric.name, tuple(labels)), item.get(f"{name}@", 0.0)
                if series not in levels or levels[series][1] <= at_ms:
                    levels[series] = (number, at_ms)
    return Totals(
        dict(counts),
        {s: Distribution(tuple(each), sums[s]) for s, each in buckets.items()},
        {s: level for s, (level, _) in levels.items()},
    )


def _item_key(function: str, shard: int) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"metrics#{function}#{shard}"}, "sk": {"S": "-"}}


def _attribute(series: Series) -> str:
    return "|".join([METRICS[series[0]].key, *series[1]])


def _bound(metric: Metric, bucket: int) -> str:
    return _LAST if bucket == len(metric.buckets) else f"{metric.buckets[bucket]:g}"


def _update(added: Mapping[str, float], levels: Mapping[str, float]) -> dict[str, Any]:
    numbers = [*added.items(), *levels.items()]
    adds = ", ".join(f"#{n} :{n}" for n in range(len(added)))
    sets = ", ".join(f"#{n} = :{n}" for n in range(len(added), len(numbers)))
    return {
        "UpdateExpression": " ".join([f"ADD {adds}" * bool(adds), f"SET {sets}" * bool(sets)]).strip(),
        "ExpressionAttributeNames": {f"#{n}": name for n, (name, _) in enumerate(numbers)},
        "ExpressionAttributeValues": {f":{n}": {"N": _plain(v)} for n, (_, v) in enumerate(numbers)},
    }


def _plain(number: float) -> str:
    """A number of at most nine decimals: sums of such never need more digits than the 38 kept."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
