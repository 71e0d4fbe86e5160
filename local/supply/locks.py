"""Our hashed locks as pip reads them ("Requirements File Format", pip documentation)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local import environments

REPOSITORY = environments.REPOSITORY
LAYER = REPOSITORY / "layers" / "sor_core" / "requirements.txt"
LOCKS: Mapping[str, Path] = {"layer": LAYER, **environments.LOCKS}
"""By the environment that is made of each; the layer has none of its own."""

LAMBDA = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""Where the layer runs, in the words of markers (PyPA, "Dependency specifiers"); as template.yaml has it."""

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")


class LockError(ValueError):
    """A lock holds a line that is no exact, hashed requirement; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement of a lock."""

    name: str
    """Normalised (PyPA, "Names and normalization")."""
    version: str
    marker: Marker | None
    hashes: tuple[str, ...]
    """SHA-256 in hex, of every file of that release that may be installed."""

    def applies_in(self, environment: Mapping[str, str]) -> bool:
        """Whether it is installed there."""
        return self.marker is None or self.marker.evaluate(dict(environment))


def read(path: Path) -> list[Pin]:
    """Read a lock.

    Raises
    ------
    LockError
        At the first line that is not ``name==version``, perhaps with a marker, with at least one SHA-256:
        an option, an address, a range, a requirement without hashes.
    """
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [_pin(line, path) for line in lines]


def asked(path: Path) -> list[Requirement]:
    """Read what a ``requirements.in`` asks for, with what the files behind its ``-r`` lines ask for."""
    found: list[Requirement] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        content = line.partition(" #")[0].strip()
        if content.startswith("-r "):
            found += asked(path.parent / content.removeprefix("-r ").strip())
        elif content and not content.startswith(("#", "-c ")):
            found.append(Requirement(content))
    return found


def released(pins: Iterable[Pin]) -> list[tuple[str, str]]:
    """List names with versions, each pair once, sorted."""
    return sorted({(pin.name, pin.version) for pin in pins})


def _pin(line: str, path: Path) -> Pin:
    requirement_text, *options = line.split(" --hash=", 1)
    hashes = tuple(_HASH.findall(line))
    try:
        requirement = Requirement(requirement_text.strip())
    except ValueError as error:
        raise LockError(f"{path.name}: expected name==version, not {line[:80]!r}") from error
    exact = [each.version for each in requirement.specifier if each.operator == "=="]
    if len(exact) != 1 or len(requirement.specifier) != 1 or "*" in exact[0] or requirement.url:
        raise LockError(f"{path.name}: expected one exact version, not {requirement_text.strip()!r}")
    if not options or len(hashes) != line.count("--"):
        raise LockError(f"{path.name}: expected SHA-256 hashes, no other option: {requirement_text.strip()}")
    return Pin(canonicalize_name(requirement.name), exact[0], requirement.marker, hashes)
