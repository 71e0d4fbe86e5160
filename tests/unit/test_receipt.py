"""A receipt: its form and size, what it reveals of each book, and that no part of it can be changed."""

from __future__ import annotations

import ast
import copy
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sor_core.domain.decision import Decision
from sor_core.domain.market import Exclusion, Policy, VenueMarket
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing import receipt as making
from sor_core.routing import verify
from sor_core.routing.decide import decide
from sor_core.routing.receipt import book_digest, canonical, digest_of, make_receipt
from sor_core.settings import Settings
from tests.fakes.markets import NOW_MS, instrument, levels, market, metrics, order

POLICY: Policy = Settings.from_env({"SOR_LEG_FIXED_COST": "0.5"}).policy
SCRIPT = Path(verify.__file__)
ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT.parent / "shared" / "data" / "books" / "three_venues_BTC-USDT_2024-08-08.jsonl.gz"
Json = dict[str, Any]


def ladder(best: int, step: int, size: str, count: int) -> list[list[str]]:
    return levels(*((f"{best + step * n}.{n % 10}0", size) for n in range(count)))


def venues() -> list[VenueMarket]:
    """Three books of 500 levels, of which an order reaches a few, and one that is stale."""

    def seen(venue: str, ask: int, size: str, fee: str, latency_ms: float, lot: str) -> VenueMarket:
        return market(
            venue,
            asks=ladder(ask, 1, size, 500),
            bids=ladder(ask - 3, -1, size, 500),
            fee_bps=fee,
            rules=instrument(
                venue,
                lot=lot,
                min_notional=Decimal(5),
                max_size=Decimal(900),
                max_notional=Decimal(9_000_000),
            ),
            health=metrics(latency_ms, success_rate=0.99, uptime_pct=99.5),
            age_ms=150,
            source_age_ms=30,
        )

    stale = market("gone", asks=ladder(50_000, 1, "1", 20), bids=ladder(49_000, -1, "1", 20), age_ms=90_000)
    return [
        seen("binance", 60_000, "0.31", "10", 35.5, "0.00001"),
        seen("coinbase", 59_990, "0.2", "12", 60.25, "0.00000001"),
        replace(seen("kraken", 60_004, "0.55", "9", 20.125, "0.00000001"), funds=Decimal(400_000)),
        stale,
    ]


FAILURES = [Exclusion("absent", "timeout", "no answer within 1000 ms")]


def made(asked: Order, policy: Policy = POLICY) -> Json:
    decision = decide(asked, venues(), FAILURES, policy, NOW_MS)
    assert isinstance(decision, Decision), decision
    receipt = make_receipt(asked, venues(), FAILURES, policy, decision, "ab" * 16, "0.1.0")
    document: Json = json.loads(canonical(receipt))
    return document


ORDERS = {
    "single": order("0.1", max_slippage_bps="50"),
    "split": order("9.5", strategy=Strategy.BEST_EXECUTION, max_slippage_bps="50"),
    "sell": order("8.12345678", side=Side.SELL, strategy=Strategy.BEST_LIQUIDITY, max_legs=2),
    "fast": order("0.5", side=Side.SELL, strategy=Strategy.LOWEST_LATENCY),
    "limit": order("40", price="60010.5", max_slippage_bps="80", strategy=Strategy.COST_OPTIMIZATION),
    "spend": order(None, quote_amount="390000", strategy=Strategy.BEST_EXECUTION),
    "receive": order(None, quote_amount="25000.5", side=Side.SELL),
    "some": order("6", allowed_venues=frozenset({"binance", "kraken", "gone"})),
}
RECEIPTS = {name: made(asked) for name, asked in ORDERS.items()}


def sealed(receipt: Json) -> Json:
    """With a digest of its own, as anyone can make it."""
    body = {name: value for name, value in receipt.items() if name != "digest"}
    return {**body, "digest": digest_of(body)}


def resealed(receipt: Json) -> Json:
    """With every hash in it made again."""
    out: Json = json.loads(json.dumps(receipt))
    for venue in out["inputs"]["venues"]:
        book, heads = venue["book"], {}
        for name in ("asks", "bids"):
            side = book[name]
            heads[name] = [side["levels"], making.chain(side["prefix"], side["rest_sha256"])]
        book["sha256"] = digest_of(heads)
    out["inputs_sha256"] = digest_of(out["inputs"])
    return sealed(out)


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict | list) and document:
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for name, value in items:
            yield from leaves(value, (*path, name))
    else:
        yield path


