"""The simulator's own page names what there is: faults, their fields, endpoints, keys, variables, paths."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from aiohttp import web

from local.venues import VenuesConfig
from local.venues.control import Control
from local.venues.credentials import KeyName
from local.venues.faults import KINDS, Endpoint
from local.venues.simulation import DIALECTS, Simulation

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "local" / "README.md").read_text(encoding="utf-8")
FAULTS = PAGE.partition("### Faults")[2].partition("\n## ")[0]


def test_every_fault_is_described_with_its_fields() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", FAULTS, re.MULTILINE))
    del rows["fault"]
    assert list(rows) == list(KINDS)
    for name, kind in KINDS.items():
        assert re.findall(r"`([a-z_]+)`(?= \(|,|$)", rows[name]) == [each.name for each in fields(kind)], name


def test_every_endpoint_is_named() -> None:
    named = FAULTS.partition("Endpoints: ")[2].partition(".")[0]
    assert re.findall(r"`(\w+)`", named) == [str(each) for each in Endpoint]
    assert {route.endpoint for dialect in DIALECTS.values() for route in dialect.routes} == set(Endpoint)


def test_every_path_key_and_variable_is_named() -> None:
    app = web.Application()
    Control(Simulation(VenuesConfig())).add_routes(app)
    paths = {resource.canonical.partition("/{")[0] for resource in app.router.resources()}
    assert all(f"{path}" in PAGE for path in paths)
    assert all(f"`{name}`" in PAGE for name in KeyName)
    source = (REPOSITORY / "local" / "venues" / "config.py").read_text(encoding="utf-8")
    variables = set(re.findall(r"\"(SOR_VENUES_\w+)\"", source))
    assert variables == set(re.findall(r"^\| `(SOR_VENUES_\w+)`", PAGE, re.MULTILINE))


def test_every_path_of_a_venue_is_named() -> None:
    inside = PAGE.partition("## What is there")[2].partition("### Books")[0]
    for dialect in DIALECTS.values():
        for route in dialect.routes:
            if route.template.startswith(("/api/v3/", "/0/")):
                last = [part for part in route.template.split("/") if not part.startswith("{")][-1]
                assert last in inside, route.template
