"""``python -m local.chaos``: run a campaign; exit code 1 if anything is not as it must be."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector

from local.chaos import report
from local.chaos.campaign import Document, Runner
from local.chaos.checks import Books, violations
from local.chaos.degradation import degrade
from local.chaos.draws import Campaign, draw_campaign
from local.chaos.running import Running, running
from local.processes import StackError, shown
from local.template import REPOSITORY

FOLDER = REPOSITORY / ".build" / "chaos"
EVERY_S = 1.3
"""Between two orders: what the venues' request limits leave room for."""
MOST_WAITS_S = 420.0
"""Longer than an order whose every process was killed takes to be found and followed."""
SETTINGS: Mapping[str, str] = {
    "SOR_BREAKER_FAILURES": "20",
    "SOR_MAX_DAILY_NOTIONAL": "1000000000",
    "SOR_MAX_ORDER_NOTIONAL": "1000000",
    "SOR_HEALTH_CHECK_INTERVAL": "10",
    "SOR_VENUES_RATE_LIMITS": "off",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign left behind."""

    first: Mapping[str, Document]
    """Every order as it ended, before any review."""
    reviewed: Sequence[Document]
    """Those that needed review, after it."""
    books: Books
    excluded: Mapping[tuple[str, str], int]
    """How often a venue was left out, by reason."""
    degradation: Sequence[str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a campaign came to."""

    text: str
    broken: tuple[str, ...]


def main() -> int:
    """Run; gives the exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="over how long the orders are spread")
    parser.add_argument("--review-after", type=int, default=180, help="SOR_REVIEW_AFTER_SECONDS")
    parser.add_argument("--no-degradation", action="store_true", help="leave out the last part")
    asked = parser.parse_args()
    every_s = EVERY_S if asked.minutes is None else asked.minutes * 60 / asked.orders
    folder = FOLDER / f"{asked.seed}-{asked.orders}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        findings = asyncio.run(
            _ended_by_signals(
                run(
                    folder,
                    draw_campaign(asked.seed, asked.orders),
                    every_s,
                    {**SETTINGS, "SOR_REVIEW_AFTER_SECONDS": str(asked.review_after)},
                    last=not asked.no_degradation,
                )
            )
        )
    except asyncio.CancelledError:
        print("stopped", file=sys.stderr)
        return 1
    except StackError as failure:
        print(failure, file=sys.stderr)
        return 1
    (folder / "report.md").write_text(findings.text, encoding="utf-8")
    print(findings.text)
    print(f"everything in {shown(folder)}")
    return 1 if findings.broken else 0


async def _ended_by_signals(work: Coroutine[Any, Any, Findings]) -> Findings:
    """Have what ends a program end the work, so that it ends its stack."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def run(
    folder: Path, campaign: Campaign, every_s: float, settings: Mapping[str, str], *, last: bool
) -> Findings:
    """Run a campaign on a stack of its own; raises `StackError`."""
    began_s, orders = time.monotonic(), len(campaign.orders)
    async with running(folder, settings) as stack, ClientSession(connector=TCPConnector(limit=0)) as session:
        runner = Runner(stack, session, campaign)
        before = await runner.sim("GET", "/sim/balances")
        _say(began_s, f"sending {orders} orders to {stack.url}, seed {campaign.seed}")
        await runner.send_all(every_s)
        _say(began_s, f"sent; {len(stack.kills)} processes killed; following the orders to their end")
        first = await runner.settle(MOST_WAITS_S)
        _say(began_s, "settled")
        lines = []
        if last:
            lines = await degrade(runner)
            first |= await runner.settle(MOST_WAITS_S)
            _say(began_s, "venues taken away and given back")
        excluded = Counter(e for p in runner.placed if not p.order_ids for e in p.excluded)
        for order_id in first:
            excluded.update(await runner.excluded(order_id))
        unclear = [order for order in first.values() if order["status"] == "needs_review"]
        reviewed = await asyncio.gather(*(runner.review(order) for order in unclear))
        await runner.ask_again()
        final = {order_id: await runner.detail(order_id) for order_id in await runner.orders()}
        books = Books(
            final,
            await runner.sim("GET", "/sim/fills"),
            before,
            await runner.sim("GET", "/sim/balances"),
            await stack.counters(),
        )
        (folder / "orders.json").write_text(json.dumps(list(first.values()), default=_plain, indent=1))
        (folder / "final.json").write_text(json.dumps([final, books.fills], default=_plain, indent=1))
        shutil.copy(stack.functions_log, folder / "functions.log")
    broken = (*violations(books, runner.placed), *runner.client.seen.oddities)
    text = _text(runner, stack, Outcome(first, reviewed, books, excluded, lines), broken)
    took_s = time.monotonic() - began_s
    return Findings(f"{text}\nseed {campaign.seed}, {orders} orders, {took_s:.0f} s in all\n", broken)


def _text(runner: Runner, stack: Running, outcome: Outcome, broken: Sequence[str]) -> str:
    seen, first, placed = runner.client.seen, outcome.first, runner.placed
    refusals = Counter(r for p in placed if not p.order_ids for r in p.refusals)
    both = sum(bool(p.order_ids and p.refusals) for p in placed)
    whys = Counter(str(o["why"]) for o in first.values() if o["status"] == "needs_review")
    settled = sum(o["status"] != "needs_review" for o in outcome.reviewed)
    left_out = {f"{venue} {why}": n for (venue, why), n in outcome.excluded.items()}
    facts = {
        "orders": report.tally(Counter(o["status"] for o in first.values())),
        "refused": f"{report.tally(refusals)}; told once that it was refused and once its order: {both}",
        "answers": report.tally(seen.statuses),
        "processes killed": report.tally(Counter(kill.function for kill in stack.kills)),
        "answers lost to that": str(seen.lost_to_kills),
        "clients": f"hung up {seen.hung_up} times, asked again {seen.repeated} times",
        "venues left out of first decisions": report.tally(left_out),
        "needs review": f"{report.tally(whys)}; {settled} settled by what the venues show",
        "not settled, because": report.tally(Counter(runner.unsettled)),
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    return "\n\n".join(
        (
            report.by_fault(placed, first, outcome.books),
            report.amounts(outcome.books),
            "\n".join(f"- {line}" for line in (*lines, *outcome.degradation)),
            f"**{len(broken)} violations**",
            "\n".join(f"- {each}" for each in broken),
        )
    )


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(type(value).__name__)


def _say(began_s: float, text: str) -> None:
    print(f"{time.monotonic() - began_s:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
