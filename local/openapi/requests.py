"""What the API takes: the pydantic models' own schemas, and what their validators add to them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from local.openapi.forms import SYMBOL, Schema, matching, nullable, ref
from local.openapi.words import described
from sor_core.adapters.venues.registry import VENUES
from sor_core.api.execute import ExecuteBody, ReviewBody, SwitchBody
from sor_core.api.schemas import MOST_PLACES, MOST_WHOLE_DIGITS, RouteRequest

_NULL: Schema = {"type": "null"}
_WHOLE, _PLACES = f"{{1,{MOST_WHOLE_DIGITS}}}", f"{{1,{MOST_PLACES}}}"
_LONGEST_NUMBER = 64
_SIZES = ("amount", "quote_amount")
_LINE = r"\S"
"""At least something to read; that it is one printable line is said in words."""

PARTS: dict[str, Schema] = {
    "PositiveNumber": {
        "description": (
            "Above 0 and exact, as a number or as a decimal string without exponent; at most "
            f"{MOST_WHOLE_DIGITS} digits before the point and {MOST_PLACES} after it."
        ),
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**MOST_WHOLE_DIGITS},
            {
                "type": "string",
                "maxLength": _LONGEST_NUMBER,
                "pattern": rf"^(?=[0.]*[1-9])0*[0-9]{_WHOLE}(\.[0-9]{_PLACES})?$",
            },
        ],
    },
    "Symbol": {
        **matching(SYMBOL),
        "description": "BASE/QUOTE in common names, which differ from each other.",
    },
    "Venue": {"type": "string", "enum": list(VENUES)},
}


def schemas() -> dict[str, Schema]:
    """Every body that the API takes, by its name among the components."""
    return {
        **PARTS,
        "VenueChoice": _venue_choice(),
        **_orders("RouteRequest", RouteRequest),
        **_orders("ExecuteRequest", ExecuteBody),
        "SwitchRequest": _switch(),
        "ReviewRequest": _review(),
    }


def _of(model: type[BaseModel]) -> Schema:
    """A model's schema, with what has a name of its own referred to by it."""
    schema = model.model_json_schema()
    properties = {name: _property(name, form) for name, form in schema["properties"].items()}
    return {
        "type": "object",
        "additionalProperties": schema["additionalProperties"],
        "required": schema["required"],
        "properties": properties,
    }


def _property(name: str, form: Mapping[str, Any]) -> Schema:
    form = {key: deepcopy(value) for key, value in form.items() if key != "title"}
    if form.get("default", "") is None:
        del form["default"]
    choices = [choice for choice in form.get("anyOf", ()) if choice != _NULL]
    if {"type": "number"} in choices:
        return nullable(ref("PositiveNumber"))
    if name == "symbol":
        return ref("Symbol")
    if name == "venues":
        return nullable(ref("VenueChoice"))
    if name == "client_order_id":
        return nullable(matching("^[!-~]{1,64}$"))
    return form


def _orders(name: str, model: type[BaseModel]) -> dict[str, Schema]:
    """An order by type and size: which fields go together, said so that a generator can follow it."""
    base = described(_of(model), "### Request")
    if "time_in_force" in base["properties"]:
        base = described(base, "### What an order may say")
    kinds = {
        f"{name}{kind.capitalize()}{'ByQuote' if size == 'quote_amount' else ''}": _order(base, kind, size)
        for kind in ("market", "limit")
        for size in _SIZES
    }
    return {name: {"oneOf": [ref(kind) for kind in kinds]}, **kinds}


def _order(base: Schema, kind: str, size: str) -> Schema:
    order: Schema = deepcopy(base)
    properties = order["properties"]
    properties["type"] = {"const": kind, "description": properties["type"]["description"]}
    [other] = (each for each in _SIZES if each != size)
    needed = {size} | ({"price"} if kind == "limit" else set())
    for name in needed:
        properties[name] = {**ref("PositiveNumber"), "description": properties[name]["description"]}
        order["required"].append(name)
    order["required"].sort(key=list(properties).index)
    for name in {other, "price"} - needed:
        properties[name] = {**_NULL, "description": "Does not go with the other fields."}
    if "time_in_force" in properties and (kind, size) != ("limit", "amount"):
        properties["time_in_force"] = {**properties["time_in_force"], "enum": ["IOC"]}
    return order


def _venue_choice() -> Schema:
    names = {"type": "array", "items": ref("Venue"), "minItems": 1, "maxItems": 50}
    return {
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": False,
                "required": [chosen],
                "properties": {chosen: names, other: _NULL},
            }
            for chosen, other in (("allow", "deny"), ("deny", "allow"))
        ]
    }


def _switch() -> Schema:
    """A mode that is not `running` needs its reason."""
    base = _of(SwitchBody)
    reason = {"type": "string", "maxLength": 200, "pattern": _LINE, "description": "Why: one printable line."}
    modes = base["properties"]["mode"]["enum"]
    [free] = (mode for mode in modes if mode == "running")
    optional = {**base, "properties": {"mode": {"const": free}, "reason": nullable(reason)}}
    named = {"mode": {"enum": [mode for mode in modes if mode != free]}, "reason": reason}
    return {"oneOf": [optional, {**base, "required": ["mode", "reason"], "properties": named}]}


def _review() -> Schema:
    schema = described(_of(ReviewBody), "### POST /api/orders/{order_id}/review")
    schema["properties"]["note"]["pattern"] = _LINE
    return schema
