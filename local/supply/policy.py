"""What a person decided about our dependencies, read from ``policy.toml`` and checked whole."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

POLICY = Path(__file__).with_name("policy.toml")
LONGEST = timedelta(days=90)
"""How far ahead an acceptance may end: nobody decides for longer than a quarter."""


class PolicyError(ValueError):
    """The policy cannot be used; the text says which entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A known vulnerability that is lived with for a while."""

    id: str
    """Any of the finding's names: GHSA-..., CVE-..., PYSEC-..."""
    package: str
    reason: str
    expires: date
    """The last day it holds, UTC."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it."""

    licences: frozenset[str]
    """SPDX identifiers that may ship in the layer."""
    exceptions: Mapping[str, str]
    """Packages that may ship under one other licence: its SPDX identifier."""
    declared: Mapping[str, str]
    """Licences of packages whose metadata names none: SPDX expressions."""
    accepted: tuple[Accepted, ...]


def load(path: Path, today: date) -> Policy:
    """Read the policy; raises `PolicyError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"{path.name}: {error}") from error
    licences = document.get("licences", {})
    allowed = licences.get("allowed", [])
    if not isinstance(allowed, list) or not all(isinstance(each, str) for each in allowed):
        raise PolicyError("licences.allowed: expected a list of SPDX identifiers")
    return Policy(
        frozenset(allowed),
        _reasoned(licences, "exception"),
        _reasoned(licences, "declared"),
        tuple(_accepted(entry, today) for entry in document.get("accepted", [])),
    )


def today_utc() -> date:
    """Give the day it is."""
    return datetime.now(UTC).date()


def _reasoned(licences: Mapping[str, Any], kind: str) -> dict[str, str]:
    entries = licences.get(kind, [])
    for entry in entries:
        _texts(entry, f"licences.{kind}", ("package", "licence", "reason"))
    return {entry["package"]: entry["licence"] for entry in entries}


def _accepted(entry: Any, today: date) -> Accepted:
    _texts(entry, "accepted", ("id", "package", "reason"), "expires")
    expires = entry["expires"]
    if not isinstance(expires, date) or isinstance(expires, datetime) or expires > today + LONGEST:
        raise PolicyError(
            f"accepted {entry['id']}: expected expires = a date, {LONGEST.days} days ahead at most"
        )
    return Accepted(entry["id"], entry["package"], entry["reason"], expires)


def _texts(entry: Any, what: str, names: tuple[str, ...], *others: str) -> None:
    expected = {*names, *others}
    if not isinstance(entry, dict) or set(entry) != expected:
        raise PolicyError(f"{what}: expected entries with {', '.join(sorted(expected))}, not {entry!r}")
    if not all(isinstance(entry[name], str) and entry[name].strip() for name in names):
        raise PolicyError(f"{what}: expected texts that say something in {', '.join(names)}")
