"""Asking a venue for much: waiting for its limits, and once more where it stumbled, until time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sor_core.clock import Clock
from sor_core.domain.errors import VenueError, VenueFailure

_T = TypeVar("_T")

QUESTION_TIMEOUT_S = 10.0
UNTOLD_WAIT_S = 5.0
"""How long it waits where neither the venue nor our budget of its requests says."""
ROOM_S = 3.0
"""How much longer than it must it waits: others ask the venue with the same key meanwhile."""
STUMBLES = 2
"""How often one question may go without an answer before the venue counts as not to be read."""
_STUMBLED = frozenset({VenueFailure.TIMEOUT, VenueFailure.CONNECTION, VenueFailure.SERVER_ERROR})


class PatientUntil:
    """Asks a venue's pages until a moment (implements `ports_trading.Patience`).

    Parameters
    ----------
    clock, sleep
        Time, and how it passes.
    stop_ms
        No question is begun after that, by `clock`, and each ends by then.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[object]], stop_ms: int) -> None:
        self._clock = clock
        self._sleep = sleep
        self._stop_ms = stop_ms

    async def ask(self, question: Callable[[float], Awaitable[_T]]) -> _T:
        """Ask, and the same again after a wait; raises `VenueError` where no time is left for that."""
        stumbles = 0
        while True:
            left_s = (self._stop_ms - self._clock.now_ms()) / 1000
            if left_s <= 0:
                raise VenueError("", VenueFailure.TIMEOUT, "no time was left")
            try:
                return await question(min(QUESTION_TIMEOUT_S, left_s))
            except VenueError as error:
                stumbles += error.failure in _STUMBLED
                stumbled = error.failure in _STUMBLED and stumbles <= STUMBLES
                if error.failure is not VenueFailure.RATE_LIMITED and not stumbled:
                    raise
                wait_s = UNTOLD_WAIT_S if error.retry_after_s is None else error.retry_after_s + ROOM_S
                if self._clock.now_ms() + wait_s * 1000 >= self._stop_ms:
                    raise
            await self._sleep(wait_s)
