"""From the bytes of three venues' books to a finished decision, beside reading the same bytes otherwise.

    PYTHONPATH=layers/sor_core python -m benchmarks.bytes_to_decision

Bodies in the formats of Binance (*Order book*), Coinbase (*Get Public Product Book*) and Kraken (*Get
Order Book*), with irregular books, go through our adapters into `routing.decide`, for a small order
(0.5) and for one that takes a third of all the depth. Against `json.loads` of the same bytes, and
against ccxt: its exchanges' own parsing, as its `fetch_order_book` does it once the text is there,
and a plain merge of the three books that walks the order (ccxt_router.py, a process of its own). In
turn, by processor time.

The garbage collector is on, as in Lambda, and passes over what is there before the first round, as
after a function's first event; our decision holds it off for itself. Both are services/undisturbed.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from benchmarks.books import FEES_BPS, NOW_MS, make_bodies
from benchmarks.measuring import Elsewhere, Row, at_least, at_most, interleaved, table
from sor_core.adapters.http import Answer, VenueHttp
from sor_core.adapters.venues.registry import VENUES
from sor_core.domain.decision import Decision
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.domain.market import BookSource, VenueMarket
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.ports import VenueMarketData
from sor_core.routing.decide import decide
from sor_core.services.undisturbed import settle, undisturbed
from sor_core.settings import Settings

BTC_USDT = Symbol("BTC", "USDT")
POLICY = Settings.from_env({}).policy
LEVELS = (1000, 5000)
ROUNDS = 100
MOST_X_PARSING = 1.5
LEAST_X_CCXT = 5.0
CCXT = "ccxt with orjson" if find_spec("orjson") else "ccxt"
"""It uses the faster parser where that is installed."""
LOTS = {"binance": "0.00001", "coinbase": "0.00000001", "kraken": "0.00000001"}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Received:
    """A `VenueHttp` whose answer is here already."""

    answer: Answer

    async def get(self, _path: str, **_asked: object) -> Answer:
        return self.answer


def finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that waits for nothing, without a loop's own time."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("_T", end.value)
    raise RuntimeError("it waited")


@dataclass(frozen=True, slots=True)
class Ours:
    """Our adapters and our decision over given bytes."""

    adapters: Mapping[str, VenueMarketData]
    depth: int

    @classmethod
    def over(cls, bodies: Mapping[str, bytes], depth: int) -> Ours:
        """Make the registry's adapters, each with its body as the answer to whatever it asks."""
        answers = {venue: Answer(200, {}, body, NOW_MS, 20.0) for venue, body in bodies.items()}
        return cls(
            {v: VENUES[v].market_data(cast("VenueHttp", _Received(a))) for v, a in answers.items()}, depth
        )

    def markets(self) -> list[VenueMarket]:
        """Read the bytes."""
        markets = []
        for venue, adapter in self.adapters.items():
            book = finished(adapter.book(BTC_USDT, depth=self.depth, timeout_s=1.0))
            lot = Decimal(LOTS[venue])
            rules = Instrument(
                venue, BTC_USDT, "", Decimal("0.01"), lot, lot, None, Decimal(5), None, TradingStatus.TRADING
            )
            fees = FeeRates(Decimal(FEES_BPS[venue]), Decimal(5), "default")
            markets.append(VenueMarket(venue, book, BookSource.VENUE, rules, fees, None))
        return markets

    def decision(self, order: Order) -> Decision:
        """Read the bytes and decide; as services/route.py does it."""
        markets = self.markets()
        with undisturbed():
            decision = decide(order, markets, [], POLICY, NOW_MS)
        if not isinstance(decision, Decision) or decision.optimality_gap_bps:
            raise SystemExit(f"no proven decision for {order}: {decision}")
        return decision


@contextmanager
def ccxt_router(levels: int) -> Iterator[Callable[[str], Elsewhere]]:
    """Run `benchmarks.ccxt_router`; gives a function from an amount to the time that it took there."""
    command = [sys.executable, "-m", "benchmarks.ccxt_router", str(levels)]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None  # noqa: S101 - both are pipes
        assert answers is not None  # noqa: S101

        def walk(amount: str) -> Elsewhere:
            print(amount, file=asked, flush=True)
            return Elsewhere(json.loads(answers.readline())["taken_ms"])

        yield walk


def orders(markets: Sequence[VenueMarket]) -> dict[str, Order]:
    """Make a small order, and one that takes a third of what is offered."""
    small = Order(
        BTC_USDT,
        Side.BUY,
        OrderType.MARKET,
        Strategy.BEST_EXECUTION,
        Decimal("0.5"),
        None,
        None,
        Decimal(100),
    )
    asks = (level for market in markets for level in market.book.asks)
    depth = sum((Decimal(str(level[1])) for level in asks), Decimal(0))
    return {"small": small, "sweep": replace(small, amount=(depth / 3).quantize(Decimal("0.00001")))}


def rows_of(levels: int, rounds: int) -> list[Row]:
    """Measure books of one depth."""
    bodies = make_bodies(levels)
    ours = Ours.over(bodies, levels)
    asked = orders(ours.markets())
    works: dict[str, Callable[[], object]] = {
        "json.loads": lambda: [json.loads(body) for body in bodies.values()],
        "reading": ours.markets,
    }
    settle()
    with ccxt_router(levels) as walk:
        for name, order in asked.items():
            works[name] = partial(ours.decision, order)
            works[f"ccxt {name}"] = partial(walk, str(order.amount))
        timed = interleaved(works, rounds)
    parsing = timed["json.loads"]
    rows = [at_most(f"3 x {levels} levels: reading alone", timed["reading"], parsing, None, "json.loads")]
    for name, order in asked.items():
        what = f"3 x {levels} levels: bytes to decision, {order.amount} BTC"
        rows += [
            at_most(what, timed[name], parsing, MOST_X_PARSING, "json.loads"),
            at_least(what, timed[name], timed[f"ccxt {name}"], LEAST_X_CCXT, CCXT),
        ]
    return rows


def measure(rounds: int = ROUNDS, levels: Sequence[int] = LEVELS) -> list[Row]:
    """Measure all depths."""
    return [row for each in levels for row in rows_of(each, rounds)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--levels", type=int, nargs="+", default=LEVELS)
    options = parser.parse_args()
    print(table(measure(options.rounds, options.levels)))


if __name__ == "__main__":
    main()
