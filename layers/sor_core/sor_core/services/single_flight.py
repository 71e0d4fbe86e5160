"""One piece of work for all who need its result at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


@dataclass(slots=True)
class _Flight(Generic[_V]):
    task: asyncio.Task[_V]
    waiting: int = 0


class SingleFlight(Generic[_K, _V]):
    """Shares work among the requests of one event loop.

    A result is not kept: who comes after the end begins anew. Each who waits may leave at his own
    deadline; with the last one the work is cancelled.

    Parameters
    ----------
    anew
        Whether a failure is one of who began (his time was up): others who waited begin anew.
    """

    def __init__(self, anew: Callable[[Exception], bool]) -> None:
        self._anew = anew
        self._flights: dict[_K, _Flight[_V]] = {}

    async def share(self, key: _K, work: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        """Wait for the work under way for `key`, or begin it; raises what it raises."""
        while True:
            flight = self._flights.get(key)
            joins = flight is not None and not flight.task.done()
            try:
                return await self._fly(key, work)
            except Exception as error:  # passed on, unless it is only that the time of who began was up
                if not (joins and self._anew(error)):
                    raise

    async def _fly(self, key: _K, work: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
        flight.waiting += 1
        try:
            # Not awaited itself: cancelling one who waits must not cancel the others' work.
            await asyncio.wait([flight.task])
            return flight.task.result()
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()
                await asyncio.gather(flight.task, return_exceptions=True)
