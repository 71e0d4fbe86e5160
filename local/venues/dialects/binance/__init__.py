"""Binance's spot REST API, as clients of ``/api/v3`` see it (Binance Spot API docs, "REST API")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from local.venues.desk import DuplicateRule, TradingRules
from local.venues.dialects.binance import account, market_data, trading, wallet
from local.venues.dialects.binance.auth import authenticate
from local.venues.dialects.binance.wire import BinanceError, error_reply
from local.venues.exchange import ExchangeView, UnknownSymbolError
from local.venues.faults import Endpoint
from local.venues.limits import Allowance, Charge, Limiter, MinuteWeights, WindowCount
from local.venues.markets import Venue
from local.venues.web import ApiReply, ApiRequest, Route

_AVAILABLE_IN_MAINTENANCE = {Endpoint.PING, Endpoint.TIME, Endpoint.INSTRUMENTS}
_WEIGHT, _IN_10_S, _A_DAY = "weight", "orders in 10 s", "orders a day"


class BinanceDialect:
    """Binance."""

    venue = Venue.BINANCE
    routes: Sequence[Route] = (*market_data.ROUTES, *account.ROUTES, *trading.ROUTES, *wallet.ROUTES)
    rules = TradingRules(
        maker_rate=Decimal("0.001"),
        taker_rate=Decimal("0.001"),
        fee_decimals=lambda _: 8,
        # "newClientOrderId": unique among open orders.
        duplicates=DuplicateRule.REFUSE_WHILE_OPEN,
        order_id=str,
        fill_id=str,
    )

    def limiters(self) -> Mapping[str, Limiter]:
        """Weight by address and orders by account ("Limits", ``rateLimits`` of exchangeInfo)."""
        return {
            _WEIGHT: MinuteWeights(market_data.WEIGHT_LIMIT),
            _IN_10_S: WindowCount(market_data.ORDERS_IN_10_S, 10_000),
            _A_DAY: WindowCount(market_data.ORDERS_A_DAY, 86_400_000),
        }

    def charges(self, route: Route, request: ApiRequest, view: ExchangeView) -> Sequence[Charge]:  # noqa: ARG002
        """Every request has a weight; a new order counts as one besides."""
        charges = [Charge(_WEIGHT, request.client_ip, route.weight(request))]
        if route.endpoint is Endpoint.PLACE_ORDER:
            charges += [Charge(_IN_10_S, "account"), Charge(_A_DAY, "account")]
        return charges

    def handle(self, route: Route, request: ApiRequest, view: ExchangeView) -> ApiReply:
        """Answer a request, its refusals included."""
        try:
            if view.conditions.maintenance and route.endpoint not in _AVAILABLE_IN_MAINTENANCE:
                raise BinanceError(-1016, "This service is no longer available.", status=503)  # noqa: TRY301
            if route.permission is not None:
                authenticate(request, view, route.permission)
            return route.handle(request, view)
        except UnknownSymbolError:
            return error_reply(-1121, "Invalid symbol.", 400)
        except BinanceError as error:
            return error.reply()

    def limit_headers(self, allowances: Mapping[str, Allowance], now_ms: int) -> Mapping[str, str]:  # noqa: ARG002
        """Tell what has been used up ("IP limits", "Unfilled Order Count")."""
        headers: dict[str, str] = {}
        if _WEIGHT in allowances:
            used = str(allowances[_WEIGHT].used)
            headers |= {"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used}
        for name, header in ((_IN_10_S, "x-mbx-order-count-10s"), (_A_DAY, "x-mbx-order-count-1d")):
            if name in allowances:
                headers[header] = str(allowances[name].used)
        return headers

    def rate_limited(self, limiter: str, allowance: Allowance, now_ms: int) -> ApiReply:  # noqa: ARG002
        """429 with the seconds to wait, or 418 with the end of the ban ("IP limits", -1003, -1015)."""
        retry = {"Retry-After": str(allowance.retry_after_s)}
        if limiter in {_IN_10_S, _A_DAY}:
            per = "10 SECOND" if limiter == _IN_10_S else "1 DAY"
            text = f"Too many new orders; current limit is {allowance.limit} orders per {per}."
            return error_reply(-1015, text, 429).with_headers(retry)
        banned = allowance.banned_until_ms
        advice = "Please use WebSocket Streams for live updates to avoid "
        if banned is None:
            limit = f"current limit is {allowance.limit} request weight per 1 MINUTE"
            text, status = f"Too much request weight used; {limit}. {advice}polling the API.", 429
        else:
            text = f"Way too much request weight used; IP banned until {banned}. {advice}bans."
            status = 418
        used = {"x-mbx-used-weight": str(allowance.used), "x-mbx-used-weight-1m": str(allowance.used)}
        return error_reply(-1003, text, status).with_headers({**retry, **used})

    def server_error(self, status: int) -> ApiReply:
        """Tell of an internal error: "execution status unknown" ("Error codes", -1000)."""
        return error_reply(-1000, "An unknown error occurred while processing the request.", status)

    def no_such_path(self, request: ApiRequest) -> ApiReply:  # noqa: ARG002
        """Answer as the gateway in front of the API does: with a page."""
        return ApiReply(404, b"<html><body><h2>404 Not found</h2></body></html>", content_type="text/html")
