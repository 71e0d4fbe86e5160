"""Kraken spot, REST API version 0."""
