"""What trading adapters need beside a venue: `ports_trading.Nonces` and `CredentialsSource` in memory.

The nonces are held to the same suite as DynamoDB's (tests/contract/test_nonces.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from sor_core.clock import Clock
from sor_core.domain.credentials import Credentials, CredentialsError, KeyUse
from sor_core.ports import StateError


class MemoryNonces:
    """Keeps everything in dictionaries; `broken` makes every call fail as an unreachable store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, int] = {}
        self._turns: dict[str, tuple[str, int]] = {}
        self.broken = False

    def _check(self) -> None:
        if self.broken:
            raise StateError("unreachable")

    async def next(self, key_id: str) -> int:
        self._check()
        nonce = max(self._clock.now_ms() * 1_000_000, self._last.get(key_id, 0) + 1)
        self._last[key_id] = nonce
        return nonce

    async def take_turn(self, key_id: str, owner: str, *, for_ms: int) -> int | None:
        self._check()
        holder, until_ms = self._turns.get(key_id, (owner, 0))
        if holder != owner and until_ms > self._clock.now_ms():
            return None
        self._turns[key_id] = (owner, self._clock.now_ms() + for_ms)
        return await self.next(key_id)

    async def end_turn(self, key_id: str, owner: str) -> None:
        self._check()
        if self._turns.get(key_id, ("", 0))[0] == owner:
            del self._turns[key_id]


class StaticCredentials:
    """Gives the keys that a test put there; where a venue has a newer one, after a refusal that."""

    def __init__(self, keys: Mapping[tuple[str, KeyUse], tuple[str, str]]) -> None:
        self.keys = dict(keys)
        self.newer: dict[tuple[str, KeyUse], tuple[str, str]] = {}
        self.refusals: list[Credentials] = []

    async def get(self, venue: str, use: KeyUse) -> Credentials:
        for stored in (use, KeyUse.TRADE):
            key = self.keys.get((venue, stored))
            if key is not None:
                return Credentials(venue, stored, *key)
        raise CredentialsError(venue, "there is no such secret")

    def refused(self, credentials: Credentials) -> None:
        self.refusals.append(credentials)
        name = (credentials.venue, credentials.use)
        if name in self.newer:
            self.keys[name] = self.newer.pop(name)
