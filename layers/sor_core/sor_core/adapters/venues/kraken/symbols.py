"""Kraken's names: XBT for BTC and XDG for DOGE, markets joined: ``XBTUSDT``.

Its answers also use longer names for old assets and their markets (``XXBT``, ``XXBTZUSD``). A joined
name cannot be taken apart, so the way back goes by the two assets, which *Get Tradable Asset Pairs*
names beside it.
"""

from __future__ import annotations

from sor_core.adapters.venues.kraken import facts
from sor_core.domain.instrument import Symbol

_VENUE_ASSETS = {common: venue for venue, common in facts.COMMON_ASSETS.items()}


def venue_asset(asset: str) -> str:
    """Give Kraken's short name of an asset: BTC -> ``XBT``, USD -> ``USD``."""
    return _VENUE_ASSETS.get(asset, asset)


def common_asset(venue_asset_name: str) -> str:
    """Give the common name of Kraken's asset, short or long: ``XBT``, ``XXBT`` -> BTC."""
    short = venue_asset_name[1:] if venue_asset_name in facts.LEGACY_ASSETS else venue_asset_name
    return facts.COMMON_ASSETS.get(short, short)


def venue_symbol(symbol: Symbol) -> str:
    """Give the name its requests want: BTC/USDT -> ``XBTUSDT``."""
    return venue_asset(symbol.base) + venue_asset(symbol.quote)


def common_symbol(base_asset: str, quote_asset: str) -> Symbol:
    """Give the symbol of a market by Kraken's names of its assets."""
    return Symbol(common_asset(base_asset), common_asset(quote_asset))


def names(pair: str, symbol: Symbol) -> bool:
    """Say whether a pair's name, in any of Kraken's forms, can be this symbol's.

    ``XBTUSD``, ``XXBTZUSD`` and ``XBT/USD`` are all BTC/USD, and so is ``BTCUSD``.
    """
    return pair.replace("/", "") in {
        base + quote for base in _asset_names(symbol.base) for quote in _asset_names(symbol.quote)
    }


def _asset_names(asset: str) -> frozenset[str]:
    short = venue_asset(asset)
    legacy = {letter + short for letter in "XZ"} & facts.LEGACY_ASSETS
    return frozenset({asset, short, *legacy})