def changes(value: Any) -> list[Any]:
    """Other values of the same kind, near and far."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1, 0 if value else 7]
        case None:
            return ["1", 1, "binance"]
        case [] | {}:
            return [None, ["binance"], {"x": "1"}]
        case str() if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            number = Decimal(value)
            exponent = number.as_tuple().exponent
            assert isinstance(exponent, int)
            nudged = number + Decimal((0, (1,), exponent))
            return [f"{nudged:f}", f"{number * 2 + 1:f}", "0" if number else "5", value + "0", None]
        case _:
            return [value + "x", value[::-1] + "0", "", "buy", "binance", "kraken", "0" * 64]


def changed(receipt: Json, path: tuple[Any, ...], value: Any) -> Json:
    out = copy.deepcopy(receipt)
    at = out
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return out


def mutations(receipt: Json) -> Iterator[tuple[tuple[Any, ...], Any, Json]]:
    """One receipt that has one leaf after another changed, and put back."""
    forged = copy.deepcopy(receipt)
    for path in leaves(receipt):
        at: Any = forged
        for name in path[:-1]:
            at = at[name]
        before = at[path[-1]]
        for value in changes(before):
            if value != before:
                at[path[-1]] = value
                yield path, value, forged
        at[path[-1]] = before
    assert forged == receipt


def refused(receipt: Any) -> str | None:
    try:
        verify.verify(receipt)
    except verify.RefusedError as error:
        return str(error) or "refused"
    return None


@pytest.mark.parametrize("name", RECEIPTS)
def test_the_receipt_of_a_decision_verifies(name: str) -> None:
    receipt = RECEIPTS[name]
    assert refused(receipt) is None
    legs = receipt["result"]["legs"]
    assert (len(legs) > 1) == (name in {"split", "sell", "limit", "spend", "some"}), legs


@pytest.mark.parametrize("name", RECEIPTS)
def test_every_changed_leaf_is_refused_though_the_digest_is_made_again(name: str) -> None:
    tried = 0
    for path, value, forged in mutations(RECEIPTS[name]):
        tried += 1
        if path == ("digest",):
            assert refused(forged) is not None
        else:
            assert refused(sealed(forged)) is not None, (path, value)
    assert tried > 1000


@pytest.mark.parametrize("name", RECEIPTS)
def test_levels_left_out_repeated_or_swapped_are_refused(name: str) -> None:
    receipt = RECEIPTS[name]
    for at, side in ((n, s) for n in range(4) for s in ("asks", "bids")):
        for number in range(len(receipt["inputs"]["venues"][at]["book"][side]["prefix"])):
            for change in ("drop", "repeat", "swap"):
                forged = copy.deepcopy(receipt)
                prefix = forged["inputs"]["venues"][at]["book"][side]["prefix"]
                if change == "drop":
                    del prefix[number]
                elif change == "repeat":
                    prefix.insert(number, prefix[number])
                else:
                    prefix[number - 1], prefix[number] = prefix[number], prefix[number - 1]
                forged["inputs_sha256"] = digest_of(forged["inputs"])
                assert refused(sealed(forged)) is not None, (at, side, number, change)


GIVEN = (
    # Names and times that decide nothing.
    r"inputs\.(decision_id|code_version|failures\.0\.(venue|why))",
    r"inputs\.(decided_at_ms|order\.(symbol|max_legs|denied_venues|allowed_venues|max_slippage_bps|price|type))",
    r"inputs\.order\.(amount|quote_amount|allowed_venues\.\d)",
    # Limits and measurements that had room to spare, or are another strategy's.
    r"inputs\.policy\..*",
    r"inputs\.venues\.\d\.(instrument|fees|metrics|depth)\..*",
    r"inputs\.venues\.\d\.(funds|venue)",
    r"inputs\.venues\.\d\.book\.(received_at_ms|source_time_ms|sequence|latency_ms|source)",
    # Levels that nothing was measured by, and what lies beyond the prefix.
    r"inputs\.venues\.\d\.book\.(asks|bids)\.(levels|rest_sha256|prefix\.\d+\.[01])",
)
"""Inputs that docs/receipt.md says are taken as given where a change leaves the decision as it is."""


@pytest.mark.parametrize("name", ["split", "fast", "spend"])
def test_only_inputs_can_be_changed_by_one_who_makes_every_hash_again(name: str) -> None:
    let_through = set()
    for path, value, forged in mutations(RECEIPTS[name]):
        if path[0] in {"digest", "inputs_sha256"} or path[-1] == "sha256":
            continue  # made again
        if "prefix" in path and (path[-2] % 4 or str(value).endswith(".000")):
            continue  # some are enough, and 60000.000 is 60000.00
        try:
            again = resealed(forged)
        except (TypeError, AttributeError):
            continue  # not even a book any more
        if refused(again) is None:
            let_through.add(".".join(map(str, path)))
    assert [path for path in let_through if not any(re.fullmatch(g, path) for g in GIVEN)] == []
    # What was paid by is held by the decision itself: fees and taken levels of the venues used.
    receipt = RECEIPTS[name]
    legs = {leg["venue"] for leg in receipt["result"]["legs"]}
    side = "asks" if receipt["inputs"]["order"]["side"] == "buy" else "bids"
    for at, venue in enumerate(receipt["inputs"]["venues"]):
        if venue["venue"] in legs:
            held = {f"inputs.venues.{at}.fees.taker_fee_bps", f"inputs.venues.{at}.book.{side}.prefix.0.0"}
            assert not held & let_through


def test_docs_name_every_field() -> None:
    text = (ROOT / "docs" / "receipt.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_0-9]+)`", text))
    receipt = RECEIPTS["spend"]
    inputs = receipt["inputs"]
    venue = inputs["venues"][0]
    named = {*receipt, *receipt["result"], *receipt["certificate"], *receipt["budget"], *inputs, *venue}
    named |= {*venue["book"], *venue["book"]["asks"], *venue["depth"]}
    assert named - told - {"venue"} == set()
    assert f"blocks of {making.BLOCK} levels" in text
    assert f"Format `{making.FORMAT}`" in text
    assert f"at most {verify.MOST_COMBINATIONS:,}\ncombinations" in text


def at_venue(receipt: Json, venue: str) -> Json:
    found: Json = next(v for v in receipt["inputs"]["venues"] if v["venue"] == venue)
    return found


def cheaper_fee(receipt: Json) -> None:
    at_venue(receipt, "coinbase")["fees"]["taker_fee_bps"] = "1"


def coarser_lot(receipt: Json) -> None:
    at_venue(receipt, "binance")["instrument"]["lot"] = "0.7"


def better_level_left_out(receipt: Json) -> None:
    side = at_venue(receipt, "binance")["book"]["asks"]
    del side["prefix"][0]
    side["levels"] -= 1
    short = len(side["prefix"]) % making.BLOCK
    del side["prefix"][len(side["prefix"]) - short :]


def better_price(receipt: Json) -> None:
    at_venue(receipt, "kraken")["book"]["asks"]["prefix"][0][0] = "60003.99"


def healthy_again(receipt: Json) -> None:
    at_venue(receipt, "gone")["book"]["received_at_ms"] = NOW_MS


def other_strategy(receipt: Json) -> None:
    receipt["inputs"]["order"]["strategy"] = "best_liquidity"


def cheaper_result(receipt: Json) -> None:
    receipt["result"]["costs"]["notional"] = "1"


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (cheaper_fee, "result"),
        (coarser_lot, "binance: the leg is off its lot"),
        (better_level_left_out, "result|prefix|depth"),
        (better_price, "result|certificate|depth"),
        (healthy_again, "result"),
        (other_strategy, "result"),
        (cheaper_result, r"result.costs.notional: stated '1', must be '\d"),
    ],
)
def test_tampering_is_refused_and_named_though_every_hash_is_made_again(
    tamper: Callable[[Json], None], named: str
) -> None:
    receipt = copy.deepcopy(RECEIPTS["split"])
    assert refused(resealed(receipt)) is None
    tamper(receipt)
    told = refused(resealed(receipt))
    assert told is not None
    assert re.search(named, told), told


# Form and size -----------------------------------------------------------------------------------


def test_a_receipt_is_canonical_and_has_no_floats() -> None:
    for receipt in RECEIPTS.values():
        text = canonical(receipt)
        assert json.loads(text, parse_float=pytest.fail) == receipt
        assert b" " not in text
        assert b"\n" not in text
        assert digest_of({k: v for k, v in receipt.items() if k != "digest"}) == receipt["digest"]


def test_an_ordinary_order_over_three_long_books_takes_a_few_kilobytes() -> None:
    assert len(canonical(RECEIPTS["single"])) < 9_000
    assert len(canonical(RECEIPTS["split"])) < 10_000


def test_a_receipt_over_real_books_verifies_and_takes_a_few_kilobytes() -> None:
    if not RECORDING.exists():
        pytest.skip("the recorded books are not here")
    with gzip.open(RECORDING, "rt") as rows:
        _, row = next(rows), json.loads(next(rows))
    seen = [
        market(venue, asks=book["asks"], bids=book["bids"], rules=instrument(venue, lot="0.00001"))
        for venue, book in zip(("binance", "coinbase", "kraken"), row["venues"].values(), strict=True)
    ]
    for amount, most in (("0.5", 7_000), ("10", 10_000)):
        asked = order(amount, strategy=Strategy.BEST_EXECUTION)
        decision = decide(asked, seen, [], POLICY, NOW_MS)
        assert isinstance(decision, Decision)
        receipt = make_receipt(asked, seen, [], POLICY, decision, "ab" * 16, "0.1.0")
        assert len(canonical(receipt)) < most
        assert refused(json.loads(canonical(receipt))) is None


def test_the_prefix_and_the_rest_give_the_hash_of_the_whole_book() -> None:
    for seen, shown in zip(
        sorted(venues(), key=lambda m: m.venue), RECEIPTS["split"]["inputs"]["venues"], strict=True
    ):
        book = shown["book"]
        assert seen.venue == shown["venue"]
        assert book["sha256"] == book_digest(seen.book.asks, seen.book.bids)
        for name, whole in (("asks", seen.book.asks), ("bids", seen.book.bids)):
            side = book[name]
            assert side["prefix"] == whole[: len(side["prefix"])]
            assert side["levels"] == len(whole)
            assert len(side["prefix"]) < 60
            assert (
                making.chain([list(map(str, x)) for x in whole[len(side["prefix"]) :]]) == side["rest_sha256"]
            )


def test_what_is_no_level_still_has_a_receipt() -> None:
    odd: Any = [["60001", "1"], ["x"], {"price": 1}, None, [1, 2.5], ["60002", None]]
    seen = [
        *venues(),
        replace(market("odd"), book=replace(market("odd").book, asks=odd, bids=levels((60_000, 1)))),
    ]
    asked = ORDERS["split"]
    decision = decide(asked, seen, [], POLICY, NOW_MS)
    assert isinstance(decision, Decision)
    receipt = make_receipt(asked, seen, [], POLICY, decision, "ab" * 16, "0.1.0")
    assert refused(json.loads(canonical(receipt))) is None
    assert ("odd", "malformed_book") in {(e["venue"], e["why"]) for e in receipt["result"]["excluded"]}


def test_making_it_leaves_the_decision_alone() -> None:
    asked = ORDERS["split"]
    before = decide(asked, venues(), FAILURES, POLICY, NOW_MS)
    made(asked)
    assert decide(asked, venues(), FAILURES, POLICY, NOW_MS) == before


# The program -------------------------------------------------------------------------------------


def test_the_verifier_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {str(name).split(".")[0] for name in imported} <= sys.stdlib_module_names


def run(*arguments: str, text: str | None = None) -> tuple[int, str]:
    """Run the one file as a stranger would: no packages, no environment, elsewhere."""
    done = subprocess.run(  # noqa: S603 - this interpreter and our own file
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_program_stands_alone(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    receipt = RECEIPTS["split"]
    file.write_bytes(canonical(receipt))
    code, told = run(str(file))
    assert (code, told.splitlines()[0].split()[0]) == (0, "VERIFIED")
    assert receipt["digest"] in told

    assert run(str(file), "--digest", receipt["digest"])[0] == 0
    code, told = run(str(file), "--digest", "0" * 64)
    assert (code, told.strip()) == (1, "NOT VERIFIED digest: it is another receipt's")

    answer = {"selected_exchange": "binance", "receipt": receipt, "amount": 2.5}
    assert run("-", text=json.dumps(answer, indent=2))[0] == 0

    forged = sealed(changed(receipt, ("result", "costs", "fee"), "1"))
    code, told = run("-", text=json.dumps(forged))
    assert code == 1
    assert told.startswith("NOT VERIFIED result.costs.fee: stated '1', must be ")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"a": 1}', '{"format": "x", "format": "x"}', "[" * 100_000]
)
def test_what_cannot_be_read_is_told_apart(text: str) -> None:
    code, told = run("-", text=text)
    assert (code, told.split()[0]) == (2, "UNREADABLE")


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    assert verify.main([str(tmp_path / "none.json")]) == 2


@pytest.mark.parametrize(
    "text", ['{"format": "sor-receipt/2"}', '{"format": 1.5}', '{"format": "sor-receipt/1"}']
)
def test_another_format_is_refused(text: str) -> None:
    code, told = run("-", text=text)
    assert code == 1
    assert told.startswith("NOT VERIFIED ")
