"""The part of docs/cost.md that is written from counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from benchmarks.costs import prices
from benchmarks.costs.bill import (
    BILLED_MS,
    MILLION,
    PER_REQUEST,
    Bill,
    bill,
    mixed,
    month,
    stored_bytes,
    waiting,
)
from benchmarks.costs.house import Counted

BEGIN, END = "<!-- counts: begin -->", "<!-- counts: end -->"
COLUMNS = (
    *("Scene", "invocations", "DynamoDB calls", "other AWS calls", "read units", "write units"),
    *("of indexes", "transitions", "venue requests", "log lines", "log KB"),
)
INEXACT = "log KB"
"""Latencies have more or fewer digits: the only column that may differ a little from run to run."""
RATES = (0.01, 0.1, 1.0, 10.0, 100.0)
LIFETIMES_S = (1, 5, 30)
WORTH: Mapping[str, str] = {
    "book": "books for the shared cache: none is needed for the order itself",
    "order": "the order before it is sent and as it ended, with its indexes: without it nothing is safe",
    "receipt": "the proof of the decision; as a write of its own it would cost half, and could be missing",
    "counter": "claims on the balance and the day's notional, made and given back",
    "key": "one key, one order",
    "switch": "the operator's switch, held in the transaction that accepts",
    "metrics": "the counters of `GET /metrics`",
    "nonce": "Kraken's balance is asked with a number that only grows",
}


def generated(scenes: Mapping[str, Counted]) -> str:
    """Everything between the markers."""
    bills = {name: bill(name, counted) for name, counted in scenes.items()}
    asked = {name: each for name, each in bills.items() if scenes[name].answer_bytes}
    lines = month(scenes)
    total = sum(line.dollars for line in lines)
    return "\n\n".join(
        (
            "### Counted, of one each",
            counts(scenes),
            "### Dollars for a million",
            table(("Scene", *PER_REQUEST, "**all**", "without the API", "ms taken"), _bills(asked)),
            _waited(),
            "### Which write of an execution is worth what",
            table(("Written", "write units", "dollars a million", "what for"), _writes(scenes["execute"])),
            "### A million routes of one symbol, by traffic",
            table(("Routes a second", *(f"cached {s} s" for s in LIFETIMES_S), "no-cache"), _traffic(bills)),
            "### A month in which nobody asks",
            table(
                ("For", "how much", "dollars"),
                [
                    *((each.what, each.count, f"{each.dollars:.2f}") for each in lines),
                    ("**all**", "", f"{total:.2f}"),
                ],
            ),
            _kept(scenes),
            "### Prices",
            table(
                ("Dollars", "for", "says AWS's page"),
                [(f"{p.dollars:g}", f"{p.per:,.0f} {p.unit}", p.source) for p in prices.EVERY],
            ),
        )
    )


def _waited() -> str:
    return (
        "Callers of orders that the machine follows are taken to leave at once. Who waits costs "
        f"{waiting(1):.2f} dollars more for each second of a million: {waiting(20):.0f} for the 20 s "
        "that are waited at most without `Prefer`."
    )


def _kept(scenes: Mapping[str, Counted]) -> str:
    kept_gb = stored_bytes(scenes["execute"]) * MILLION / prices.GB
    table_dollars, recovery_dollars = prices.TABLE_GB_MONTH.of(kept_gb), prices.PITR_GB_MONTH.of(kept_gb)
    every = len(set().union(*(each.metrics for each in scenes.values())))
    return (
        f"The scenes above, all played, use {every} custom metrics: {prices.METRIC_MONTH.of(every):.2f} "
        f"dollars a month once they are in use. A million orders leave {kept_gb:.1f} GB in the orders table: "
        f"{table_dollars:.2f} dollars a month, and {recovery_dollars:.2f} for recovery to any point in time."
    )


def counts(scenes: Mapping[str, Counted]) -> str:
    """What was counted: the table that a fresh run is held to."""
    return table(COLUMNS, [(name, *_counts(counted)) for name, counted in scenes.items()])


def _counts(counted: Counted) -> Sequence[object]:
    dynamodb = sum(n for call, n in counted.calls.items() if call.startswith("dynamodb "))
    return (
        *(counted.invocations.total(), dynamodb, counted.calls.total() - dynamodb),
        *(f"{counted.read_units:g}", f"{counted.write_units:g}", f"{sum(u.index for u in counted.units):g}"),
        *(counted.transitions, counted.venue_requests, counted.log_lines),
        f"{counted.log_bytes / 1000:.1f}",
    )


def _bills(bills: Mapping[str, Bill]) -> Iterable[Sequence[object]]:
    for name, each in bills.items():
        parts = (f"{each.parts[part]:.2f}" for part in PER_REQUEST)
        yield name, *parts, f"**{each.total:.2f}**", f"{each.without_api:.2f}", f"{BILLED_MS[name]:g}"


def _writes(counted: Counted) -> Iterable[Sequence[object]]:
    units: dict[str, float] = defaultdict(float)
    for each in counted.units:
        units[each.what] += each.write + each.index
    ordered = sorted((what for what in units if units[what]), key=lambda what: -units[what])
    for what in ordered:
        yield (
            what,
            f"{units[what]:g}",
            f"{prices.WRITE_UNIT.of(units[what] * MILLION):.2f}",
            WORTH.get(what, ""),
        )
    total = sum(units.values())
    yield "**all**", f"{total:g}", f"{prices.WRITE_UNIT.of(total * MILLION):.2f}", ""


def _traffic(bills: Mapping[str, Bill]) -> Iterable[Sequence[object]]:
    old, cached = bills["route, books too old"], bills["route, new order on cached books"]
    for rate in RATES:
        mix = (f"{mixed(old, cached, rate=rate, lifetime_s=s):.2f}" for s in LIFETIMES_S)
        yield f"{rate:g}", *mix, f"{bills['route, no-cache'].total:.2f}"


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def counted_rows(text: str) -> dict[str, Mapping[str, str]]:
    """Read the table of counts out of a document, by scene."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    found = [row for row in rows if len(row) == len(COLUMNS) and row[0] not in {COLUMNS[0], "---"}]
    return {row[0]: dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in found}


def differences(said: str, counted: str, most: float = 0.05) -> list[str]:
    """In what a document's counts are not those of a run; log bytes may differ by a share."""
    ours, theirs = counted_rows(said), counted_rows(counted)
    found = [f"scene {name!r} is in one of them only" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in ours.keys() & theirs.keys():
        for column, value in theirs[name].items():
            said_value = ours[name][column]
            if column == INEXACT and abs(float(said_value) - float(value)) <= most * float(value) + 0.1:
                continue
            if said_value != value:
                found.append(f"{name}: {column}: the document says {said_value}, counted {value}")
    return found


def put_into(text: str, part: str) -> str:
    """Replace what stands between the markers; raises `ValueError` where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN} and {END}")
    return "".join(chain((before, begin, "\n\n", part, "\n\n", end, after)))
