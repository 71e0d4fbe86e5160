"""A run's figures, as Markdown, and what of them is not as it must be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.chaos.checks import Books
from local.chaos.report import table, tally
from local.load.clients import KINDS, Seen, quantile
from local.load.processes import MB, Growth

LEAST_GROWTH_BYTES = 2 * MB
"""A process may hold so much more than before whatever the per cent: allocators take memory in steps."""
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Run:
    """What a run came to."""

    what: str
    """Clients, seconds, mix, machine."""
    seconds: float
    """From the first request to the last answer."""
    seen: Seen
    venues: Mapping[str, int]
    """Requests at the venues by endpoint, probes included."""
    memory: Sequence[Growth]
    most_growth: float
    """0.05 is five in a hundred."""
    processor_s: Mapping[str, float]
    """What each part of the stack used of the processors."""
    books: Books
    wrong: Sequence[str]
    """What the books show that must not be."""
    warm_up: Mapping[str, int]
    """Errors before the run."""


def failures(run: Run) -> list[str]:
    """Everything for which the run ends with exit code 1."""
    found = [f"{count} x {what}" for what, count in {**run.seen.errors, **run.warm_up}.items()]
    found += [_grown(each) for each in run.memory if grows(each, run.most_growth)]
    if not run.seen.answered:
        found.append("nothing was answered")
    return [*found, *run.wrong]


def grows(each: Growth, most: float) -> bool:
    """Whether a function's processes hold more than allowed."""
    return each.ratio > most and each.end_bytes - each.start_bytes > LEAST_GROWTH_BYTES


def _grown(each: Growth) -> str:
    return f"the processes of {each.function} grew by {each.ratio:.1%}"


def text(run: Run) -> str:
    """The report."""
    seen, found = run.seen, failures(run)
    decisions = sum(len(times) for times in seen.latencies_ms.values())
    routes = sum(len(seen.latencies_ms[kind]) for kind in ("route", "fresh"))
    ratio = seen.cached / routes if routes else 0.0
    over = sum("over-" in each for each in run.wrong)
    facts = {
        "answers": tally(seen.statuses),
        "errors": tally(Counter(seen.errors)),
        "decisions from a cache": f"{seen.cached} of {routes} routes ({ratio:.1%})",
        "venues left out of routes": tally(seen.left_out),
        "orders": f"{len(run.books.orders)}, {len(run.books.fills)} fills at the venues; "
        f"over-fills {over}, other differences {len(run.wrong) - over}",
        "memory may grow": f"by {run.most_growth:.0%} or {LEAST_GROWTH_BYTES // MB} MB a process",
    }
    verdict = "**It held.**" if not found else f"**It did not hold: {len(found)} findings.**"
    parts = (
        run.what,
        table(("Asked", "answers", "a second", "p50 ms", "p95 ms", "p99 ms", "slowest ms"), _times(run)),
        table(("At the venues", "requests", "a decision"), _venues(run, decisions)),
        table(("Of the processors", "seconds", "share"), _processors(run)),
        table(("Function", "processes", "others", "MB at start", "MB at end", "growth"), _memory(run)),
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        verdict,
        "\n".join(f"- {each}" for each in found[:MOST_SHOWN]),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _times(run: Run) -> list[Sequence[object]]:
    every = [took for times in run.seen.latencies_ms.values() for took in times]
    named = [(kind, run.seen.latencies_ms[kind]) for kind in KINDS if run.seen.latencies_ms.get(kind)]
    rows: list[Sequence[object]] = []
    for name, times in (*named, ("**all**", every)):
        ordered = sorted(times)
        shares = [f"{quantile(ordered, share):.0f}" for share in (0.5, 0.95, 0.99, 1.0)]
        rows.append((name, len(ordered), f"{len(ordered) / run.seconds:.1f}", *shares))
    return rows


def _venues(run: Run, decisions: int) -> list[Sequence[object]]:
    asked = {endpoint: count for endpoint, count in run.venues.items() if count}
    rows = [(endpoint, count) for endpoint, count in sorted(asked.items(), key=lambda each: -each[1])]
    rows.append(("**all**", sum(asked.values())))
    return [(name, count, f"{count / decisions:.2f}" if decisions else "-") for name, count in rows]


def _processors(run: Run) -> list[Sequence[object]]:
    return [
        (part, f"{used_s:.1f}", f"{used_s / run.seconds / (os.cpu_count() or 1):.0%}")
        for part, used_s in sorted(run.processor_s.items(), key=lambda each: -each[1])
    ]


def _memory(run: Run) -> list[Sequence[object]]:
    return [
        (
            *(each.function, each.processes, each.others),
            *(f"{each.start_bytes / MB:.1f}", f"{each.end_bytes / MB:.1f}"),
            f"{each.ratio:+.1%}",
        )
        for each in run.memory
    ]
