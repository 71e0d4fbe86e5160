"""``/sim``: how tests and people steer the simulation."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from local.venues.books import Level
from local.venues.credentials import KeyName
from local.venues.desk import FeeAsset
from local.venues.dialects.binance.wire import BNB_FACTOR
from local.venues.exchange import UnknownSymbolError
from local.venues.faults import FaultError, parse_fault_orders
from local.venues.markets import LISTINGS, Venue
from local.venues.money import plain
from local.venues.simulation import Simulation

Handler = Callable[[web.Request], Awaitable[web.Response]]
_MOST_LEVELS = 10_000
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


class BadRequestError(ValueError):
    """A request to ``/sim`` that cannot be done; its text names the field."""


class Control:
    """The handlers of ``/sim``. Holds the simulation, which a reset replaces."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def add_routes(self, app: web.Application) -> None:
        """Add every path of ``/sim``."""
        app.router.add_get("/sim/state", self._guarded(self._state))
        app.router.add_get("/sim/faults", self._guarded(self._show_faults))
        app.router.add_post("/sim/faults", self._guarded(self._set_faults))
        app.router.add_delete("/sim/faults", self._guarded(self._clear_faults))
        app.router.add_delete("/sim/faults/{number:[0-9]{1,9}}", self._guarded(self._clear_fault))
        app.router.add_post("/sim/books", self._guarded(self._place_book))
        app.router.add_delete("/sim/books", self._guarded(self._release_books))
        app.router.add_get("/sim/credentials", self._guarded(self._credentials))
        app.router.add_post("/sim/credentials", self._guarded(self._rotate))
        app.router.add_get("/sim/fills", self._guarded(self._fills))
        app.router.add_get("/sim/balances", self._guarded(self._balances))
        app.router.add_post("/sim/balances", self._guarded(self._set_balance))
        app.router.add_post("/sim/fee-asset", self._guarded(self._set_fee_asset))
        app.router.add_post("/sim/reset", self._guarded(self._reset))

    @staticmethod
    def _guarded(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            try:
                return await handler(request)
            except (BadRequestError, FaultError) as error:
                return web.json_response({"error": str(error)}, status=400)

        return guarded

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self.simulation.describe())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": self.simulation.faults.describe()})

    async def _set_faults(self, request: web.Request) -> web.Response:
        orders = parse_fault_orders(await _document(request))
        self.simulation.faults.set(orders, self.simulation.config.clock.now_ms())
        return await self._show_faults(request)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        name = request.query.get("venue", "*")
        self.simulation.faults.clear(None if name == "*" else _venue(name))
        return await self._show_faults(request)

    async def _clear_fault(self, request: web.Request) -> web.Response:
        self.simulation.faults.clear(number=int(request.match_info["number"]))
        return await self._show_faults(request)

    async def _place_book(self, request: web.Request) -> web.Response:
        document = await _object(request, "{venue, symbol, bids, asks}")
        venue = _venue(document.get("venue"))
        bids = _levels(document, "bids", falling=True)
        asks = _levels(document, "asks", falling=False)
        try:
            self.simulation.place_book(venue, str(document.get("symbol")), bids, asks)
        except UnknownSymbolError:
            raise BadRequestError(f"symbol: expected one of {', '.join(LISTINGS[venue])}") from None
        return web.json_response({"venue": venue, "bids": len(bids), "asks": len(asks)})

    async def _release_books(self, _request: web.Request) -> web.Response:
        self.simulation.release_books()
        return web.json_response({})

    async def _credentials(self, request: web.Request) -> web.Response:
        name = request.query.get("key", KeyName.TRADING)
        if name not in set(KeyName):
            raise BadRequestError(f"key: expected one of {', '.join(KeyName)}")
        keys = {
            venue: exchange.keyring.by_name.get(KeyName(name))
            for venue, exchange in self.simulation.exchanges.items()
        }
        return web.json_response(
            {
                venue: {"api_key": key.api_key, "api_secret": key.api_secret}
                for venue, key in keys.items()
                if key is not None
            }
        )

    async def _rotate(self, request: web.Request) -> web.Response:
        document = await _object(request, "{venue}")
        self.simulation.rotate_keys(_venue(document.get("venue")))
        return await self._credentials(request)

    async def _fills(self, _request: web.Request) -> web.Response:
        return web.json_response(self.simulation.fills())

    async def _balances(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                venue: {
                    asset: {"free": plain(balance.free), "held": plain(balance.held)}
                    for asset, balance in exchange.desk.account.balances.items()
                }
                for venue, exchange in self.simulation.exchanges.items()
            }
        )

    async def _set_balance(self, request: web.Request) -> web.Response:
        document = await _object(request, "{venue, asset, free}")
        venue = _venue(document.get("venue"))
        account = self.simulation.exchanges[venue].desk.account
        asset, free = document.get("asset"), document.get("free")
        if asset not in account.balances:
            raise BadRequestError(f"asset: expected one of {', '.join(account.balances)}")
        if not isinstance(free, str) or not _AMOUNT.fullmatch(free):
            raise BadRequestError('free: expected a plain decimal string such as "1.5"')
        account.set_free(asset, Decimal(free))
        return await self._balances(request)

    async def _set_fee_asset(self, request: web.Request) -> web.Response:
        document = await _object(request, "{venue, asset, price, free}")
        if _venue(document.get("venue")) is not Venue.BINANCE or document.get("asset") != "BNB":
            raise BadRequestError("venue, asset: expected binance and BNB")
        price, free = document.get("price"), document.get("free")
        for name, value in (("price", price), ("free", free)):
            if not isinstance(value, str) or not _AMOUNT.fullmatch(value) or not Decimal(value):
                raise BadRequestError(f'{name}: expected a plain decimal string above 0 such as "600"')
        desk = self.simulation.exchanges[Venue.BINANCE].desk
        desk.account.open("BNB", Decimal(str(free)))
        desk.fee_asset = FeeAsset("BNB", Decimal(str(price)), BNB_FACTOR)
        return await self._balances(request)

    async def _reset(self, _request: web.Request) -> web.Response:
        self.simulation = Simulation(self.simulation.config)
        return web.json_response(self.simulation.describe())


async def _document(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise BadRequestError("body: expected JSON") from None


async def _object(request: web.Request, example: str) -> dict[str, Any]:
    document = await _document(request)
    if not isinstance(document, dict):
        raise BadRequestError(f"body: expected an object {example}")
    return document


def _venue(name: object) -> Venue:
    try:
        return Venue(name)  # type: ignore[arg-type]
    except ValueError:
        raise BadRequestError(f"venue: expected one of {', '.join(Venue)}") from None


def _levels(document: dict[str, Any], field: str, *, falling: bool) -> list[Level]:
    expected = f"{field}: expected an array of [price, size], decimal strings above zero, best price first"
    rows = document.get(field)
    if not isinstance(rows, list) or len(rows) > _MOST_LEVELS:
        raise BadRequestError(expected)
    levels = []
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and all(_is_amount(part) for part in row)):  # noqa: PLR2004
            raise BadRequestError(expected)
        levels.append(Level(Decimal(row[0]), Decimal(row[1])))
    prices = [level.price for level in levels]
    if prices != sorted(set(prices), reverse=falling):
        raise BadRequestError(expected)
    return levels


def _is_amount(value: object) -> bool:
    return isinstance(value, str) and _AMOUNT.fullmatch(value) is not None and Decimal(value) > 0
