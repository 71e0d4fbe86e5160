"""Kraken's lists of the account. Each is of all pairs, so it is read once and then looked through by pair."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.kraken import facts, orders
from sor_core.domain.instrument import Symbol
from sor_core.domain.trading import Fill, VenueOrder
from sor_core.ports_trading import Patience

Ask = Callable[[str, Mapping[str, str | int], float], Awaitable[Answer]]
"""Asks a path with parameters, in so many seconds at most."""


@dataclass(frozen=True, slots=True)
class OrderLists:
    """The account's orders, opened since a moment."""

    since_ms: int
    opened: Answer
    closed: Sequence[Answer]

    def of(self, symbol: Symbol) -> list[VenueOrder]:
        """Those of a pair, each once, as it was read last; raises `VenueError`."""
        pages = [orders.parse_open_orders(self.opened, symbol)]
        pages += [orders.parse_closed_orders(page, symbol)[0] for page in self.closed]
        found = {order.venue_order_id: order for page in pages for order in page}
        return [o for o in found.values() if o.created_at_ms is None or o.created_at_ms >= self.since_ms]


@dataclass(frozen=True, slots=True)
class TradeLists:
    """The account's trades since a moment."""

    since_ms: int
    pages: Sequence[Answer]

    def of(self, symbol: Symbol) -> list[Fill]:
        """The fills in a pair, each once; raises `VenueError`."""
        found = {fill.fill_id: fill for page in self.pages for fill in orders.parse_trades(page, symbol)[0]}
        return [fill for fill in found.values() if (fill.at_ms or self.since_ms) >= self.since_ms]


async def order_lists(ask: Ask, since_ms: int, patience: Patience) -> OrderLists:
    """Ask *Get Open Orders*, then *Get Closed Orders* page by page: what ends meanwhile is in both."""
    opened, _ = await patience.ask(
        partial(_page, ask, facts.OPEN_ORDERS_PATH, {}, orders.rows_of_open_orders)
    )
    params: dict[str, str | int] = {"start": since_ms // 1000 - 1, "closetime": "open"}
    return OrderLists(since_ms, opened, [page async for page in closed_orders(ask, params, patience)])


def closed_orders(ask: Ask, params: Mapping[str, str | int], patience: Patience) -> AsyncIterator[Answer]:
    """Ask *Get Closed Orders*, page by page."""
    return _pages(ask, facts.CLOSED_ORDERS_PATH, params, orders.rows_of_closed_orders, patience)


async def trade_lists(ask: Ask, since_ms: int, patience: Patience) -> TradeLists:
    """Ask *Get Trades History*, page by page."""
    params = {"start": since_ms // 1000 - 1}
    pages = _pages(ask, facts.TRADES_HISTORY_PATH, params, orders.rows_of_trades, patience)
    return TradeLists(since_ms, [page async for page in pages])


async def _pages(
    ask: Ask,
    path: str,
    params: Mapping[str, str | int],
    rows_of: Callable[[Answer], int],
    patience: Patience,
) -> AsyncIterator[Answer]:
    """Read a list to its end, or fail: half a list proves nothing. What bounds it is the time given.

    While it is read rows come to it and none goes, so that a row can only move to a later place: it
    is read twice then, never missed.
    """
    for number in itertools.count():
        asked = {**params, "ofs": number * facts.PAGE}
        page, rows = await patience.ask(partial(_page, ask, path, asked, rows_of))
        yield page
        if rows < facts.PAGE:
            return


async def _page(
    ask: Ask,
    path: str,
    params: Mapping[str, str | int],
    rows_of: Callable[[Answer], int],
    timeout_s: float,
) -> tuple[Answer, int]:
    """Ask for a page and look whether it is one: errors, too, come with status 200."""
    answer = await ask(path, params, timeout_s)
    return answer, rows_of(answer)
