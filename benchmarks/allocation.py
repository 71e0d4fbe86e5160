"""Measure how long a decision takes, beside parsing the same books.

    PYTHONPATH=layers/sor_core python -m benchmarks.allocation

For 3, 10 and 30 venues with 1000 and 5000 levels a side, in the formats of Binance, Coinbase and Kraken
in turn: the time of `json.loads` on the venues' answers, of our adapters' reading them, and of
`sor_core.routing.decide` on what was read, for a small order (0.5) and for one that sweeps a third of
all the depth, with lots and minimums of the venues' kinds. Median and 99th percentile over the rounds,
the garbage collector held off as services/undisturbed.py does (``--gc`` leaves it on).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from benchmarks.books import NOW_MS, make_bodies
from benchmarks.bytes_to_decision import POLICY, Ours, orders
from sor_core.domain.decision import Decision
from sor_core.domain.market import VenueMarket
from sor_core.routing.decide import decide


class Venues:
    """So many venues' answers: the three formats in turn, no book twice."""

    def __init__(self, count: int, levels: int) -> None:
        threes = [make_bodies(levels, seed) for seed in range(0, count, 3)]
        kept = [dict(list(three.items())[: count - 3 * n]) for n, three in enumerate(threes)]
        self.bodies = list(chain.from_iterable(three.values() for three in kept))
        self._readers = [Ours.over(three, levels) for three in kept]

    def read(self) -> list[VenueMarket]:
        """Read all with our adapters."""
        return list(chain.from_iterable(reader.markets() for reader in self._readers))

    def markets(self) -> list[VenueMarket]:
        """What was read, each under a name of its own."""
        named = []
        for number, market in enumerate(self.read()):
            venue = f"venue{number:02}"
            book = replace(market.book, venue=venue)
            rules = replace(market.instrument, venue=venue)
            named.append(replace(market, venue=venue, book=book, instrument=rules))
        return named


def timed_ms(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of `rounds` runs."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def row(count: int, levels: int, rounds: int) -> Sequence[str]:
    """Measure one size of market."""
    venues = Venues(count, levels)
    markets = venues.markets()
    parsed, _ = timed_ms(lambda: [json.loads(body) for body in venues.bodies], rounds)
    read, _ = timed_ms(venues.read, rounds)
    cells = [str(count), str(levels), f"{parsed:.2f}", f"{read:.2f}"]
    for order in orders(markets).values():
        decision = decide(order, markets, [], POLICY, NOW_MS)
        if not isinstance(decision, Decision) or decision.optimality_gap_bps:
            raise SystemExit(f"no proven decision for {order}: {decision}")
        median, p99 = timed_ms(partial(decide, order, markets, [], POLICY, NOW_MS), rounds)
        cells += [f"{median:.2f}", f"{p99:.2f}", f"{median / parsed:.2f}", str(len(decision.legs))]
    return cells


def main() -> None:
    """Print one row a market."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--gc", action="store_true")
    options = parser.parse_args()
    order = "median ms | p99 ms | x json.loads | legs"
    print(f"| venues | levels | json.loads ms | read ms | small: {order} | sweep: {order} |")
    print("|" + "---|" * 12)
    if not options.gc:
        gc.disable()
    for venues in (3, 10, 30):
        for levels in (1000, 5000):
            print("| " + " | ".join(row(venues, levels, options.rounds)) + " |", flush=True)
            gc.collect()


if __name__ == "__main__":
    main()
