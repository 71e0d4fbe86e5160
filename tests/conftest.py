"""Two parts of the tests, for `make test` to run side by side.

One starts servers and processes, and waits for them; the other only computes. Each runs in order in a
process of its own, so that no test whose subject is time, or which starts a whole stack, shares the
machine with another such test. (pytest-xdist's own groups are written into ids that pytest 9 no longer
reads.)
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

WAITING = ("tests/asl/", "tests/contract/", "tests/e2e/")
COMPUTING_ALL_THE_SAME = (
    "tests/contract/test_adding_a_venue.py",
    "tests/contract/test_execute_campaign.py",
    "tests/contract/test_order_ledger",
    "tests/contract/test_simulated_venues.py",
    "tests/e2e/test_cost.py",
)


def half_of(nodeid: str) -> str:
    """Which part a test belongs to, by its id."""
    waits = nodeid.startswith(WAITING) and not nodeid.startswith(COMPUTING_ALL_THE_SAME)
    return "waiting" if waits else "computing"


class Halves(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Hands each half to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return half_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Halves(config, log)
