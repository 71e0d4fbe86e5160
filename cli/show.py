"""Answers and problems on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import IO, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 200


def console(file: IO[str] | None = None) -> Console:
    """Where to print: as wide as the terminal, or wide enough for a table where there is none."""
    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def show_answer(text: str, document: Any, *, raw: bool, columns: Sequence[str] = ()) -> None:
    """Print an answer: as it came, or its fields as tables (of these columns, where a list has them)."""
    if raw or not isinstance(document, Mapping):
        click.echo(text)
        return
    out = console()
    flat = _flat(document)
    lists = {name: value for name, value in flat.items() if _is_table(value)}
    plain = Table(show_header=False, box=None, pad_edge=False)
    plain.add_column(style="bold")
    plain.add_column(overflow="fold")
    for name, value in flat.items():
        if name not in lists:
            plain.add_row(name, Text(_cell(value)))
    if plain.row_count:
        out.print(plain)
    for name, rows in lists.items():
        out.print(_table(name, rows, columns))


def show_problem(status: int, document: Any, file: IO[str] | None = None) -> None:
    """Print a problem document (RFC 9457): title, detail, fields, and what else it says."""
    out = console(file or sys.stderr)
    if not isinstance(document, Mapping):
        out.print(Text(f"Refused ({status})"), style="bold red")
        return
    title = document.get("title") or document.get("message") or document.get("Message") or "Refused"
    out.print(Text(f"{title} ({status})"), style="bold red")
    if document.get("detail"):
        out.print(Text(str(document["detail"])))
    errors: Any = document.get("errors")
    for error in errors if _is_table(errors) else ():
        out.print(Text(f"  {error.get('field')}: expected {error.get('expected')}"))
    known = {"type", "title", "status", "detail", "errors", "message", "Message"}
    for name, value in _flat({k: v for k, v in document.items() if k not in known}).items():
        out.print(_table(name, value) if _is_table(value) else Text(f"  {name}: {_cell(value)}"))


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


def _table(name: str, rows: Sequence[Mapping[str, Any]], wanted: Sequence[str] = ()) -> Table:
    flat = [_flat(row) for row in rows]
    found = dict.fromkeys(column for row in flat for column in row)
    columns = [column for column in wanted if column in found] or list(found)
    table = Table(title=Text(name), title_justify="left", title_style="bold")
    for column in columns:
        numbers = all(isinstance(row.get(column), int | Decimal | None) for row in flat)
        table.add_column(Text(column), justify="right" if numbers else "left", overflow="fold")
    for row in flat:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list):
        return ("; " if _is_table(value) else ", ").join(map(_cell, value)) or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_cell(part)}" for name, part in value.items())
    return str(value)
