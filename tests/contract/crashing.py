"""A process that dies between two I/O operations: nothing of it runs on, and no answer of it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx

from sor_core.ports_trading import OrderLedger

T = TypeVar("T")


class KilledError(BaseException):
    """The end of a process; no `except Exception` meets it."""


class Tripwire:
    """Counts I/O operations, before and after each, and kills the process at one of them."""

    def __init__(self, at: int | None) -> None:
        self.count = 0
        self.at = at

    def step(self) -> None:
        self.count += 1
        # Whoever still runs after the death does nothing more either.
        if self.at is not None and self.count >= self.at:
            raise KilledError


class TrippedLedger:
    """An `OrderLedger` whose every call passes a tripwire twice."""

    def __init__(self, ledger: OrderLedger, wire: Tripwire) -> None:
        self._ledger = ledger
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self._wire.step()
            result = await method(*arguments, **named)
            self._wire.step()
            return result

        return call


class TrippedTransport(httpx.AsyncBaseTransport):
    """A transport whose every request passes a tripwire twice."""

    def __init__(self, inner: httpx.AsyncBaseTransport, wire: Tripwire) -> None:
        self._inner = inner
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.step()
        response = await self._inner.handle_async_request(request)
        try:
            self._wire.step()
        except KilledError:
            await response.aclose()  # the dead process's sockets close
            raise
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def run_until_killed(work: Coroutine[Any, Any, T]) -> T | None:
    """Run work as a process of its own; None if it was killed, and then all its tasks are gone."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(work)
    try:
        return await task
    except KilledError:
        return None
    finally:
        left = asyncio.all_tasks() - before
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
