"""Two halves of the tests, for `make test` to run side by side.

One half starts servers and processes and waits for them; the other only computes. Each runs in order
in a process of its own (pytest-xdist's ``--dist loadgroup``), so that no test whose subject is time
ever shares its processor with another such test.
"""

from __future__ import annotations

from pathlib import Path

import pytest

WAITING = frozenset({"asl", "contract", "e2e"})
COMPUTING_ALL_THE_SAME = frozenset({"test_adding_a_venue.py", "test_simulated_venues.py"})
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        waits = folder in WAITING and item.path.name not in COMPUTING_ALL_THE_SAME
        item.add_marker(pytest.mark.xdist_group("waiting" if waits else "computing"))
