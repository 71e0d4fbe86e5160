"""``sor watch`` against a small HTTP server with real receipts: what it asks, shows and survives."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli.consolidated import Level, ladder, side_of
from cli.exits import Code
from cli.keys import Key
from cli.poll import ALL_OF_IT
from sor_core.domain.decision import Decision
from sor_core.domain.market import Exclusion, VenueMarket
from sor_core.domain.order import Side
from sor_core.routing.decide import decide
from sor_core.routing.receipt import make_receipt
from tests.fakes.markets import NOW_MS, POLICY, instrument, levels, market, order
from tests.unit.cli_server import NOWHERE, Request, Server, run, serving

ROOT = Path(__file__).parents[2]
VENUE = {"is_healthy": True, "health_score": 0.99, "latency_ms": 12.5, "success_rate": 1.0, "age_s": 3.0}
CLOSED = {"state": "closed", "since": 1, "why": ""}
STATUS = {
    "exchanges": {
        "alpha": {**VENUE, "breakers": {"market_data": CLOSED, "trading": CLOSED}},
        "beta": {**VENUE, "is_healthy": False, "breakers": {"market_data": {**CLOSED, "state": "open"}}},
        "gamma": {"is_healthy": True, "breakers": None},
    }
}


def markets() -> list[VenueMarket]:
    return [
        market(
            "alpha", asks=levels(("100.1", "1"), ("100.2", "2")), bids=levels(("99.9", "3")), fee_bps="10"
        ),
        market(
            "beta", asks=levels(("100.05", "4"), ("100.15", "5")), bids=levels(("99.8", "6")), fee_bps="25"
        ),
        market("gamma", age_ms=60_000),
    ]


def decided(seen: Sequence[VenueMarket], side: Side, within_bps: str) -> dict[str, Any] | None:
    """The receipt of the route that `watch` asks for; None where nothing stands within the limit."""
    failed = [Exclusion("delta", "timeout")]
    price = "100000000000000000" if side is Side.BUY else "0.000000000000000001"
    asked = order(ALL_OF_IT, side=side, price=price, max_slippage_bps=within_bps)
    decision = decide(asked, seen, failed, POLICY, NOW_MS)
    if not isinstance(decision, Decision):
        return None
    return make_receipt(asked, seen, failed, POLICY, decision, "d", "v")


def receipt_of(seen: Sequence[VenueMarket], side: Side) -> dict[str, Any]:
    receipt = decided(seen, side, "100")
    assert receipt is not None
    return receipt


def route_answer(side: Side, amount: str) -> dict[str, Any]:
    return {
        "allocations": [{"venue": "alpha", "amount": amount}],
        "amount": amount,
        "expected_price": "100.1",
        "total_cost_bps": "12.5",
        "remaining_amount": "0" if side is Side.BUY else "0.5",
        "excluded": [{"venue": "delta", "why": "timeout"}, {"venue": "gamma", "why": "stale_book"}],
        "receipt": receipt_of(markets(), side),
    }


Refusal = tuple[int, object, dict[str, str]]
"""Status, body, headers."""


@dataclass
class Stack:
    """The API as far as `watch` asks it; some paths may be refused."""

    server: Server
    refused: dict[str, Refusal] = field(default_factory=dict)

    def reply(self, request: Request) -> None:
        path = request.path.split("?")[0]
        if path in self.refused:
            status, body, headers = self.refused[path]
            self.server.answers(body, status, **headers)
        elif path == "/api/exchanges/status":
            self.server.answers(STATUS)
        elif path == "/api/trading":
            self.server.answers({"mode": "halted", "reason": "incident 7"})
        else:
            body = request.body
            self.server.answers(route_answer(Side(body["side"]), body["amount"]))


@pytest.fixture
def stack() -> Iterator[Stack]:
    with serving() as server:
        made = Stack(server)
        server.reply = made.reply
        yield made


def watch(stack: Stack, *arguments: str) -> Result:
    return run("watch", *arguments, url=stack.server.url)


def test_a_look_shows_venues_books_and_their_depth_and_never_executes(stack: Stack) -> None:
    result = watch(stack, "BTC/USDT", "--once", "--amount", "0.5", "--within-bps", "20")

    assert result.exit_code == Code.DONE, result.output
    text = result.stdout
    assert "trading halted (incident 7)" in text
    assert re.search(r"^alpha +healthy +0.99 +12.5 .* closed +closed", text, re.MULTILINE)
    assert re.search(r"^beta +out .* open ", text, re.MULTILINE)
    assert re.search(r"^beta +25 +99.8 +100.05 +99.5505 +100.300125 +0 +-$", text, re.MULTILINE)
    assert re.search(r"^delta( +-){6} +timeout$", text, re.MULTILINE)
    assert re.search(r"^gamma( +-){6} +stale_book$", text, re.MULTILINE)
    assert "within 20 bps of the mid" in text
    assert "levels seen, asks/bids: alpha 2/1, beta 2/1" in text
    assert "buy 0.5: alpha 0.5; at 100.1, 12.5 bps with fees\n" in text
    assert "sell 0.5: alpha 0.5; at 100.1, 12.5 bps with fees; only 0.5 within the limit" in text
    asked = [(sent.method, sent.path) for sent in stack.server.seen]
    assert set(asked) == {
        ("GET", "/api/exchanges/status"),
        ("GET", "/api/trading"),
        ("POST", "/api/route?receipt=true"),
        ("POST", "/api/route"),
    }
    assert {sent.body["max_slippage_bps"] for sent in stack.server.seen if sent.body} == {"20"}


def test_without_a_symbol_the_venues_alone(stack: Stack) -> None:
    result = watch(stack, "--once")

    assert result.exit_code == Code.DONE
    assert "consolidated" not in result.stdout
    assert all("route" not in sent.path for sent in stack.server.seen)


def test_json_is_one_line_a_look_with_every_digit(stack: Stack) -> None:
    result = watch(stack, "BTC/USDT", "--once", "--json")

    (line,) = result.stdout.splitlines()
    frame = json.loads(line, parse_float=Decimal)
    assert frame["status"] == json.loads(json.dumps(STATUS), parse_float=Decimal)
    assert frame["trading"]["mode"] == "halted"
    assert frame["problems"] == {}
    best = frame["asks"]["levels"][0]
    assert best == {
        "all_in_price": Decimal("100.2001"),
        "price": Decimal("100.1"),
        "size": 1,
        "venue": "alpha",
    }
    assert frame["asks"]["complete_to"] == Decimal("100.3002")
    assert [level["venue"] for level in frame["asks"]["levels"]] == ["alpha", "beta", "alpha"]
    assert frame["bids"]["venues"][1]["best_bid"] == Decimal("99.8")


def test_an_api_that_is_not_there_is_an_exit_code_and_still_a_frame() -> None:
    shown = run("watch", "--once", url=NOWHERE)
    told = run("watch", "--once", "--json", url=NOWHERE)

    assert (shown.exit_code, told.exit_code) == (Code.UNAVAILABLE, Code.UNAVAILABLE)
    assert "gave no answer" in shown.stdout
    assert "gave no answer" in json.loads(told.stdout)["problems"]["status"]


def test_a_symbol_that_is_refused_ends_the_first_look(stack: Stack) -> None:
    stack.refused["/api/route"] = (422, {"title": "No venue lists the symbol", "status": 422}, {})

    for arguments in (("--once",), ()):
        result = watch(stack, "BTC/USDT", *arguments)

        assert result.exit_code == Code.REFUSED
        assert "No venue lists the symbol (422)" in result.stderr


def test_who_may_not_see_the_switch_sees_the_rest(stack: Stack) -> None:
    stack.refused["/api/trading"] = (403, {"message": "not authorized"}, {})

    result = watch(stack, "BTC/USDT", "--once")

    assert result.exit_code == Code.DONE
    assert "trading: not authorized (403)" in result.stdout
    assert "consolidated" in result.stdout


@dataclass
class Waits:
    """Stands for the keyboard: runs a step of the test at each wait, and quits after the last."""

    steps: list[Any]
    seconds: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> Key:
        self.seconds.append(seconds)
        if not self.steps:
            return Key.QUIT
        self.steps.pop(0)()
        return Key.NONE


def watched(monkeypatch: pytest.MonkeyPatch, stack: Stack, *steps: Any) -> tuple[Result, list[float]]:
    waits = Waits(list(steps))

    @contextmanager
    def keys() -> Iterator[Waits]:
        yield waits

    monkeypatch.setattr("cli.watch.keys", keys)
    return watch(stack, "BTC/USDT", "--every", "2", "--json"), waits.seconds


def test_it_survives_what_goes_and_comes_back(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Refusal = (502, "<html>", {})
    gone: Refusal = (503, {"title": "No venue can take the order now", "detail": "all late"}, {})
    result, seconds = watched(
        monkeypatch,
        stack,
        lambda: stack.refused.update({"/api/exchanges/status": broken}),
        lambda: stack.refused.update({"/api/exchanges/status": (200, STATUS, {}), "/api/route": gone}),
        stack.refused.clear,
    )

    frames = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, seconds) == (Code.DONE, [2, 2, 2, 2])
    assert [list(frame["problems"]) for frame in frames] == [[], ["status"], ["asks", "bids"], []]
    assert "all late" in frames[2]["problems"]["asks"]
    assert [frame["asks"] is None for frame in frames] == [False, True, True, False]
    assert frames[1]["trading"] is None  # not asked any more once the API is not there


def test_it_backs_off_when_throttled(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def throttle(**headers: str) -> None:
        stack.refused["/api/exchanges/status"] = (429, {"message": "Too Many Requests"}, headers)

    throttle()
    retry = {"Retry-After": "17"}
    result, seconds = watched(
        monkeypatch, stack, *[lambda: None] * 5, lambda: throttle(**retry), stack.refused.clear, lambda: None
    )

    assert result.exit_code == Code.DONE
    assert seconds == [4, 8, 16, 32, 60, 60, 17, 2, 2]
    assert len(stack.server.seen) == 7 + 2 * 4  # one request a look while it throttles


# The terminal ----------------------------------------------------------------------------------------


def in_a_terminal(url: str, keys: bytes | int) -> tuple[int, str, bool]:
    """Run it in a terminal, end it once a frame is there; exit code, output, terminal as before."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    environment = {**os.environ, "PYTHONPATH": "layers/sor_core", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "cli", "watch", "BTC/USDT", "--url", url, "--every", "60"],
        cwd=ROOT,
        env=environment | {"COLUMNS": "100", "LINES": "50"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    output, sent, deadline = b"", False, time.monotonic() + 20
    while time.monotonic() < deadline and (process.poll() is None or select.select([master], [], [], 0)[0]):
        if select.select([master], [], [], 0.05)[0]:
            output += os.read(master, 65536)
        if not sent and b"q ends" in output:
            sent = True
            if isinstance(keys, bytes):
                os.write(master, keys)
            else:
                process.send_signal(keys)
    code = process.wait(5)
    restored = termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
    return code, output.decode(), restored


@pytest.mark.skipif(sys.platform != "linux", reason="wants a pseudo-terminal")
@pytest.mark.parametrize("end", [b"q", signal.SIGINT], ids=["q", "ctrl-c"])
def test_in_a_terminal_it_ends_cleanly_with_the_last_frame_left(stack: Stack, end: bytes | int) -> None:
    code, output, restored = in_a_terminal(stack.server.url, end)

    assert (code, restored) == (Code.DONE, True), output
    left = output.rpartition("\x1b[?1049l")[2]
    assert "consolidated" in left
    assert "q ends" not in left
    assert "Traceback" not in output
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", output)  # NO_COLOR


# The consolidated book ---------------------------------------------------------------------------------

Quotes = Mapping[str, tuple[int, Sequence[tuple[int, int]], Sequence[tuple[int, int]]]]
_SIDE = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=40)
_VENUES = st.dictionaries(
    st.sampled_from(["alpha", "beta", "gamma"]), st.tuples(st.integers(0, 30), _SIDE, _SIDE), min_size=1
)


