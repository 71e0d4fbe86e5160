"""``make sbom``: the layer's bill of materials, ``.build/sor-<version>.cdx.json`` (CycloneDX 1.6).

    python -m local.supply.sbom [--output FILE]

cyclonedx-py describes what is installed in the environment `run`; of that stays what the layer's lock names
for Lambda. The hashes of the files that may be installed come from the lock, the tree of who needs whom from
the metadata. The same lock and code give the same bytes.

Exit codes: 0; 1 the environment is not what the lock says, or the result is not valid.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from local.environments import interpreter
from local.supply.locks import LAMBDA, LAYER, REPOSITORY, LockError, Pin, asked, read
from sor_core import __version__

GENERATION_TIMEOUT_S = 120
ROOT = "sor"


class BillError(Exception):
    """The bill cannot be made; the text says why."""


def bill(
    described: dict[str, Any], pins: Sequence[Pin], direct: Sequence[str], version: str
) -> dict[str, Any]:
    """Keep of an environment's description what the layer ships, and put SOR at its root.

    Raises
    ------
    BillError
        A package of the lock is not in the environment, or with another version.
    """
    by_name: dict[str, dict[str, Any]] = {
        canonicalize_name(each["name"]): each for each in described["components"]
    }
    for pin in pins:
        if by_name.get(pin.name, {}).get("version") != pin.version:
            raise BillError(f"{pin.name} {pin.version} of the layer's lock is not in the environment run")
    locked = {pin.name: pin for pin in pins}
    components = {name: by_name[name] for name in sorted(locked)}
    references = {component["bom-ref"] for component in components.values()}
    for name, component in components.items():
        component["properties"] = [
            {"name": "sor:lock:sha256", "value": digest} for digest in sorted(locked[name].hashes)
        ]
    needs = [
        {**each, "dependsOn": sorted(set(each.get("dependsOn", [])) & references)}
        for each in described["dependencies"]
        if each["ref"] in references
    ]
    needs.append({"ref": ROOT, "dependsOn": sorted(components[name]["bom-ref"] for name in direct)})
    root = {
        "bom-ref": ROOT,
        "type": "application",
        "name": ROOT,
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}],
    }
    return {
        **described,
        "metadata": {**described["metadata"], "component": root},
        "components": list(components.values()),
        "dependencies": sorted(needs, key=lambda each: str(each["ref"])),
    }


def check(text: str) -> None:
    """Hold a bill to CycloneDX's own schema; raises `BillError`."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise BillError(f"not valid CycloneDX 1.6: {str(error)[:500]}")


def describe(python: Path) -> dict[str, Any]:
    """Have cyclonedx-py describe an environment; raises `BillError`."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--no-validate", "--output-reproducible"]
    command += ["--spec-version", "1.6", "--output-format", "JSON", str(python)]
    done = subprocess.run(  # noqa: S603 - no argument comes from outside
        command, capture_output=True, text=True, check=False, timeout=GENERATION_TIMEOUT_S
    )
    if done.returncode != 0:
        raise BillError(f"cyclonedx-py: {done.stderr.strip()[-500:]}")
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the module's text has its exit codes."""
    parser = argparse.ArgumentParser(prog="make sbom", description="The layer's bill of materials.")
    parser.add_argument("--output", type=Path, default=REPOSITORY / ".build" / f"sor-{__version__}.cdx.json")
    asked_for = parser.parse_args(arguments)
    try:
        pins = [pin for pin in read(LAYER) if pin.applies_in(LAMBDA)]
        direct = sorted(canonicalize_name(each.name) for each in asked(LAYER.with_suffix(".in")))
        document = bill(describe(interpreter("run")), pins, direct, __version__)
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        check(text)
    except (BillError, LockError) as error:
        print(error, file=sys.stderr)
        return 1
    asked_for.output.parent.mkdir(parents=True, exist_ok=True)
    asked_for.output.write_text(text, encoding="utf-8")
    print(f"{asked_for.output}: {len(pins)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
