"""How the trading side of each venue is made. Apart from `registry`, for only who trades needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from sor_core.adapters.http import VenueHttp
from sor_core.adapters.venues.binance import facts as binance
from sor_core.adapters.venues.binance.trading import BinanceTrading
from sor_core.adapters.venues.budget import Purpose, VenueBudget
from sor_core.adapters.venues.coinbase import facts as coinbase
from sor_core.adapters.venues.coinbase.trading import CoinbaseTrading
from sor_core.adapters.venues.kraken import facts as kraken
from sor_core.adapters.venues.kraken.trading import KrakenTrading
from sor_core.adapters.venues.registry import base_url
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.clock import Clock
from sor_core.ports_trading import CredentialsSource, Nonces, VenueTrading


@dataclass(frozen=True, slots=True)
class TradingParts:
    """What the venues' trading sides share."""

    client: httpx.AsyncClient
    """From `adapters.pool.make_order_client`."""
    clock: Clock
    credentials: CredentialsSource
    nonces: Nonces
    new_id: Callable[[], str]
    """Gives random texts, each once."""


_MAKERS: Mapping[str, Callable[[VenueHttp, TradingParts, VenueClock], VenueTrading]] = {
    binance.VENUE: lambda http, parts, clock: BinanceTrading(http, parts.credentials, clock),
    coinbase.VENUE: lambda http, parts, clock: CoinbaseTrading(http, parts.credentials, clock, parts.new_id),
    kraken.VENUE: lambda http, parts, _clock: KrakenTrading(
        http, parts.credentials, parts.nonces, parts.new_id, parts.clock
    ),
}


def trading(
    name: str,
    parts: TradingParts,
    venue_clock: VenueClock,
    *,
    gateway_url: str = "",
    override: str = "",
    budget: VenueBudget | None = None,
) -> VenueTrading:
    """Make the trading side of a venue; no request is sent.

    Parameters
    ----------
    name
        A key of `registry.VENUES`.
    parts
        What all venues share.
    venue_clock
        The venue's clock; set it by what its market data side tells of the time.
    gateway_url, override
        See `registry.base_url`.
    budget
        The venue's, shared with its market data side; None sends whatever is asked for.
    """
    gate = None if budget is None else budget.gate(Purpose.ACCOUNT)
    http = VenueHttp(parts.client, name, base_url(name, gateway_url, override), parts.clock, gate)
    return _MAKERS[name](http, parts, venue_clock)
