"""Which venues there are, and where each is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from sor_core.adapters.http import VenueHttp
from sor_core.adapters.venues.binance import facts as binance
from sor_core.adapters.venues.binance import limits as binance_limits
from sor_core.adapters.venues.binance.market_data import BinanceMarketData
from sor_core.adapters.venues.budget import Purpose, Rules, VenueBudget
from sor_core.adapters.venues.coinbase import facts as coinbase
from sor_core.adapters.venues.coinbase import limits as coinbase_limits
from sor_core.adapters.venues.coinbase.market_data import CoinbaseMarketData
from sor_core.adapters.venues.kraken import facts as kraken
from sor_core.adapters.venues.kraken import limits as kraken_limits
from sor_core.adapters.venues.kraken.market_data import KrakenMarketData
from sor_core.clock import Clock
from sor_core.ports import VenueMarketData


@dataclass(frozen=True, slots=True)
class VenueEntry:
    """One venue: how its adapter is made, its own address, and how it counts requests."""

    market_data: Callable[[VenueHttp], VenueMarketData]
    base_url: str
    rules: Rules


VENUES: Mapping[str, VenueEntry] = {
    binance.VENUE: VenueEntry(BinanceMarketData, binance.BASE_URL, binance_limits.RULES),
    coinbase.VENUE: VenueEntry(CoinbaseMarketData, coinbase.BASE_URL, coinbase_limits.RULES),
    kraken.VENUE: VenueEntry(KrakenMarketData, kraken.BASE_URL, kraken_limits.RULES),
}
"""In the order in which equals are preferred."""


def base_url(name: str, gateway_url: str = "", override: str = "") -> str:
    """Say where a venue is asked.

    Parameters
    ----------
    name
        A key of `VENUES`.
    gateway_url
        ``EXCHANGE_GATEWAY_URL``: an address that passes each venue's paths on under the venue's
        name; empty for none.
    override
        The venue's own variable (``SOR_BINANCE_URL``, ...), which goes before the gateway; empty
        for none.

    Returns
    -------
    str
        Without a slash at its end.

    Raises
    ------
    KeyError
        If there is no such venue.

    Examples
    --------
    >>> base_url("kraken")
    'https://api.kraken.com'
    >>> base_url("kraken", "http://127.0.0.1:8006/")
    'http://127.0.0.1:8006/kraken'
    >>> base_url("kraken", "http://127.0.0.1:8006", "https://kraken.example/api/")
    'https://kraken.example/api'
    """
    own = VENUES[name].base_url
    if override:
        return override.rstrip("/")
    return f"{gateway_url.rstrip('/')}/{name}" if gateway_url else own


def budget(name: str, clock: Clock, tier: str = "") -> VenueBudget:
    """Make a venue's budget of requests, to be shared by its market data and its trading side.

    `tier` is the account's, empty for the venue's lowest; raises `ValueError` if there is no such tier.
    """
    rules = VENUES[name].rules
    if tier and tier not in rules.tiers:
        known = ", ".join(rules.tiers) or "none"
        raise ValueError(f"expected a tier of {name} ({known}), not {tier!r}")
    return VenueBudget(rules, clock, tier)


def market_data(
    name: str,
    client: httpx.AsyncClient,
    clock: Clock,
    *,
    gateway_url: str = "",
    override: str = "",
    budget: VenueBudget | None = None,
) -> VenueMarketData:
    """Make the adapter of a venue; no request is sent.

    See `base_url` for the two addresses. With a budget it asks nothing that would leave orders short.
    """
    gate = None if budget is None else budget.gate(Purpose.MARKET_DATA)
    return VENUES[name].market_data(
        VenueHttp(client, name, base_url(name, gateway_url, override), clock, gate)
    )
