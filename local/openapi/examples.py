"""The document's examples: real requests to `make run`, and what it answered, in examples.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from local.openapi.forms import Schema

_Named = Mapping[str, Any]
_FILE = Path(__file__).with_name("examples.json")


@cache
def _recorded() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return recorded


def requests_of(operation: str) -> _Named:
    """Bodies that an operation was given, by name."""
    named: _Named = _recorded().get(operation, {}).get("request", {})
    return named


def answers_of(operation: str, status: str) -> _Named:
    """What an operation answered with a status, by name."""
    named: _Named = _recorded().get(operation, {}).get("answers", {}).get(status, {})
    return named


def problems_recorded() -> _Named:
    """Problems by their type."""
    problems: list[dict[str, Any]] = _recorded()["problems"]
    return {problem["type"]: problem for problem in problems}


def shown(schema: Schema, examples: _Named) -> Schema:
    """A media type with its schema, and its examples where there are any."""
    if not examples:
        return {"schema": schema}
    return {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
