"""The diagrams of docs/architecture.md show what is there: the template, the state machine, the layers."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from local.template import REPOSITORY, load
from tests.template.test_structure import LAYERS

ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
DIAGRAMS = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL)
SERVED = {
    *("AWS::Serverless::Function", "AWS::Serverless::StateMachine", "AWS::Serverless::Api"),
    *("AWS::Scheduler::Schedule", "AWS::DynamoDB::Table"),
}


def diagram(part: str) -> str:
    [found] = (str(text) for text in DIAGRAMS if part in text)
    return found


def edges(text: str) -> set[tuple[str, str]]:
    """Of a flowchart: pairs of names, `a & b --> c & d` taken apart, labels and shapes left out."""
    found = set()
    for line in text.splitlines():
        bare = re.sub(r'\[\[?[/(]?"[^"]*"[/)]?\]?\]|\(\[?"[^"]*"\]?\)', "", line)
        ends = [side.split("&") for side in re.split(r'-- "[^"]*" -->|-->', bare)]
        for left, right in pairwise(ends):
            found |= {(a.strip(), b.strip()) for a in left for b in right}
    return found


def test_the_overview_has_every_resource_that_runs_or_keeps_and_no_other() -> None:
    resources = load()["Resources"]
    served = {name for name, resource in resources.items() if resource["Type"] in SERVED}
    shown = {name for pair in edges(diagram("RouteFunction")) for name in pair}
    assert shown - {"caller", "keys", "venues"} == served | {"ProbeQueue"}


def test_the_overviews_arrows_to_tables_are_those_of_the_roles() -> None:
    arrows = edges(diagram("RouteFunction"))
    resources = load()["Resources"]
    for function in ("Route", "Execute", "ExecuteTask", "Reconciliation", "HealthProbe"):
        role = resources[f"{function}Function"]["Properties"]["Role"]["Fn::GetAtt"][0]
        policies = json.dumps(resources[role], default=str)
        for table in ("StateTable", "OrdersTable"):
            assert ((f"{function}Function", table) in arrows) is (table in policies), function
        assert (("keys", f"{function}Function") in arrows) is ("secretsmanager:" in policies)


def test_the_state_machines_diagram_is_the_state_machine() -> None:
    states = json.loads((REPOSITORY / "statemachines" / "failover.asl.json").read_text())["States"]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", diagram("stateDiagram"), re.MULTILINE))
    real = set()
    for name, state in states.items():
        following = {state.get("Next"), state.get("Default"), *(c["Next"] for c in state.get("Choices", []))}
        real |= {(name, after) for after in following if after}
    assert drawn == real
    assert set(re.findall(r"(\w+) --> \[\*\]", diagram("stateDiagram"))) == {
        name for name, state in states.items() if state["Type"] == "Succeed"
    }


def test_the_layers_of_the_picture_are_those_that_are_held() -> None:
    drawn = edges(diagram("functions/"))
    expected = {(outer, inner) for before, after in pairwise(LAYERS) for outer in before for inner in after}
    assert {pair for pair in drawn if pair[0] != "functions"} == expected


def test_no_message_of_a_sequence_holds_a_semicolon() -> None:
    """It would end the statement there, and the page would show an error in place of the picture."""
    for page in sorted((REPOSITORY / "docs").rglob("*.md")):
        for text in re.findall(r"```mermaid\n(sequenceDiagram.*?)```", page.read_text("utf-8"), re.DOTALL):
            assert ";" not in text, page.name


ADR = sorted((REPOSITORY / "docs" / "adr").glob("0*.md"))


@pytest.mark.parametrize("path", ADR, ids=lambda path: path.stem)
def test_a_decision_has_its_three_parts_and_stands_in_the_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    number, title = re.findall(r"\A# (\d+)\. (.+)$", text, re.MULTILINE)[0]
    index = (path.parent / "README.md").read_text(encoding="utf-8")
    assert f"| {number} | [{title}]({path.name}) |" in index
    assert int(number) == int(path.name[:4])
