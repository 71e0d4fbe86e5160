"""One venue's side of a book as integers, walked only as far as an order can reach.

Prices are integers in units of 10^-price_places, sizes in units of 10^-size_places, so that every
sum and product in the allocation is exact and quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sor_core.domain.book import RawLevel
from sor_core.domain.order import Side

FINEST_PLACES = 18
"""Decimal places kept when a venue shows levels finer than its own tick and lot. No listed market
needs more; a level finer still is malformed."""

_LONGEST_NUMBER = 40
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

    prices: tuple[int, ...]
    sizes: tuple[int, ...]
    depth: int
    """Sum of `sizes`."""
    capped: bool
    """True if the next level exists but lies beyond the price cap."""


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
    sign = side.sign
    prices: list[int] = []
    sizes: list[int] = []
    depth = notional = previous = 0
    price_places, size_places = scale.price_places, scale.size_places
    try:
        for level in levels:
            price, size = scaled_int(level[0], price_places), scaled_int(level[1], size_places)
            if price <= 0:
                raise MalformedBookError("a price is not positive")
            if previous and (price - previous) * sign < 0:
                raise MalformedBookError("levels out of order")
            previous = price
            if cap is not None and (price - cap) * sign > 0:
                return Ladder(tuple(prices), tuple(sizes), depth, capped=True)
            if size == 0:
                continue
            prices.append(price)
            sizes.append(size)
            depth += size
            notional += size * price
            if (enough_size is not None and depth >= enough_size) or (
                enough_notional is not None and notional >= enough_notional
            ):
                break
    except (IndexError, TypeError, KeyError) as error:
        raise MalformedBookError("a level is not [price, size]") from error
    return Ladder(tuple(prices), tuple(sizes), depth, capped=False)


def touch(levels: Sequence[RawLevel]) -> Decimal:
    """Best price of a side with levels.

    Raises
    ------
    MalformedBookError
        If the first level is not a positive plain decimal.
    """
    scale = Scale(FINEST_PLACES, FINEST_PLACES)
    try:
        ladder = walk(levels[:1], Side.BUY, scale, cap=None, enough_size=None, enough_notional=None)
    except FinerThanScaleError as error:
        raise MalformedBookError(f"finer than {FINEST_PLACES} decimal places") from error
    if not ladder.prices:
        raise MalformedBookError("the best level is empty")
    return scale.to_price(ladder.prices[0])
