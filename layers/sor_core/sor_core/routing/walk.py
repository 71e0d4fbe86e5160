"""A side of a book converted to integers, no further than an order can reach."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import mul, neg

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side
from sor_core.routing.ladder import Ladder, MalformedBookError, Scale, scaled_int, scaled_ints

FIRST_BLOCK = 16
"""Levels that `walk` converts at first."""

GROWTH = 8.0
"""How many times the levels before it a block of `walk` may have."""


def walk(
    levels: Sequence[RawLevel],
    side: Side,
    scale: Scale,
    *,
    cap: int | None,
    enough_size: int | None,
    enough_notional: int | None,
) -> Ladder:
    """Convert levels until the order is covered, the cap is passed or the book ends.

    Levels are converted in blocks, each as long as the sizes so far let expect, but never more than
    `GROWTH` times all before it: the work grows with the levels used, not with those given.

    Parameters
    ----------
    levels
        Asks for a buy, bids for a sell, best first, as the venue sent them.
    cap
        Worst admissible price (integer), None for none.
    enough_size, enough_notional
        Stop once the levels taken reach either.

    Raises
    ------
    MalformedBookError
        At the first level walked that is not a positive price with a size, or out of order.
    FinerThanScaleError
        At the first level finer than the scale.
    """
    taken = _Taken(side.sign, cap, enough_size, enough_notional)
    at, block = 0, FIRST_BLOCK
    while at < len(levels) and not taken.done:
        some = levels[at : at + block]
        columns = _columns(some, scale)
        if columns is None or not taken.add_block(*columns):
            taken.add_one_by_one(some, scale)
        at += block
        block = max(FIRST_BLOCK, int(at * min(GROWTH, taken.missing)))
    return taken.ladder()


def _columns(levels: Sequence[RawLevel], scale: Scale) -> tuple[list[int], list[int]] | None:
    """Prices and sizes as integers, converted at once; None where each level needs its own look."""
    try:
        prices = scaled_ints([level[0] for level in levels], scale.price_places)
        sizes = scaled_ints([level[1] for level in levels], scale.size_places)
    except (IndexError, TypeError, KeyError):
        return None
    return None if prices is None or sizes is None else (prices, sizes)


class _Taken:
    """The levels taken so far, and whether they are enough."""

    __slots__ = (
        "_cap",
        "_ends",
        "_enough_notional",
        "_enough_size",
        "_previous",
        "_read",
        "_sign",
        "_values",
        "_worths",
        "capped",
        "done",
    )

    def __init__(
        self, sign: int, cap: int | None, enough_size: int | None, enough_notional: int | None
    ) -> None:
        self._sign = sign
        self._cap = None if cap is None else cap * sign
        self._enough_size = enough_size
        self._enough_notional = enough_notional
        self._previous: int | None = None
        self._read = 0
        self._values: list[int] = []
        self._ends = [0]
        self._worths = [0]
        self.capped = False
        self.done = False

    @property
    def missing(self) -> float:
        """How many times what was taken is still to be taken."""
        missing = GROWTH
        if self._enough_size is not None:
            missing = min(missing, self._enough_size / max(1, self._ends[-1]) - 1)
        if self._enough_notional is not None:
            missing = min(missing, self._enough_notional / max(1, abs(self._worths[-1])) - 1)
        return missing

    def add_block(self, prices: list[int], sizes: list[int]) -> bool:
        """Take a block as far as it is needed; False, and nothing taken, if it is not a clean one."""
        values = prices if self._sign > 0 else list(map(neg, prices))
        if min(prices[0], prices[-1]) <= 0 or not all(sizes) or sorted(values) != values:
            return False
        if self._previous is not None and values[0] < self._previous:
            return False
        self._previous = values[-1]
        known = len(self._values)
        if self._cap is not None and values[-1] > self._cap:
            self.capped = self.done = True
            within = bisect_right(values, self._cap)
            values, sizes = values[:within], sizes[:within]
        self._values += values
        self._ends += accumulate(sizes, initial=self._ends.pop())
        self._worths += accumulate(map(mul, values, sizes), initial=self._worths.pop())
        self._end_where_enough(known)
        self._read += len(self._values) - known
        return True

    def _end_where_enough(self, known: int) -> None:
        stop = len(self._values) + 1
        if self._enough_size is not None:
            stop = bisect_left(self._ends, self._enough_size, lo=known + 1)
        if self._enough_notional is not None:
            enough = self._enough_notional
            stop = min(stop, bisect_left(self._worths, enough, lo=known + 1, key=abs))
        if stop <= len(self._values):
            del self._values[stop:], self._ends[stop + 1 :], self._worths[stop + 1 :]
            self.done, self.capped = True, False

    def add_one_by_one(self, levels: Sequence[RawLevel], scale: Scale) -> None:
        """Take a block level by level, as far as it is needed; raises what `walk` does."""
        try:
            for level in levels:
                price = scaled_int(level[0], scale.price_places)
                size = scaled_int(level[1], scale.size_places)
                value = price * self._sign
                if price <= 0:
                    raise MalformedBookError("a price is not positive")
                if self._previous is not None and value < self._previous:
                    raise MalformedBookError("levels out of order")
                self._previous = value
                if self._cap is not None and value > self._cap:
                    self.capped = self.done = True
                    return
                self._read += 1
                if size and self._take(value, size):
                    self.done = True
                    return
        except (IndexError, TypeError, KeyError) as error:
            raise MalformedBookError("a level is not [price, size]") from error

    def _take(self, value: int, size: int) -> bool:
        """Take a level; True if that is enough."""
        self._values.append(value)
        self._ends.append(self._ends[-1] + size)
        self._worths.append(self._worths[-1] + size * value)
        return (self._enough_size is not None and self._ends[-1] >= self._enough_size) or (
            self._enough_notional is not None and abs(self._worths[-1]) >= self._enough_notional
        )

    def ladder(self) -> Ladder:
        """What was taken."""
        whole = self.capped or not self.done
        return Ladder(self._values, self._ends, self._worths, self._sign, self.capped, whole, self._read)
