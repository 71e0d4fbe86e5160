"""Coinbase Advanced Trade, as clients of ``/api/v3/brokerage`` see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from local.venues.desk import DuplicateRule, TradingRules
from local.venues.dialects.coinbase import account, market_data, trading, wallet
from local.venues.dialects.coinbase.account import made_uuid
from local.venues.dialects.coinbase.auth import authenticate, key_named
from local.venues.dialects.coinbase.wire import CoinbaseError, UnauthorizedError, error_reply
from local.venues.exchange import ExchangeView, UnknownSymbolError
from local.venues.faults import Endpoint
from local.venues.limits import Allowance, Charge, LeakyBucket, Limiter
from local.venues.markets import Venue
from local.venues.web import ApiReply, ApiRequest, Route, json_reply

_AVAILABLE_IN_MAINTENANCE = {Endpoint.TIME, Endpoint.INSTRUMENTS}
_PUBLIC, _PRIVATE = "public", "private"


class CoinbaseDialect:
    """Coinbase Advanced Trade."""

    venue = Venue.COINBASE
    routes: Sequence[Route] = (*market_data.ROUTES, *account.ROUTES, *trading.ROUTES, *wallet.ROUTES)
    rules = TradingRules(
        maker_rate=Decimal("0.006"),
        taker_rate=Decimal("0.012"),
        fee_decimals=lambda _: None,
        # "Create Order", client_order_id: a known one gets its order back and makes no second.
        duplicates=DuplicateRule.RETURN_FIRST,
        order_id=lambda number: made_uuid(f"order/{number}"),
        fill_id=lambda number: made_uuid(f"trade/{number}"),
    )

    def limiters(self) -> Mapping[str, Limiter]:
        """10 requests a second and address in public, 30 a second and user with a key ("Rate limits")."""
        return {_PUBLIC: LeakyBucket(10, per_second=10.0), _PRIVATE: LeakyBucket(30, per_second=30.0)}

    def charges(self, route: Route, request: ApiRequest, view: ExchangeView) -> Sequence[Charge]:  # noqa: ARG002
        """A request counts once, for its address or for its key."""
        if route.permission is None:
            return [Charge(_PUBLIC, request.client_ip)]
        return [Charge(_PRIVATE, key_named(request) or request.client_ip)]

    def handle(self, route: Route, request: ApiRequest, view: ExchangeView) -> ApiReply:
        """Answer a request, its refusals included."""
        try:
            if view.conditions.maintenance and route.endpoint not in _AVAILABLE_IN_MAINTENANCE:
                raise CoinbaseError(503, "UNAVAILABLE", "service is down for maintenance")  # noqa: TRY301
            if route.permission is not None:
                authenticate(request, view, route.permission)
            return route.handle(request, view)
        except UnauthorizedError:
            return ApiReply(401, b"Unauthorized\n", content_type="text/plain")
        except UnknownSymbolError:
            return error_reply(404, "NOT_FOUND", "valid product_id is required")
        except CoinbaseError as error:
            return error.reply()

    def limit_headers(self, allowances: Mapping[str, Allowance], now_ms: int) -> Mapping[str, str]:
        """Tell the limit of this second, what is left of it and when it is whole again."""
        headers = {}
        for allowance in allowances.values():
            headers = {
                "x-ratelimit-limit": str(allowance.limit),
                "x-ratelimit-remaining": str(max(0, allowance.limit - allowance.used)),
                "x-ratelimit-reset": str(now_ms // 1000 + 1),
            }
        return headers

    def rate_limited(self, limiter: str, allowance: Allowance, now_ms: int) -> ApiReply:
        """429 in the form that Coinbase's older endpoints document ("Rate limiting")."""
        body = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
        headers = self.limit_headers({limiter: allowance}, now_ms)
        return json_reply(body, 429).with_headers({"Retry-After": str(allowance.retry_after_s), **headers})

    def server_error(self, status: int) -> ApiReply:
        """Tell of an internal error."""
        word = "INTERNAL" if status == 500 else "UNAVAILABLE"  # noqa: PLR2004 - HTTP's own
        return error_reply(status, word, "internal server error")

    def no_such_path(self, request: ApiRequest) -> ApiReply:  # noqa: ARG002
        """Answer a path that the API does not have."""
        return error_reply(404, "NOT_FOUND", "Not Found")
