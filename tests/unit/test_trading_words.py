"""Placements that contradict themselves, what fits a venue's rules, and what cannot be true."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sor_core.domain.fitting import fit
from sor_core.domain.instrument import Instrument, Symbol, TradingStatus
from sor_core.domain.order import Side
from sor_core.domain.trading import (
    Fill,
    OrderKind,
    OrderState,
    Placement,
    Refusal,
    RejectReason,
    VenueOrder,
    inconsistency,
    mismatch,
)

BTC_USDT = Symbol.parse("BTC/USDT")
CLIENT_ID = "0123456789abcdef0123456789abcdef"


def placement(**changes: Any) -> Placement:
    fields: dict[str, Any] = {
        "venue": "kraken",
        "symbol": BTC_USDT,
        "side": Side.BUY,
        "kind": OrderKind.LIMIT_IOC,
        "client_order_id": CLIENT_ID,
        "size": Decimal("1.5"),
        "limit_price": Decimal("60000.1"),
    }
    return Placement(**{**fields, **changes})


def rules(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "venue": "kraken",
        "symbol": BTC_USDT,
        "venue_symbol": "XBTUSDT",
        "tick": Decimal("0.1"),
        "lot": Decimal("0.001"),
        "min_size": Decimal("0.002"),
        "max_size": Decimal(100),
        "min_notional": Decimal(10),
        "max_notional": Decimal(1_000_000),
        "status": TradingStatus.TRADING,
    }
    return Instrument(**{**fields, **changes})


def fitted(rule_changes: dict[str, Any] | None = None, **changes: Any) -> Placement:
    result = fit(placement(**changes), rules(**(rule_changes or {})))
    assert isinstance(result, Placement), result
    return result


def refusal(rule_changes: dict[str, Any] | None = None, **changes: Any) -> RejectReason:
    result = fit(placement(**changes), rules(**(rule_changes or {})))
    assert isinstance(result, Refusal), result
    assert result.detail
    return result.reason


MARKET: dict[str, Any] = {"kind": OrderKind.MARKET, "limit_price": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": ""},
        {"client_order_id": CLIENT_ID[:-1]},
        {"client_order_id": CLIENT_ID.upper()},
        {"client_order_id": "01234567-89ab-cdef-0123-456789abcdef"},
        {"size": None},
        {"quote_size": Decimal(10)},
        {"size": None, "quote_size": Decimal(10)},
        {"size": Decimal(0)},
        {"size": Decimal(-1)},
        {"size": Decimal("NaN")},
        {"size": Decimal("Infinity")},
        {"limit_price": None},
        {"limit_price": Decimal(0)},
        {"kind": OrderKind.MARKET},
        {**MARKET, "size": None, "quote_size": Decimal(0)},
    ],
)
def test_placements_that_contradict_themselves(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        placement(**changes)


def test_prices_go_to_the_safe_side_and_sizes_down() -> None:
    for side, price in ((Side.BUY, "60000.1"), (Side.SELL, "60000.2")):
        done = fitted(side=side, size=Decimal("1.5009"), limit_price=Decimal("60000.19"))
        assert (done.limit_price, done.size) == (Decimal(price), Decimal("1.5"))
    already = fitted(side=Side.SELL)
    assert already == placement(side=Side.SELL)


def test_ticks_and_lots_that_are_no_powers_of_ten() -> None:
    done = fitted(
        {"tick": Decimal("0.05"), "lot": Decimal("0.025"), "min_size": Decimal("0.025")},
        size=Decimal("0.999"),
        limit_price=Decimal("60000.09"),
    )
    assert (done.limit_price, done.size) == (Decimal("60000.05"), Decimal("0.975"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": Decimal("0.0019")}, RejectReason.FILTER_SIZE),
        ({"size": Decimal("0.0009")}, RejectReason.FILTER_SIZE),
        ({"size": Decimal("100.001")}, RejectReason.FILTER_SIZE),
        ({"limit_price": Decimal("0.09")}, RejectReason.FILTER_PRICE),
        ({"size": Decimal("0.002"), "limit_price": Decimal(4999)}, RejectReason.FILTER_NOTIONAL),
        ({"size": Decimal(99), "limit_price": Decimal(60000)}, RejectReason.FILTER_NOTIONAL),
        ({**MARKET, "size": None, "quote_size": Decimal("9.99")}, RejectReason.FILTER_NOTIONAL),
        ({**MARKET, "size": None, "quote_size": Decimal("0.01")}, RejectReason.FILTER_NOTIONAL),
        ({"venue": "binance"}, RejectReason.UNKNOWN_SYMBOL),
        ({"symbol": Symbol.parse("ETH/USDT")}, RejectReason.UNKNOWN_SYMBOL),
    ],
)
def test_refusals_before_anything_is_sent(changes: dict[str, Any], reason: RejectReason) -> None:
    assert refusal(**changes) is reason


def test_the_minimum_notional_is_that_of_what_is_sent() -> None:
    """Rounding may take an order under the minimum that it met as it was asked."""
    tight = {"min_notional": Decimal("120.0002")}
    asked = {"size": Decimal("0.0020009"), "limit_price": Decimal("60000.19")}
    assert asked["size"] * asked["limit_price"] > tight["min_notional"]
    assert fitted(tight, **asked).size == Decimal("0.002")
    assert refusal({"min_notional": Decimal("120.0003")}, **asked) is RejectReason.FILTER_NOTIONAL


def test_a_market_order_by_size_has_no_notional_to_check() -> None:
    assert fitted(**MARKET, size=Decimal("0.002")).size == Decimal("0.002")
    by_quote = fitted(**MARKET, size=None, quote_size=Decimal("1000.19"))
    assert by_quote.quote_size == Decimal("1000.1")


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        (TradingStatus.TRADING, set(OrderKind)),
        (TradingStatus.LIMIT_ONLY, set(OrderKind) - {OrderKind.MARKET}),
        (TradingStatus.POST_ONLY, {OrderKind.POST_ONLY}),
        (TradingStatus.CANCEL_ONLY, set()),
        (TradingStatus.REDUCE_ONLY, set()),
        (TradingStatus.HALTED, set()),
    ],
)
def test_what_a_markets_status_takes(status: TradingStatus, taken: set[OrderKind]) -> None:
    for kind in OrderKind:
        changes = MARKET if kind is OrderKind.MARKET else {"kind": kind}
        result = fit(placement(**changes), rules(status=status))
        assert isinstance(result, Placement) is (kind in taken)
        if isinstance(result, Refusal):
            assert result.reason is RejectReason.HALTED


amounts = st.decimals(min_value="0.0000001", max_value="1e9", places=7)
steps = st.sampled_from([Decimal(s) for s in ("1", "0.1", "0.05", "0.001", "0.000025", "0.00000001", "10")])


@settings(max_examples=300, deadline=None)
@given(size=amounts, price=amounts, lot=steps, tick=steps, side=st.sampled_from(Side))
def test_fitting_never_asks_for_more_or_for_worse(
    size: Decimal, price: Decimal, lot: Decimal, tick: Decimal, side: Side
) -> None:
    instrument = rules(
        lot=lot, tick=tick, min_size=lot, max_size=None, min_notional=Decimal(0), max_notional=None
    )
    result = fit(placement(side=side, size=size, limit_price=price), instrument)
    if isinstance(result, Refusal):
        assert size < lot or price < tick
        return
    assert result.size is not None
    assert result.limit_price is not None
    assert 0 <= size - result.size < lot
    assert result.size % lot == 0
    assert result.limit_price % tick == 0
    assert abs(price - result.limit_price) < tick
    assert (result.limit_price - price) * side.sign <= 0
    assert fit(result, instrument) == result


def order(**changes: Any) -> VenueOrder:
    fields: dict[str, Any] = {
        "venue": "kraken",
        "symbol": BTC_USDT,
        "venue_order_id": "O-1",
        "client_order_id": CLIENT_ID,
        "side": Side.BUY,
        "state": OrderState.FILLED,
        "filled_size": Decimal("1.5"),
        "quote_filled": Decimal(90000),
        "average_price": Decimal(60000),
        "size": Decimal("1.50"),
        "limit_price": Decimal("60000.10"),
    }
    return VenueOrder(**{**fields, **changes})


def fill(size: str) -> Fill:
    return Fill("T", Decimal(60000), Decimal(size), Decimal(0), "USDT")


def test_orders_that_agree() -> None:
    for agreeing in (
        order(),
        order(client_order_id=None, size=None, limit_price=None),
        order(fills=(fill("1"), fill("0.5"))),
        order(fills=(fill("1"),)),
        order(state=OrderState.CANCELLED, filled_size=Decimal(0), quote_filled=Decimal(0)),
        order(state=OrderState.PENDING, filled_size=Decimal(0)),
    ):
        assert mismatch(placement(), agreeing) is None
        assert inconsistency(agreeing) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"venue": "binance"},
        {"symbol": Symbol.parse("ETH/USDT")},
        {"client_order_id": "f" * 32},
        {"side": Side.SELL},
        {"size": Decimal("1.4")},
        {"limit_price": Decimal("60000.2")},
        {"size": None, "filled_size": Decimal("1.6")},
    ],
)
def test_orders_that_are_not_the_one_placed(changes: dict[str, Any]) -> None:
    assert mismatch(placement(), order(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"venue_order_id": ""},
        {"filled_size": Decimal("1.51")},
        {"filled_size": Decimal("1.49")},
        {"filled_size": Decimal(0)},
        {"fills": (fill("1"), fill("0.6"))},
    ],
)
def test_orders_that_cannot_be(changes: dict[str, Any]) -> None:
    assert inconsistency(order(**changes))


def test_fills_that_add_up() -> None:
    assert order(fills=(fill("1"), fill("0.5"))).fills_complete
    assert not order(fills=(fill("1"),)).fills_complete
    assert not order(fills=None).fills_complete
    assert order(fills=(), filled_size=Decimal(0), state=OrderState.CANCELLED).fills_complete


def test_states_that_are_final() -> None:
    assert {state for state in OrderState if not state.is_final} == {
        OrderState.PENDING,
        OrderState.OPEN,
        OrderState.PARTIALLY_FILLED,
    }


def test_market_orders_are_compared_without_a_price() -> None:
    market = replace(placement(), kind=OrderKind.MARKET, limit_price=None)
    assert mismatch(market, order(limit_price=None)) is None
    assert mismatch(market, order())


def test_what_a_hidden_replay_would_explain() -> None:
    """Everything but what the order's own words decide."""
    assert {reason for reason in RejectReason if not reason.replay_explainable} == {
        RejectReason.FILTER_SIZE,
        RejectReason.FILTER_PRICE,
        RejectReason.FILTER_NOTIONAL,
        RejectReason.UNKNOWN_SYMBOL,
        RejectReason.INVALID_REQUEST,
        RejectReason.NOT_SENT,
        RejectReason.HELD_BACK,
    }
