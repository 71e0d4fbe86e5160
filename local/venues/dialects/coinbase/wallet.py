"""What general clients ask of Coinbase beside Advanced Trade, so that they can be used unchanged.

Accounts, currencies and exchange rates (Coinbase Developer Docs, "Track APIs").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from local.venues.credentials import Permission
from local.venues.dialects.coinbase.account import FIAT, made_uuid
from local.venues.dialects.coinbase.market_data import ASSET_NAMES
from local.venues.exchange import ExchangeView
from local.venues.faults import Endpoint
from local.venues.generated import price_usd
from local.venues.money import plain
from local.venues.web import ApiReply, ApiRequest, Route, json_reply


def _assets(view: ExchangeView) -> list[str]:
    return sorted(view.desk.account.balances)


def _currencies(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    fiat = [asset for asset in _assets(view) if asset in FIAT]
    return json_reply(
        {"data": [{"id": asset, "name": ASSET_NAMES.get(asset, asset), "min_size": "0.01"} for asset in fiat]}
    )


def _crypto(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    crypto = [asset for asset in _assets(view) if asset not in FIAT]
    return json_reply({"data": [_crypto_asset(asset, index) for index, asset in enumerate(crypto)]})


def _crypto_asset(asset: str, index: int) -> Mapping[str, object]:
    return {
        "asset_id": made_uuid(f"asset/{asset}"),
        "code": asset,
        "name": ASSET_NAMES.get(asset, asset),
        "color": "#0433FF",
        "sort_index": 100 + index,
        "exponent": 8,
        "type": "crypto",
        "address_regex": "",
    }


def _accounts(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    balances = view.desk.account.balances
    return json_reply(
        {
            "pagination": {
                "ending_before": None,
                "starting_after": None,
                "previous_ending_before": None,
                "next_starting_after": None,
                "limit": 250,
                "order": "desc",
                "previous_uri": None,
                "next_uri": None,
            },
            "data": [
                {
                    "id": made_uuid(f"account/{asset}"),
                    "name": f"{asset} Wallet",
                    "primary": True,
                    "type": "fiat" if asset in FIAT else "wallet",
                    "currency": {"code": asset, "name": ASSET_NAMES.get(asset, asset)},
                    "balance": {"amount": plain(balances[asset].total), "currency": asset},
                    "created_at": "2021-05-31T09:59:59Z",
                    "resource": "account",
                }
                for asset in _assets(view)
            ],
        }
    )


def _exchange_rates(_request: ApiRequest, view: ExchangeView) -> ApiReply:
    rates = {asset: f"{1 / price_usd(view.exchange.seed, asset, view.at_ms):.12f}" for asset in _assets(view)}
    return json_reply({"data": {"currency": "USD", "rates": rates}})


ROUTES: Sequence[Route] = (
    Route(("GET",), "/v2/accounts", Endpoint.ACCOUNT, _accounts, Permission.READ),
    Route(("GET",), "/v2/currencies", Endpoint.ASSETS, _currencies),
    Route(("GET",), "/v2/currencies/crypto", Endpoint.ASSETS, _crypto),
    Route(("GET",), "/v2/exchange-rates", Endpoint.ASSETS, _exchange_rates),
)
"""Coinbase's paths outside Advanced Trade."""
