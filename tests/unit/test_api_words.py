"""What was expected of a field is said in our own words: no library's, and never the value itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from sor_core.api.execute import ExecuteRules, parse_execute, parse_review, parse_switch
from sor_core.api.problems import Kind, ProblemError
from sor_core.api.schemas import parse_order

VENUES = ("binance", "coinbase", "kraken")
RULES = ExecuteRules(VENUES, Decimal(100), require_key=False)
ORDER = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 1}


def _execute(body: Any) -> object:
    return parse_execute(body, {}, caller="", correlation_id="", received_at_ms=0, rules=RULES)


def _route(body: Any) -> object:
    return parse_order(body, venues=VENUES, max_slippage_bps=Decimal(100))


PARSERS: dict[str, tuple[Callable[[Any], object], dict[str, Any]]] = {
    "route": (_route, ORDER),
    "execute": (_execute, ORDER),
    "switch": (parse_switch, {"mode": "halted", "reason": "why"}),
    "review": (parse_review, {"attempt": 1, "resolution": "never_placed", "note": "seen"}),
}
FIELDS = (
    *("symbol", "side", "type", "amount", "quote_amount", "price", "execution_strategy", "max_slippage_bps"),
    *("venues", "max_legs", "time_in_force", "client_order_id", "dry_run", "mode", "reason", "attempt"),
    *("resolution", "note", "other"),
)
ODD: list[Any] = [
    *(None, True, 0, -1, 51, 10**30, 1.5, Decimal("1.5"), "", "x", "x" * 600, "a\nb", "MARKED"),
    *([], {}, [1], {"allow": []}, {"allow": ["x"] * 51}, {"deny": [1]}, {"allow": "x"}, {"deny": {}}),
    *({"allow": None}, {"allow": ["kraken"], "deny": ["kraken"]}, {"only": ["kraken"]}),
]
THEIRS = re.compile(
    r"input|should|valid|\bitems?\b|instance|\bList\b|\bString\b|\bBoolean\b|dictionary|\{|another value"
)


@pytest.mark.parametrize("name", PARSERS)
def test_every_field_error_is_said_in_our_words(name: str) -> None:
    parse, sound = PARSERS[name]
    said = set()
    for field in FIELDS:
        for odd in ODD:
            try:
                parse(sound | {field: odd})
            except ProblemError as caught:
                said |= {error.expected for error in caught.problem.errors}
    assert len(said) >= 6
    assert [words for words in said if THEIRS.search(words)] == []
    assert not any("MARKED" in words for words in said)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("route", {"venues": {"allow": []}}, "a list of 1 or more"),
        ("route", {"venues": {"deny": ["x"] * 51}}, "a list of 50 at most"),
        ("route", {"max_legs": 0}, "1 or more"),
        ("route", {"max_legs": 51}, "50 or less"),
        ("execute", {"dry_run": 1}, "true or false"),
        ("switch", {"reason": "x" * 201}, "200 characters at most"),
        ("review", {"note": "x" * 501}, "500 characters at most"),
    ],
)
def test_a_bound_is_named(name: str, change: dict[str, Any], expected: str) -> None:
    parse, sound = PARSERS[name]
    with pytest.raises(ProblemError) as caught:
        parse(sound | change)
    [error] = caught.value.problem.errors
    assert error.expected == expected


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_body_that_is_no_object_is_named_too(name: str, body: Any) -> None:
    with pytest.raises(ProblemError) as caught:
        PARSERS[name][0](body)
    problem = caught.value.problem
    assert problem.kind in {Kind.INVALID, Kind.INVALID_REQUEST}
    assert [(e.field, e.expected) for e in problem.errors] == [("body", "a JSON object")]
