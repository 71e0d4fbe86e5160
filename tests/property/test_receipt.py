"""Every decision's receipt verifies, and no other split in its place does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from itertools import product
from typing import Any

import pytest
from hypothesis import event, given, seed, settings
from hypothesis import strategies as st

from sor_core.domain.decision import Decision
from sor_core.domain.instrument import TradingStatus
from sor_core.domain.market import Exclusion, Policy, VenueMarket, Why
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.routing import verify
from sor_core.routing.decide import decide
from sor_core.routing.receipt import canonical, digest_of, make_receipt
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, metrics, order

VENUES = ("binance", "coinbase", "kraken", "other")
LOTS = (("0.001", "0.01", "0.1"), ("0.001",), ("0.02", "0.05", "0.01"), ("0.03", "0.05", "0.07"))
FAR_APART = (("0.097", "0.101", "0.001"), ("0.089", "0.097", "0.101", "0.00001"))
"""Lots that are not used together, so that some decisions are not proven optimal."""


@st.composite
def ladders(draw: st.DrawFn, start: int, step: int) -> list[list[str]]:
    """Levels walking away from `start` cents, some empty, some equal in price."""
    price, out = start + step, []
    for _ in range(draw(st.integers(1, 20))):
        size = Decimal(draw(st.sampled_from((0, 7, 20, 1000)) | st.integers(1, 1500))) / 1000
        out.append((str(Decimal(price) / 100), str(size)))
        price += step * draw(st.integers(0, 30))
    first = out[0]
    return levels(first if Decimal(first[1]) else (first[0], "0.5"), *out[1:])


@st.composite
def markets(draw: st.DrawFn, venue: str, lots: Sequence[str], side: Side) -> VenueMarket:
    mid = 10_000 + draw(st.integers(-20, 20))
    lot = draw(st.sampled_from(lots))
    rules = instrument(
        venue,
        lot=lot,
        min_size=Decimal(lot) * draw(st.sampled_from((1, 1, 3))),
        min_notional=Decimal(draw(st.sampled_from((0, 0, 5, 20)))),
        max_size=draw(st.sampled_from((None, Decimal(2)))),
        max_notional=draw(st.sampled_from((None, None, Decimal(150)))),
        status=draw(st.sampled_from((TradingStatus.TRADING,) * 9 + (TradingStatus.HALTED,))),
    )
    seen = market(
        venue,
        asks=draw(ladders(mid, 1)),
        bids=draw(ladders(mid, -1)),
        fee_bps=str(draw(st.sampled_from(("0", "5", "10", "7.5")))),
        rules=rules,
        health=metrics(float(draw(st.integers(1, 900))), success_rate=draw(st.sampled_from((1.0, 0.9)))),
        age_ms=draw(st.sampled_from((0, 300, 300, 20_000))),
    )
    funds = draw(st.sampled_from((None, None, "1.5" if side is Side.SELL else "150")))
    seen = replace(seen, funds=None if funds is None else Decimal(funds))
    return replace(seen, metrics=None) if draw(st.booleans()) else seen


Situation = tuple[Order, list[VenueMarket], list[Exclusion], Policy]


@st.composite
def situations(draw: st.DrawFn, venues: int = 4, chosen_from: Sequence[Sequence[str]] = LOTS) -> Situation:
    chosen = draw(st.lists(st.sampled_from(VENUES), min_size=1, max_size=venues, unique=True))
    thousandths = draw(st.integers(1, 6000))
    side, lots = draw(st.sampled_from(Side)), draw(st.sampled_from(chosen_from))
    asked = order(
        str(Decimal(thousandths) / 1000),
        side=side,
        strategy=draw(st.sampled_from(Strategy)),
        max_slippage_bps=str(draw(st.sampled_from((50, 300)))),
        max_legs=draw(st.sampled_from((None, None, 1, 2))),
    )
    if draw(st.booleans()):
        price = Decimal(101) if side is Side.BUY else Decimal(99)
        asked = replace(asked, type=OrderType.LIMIT, price=price, max_slippage_bps=None)
    if draw(st.booleans()):
        asked = replace(asked, amount=None, quote_amount=Decimal(thousandths) / 10)
    seen = [draw(markets(v, lots, side)) for v in chosen]
    absent = [v for v in VENUES if v not in chosen]
    failures = [Exclusion(v, Why.NOT_ALLOWED) for v in absent[: draw(st.integers(0, 1))]]
    policy = replace(
        POLICY,
        leg_fixed_cost=draw(st.sampled_from((Decimal(0), Decimal("0.01"), Decimal("0.2")))),
        min_liquidity_score=draw(st.sampled_from((0.0, 0.0, 1.0))),
    )
    return asked, seen, failures, policy


def receipt_of(situation: Situation) -> tuple[Decision, dict[str, Any]] | None:
    asked, seen, failures, policy = situation
    decision = decide(asked, seen, failures, policy, NOW_MS)
    if not isinstance(decision, Decision):
        return None
    receipt = make_receipt(asked, seen, failures, policy, decision, "0" * 32, "0.1.0")
    document: dict[str, Any] = json.loads(canonical(receipt))
    assert document == receipt
    return decision, document


@seed(20261122)
@settings(max_examples=400, deadline=None)
@given(situations())
def test_every_decisions_receipt_verifies(situation: Situation) -> None:
    made = receipt_of(situation)
    if made is None:
        return
    _, receipt = made
    claim = verify.verify(receipt, receipt["digest"])
    assert claim.total > 0


ODD = ("", "0", "-1", "-0", "1e2", "1.", "0.", ".5", " 1", "nan", "inf", "1_0", "007", "1." + "0" * 31)
ODDER = (
    "9" * 16,
    "9" * 41,
    "9" * 400,
    "0." + "0" * 17 + "1",
    "0." + "0" * 18 + "1",
    "1." + "0" * 44,
    "\u0663",
)


@seed(20261123)
@settings(max_examples=500, deadline=None)
@given(
    situations(venues=3),
    st.lists(st.tuples(*[st.integers(0, 60)] * 2, st.sampled_from(ODD + ODDER)), max_size=2),
)
def test_every_decision_of_odd_books_has_a_receipt_that_verifies(
    situation: Situation, changes: list[tuple[int, int, str]]
) -> None:
    asked, seen, *_ = situation
    for at, column, text in changes:
        book = seen[at % len(seen)].book
        side = book.asks if asked.side is Side.BUY else book.bids
        level = side[at % len(side)]
        assert isinstance(level, list)
        level[column % 2] = text
    made = receipt_of(situation)
    event(f"decided {made is not None}")
    if made is not None:
        verify.verify(made[1])


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(situations(chosen_from=FAR_APART))
def test_a_decision_that_is_not_proven_says_how_far_off_it_may_be(situation: Situation) -> None:
    made = receipt_of(situation)
    if made is None:
        return
    decision, receipt = made
    verify.verify(receipt)
    event(f"gap {decision.optimality_gap_bps > 0}")
    # A bound that is too good to be true is refused.
    claimed = {**receipt["certificate"], "lower_bound": receipt["certificate"]["objective"]}
    if claimed != receipt["certificate"]:
        body = {**receipt, "certificate": claimed}
        body["result"] = {**receipt["result"], "optimality_gap_bps": "0"}
        del body["digest"]
        with localcontext(Context(prec=200)):
            claim = verify.Claim(verify.Market(receipt["inputs"]), receipt["result"]["legs"])
            better = verify.cheapest(claim.curves, claim.total, claim.legs, claim.objective)
        if better is not None and situation[0].strategy is not Strategy.LOWEST_LATENCY:
            with pytest.raises(verify.RefusedError):
                verify.verify({**body, "digest": digest_of(body)})


def forged(receipt: dict[str, Any], sizes: Sequence[int], *, honest_gap: bool = False) -> dict[str, Any]:
    """The receipt with other sizes, and everything else made to agree with them."""
    with localcontext(Context(prec=200)):
        made = verify.Market(receipt["inputs"])
        claim = verify.Claim(made, legs_of(made, sizes))
        bound = claim.money(claim.objective)
        if honest_gap:
            bound = Decimal(receipt["certificate"]["lower_bound"])
        body = {**receipt, "result": claim.result(bound), "certificate": claim.certificate(bound)}
    del body["digest"]
    return {**body, "digest": digest_of(body)}


def legs_of(made: verify.Market, sizes: Sequence[int]) -> list[dict[str, str]]:
    pairs = [(o, x) for o, x in zip(made.offers, sizes, strict=True) if x]
    return [
        {"venue": o.venue.name, "amount": verify.plain(Decimal(x).scaleb(-made.size_places))}
        for o, x in pairs
    ]


def feasible(made: verify.Market, sizes: Sequence[int]) -> bool:
    try:
        return bool(verify.Claim(made, legs_of(made, sizes)).total)
    except verify.RefusedError:
        return False


def others(made: verify.Market, sizes: Sequence[int]) -> list[list[int]]:
    """Admissible splits that have a little, or all, moved from one venue to another, or less in all."""
    lots = [o.lot for o in made.offers]
    found = []
    for giver, taker in product(range(len(lots)), repeat=2):
        unit = lots[giver] * lots[taker]
        for moved in {sizes[giver], unit, lots[giver], lots[giver] * 5, lots[taker]}:
            out = list(sizes)
            out[giver] -= moved
            out[taker] += moved if taker != giver else 0
            if min(out) >= 0 and out != sizes and feasible(made, out):
                found.append(out)
    return found


@seed(20261122)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_another_split_in_its_place_does_not(data: st.DataObject) -> None:
    made = receipt_of(data.draw(situations()))
    if made is None:
        return
    decision, receipt = made
    claim = verify.verify(receipt)
    splits = others(claim.market, claim.sizes)
    if not splits:
        return
    sizes = data.draw(st.sampled_from(splits))
    event("another split")
    with pytest.raises(verify.RefusedError):
        verify.verify(forged(receipt, sizes))
    # Nor may it hide behind a gap: these lots can all be proven.
    assert decision.optimality_gap_bps == 0
    with pytest.raises(verify.RefusedError):
        verify.verify(forged(receipt, sizes, honest_gap=True))


@seed(20261122)
@settings(max_examples=100, deadline=None)
@given(situations(venues=3), st.integers(1, 3), st.data())
def test_the_verifiers_least_is_that_of_trying_every_size(
    situation: Situation, legs: int, data: st.DataObject
) -> None:
    made = receipt_of(situation)
    if made is None:
        return
    curves = verify.verify(made[1]).curves
    if any((c.hi - c.lo) // c.lot > 60 for c in curves):
        return
    least: dict[tuple[int, int], int] = {(0, 0): 0}
    for c in curves:
        grown = dict(least)
        for size, ((total, used), value) in product(range(c.lo, c.hi + 1, c.lot), least.items()):
            key, dearer = (total + size, used + 1), value + c.value(size)
            grown[key] = min(dearer, grown.get(key, dearer))
        least = grown
    total = data.draw(st.sampled_from(sorted({t for t, _ in least if t})))
    expected = min((v for (t, used), v in least.items() if t == total and used <= legs), default=None)
    assert verify.cheapest(curves, total, legs) == expected
    more = {t for t, used in least if used <= legs and total < t <= total + 7}
    assert verify.can_fill_more(curves, total, total + 7, legs) is bool(more)
