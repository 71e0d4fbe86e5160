"""What a replay amounts to: figures by way of trading, as a table, as CSV and as a picture."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from cli.replay import BEST_SINGLE, EQUAL_SPLIT, Outcome
from sor_core.domain.money import plain

PICTURES = (".png", ".svg")
CSV_COLUMNS = (
    *("ts_ms", "way", "filled", "arrival_mid", "slippage_bps", "fee_bps", "total_cost_bps"),
    *("venues", "refusal"),
)
WHOLE = Decimal("0.999")
"""Filled to all but a thousandth counts as filled: lots keep each way of trading from the last bit."""


@dataclass(slots=True)
class Series:
    """One way of trading over the rows, nothing kept but the figures."""

    rows: int
    asked: Decimal
    slippage_bps: list[float]
    fee_bps: list[float]
    total_bps: dict[int, float]
    """By row number, of the rows filled whole."""
    filled_share: list[float]


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one way of trading. Costs are of the rows that it filled whole."""

    way: str
    routable: int
    filled_share: float
    """Mean share of the amount that was filled, over all rows."""
    slippage_bps: float
    fee_bps: float
    mean_bps: float
    median_bps: float
    p95_bps: float
    saved_to_single_bps: float | None
    """Mean of the best single venue's cost less this one's, over the rows both filled whole."""
    saved_to_equal_bps: float | None


class Tally:
    """Gathers outcomes row by row."""

    def __init__(self, ways: Sequence[str], asked: Decimal) -> None:
        self.rows = 0
        self.first_refusal = "filled in part only"
        self.series = {way: Series(0, asked, [], [], {}, []) for way in ways}

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count a row."""
        if not self.rows:
            self.first_refusal = next((o.refusal for o in outcomes if o.refusal), self.first_refusal)
        for outcome in outcomes:
            series = self.series[outcome.way]
            share = outcome.filled / series.asked
            series.filled_share.append(float(share))
            if share >= WHOLE:
                series.slippage_bps.append(outcome.slippage_bps)
                series.fee_bps.append(outcome.fee_bps)
                series.total_bps[self.rows] = outcome.total_cost_bps
        self.rows += 1

    def summaries(self) -> list[Summary]:
        """Figures of each way that filled a row whole."""
        return [self._summary(way) for way, series in self.series.items() if series.total_bps]

    def _summary(self, way: str) -> Summary:
        series = self.series[way]
        totals = sorted(series.total_bps.values())
        return Summary(
            way,
            len(totals),
            statistics.fmean(series.filled_share),
            statistics.fmean(series.slippage_bps),
            statistics.fmean(series.fee_bps),
            statistics.fmean(totals),
            statistics.median(totals),
            totals[min(len(totals) - 1, -(-len(totals) * 95 // 100) - 1)],
            self._saved(way, BEST_SINGLE),
            self._saved(way, EQUAL_SPLIT),
        )

    def _saved(self, way: str, against: str) -> float | None:
        mine, theirs = self.series[way].total_bps, self.series[against].total_bps
        both = [theirs[row] - cost for row, cost in mine.items() if row in theirs]
        return statistics.fmean(both) if both and way != against else None


def table(summaries: Sequence[Summary], rows: int) -> Table:
    """The summaries as a table for a terminal."""
    made = Table(title="Cost in basis points of the arrival mid", title_justify="left")
    made.add_column("way", no_wrap=True)
    for heading in ("rows filled", "filled", "slippage", "fees", "total: mean", "median", "p95"):
        made.add_column(heading, justify="right")
    made.add_column("saved to single", justify="right")
    made.add_column("saved to equal", justify="right")
    for s in summaries:
        costs = (s.slippage_bps, s.fee_bps, s.mean_bps, s.median_bps, s.p95_bps)
        saved = (s.saved_to_single_bps, s.saved_to_equal_bps)
        made.add_row(
            s.way,
            f"{s.routable} of {rows}",
            f"{s.filled_share:.2%}",
            *(f"{cost:.3f}" for cost in costs),
            *("-" if bps is None else f"{round(bps, 3) + 0.0:.3f}" for bps in saved),  # never -0.000
        )
    return made


def csv_writer(file: IO[str]) -> csv.DictWriter[str]:
    """Begin a CSV of outcomes."""
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    return writer


def csv_row(outcome: Outcome) -> Mapping[str, str | int]:
    """One outcome for the CSV; costs are empty where nothing was filled."""
    costs = {
        "slippage_bps": outcome.slippage_bps,
        "fee_bps": outcome.fee_bps,
        "total_cost_bps": outcome.total_cost_bps,
    }
    return {
        "ts_ms": outcome.ts_ms,
        "way": outcome.way,
        "filled": plain(outcome.filled),
        "arrival_mid": "" if outcome.arrival_mid is None else plain(outcome.arrival_mid),
        **{name: f"{cost:.6f}" if outcome.filled else "" for name, cost in costs.items()},
        "venues": " ".join(f"{venue}:{plain(size)}" for venue, size in outcome.venues.items()),
        "refusal": outcome.refusal,
    }


def draw(path: Path, tally: Tally, title: str) -> None:
    """Draw the costs, and the share of rows up to each cost, as PNG or SVG by the file's name."""
    summaries = tally.summaries()
    with mpl.rc_context({"svg.hashsalt": "sor", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        figure.suptitle(title)
        costs, shares = figure.subplots(1, 2)
        _draw_costs(costs, summaries)
        for summary in summaries:
            totals = sorted(tally.series[summary.way].total_bps.values())
            line = "--" if summary.way in {BEST_SINGLE, EQUAL_SPLIT} else "-"
            shares.plot(totals, [(n + 1) / len(totals) for n in range(len(totals))], line, label=summary.way)
        shares.set_xlabel("total cost, bps of the arrival mid")
        shares.set_ylabel("share of rows at or below")
        shares.legend(loc="lower right", fontsize=8)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_costs(axes: Axes, summaries: Sequence[Summary]) -> None:
    places = range(len(summaries))
    for place, s in enumerate(summaries):
        axes.plot([s.median_bps, s.p95_bps], [place, place], color="#c7cdd6", zorder=1)
        made_of = f"slippage {s.slippage_bps:.3f} + fees {s.fee_bps:.3f}"
        axes.annotate(made_of, (s.mean_bps, place), (0, 7), textcoords="offset points", fontsize=7)
    for figures, marker, label in (
        ([s.mean_bps for s in summaries], "o", "mean"),
        ([s.median_bps for s in summaries], "|", "median"),
        ([s.p95_bps for s in summaries], ">", "95th percentile"),
    ):
        axes.plot(figures, places, marker, color="#2f6fb0", label=label)
    axes.set_yticks(places, [s.way for s in summaries])
    axes.set_ylim(len(summaries) + 0.2, -0.8)
    axes.set_xlabel("total cost, bps of the arrival mid")
    axes.legend(loc="lower center", ncols=3, fontsize=8)
