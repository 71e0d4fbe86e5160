"""Two halves of the tests, for `make test` to run side by side.

In one half are the tests whose subject is time, or a process that may end too soon; in the other those
that compute, and those that wait without minding how long. Each runs in order in a process of its own,
so that no test of the first kind shares its processor with another. (pytest-xdist's own groups are
written into ids that pytest 9 no longer reads.)
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TIMED = ("tests/asl/", "tests/contract/", "tests/e2e/")
PATIENT = (
    "tests/contract/test_adding_a_venue.py",
    "tests/contract/test_simulated_venues.py",
    "tests/e2e/test_cli_stack.py",
    "tests/e2e/test_cost.py",
    "tests/e2e/test_docs_commands.py",
    "tests/e2e/test_fuzz.py",
    "tests/e2e/test_load.py",
    "tests/e2e/test_permissions.py",
)


def half_of(nodeid: str) -> str:
    """Which half a test belongs to, by its id."""
    return "timed" if nodeid.startswith(TIMED) and not nodeid.startswith(PATIENT) else "patient"


class Halves(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Hands each half to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return half_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Halves(config, log)
