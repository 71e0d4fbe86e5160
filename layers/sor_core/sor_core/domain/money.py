"""Exact decimal arithmetic for money, price and quantity.

Everything that is paid, bought or sold is a `Decimal` that came from a string. The default
decimal context keeps 28 digits and rounds silently; sums and products of venue numbers can need
more, so calculations run in `exact()`, whose precision no admissible input can exhaust.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext

BPS = Decimal(10_000)
"""Basis points in one."""

_PLAIN = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)

_EXACT = Context(prec=200)


@contextmanager
def exact() -> Iterator[None]:
    """Run a block with enough decimal precision that sums and products do not round."""
    with localcontext(_EXACT):
        yield


def decimal_from_wire(text: object) -> Decimal:
    """Read a venue's number: a plain, non-negative decimal string such as ``"61824.00000000"``.

    Parameters
    ----------
    text
        What stood in the venue's answer. Anything but a plain decimal string (or an ``int``) is
        refused: exponents, signs, NaN, infinities, white space.

    Raises
    ------
    ValueError
        If it is not a plain non-negative decimal.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        msg = f"not a plain non-negative decimal: {str(text)[:40]!r}"
        raise ValueError(msg)
    return Decimal(text)


def plain(value: Decimal) -> str:
    """Write a decimal without exponent and without trailing zeros: ``"0.00001"``, ``"100"``."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round down to a multiple of `step` (> 0): a quantity to its lot, a bid to its tick."""
    with exact():
        return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def ceil_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round up to a multiple of `step` (> 0)."""
    with exact():
        return (value / step).to_integral_value(rounding=ROUND_CEILING) * step


def round_significant(value: Decimal, digits: int) -> Decimal:
    """Round half-even to `digits` significant digits: for averages and ratios, never for sums."""
    return Context(prec=digits).plus(value)
