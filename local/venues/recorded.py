"""Books played back from a recording, in real time, over and over.

The file holds one JSON object a line, gzip-compressed or not: first optionally ``{"meta": {...}}``
(whose ``symbol``, if any, names the market), then rows ``{"ts": ms, "venues": {name: {"bids":
[[price, size], ...], "asks": ...}}}`` with decimal strings and ascending ``ts``.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

from local.venues.books import SEQUENCES_A_MS, Level, Snapshot, Touch
from local.venues.markets import LISTINGS, Venue


class RecordingError(Exception):
    """A recording that cannot be played; its text says what was expected."""

    def __init__(self, message: str, *, about_symbol: bool = False) -> None:
        super().__init__(message)
        self.about_symbol = about_symbol


RawSide = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as read: its market and, by venue, a book for every row."""

    symbol: str
    offsets_ms: Sequence[int]
    """When each row begins, from the first one."""
    lasts_ms: int
    """How long the whole plays before it starts again."""
    books: Mapping[Venue, Sequence[Mapping[str, RawSide]]]


def read_recording(path: Path, symbol_if_unnamed: str) -> Recording:
    """Read a recording.

    Raises
    ------
    RecordingError
        If the file cannot be read, holds something else, or its market is not listed by a venue
        that it has books of.
    """
    meta, rows = _parse_lines(path)
    symbol = meta.get("symbol", symbol_if_unnamed)
    names = list(rows[0][1])
    venues = _assign(names)
    for venue in venues.values():
        if symbol not in LISTINGS[venue]:
            listed = ", ".join(LISTINGS[venue])
            msg = f"expected a market that {venue} lists ({listed}), not {symbol!r}"
            raise RecordingError(msg, about_symbol=True)
    books: dict[Venue, list[Mapping[str, RawSide]]] = {venue: [] for venue in venues.values()}
    for ts, by_name in rows:
        if set(by_name) != set(names):
            msg = f"expected every row to have the venues {', '.join(names)}; the row of ts {ts} differs"
            raise RecordingError(msg)
        for name, venue in venues.items():
            books[venue].append(_checked(by_name[name], ts))
    start = rows[0][0]
    offsets = [ts - start for ts, _ in rows]
    if any(after <= before for before, after in itertools.pairwise(offsets)):
        msg = "expected ascending ts"
        raise RecordingError(msg)
    last_step = offsets[-1] - offsets[-2] if len(offsets) > 1 else 1000
    return Recording(symbol, offsets, offsets[-1] + last_step, books)


def _parse_lines(path: Path) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
    meta: dict[str, Any] = {}
    rows: list[tuple[int, dict[str, Any]]] = []
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            entry = json.loads(line)
            if number == 1 and "meta" in entry:
                meta = dict(entry["meta"])
            else:
                rows.append((int(entry["ts"]), dict(entry["venues"])))
    except OSError as error:
        raise RecordingError(f"expected a readable file, but: {error.strerror or error}: {path}") from error
    except (EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__} {error}"
        raise RecordingError(f"expected JSON lines of recorded books in {path}, but: {what}") from error
    if not rows or not rows[0][1]:
        raise RecordingError(f"expected at least one row with books in {path}")
    return meta, rows


def _assign(names: Sequence[str]) -> dict[str, Venue]:
    """Recorded names that are venues stay; others stand, in their order, for the venues in theirs."""
    if len(names) > len(Venue):
        raise RecordingError(f"expected at most {len(Venue)} venues, not {len(names)}")
    if set(names) <= set(Venue):
        return {name: Venue(name) for name in names}
    return dict(zip(names, Venue, strict=False))


def _checked(book: object, ts: int) -> Mapping[str, RawSide]:
    try:
        sides = {side: book[side] for side in ("bids", "asks")}  # type: ignore[index]
        for levels in sides.values():
            Decimal(levels[0][0]), Decimal(levels[0][1])
    except (KeyError, IndexError, TypeError, InvalidOperation) as error:
        raise RecordingError(f"expected bids and asks of [price, size] in the row of ts {ts}") from error
    return sides


class RecordedBooks:
    """One venue's part of a recording as a `BookSource`; step n is row n, counted on over the loops."""

    def __init__(self, recording: Recording, venue: Venue, started_ms: int) -> None:
        self._recording = recording
        self._books = recording.books[venue]
        self._started_ms = started_ms
        self._levels = lru_cache(maxsize=4)(self._convert)

    def step_at(self, now_ms: int) -> int:
        """Number the row that plays at `now_ms`."""
        loops, within = divmod(max(0, now_ms - self._started_ms), self._recording.lasts_ms)
        return loops * len(self._books) + bisect_right(self._recording.offsets_ms, within) - 1

    def step_started_ms(self, step: int) -> int:
        """When that row began to play, Unix milliseconds of now, not of the recording."""
        loops, row = divmod(step, len(self._books))
        return self._started_ms + loops * self._recording.lasts_ms + self._recording.offsets_ms[row]

    def touch(self, step: int) -> Touch:
        """Best bid and ask in that row."""
        book = self._books[step % len(self._books)]
        return Touch(Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0]))

    def snapshot(self, step: int) -> Snapshot:
        """The whole book of that row."""
        bids, asks = self._levels(step % len(self._books))
        started_ms = self.step_started_ms(step)
        return Snapshot(bids, asks, changed_at_ms=started_ms, sequence=started_ms * SEQUENCES_A_MS)

    def _convert(self, row: int) -> tuple[list[Level], list[Level]]:
        book = self._books[row]
        bids, asks = (
            [Level(Decimal(price), Decimal(size)) for price, size, *_ in book[side]]
            for side in ("bids", "asks")
        )
        return bids, asks
