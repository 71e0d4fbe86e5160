"""``python -m local.load``: put load on a stack of its own; exit code 1 if it did not bear it."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path

from aiohttp import ClientSession

from local.chaos.checks import Books
from local.chaos.running import Running, running
from local.load import orders
from local.load.clients import KINDS, Clients
from local.load.processes import growth, processor_s, sample
from local.load.report import Run, failures, text
from local.processes import StackError, shown
from local.template import REPOSITORY

FOLDER = REPOSITORY / ".build" / "load"
MOST_CLIENTS = 1000
FEW = 4
"""How many invocations of a function run at once, and how many clients begin."""
DEFAULT_MIX = "route=80,fresh=5,execute=15"
SETTINGS: Mapping[str, str] = {
    "LOCAL_FUNCTIONS_AT_ONCE": str(FEW),
    "SOR_MAX_LATENCY_MS": "10000",
    "SOR_MAX_BOOK_AGE_MS": "30000",
    "SOR_MAX_DAILY_NOTIONAL": "1000000000",
    "SOR_VENUES_RATE_LIMITS": "off",
}
"""docs/load.md says why each."""


def main() -> int:
    """Run; gives the exit code."""
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--clients", type=_count, default=50, help="how many ask at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long they go on asking")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds of the same load before that")
    parser.add_argument(
        "--mix", type=parse_mix, default=parse_mix(DEFAULT_MIX), help=f"weights, such as {DEFAULT_MIX}"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides what is asked")
    parser.add_argument(
        "--growth", type=float, default=5.0, help="per cent by which memory may grow from start to end"
    )
    asked = parser.parse_args()
    folder = FOLDER / f"{asked.seed}-{asked.clients}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        done = asyncio.run(_ended_by_signals(_run(asked, folder)))
    except asyncio.CancelledError:
        print("stopped", file=sys.stderr)
        return 1
    except StackError as failure:
        print(failure, file=sys.stderr)
        return 1
    told = text(done)
    (folder / "report.md").write_text(told, encoding="utf-8")
    print(told)
    print(f"everything in {shown(folder)}")
    return 1 if failures(done) else 0


def _count(text: str) -> int:
    count = int(text)
    if not 0 < count <= MOST_CLIENTS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_CLIENTS} clients")
    return count


def parse_mix(text: str) -> Mapping[str, int]:
    """Read weights such as ``route=80,execute=20``; raises `argparse.ArgumentTypeError`."""
    try:
        mix = {kind: int(weight) for kind, weight in (each.split("=") for each in text.split(","))}
    except ValueError:
        mix = {}
    if not mix or not mix.keys() <= KINDS.keys() or min(mix.values()) < 0 or not any(mix.values()):
        raise argparse.ArgumentTypeError(f"expected weights of {', '.join(KINDS)}, such as {DEFAULT_MIX}")
    return mix


async def _ended_by_signals(work: Coroutine[object, None, Run]) -> Run:
    """Have what ends a program end the work, so that it ends its stack."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _run(asked: argparse.Namespace, folder: Path) -> Run:
    began_s = time.monotonic()
    async with running(folder, SETTINGS) as stack, ClientSession() as session:
        before = await orders.balances(session, stack.venues_url)
        clients = Clients(stack.url, asked.clients, asked.mix, asked.seed)
        _say(began_s, f"{asked.clients} clients warm {stack.url} up for {asked.warm_up:g} s")
        few = Clients(stack.url, min(FEW, asked.clients), asked.mix, asked.seed)
        first = await few.drive(asked.warm_up / 3, "first")  # who starts cold holds nobody else up
        warm = await clients.drive(asked.warm_up * 2 / 3, "warm-up")
        start, venues_start = sample(stack), await _requests(session, stack)
        load, from_s, own_s = os.getloadavg(), time.monotonic(), time.process_time()
        _say(began_s, f"warm; load for {asked.seconds:g} s")
        seen = await clients.drive(asked.seconds, "load")
        own_s = time.process_time() - own_s
        took_s, end = time.monotonic() - from_s, sample(stack)
        venues = await _requests(session, stack) - venues_start
        _say(began_s, f"{seen.answered} answers; comparing the ledger with the venues")
        ledger = await orders.settled(session, stack.url)
        books = Books(
            ledger,
            await orders.fetch(session, f"{stack.venues_url}/sim/fills"),
            before,
            await orders.balances(session, stack.venues_url),
            {},
        )
        shutil.copy(stack.functions_log, folder / "functions.log")
    return Run(
        f"{asked.clients} clients, {asked.seconds:g} s after {asked.warm_up:g} s of the same, mix "
        f"{','.join(f'{kind}={weight}' for kind, weight in asked.mix.items())}, seed {asked.seed}; "
        f"Python {platform.python_version()}, {os.cpu_count()} processors, load average before {load[0]:.1f}",
        took_s,
        seen,
        venues,
        growth(start, end),
        asked.growth / 100,
        {**processor_s(start, end), "the clients": own_s},
        books,
        tuple(orders.wrong(books, [*first.order_ids, *warm.order_ids, *seen.order_ids])),
        {f"in the warm-up: {what}": count for what, count in (first.errors + warm.errors).items()},
    )


async def _requests(session: ClientSession, stack: Running) -> Counter[str]:
    """What the venues were asked so far, by endpoint."""
    state = await orders.fetch(session, f"{stack.venues_url}/sim/state")
    found: Counter[str] = Counter()
    for counts in state["requests"].values():
        found.update({endpoint: int(count) for endpoint, count in counts.items()})
    return found


def _say(began_s: float, text: str) -> None:
    print(f"{time.monotonic() - began_s:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
