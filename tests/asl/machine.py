"""statemachines/failover.asl.json as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local.template import REPOSITORY

PATH = REPOSITORY / "statemachines" / "failover.asl.json"
TEXT = PATH.read_text(encoding="utf-8")
MACHINE: Mapping[str, Any] = json.loads(TEXT)
STATES: Mapping[str, Mapping[str, Any]] = MACHINE["States"]
ENDS = {"Succeed", "Fail"}


def targets(state: Mapping[str, Any]) -> Iterator[str]:
    """Where a state may lead."""
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for branch in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield branch["Next"]


def of_type(kind: str) -> dict[str, Mapping[str, Any]]:
    """The states of a type, by name."""
    return {name: state for name, state in STATES.items() if state["Type"] == kind}


def reachable(start: str) -> set[str]:
    """Every state that a path from `start` passes, itself included."""
    seen: set[str] = set()
    ahead = {start}
    while ahead:
        name = ahead.pop()
        seen.add(name)
        ahead |= set(targets(STATES[name])) - seen
    return seen
