"""What routes and orders meet with at the venues, added to the venues' health.

A busy process makes many calls: they are summed here and written every ten seconds, and soon after
a failure. A sum that could not be written, or that another process overtook, stays for the next
time. What a frozen Lambda never comes to write is lost: probes do not depend on it.

When nothing comes back from any venue it is our own egress that is suspected: such failures are let
go. A failure to reach a venue counts only if this process reached another, or that one, about the
time of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from sor_core.clock import Clock
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.health.breaker import Evidence
from sor_core.health.calls import Tally, Verdict, verdict_on_error
from sor_core.health.measure import fold_calls
from sor_core.observability import Log
from sor_core.ports import StateError, StateStore
from sor_core.settings import Settings

FLUSH_EVERY_MS = 10_000
FLUSH_AFTER_FAILURE_MS = 1000
"""How soon after the last time failures are written: a venue that fails is asked by many at once."""
FLUSH_TIMEOUT_S = 0.2
"""How long anybody waits for it."""
REACHED_WITHIN_MS = 5000
"""How long before a call failed our egress must have worked for the failure to be the venue's."""
_TRIES = 3
_Tallies = dict[Evidence, Tally]
_T = TypeVar("_T")


class CallHealth:
    """Sums of one process, for all its services."""

    def __init__(self, store: StateStore, clock: Clock, settings: Settings, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._log = log
        self._pending: dict[str, _Tallies] = {}
        self._unreached_from_ms: dict[str, float] = {}
        """Per venue, when the first call began from which nothing came back, since the last flush."""
        self._reached_at_ms: float | None = None
        self._flushed_at_ms: float | None = None
        self._has_failures = False

    async def timed(
        self,
        venue: str,
        evidence: Evidence,
        call: Awaitable[_T],
        *,
        given_s: float | None = None,
        judge: Callable[[_T], tuple[Verdict, str]] = lambda _: (Verdict.ANSWERED, ""),
    ) -> _T:
        """Await a venue's answer and count it as `judge` says; raises what `call` raises.

        A call that is cancelled counts as timed out if it had at least half of `given_s`; without
        it, for nothing.
        """
        started_ms = self._clock.monotonic_ms()
        try:
            result = await call
        except VenueError as error:
            self._count(venue, evidence, started_ms, *verdict_on_error(error))
            raise
        except asyncio.CancelledError:
            waited_ms = self._clock.monotonic_ms() - started_ms
            if given_s is not None and waited_ms * 2 >= given_s * 1000:
                self._count(venue, evidence, started_ms, Verdict.UNREACHED, VenueFailure.TIMEOUT)
            raise
        self._count(venue, evidence, started_ms, *judge(result))
        return result

    def _count(self, venue: str, evidence: Evidence, started_ms: float, verdict: Verdict, code: str) -> None:
        now_ms = self._clock.monotonic_ms()
        if verdict is Verdict.NOTHING:
            return
        if verdict is Verdict.UNREACHED:
            self._unreached_from_ms.setdefault(venue, started_ms)
        else:
            self._reached_at_ms = now_ms
        tallies = self._pending.setdefault(venue, {})
        failure = "" if verdict is Verdict.ANSWERED else code
        tallies[evidence] = tallies.get(evidence, Tally()).plus(now_ms - started_ms, failure)
        self._has_failures = self._has_failures or bool(failure)
        if self._flushed_at_ms is None:
            self._flushed_at_ms = now_ms - FLUSH_AFTER_FAILURE_MS

    @property
    def due(self) -> bool:
        """Whether there is something that should be written."""
        if not self._pending or self._flushed_at_ms is None:
            return False
        wait_ms = FLUSH_AFTER_FAILURE_MS if self._has_failures else FLUSH_EVERY_MS
        return self._clock.monotonic_ms() - self._flushed_at_ms >= wait_ms

    async def flush(self) -> None:
        """Write what is due, within `FLUSH_TIMEOUT_S`; what does not succeed stays for the next time."""
        if not self.due:
            return
        pending, self._pending = self._pending, {}
        self._flushed_at_ms, self._has_failures = self._clock.monotonic_ms(), False
        if self._egress_suspected():
            suspects, self._unreached_from_ms = self._unreached_from_ms, {}
            self._log.warning("no venue reached: our own egress is suspected", venues=sorted(suspects))
            pending = {v: t for v, t in pending.items() if v not in suspects}
        self._unreached_from_ms = {}
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                while pending:
                    venue = next(iter(pending))
                    await self._add(venue, pending[venue])
                    del pending[venue]
        except (StateError, TimeoutError) as error:
            self._log.warning(
                "state store unavailable", operation="health", error=str(error) or "no answer in time"
            )
        finally:
            self._take_back(pending)

    def _egress_suspected(self) -> bool:
        if not self._unreached_from_ms or len(self._settings.venues) == 1:
            return False
        since_ms = min(self._unreached_from_ms.values())
        if len(self._unreached_from_ms) == 1:
            since_ms -= REACHED_WITHIN_MS
        return self._reached_at_ms is None or self._reached_at_ms < since_ms

    def _take_back(self, unwritten: Mapping[str, _Tallies]) -> None:
        for venue, tallies in unwritten.items():
            later = self._pending.setdefault(venue, {})
            for evidence, tally in tallies.items():
                later[evidence] = tally.then(later.get(evidence, Tally()))
                self._has_failures = self._has_failures or bool(tally.failure)

    async def _add(self, venue: str, tallies: _Tallies) -> None:
        for _ in range(_TRIES):
            known = (await self._store.load_health([venue])).get(venue)
            if known is None:
                return  # never probed: there is nothing to add to
            after = fold_calls(known, tallies, self._clock.now_ms(), self._settings.breaker)
            if await self._store.save_health(after):
                self._tell(venue, known.trading.state, after.trading.state, after.trading.why)
                return
        raise StateError(f"health of {venue} changed {_TRIES} times while it was written")

    def _tell(self, venue: str, before: str, after: str, why: str) -> None:
        if before != after:
            self._log.warning("breaker", exchange=venue, breaker="trading", state=after, why=why)
