"""Histories of several markets: of a venue that lists each apart, or out of lists of the whole account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from sor_core.domain.errors import VenueError
from sor_core.domain.instrument import Symbol
from sor_core.ports_trading import History


async def one_by_one(
    symbols: Sequence[Symbol], read: Callable[[Symbol], Awaitable[History]]
) -> Mapping[Symbol, History | VenueError]:
    """Read one market after another: one that cannot be read does not stand in the others' way."""
    found: dict[Symbol, History | VenueError] = {}
    for symbol in symbols:
        try:
            found[symbol] = await read(symbol)
        except VenueError as error:
            found[symbol] = error
    return found
