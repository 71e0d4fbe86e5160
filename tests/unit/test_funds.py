"""What an account can spend at a venue bounds what is sent there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from sor_core.domain.decision import Decision, NoRoute, NoRouteReason
from sor_core.domain.market import VenueMarket, Why
from sor_core.domain.order import Side
from sor_core.routing.decide import decide
from tests.fakes.markets import NOW_MS, POLICY, market, order


def funded(venue: str, funds: str, *, fee_bps: str = "10") -> VenueMarket:
    return replace(market(venue, fee_bps=fee_bps), funds=Decimal(funds))


def test_a_venue_gets_no_more_than_its_funds_pay_for_at_the_worst_price_and_fee() -> None:
    decision = decide(
        order("2"), [funded("binance", "110"), market("kraken", fee_bps="40")], [], POLICY, NOW_MS
    )
    assert isinstance(decision, Decision)
    sizes = {leg.venue: leg.amount for leg in decision.legs}
    worst = decision.price_cap * Decimal("1.001")
    assert sizes["binance"] == (Decimal(110) / worst).quantize(Decimal("0.001"), "ROUND_FLOOR")
    assert sizes["binance"] + sizes["kraken"] == 2


def test_selling_needs_the_base_asset_itself() -> None:
    seen = [funded("binance", "0.5"), funded("kraken", "3", fee_bps="40")]
    decision = decide(order("2", side=Side.SELL), seen, [], POLICY, NOW_MS)
    assert isinstance(decision, Decision)
    assert {leg.venue: leg.amount for leg in decision.legs} == {
        "kraken": Decimal("1.5"),
        "binance": Decimal("0.5"),
    }


def test_too_little_money_is_told_apart_from_too_little_depth() -> None:
    short = decide(order("2"), [funded("binance", "110")], [], POLICY, NOW_MS)
    assert isinstance(short, NoRoute)
    assert short.reason is NoRouteReason.INSUFFICIENT_FUNDS
    assert 0 < short.fillable < 2
    none = decide(order("2"), [funded("binance", "0")], [], POLICY, NOW_MS)
    assert isinstance(none, NoRoute)
    assert none.reason is NoRouteReason.INSUFFICIENT_FUNDS
    assert [e.why for e in none.excluded] == [Why.NO_FUNDS]
