"""Exact decimal arithmetic: nothing that is paid or held is ever rounded in passing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_DOWN, ROUND_FLOOR, Context, Decimal, localcontext

ZERO = Decimal(0)
_EXACT = Context(prec=120)


@contextmanager
def exact() -> Iterator[None]:
    """Run a block with so many digits that products and sums of venue numbers do not round."""
    with localcontext(_EXACT):
        yield


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Round down to a multiple of `step`."""
    with exact():
        return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of steps."""
    with exact():
        return value % step == 0


def cut(value: Decimal, decimals: int | None) -> Decimal:
    """Drop what is beyond so many decimals; None keeps everything."""
    return value if decimals is None else value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)


def plain(value: Decimal) -> str:
    """Write a number without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals_of(step: Decimal) -> int:
    """How many decimals a number has, trailing zeros not counted."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
