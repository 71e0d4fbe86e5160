"""The halves in which `make test` runs are whole files, and both are there."""

from __future__ import annotations

import subprocess
import sys

from local.template import REPOSITORY

FILES = (
    "tests/unit/test_http.py",
    "tests/unit/test_budget.py",
    "tests/contract/test_nonces.py",
    "tests/contract/test_secrets.py",
)


def test_each_half_runs_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "2", "-v", "-p", "no:cacheprovider", *FILES]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout
    ran: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        worker, _, test = line.partition("] ")
        if worker.startswith("[gw") and "::" in test:
            half = "unit" if "tests/unit/" in test else "contract"
            ran.setdefault(half, set()).add(worker)
    assert ran.keys() == {"unit", "contract"}
    assert all(len(workers) == 1 for workers in ran.values())
    assert ran["unit"] != ran["contract"]
