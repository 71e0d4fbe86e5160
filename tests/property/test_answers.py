"""Whatever bytes come back for an order, its outcome is one of three, and doubt is never a denial."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sor_core.adapters.http import Answer
from sor_core.adapters.venues.binance import trading as binance
from sor_core.adapters.venues.coinbase import trading as coinbase
from sor_core.adapters.venues.kraken import trading as kraken
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    OrderKind,
    Placed,
    Placement,
    PlaceOutcome,
    Rejected,
    Unknown,
    inconsistency,
    mismatch,
)

CLIENT_ID = "0123456789abcdef0123456789abcdef"
READ: dict[str, Callable[[Placement, Answer], PlaceOutcome]] = {
    "binance": binance.place_outcome,
    "coinbase": coinbase.place_outcome,
    "kraken": kraken.place_outcome,
}
every_venue = pytest.mark.parametrize("venue", list(READ))

HONEST: dict[str, Any] = {
    "binance": {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "clientOrderId": CLIENT_ID,
        "transactTime": 1_700_000_000_000,
        "price": "60000",
        "origQty": "1.5",
        "executedQty": "1.5",
        "cummulativeQuoteQty": "90000",
        "status": "FILLED",
        "side": "BUY",
        "fills": [
            {"price": "60000", "qty": "1.5", "commission": "0", "commissionAsset": "BTC", "tradeId": 1}
        ],
    },
    "coinbase": {
        "success": True,
        "failure_reason": "UNKNOWN_FAILURE_REASON",
        "order_id": "v-1",
        "success_response": {
            "order_id": "v-1",
            "product_id": "BTC-USDT",
            "side": "BUY",
            "client_order_id": CLIENT_ID,
        },
    },
    "kraken": {
        "error": [],
        "result": {"descr": {"order": "buy 1.5 XBTUSDT @ limit 60000"}, "txid": ["OU22CG-KLAF2-FWUDD7"]},
    },
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
statuses = st.sampled_from([200, 200, 200, 201, 400, 401, 403, 404, 408, 409, 418, 429, 451, 500, 503])


def outcome(venue: str, status: int, body: bytes) -> PlaceOutcome:
    placement = Placement(
        venue,
        Symbol.parse("BTC/USDT"),
        Side.BUY,
        OrderKind.LIMIT_IOC,
        CLIENT_ID,
        Decimal("1.5"),
        Decimal(60000),
    )
    answer = Answer(status, {}, body, received_at_ms=1_700_000_000_000, latency_ms=1.0)
    got = READ[venue](placement, answer)
    assert isinstance(got, Placed | Rejected | Unknown)
    if isinstance(got, Placed):
        assert status == 200
        assert mismatch(placement, got.order) is None
        assert inconsistency(got.order) is None
    if status >= 500:
        assert isinstance(got, Unknown)
    return got


@every_venue
def test_the_honest_answer(venue: str) -> None:
    assert isinstance(outcome(venue, 200, json.dumps(HONEST[venue]).encode()), Placed)


@every_venue
@settings(max_examples=300, deadline=None)
@given(status=statuses, body=st.binary(max_size=200))
def test_any_bytes(venue: str, status: int, body: bytes) -> None:
    assert not isinstance(outcome(venue, status, body), Placed)


@every_venue
@settings(max_examples=300, deadline=None)
@given(status=statuses, document=documents)
def test_any_json(venue: str, status: int, document: Any) -> None:
    assert not isinstance(outcome(venue, status, json.dumps(document).encode()), Placed)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    keys = (
        document.keys()
        if isinstance(document, dict)
        else range(len(document) if isinstance(document, list) else 0)
    )
    found = [path] if path else []
    for key in keys:
        found += places(document[key], (*path, key))
    return found


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], value)
    return copy


@every_venue
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_an_honest_answer_with_one_thing_changed_is_no_denial(venue: str, data: st.DataObject) -> None:
    """An order was made: what is garbled in the answer may leave doubt, never a definite no.

    Unless it became one of the venue's own refusals, which a single change cannot make it.
    """
    honest = HONEST[venue]
    path = data.draw(st.sampled_from(places(honest)))
    body = json.dumps(changed(honest, path, data.draw(documents))).encode()
    assert not isinstance(outcome(venue, 200, body), Rejected)


@every_venue
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_an_honest_answer_that_breaks_off_leaves_it_open(venue: str, data: st.DataObject) -> None:
    body = json.dumps(HONEST[venue]).encode()
    assert isinstance(outcome(venue, 200, body[: data.draw(st.integers(0, len(body) - 1))]), Unknown)
