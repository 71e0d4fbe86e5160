"""Simulated venues: Binance, Coinbase Advanced Trade and Kraken on one local address.

Run them with ``python -m local.venues``; see ``local/README.md``. In a test::

    venues = await start(VenuesConfig(port=0, clock=ManualClock()))
    ...  # requests to f"{venues.url}/binance/api/v3/depth?symbol=BTCUSDT"
    await venues.aclose()
"""

from local.venues.clock import ManualClock, WallClock
from local.venues.config import ConfigError, VenuesConfig, config_from_environment
from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.recorded import Recording, read_recording
from local.venues.server import RunningVenues, start

__all__ = [
    "LISTINGS",
    "ConfigError",
    "Listing",
    "ManualClock",
    "Recording",
    "RunningVenues",
    "Venue",
    "VenuesConfig",
    "WallClock",
    "config_from_environment",
    "read_recording",
    "start",
]
