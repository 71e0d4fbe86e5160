"""What docs/api.md says of each field, as the descriptions of a schema: one text, not two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from local.openapi.forms import Schema
from local.template import REPOSITORY

_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_UNIT, _MEANING = "Unit", "Meaning"


@cache
def _page() -> str:
    return (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")


def described(schema: Schema, heading: str, table: int = 0) -> Schema:
    """Give the properties of an object the words of a table.

    Parameters
    ----------
    schema
        Of an object.
    heading
        Of the section in docs/api.md, as it stands there: ``### Answer``.
    table
        Which of the section's tables, counted from 0.

    Raises
    ------
    KeyError
        The page has no such section, or the section no such table.
    """
    told = dict(_rows(_section(heading), table))
    properties = {
        name: {**form, "description": told[name]} if name in told else form
        for name, form in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _section(heading: str) -> str:
    rank = heading.partition(" ")[0]
    _, found, rest = _page().partition(f"\n{heading}\n")
    if not found:
        raise KeyError(heading)
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def _rows(section: str, table: int) -> Iterator[tuple[str, str]]:
    tables = [part for part in re.split(r"\n\s*\n", section) if part.lstrip().startswith("|")]
    if table >= len(tables):
        raise KeyError(table)
    head, _, *rows = (_cells(line) for line in tables[table].strip().splitlines())
    unit = head.index(_UNIT) if _UNIT in head else None
    for cells in rows:
        meaning = _plain(cells[-1])
        if unit is not None and cells[unit]:
            meaning = f"{meaning} Unit: {_plain(cells[unit])}."
        for name in _CODE.findall(cells[0]):
            yield name, meaning


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).strip()
