"""Recorded books, read row by row.

One JSON object a line, gzip-compressed or not: first optionally ``{"meta": {...}}``, then rows
``{"ts": ms, "venues": {name: {"bids": [[price, size], ...], "asks": ...}}}``, levels best first as
decimal strings.
"""

from __future__ import annotations

import gzip
import json
import re
import reprlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_LINE_BYTES = 32 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_NUMBER = re.compile(r"[0-9]{1,30}(?:\.[0-9]{0,30})?", re.ASCII)


class RecordingError(Exception):
    """A file that is no recording; the text says what was expected, and where."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One venue's book in a row, best level first."""

    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """The books of one moment."""

    ts_ms: int
    venues: Mapping[str, Sides]


def read_rows(path: Path, read_so_far: Callable[[int], None]) -> Iterator[Row]:
    """Read a recording, one row in memory at a time.

    Parameters
    ----------
    path
        The file.
    read_so_far
        Called with the number of bytes of the file read, after each row.

    Raises
    ------
    RecordingError
        At the first line that is no row, the first level that is none, or if there is no row.
    """
    names: set[str] | None = None
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            lines = gzip.GzipFile(fileobj=file) if packed else file
            number = 0
            while line := lines.readline(LONGEST_LINE_BYTES + 1):
                number += 1
                if len(line) > LONGEST_LINE_BYTES:
                    raise RecordingError(f"line {number} is longer than {LONGEST_LINE_BYTES} bytes")
                row = _row(line, number) if line.strip() else None
                if row is None:
                    continue
                names = names or set(row.venues)
                if set(row.venues) != names:
                    raise RecordingError(
                        f"line {number} has not the venues of the first row ({', '.join(sorted(names))})"
                    )
                read_so_far(file.tell())
                yield row
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"cannot be read: {error}") from error
    if names is None:
        raise RecordingError("has no row of books")


def _row(line: bytes, number: int) -> Row | None:
    try:
        entry = json.loads(line)
        if number == 1 and "meta" in entry:
            return None
        books = {str(name): Sides(_side(book["bids"]), _side(book["asks"])) for name, book in _books(entry)}
        row = Row(int(entry["ts"]), books)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        expected = '{"ts": ms, "venues": {name: {"bids": [[price, size], ...], "asks": [...]}}}'
        raise RecordingError(f"line {number} is not {expected}: {type(error).__name__} {error}") from error
    for venue, sides in books.items():
        for name, levels in (("bids", sides.bids), ("asks", sides.asks)):
            _refuse_what_is_no_level(levels, f"line {number}: {venue}, {name}")
    return row


def _refuse_what_is_no_level(levels: Sequence[object], place: str) -> None:
    for at, level in enumerate(levels, start=1):
        if not isinstance(level, list) or len(level) < 2 or not all(map(_is_number, level[:2])):  # noqa: PLR2004
            raise RecordingError(
                f"{place}, level {at} is not [price, size] in plain decimals: {reprlib.repr(level)}"
            )


def _is_number(text: object) -> bool:
    return isinstance(text, str) and bool(_NUMBER.fullmatch(text))


def _books(entry: Mapping[str, Any]) -> list[tuple[str, Any]]:
    books = list(entry["venues"].items())
    if not books:
        raise ValueError("no venues")
    return books


def _side(levels: Any) -> Sequence[Sequence[str]]:
    if not isinstance(levels, list):
        raise TypeError("expected a list of levels")
    return levels
