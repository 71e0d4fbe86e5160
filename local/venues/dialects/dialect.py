"""The shape that every venue's dialect has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from local.venues.desk import TradingRules
from local.venues.exchange import ExchangeView
from local.venues.limits import Allowance, Charge, Limiter
from local.venues.markets import Venue
from local.venues.web import ApiReply, ApiRequest, Route


class Dialect(Protocol):
    """How one venue speaks: its paths, its bodies, its errors and its limits."""

    venue: Venue
    routes: Sequence[Route]
    rules: TradingRules

    def limiters(self) -> Mapping[str, Limiter]:
        """Make the venue's limits, by name."""
        ...

    def charges(self, route: Route, request: ApiRequest, view: ExchangeView) -> Sequence[Charge]:
        """Tell what a request costs of those limits."""
        ...

    def handle(self, route: Route, request: ApiRequest, view: ExchangeView) -> ApiReply:
        """Answer a request, its refusals included."""
        ...

    def limit_headers(self, allowances: Mapping[str, Allowance], now_ms: int) -> Mapping[str, str]:
        """Headers that tell a client how much of each limit it has used."""
        ...

    def rate_limited(self, limiter: str, allowance: Allowance, now_ms: int) -> ApiReply:
        """Tell a client that it asked too much, or is banned."""
        ...

    def server_error(self, status: int) -> ApiReply:
        """Tell of a failure of the venue's own."""
        ...

    def no_such_path(self, request: ApiRequest) -> ApiReply:
        """Answer a path or method that the venue does not have."""
        ...
