"""One venue's side of a book as integers, walked only as far as an order can reach.

Prices are integers in units of 10^-price_places, sizes in units of 10^-size_places, so that every
sum and product in the allocation is exact and quick.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from operator import mul, neg, sub
from typing import cast

import msgspec

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side

FINEST_PLACES = 18
"""Decimal places kept when a venue shows levels finer than its own tick and lot. No listed market
needs more; a level finer still is malformed."""

FIRST_BLOCK = 16
"""Levels that `walk` converts at first."""

GROWTH = 8.0
"""How many times the levels before it a block of `walk` may have."""

_LONGEST_NUMBER = 40
_SHORT_NUMBERS = re.compile(r"(?:[^,]{1,18},)*+[^,]{1,18}")
"""15 digits, a point and an exponent of two characters: at most, so that no two have the same double."""
_ONLY_JSON = "- \t\r\n"
"""What may stand before a number in JSON, but not in a plain decimal."""
_PLACES_AT_ONCE = 9
"""With more, a common price would pass 2^53."""
_INTEGERS = msgspec.json.Decoder(list[int], strict=False)
_TENS: tuple[int, ...] = tuple(10**n for n in range(_LONGEST_NUMBER))


class MalformedBookError(ValueError):
    """A level that no venue's documentation allows: not a number, not positive, out of order."""


class FinerThanScaleError(Exception):
    """A level has more decimal places than the scale asked for: walk again with a finer scale."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Decimal places of the integers of a decision."""

    price_places: int
    size_places: int

    def price(self, value: Decimal) -> int:
        """Exact integer of a price; its places never exceed the scale's."""
        return _exact_int(value, self.price_places)

    def size(self, value: Decimal) -> int:
        """Exact integer of a size; its places never exceed the scale's."""
        return _exact_int(value, self.size_places)

    def to_price(self, value: int) -> Decimal:
        """The price an integer stands for."""
        return Decimal(value).scaleb(-self.price_places)

    def to_size(self, value: int) -> Decimal:
        """The size an integer stands for."""
        return Decimal(value).scaleb(-self.size_places)

    def to_notional(self, value: int) -> Decimal:
        """The quote amount that a price integer times a size integer stands for."""
        return Decimal(value).scaleb(-self.price_places - self.size_places)


def _exact_int(value: Decimal, places: int) -> int:
    scaled = value.scaleb(places)
    whole = int(scaled)
    if whole != scaled:
        raise FinerThanScaleError
    return whole


