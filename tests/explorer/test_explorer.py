"""Bounded: every scenario wholly, and every mutant found out. Deep: `python -m tests.explorer --deep`."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from sor_core.domain.order_status import OrderStatus
from sor_core.execution import protocol
from sor_core.execution.record import AttemptState, OrderRecord, Plan
from sor_core.services import execute, failover, follow
from tests.explorer.__main__ import story_of
from tests.explorer.driving import TASKS
from tests.explorer.mutants import MUTANTS, Mutant
from tests.explorer.scenarios import BROKEN_ASSUMPTIONS, BY_NAME, SCENARIOS, Scenario
from tests.explorer.states import Process

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
    result = scenario.explorer(rules=frozenset({"over-filled"}), is_deep=True).explore(MOST_STATES)
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


def _records() -> list[OrderRecord]:
    """An order with an attempt in each of its states, and one that a venue has failed."""
    explorer = BY_NAME["failover"].explorer()
    shelf = explorer.shelf
    first = explorer.processes.begin().processes[0]
    accepted = shelf.records[first.data[0]]
    attempt = accepted.attempts[0]
    found = [replace(accepted, attempts=(replace(attempt, state=state),)) for state in AttemptState]
    return [*found, replace(found[-1], avoid=("binance",))]


STEPS = (
    protocol.Send((1,)),
    protocol.Ask((1,)),
    protocol.Replay(1),
    protocol.CancelAtVenue((1,)),
    protocol.Choose(Decimal(1), None, ()),
    protocol.Intend(Plan((), 0)),
    protocol.Finish(OrderStatus.FILLED, ""),
    protocol.Review(""),
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_the_modelled_processes_take_the_steps_that_the_services_take(step: protocol.Step) -> None:
    processes = BY_NAME["failover"].explorer().processes
    for record in _records():
        rid = processes.shelf.put(record)
        for kind, may in (("H", execute._in_handler), ("C", follow._cancelling), ("S", failover._following)):
            assert processes.may(Process(kind, "", rid=rid), step) == may(step, record)
