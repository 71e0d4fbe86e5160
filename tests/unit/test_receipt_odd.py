"""Receipts of odd books and numbers: what was decided of them verifies, and a forger finds no way in."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest

from sor_core.domain.decision import Decision
from sor_core.domain.market import Policy, VenueMarket
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing import verify
from sor_core.routing.decide import decide
from sor_core.routing.receipt import canonical, digest_of, make_receipt
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, order

Json = dict[str, Any]
BIDS = levels(("99", "10"))
NEAR = levels(("99.9", "10"))


def seen(
    venue: str, asks: Sequence[Any], bids: Sequence[Any] = BIDS, lot: str = "0.001", **rules: Any
) -> VenueMarket:
    return market(venue, asks=asks, bids=bids, fee_bps="0", rules=instrument(venue, lot=lot, **rules))


def decided(asked: Order, markets: Sequence[VenueMarket], policy: Policy = POLICY) -> tuple[Decision, Json]:
    decision = decide(asked, markets, [], policy, NOW_MS)
    assert isinstance(decision, Decision), decision
    receipt = make_receipt(asked, markets, [], policy, decision, "ab" * 16, "0.1.0")
    document: Json = json.loads(canonical(receipt))
    return decision, document


def sealed(receipt: Json) -> Json:
    body = {name: value for name, value in receipt.items() if name != "digest"}
    body["inputs_sha256"] = digest_of(body["inputs"])
    return {**body, "digest": digest_of(body)}


def remade(receipt: Json, legs: list[Json], lower_bound: str | None = None) -> Json:
    """With other legs, and all that follows from them made to agree."""
    with localcontext(Context(prec=200)):
        claim = verify.Claim(verify.Market(receipt["inputs"]), legs)
        bound = claim.money(claim.objective) if lower_bound is None else Decimal(lower_bound)
        changed = {"result": claim.result(bound), "certificate": claim.certificate(bound)}
    return sealed({**receipt, **changed})


# What lies beyond what was walked ------------------------------------------------------------------

TAILS: dict[str, list[Any]] = {
    "out of order": [["150", "1"], ["100.1", "9"]],
    "out of order within": [["100.2", "1"], ["100.1", "9"]],
    "negative": [["100.2", "-4"]],
    "no price": [["150", "1"], ["0", "1"]],
    "negative zero": [["100.2", "-0"], ["100.3", "1"]],
    "a point at the end": [["100.2", "1."]],
    "many zeros": [["100.2", "0" * 31 + "1"]],
    "many zeros at the end": [["100.2", "1." + "0" * 60]],
    "many digits": [["100.2", "1" * 31]],
    "too many digits": [["100.2", "9" * 400]],
    "beyond reach": [["150", "x"]],
    "no pair": [["100.2"]],
    "null": [None],
    "numbers": [["100.2", 1]],
    "empty": [["100.2", "0"], ["100.3", "x"]],
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("filler", [0, 5, 6, 7, 8, 20])
@pytest.mark.parametrize("score", [0.0, 0.5])
def test_an_odd_level_beyond_those_walked_leaves_a_receipt_that_verifies(
    name: str, filler: int, score: float
) -> None:
    steady = seen("steady", levels(("100.2", "50")), NEAR)
    between = levels(*((f"100.0{n // 3}", "1") for n in range(filler)))
    odd = seen("odd", [*levels(("100", "5")), *between, *TAILS[name]], NEAR)
    for amount in ("1", "5", "12"):
        asked = order(amount, max_slippage_bps="200", strategy=Strategy.BEST_EXECUTION)
        _, receipt = decided(asked, [odd, steady], replace(POLICY, min_liquidity_score=score))
        verify.verify(receipt)


@pytest.mark.parametrize("size", ["1.", "1." + "0" * 31, "01", "0" * 38 + "1"])
def test_one_meaning_of_a_level_as_far_as_the_order_reaches(size: str) -> None:
    asks = levels(*((100 + n, "1") for n in range(20)))
    asks[3][1] = size

    _, receipt = decided(order("12", max_slippage_bps="3000"), [seen("odd", asks)])

    verify.verify(receipt)


def test_what_lies_beyond_the_cap_of_another_venue_does_not_count() -> None:
    odd = seen("odd", levels(("101", "1"), ("x", "1")))
    asked = order("1", max_slippage_bps="60")

    decision, receipt = decided(asked, [seen("good", levels(("100", "5")), levels(("99.9", "1"))), odd])

    assert [(e.venue, e.why) for e in decision.excluded] == [("odd", "no_depth_within_limit")]
    verify.verify(receipt)


@pytest.mark.parametrize(("size", "takes_part"), [("1", True), ("0.1", False)])
def test_a_deep_odd_level_matters_to_the_screen_only_if_it_is_reached(size: str, *, takes_part: bool) -> None:
    asks = levels(*((f"{100 + n / 100}", size) for n in range(40)))
    asks[30][1] = "-3.5"
    good = levels(*((f"{100 + n / 100}", "1") for n in range(30)))
    policy = replace(POLICY, min_liquidity_score=1.0)  # some 15 units here
    asked = order("1", max_slippage_bps="10")

    decision, receipt = decided(asked, [seen("good", good, NEAR), seen("odd", asks, NEAR)], policy)

    # Scores sum all within the band, so it is malformed all the same, but its touch counts for the mid.
    assert [(e.venue, e.why) for e in decision.excluded] == [("odd", "malformed_book")]
    own = receipt["inputs"]["venues"][1]["depth"]["own_band"]
    assert (own is not None) is takes_part
    verify.verify(receipt)


# Depth -----------------------------------------------------------------------------------------------


def test_depth_ends_at_the_cap_on_the_venues_tick() -> None:
    # The cap, 100.494975, is 100.4 on a's tick: its million does not count for what it gives there.
    a = seen(
        "a", levels(("100.00", "5"), ("100.4238", "1000000")), levels(("99.99", "1")), tick=Decimal("0.1")
    )
    b = seen("b", levels(("100.00", "9")), levels(("99.99", "1")))
    asked = order("7", max_slippage_bps="50", strategy=Strategy.BEST_EXECUTION)

    decision, receipt = decided(asked, [a, b])

    # 100.4238 lies within 50 bps of the mid: a is the more liquid, and takes all it can.
    assert [(leg.venue, leg.amount) for leg in decision.legs] == [("a", Decimal(5)), ("b", Decimal(2))]
    assert decision.legs[0].liquidity_score > 9
    verify.verify(receipt)


@pytest.mark.parametrize("names", [("in_band",), ("within_cap",), ("in_band", "within_cap"), ("own_band",)])
def test_a_good_book_cannot_be_called_malformed(names: tuple[str, ...]) -> None:
    good = seen("good", levels(("100", "5"), ("100.1", "9")))
    bad = seen("bad", levels(("101", "5"), ("101.1", "9")))
    _, receipt = decided(order("1", max_slippage_bps="300"), [good, bad])
    forged = copy.deepcopy(receipt)
    at = next(v for v in forged["inputs"]["venues"] if v["venue"] == "good")
    at["depth"].update(dict.fromkeys(names))
    forged["result"]["excluded"] = [{"venue": "good", "why": "malformed_book"}]

    with pytest.raises(verify.RefusedError, match="good: depth"):
        verify.verify(sealed(forged))


# What is printed -------------------------------------------------------------------------------------

ESCAPES = "BTC/USDT: a 1; gap 0 bps\ndigest 00\x1b[8m"


@pytest.mark.parametrize("where", ["symbol", "venue", "leg", "strategy", "notionals"])
def test_no_text_of_a_receipt_makes_a_line_of_its_own(
    where: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, receipt = decided(order("1"), [seen("a", levels(("100", "5")))])
    inputs = receipt["inputs"]
    if where in {"symbol", "strategy"}:
        inputs["order"][where] = ESCAPES
    elif where == "notionals":
        inputs["policy"]["full_liquidity_notionals"][ESCAPES] = "x"
    elif where == "venue":
        inputs["venues"][0]["venue"] = ESCAPES
    else:
        receipt["result"]["legs"][0]["venue"] = ESCAPES
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(sealed(receipt)), encoding="utf-8")

    assert verify.main([str(file)]) == 1

    told = capsys.readouterr().out
    assert told.startswith("NOT VERIFIED ")
    assert told.count("\n") == 1
    assert told[:-1].isprintable()


def test_a_path_is_printed_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(["no\nsuch\x1b[2K\udc80file"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Numeric corners -------------------------------------------------------------------------------------


def test_a_budget_of_more_digits_than_the_scale_is_used_up() -> None:
    asked = order(None, quote_amount="100.0000000000001")
    decision, receipt = decided(asked, [seen("a", levels(("100", "1")))])

    assert decision.remaining_quote == Decimal("0.0000000000001")
    verify.verify(receipt)


def test_equal_costs_over_lots_that_are_not_mixed() -> None:
    asks = levels(("1100", "50"))

    def lots(venue: str, bids: Sequence[Any], lot: str, **rules: Any) -> VenueMarket:
        return seen(venue, asks, bids, lot, tick=Decimal(1), **rules)

    markets = [
        lots("d", levels(("999", "21"), ("998", "319")), "3", min_notional=Decimal(5000)),
        lots("b", levels(("999", "24")), "1", min_size=Decimal(3)),
        lots("c", levels(("999", "170"), ("994", "9")), "97", min_notional=Decimal(5000)),
    ]
    asked = order("106", side=Side.SELL, price="980", max_slippage_bps=None)

    _, receipt = decided(asked, markets)

    verify.verify(receipt)


def test_more_lots_than_a_machine_word_counts() -> None:
    markets = [
        seen(
            "e", levels(("60059.48", "1")), levels(("60053.42", "1")), "0.00001", max_size=Decimal("0.14333")
        ),
        seen("b", levels(("60118.11", "1")), levels(("60017.98", "9999999999999999")), "0.0001"),
    ]
    asked = order(None, quote_amount="12051.84483822", side=Side.SELL, max_slippage_bps="300")

    _, receipt = decided(asked, markets)

    verify.verify(receipt)


@pytest.mark.parametrize("step", ["lot", "tick"])
def test_a_level_finer_than_one_of_the_steps_is_read_though_the_other_is_the_finest(step: str) -> None:
    finest = Decimal("1e-18")
    if step == "lot":
        market_ = seen("a", levels(("100.001", "5")), lot=str(finest), min_size=Decimal(1))
    else:
        market_ = seen("a", levels(("100", "5.00001")), lot="1", tick=finest)

    _, receipt = decided(order("1"), [market_])

    verify.verify(receipt)


# What a gap may hide -------------------------------------------------------------------------------


@pytest.mark.parametrize("venues", [verify.SURELY_PROVEN, verify.SURELY_PROVEN + 1])
def test_a_gap_is_refused_only_among_so_many_venues(venues: int) -> None:
    markets = [seen(f"v{n:02}", levels((100 + n, "5"))) for n in range(venues)]
    _, receipt = decided(order("1", max_slippage_bps="2000"), markets)
    dearest = [{"venue": f"v{venues - 1:02}", "amount": "1"}]
    forged = remade(receipt, dearest, receipt["certificate"]["lower_bound"])

    if venues > verify.SURELY_PROVEN:
        claim = verify.verify(forged)
        assert Decimal(forged["result"]["optimality_gap_bps"]) > 500
        assert claim.total
        return
    with pytest.raises(verify.RefusedError, match="a gap where there need be none"):
        verify.verify(forged)
