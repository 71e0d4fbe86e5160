"""The certificate: the marginal price, and where each venue stands against it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from sor_core.domain.decision import BookLevel, Certificate, Decision
from sor_core.domain.market import Policy, VenueMarket
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing.decide import decide
from sor_core.routing.receipt import canonical, make_receipt
from sor_core.routing.verify import verify
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, metrics, order


def venues() -> list[VenueMarket]:
    return [
        market(
            "binance",
            asks=levels(("100", "0.4"), ("100.02", "0"), ("100.05", "5"), ("101.50", "9")),
            bids=levels(("99.9", "0.3"), ("99.8", "7")),
            fee_bps="10",
            health=metrics(50.0),
        ),
        market(
            "kraken",
            asks=levels(("100.02", "1")),
            bids=levels(("99.85", "2"), ("99", "2")),
            fee_bps="12",
            health=metrics(400.0),
        ),
    ]


def decided(asked: Order, policy: Policy = POLICY) -> Decision:
    decision = decide(asked, venues(), [], policy, NOW_MS)
    assert isinstance(decision, Decision)
    return decision


def margins(certificate: Certificate) -> dict[str, tuple[BookLevel | None, BookLevel | None]]:
    return {v.venue: (v.last_used, v.first_unused) for v in certificate.venues}


def level(price: str, size: str, all_in: str, strategy: str | None = None) -> BookLevel:
    return BookLevel(*map(Decimal, (price, size, all_in, strategy or all_in)))


def test_a_buy_split_at_least_cost() -> None:
    decision = decided(order("1"))
    certificate = decision.certificate

    assert {leg.venue: leg.amount for leg in decision.legs} == {
        "kraken": Decimal("0.6"),
        "binance": Decimal("0.4"),
    }
    # 100.02 x 1.0012 lies between 100 x 1.001 and 100.05 x 1.001.
    assert certificate.marginal_price == Decimal("100.140024")
    assert margins(certificate) == {
        "binance": (level("100", "0.4", "100.1"), level("100.05", "5", "100.15005")),
        "kraken": (level("100.02", "1", "100.140024"), None),
    }
    paid = decision.costs.notional + decision.costs.fee
    assert certificate.objective == certificate.lower_bound == paid


def test_a_sell_is_what_comes_in() -> None:
    decision = decided(order("1", side=Side.SELL))
    certificate = decision.certificate

    assert certificate.marginal_price == Decimal("99.73018")  # 99.85 x 0.9988, better than 99.8 x 0.999
    assert margins(certificate)["binance"] == (
        level("99.9", "0.3", "99.8001"),
        level("99.8", "7", "99.7002"),
    )
    assert -certificate.objective == decision.costs.notional - decision.costs.fee


def test_a_venue_without_a_leg_shows_its_first_level() -> None:
    certificate = decided(order("0.2")).certificate
    assert margins(certificate)["kraken"] == (None, level("100.02", "1", "100.140024"))


def test_best_liquidity_compares_prices_before_fees() -> None:
    decision = decided(order("1", strategy=Strategy.BEST_LIQUIDITY))
    certificate = decision.certificate

    assert certificate.marginal_price == Decimal("100.02")
    assert margins(certificate)["kraken"][0] == level("100.02", "1", "100.140024", "100.02")
    assert certificate.objective == decision.costs.notional


@pytest.mark.parametrize("side", Side)
def test_best_execution_keeps_its_surcharge_apart_from_the_fee(side: Side) -> None:
    decision = decided(order("0.25", side=side, strategy=Strategy.BEST_EXECUTION))
    surcharges = set()
    for venue in decision.certificate.venues:
        shown = [x for x in (venue.last_used, venue.first_unused) if x is not None]
        surcharges |= {(x.strategy_price - x.all_in_price) * side.sign for x in shown}
    # At most 5 bps of a mid near 100, and not the same for a slow venue.
    assert len(surcharges) == 2
    assert all(0 < s <= Decimal("0.05") for s in surcharges)
    used = decision.certificate.venues[0].last_used
    assert used is not None
    assert decision.certificate.marginal_price == used.strategy_price


def test_the_fixed_cost_of_a_leg_belongs_to_the_objective() -> None:
    dear = replace(POLICY, leg_fixed_cost=Decimal("0.25"))
    decision = decided(order("1"), dear)

    assert len(decision.legs) == 1
    paid = decision.costs.notional + decision.costs.fee
    assert decision.certificate.objective == paid + Decimal("0.25")


def test_a_level_finer_than_the_decisions_scale_is_shown_as_it_is() -> None:
    seen = [
        market("binance", asks=levels(("100", "2"), ("100.0000000001", "1.5")), rules=instrument("binance"))
    ]
    decision = decide(order("1"), seen, [], POLICY, NOW_MS)

    assert isinstance(decision, Decision)
    [venue] = decision.certificate.venues
    assert venue.first_unused is not None
    assert venue.first_unused.price == Decimal("100.0000000001")


def test_a_malformed_level_beyond_those_used_is_not_shown() -> None:
    seen = [market("binance", asks=levels(("100", "2"), ("101", "nonsense")))]
    asked = order("1", max_slippage_bps="10")
    decision = decide(asked, seen, [], POLICY, NOW_MS)

    assert isinstance(decision, Decision)
    assert margins(decision.certificate)["binance"][1] is None
    receipt = make_receipt(asked, seen, [], POLICY, decision, "0" * 32, "0.1.0")
    assert verify(json.loads(canonical(receipt))).total
