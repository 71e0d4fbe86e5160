"""What a route takes whose books come straight from the venues, beside the slowest venue alone.

    PYTHONPATH=layers/sor_core python -m benchmarks.gather

Simulated venues answer after 20, 60 and 120 ms. The deployed handler of `route`, by Lambda's own runtime
client and emulator, is asked with ``Cache-Control: no-cache``; each round a plain HTTP client on a kept
connection asks the slowest venue for the same book. Then one venue hangs, and the route has to be
there by the deadline, `SOR_MAX_LATENCY_MS`. How often the venues were connected to is counted by them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.emulator import Emulator, deployed_function, running, runtime_path
from benchmarks.instant_aws import instant_aws
from benchmarks.measuring import Row, Timing, at_most, table
from benchmarks.warm import order_event
from benchmarks.world import World, world

ROUNDS = 40
HANGING_ROUNDS = 5
MOST_X_SLOWEST = 1.1
DELAYS_MS = {"binance": 20, "coinbase": 60, "kraken": 120}
SLOWEST_BOOK = "/kraken/0/public/Depth?pair=XBTUSDT&count=500"
DEADLINE_MS = 1000
ALLOWANCE_MS = 100
"""What a route that waited for the deadline may take beyond it: deciding, and writing what it learnt."""


def delay(around: World) -> None:
    """Have each venue's books come late; its other answers at once."""
    around.sim("faults", method="DELETE")
    for venue, ms in DELAYS_MS.items():
        around.sim("faults", {"venue": venue, "endpoint": "book", "fault": "latency", "ms": ms})


def routed(function: Emulator, number: int) -> Any:
    """Route one order on fresh books."""
    return json.loads(function.invoke(order_event(f"0.{number + 100_000}", fresh=True))["body"])


def asked_slowest(client: httpx.Client, around: World) -> float:
    """Ask the slowest venue alone; gives milliseconds."""
    started = time.perf_counter()
    client.get(f"{around.venues}{SLOWEST_BOOK}").raise_for_status()
    return (time.perf_counter() - started) * 1000


def rounds_of(function: Emulator, around: World, rounds: int) -> tuple[Timing, Timing, int]:
    """Take rounds in turn: routes, the slowest venue, and the connections that the routes opened."""
    delay(around)
    for number in range(3):
        routed(function, number)
    alone = []
    with httpx.Client(timeout=10) as client:
        asked_slowest(client, around)
        before, first = connections(around), len(function.invocations_ms())
        for number in range(rounds):
            answer = routed(function, number)
            if len(answer["books"]) != len(DELAYS_MS):
                raise SystemExit(f"a venue is missing: {answer['excluded']}")
            alone.append(asked_slowest(client, around))
    opened = connections(around) - before
    return Timing(function.invocations_ms()[first:]), Timing(alone), opened


def connections(around: World) -> int:
    """How often the venues were connected to."""
    counted = around.sim("state")["connections"]
    return sum(counted.values())


def hanging(function: Emulator, around: World, rounds: int) -> Timing:
    """Routes while one venue never answers."""
    around.sim("faults", {"venue": "kraken", "endpoint": "book", "fault": "hang", "when": "before"})
    first = len(function.invocations_ms())
    for number in range(rounds):
        answer = routed(function, 1000 + number)
        if [each["why"] for each in answer["excluded"]] != ["timeout"]:
            raise SystemExit(f"the hanging venue is not the one left out: {answer['excluded']}")
    around.sim("faults", method="DELETE")
    return Timing(function.invocations_ms()[first:])


def measure(
    around: World, folder: Path, rounds: int = ROUNDS, hanging_rounds: int = HANGING_ROUNDS
) -> list[Row]:
    """Measure with the local AWS, and with a DynamoDB that answers at once."""
    path, task = runtime_path(folder / "runtime"), deployed_function("route", folder / "route")
    environment = dict(around.environment) | {"SOR_MAX_LATENCY_MS": str(DEADLINE_MS)}
    rows: list[Row] = []
    with instant_aws() as at_once:
        for where, url in (("local AWS", around.aws), ("a DynamoDB that answers at once", at_once)):
            around.forget()
            log = folder / f"{where}.log"
            with running(task, path, environment | {"AWS_ENDPOINT_URL": url}, log) as function:
                rows += _rows(
                    where, rounds_of(function, around, rounds), hanging(function, around, hanging_rounds)
                )
    return rows


def _rows(where: str, answering: tuple[Timing, Timing, int], late: Timing) -> Sequence[Row]:
    ours, alone, opened = answering
    rounds = len(ours.taken_ms)
    most = DEADLINE_MS + ALLOWANCE_MS
    return (
        at_most(f"no-cache route, {where}", ours, alone, MOST_X_SLOWEST, "the slowest venue alone"),
        Row(f"connections opened in {rounds} such routes, {where}", str(opened), "", "", "0", opened == 0),
        Row(
            f"longest route while a venue hangs, {where}",
            f"{max(late.taken_ms):.0f} ms",
            f"deadline {DEADLINE_MS} ms",
            f"{max(late.taken_ms) / DEADLINE_MS:.2f} x",
            f"≤ {most} ms",
            max(late.taken_ms) <= most,
        ),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as around:
        print(table(measure(around, Path(name), options.rounds)))


if __name__ == "__main__":
    main()
