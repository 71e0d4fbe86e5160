"""How long each function takes to start, beside one that only imports boto3 and makes a DynamoDB client.

    PYTHONPATH=layers/sor_core python -m benchmarks.cold_start

By Lambda's own runtime client and emulator (emulator.py), with bytecode: our functions on the built
layer, that one on boto3 as it is installed, as Lambda's own runtime has it. Each start is a new
process, in turn; medians. A start ends when the function asks for its first event. So that what is
only put off until then shows as well, the second row of each function takes start and first event
together: a route, an order, a probe, a sweep over the simulated venues and the local AWS; of the
baseline one read from DynamoDB. It has no target, for what the first event asks of others is in it.
"""

from __future__ import annotations

import argparse
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.emulator import boto3_path, deploy, deployed_function, event, running, runtime_path
from benchmarks.measuring import Row, Timing, at_most, table
from benchmarks.world import World, world

REPEATS = 9
KEY = "Idempotency-Key"
BASELINE = """\
import boto3

client = boto3.client("dynamodb")


def handler(event, context):
    client.get_item(TableName="sor-state", Key={"pk": {"S": "health"}, "sk": {"S": "binance"}})
    return {}
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A function, and what is asked of it."""

    name: str
    folder: str
    """Of functions/; empty for the baseline."""
    event: Any
    most: float
    """Times the baseline's start."""
    handler: str = "app.handler"


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one function."""

    init_ms: float
    first_ms: float
    second_ms: float


def subjects() -> dict[str, Subject]:
    """All that is compared with the baseline."""
    listed = [
        Subject("route", "route", event("route_best_execution_buy"), 1.5),
        Subject("health_probe", "health_probe", event("probe_direct"), 1.5),
        Subject("execute", "execute", event("execute_market_buy"), 1.8),
        Subject("execute, tasks", "execute", event("task_sweep"), 1.8, "app.task"),
    ]
    return {subject.name: subject for subject in listed}


def anew(asked: Any) -> Any:
    """Give an order's event another key, so that it is another order."""
    if KEY not in asked.get("headers", {}):
        return asked
    key = uuid.uuid4().hex
    headers = {"headers": asked["headers"] | {KEY: key}}
    return asked | headers | {"multiValueHeaders": asked["multiValueHeaders"] | {KEY: [key]}}


class Starter:
    """Starts functions in a world."""

    def __init__(self, around: World, folder: Path) -> None:
        self._around = around
        self._folder = folder
        ours = runtime_path(folder / "runtime")
        self._path = {False: ours, True: [boto3_path(folder / "boto3"), *ours[1:]]}
        self._tasks = {"": deploy(BASELINE, folder / "baseline")}
        self._runs = 0

    def start(self, subject: Subject) -> Start:
        """Start a function anew, give it its event twice, and end it."""
        if subject.folder not in self._tasks:
            self._tasks[subject.folder] = deployed_function(subject.folder, self._folder / subject.folder)
        self._around.forget()
        self._runs += 1
        log = self._folder / f"{self._runs}.log"
        task = self._tasks[subject.folder]
        path = self._path[not subject.folder]
        with running(task, path, self._around.environment, log, subject.handler) as function:
            function.invoke(anew(subject.event))
            function.invoke(anew(subject.event))
            return Start(function.init_ms(), *function.invocations_ms())


def measure(around: World, folder: Path, repeats: int = REPEATS, only: Sequence[str] = ()) -> list[Row]:
    """Measure all functions, or `only` some."""
    starter = Starter(around, folder)
    baseline = Subject("baseline", "", {}, 1)
    compared = [subject for name, subject in subjects().items() if not only or name in only]
    starts: dict[str, list[Start]] = {subject.name: [] for subject in (baseline, *compared)}
    for subject in (baseline, *compared):
        starter.start(subject)  # the first reads files that nobody has read yet
    for _ in range(repeats):
        for subject in (baseline, *compared):
            starts[subject.name].append(starter.start(subject))
    rows = []
    for subject in compared:
        rows += _rows(subject, starts[subject.name], starts[baseline.name])
    return rows


def _rows(subject: Subject, ours: Sequence[Start], against: Sequence[Start]) -> list[Row]:
    init, other = (Timing([start.init_ms for start in starts]) for starts in (ours, against))
    whole, other_whole = (
        Timing([start.init_ms + start.first_ms for start in starts]) for starts in (ours, against)
    )
    first, second = (Timing([getattr(start, f"{n}_ms") for start in ours]) for n in ("first", "second"))
    told = f"{subject.name}: start and first event ({first.median_ms:.0f} ms; second {second.median_ms:.0f})"
    return [
        at_most(f"{subject.name}: start", init, other, subject.most, "boto3 and a client"),
        at_most(told, whole, other_whole, None, "boto3, a client and a read"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", nargs="+", choices=[*subjects()], default=())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as around:
        print(table(measure(around, Path(name), options.repeats, options.only)))


if __name__ == "__main__":
    main()