def built(quotes: Quotes) -> list[VenueMarket]:
    """Markets around 1000, each venue's sides in order, from steps away from the mid and sizes."""
    made = []
    for venue, (fee, above, below) in quotes.items():
        asks = sorted({1000 + off: size for off, size in above}.items())
        bids = sorted({1000 - off: size for off, size in below}.items(), reverse=True)
        rules = instrument(venue, lot="1", tick=Decimal(1))
        made.append(market(venue, asks=levels(*asks), bids=levels(*bids), fee_bps=str(fee), rules=rules))
    return made


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_VENUES, st.sampled_from(list(Side)), st.integers(2, 12), st.sampled_from(["50", "200", "2000"]))
def test_up_to_where_it_says_the_book_is_that_of_all_venues_whole(
    quotes: Quotes, side: Side, rows: int, within_bps: str
) -> None:
    seen = built(quotes)
    receipt = decided(seen, side, within_bps)
    assume(receipt is not None)
    assert receipt is not None
    book = side_of(receipt)
    taking = {venue.venue for venue in book.venues}
    left_out = {e["venue"] for e in receipt["result"]["excluded"] if e["why"] == "malformed_book"}
    assert taking | left_out == {*quotes}
    whole = []
    for one in (one for one in seen if one.venue in taking):
        factor = 1 + side.sign * one.fees.taker_fee_bps / 10_000
        for price, size in one.book.asks if side is Side.BUY else one.book.bids:
            if size != "0":
                whole.append(
                    Level(Decimal(str(price)) * factor, Decimal(str(price)), Decimal(str(size)), one.venue)
                )
    within = [level for level in whole if (level.all_in_price - book.complete_to) * side.sign <= 0]

    assert sorted(book.levels, key=repr) == sorted(within, key=repr)
    costs = [level.all_in_price * side.sign for level in book.levels]
    assert costs == sorted(costs)

    rungs = ladder(book, rows)
    assert 1 <= len(rungs) <= rows
    assert rungs[-1].cumulative == sum(level.size for level in book.levels)
    assert sum(sum(rung.sizes.values()) for rung in rungs) == rungs[-1].cumulative
    prices = [rung.price * side.sign for rung in rungs]
    assert prices == sorted(set(prices))
    averages = [rung.cost_bps for rung in rungs]
    assert averages == sorted(averages)


def test_a_book_that_ends_in_rubbish_is_told_as_far_as_it_is_sound() -> None:
    document = receipt_of(markets(), Side.BUY)
    document["inputs"]["venues"][1]["book"]["asks"]["prefix"][1] = ["free"]

    book = side_of(document)

    assert book.complete_to == Decimal("100.300125")  # beta's first level, with its fee
    assert [level.venue for level in book.levels] == ["alpha", "beta"]
