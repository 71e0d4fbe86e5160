"""Books made from a seed: the same seed and the same instant give the same book.

An asset's price in dollars wanders round an anchor; a symbol's mid is the ratio of its two assets,
so that crosses agree with each other; a venue strays a little from it. Resting levels stand at
fixed prices for a while and the mid moves through them, as in a real book.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from functools import lru_cache

from local.venues.books import SEQUENCES_A_MS, Level, Snapshot, Touch
from local.venues.markets import Listing
from local.venues.noise import mix, name_key, unit, wander

STEP_MS = 250
"""How long a generated book stands."""

_REST_STEPS = 40
"""Steps for which the resting levels keep their prices and sizes."""

ANCHORS_USD = {
    "BTC": 61_800.0,
    "ETH": 2_650.0,
    "SOL": 155.0,
    "EUR": 1.092,
    "USD": 1.0,
    "USDT": 1.0003,
    "USDC": 1.0,
}
"""What assets are worth on average, in dollars."""
_VOLATILITY_BPS = {"BTC": 0.7, "ETH": 0.9, "SOL": 1.2, "EUR": 0.05, "USDT": 0.004, "USDC": 0.002}
"""Price change in a second, by asset. Bitcoin's of 0.7 bps a root second is about 40 % a year."""

_SLOWEST_OCTAVES = 15
"""0.5 s doubled that often is four and a half hours: beyond that prices come back."""

_LARGEST_LEVEL = 250.0
"""Levels are at most so many times the median, or a heavy tail would now and then be absurd."""


@lru_cache(maxsize=65_536)
def price_usd(seed: int, asset: str, now_ms: int) -> float:
    """What an asset is worth in dollars at an instant."""
    volatility_bps = _VOLATILITY_BPS.get(asset, 0.0)
    if volatility_bps == 0.0:
        return ANCHORS_USD[asset]
    key = mix(seed, name_key(asset))
    moved_bps = volatility_bps * wander(key, now_ms / 1000.0, shortest_s=0.5, octaves=_SLOWEST_OCTAVES)
    return ANCHORS_USD[asset] * math.exp(moved_bps / 10_000.0)


class GeneratedBooks:
    """The generated books of one listing."""

    def __init__(self, seed: int, listing: Listing) -> None:
        self._seed = seed
        self._listing = listing
        self._key = mix(seed, name_key(listing.venue), name_key(listing.book_symbol))
        self._tick = float(listing.tick)
        self._size_step = max(listing.lot, listing.shape.size_step)
        self._resting = lru_cache(maxsize=2)(self._rest)
        self._touches = lru_cache(maxsize=4096)(self._touch_ticks)
        self._snapshots = lru_cache(maxsize=4)(self._build)

    def step_at(self, now_ms: int) -> int:
        """Number the step that `now_ms` falls in."""
        return now_ms // STEP_MS

    def step_started_ms(self, step: int) -> int:
        """When that step began, Unix milliseconds."""
        return step * STEP_MS

    def touch(self, step: int) -> Touch:
        """Best bid and ask in that step."""
        bid, ask = self._touches(step)
        return Touch(bid * self._listing.tick, ask * self._listing.tick)

    def snapshot(self, step: int) -> Snapshot:
        """The whole book of that step."""
        return self._snapshots(step)

    def _build(self, step: int) -> Snapshot:
        """The touch, then what rests beyond it."""
        best_bid, best_ask = self._touches(step)
        prices, sizes = self._resting(step // _REST_STEPS)
        depth = self._listing.shape.levels - 1
        below = bisect_left(prices, best_bid)
        above = bisect_left(prices, best_ask + 1)
        tick, lot = self._listing.tick, self._size_step
        bids = [Level(best_bid * tick, self._touch_size(step, 0) * lot)]
        bids += [
            Level(prices[i] * tick, sizes[i] * lot) for i in range(below - 1, max(below - depth, 0) - 1, -1)
        ]
        asks = [Level(best_ask * tick, self._touch_size(step, 1) * lot)]
        asks += [
            Level(prices[i] * tick, sizes[i] * lot) for i in range(above, min(above + depth, len(prices)))
        ]
        started_ms = self.step_started_ms(step)
        return Snapshot(bids, asks, changed_at_ms=started_ms, sequence=started_ms * SEQUENCES_A_MS)

    def _mid(self, now_ms: int) -> float:
        shared = price_usd(self._seed, self._listing.base, now_ms) / price_usd(
            self._seed, self._listing.book_symbol.partition("/")[2], now_ms
        )
        strays_bps = self._listing.shape.deviation_bps * wander(
            self._key, now_ms / 1000.0, shortest_s=1.0, octaves=4
        )
        return shared * math.exp(strays_bps / 10_000.0)

    def _touch_ticks(self, step: int) -> tuple[int, int]:
        mid_ticks = self._mid(self.step_started_ms(step)) / self._tick
        mean_ticks = mid_ticks * self._listing.shape.spread_bps / 10_000.0
        # Exponential, as spreads are: most near one tick, now and then several times the mean.
        spread = max(1, round(-mean_ticks * math.log(1.0 - unit(self._key, 11, step))))
        bid = max(1, math.floor(mid_ticks - spread / 2.0))
        return bid, bid + spread

    def _touch_size(self, step: int, side: int) -> int:
        draw = random.Random(mix(self._key, 13, step, side))
        return self._size_lots(draw, 4.0 * self._median_lots())

    def _anchor(self) -> float:
        """The market's price about which everything wanders."""
        base, _, quote = self._listing.book_symbol.partition("/")
        return ANCHORS_USD[base] / ANCHORS_USD[quote]

    def _median_lots(self) -> float:
        shape = self._listing.shape
        tick_bps = self._tick / self._anchor() * 10_000.0
        # Where the tick is coarse, a level holds what stands on several levels of a fine one.
        crowding = 1.0 + tick_bps / shape.gap_bps
        return shape.level_usd * crowding / ANCHORS_USD[self._listing.base] / float(self._size_step)

    @staticmethod
    def _size_lots(draw: random.Random, median_lots: float) -> int:
        return max(1, round(median_lots * min(draw.lognormvariate(0.0, 1.9), _LARGEST_LEVEL)))

    def _rest(self, era: int) -> tuple[list[int], list[int]]:
        """Prices (in ticks, ascending) and sizes (in lots) of what rests for one era."""
        start = self._touches(era * _REST_STEPS)[0]
        shape = self._listing.shape
        median_lots = self._median_lots()
        gap_ticks = start * shape.gap_bps / 10_000.0
        sides: list[list[tuple[int, int]]] = []
        for direction in (-1, 1):
            draw = random.Random(mix(self._key, 17, era, direction + 1))
            levels = []
            price = start
            # The mid may move towards this side while the levels stand: some more than are shown.
            for index in range(shape.levels + shape.levels // 4):
                mean_gap = gap_ticks * (1.0 + index / 600.0)
                price += direction * max(1, round(draw.expovariate(1.0) * mean_gap))
                if price <= 0:
                    break
                levels.append((price, self._size_lots(draw, median_lots)))
            sides.append(levels)
        ascending = [*reversed(sides[0]), *sides[1]]
        return [price for price, _ in ascending], [size for _, size in ascending]
