"""``make audit``: look for known vulnerabilities of what our locks name.

    python -m local.supply.audit [--strict] [--osv-url URL] [--policy FILE] [LOCK ...]

asks an OSV service (the "OSV API", ``/v1/query``) by way of pip-audit about every release in every lock,
whatever platform or Python a requirement is for.

Exit codes: 0 nothing known, or all of it accepted; 1 findings; 2 a bad lock, policy or argument; 3 not
checked, for the service did not answer (with ``--strict`` that is 1).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from local.supply.locks import LOCKS, LockError, Pin, read, released
from local.supply.policy import POLICY, Accepted, Policy, PolicyError, load, today_utc

CLEAN, FINDINGS, MISUSED, NOT_CHECKED = 0, 1, 2, 3
OSV_URL = "https://api.osv.dev/v1/query"
REQUEST_TIMEOUT_S = 15
RUN_TIMEOUT_S = 600


class NotCheckedError(Exception):
    """Nobody could be asked, or not about everything; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A known vulnerability of a release that we use."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def is_meant_by(self, accepted: Accepted) -> bool:
        """Whether an entry of the policy speaks of this."""
        return accepted.package == self.package and accepted.id in {self.id, *self.aliases}


def find(pins: Iterable[Pin], osv_url: str) -> list[Finding]:
    """Ask about every release; raises `NotCheckedError`."""
    left = released(pins)
    packages: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        while left:
            # pip-audit refuses two releases of one package in a run, and skips what a marker excludes here.
            batch = dict(reversed(left))
            left = [pair for pair in left if batch[pair[0]] != pair[1]]
            path = Path(folder) / "pins.txt"
            path.write_text("".join(f"{name}=={batch[name]}\n" for name in sorted(batch)), encoding="utf-8")
            packages += _ask(path, osv_url, len(batch))
    return sorted(
        (_finding(package, known) for package in packages for known in package["vulns"]),
        key=lambda finding: (finding.package, finding.version, finding.id),
    )


def report(findings: Sequence[Finding], policy: Policy, today: date) -> int:
    """Print what was found and what is accepted of it; give the exit code."""
    open_findings = 0
    for finding in findings:
        entry = next((each for each in policy.accepted if finding.is_meant_by(each)), None)
        fixed = f"fixed in {', '.join(finding.fixed_in)}" if finding.fixed_in else "no fixed release is known"
        names = " = ".join((finding.id, *finding.aliases))
        told = f"{finding.package} {finding.version}: {names}, {fixed}"
        if entry is not None and today <= entry.expires:
            print(f"accepted until {entry.expires}: {told}: {entry.reason}")
            continue
        open_findings += 1
        print(f"{told}" if entry is None else f"{told}; its acceptance ended on {entry.expires}")
    for entry in policy.accepted:
        if not any(finding.is_meant_by(entry) for finding in findings):
            print(f"accepted, but not found: remove {entry.id} of {entry.package}", file=sys.stderr)
    return FINDINGS if open_findings else CLEAN


def _ask(path: Path, osv_url: str, count: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", osv_url, "--timeout", str(REQUEST_TIMEOUT_S)]
    command += ["--format", "json", "--aliases", "on", "--desc", "off", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired as error:
        raise NotCheckedError(f"no end after {RUN_TIMEOUT_S} s") from error
    try:
        # It exits with 1 both for findings and for failures; only of the former it writes a report.
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1][:300] if lines else f"pip-audit ended with {done.returncode}"
        raise NotCheckedError(why) from error
    skipped = [package["name"] for package in packages if "vulns" not in package]
    if skipped or len(packages) != count:
        raise NotCheckedError(
            f"only {len(packages) - len(skipped)} of {count}; left out: {', '.join(skipped)}"
        )
    return packages


def _finding(package: dict[str, Any], known: dict[str, Any]) -> Finding:
    names, fixes = tuple(known["aliases"]), tuple(known["fix_versions"])
    return Finding(package["name"], package["version"], known["id"], names, fixes)


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the module's text has its exit codes."""
    parser = argparse.ArgumentParser(
        prog="make audit", description="Known vulnerabilities of all we depend on."
    )
    parser.add_argument("--strict", action="store_true", help="not checked: exit with 1, not 3")
    parser.add_argument("--osv-url", default=OSV_URL, help="another OSV service's /v1/query")
    parser.add_argument("--policy", type=Path, default=POLICY)
    parser.add_argument("locks", nargs="*", type=Path, default=list(LOCKS.values()), metavar="LOCK")
    asked = parser.parse_args(arguments)
    today = today_utc()
    try:
        policy = load(asked.policy, today)
        pins = [pin for lock in asked.locks for pin in read(lock)]
    except (LockError, PolicyError, OSError) as error:
        print(error, file=sys.stderr)
        return MISUSED
    count = len(released(pins))
    try:
        findings = find(pins, asked.osv_url)
    except NotCheckedError as error:
        print(f"NOT CHECKED: {count} releases in {len(asked.locks)} locks: {error}", file=sys.stderr)
        print(f"The vulnerability service is {asked.osv_url}; nothing is known either way.", file=sys.stderr)
        return FINDINGS if asked.strict else NOT_CHECKED
    code = report(findings, policy, today)
    print(f"checked {count} releases in {len(asked.locks)} locks, {len(findings)} findings")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
