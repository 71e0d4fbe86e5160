"""Asking venues for their books, row after row, in the form that `cli.recording` reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from gzip import GzipFile
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.exits import UnavailableError
from sor_core.adapters.pool import make_client
from sor_core.adapters.venues.registry import VENUES, base_url, market_data
from sor_core.clock import SystemClock
from sor_core.domain.book import Book
from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.ports import VenueMarketData

KNOWN = tuple(VENUES)
TIMEOUT_S = 5.0
"""How long a venue may take for a book."""


async def record_rows(
    out: IO[bytes] | GzipFile,
    venues: tuple[str, ...],
    *,
    symbol: Symbol,
    rows: int,
    every: float,
    depth: int,
    gateway: str,
) -> int:
    """Write the rows; gives how many.

    Raises
    ------
    UnavailableError
        Not even the first could be had.
    """
    clock, loop, written = SystemClock(), asyncio.get_running_loop(), 0
    async with make_client() as client:
        asked = [market_data(venue, client, clock, gateway_url=gateway) for venue in venues]
        addresses = {venue: base_url(venue, gateway) for venue in venues}
        out.write(_line({"meta": {"symbol": str(symbol), "venues": addresses}}))
        began = loop.time()
        with _progress() as progress:
            for number in progress.track(range(rows), description="rows"):
                await asyncio.sleep(began + number * every - loop.time())
                ts_ms = clock.now_ms()
                books = await _books(asked, symbol, depth)
                if isinstance(books, VenueError):
                    if not written:
                        raise UnavailableError(f"{symbol}: {books}")
                    progress.console.print(f"a row is left out: {books}", soft_wrap=True)
                    continue
                out.write(_line({"ts": ts_ms, "venues": {b.venue: _levels(b, depth) for b in books}}))
                written += 1
    return written


async def _books(
    venues: Sequence[VenueMarketData], symbol: Symbol, depth: int
) -> Sequence[Book] | VenueError:
    """All books, or why one could not be had."""

    async def ask(venue: VenueMarketData) -> Book | VenueError:
        try:
            return await venue.book(symbol, depth=depth, timeout_s=TIMEOUT_S)
        except VenueError as error:
            return error

    found = await asyncio.gather(*map(ask, venues))
    failure = next((each for each in found if isinstance(each, VenueError)), None)
    return failure or [each for each in found if isinstance(each, Book)]


def _levels(book: Book, depth: int) -> dict[str, list[list[str]]]:
    sides = {"bids": book.bids, "asks": book.asks}
    return {name: [[str(level[0]), str(level[1])] for level in side[:depth]] for name, side in sides.items()}


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True))
