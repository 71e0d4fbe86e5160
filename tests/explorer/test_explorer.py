"""Bounded: every scenario wholly, and every mutant found out. Deep: `python -m tests.explorer --deep`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sor_core.services import failover
from tests.explorer.__main__ import story_of
from tests.explorer.mutants import MUTANTS, Mutant
from tests.explorer.processes import TASKS
from tests.explorer.scenarios import BROKEN_ASSUMPTIONS, BY_NAME, SCENARIOS, Scenario

MOST_STATES = 300_000
ASKED_FOR = {
    "requirements",
    "intent first",
    "fence",
    "venue's clock",
    "deadline",
    "query before release",
    "absent twice",
    "history",
    "version condition",
    "owner token",
    "epoch",
    "frozen cap",
    "no re-send",
    "refusals",
    "fills",
    "newer view",
    "claims",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_rule_is_broken_and_every_state_leads_to_an_end(scenario: Scenario) -> None:
    result = scenario.explorer().explore(MOST_STATES)
    assert result.violation is None
    assert result.is_complete
    assert result.states >= scenario.least_states > 0
    assert result.transitions > result.states
    assert "needs_review" in result.endings or not scenario.faults
    assert "filled" in result.endings


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_guard_removed_is_found_out(mutant: Mutant) -> None:
    with mutant.applied() as explorer:
        result = explorer.explore(MOST_STATES)
    assert result.violation is not None
    assert result.violation.rule == mutant.rule
    assert result.story


@pytest.mark.parametrize("scenario", BROKEN_ASSUMPTIONS, ids=lambda scenario: scenario.name)
def test_the_claim_rests_on_its_assumptions(scenario: Scenario) -> None:
    result = scenario.explorer(rules=frozenset({"over-filled"})).explore(MOST_STATES)
    assert result.violation is not None


def test_every_guard_has_its_mutant() -> None:
    assert {mutant.name for mutant in MUTANTS} >= ASKED_FOR


def test_a_mutants_guard_is_back_afterwards() -> None:
    before = BY_NAME["failover"].explorer().explore(MOST_STATES)
    for mutant in MUTANTS:
        with mutant.applied():
            pass
    after = BY_NAME["failover"].explorer().explore(MOST_STATES)
    assert replace(before, seconds=0) == replace(after, seconds=0)


def test_a_story_is_told_in_plain_words() -> None:
    told = list(story_of("requirements"))
    assert len(told) == 4
    assert "Binance" in told[1]
    assert "answer is lost" in told[1]
    assert "Kraken" in told[2]
    assert told[3].strip() == "OVER-FILLED: 3 of 2 filled"


def test_there_is_no_story_of_what_is_not_known() -> None:
    with pytest.raises(SystemExit, match="no such story"):
        list(story_of("nonsense"))


def test_the_modelled_tasks_are_the_machines() -> None:
    assert dict(TASKS) == dict(failover._TASKS)
