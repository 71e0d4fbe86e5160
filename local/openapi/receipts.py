"""A receipt's schema, from the form by which `routing.verify` refuses what is none (docs/receipt.md)."""

from __future__ import annotations

from typing import Any

from local.openapi.forms import Schema, closed, listed, matching, nullable
from sor_core.routing import verify

_DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$"
_FLOAT = r"^-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?$"
_KINDS: dict[str, Schema] = {
    "text": {"type": "string"},
    "name": matching("^[A-Za-z0-9_.-]{1,64}$"),
    "symbol": matching("^[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}$"),
    "whole": {"type": "integer"},
    "flag": {"type": "boolean"},
    "decimal": matching(_DECIMAL),
    "float": matching(_FLOAT),
    "hash": matching("^[0-9a-f]{64}$"),
    "rest": matching("^([0-9a-f]{64})?$"),
}


def receipt() -> Schema:
    """The schema of a receipt."""
    schema = _schema(verify._RECEIPT)  # noqa: SLF001 - the only list of a receipt's fields
    schema["properties"]["format"] = {"const": verify.FORMAT}
    return {**schema, "description": "Everything that a decision was made from; see docs/receipt.md."}


def _schema(form: Any) -> Schema:
    """A form as `verify.check_form` reads it: a kind, [form] a list, (form,) a form or null, a dict."""
    match form:
        case str() if form.endswith("?"):
            return nullable(_KINDS[form.removesuffix("?")])
        case str():
            return _KINDS[form]
        case tuple():
            return nullable(_schema(form[0]))
        case list():
            return listed(_schema(form[0]))
        case dict() if ... in form:
            named = {name: _schema(each) for name, each in form.items() if name is not ...}
            return {**closed(named), "additionalProperties": _schema(form[...])}
        case dict():
            return closed({name: _schema(each) for name, each in form.items()})
        case _:
            raise TypeError(f"no form: {form!r}")
