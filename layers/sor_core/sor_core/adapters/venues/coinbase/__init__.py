"""Coinbase Advanced Trade, REST API v3 (brokerage)."""
