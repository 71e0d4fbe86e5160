"""JSON at the edge: numbers stay exact both ways."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from sor_core.domain.money import plain


class NotJsonError(ValueError):
    """The body is not a JSON document that can be used."""


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:  # an exponent beyond any number
        raise NotJsonError("a number out of range") from error


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_number)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def loads(body: bytes | str) -> Any:
    """Read a document; fractions become `Decimal`, never float. Raises `NotJsonError`."""
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise NotJsonError(str(error)) from error
    except RecursionError as error:
        raise NotJsonError("nested too deeply") from error


def dumps(document: object) -> str:
    """Write a document of plain values; a `Decimal` becomes a JSON number with all its digits."""
    return _ENCODER.encode(document).decode()


def number(value: Decimal) -> Decimal:
    """The same value without exponent or trailing zeros, where that is shorter to read."""
    return Decimal(plain(value))
