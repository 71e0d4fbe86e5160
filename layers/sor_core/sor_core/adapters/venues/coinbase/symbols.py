"""Coinbase's names: both assets with a dash, ``BTC-USD``; its assets have the common names.

Some products are *aliases*: BTC-USDC is tradable and settles in USDC, but its order book **is** that
of BTC-USD (its ``alias`` names it). Every symbol is one venue product, and an order stays in its own
quote currency, so a decision for one symbol sees such a book once. Only who adds up the liquidity of
several quotes must count `shared_book` of them once.
"""

from __future__ import annotations

from sor_core.domain.instrument import Symbol

_SHARED_QUOTES = {"USDC": "USD"}
"""Get Public Product: BTC-USD has ``alias_to`` ["BTC-USDC"], and so with the other USD markets."""


def venue_asset(asset: str) -> str:
    """Give Coinbase's name of an asset."""
    return asset


def common_asset(venue_asset_name: str) -> str:
    """Give the common name of Coinbase's asset."""
    return venue_asset_name


def venue_symbol(symbol: Symbol) -> str:
    """Give the product's id: BTC/USD -> ``BTC-USD``."""
    return f"{venue_asset(symbol.base)}-{venue_asset(symbol.quote)}"


def common_symbol(base_asset: str, quote_asset: str) -> Symbol:
    """Give the symbol of a product by Coinbase's names of its assets."""
    return Symbol(common_asset(base_asset), common_asset(quote_asset))


def shared_book(product_id: str) -> str:
    """Give one name to products that share a book: ``BTC-USDC`` -> ``BTC-USD``."""
    base, dash, quote = product_id.rpartition("-")
    return base + dash + _SHARED_QUOTES.get(quote, quote)
