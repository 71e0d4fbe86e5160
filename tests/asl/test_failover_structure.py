"""What must hold of the failover machine whatever its tasks answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.template import REPOSITORY, load
from tests.asl.machine import ENDS, MACHINE, PATH, STATES, TEXT, of_type, reachable, targets

TASKS = of_type("Task")
RESOURCES = load()["Resources"]
MACHINE_RESOURCE = RESOURCES["FailoverMachine"]["Properties"]
VALIDATOR = REPOSITORY / ".build" / "npm" / "node_modules" / ".bin" / "asl-validator"
ACTS = {"ChooseBackup", "Place"}
WORDS = {
    "wait": "WaitForFence",
    "reconcile": "Reconcile",
    "choose": "ChooseBackup",
    "place": "Place",
    "finalise": "Finalise",
    "review": "NeedsReview",
    "done": "Settled",
}


@pytest.mark.parametrize("name", STATES)
def test_every_state_leads_somewhere_that_exists(name: str) -> None:
    state = STATES[name]
    assert set(targets(state)) <= set(STATES)
    assert bool(list(targets(state))) != (state["Type"] in ENDS)
    assert "End" not in state


def test_every_state_can_be_reached_and_from_each_the_end_can() -> None:
    assert MACHINE["StartAt"] == "Reconcile"
    assert reachable(MACHINE["StartAt"]) == set(STATES)
    ends = {name for name, state in STATES.items() if state["Type"] in ENDS}
    assert ends == {"Settled", "UnderReview"}
    assert [name for name in STATES if not reachable(name) & ends] == []


@pytest.mark.parametrize("name", STATES)
def test_a_person_can_read_it_in_the_console(name: str) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+){1,4}", name)
    assert STATES[name]["Comment"].endswith(".")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_bounded_a_little_beyond_its_functions_own_timeout(name: str) -> None:
    of_function = RESOURCES["ExecuteTaskFunction"]["Properties"]["Timeout"]
    assert of_function < TASKS[name]["TimeoutSeconds"] <= of_function + 10


def test_the_whole_is_bounded() -> None:
    assert 0 < MACHINE["TimeoutSeconds"] <= 3600


@pytest.mark.parametrize("name", TASKS)
def test_only_an_invocation_that_was_refused_for_its_number_is_repeated(name: str) -> None:
    [retry] = TASKS[name]["Retry"]
    assert retry["ErrorEquals"] == ["Lambda.TooManyRequestsException"]
    assert retry["BackoffRate"] > 1
    assert 1 <= retry["MaxAttempts"] <= 10


@pytest.mark.parametrize("name", TASKS)
def test_whatever_else_goes_wrong_leads_to_reconcile_before_anything_is_chosen_or_placed(name: str) -> None:
    [catch] = TASKS[name]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    [after] = targets(STATES[catch["Next"]])
    assert STATES[catch["Next"]]["Type"] == "Wait"
    assert after == "Reconcile"


@pytest.mark.parametrize("name", [*TASKS, *of_type("Wait")])
def test_nothing_but_an_answer_chooses_or_places(name: str) -> None:
    assert not set(targets(STATES[name])) & ACTS


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_which_order_at_which_epoch_and_keeps_it(name: str) -> None:
    state = TASKS[name]
    assert state["Resource"] == "${LambdaInvoke}"
    assert state["Parameters"]["FunctionName"] == "${TaskFunctionArn}"
    payload = dict(state["Parameters"]["Payload"])
    payload.pop("task")
    assert payload == {f"{key}.$": f"$.{key}" for key in ("order_id", "epoch", "correlation_id")}
    assert (state["ResultSelector"], state["ResultPath"]) == ({"answer.$": "$.Payload"}, "$.step")
    assert state["Catch"][0]["ResultPath"] != "$"


def test_each_task_asks_for_its_own_work() -> None:
    asked = {name: state["Parameters"]["Payload"]["task"] for name, state in TASKS.items()}
    assert asked == {
        "Reconcile": "reconcile",
        "ChooseBackup": "choose",
        "Place": "place",
        "Finalise": "finalise",
        "NeedsReview": "review",
    }


def conditions(rule: dict[str, Any]) -> list[dict[str, Any]]:
    return rule.get("And") or ([rule["Not"]] if "Not" in rule else [rule])


def test_every_word_of_a_task_has_its_state_and_any_other_is_trouble() -> None:
    choice = STATES["WhatNext"]
    assert choice["Default"] == "WaitAfterTrouble"
    said = {}
    for rule in choice["Choices"]:
        for condition in conditions(rule):
            if condition["Variable"] == "$.step.answer.next" and "StringEquals" in condition:
                said[condition["StringEquals"]] = rule["Next"]
    assert said == WORDS


def test_no_path_is_read_before_it_is_known_to_be_there() -> None:
    """A missing path is States.Runtime, which no Catch meets."""
    first, *others = STATES["WhatNext"]["Choices"]
    assert first == {
        "Not": {"Variable": "$.step.answer.next", "IsPresent": True},
        "Next": "WaitAfterTrouble",
    }
    for rule in others:
        known = {"$.step.answer.next"}
        for condition in conditions(rule):
            assert condition["Variable"] in known or "IsPresent" in condition
            known.add(condition["Variable"])


def test_what_is_substituted_is_what_the_template_gives() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(MACHINE_RESOURCE["DefinitionSubstitutions"])
    assert MACHINE_RESOURCE["DefinitionUri"] == str(PATH.relative_to(REPOSITORY))
    assert MACHINE_RESOURCE["Type"] == "STANDARD"  # exactly once, where Express may start one twice


@pytest.mark.skipif(
    not VALIDATOR.is_file() or shutil.which("node") is None, reason="asl-validator is installed by .ci/run"
)
def test_it_is_valid_amazon_states_language() -> None:
    command: list[str | Path] = [VALIDATOR, "--no-arn-check", "--json-path", PATH]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stdout
