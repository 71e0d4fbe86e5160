"""Answers and problems on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

UNBOUNDED = 100_000
"""Width where there is no terminal: a line is never folded or cut."""
_MOST_ZEROS = 40
TIMES = frozenset({"created_at", "ended_at", "at_ms", "since", "due_at", "intended_at"})
"""Fields in Unix milliseconds."""
_PROBLEM = frozenset({"type", "title", "status", "detail", "errors", "message", "Message"})


@dataclass(frozen=True, slots=True)
class View:
    """What of an answer is shown, and how; what it does not speak of is shown as it comes."""

    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By a table's name its columns, none given for all; these tables come first."""
    inline: frozenset[str] = frozenset()
    """Short lists that are a line and no table."""
    hidden: frozenset[str] = frozenset()
    """Fields and tables left out: said elsewhere in the same answer, or only for programs."""


EVERYTHING = View()


def console(file: IO[str] | None = None) -> Console:
    """Where to print: as wide as the terminal, or without bounds where there is none."""
    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else UNBOUNDED, highlight=False, soft_wrap=False)


def show_answer(text: str, document: Any, *, raw: bool, view: View = EVERYTHING) -> None:
    """Print an answer: as it came, or its fields as tables."""
    if raw or not isinstance(document, Mapping):
        click.echo(text)
        return
    out = console()
    flat = {name: value for name, value in _flat(document).items() if name not in view.hidden}
    tables = {n: rows for n, rows in flat.items() if _is_table(rows) and n not in view.inline}
    facts = [(name, _cell(name, value)) for name, value in flat.items() if name not in tables]
    if facts:
        print_plainly(out, grid(facts))
    names = sorted(tables, key=lambda name: name not in view.columns)
    for name in names:
        if facts or name != names[0]:
            out.print()
        _print_table(out, name, tables[name], view.columns.get(name, ()))


def show_problem(status: int, document: Any, file: IO[str]) -> None:
    """Print a problem document (RFC 9457): title, detail, fields, and what else it says."""
    out = console(file)
    if not isinstance(document, Mapping):
        out.print(Text(f"Refused ({status})", style="bold red"))
        return
    out.print(Text(clean(f"{title_of(document)} ({status})"), style="bold red"))
    if document.get("detail"):
        out.print(Text(clean(str(document["detail"]))))
    errors: Any = document.get("errors")
    for error in errors if _is_table(errors) else ():
        out.print(Text(clean(f"  {error.get('field')}: expected {error.get('expected')}")))
    for name, value in _flat({k: v for k, v in document.items() if k not in _PROBLEM}).items():
        if _is_table(value):
            _print_table(out, name, value)
        else:
            out.print(Text(f"  {name}: {_cell(name, value)}"))


def title_of(problem: Mapping[str, Any]) -> str:
    """What a problem document, or an error of API Gateway itself, says first."""
    return str(problem.get("title") or problem.get("message") or problem.get("Message") or "Refused")


def grid(facts: Sequence[tuple[str, str]]) -> Table:
    """Names and values, a line each."""
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts:
        made.add_row(Text(clean(name)), Text(clean(value)))
    return made


def new_table(title: str, columns: Sequence[tuple[str, bool]]) -> Table:
    """An empty table with columns of (heading, whether of numbers)."""
    made = Table(
        title=Text(clean(title), style="bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for heading, numbers in columns:
        made.add_column(Text(clean(heading)), justify="right" if numbers else "left", overflow="fold")
    return made


def print_plainly(out: Console, what: RenderableType) -> None:
    """Print; off a terminal without the blanks that fill lines up."""
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as captured:
        out.print(what)
    for line in captured.get().splitlines():
        out.file.write(f"{line.rstrip()}\n")


def clean(text: str) -> str:
    """Text without control characters: what a venue says does not drive this terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _print_table(
    out: Console, name: str, rows: Sequence[Mapping[str, Any]], wanted: Sequence[str] = ()
) -> None:
    """Print rows as a table; a row as a list of names and values where a table is too wide."""
    flat = [_flat(row) for row in rows]
    found = dict.fromkeys(column for row in flat for column in row)
    columns = [column for column in wanted if column in found] or list(found)
    table = new_table(
        name,
        [(c, all(isinstance(row.get(c), int | Decimal | None) for row in flat)) for c in columns],
    )
    for row in flat:
        table.add_row(*(Text(_cell(column, row.get(column))) for column in columns))
    if out.measure(table, options=out.options.update_width(UNBOUNDED)).maximum <= out.width:
        print_plainly(out, table)
        return
    for number, row in enumerate(flat, 1):
        out.print(Text(clean(f"{name} {number}"), style="bold"))
        out.print(grid([(f"  {column}", _cell(column, row.get(column))) for column in columns]))


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names; an object of objects as a list of them, each with its name."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) for row in value.values()):
            flat[prefix + name] = [{"name": key, **row} for key, row in value.items()]
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.rpartition(".")[2] in TIMES:
        return moment(value)
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, list):
        return ("; " if _is_table(value) else ", ").join(_cell(name, part) for part in value) or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{part}={_cell(part, value[part])}" for part in value)
    return clean(str(value))


def number(value: Decimal) -> str:
    """All digits, without an exponent where that is no screenful of zeros."""
    short = value.is_finite() and abs(value.adjusted()) < _MOST_ZEROS
    return f"{value:f}" if short else str(value)


def moment(at_ms: int) -> str:
    """Unix milliseconds as UTC; as they are where they are no time of a calendar."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(at_ms)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d} UTC"
