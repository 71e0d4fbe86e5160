"""Small pieces of JSON Schema (draft 2020-12, which OpenAPI 3.1 uses)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

Schema = dict[str, Any]

ID = "^[0-9a-f]{32}$"
SYMBOL = "^[A-Z0-9]{2,15}/[A-Z0-9]{2,15}$"
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
NOT_NEGATIVE: Schema = {"type": "number", "minimum": 0}
POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
SCORE: Schema = {"type": "number", "minimum": 0, "maximum": 10}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
NATURAL: Schema = {"type": "integer", "minimum": 1}
TIME_MS = NATURAL


def closed(properties: Mapping[str, Schema], *, optional: Iterable[str] = ()) -> Schema:
    """An object with these members and no others, all there but the optional ones."""
    left = set(optional)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in left],
        "properties": dict(properties),
    }


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of such."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*kinds: type[Enum]) -> Schema:
    """The values of enumerations."""
    return {"type": "string", "enum": [str(member.value) for kind in kinds for member in kind]}


def matching(pattern: str) -> Schema:
    """A string of that form."""
    return {"type": "string", "pattern": pattern}
