"""What a warm route takes, beside a function that does nothing and one that only writes to DynamoDB once.

    PYTHONPATH=layers/sor_core python -m benchmarks.warm

By Lambda's own runtime client and emulator, on the built layer; durations as the emulator writes them.
Each round asks for fresh books (not timed), then

- for the very order just decided: a decision cached in the process;
- for an order of another size: no decision is cached, the books are, and are at most 250 ms old.

Each is done once with the local AWS, and once with a DynamoDB that answers at once (instant_aws.py):
the difference is what DynamoDB takes. Every invocation ends with one write of its metrics; a decision
on cached books also reads (decision, rules, health) and writes (the decision).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.emulator import Emulator, deploy, deployed_function, event, running, runtime_path
from benchmarks.instant_aws import instant_aws
from benchmarks.measuring import Row, Timing, at_most, table
from benchmarks.world import World, world

ROUNDS = 150
MOST_CACHED = 3.0
MOST_ON_BOOKS = 5.0
OLDEST_BOOK_MS = 250
EMPTY = """\
def handler(event, context):
    return {}
"""
ONE_WRITE = """\
from botocore.session import get_session

client = get_session().create_client("dynamodb")


def handler(event, context):
    client.update_item(
        TableName="sor-state",
        Key={"pk": {"S": "metrics#baseline#0"}, "sk": {"S": "-"}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    return {}
"""


@dataclass(slots=True)
class Seen:
    """Which of an emulator's invocations counted, and as what."""

    function: Emulator
    asked: int = 0
    counted: dict[str, list[int]] = field(default_factory=dict)

    def invoke(self, sent: object) -> Any:
        """Invoke, and take note of it."""
        self.asked += 1
        return self.function.invoke(sent)

    def count(self, name: str) -> None:
        """Have the last invocation count as `name`."""
        self.counted.setdefault(name, []).append(self.asked - 1)

    def timing(self, name: str) -> Timing:
        """Give the durations of those that counted."""
        taken = self.function.invocations_ms()
        return Timing([taken[n] for n in self.counted.get(name, [])])


def order_event(amount: str, *, fresh: bool = False) -> Any:
    """Make a route request for so much, as API Gateway sends it."""
    sent = event("route_no_cache" if fresh else "route_best_execution_buy")
    body = event("route_best_execution_buy")["body"]
    return sent | {"body": json.dumps(json.loads(body) | {"amount": float(amount)})}


def one_round(route: Seen, number: int) -> None:
    """Fresh books; the same order again; another order on the same books."""
    route.invoke(order_event(f"0.{number + 100_000}", fresh=True))
    again = json.loads(route.invoke(order_event(f"0.{number + 100_000}"))["body"])
    if again["cached"]:
        route.count("cached")
    other = json.loads(route.invoke(order_event(f"0.{number + 500_000}"))["body"])
    books = other["books"]
    if not other["cached"] and all(
        book["source"] == "memory" and book["age_ms"] <= OLDEST_BOOK_MS for book in books
    ):
        route.count("on books")


def measure(around: World, folder: Path, rounds: int = ROUNDS) -> list[Row]:
    """Measure with both kinds of DynamoDB."""
    path = runtime_path(folder / "runtime")
    route = deployed_function("route", folder / "route")
    empty, write = deploy(EMPTY, folder / "empty"), deploy(ONE_WRITE, folder / "write")
    local = dict(around.environment)
    with ExitStack() as stack:
        at_once = local | {"AWS_ENDPOINT_URL": stack.enter_context(instant_aws())}

        def start(task: Path, environment: dict[str, str], name: str) -> Seen:
            return Seen(stack.enter_context(running(task, path, environment, folder / f"{name}.log")))

        nothing, one_write = start(empty, local, "nothing"), start(write, local, "one-write")
        routes = {
            "local AWS": start(route, local, "route"),
            "a DynamoDB that answers at once": start(route, at_once, "route-at-once"),
        }
        for number in range(rounds + 1):
            for baseline in (nothing, one_write):
                baseline.invoke({})
                if number:
                    baseline.count("done")
            for seen in routes.values():
                one_round(seen, number)
        return _rows(nothing.timing("done"), one_write.timing("done"), routes)


def _rows(nothing: Timing, one_write: Timing, routes: dict[str, Seen]) -> list[Row]:
    rows = [at_most("one DynamoDB write by boto3", one_write, nothing, None, "an empty function")]
    kinds: Sequence[tuple[str, str, float]] = (
        ("cached", "a cached decision", MOST_CACHED),
        ("on books", f"a decision on books up to {OLDEST_BOOK_MS} ms old", MOST_ON_BOOKS),
    )
    for kind, what, most in kinds:
        for where, seen in routes.items():
            rows.append(at_most(f"{what}, {where}", seen.timing(kind), nothing, most, "an empty function"))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as around:
        print(table(measure(around, Path(name), options.rounds)))


if __name__ == "__main__":
    main()
