"""What writing and reading the counters costs, against a DynamoDB at an address.

    PYTHONPATH=layers/sor_core python -m benchmarks.counters http://127.0.0.1:PORT sor-state

Beside ``make run``, which says where its local AWS is.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import quantiles
from typing import Any

import boto3
from botocore.config import Config

from sor_core.adapters.dynamo_counters import DynamoCounters
from sor_core.clock import SystemClock
from sor_core.metrics import (
    PROCESS_CPU_SECONDS,
    PROCESS_MEMORY_BYTES,
    REQUEST_SECONDS,
    REQUESTS,
    ROUTING_CACHE_LOOKUPS,
    ROUTING_DECISION_SECONDS,
    ROUTING_DECISIONS,
)
from sor_core.services.metering import Recorder

WRITES = 300


def a_route() -> Recorder:
    """What one route records."""
    recorder = Recorder()
    recorder.count(ROUTING_DECISIONS, "binance", "best_price")
    recorder.count(ROUTING_CACHE_LOOKUPS, "miss")
    recorder.observe(ROUTING_DECISION_SECONDS, 0.02)
    recorder.observe(REQUEST_SECONDS, 0.02, "route")
    recorder.count(REQUESTS, "route", "ok")
    recorder.count(PROCESS_CPU_SECONDS, "route", by=0.01)
    recorder.set(PROCESS_MEMORY_BYTES, 1e8, "route")
    return recorder


async def measure(client: Any, table: str) -> None:
    """Write as many routes one after the other, then read all sums."""
    counters = DynamoCounters(client, table, "route", 0, SystemClock())
    wall_ms, cpu_ms = [], []
    for _ in range(WRITES):
        recorded = a_route().take()
        started, cpu = time.perf_counter(), time.process_time()
        await counters.add(recorded)
        wall_ms.append((time.perf_counter() - started) * 1000)
        cpu_ms.append((time.process_time() - cpu) * 1000)
    started = time.perf_counter()
    await counters.totals()
    read_ms = (time.perf_counter() - started) * 1000
    wall, cpu_of = quantiles(wall_ms, n=100), quantiles(cpu_ms, n=100)
    told = ", ".join(f"p{q} {wall[q - 1]:.1f} ms" for q in (50, 90, 99))
    print(f"write: {told}; processor p50 {cpu_of[49]:.1f} ms")
    print(f"read: {read_ms:.1f} ms")


def main() -> None:
    """Do it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("table")
    given = arguments.parse_args()
    client = boto3.Session("test", "test", region_name="us-east-1").client(
        "dynamodb",
        endpoint_url=given.url,
        config=Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    asyncio.run(measure(client, given.table))


if __name__ == "__main__":
    main()