@lru_cache(maxsize=1024)  # ticks, lots and fees: the same few in every decision
def places_of(value: Decimal) -> int:
    """Decimal places a value needs: 0.001 -> 3, 100 -> 0."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def scaled_int(text: object, places: int) -> int:
    """Convert a venue's plain decimal string to an integer of 10^-places, exactly.

    Raises
    ------
    MalformedBookError
        If it is not a plain non-negative decimal string of at most 40 characters.
    FinerThanScaleError
        If it has more significant places than asked for.
    """
    if not isinstance(text, str) or len(text) > _LONGEST_NUMBER:
        msg = f"not a decimal string: {str(text)[:40]!r}"
        raise MalformedBookError(msg)
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii() and whole):
        msg = f"not a plain decimal: {text!r}"
        raise MalformedBookError(msg)
    missing = places - len(fraction)
    if missing >= 0:
        return int(digits) * _TENS[missing]
    if fraction[missing:].strip("0"):
        raise FinerThanScaleError
    return int(digits[:missing] or "0")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levels of one venue that an order can reach, best first."""

    values: Sequence[int]
    """The prices, negative for a sell, so that they ascend from the best to the worst."""
    ends: Sequence[int]
    """Sizes summed up to and with each level, from 0."""
    worths: Sequence[int]
    """Value times size summed likewise."""
    sign: int
    """1 for asks, -1 for bids."""
    capped: bool
    """True if the next level exists but lies beyond the price cap."""
    whole: bool
    """True if every level of the book within the price cap is here."""

    @property
    def prices(self) -> list[int]:
        """The price of every level."""
        return list(map(abs, self.values))

    @property
    def sizes(self) -> list[int]:
        """The size of every level."""
        return list(map(sub, self.ends[1:], self.ends))

    @property
    def depth(self) -> int:
        """The size of all levels together."""
        return self.ends[-1]

    def price(self, level: int) -> int:
        """The price of a level, by its number; negative numbers count from the worst."""
        return self.values[level] * self.sign

    def size(self, level: int) -> int:
        """The size of a level, by its number from 0."""
        return self.ends[level + 1] - self.ends[level]

    def last_level(self, size: int) -> int:
        """The number of the last level that `size` (1..`depth`) touches."""
        return bisect_left(self.ends, size, lo=1) - 1

    def notional(self, size: int) -> int:
        """What taking `size` (1..`depth`) from the best level on pays or brings, fees apart."""
        level = bisect_left(self.ends, size, lo=1) - 1
        return self.sign * (self.worths[level] + (size - self.ends[level]) * self.values[level])


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
        prices = _scaled_ints([level[0] for level in levels], scale.price_places)
        sizes = _scaled_ints([level[1] for level in levels], scale.size_places)
    except (IndexError, TypeError, KeyError):
        return None
    return None if prices is None or sizes is None else (prices, sizes)


def _scaled_ints(texts: list[object], places: int) -> list[int] | None:
    """`scaled_int` of many strings at once; None where one of them needs its own look."""
    strings = cast("list[str]", texts)  # where one is none: the TypeError that the caller expects
    kept = min(places, _PLACES_AT_ONCE)
    numbers = _read_at_once(strings, f"e{kept}")
    if numbers is None:  # too long perhaps, by zeros at the end: Binance writes eight decimals of all
        shorter = [text.rstrip("0") for text in strings if "." in text]
        numbers = _read_at_once(shorter, f"0e{kept}") if len(shorter) == len(strings) else None
    if numbers is None or kept == places:
        return numbers
    return [number * _TENS[places - kept] for number in numbers]


def _read_at_once(texts: Sequence[str], suffix: str) -> list[int] | None:
    """Integers of strings of which each is a plain decimal once the suffix, an exponent, is added.

    msgspec reads them all as one JSON list. It takes a number for an integer only if the double
    nearest to it is one, of at most 2^53. For numbers of at most 15 digits that is exact: no two of
    them have the same double. Only a whole number can have 16 here, and stands for itself.
    """
    joined = f"{suffix},".join(texts) + suffix
    if not _SHORT_NUMBERS.fullmatch(joined) or any(sign in joined for sign in _ONLY_JSON):
        return None
    try:
        numbers = _INTEGERS.decode(f"[{joined}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return numbers if len(numbers) == len(texts) else None


class _Taken:
    """The levels taken so far, and whether they are enough."""

    __slots__ = (
        "_cap",
        "_ends",
        "_enough_notional",
        "_enough_size",
        "_previous",
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
        return Ladder(self._values, self._ends, self._worths, self._sign, self.capped, whole)


def touch(levels: Sequence[RawLevel]) -> Decimal:
    """Best price of a side with levels.

    Raises
    ------
    MalformedBookError
        If the first level is not a positive plain decimal.
    """
    try:
        best = levels[0]
        price, size = scaled_int(best[0], FINEST_PLACES), scaled_int(best[1], FINEST_PLACES)
    except FinerThanScaleError as error:
        raise MalformedBookError(f"finer than {FINEST_PLACES} decimal places") from error
    except (IndexError, TypeError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    if price <= 0:
        raise MalformedBookError("a price is not positive")
    if not size:
        raise MalformedBookError("the best level is empty")
    return Decimal(price).scaleb(-FINEST_PLACES)
