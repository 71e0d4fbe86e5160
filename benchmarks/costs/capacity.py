"""DynamoDB's request units of each call, from the items that it touches.

Rules: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations", "DynamoDB Item sizes and
formats", "Managing complex workflows with DynamoDB transactions" and "Using Global Secondary Indexes".
A transaction counts double; of its writes to indexes, which follow later, that is not said: they are
counted once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Mapping[str, Any]]
Key = tuple[str, str, str]
"""Table, partition key, sort key."""
WRITE_BYTES, READ_BYTES = 1024, 4096
INDEXES: Mapping[str, tuple[str, str]] = {
    "by_caller": ("caller", "created"),
    "by_day": ("day", "created"),
    "open": ("open", "due_at_ms"),
}
"""Of the orders table, all of keys only (template.yaml)."""


@dataclass(frozen=True, slots=True)
class Units:
    """What a call consumed, of one kind of item."""

    operation: str
    what: str
    """What the item is: the first part of its key."""
    read: float = 0.0
    write: float = 0.0
    index: float = 0.0
    """Write units of the indexes."""
    item_bytes: int = 0
    """The largest item."""


def size(item: Item) -> int:
    """Bytes of an item: names and values; a number takes half a byte a digit, and one more."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    (kind, held), *_ = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return len(held.replace(".", "").strip("-0")) // 2 + 2
    if kind == "B":
        return len(held)
    raise ValueError(f"no rule for an attribute of type {kind}")


def what_of(pk: str, sk: str = "-") -> str:
    """Name the kind of an item by its key."""
    return "receipt" if sk == "receipt" else pk.partition("#")[0]


def written(total: int) -> int:
    """Write units of so many bytes; also what is not there costs one."""
    return max(1, math.ceil(total / WRITE_BYTES))


def read(total: int, *, consistent: bool) -> float:
    """Read units of so many bytes."""
    return max(1, math.ceil(total / READ_BYTES)) * (1.0 if consistent else 0.5)


def index_units(before: Item | None, after: Item | None) -> int:
    """Write units of all indexes for a change of one item."""
    return sum(_index_units(names, before, after) for names in INDEXES.values())


def _index_units(names: tuple[str, str], before: Item | None, after: Item | None) -> int:
    def entry(item: Item | None) -> Item | None:
        if item is None or not all(name in item for name in names):
            return None
        return {name: item[name] for name in ("pk", "sk", *names)}

    old, new = entry(before), entry(after)
    return 0 if old == new else sum(written(size(each)) for each in (old, new) if each is not None)


class Capacity:
    """Follows what is stored, and gives the units of each call.

    Parameters
    ----------
    look
        Gives the item of a key as it stands, or None.
    """

    def __init__(self, look: Callable[[Key], Item | None]) -> None:
        self._look = look
        self._stored: dict[Key, Item | None] = {}

    def units(self, operation: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Units]:
        """What a call consumed; raises `ValueError` for one that there is no rule for."""
        failed = "Error" in answer
        match operation:
            case "PutItem" | "UpdateItem" | "DeleteItem":
                return [self._written(operation, asked, failed=failed)]
            case "TransactWriteItems":
                return [
                    self._written(f"Transact {kind}", action, failed=failed, factor=2)
                    for each in asked["TransactItems"]
                    for kind, action in each.items()
                ]
            case "GetItem":
                found = [answer["Item"]] if "Item" in answer else []
                return _read(operation, [_key(asked)], found, consistent=asked.get("ConsistentRead", False))
            case "BatchGetItem":
                return [
                    each
                    for table, request in asked["RequestItems"].items()
                    for each in _read(
                        operation,
                        [_key({"TableName": table, "Key": key}) for key in request["Keys"]],
                        answer["Responses"].get(table, ()),
                        consistent=request.get("ConsistentRead", False),
                    )
                ]
            case "Query":
                total = sum(size(item) for item in answer["Items"])
                return [Units(operation, f"index {asked['IndexName']}", read=read(total, consistent=False))]
            case _:
                raise ValueError(f"no rule for {operation}")

    def _written(self, operation: str, asked: Mapping[str, Any], *, failed: bool, factor: int = 1) -> Units:
        key = _key(asked)
        before = self._stored.get(key)
        after = before if failed else self._look(key)
        self._stored[key] = after
        largest = max(size(item) if item else 0 for item in (before, after))
        return Units(
            operation,
            what_of(*key[1:]),
            write=written(largest) * factor,
            index=index_units(before, after),
            item_bytes=largest,
        )


def _key(asked: Mapping[str, Any]) -> Key:
    named = asked.get("Key") or asked["Item"]
    return asked["TableName"], named["pk"]["S"], named["sk"]["S"]


def _read(operation: str, keys: Sequence[Key], found: Iterable[Item], *, consistent: bool) -> list[Units]:
    """One for each kind of item: a batch rounds each item by itself, and what is missing costs, too."""
    sizes = {(item["pk"]["S"], item["sk"]["S"]): size(item) for item in found}
    kinds: dict[str, list[int]] = {}
    for _, pk, sk in keys:
        kinds.setdefault(what_of(pk, sk), []).append(sizes.get((pk, sk), 0))
    return [
        Units(
            operation,
            what,
            read=sum(read(each, consistent=consistent) for each in each_of),
            item_bytes=max(each_of),
        )
        for what, each_of in kinds.items()
    ]
