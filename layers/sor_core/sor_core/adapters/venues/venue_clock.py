"""A venue's clock as we see it from here: ours, and how far it is off."""

from __future__ import annotations

from sor_core.clock import Clock
from sor_core.ports import ServerTime


class VenueClock:
    """Tells a venue's time. Requests are stamped with it, so that our own clock may be wrong.

    Parameters
    ----------
    clock
        Ours.
    offset_ms
        Venue minus ours, as last measured; 0 until then.
    """

    def __init__(self, clock: Clock, offset_ms: float = 0.0) -> None:
        self._clock = clock
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        """Unix time in milliseconds, by the venue's clock."""
        return self._clock.now_ms() + round(self._offset_ms)

    def set_by(self, told: ServerTime) -> None:
        """Take over what the venue told (`ports.VenueMarketData.server_time`)."""
        self._offset_ms = told.offset_ms
