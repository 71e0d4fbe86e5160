"""What a level is, and one venue's side of a book as integers.

Prices are integers in units of 10^-price_places, sizes in units of 10^-size_places, so that every
sum and product in the allocation is exact and quick.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import sub
from typing import cast

import msgspec

from sor_core.domain.book import RawLevel

FINEST_PLACES = 18
"""Decimal places kept when a venue shows levels finer than its own tick and lot. No listed market
needs more; a level finer still is malformed."""

_LONGEST_NUMBER = 40
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]*)?", re.ASCII)
_SHORT_NUMBERS = re.compile(r"(?:[^,]{1,18},)*+[^,]{1,18}")
"""15 digits, a point and an exponent of two characters: at most, so that no two have the same double."""
_EXACT_DOUBLES = 2**53
"""Every smaller integer has a double of its own."""
_ONLY_JSON = "- \t\r\n"
"""What may stand before a number in JSON, but not in a plain decimal."""
_NOT_PLAIN = _ONLY_JSON + "eE"
_PLACES_AT_ONCE = 9
"""With more, a common price would pass 2^53."""
_INTEGERS = msgspec.json.Decoder(list[int], strict=False)
_DOUBLES = msgspec.json.Decoder(list[float])
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


def scaled_ints(texts: list[object], places: int) -> list[int] | None:
    """`scaled_int` of many strings at once; None where one of them needs its own look."""
    strings = cast("list[str]", texts)  # where one is none: the TypeError that the caller expects
    kept = min(places, _PLACES_AT_ONCE)
    found = _read_at_once(strings, f"e{kept}")
    if found is None and max(map(len, strings)) <= _LONGEST_NUMBER:
        # Too long perhaps, by zeros at the end: Binance writes eight decimals of all.
        shorter = [text.rstrip("0") for text in strings if "." in text]
        found = _read_at_once(shorter, f"0e{kept}") if len(shorter) == len(strings) else None
    if found is None or (not kept and max(found) >= _EXACT_DOUBLES):
        return None
    return found if kept == places else [number * _TENS[places - kept] for number in found]


def _read_at_once(texts: Sequence[str], suffix: str) -> list[int] | None:
    """Integers of strings of which each is a plain decimal once the suffix, an exponent, is added.

    msgspec reads them all as one JSON list. It takes a number for an integer only if the double
    nearest to it is one, of at most 2^53. For numbers of at most 15 digits that is exact: no two of
    them have the same double. Only a whole number can have 16 here; with an exponent of 1 or more it
    is past 2^53, and with 0 exact below that.
    """
    joined = f"{suffix},".join(texts) + suffix
    if not _SHORT_NUMBERS.fullmatch(joined) or any(sign in joined for sign in _ONLY_JSON):
        return None
    try:
        found = _INTEGERS.decode(f"[{joined}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return found if len(found) == len(texts) else None


def numbers(texts: Sequence[object]) -> list[float]:
    """The doubles of plain decimal strings of any length: what is summed of levels, and not walked.

    Raises
    ------
    MalformedBookError
        If one of them is something else, or larger than any double.
    """
    strings = cast("Sequence[str]", texts)
    try:
        joined = ",".join(strings)
        found = _DOUBLES.decode(f"[{joined}]")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return [number(text) for text in texts]
    except TypeError as error:
        raise MalformedBookError("a price or size is no string") from error
    if len(found) == len(texts) and not any(sign in joined for sign in _NOT_PLAIN):
        return found
    return [number(text) for text in texts]


def number(text: object) -> float:
    """`numbers` of one."""
    if isinstance(text, str) and _PLAIN.fullmatch(text) and (found := float(text)) < math.inf:
        return found
    raise MalformedBookError(f"not a plain decimal: {str(text)[:40]!r}")


def priced(level: RawLevel) -> tuple[float, str]:
    """The price of a level, and its size as it stands.

    Raises
    ------
    MalformedBookError
        If it is no pair of strings, or the price no plain decimal.
    """
    try:
        price, size = level[0], level[1]
    except (IndexError, TypeError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    if not isinstance(size, str):
        raise MalformedBookError("a price or size is no string")
    return number(price), size


def plain_level(level: RawLevel) -> tuple[Decimal, Decimal] | None:
    """Price and size as `scaled_int` reads them, whatever their places; None for what is no level."""
    try:
        price, size = level[0], level[1]
    except (IndexError, TypeError, KeyError):
        return None
    for text in (price, size):
        if not isinstance(text, str) or len(text) > _LONGEST_NUMBER or not _PLAIN.fullmatch(text):
            return None
    return Decimal(str(price)), Decimal(str(size))


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
    read: int
    """Levels of the book walked, empty ones counted, one beyond the cap not."""

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
