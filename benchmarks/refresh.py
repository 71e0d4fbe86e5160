"""How often the venues are asked for books when many ask us at once and no cache is warm.

    PYTHONPATH=layers/sor_core python -m benchmarks.refresh

Eight processes, each with its own memory and connections, all with one DynamoDB (the local AWS) and the
simulated venues. Each wave begins with new processes and an empty table: a hundred routes of different
orders at the same moment. In the last wave every process then routes on, one order after the other, for
some cache lifetimes. The simulated venues count what they are asked.

The deadline is 5 s: on a small machine nine processes and the local AWS are slower than the default,
and a route that gave up would ask less.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.measuring import Row, table
from benchmarks.world import World, world
from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.adapters.pool import make_client
from sor_core.adapters.venues.registry import market_data
from sor_core.clock import SystemClock
from sor_core.domain.decision import NoRoute
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.services.gather import Gatherer
from sor_core.services.route import RouteService
from sor_core.settings import Settings

PROCESSES = 8
REQUESTS = 100
WAVES = 2
LIFETIMES = 3
CHANGED = {"SOR_CACHE_TTL_SECONDS": "2", "SOR_MAX_LATENCY_MS": "5000"}
MOST_A_LIFETIME = 2.0
START_S = 60.0
BTC_USDT = Symbol("BTC", "USDT")


class _Silent:
    """A `Log` that says nothing."""

    def info(self, _message: str, **_details: object) -> None:
        """Say nothing."""

    def warning(self, _message: str, **_details: object) -> None:
        """Say nothing."""

    error = warning


@dataclass(frozen=True, slots=True)
class Told:
    """What a process saw."""

    routed: int
    refused: int
    """No venue answered in time."""
    excluded: int
    """Venues left out of a route."""
    slowest_first_ms: float
    """The longest route of the first hundred."""


def order_of(number: int) -> Order:
    """Make an order that no other request has, so that no decision is shared."""
    amount = Decimal(number + 1) / 1000
    return Order(
        BTC_USDT, Side.BUY, OrderType.MARKET, Strategy.BEST_EXECUTION, amount, None, None, Decimal(50)
    )


async def routes_of_process(
    environment: Mapping[str, str], numbers: range, together: Barrier, lifetimes: float
) -> Told:
    """Route all at once, when all processes are ready; then one after the other for a while."""
    settings, clock, log = Settings.from_env(environment), SystemClock(), _Silent()
    dynamodb = boto3.client(
        "dynamodb",
        config=Config(connect_timeout=1, read_timeout=2, max_pool_connections=50),
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    store = DynamoStateStore(dynamodb, settings.state_table, clock)
    async with make_client() as client:
        gateway = settings.exchange_gateway_url
        venues = {v: market_data(v, client, clock, gateway_url=gateway) for v in settings.venues}
        parts: Any = (store, clock, lambda: uuid.uuid4().hex, settings, log)
        service = RouteService(Gatherer(venues, *parts), *parts)
        taken_ms: list[float] = []
        counted: Counter[str] = Counter()

        async def one(number: int) -> None:
            started = time.perf_counter()
            answer = await service.route(order_of(number), fresh=False)
            taken_ms.append((time.perf_counter() - started) * 1000)
            refused = isinstance(answer, NoRoute)
            counted["refused" if refused else "routed"] += 1
            counted["excluded"] += len(answer.excluded if refused else answer.decision.excluded)  # type: ignore[union-attr]

        await asyncio.to_thread(together.wait, START_S)
        begun = time.monotonic()
        await asyncio.gather(*(one(number) for number in numbers))
        slowest = max(taken_ms)
        number = 10_000 + numbers.start * 1000
        while time.monotonic() < begun + lifetimes * settings.cache_ttl_ms / 1000:
            await one(number)
            number += 1
    return Told(counted["routed"], counted["refused"], counted["excluded"], slowest)


def process(
    environment: Mapping[str, str], numbers: range, together: Barrier, lifetimes: float, answers: Any
) -> None:
    """Be one of the eight."""
    answers.put(asyncio.run(routes_of_process(environment, numbers, together, lifetimes)))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who asks in one wave."""

    processes: int = PROCESSES
    requests: int = REQUESTS
    lifetimes: float = 0
    """How long each process routes on after its first requests."""


def wave(around: World, crowd: Crowd) -> tuple[Counter[str], list[Told]]:
    """Start the processes and let them go; gives how often each venue was asked, and what they saw."""
    environment = dict(around.environment) | CHANGED
    count, requests, lifetimes = crowd.processes, crowd.requests, crowd.lifetimes
    around.forget()
    before = asked(around)
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(count), context.Queue()
    shares = [range(n * requests // count, (n + 1) * requests // count) for n in range(count)]
    processes = [
        context.Process(target=process, args=(environment, share, together, lifetimes, answers), daemon=True)
        for share in shares
    ]
    for each in processes:
        each.start()
    told = [answers.get(timeout=START_S) for _ in processes]
    for each in processes:
        each.join()
    return asked(around) - before, told


def asked(around: World) -> Counter[str]:
    """How often each venue was asked for a book."""
    return Counter(
        {venue: counts.get("book", 0) for venue, counts in around.sim("state")["requests"].items()}
    )


def measure(
    around: World, waves: int = WAVES, lifetimes: int = LIFETIMES, crowd: Crowd | None = None
) -> list[Row]:
    """Take some waves."""
    who = crowd or Crowd()
    seen = [wave(around, who) for _ in range(waves)]
    longest = wave(around, replace(who, lifetimes=lifetimes))
    most = max(max(counts.values()) for counts, _ in seen)
    a_lifetime = max(longest[0].values()) / lifetimes
    told = [each for _, of_wave in (*seen, longest) for each in of_wave]
    routed, refused, left_out = (sum(getattr(t, n) for t in told) for n in ("routed", "refused", "excluded"))
    target = f"≤ {MOST_A_LIFETIME:g}"
    at_once = f"{who.requests} routes of {who.processes} processes at once"
    return [
        Row(
            f"books asked of a venue by {at_once}, the most in {waves} waves",
            f"{most}",
            target=target,
            met=most <= MOST_A_LIFETIME,
        ),
        Row(
            f"books asked of a venue in a cache lifetime, over {lifetimes} lifetimes",
            f"{a_lifetime:.2f}",
            target=target,
            met=a_lifetime <= MOST_A_LIFETIME,
        ),
        Row(
            "these routes: answered; without a venue in time; venues left out; slowest of those at once",
            f"{routed}; {refused}; {left_out}; {max(t.slowest_first_ms for t in told):.0f} ms",
        ),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--waves", type=int, default=WAVES)
    parser.add_argument("--lifetimes", type=int, default=LIFETIMES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as around:
        print(table(measure(around, options.waves, options.lifetimes)))


if __name__ == "__main__":
    main()
