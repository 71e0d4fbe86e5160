"""Each strategy on markets built so that it must choose differently; who is left out, and why."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sor_core.domain.decision import Decision, NoRoute, NoRouteReason, Reason
from sor_core.domain.instrument import TradingStatus
from sor_core.domain.market import Exclusion, VenueMarket, Why
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing.decide import decide
from sor_core.settings import Settings
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, metrics, order


def routed(asked: Order, seen: list[VenueMarket]) -> Decision:
    decision = decide(asked, seen, [], POLICY, NOW_MS)
    assert isinstance(decision, Decision), decision
    return decision


def refused(asked: Order, seen: list[VenueMarket]) -> NoRoute:
    outcome = decide(asked, seen, [], POLICY, NOW_MS)
    assert isinstance(outcome, NoRoute), outcome
    return outcome


def four_characters() -> list[VenueMarket]:
    """A cheap one with a cheap fee, a sound one, a fast one, and one with the best raw price."""
    big = "100"
    return [
        market(
            "cheap", asks=levels((100.00, big)), bids=levels((99.9, big)), fee_bps="1", health=metrics(900)
        ),
        market(
            "sound", asks=levels((100.00, 90000)), bids=levels((99.9, 90000)), fee_bps="3", health=metrics(60)
        ),
        market("fast", asks=levels((100.04, big)), bids=levels((99.9, big)), fee_bps="4", health=metrics(2)),
        market("raw", asks=levels((99.95, big)), bids=levels((99.9, big)), fee_bps="30", health=metrics(300)),
    ]


@pytest.mark.parametrize(
    ("strategy", "venue", "reason"),
    [
        (Strategy.COST_OPTIMIZATION, "cheap", Reason.LOWEST_TOTAL_COST),
        (Strategy.BEST_EXECUTION, "sound", Reason.BEST_SCORE),
        (Strategy.LOWEST_LATENCY, "fast", Reason.LOWEST_LATENCY),
        (Strategy.BEST_LIQUIDITY, "raw", Reason.BEST_LIQUIDITY),
    ],
)
def test_each_strategy_chooses_differently(strategy: Strategy, venue: str, reason: Reason) -> None:
    decision = routed(order("1", strategy=strategy), four_characters())

    assert (decision.selected, decision.reason) == (venue, reason)
    assert [leg.venue for leg in decision.legs] == [venue]
    assert {a.venue for a in decision.alternatives} == {"cheap", "sound", "fast", "raw"} - {venue}


def test_selling_mirrors_buying() -> None:
    seen = [
        market("dear", asks=levels((100.2, 10)), bids=levels((99.80, 10)), fee_bps="1"),
        market("high", asks=levels((100.2, 10)), bids=levels((99.95, 10)), fee_bps="1"),
    ]

    decision = routed(order("2", side=Side.SELL), seen)

    assert decision.selected == "high"
    assert decision.costs.expected_price == Decimal("99.95")
    assert decision.arrival_mid == Decimal("100.075")
    assert decision.costs.slippage_bps > 0
    assert decision.legs[0].limit_price == Decimal("99.08")  # 99.07425 up to the tick


def test_splits_where_the_marginal_prices_meet() -> None:
    seen = [
        market("a", asks=levels((100.0, 1), (100.2, 5)), fee_bps="10"),
        market("b", asks=levels((100.1, 1), (100.3, 5)), fee_bps="10"),
    ]

    decision = routed(order("3"), seen)

    assert {leg.venue: leg.amount for leg in decision.legs} == {"a": Decimal(2), "b": Decimal(1)}
    assert decision.selected == "a"
    assert decision.reason is Reason.SPLIT
    assert decision.costs.notional == Decimal("300.3")
    assert decision.best_single_venue == "a"
    assert decision.savings_bps is not None
    assert decision.savings_bps > 0
    assert decision.optimality_gap_bps == 0


def test_one_leg_at_most_when_asked_so() -> None:
    seen = [market("a", asks=levels((100, 1), (100.2, 5))), market("b", asks=levels((100.1, 1), (100.3, 5)))]

    assert len(routed(order("3", max_legs=1), seen).legs) == 1


def test_a_fixed_cost_per_leg_keeps_small_splits_together() -> None:
    seen = [market("a", asks=levels((100, 1), (100.2, 5))), market("b", asks=levels((100.1, 1), (100.3, 5)))]
    policy = Settings.from_env({"SOR_MIN_LIQUIDITY_SCORE": "0", "SOR_LEG_FIXED_COST": "0.2"}).policy

    decision = decide(order("2"), seen, [], policy, NOW_MS)

    assert isinstance(decision, Decision)
    assert len(decision.legs) == 1


def test_fees_decide_and_not_the_raw_price() -> None:
    seen = [
        market("a", asks=levels((100.00, 9)), fee_bps="40"),
        market("b", asks=levels((100.20, 9)), fee_bps="10"),
    ]

    assert routed(order("1"), seen).selected == "b"
    assert routed(order("1", strategy=Strategy.BEST_LIQUIDITY), seen).selected == "a"


def test_lowest_latency_does_not_pay_more_than_its_tolerance() -> None:
    seen = [
        market("fast", asks=levels((101.0, 9)), health=metrics(1)),
        market("slow", asks=levels((100.0, 9)), health=metrics(300)),
    ]

    assert routed(order("1", strategy=Strategy.LOWEST_LATENCY), seen).selected == "slow"


def test_lowest_latency_splits_over_the_fastest_that_suffice() -> None:
    seen = [
        market("fast", asks=levels((100, 1)), health=metrics(1)),
        market("near", asks=levels((100, 1)), health=metrics(5)),
        market("slow", asks=levels((100, 1)), health=metrics(300)),
    ]

    decision = routed(order("2", strategy=Strategy.LOWEST_LATENCY), seen)

    assert {leg.venue for leg in decision.legs} == {"fast", "near"}


def test_a_quote_budget_is_spent_and_never_passed() -> None:
    seen = [market("a", asks=levels((100, 1), (101, 5)), fee_bps="10")]

    decision = routed(order(quote_amount="250", max_slippage_bps="200"), seen)

    spent = decision.costs.notional + decision.costs.fee
    assert spent <= 250
    one_lot_more = decision.costs.notional + Decimal("0.001") * 101
    assert one_lot_more * Decimal("1.001") > 250


def test_a_limit_order_takes_what_the_limit_allows_and_tells_the_rest() -> None:
    seen = [market("a", asks=levels((100, 1), (105, 5)))]

    decision = routed(order("3", price="100.50", max_slippage_bps=None), seen)

    assert (decision.costs.amount, decision.remaining) == (Decimal(1), Decimal(2))
    assert decision.legs[0].limit_price == Decimal("100.50")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (market("bad", age_ms=10_001), Why.STALE_BOOK),
        (market("bad", source_age_ms=10_001), Why.STALE_BOOK),
        (market("bad", asks=[]), Why.EMPTY_BOOK),
        (market("bad", bids=[]), Why.EMPTY_BOOK),
        (market("bad", bids=levels((100.1, 1)), asks=levels((100.1, 1))), Why.CROSSED_BOOK),
        (market("bad", asks=levels(("-1", "1"))), Why.MALFORMED_BOOK),
        (market("bad", asks=levels(("NaN", "1"))), Why.MALFORMED_BOOK),
        (market("bad", asks=levels((100, "1e3"))), Why.MALFORMED_BOOK),
        (market("bad", asks=levels((100.1, 0.1), (100, 5))), Why.MALFORMED_BOOK),
        (market("bad", asks=[["100.1"]]), Why.MALFORMED_BOOK),
        (market("bad", asks=levels(("100.00000000000000000001", "5"))), Why.MALFORMED_BOOK),
        (market("bad", health=metrics(1001)), Why.TOO_SLOW),
        (market("bad", health=metrics(is_healthy=False)), Why.UNHEALTHY),
        (market("bad", rules=instrument("bad", status=TradingStatus.POST_ONLY)), Why.NOT_TRADING),
        (market("bad", rules=instrument("bad", status=TradingStatus.HALTED)), Why.NOT_TRADING),
        (market("bad", asks=levels((150, 5))), Why.NO_DEPTH),
        (market("bad", rules=instrument("bad", min_size=Decimal(2))), Why.BELOW_MINIMUM),
        (market("bad", rules=instrument("bad", min_notional=Decimal(150))), Why.BELOW_MINIMUM),
    ],
)
def test_a_bad_venue_is_left_out_with_its_reason_and_the_rest_answers(bad: VenueMarket, why: Why) -> None:
    decision = routed(order("1"), [market("good", asks=levels((100.2, 9))), bad])

    assert decision.selected == "good"
    assert [(e.venue, e.why) for e in decision.excluded] == [("bad", why)]
    assert [b.venue for b in decision.books] == ["good"]


def test_a_thin_book_is_left_out() -> None:
    policy = Settings.from_env({}).policy
    seen = [market("thin", asks=levels((100.1, 1))), market("deep", asks=levels((100.1, 5000)))]

    decision = decide(order("1"), seen, [], policy, NOW_MS)

    assert isinstance(decision, Decision)
    assert [(e.venue, e.why) for e in decision.excluded] == [("thin", Why.THIN_BOOK)]


def test_a_thin_quote_does_not_move_the_arrival_mid() -> None:
    policy = Settings.from_env({}).policy
    deep = market("deep", asks=levels((100.1, 5000)), bids=levels((99.9, 5000)))
    rogue = market("rogue", asks=levels((130, 0.001)), bids=levels((120, 0.001)))

    alone = decide(order("1"), [deep], [], policy, NOW_MS)
    beside = decide(order("1"), [deep, rogue], [], policy, NOW_MS)

    assert isinstance(alone, Decision)
    assert isinstance(beside, Decision)
    assert beside.arrival_mid == alone.arrival_mid == 100
    assert [(e.venue, e.why) for e in beside.excluded] == [("rogue", Why.THIN_BOOK)]


def test_savings_count_a_venue_that_its_lot_keeps_from_the_last_bit() -> None:
    seen = [
        market("coarse", asks=levels((100, 90)), rules=instrument("coarse", lot="0.01")),
        market("fine", asks=levels((101, 90)), rules=instrument("fine", lot="0.0001")),
    ]

    decision = routed(order("1.2345", max_slippage_bps="200"), seen)

    assert decision.best_single_venue == "coarse"
    assert decision.savings_bps is not None
    assert abs(decision.savings_bps) < 1


def test_a_budget_on_a_coarse_lot_is_not_short_of_depth() -> None:
    seen = [market("a", asks=levels((100, 1), (100.5, 1), (101, 50)), rules=instrument("a", lot="1"))]

    decision = routed(order(quote_amount="201", max_slippage_bps="200"), seen)

    assert decision.costs.amount == Decimal(2)
    assert decision.remaining_quote == Decimal(201) - decision.costs.notional - decision.costs.fee


def fine_and_coarse() -> list[VenueMarket]:
    return [
        market("coarse", asks=levels((100, 90)), fee_bps="10", rules=instrument("coarse", lot="0.00001")),
        market("fine", asks=levels((100, 90)), fee_bps="40", rules=instrument("fine", lot="0.00000001")),
    ]


@pytest.mark.parametrize("max_legs", [None, 1])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_dust_decides_nothing(strategy: Strategy, max_legs: int | None) -> None:
    decision = routed(order("12.345678", strategy=strategy, max_legs=max_legs), fine_and_coarse())

    assert [(leg.venue, leg.amount) for leg in decision.legs] == [("coarse", Decimal("12.34567"))]
    assert decision.remaining == Decimal("0.000008")


def test_a_small_order_is_not_rounded_to_a_coarse_lot() -> None:
    decision = routed(order("0.01234567"), fine_and_coarse())

    assert decision.costs.amount == Decimal("0.01234567")


@pytest.mark.parametrize("max_legs", [None, 1])
def test_a_budget_is_not_spent_at_a_dear_venue_for_its_finer_lot(max_legs: int | None) -> None:
    decision = routed(order(quote_amount="5000", max_legs=max_legs), fine_and_coarse())

    assert [leg.venue for leg in decision.legs] == ["coarse"]
    assert decision.remaining_quote is not None
    assert 0 <= decision.remaining_quote < Decimal("0.1")


def test_levels_finer_than_the_venues_own_steps_stay_exact() -> None:
    seen = [market("a", asks=levels(("100.123456789012", "0.123456789012345"), (101, 5)))]

    decision = routed(order("0.2"), seen)

    expected = Decimal("100.123456789012") * Decimal("0.123456789012345")
    assert decision.costs.notional == expected + (Decimal("0.2") - Decimal("0.123456789012345")) * 101


@pytest.mark.parametrize(
    ("asked", "seen", "reason"),
    [
        (order("50"), [market("a", asks=levels((100, 5)))], NoRouteReason.INSUFFICIENT_DEPTH),
        (order("50"), [market("a", asks=levels((100, 5), (200, 500)))], NoRouteReason.SLIPPAGE),
        (order("0.0001"), [market("a")], NoRouteReason.BELOW_MINIMUM),
        (order("1"), [market("a", asks=[])], NoRouteReason.NO_VENUE),
        (order("1", price="50"), [market("a")], NoRouteReason.SLIPPAGE),
        (order(quote_amount="0.01"), [market("a")], NoRouteReason.BELOW_MINIMUM),
        (order(quote_amount="100000"), [market("a")], NoRouteReason.INSUFFICIENT_DEPTH),
        (order("1", allowed_venues=frozenset({"b"})), [market("a")], NoRouteReason.NO_VENUE),
    ],
)
def test_no_route_says_why(asked: Order, seen: list[VenueMarket], reason: NoRouteReason) -> None:
    assert refused(asked, seen).reason is reason


def test_a_symbol_that_nobody_lists() -> None:
    unknown = [Exclusion(v, "unknown_symbol") for v in ("a", "b")]

    outcome = decide(order("1"), [], unknown, POLICY, NOW_MS)

    assert isinstance(outcome, NoRoute)
    assert outcome.reason is NoRouteReason.UNKNOWN_SYMBOL


def test_ties_go_to_the_faster_venue() -> None:
    seen = [market("a", health=metrics(80)), market("b", health=metrics(20))]

    assert routed(order("1"), seen).selected == "b"
