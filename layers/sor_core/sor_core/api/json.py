"""JSON at the edge: numbers stay exact both ways."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from sor_core.domain.money import plain


class NotJsonError(ValueError):
    """The body is not a JSON document that can be used."""


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any number: no field takes it
        return Decimal("Infinity")


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_number)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def loads(body: bytes | str) -> Any:
    """Read a document; fractions become `Decimal`, never float. Raises `NotJsonError`."""
    try:
        try:
            return _DECODER.decode(body)
        except msgspec.ValidationError:
            # So far JSON, but with a whole number of more digits than msgspec takes.
            return json.loads(body, parse_int=_number, parse_float=_number)
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: also broken Unicode
        raise NotJsonError(str(error)) from error
    except RecursionError as error:
        raise NotJsonError("nested too deeply") from error


def dumps(document: object) -> str:
    """Write a document of plain values; a `Decimal` becomes a JSON number with all its digits."""
    return _ENCODER.encode(document).decode()


def number(value: Decimal) -> Decimal:
    """The same value without trailing zeros."""
    return Decimal(plain(value))
