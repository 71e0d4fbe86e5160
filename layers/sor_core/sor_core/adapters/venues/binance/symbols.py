"""Binance's names: both assets joined, ``BTCUSDT``; its assets have the common names.

A joined name cannot be taken apart (``BTCUSDT`` could be BTCU/SDT), so the way back goes by the two
assets, which *Exchange information* names beside it.
"""

from __future__ import annotations

from sor_core.domain.instrument import Symbol


def venue_asset(asset: str) -> str:
    """Give Binance's name of an asset."""
    return asset


def common_asset(venue_asset_name: str) -> str:
    """Give the common name of Binance's asset."""
    return venue_asset_name


def venue_symbol(symbol: Symbol) -> str:
    """Give the name its requests want: BTC/USDT -> ``BTCUSDT``."""
    return venue_asset(symbol.base) + venue_asset(symbol.quote)


def common_symbol(base_asset: str, quote_asset: str) -> Symbol:
    """Give the symbol of a market by Binance's names of its assets."""
    return Symbol(common_asset(base_asset), common_asset(quote_asset))
