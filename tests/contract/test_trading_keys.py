"""Keys of the venues: wrong ones, missing ones, and those that are replaced while we run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sor_core.adapters.venues.registry import VENUES
from sor_core.domain.credentials import KeyUse
from sor_core.domain.errors import VenueError, VenueFailure
from sor_core.domain.trading import Placed, Rejected, RejectReason, Unknown
from tests.contract.trading_desk import ENOUGH_S, Desk, opened, placement

R = RejectReason


@pytest.fixture(params=list(VENUES))
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with opened(request.param) as made:
        yield made


async def test_a_wrong_secret(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    api_key, secret = desk.credentials.keys[desk.name, KeyUse.TRADE]
    other = await desk.control.get("/sim/credentials", params={"key": "second"})
    desk.credentials.keys[desk.name, KeyUse.TRADE] = (api_key, other.json()[desk.name]["api_secret"])
    got = await desk.send(request)
    assert isinstance(got, Rejected)
    assert (got.reason, got.replay_explainable) == (R.AUTH, True)
    assert secret not in repr(got)
    assert [credentials.api_key for credentials in desk.credentials.refusals] == [api_key]


async def test_a_rotation_is_heeded_without_a_restart(desk: Desk) -> None:
    """A question asks again with the new key; an order is never sent again, the next one passes."""
    await desk.control.post("/sim/credentials", json={"venue": desk.name})
    for use, name in ((KeyUse.TRADE, "trading"), (KeyUse.READ, "reading")):
        told = (await desk.control.get("/sim/credentials", params={"key": name})).json()[desk.name]
        desk.credentials.newer[desk.name, use] = (told["api_key"], told["api_secret"])
    assert (await desk.trading.balances(timeout_s=ENOUGH_S))["BTC"].free == 100
    first = await desk.place(placement(desk.name))
    assert isinstance(first, Rejected)
    assert first.reason is R.AUTH
    assert desk.order_posts() == 1
    assert isinstance(await desk.place(placement(desk.name)), Placed)


async def test_a_key_that_stays_refused_is_tried_once(desk: Desk) -> None:
    await desk.control.post("/sim/credentials", json={"venue": desk.name})
    with pytest.raises(VenueError) as caught:
        await desk.trading.balances(timeout_s=ENOUGH_S)
    assert caught.value.failure is VenueFailure.REFUSED
    assert len(desk.credentials.refusals) == 1


async def test_no_key(desk: Desk) -> None:
    request = await desk.freeze(placement(desk.name))
    desk.credentials.keys.clear()
    got = await desk.send(request)
    assert got == Rejected(R.HELD_BACK, "", "credentials: there is no such secret")
    with pytest.raises(VenueError):
        await desk.trading.balances(timeout_s=ENOUGH_S)
    query = await desk.trading.query(desk.ref(placement(desk.name)), timeout_s=ENOUGH_S)
    assert isinstance(query, Unknown)
    assert desk.order_posts() == 0


@pytest.mark.parametrize("name", ["coinbase", "kraken"])
async def test_a_secret_that_is_no_key(name: str) -> None:
    async with opened(name) as desk:
        request = await desk.freeze(placement(name))
        desk.credentials.keys[name, KeyUse.TRADE] = ("key", "HIDDEN!")
        got = await desk.send(request)
        assert isinstance(got, Rejected)
        assert got.reason is R.HELD_BACK
        assert "api_secret" in got.detail
        assert "HIDDEN" not in repr(got)
        assert desk.order_posts() == 0


@pytest.mark.parametrize("name", ["binance", "coinbase"])
async def test_ed25519_keys(name: str) -> None:
    async with opened(name) as desk:
        told = (await desk.control.get("/sim/credentials", params={"key": "ed25519"})).json()[name]
        for use in KeyUse:
            desk.credentials.keys[name, use] = (told["api_key"], told["api_secret"])
        asked = placement(name)
        assert isinstance(await desk.place(asked), Placed)
        assert (await desk.settled(desk.ref(asked))).filled_size == asked.size
