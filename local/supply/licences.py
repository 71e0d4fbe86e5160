"""``make licences``: under which licences our dependencies come, and whether the layer may ship them.

    python -m local.supply.licences [--check]

writes docs/licences.md from the metadata of what is installed ("Core metadata specifications", PyPA), or,
with ``--check``, compares it. Exit codes: 0; 1 the layer has a licence that the policy does not allow, or
the page differs; 2 a bad lock or policy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from license_expression import AND, OR, ExpressionError, get_spdx_licensing
from packaging.utils import canonicalize_name

from local.environments import ENVIRONMENTS
from local.supply.locks import LAMBDA, LOCKS, REPOSITORY, LockError, Pin, read, released
from local.supply.policy import POLICY, Policy, PolicyError, load, today_utc

PAGE = REPOSITORY / "docs" / "licences.md"
_UNKNOWN = "not stated"
_SPDX = get_spdx_licensing()
_BY_NAME = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""Names that metadata uses beside SPDX identifiers, and that mean one licence."""
_HEAD = """\
# Licences

What SOR is built from, with the licence that each release's own metadata states. `make licences` writes this
page; `make licences ARGS=--check` compares it and holds the layer to the policy in `local/supply/policy.toml`
([how](supply-chain.md#licences)). SOR itself is Apache-2.0.
"""
_LAYER = """
## In the layer

These ship to AWS with SOR's own code.
"""
_DEVELOPMENT = """
## In development

These run the local stack, the command line, the tests and the build; none is shipped. Two releases of one
package stand in two environments, or are for two releases of Python.
"""


def stated(distribution: Distribution) -> str:
    """Say which licence a distribution's metadata states: an SPDX expression where it can be read as one."""
    fields = {
        name: distribution.metadata.get_all(name, [])
        for name in ("License-Expression", "License", "Classifier")
    }
    classifiers = [
        text.rpartition("::")[2].strip() for text in fields["Classifier"] if text.startswith("License ::")
    ]
    for texts in (fields["License-Expression"], fields["License"], classifiers):
        known = [_spdx(text) for text in texts]
        if known and all(known):
            # Several classifiers do not say whether one may choose: all hold, which is the stricter reading.
            return " AND ".join(sorted({each for each in known if each}))
    names = classifiers or [text.strip() for text in fields["License"] if text.strip().isprintable()]
    return ", ".join(filter(None, names)) or _UNKNOWN


def allowed(expression: str, licences: Iterable[str]) -> bool:
    """Whether an SPDX expression can be met with these licences alone."""
    permitted = frozenset(licences)

    def met(node: object) -> bool:
        if isinstance(node, OR):
            return any(met(each) for each in node.args)
        if isinstance(node, AND):
            return all(met(each) for each in node.args)
        return str(node) in permitted

    try:
        return met(_SPDX.parse(expression, validate=True))
    except ExpressionError:
        return False


def refused(layer: Mapping[tuple[str, str], str], policy: Policy) -> list[str]:
    """List what must not ship, one line each."""
    return [
        f"{name} {version}: {licence}: not allowed in the layer by local/supply/policy.toml"
        for (name, version), licence in layer.items()
        if not allowed(licence, {*policy.licences, policy.exceptions.get(name, "")})
    ]


def installed(names: Iterable[str], policy: Policy) -> dict[tuple[str, str], str]:
    """Find what is installed in environments of ours: licence by name and version."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        paths = [str(path) for path in sorted((ENVIRONMENTS / name).glob("lib/python3*/site-packages"))]
        for each in distributions(path=paths):
            package = canonicalize_name(each.metadata["Name"])
            found[package, each.version] = policy.declared.get(package) or stated(each)
    return found


def page(layer: Mapping[tuple[str, str], str], others: Mapping[tuple[str, str], str]) -> str:
    """Write docs/licences.md."""
    return _HEAD + _LAYER + _table(layer) + _DEVELOPMENT + _table(others)


def _table(licences: Mapping[tuple[str, str], str]) -> str:
    rows = [f"| {name} | {version} | {licence} |\n" for (name, version), licence in sorted(licences.items())]
    return "\n| Package | Version | Licence |\n|---|---|---|\n" + "".join(rows)


def _spdx(text: str) -> str | None:
    known = _BY_NAME.get(text.strip().lower(), text.strip())
    try:
        return str(_SPDX.parse(known, validate=True))
    except ExpressionError:
        return None


def _of(pins: Iterable[Pin], known: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """What is locked and not installed on this machine is for another one: Windows, or another Python."""
    return {pair: known.get(pair, "not installed here") for pair in released(pins)}


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the module's text has its exit codes."""
    parser = argparse.ArgumentParser(
        prog="make licences", description="Under which licences dependencies come."
    )
    parser.add_argument("--check", action="store_true", help="compare docs/licences.md, write nothing")
    asked = parser.parse_args(arguments)
    try:
        policy = load(POLICY, today_utc())
        pins = {name: read(path) for name, path in LOCKS.items()}
    except (LockError, PolicyError) as error:
        print(error, file=sys.stderr)
        return 2
    layer_pins = [pin for pin in pins["layer"] if pin.applies_in(LAMBDA)]
    layer = _of(layer_pins, installed(["run"], policy))
    complaints = refused(layer, policy)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if asked.check:
        differs = f"{_HEAD}{_LAYER}{_table(layer)}{_DEVELOPMENT}" != _up_to_development(PAGE)
        if differs:
            print("docs/licences.md differs from what is installed: run make licences", file=sys.stderr)
        return 1 if complaints or differs else 0
    shipped = set(layer)
    rest = [pin for each in pins.values() for pin in each if (pin.name, pin.version) not in shipped]
    others = _of(rest, installed([name for name in pins if name != "layer"], policy))
    PAGE.write_text(page(layer, others), encoding="utf-8")
    return 1 if complaints else 0


def _up_to_development(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    before, heading, _ = text.partition(_DEVELOPMENT)
    return before + heading


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
