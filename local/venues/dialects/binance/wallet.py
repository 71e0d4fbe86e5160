"""What general clients ask of Binance beside spot trading, so that they can be used unchanged.

The assets of the wallet (Binance Wallet API docs, "All Coins' Information"), and the lists of
margin pairs and futures, which are empty: this venue trades spot only.
"""

from __future__ import annotations

from collections.abc import Sequence

from local.venues.credentials import Permission
from local.venues.dialects.binance.wire import amount
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.money import ZERO
from local.venues.web import ApiReply, ApiRequest, Route, json_reply


def _coins(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    nothing = dict.fromkeys(("freeze", "withdrawing", "ipoing", "ipoable", "storage"), amount(ZERO))
    return json_reply(
        [
            {
                "coin": asset,
                "depositAllEnable": False,
                "withdrawAllEnable": False,
                "name": asset,
                "free": amount(balance.free),
                "locked": amount(balance.held),
                **nothing,
                "isLegalMoney": False,
                "trading": True,
                "networkList": [],
            }
            for asset, balance in sorted(view.desk.account.balances.items())
        ]
    )


def _no_margin(_request: ApiRequest, _view: ExchangeView) -> ApiReply:
    return json_reply([])


def _no_futures(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    return json_reply(
        {
            "timezone": "UTC",
            "serverTime": view.now_ms,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [],
        }
    )


ROUTES: Sequence[Route] = (
    Route(("GET",), "/sapi/v1/capital/config/getall", Endpoint.ASSETS, _coins, Permission.READ, lambda _: 10),
    Route(("GET",), "/sapi/v1/margin/allPairs", Endpoint.ASSETS, _no_margin),
    Route(("GET",), "/sapi/v1/margin/isolated/allPairs", Endpoint.ASSETS, _no_margin),
    Route(("GET",), "/fapi/v1/exchangeInfo", Endpoint.INSTRUMENTS, _no_futures),
    Route(("GET",), "/dapi/v1/exchangeInfo", Endpoint.INSTRUMENTS, _no_futures),
)
"""Binance's paths outside the spot API."""
