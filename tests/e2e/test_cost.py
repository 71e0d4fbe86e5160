"""docs/cost.md says what a fresh run counts."""

from __future__ import annotations

import os
import subprocess
import sys

from local.template import REPOSITORY

END_S = 150.0


def test_the_document_says_what_is_counted() -> None:
    # A process of its own: what it counts is also what loggers write, and a process has one of each name.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "layers" / "sor_core")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost", "--check"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nmake cost writes it anew"
