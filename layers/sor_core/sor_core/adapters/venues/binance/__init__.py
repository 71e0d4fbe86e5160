"""Binance spot, REST API v3 (also Binance's testnet and demo, which speak the same)."""
