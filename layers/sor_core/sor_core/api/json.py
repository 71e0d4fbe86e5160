"""JSON at the edge: numbers stay exact both ways."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from sor_core.domain.money import plain

_AT_BYTE = re.compile(r"\(byte ([0-9]+)\)")


class NotJsonError(ValueError):
    """The body is not a JSON document that can be used."""


class RepeatedNameError(Exception):
    """An object of the document has a name twice; its text is the name, after those of what it stands in."""


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
        raise NotJsonError(_why(error)) from error
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error


def loads_once(body: bytes | str) -> Any:
    """Read a document of which no name is said twice; raises `NotJsonError`, `RepeatedNameError`.

    RFC 8259, section 4, leaves open which of two values counts, and msgspec takes the last: where money
    moves, neither will do. That it does not tell costs a second reading.
    """
    document = loads(body)
    try:
        try:
            # Numbers stay texts: of any length, and cheap.
            json.loads(body, parse_int=str, parse_float=str, object_pairs_hook=_once)
        except _TwiceError:
            pairs = json.loads(body, parse_int=str, parse_float=str, object_pairs_hook=_Pairs)
            raise RepeatedNameError(_repeated(pairs)) from None
    except ValueError as error:  # it is stricter than msgspec about control characters in texts
        raise NotJsonError(_why(error)) from error
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error
    return document


class _TwiceError(Exception):
    pass


class _Pairs(list[tuple[str, Any]]):
    """An object with all that it says."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) < len(pairs):
        raise _TwiceError


def _repeated(value: Any) -> str:
    """The path of the first name that an object says twice; empty where none does."""
    inner = value if isinstance(value, _Pairs) else enumerate(value) if isinstance(value, list) else ()
    seen = set()
    for name, member in inner:
        if name in seen:
            return str(name)
        seen.add(name)
        if found := _repeated(member):
            return f"{name}.{found}"
    return ""


def _why(error: Exception) -> str:
    """In our own words, for the libraries' are made for programmers."""
    if isinstance(error, UnicodeError) or "utf-8" in str(error).lower():
        return "it is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON at character {error.pos}"
    at = _AT_BYTE.search(str(error))
    return f"it is no JSON at byte {at[1]}" if at else "it ends too early"


def dumps(document: object) -> str:
    """Write a document of plain values; a `Decimal` becomes a JSON number with all its digits."""
    return _ENCODER.encode(document).decode()


def number(value: Decimal) -> Decimal:
    """The same value without trailing zeros."""
    return Decimal(plain(value))
