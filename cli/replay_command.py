"""``sor replay``: the router over a recorded file of books."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cli.options import BY_VENUE, POSITIVE, STRATEGIES, SYMBOL, side
from cli.recording import RecordingError, Row, read_rows
from cli.replay import Plan, instrument_from, replay_row, ways_of
from cli.show import console
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side, Strategy
from sor_core.settings import Settings

DEFAULT_FEE_BPS = Decimal(10)
"""Binance's published spot taker fee at the entry tier ("Spot Trading Fee Rate", VIP 0)."""
DEFAULT_LATENCY_MS = Decimal(50)
MOST_SLIPPAGE_BPS = Decimal(5000)
"""As the settings have it: from 10,000 on, a sale has no worst price."""
FILE = click.Path(dir_okay=False, path_type=Path)
_V = TypeVar("_V")


class BadRecordingError(click.ClickException):
    """The file is no recording."""

    exit_code = 2


@click.command(short_help="Run the router over recorded books.")
@click.argument("books", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@side
@click.option("--amount", type=POSITIVE, required=True, help="Base to buy or sell in every row.")
@click.option(
    "--strategy",
    type=click.Choice(["all", *STRATEGIES]),
    default="all",
    show_default=True,
    help="Which to run.",
)
@click.option("--fees", type=BY_VENUE, default={}, help="Taker fees in bps; 10 where not given.")
@click.option("--latency", type=BY_VENUE, default={}, help="Latencies in ms; 50 where not given.")
@click.option("--tick", type=BY_VENUE, default={}, help="Price steps; else the finest the first row shows.")
@click.option("--lot", type=BY_VENUE, default={}, help="Size steps; else the finest the first row shows.")
@click.option(
    "--min-notional", type=POSITIVE, default=Decimal(5), show_default=True, help="Of a leg, in quote."
)
@click.option(
    "--max-slippage-bps",
    type=POSITIVE,
    default=Decimal(100),
    show_default=True,
    help="Worst price, from the arrival mid.",
)
@click.option("--symbol", type=SYMBOL, default="BTC/USDT", show_default=True, help="What the books are of.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many rows.")
@click.option("--json", "raw", is_flag=True, help="Print the figures as a JSON object.")
@click.option(
    "--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a line a row and way."
)
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="A .png or .svg of the costs."
)
def replay(
    books: Path,
    csv_path: Path | None,
    picture: Path | None,
    limit: int | None,
    raw: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Run the router over the recorded BOOKS and compare what trading would have cost.

    BOOKS holds a JSON object a line, gzip-compressed or not: {"ts": ms, "venues": {name: {"bids":
    [[price, size], ...], "asks": ...}}}. Every row is an order of its own: the books are as recorded,
    whatever was bought before.
    """
    from cli import report  # noqa: PLC0415 - matplotlib takes a while to load, and is for this command only

    if picture is not None and picture.suffix not in report.PICTURES:
        raise click.BadParameter("expected a name that ends in .png or .svg", param_hint="--picture")
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(_progress())
        task = progress.add_task("rows 0", total=books.stat().st_size)
        rows = read_rows(books, lambda read: progress.update(task, completed=read))
        with _written(csv_path), _read(books):
            first = next(rows)
            plan = _plan(first, options)
            tally = report.Tally(ways_of(plan), plan.amount)
            writer = None
            if csv_path is not None:
                file = stack.enter_context(csv_path.open("w", encoding="utf-8", newline=""))
                writer = report.csv_writer(file)
            for row in islice(chain([first], rows), limit):
                outcomes = replay_row(row, plan)
                tally.add(outcomes)
                if writer is not None:
                    writer.writerows(map(report.csv_row, outcomes))
                progress.update(task, description=f"rows {tally.rows}")
        if tally.rows == limit:
            progress.update(task, completed=books.stat().st_size)
    summaries = tally.summaries()
    asked = f"{options['side']} {options['amount']:f} {plan.symbol} on {', '.join(first.venues)}"
    if not summaries:
        raise click.ClickException(f"no row could fill: {asked} ({tally.first_refusal})")
    if raw:
        ways = [asdict(summary) for summary in summaries]
        click.echo(json.dumps({"asked": asked, "rows": tally.rows, "ways": ways}))
    else:
        out = console()
        out.print(f"{asked}, fees in bps: {', '.join(f'{v} {f:f}' for v, f in plan.fees_bps.items())}")
        out.print(report.table(summaries, tally.rows))
    if picture is not None:
        with _written(picture):
            report.draw(picture, tally, f"{asked}, {tally.rows} rows")


@contextlib.contextmanager
def _read(books: Path) -> Iterator[None]:
    try:
        yield
    except RecordingError as error:
        raise BadRecordingError(f"{books}: {error}") from error


@contextlib.contextmanager
def _written(file: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=False)


def _plan(row: Row, options: Mapping[str, Any]) -> Plan:
    symbol: Symbol = options["symbol"]
    names = list(row.venues)
    for option in ("fees", "latency", "tick", "lot"):
        unknown = set(options[option]) - {*names, "*"}
        if unknown:
            raise click.BadParameter(
                f"the recording has {', '.join(names)}, not {', '.join(sorted(unknown))}",
                param_hint=f"--{option}",
            )
    if options["max_slippage_bps"] > MOST_SLIPPAGE_BPS:
        raise click.BadParameter(f"expected at most {MOST_SLIPPAGE_BPS}", param_hint="--max-slippage-bps")
    if any(fee >= 1000 for fee in options["fees"].values()):  # noqa: PLR2004 - 10 %, as the settings have it
        raise click.BadParameter("expected fees below 1000 bps", param_hint="--fees")
    ticks = _by_venue(names, options["tick"], None, lambda step: step or None)
    lots = _by_venue(names, options["lot"], None, lambda step: step or None)
    chosen = options["strategy"]
    try:
        instruments = {
            name: instrument_from(name, symbol, book, ticks[name], lots[name], options["min_notional"])
            for name, book in row.venues.items()
        }
    except ValueError as error:
        raise RecordingError(f"the first row has a book without levels of [price, size]: {error}") from error
    return Plan(
        symbol=symbol,
        side=Side(options["side"]),
        amount=options["amount"],
        strategies=tuple(Strategy) if chosen == "all" else (Strategy(chosen),),
        max_slippage_bps=options["max_slippage_bps"],
        instruments=instruments,
        fees_bps=_by_venue(names, options["fees"], DEFAULT_FEE_BPS, lambda fee: fee),
        latencies_ms=_by_venue(names, options["latency"], DEFAULT_LATENCY_MS, float),
        policy=Settings.from_env({}).policy,
    )


def _by_venue(
    names: list[str],
    given: Mapping[str, Decimal],
    default: Decimal | None,
    convert: Callable[[Any], _V],
) -> dict[str, _V]:
    return {name: convert(given.get(name, given.get("*", default))) for name in names}
