"""The failover machine, from the real file, run by moto's interpreter over a scripted task function."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.exceptions import JsonRESTError
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from tests.asl.machine import TEXT

INPUT = {"order_id": "7f" * 16, "epoch": 3, "correlation_id": "request-1"}
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:tasks:live"
DEADLINE_S = 20.0
DONE = {"next": "done", "wait_s": 0, "status": "filled", "detail": ""}
Answer = Mapping[str, Any] | Callable[[], Mapping[str, Any]] | Exception | str | None


def to(word: str, **more: Any) -> dict[str, Any]:
    return {"next": word, "wait_s": 0, "status": "working", "detail": "", **more}


class FunctionError(Exception):
    """The function ended without an answer; the text is the error's name."""


def throttled() -> JsonRESTError:
    error = JsonRESTError("TooManyRequestsException", "Rate exceeded")
    error.code = 429
    return error


def lambda_fails() -> JsonRESTError:
    error = JsonRESTError("ServiceException", "Lambda itself failed")
    error.code = 500
    return error


@dataclass
class Script:
    """A task function that answers what it is told, and remembers what it was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)
    retried: int = 0

    @property
    def tasks(self) -> list[str]:
        return [message["task"] for message in self.asked]

    def invoke(self, body: Any, headers: dict[str, str]) -> bytes:
        self.asked.append(json.loads(body))
        answer: Answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, FunctionError):
            headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": str(answer), "errorMessage": ""}).encode()
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer()
        return json.dumps(answer).encode()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()

    def invoke(
        _: Any, _name: str, _qualifier: Any, body: Any, _headers: Any, answer: dict[str, str]
    ) -> bytes:
        return made.invoke(body, answer)

    def wait(_: Any, env: Any, wait_seconds: float) -> None:  # noqa: ARG001 - as it is called
        made.waited_s.append(wait_seconds)

    def retry(_: float) -> None:
        made.retried += 1

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
    monkeypatch.setattr(WaitFunction, "_wait_interval", wait)
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=retry))
    return made


@dataclass(frozen=True)
class Machine:
    client: Any
    arn: str

    def start(self, name: str, document: Mapping[str, Any] = INPUT) -> str:
        started = self.client.start_execution(stateMachineArn=self.arn, name=name, input=json.dumps(document))
        arn: str = started["executionArn"]
        return arn

    def end(self, execution: str) -> tuple[str, list[str]]:
        """Wait until it ends; gives its status and the states it passed."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            status: str = self.client.describe_execution(executionArn=execution)["status"]
            if status != "RUNNING":
                events = self.client.get_execution_history(executionArn=execution, maxResults=1000)["events"]
                entered = [
                    e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e
                ]
                return status, entered
            time.sleep(0.01)
        pytest.fail("the machine did not end")

    def run(self) -> tuple[str, list[str]]:
        return self.end(self.start("one"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Machine]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    with mock_aws(config=config):

        def make(text: str = TEXT) -> Machine:
            definition = text.replace("${LambdaInvoke}", "arn:aws:states:::lambda:invoke")
            definition = definition.replace("${TaskFunctionArn}", FUNCTION)
            client = boto3.client("stepfunctions")
            role = "arn:aws:iam::123456789012:role/failover"
            made = client.create_state_machine(name="failover", definition=definition, roleArn=role)
            return Machine(client, made["stateMachineArn"])

        yield make


def test_an_unknown_outcome_is_waited_for_then_a_backup_is_chosen_placed_and_finalised(
    machine: Callable[..., Machine], script: Script
) -> None:
    script.answers = [to("wait", wait_s=12), to("choose"), to("place"), to("finalise"), DONE]
    status, states = machine().run()
    assert status == "SUCCEEDED"
    assert states == [
        *("Reconcile", "WhatNext", "WaitForFence", "Reconcile", "WhatNext", "ChooseBackup", "WhatNext"),
        *("Place", "WhatNext", "Finalise", "WhatNext", "Settled"),
    ]
    assert script.waited_s == [12]
    assert script.tasks == ["reconcile", "reconcile", "choose", "place", "finalise"]
    for message in script.asked:
        assert {key: message[key] for key in INPUT} == INPUT


def test_what_nobody_can_tell_ends_under_review(machine: Callable[..., Machine], script: Script) -> None:
    script.answers = [to("review"), to("done", status="needs_review")]
    status, states = machine().run()
    assert (status, states[-3:]) == ("SUCCEEDED", ["NeedsReview", "WhatNext", "UnderReview"])


def test_an_order_that_another_process_drives_is_left_to_it(
    machine: Callable[..., Machine], script: Script
) -> None:
    script.answers = [to("done")]
    assert machine().run() == ("SUCCEEDED", ["Reconcile", "WhatNext", "Settled"])


AFTER_TROUBLE = ["WaitAfterTrouble", "Reconcile", "WhatNext", "Settled"]
TROUBLES: Mapping[str, Answer] = {
    "lambda_unknown": FunctionError("Lambda.Unknown"),
    "handler_exception": FunctionError("Runtime.HandlerError"),
    "out_of_time": FunctionError("Sandbox.Timedout"),
    "out_of_memory": FunctionError("Runtime.ExitError"),
    "lambda_service": lambda_fails(),
    "answer_of_another_word": to("proceed"),
    "answer_that_is_empty": None,
    "answer_that_is_no_object": "wait",
    "word_that_is_no_text": {"next": 7},
    "wait_without_a_time": {"next": "wait"},
    "wait_of_no_number": to("wait", wait_s="soon"),
    "wait_below_zero": to("wait", wait_s=-1),
}


PREFIXES: Mapping[str, list[Answer]] = {
    "Reconcile": [],
    "ChooseBackup": [to("choose")],
    "Place": [to("place")],
    "Finalise": [to("finalise")],
    "NeedsReview": [to("review")],
}


@pytest.mark.parametrize(
    ("state", "trouble"),
    [*(("Place", trouble) for trouble in TROUBLES), *((state, "lambda_unknown") for state in PREFIXES)],
)
def test_trouble_of_any_kind_in_any_task_leads_to_reconcile(
    machine: Callable[..., Machine], script: Script, state: str, trouble: str
) -> None:
    script.answers = [*PREFIXES[state], TROUBLES[trouble], DONE]
    answered = not isinstance(TROUBLES[trouble], Exception)
    assert machine().run() == (
        "SUCCEEDED",
        [
            *(["Reconcile", "WhatNext"] if PREFIXES[state] else []),
            state,
            *(["WhatNext"] if answered else []),
            *AFTER_TROUBLE,
        ],
    )
    assert script.tasks.count("place") == (state == "Place")
    assert script.waited_s == [5]
    assert script.retried == 0


def test_a_task_that_says_nothing_in_time_is_not_repeated(
    machine: Callable[..., Machine], script: Script
) -> None:
    """States.Timeout itself, with the file's 65 s cut to one."""

    def late() -> dict[str, Any]:
        time.sleep(1.6)
        return to("place")

    script.answers = [to("place"), late, DONE]
    status, states = machine(TEXT.replace('"TimeoutSeconds": 65', '"TimeoutSeconds": 1')).run()
    assert (status, states[-4:]) == ("SUCCEEDED", AFTER_TROUBLE)
    assert script.tasks == ["reconcile", "place", "reconcile"]


def test_an_invocation_refused_for_its_number_is_made_again(
    machine: Callable[..., Machine], script: Script
) -> None:
    script.answers = [to("place"), throttled(), throttled(), DONE]
    status, states = machine().run()
    assert (status, states) == ("SUCCEEDED", ["Reconcile", "WhatNext", "Place", "WhatNext", "Settled"])
    assert script.tasks == ["reconcile", "place", "place", "place"]
    assert script.retried == 2


def test_it_does_not_fail_however_often_it_is_refused(
    machine: Callable[..., Machine], script: Script
) -> None:
    script.answers = [throttled() for _ in range(8)]
    status, states = machine().run()
    assert (status, states[-1]) == ("SUCCEEDED", "Settled")
    assert "WaitAfterTrouble" in states


def test_started_twice_under_one_name_it_runs_once(machine: Callable[..., Machine], script: Script) -> None:
    second_start = Event()

    def once_started_again() -> dict[str, Any]:
        assert second_start.wait(DEADLINE_S)
        return DONE

    script.answers = [once_started_again]
    made = machine()
    first = made.start("7f-3")
    assert made.start("7f-3") == first  # while it runs: the same input is the same execution
    second_start.set()
    assert made.end(first)[0] == "SUCCEEDED"
    for document in (INPUT, {**INPUT, "correlation_id": "another"}):
        with pytest.raises(made.client.exceptions.ExecutionAlreadyExists):
            made.start("7f-3", document)
    assert script.tasks == ["reconcile"]
    assert len(made.client.list_executions(stateMachineArn=made.arn)["executions"]) == 1
