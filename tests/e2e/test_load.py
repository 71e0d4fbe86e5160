"""A small load, whole: what `make load` runs, with fewer clients and for seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from local.template import REPOSITORY

END_S = 120.0
PROGRAM = [sys.executable, "-m", "local.environments", "run", "aws", "--", "-m", "local.load"]
# Seconds are too few for memory to settle: that it does not grow is what a minute shows.
ARGUMENTS = [
    "--clients",
    "3",
    "--seconds",
    "3",
    "--warm-up",
    "2",
    "--growth",
    "60",
    "--mix",
    "route=50,execute=50",
]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_a_small_load_is_borne() -> None:
    done = subprocess.run(  # noqa: S603
        [*PROGRAM, *ARGUMENTS], cwd=REPOSITORY, capture_output=True, text=True, timeout=END_S, check=False
    )
    assert "**It held.**" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    rows = {line.split(" | ")[0].strip("| *"): line for line in done.stdout.splitlines() if " | " in line}
    assert {"route", "execute", "all", "RouteFunction", "ExecuteFunction", "place_order"} <= rows.keys()
