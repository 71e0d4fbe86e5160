"""Kraken's spot REST API, as clients of ``/0`` see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from local.venues.desk import DuplicateRule, TradingRules
from local.venues.dialects.kraken import account, market_data, trading
from local.venues.dialects.kraken.account import venue_id
from local.venues.dialects.kraken.auth import authenticate
from local.venues.dialects.kraken.wire import KrakenError, error_reply, one_pair, parameters
from local.venues.exchange import ExchangeView, UnknownSymbolError
from local.venues.faults import Endpoint
from local.venues.limits import Allowance, Charge, LeakyBucket, Limiter
from local.venues.markets import Venue
from local.venues.web import ApiReply, ApiRequest, Route

_AVAILABLE_IN_MAINTENANCE = {Endpoint.TIME, Endpoint.STATUS}
_PUBLIC, _PRIVATE, _ENGINE = "public", "private", "engine"
# "Spot Trading Rate Limits": what a cancel costs by the age of its order in seconds.
_CANCEL_WEIGHTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))


class KrakenDialect:
    """Kraken."""

    venue = Venue.KRAKEN
    routes: Sequence[Route] = (*market_data.ROUTES, *account.ROUTES, *trading.ROUTES)
    rules = TradingRules(
        maker_rate=Decimal("0.0025"),
        taker_rate=Decimal("0.004"),
        fee_decimals=lambda asset: 5 if asset in {"USD", "EUR"} else 10,
        # "Spot Client Order Identifiers": unique across open orders of a client.
        duplicates=DuplicateRule.REFUSE_WHILE_OPEN,
        order_id=lambda number: venue_id("O", number),
        fill_id=lambda number: venue_id("T", number),
    )

    def limiters(self) -> Mapping[str, Limiter]:
        """Counters of the intermediate tier ("Spot REST Rate Limits", "Spot Trading Rate Limits").

        In public one request a second in the long run, after a burst (its size is not published).
        """
        return {
            _PUBLIC: LeakyBucket(15, per_second=1.0),
            _PRIVATE: LeakyBucket(20, per_second=0.5),
            _ENGINE: LeakyBucket(125, per_second=2.34),
        }

    def charges(self, route: Route, request: ApiRequest, view: ExchangeView) -> Sequence[Charge]:
        """In public by address, with a key by key; orders by pair, cancels the dearer the younger."""
        api_key = request.headers.get("api-key", "")
        if route.permission is None:
            return [Charge(_PUBLIC, request.client_ip)]
        try:
            given = parameters(request)
            if route.endpoint is Endpoint.PLACE_ORDER:
                return [Charge(_ENGINE, one_pair(given).symbol)]
            if route.endpoint is Endpoint.CANCEL_ORDER:
                orders = trading.orders_to_cancel(given, view)
                return [
                    Charge(_ENGINE, order.ticket.symbol, _cancel_weight(view.now_ms - order.placed_at_ms))
                    for order in orders
                ]
        except KrakenError:
            return []
        return [Charge(_PRIVATE, api_key, route.weight(request))]

    def handle(self, route: Route, request: ApiRequest, view: ExchangeView) -> ApiReply:
        """Answer a request, its refusals included."""
        try:
            if view.conditions.maintenance and route.endpoint not in _AVAILABLE_IN_MAINTENANCE:
                raise KrakenError("EService:Unavailable")  # noqa: TRY301
            if route.permission is not None:
                authenticate(request, parameters(request), view, route.permission)
            return route.handle(request, view)
        except UnknownSymbolError:
            return error_reply("EQuery:Unknown asset pair")
        except KrakenError as error:
            return error.reply()

    def limit_headers(self, allowances: Mapping[str, Allowance], now_ms: int) -> Mapping[str, str]:  # noqa: ARG002
        """Kraken's headers say nothing of its limits."""
        return {}

    def rate_limited(self, limiter: str, allowance: Allowance, now_ms: int) -> ApiReply:  # noqa: ARG002
        """HTTP 200 with the error in the body ("Spot Errors")."""
        return error_reply(f"{'EOrder' if limiter == _ENGINE else 'EAPI'}:Rate limit exceeded")

    def server_error(self, status: int) -> ApiReply:
        """Tell of an internal error ("Spot Errors")."""
        return error_reply("EGeneral:Internal error", status)

    def no_such_path(self, request: ApiRequest) -> ApiReply:  # noqa: ARG002
        """Answer a method that the API does not have."""
        return error_reply("EGeneral:Unknown method")


def _cancel_weight(age_ms: int) -> int:
    return next((weight for within_s, weight in _CANCEL_WEIGHTS if age_ms < within_s * 1000), 0)
