"""Measure how long a decision takes, beside parsing the same books.

    PYTHONPATH=layers/sor_core python -m benchmarks.allocation

For 3, 10 and 30 venues with 1000 and 5000 levels a side: the time of `json.loads` on the books'
bodies, and of `sor_core.routing.decide` on the parsed books for a small order (0.5) and for one that
sweeps a third of all the depth, with lots and minimums of the venues' kinds. Median and 99th
percentile over the rounds, the garbage collector held off as services/undisturbed.py does
(``--gc`` leaves it on).
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial

from sor_core.domain.book import Book
from sor_core.domain.decision import Decision
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.domain.market import BookSource, VenueMarket
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.routing.decide import decide
from sor_core.settings import Settings

BTC_USDT = Symbol("BTC", "USDT")
NOW_MS = 1_700_000_000_000
POLICY = Settings.from_env({}).policy
LOTS = ("0.00001", "0.00000001", "0.00000001")
FEES = ("10", "12", "11", "14", "10.5")


def body(rng: random.Random, levels: int) -> str:
    """One venue's book as JSON, irregular as real ones are: 10 bps a side, heavy-tailed sizes."""
    mid = 60_000 + rng.uniform(-3, 3)

    def side(sign: int) -> list[list[str]]:
        price, out = mid, []
        for _ in range(levels):
            price += sign * rng.expovariate(1 / 0.06 * levels / 1000)
            out.append([f"{price:.2f}", f"{min(5.0, rng.paretovariate(1.3) * 0.01):.5f}"])
        return out

    return json.dumps({"bids": side(-1), "asks": side(1)})


def market(number: int, text: str) -> VenueMarket:
    """Parse one venue's body and put its rules beside it."""
    parsed = json.loads(text)
    venue, lot = f"venue{number:02}", Decimal(LOTS[number % len(LOTS)])
    rules = Instrument(
        venue, BTC_USDT, "BTCUSDT", Decimal("0.01"), lot, lot, None, Decimal(5), None, TradingStatus.TRADING
    )
    fees = FeeRates(Decimal(FEES[number % len(FEES)]), Decimal(5), "default")
    book = Book(venue, BTC_USDT, parsed["bids"], parsed["asks"], NOW_MS, latency_ms=20.0 + number)
    return VenueMarket(venue, book, BookSource.VENUE, rules, fees, None)


def timed_ms(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of `rounds` runs."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def row(venues: int, levels: int, rounds: int) -> Sequence[str]:
    """Measure one size of market."""
    rng = random.Random(venues * levels)  # noqa: S311 - repeatable on purpose
    bodies = [body(rng, levels) for _ in range(venues)]
    markets = [market(n, text) for n, text in enumerate(bodies)]
    depth = sum((Decimal(str(level[1])) for m in markets for level in m.book.asks), Decimal(0))
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
    sweep = replace(small, amount=(depth / 3).quantize(Decimal("0.00001")))
    parse = timed_ms(lambda: [json.loads(text) for text in bodies], rounds)
    cells = [str(venues), str(levels), f"{parse[0]:.2f}"]
    for order in (small, sweep):
        decision = decide(order, markets, [], POLICY, NOW_MS)
        if not isinstance(decision, Decision) or decision.optimality_gap_bps:
            raise SystemExit(f"no proven decision for {order}: {decision}")
        median, p99 = timed_ms(partial(decide, order, markets, [], POLICY, NOW_MS), rounds)
        cells += [f"{median:.2f}", f"{p99:.2f}", f"{median / parse[0]:.2f}", str(len(decision.legs))]
    return cells


def main() -> None:
    """Print one row a market."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--gc", action="store_true")
    options = parser.parse_args()
    print("| venues | levels | parse ms | small: median ms | p99 ms | x parse | legs", end=" ")
    print("| sweep: median ms | p99 ms | x parse | legs |")
    print("|" + "---|" * 11)
    if not options.gc:
        gc.disable()
    for venues in (3, 10, 30):
        for levels in (1000, 5000):
            print("| " + " | ".join(row(venues, levels, options.rounds)) + " |", flush=True)
            gc.collect()


if __name__ == "__main__":
    main()
