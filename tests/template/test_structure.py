"""The shape of the source tree: what imports what, and what lies beside a handler."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest

from local.template import REPOSITORY

LONGEST_HANDLER = 80
HANDLERS = sorted((REPOSITORY / "functions").glob("*/app.py"))
OUTSIDE_WORLD = (
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "httpx",
    "msgspec",
    "pydantic",
    "pydantic_core",
)
PURE = (
    "sor_core.domain",
    "sor_core.routing",
    "sor_core.health",
    "sor_core.execution",
    "sor_core.metrics",
    "sor_core.ports",
    "sor_core.ports_trading",
    "sor_core.clock",
)
READS_NUMBERS = ("sor_core.routing.ladder", "msgspec")
"""The one exception: thousands of strings to integers, which the standard library does in twice the time."""
LAYERS = (
    {"bootstrap"},
    {"adapters", "api"},
    {"services"},
    {"ports_trading"},
    {"metrics", "observability", "ports", "routing", "settings"},
    {"health", "clock", "execution"},
    {"domain"},
)
"""Outermost first. A module may import from layers further in, never outward, nor a neighbour in its own."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("sor_core", include_external_packages=True)


def test_every_part_of_the_core_has_its_layer(graph: grimp.ImportGraph) -> None:
    parts = {child.removeprefix("sor_core.") for child in graph.find_children("sor_core")}
    assert parts == set().union(*LAYERS)


def test_dependencies_point_inward_only(graph: grimp.ImportGraph) -> None:
    illegal = graph.find_illegal_dependencies_for_layers(
        layers=[grimp.Layer(*parts, independent=True) for parts in LAYERS], containers={"sor_core"}
    )
    assert sorted(f"{d.importer} -> {d.imported}" for d in illegal) == []


@pytest.mark.parametrize("part", PURE)
def test_the_pure_core_knows_nothing_of_the_outside_world(graph: grimp.ImportGraph, part: str) -> None:
    known = [library for library in OUTSIDE_WORLD if library in graph.modules]
    assert known, "the graph knows none of the libraries: the check would pass by itself"
    chains = {chain for library in known for chain in graph.find_shortest_chains(part, library)}
    assert {chain for chain in chains if chain[-2:] != READS_NUMBERS} == set()


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_stands_alone_and_is_short(handler: Path) -> None:
    beside = [path.name for path in handler.parent.iterdir() if path.name != "__pycache__"]
    assert beside == ["app.py"]
    assert len(handler.read_text().splitlines()) <= LONGEST_HANDLER


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_reaches_the_core_through_api_and_bootstrap_only(handler: Path) -> None:
    tree = ast.parse(handler.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    core = {".".join(module.split(".")[:2]) for module in imported if module.startswith("sor_core")}
    assert core <= {"sor_core.api", "sor_core.bootstrap"}


def test_the_template_deploys_every_handler() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    assert len(HANDLERS) >= 2
    assert [h.parent.name for h in HANDLERS if f"CodeUri: functions/{h.parent.name}/" not in template] == []
