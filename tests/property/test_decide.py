"""What must hold of every decision, whatever the market."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from sor_core.domain.decision import Decision, Leg, NoRoute
from sor_core.domain.market import VenueMarket
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing.decide import decide
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, metrics, order

VENUES = ("binance", "coinbase", "kraken", "other")
LOTS = ("0.001", "0.01", "0.1")

sides = st.sampled_from(Side)
strategies = st.sampled_from(Strategy)


@st.composite
def ladders(draw: st.DrawFn, start: int, step: int) -> list[list[str]]:
    """Levels walking away from `start` cents, best first, with sizes in thousandths."""
    price, out = start, []
    for _ in range(draw(st.integers(1, 8))):
        price += step * draw(st.integers(1, 40))
        size = Decimal(draw(st.integers(1, 3000))) / 1000
        out.append((str(Decimal(price) / 100), str(size)))
    return levels(*out)


@st.composite
def markets(draw: st.DrawFn, venue: str) -> VenueMarket:
    mid = 10_000 + draw(st.integers(-20, 20))
    lot = draw(st.sampled_from(LOTS))
    rules = instrument(
        venue,
        lot=lot,
        min_size=Decimal(lot) * draw(st.sampled_from((1, 1, 3))),
        min_notional=Decimal(draw(st.sampled_from((0, 0, 5, 20)))),
        max_size=draw(st.sampled_from((None, Decimal(2)))),
    )
    return market(
        venue,
        asks=draw(ladders(mid, 1)),
        bids=draw(ladders(mid, -1)),
        fee_bps=str(draw(st.sampled_from((0, 5, 10, 40)))),
        rules=rules,
        health=metrics(float(draw(st.integers(1, 900))), success_rate=draw(st.sampled_from((1.0, 0.9)))),
        age_ms=draw(st.integers(0, 500)),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Order, list[VenueMarket]]:
    chosen = draw(st.lists(st.sampled_from(VENUES), min_size=1, max_size=4, unique=True))
    thousandths = draw(st.integers(1, 8000))
    asked = order(
        str(Decimal(thousandths) / 1000),
        side=draw(sides),
        strategy=draw(strategies),
        max_slippage_bps=str(draw(st.sampled_from((5, 50, 300)))),
        max_legs=draw(st.sampled_from((None, None, 1, 2))),
    )
    if draw(st.booleans()):
        asked = replace(asked, amount=None, quote_amount=Decimal(thousandths) / 10)
    return asked, [draw(markets(v)) for v in chosen]


def run(asked: Order, seen: list[VenueMarket]) -> Decision | NoRoute:
    return decide(asked, seen, [], POLICY, NOW_MS)


def levels_taken(asked: Order, seen: VenueMarket, leg: Leg) -> list[tuple[Decimal, Decimal]]:
    """What the leg takes of the book, walked here once more."""
    left, taken = leg.amount, []
    for price, size in seen.book.asks if asked.side is Side.BUY else seen.book.bids:
        part = min(left, Decimal(str(size)))
        if part:
            taken.append((Decimal(str(price)), part))
        left -= part
    assert left == 0, "more than the book holds"
    return taken


@seed(20261122)
@settings(max_examples=400, deadline=None)
@given(situations())
def test_legs_add_up_and_stay_within_every_limit(situation: tuple[Order, list[VenueMarket]]) -> None:
    asked, seen = situation
    by_venue = {m.venue: m for m in seen}
    decision = run(asked, seen)
    if isinstance(decision, NoRoute):
        return

    assert sum(leg.amount for leg in decision.legs) == decision.costs.amount
    if asked.amount is not None:
        assert decision.costs.amount + decision.remaining == asked.amount
        assert 0 <= decision.remaining < max(m.instrument.lot for m in seen)
        finest = min(by_venue[b.venue].instrument.lot for b in decision.books)
        assert decision.remaining < finest or decision.remaining < asked.amount / 10_000
    assert len({leg.venue for leg in decision.legs}) == len(decision.legs)
    assert asked.max_legs is None or len(decision.legs) <= asked.max_legs
    for leg in decision.legs:
        rules = by_venue[leg.venue].instrument
        taken = levels_taken(asked, by_venue[leg.venue], leg)
        assert leg.amount % rules.lot == 0
        assert leg.amount >= rules.min_size
        assert rules.max_size is None or leg.amount <= rules.max_size
        assert leg.limit_price % rules.tick == 0
        for price, _ in taken:
            assert (price - leg.limit_price) * asked.side.sign <= 0
            assert (leg.limit_price - decision.price_cap) * asked.side.sign <= 0
        assert leg.notional == sum(p * s for p, s in taken)
        assert leg.notional >= rules.min_notional
        assert leg.fee == leg.notional * leg.fee_bps / 10_000
        assert leg.worst_price == taken[-1][0]


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(situations())
def test_costs_are_what_the_legs_come_to(situation: tuple[Order, list[VenueMarket]]) -> None:
    asked, seen = situation
    decision = run(asked, seen)
    if isinstance(decision, NoRoute):
        return

    notional = sum(Fraction(leg.notional) for leg in decision.legs)
    fee = sum(Fraction(leg.fee) for leg in decision.legs)
    reference = Fraction(decision.arrival_mid) * Fraction(decision.costs.amount)
    slippage = (notional - reference) / reference * 10_000 * asked.side.sign
    assert abs(Fraction(decision.costs.slippage_bps) - slippage) < Fraction(1, 10**9)
    assert abs(Fraction(decision.costs.fee_bps) - fee / reference * 10_000) < Fraction(1, 10**9)
    if asked.quote_amount is not None:
        assert notional + fee * asked.side.sign <= Fraction(asked.quote_amount)
    assert 0.0 <= decision.confidence <= 1.0


def whole_cost(decision: Decision, side: Side) -> Fraction:
    paid = sum(Fraction(leg.notional) * side.sign + Fraction(leg.fee) for leg in decision.legs)
    return Fraction(paid)


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_another_venue_never_makes_it_dearer(data: st.DataObject) -> None:
    # A limit order: the price cap is the same whoever takes part.
    venues = data.draw(st.lists(st.sampled_from(VENUES), min_size=2, max_size=4, unique=True))
    seen = [data.draw(markets(v)) for v in venues]
    side = data.draw(sides)
    amount = str(Decimal(data.draw(st.integers(1, 6000))) / 1000)
    asked = order(amount, side=side, price="104" if side is Side.BUY else "96", max_slippage_bps=None)

    fewer, more = run(asked, seen[:-1]), run(asked, seen)

    if isinstance(fewer, NoRoute):
        return
    assert isinstance(more, Decision)
    # A coarser lot may round the order down, by a basis point at most.
    assert more.costs.amount >= fewer.costs.amount * Decimal("0.9999")
    if more.costs.amount == fewer.costs.amount:
        assert whole_cost(more, side) <= whole_cost(fewer, side)


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_venue_at_least_as_good_in_every_respect_never_ranks_lower(data: st.DataObject) -> None:
    worse = data.draw(markets("binance"))
    rest = [data.draw(markets(v)) for v in ("coinbase", "kraken")[: data.draw(st.integers(0, 2))]]
    book, rules = worse.book, worse.instrument
    # The same book with more size at each level, and perhaps faster and cheaper.
    more = Decimal(data.draw(st.integers(1, 2000))) / 1000

    def deeper(side: list[list[str]]) -> list[list[str]]:
        return [[p, str(Decimal(s) + more)] for p, s in side]

    better = replace(
        worse,
        venue="zebra",  # last by name: it may not win by its name
        book=replace(
            book,
            venue="zebra",
            asks=deeper(book.asks),  # type: ignore[arg-type]
            bids=deeper(book.bids),  # type: ignore[arg-type]
            received_at_ms=NOW_MS,
        ),
        instrument=replace(rules, venue="zebra"),
        fees=replace(worse.fees, taker_fee_bps=worse.fees.taker_fee_bps / data.draw(st.sampled_from((1, 2)))),
        metrics=metrics(worse.latency_ms - data.draw(st.sampled_from((0.0, 0.5))), success_rate=1.0),
    )
    asked = order(
        str(Decimal(data.draw(st.integers(1, 6000))) / 1000),
        side=data.draw(sides),
        strategy=data.draw(strategies),
    )

    decision = run(asked, [worse, *rest, better])

    if isinstance(decision, NoRoute):
        return
    ranking = [decision.selected, *(a.venue for a in decision.alternatives)]
    if "binance" in ranking:
        assert ranking.index("zebra") < ranking.index("binance")
    share = {leg.venue: leg.amount for leg in decision.legs}
    assert share.get("zebra", Decimal(0)) >= share.get("binance", Decimal(0))


@seed(20261122)
@settings(max_examples=200, deadline=None)
@given(situations())
def test_best_execution_costs_at_most_its_tolerance_more_than_the_cheapest(
    situation: tuple[Order, list[VenueMarket]],
) -> None:
    asked, seen = situation
    if asked.quote_amount is not None:
        return
    best = run(replace(asked, strategy=Strategy.BEST_EXECUTION), seen)
    cheapest = run(replace(asked, strategy=Strategy.COST_OPTIMIZATION), seen)
    if isinstance(best, NoRoute) or isinstance(cheapest, NoRoute):
        assert type(best) is type(cheapest)
        return

    assert best.costs.amount == cheapest.costs.amount
    extra = best.costs.total_cost_bps - cheapest.costs.total_cost_bps
    assert Decimal("-1e-9") <= extra <= POLICY.best_execution_tolerance_bps + Decimal("1e-6")


@seed(20261122)
@settings(max_examples=150, deadline=None)
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(
    situation: tuple[Order, list[VenueMarket]], random: object
) -> None:
    asked, seen = situation
    shuffled = list(seen)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert run(asked, seen) == run(asked, shuffled)


def test_confidence_falls_with_age_size_and_failures() -> None:
    def confidence(
        amount: str = "1", *, age_ms: int = 0, latency_ms: float = 50, success: float = 1
    ) -> float:
        seen = market("binance", age_ms=age_ms, health=metrics(latency_ms, success_rate=success))
        decision = run(order(amount), [seen])
        assert isinstance(decision, Decision)
        return decision.confidence

    assert [confidence(a) for a in ("9", "5", "1")] == sorted(confidence(a) for a in ("9", "5", "1"))
    for better, worse in pairwise(confidence(age_ms=a) for a in (0, 500, 5000)):
        assert better > worse
    for better, worse in pairwise(confidence(latency_ms=ms) for ms in (5, 50, 500)):
        assert better > worse
    for better, worse in pairwise(confidence(success=s) for s in (1.0, 0.9, 0.5)):
        assert better > worse
