"""The venues' trading sides, for whoever trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.ports import ServerTime, VenueMarketData
from sor_core.ports_trading import VenueTrading


class VenueTime(Protocol):
    """A venue's clock as we see it."""

    def now_ms(self) -> int:
        """Unix milliseconds by the venue's clock."""
        ...

    def set_by(self, told: ServerTime) -> None:
        """Take over what the venue told."""
        ...


@dataclass(frozen=True, slots=True)
class Counterparty:
    """One venue's trading side."""

    trading: VenueTrading
    public: VenueMarketData
    """Over the same connections: asking the time warms them."""
    time: VenueTime


class Counterparties:
    """All venues that are configured. Orders may know others, that were once."""

    def __init__(self, parties: Mapping[str, Counterparty]) -> None:
        self._parties = parties

    def __getitem__(self, venue: str) -> Counterparty:
        """The trading side of a venue; raises `VenueError` for one that is configured no more."""
        party = self._parties.get(venue)
        if party is None:
            raise VenueError(venue, VenueFailure.REFUSED, "SOR_VENUES does not name it any more")
        return party

    async def tell_time(self, venue: str, timeout_s: float) -> ServerTime:
        """Ask a venue's time and set its clock here by it; raises `VenueError`."""
        party = self[venue]
        told = await party.public.server_time(timeout_s=timeout_s)
        party.time.set_by(told)
        return told
