"""Receipts on the way of a route: made when asked for, never out of a cache, told in the answer."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from sor_core import __version__
from sor_core.api.answers import route_answer
from sor_core.api.http import wants_receipt
from sor_core.api.json import dumps
from sor_core.api.problems import ProblemError
from sor_core.domain.decision import NoRoute
from sor_core.routing.verify import verify
from sor_core.services.gather import Gathered
from sor_core.services.route import Routed, RouteService
from sor_core.settings import Settings
from tests.fakes.clock import ManualClock
from tests.fakes.markets import NOW_MS, market, order
from tests.fakes.memory_state import MemoryStateStore

SETTINGS = Settings.from_env({"SOR_MIN_LIQUIDITY_SCORE": "0"})


class Gatherer:
    """Gives the same books each time, and counts."""

    def __init__(self) -> None:
        self.times = 0

    async def gather(self, *_: object, **__: object) -> Gathered:
        self.times += 1
        return Gathered((market("binance"), market("kraken", fee_bps="20")), ())

    def remembered(self, *_: object, **__: object) -> None:
        return None

    async def flush(self) -> None:
        pass


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})

    def warning(self, event: str, **fields: object) -> None:
        raise AssertionError(event, fields)


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW_MS)
        self.store, self.gatherer, self.log = MemoryStateStore(self.clock), Gatherer(), Log()
        self._ids = (f"{n:032x}" for n in itertools.count())

    def service(self) -> RouteService:
        parts = (self.store, self.clock, lambda: next(self._ids), SETTINGS, self.log)
        return RouteService(self.gatherer, *parts)  # type: ignore[arg-type]


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def routed(service: RouteService, *, receipt: bool) -> Routed:
    outcome = await service.route(order("1"), fresh=False, receipt=receipt)
    assert not isinstance(outcome, NoRoute)
    return outcome


async def test_a_receipt_is_made_only_where_it_is_asked_for(stage: Stage) -> None:
    service = stage.service()

    plain = await routed(service, receipt=False)
    asked = await routed(service, receipt=True)
    again = await routed(service, receipt=False)

    assert (plain.receipt, again.receipt) == (None, None)
    assert asked.receipt is not None
    # The cached decision was passed over, and what was decided instead is cached in its turn.
    assert (asked.cached, again.cached) == (False, True)
    assert stage.gatherer.times == 2
    assert again.decision_id == asked.decision_id == asked.receipt["inputs"]["decision_id"]
    assert stage.log.lines[1]["receipt_digest"] == asked.receipt["digest"]
    assert stage.log.lines[2]["receipt_digest"] is None


async def test_a_cached_decision_keeps_its_certificate_and_stores_no_receipt(stage: Stage) -> None:
    first = await routed(stage.service(), receipt=True)
    [(body, _)] = stage.store.decisions.values()
    second = await routed(stage.service(), receipt=False)

    assert second.cached
    assert second.decision.certificate == first.decision.certificate
    assert json.loads(body)["receipt"] is None


async def test_the_answer_carries_a_receipt_that_verifies(stage: Stage) -> None:
    found = await routed(stage.service(), receipt=True)

    answer = json.loads(dumps(route_answer(found, NOW_MS)))

    receipt = answer["receipt"]
    verify(receipt, receipt["digest"])
    assert receipt["inputs"]["code_version"] == __version__
    assert answer["certificate"]["venues"][0]["venue"] == "binance"
    assert "receipt" not in route_answer(await routed(stage.service(), receipt=False), NOW_MS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [(None, False), ({}, False), ({"receipt": "true"}, True), ({"receipt": "false"}, False)],
)
def test_the_query_says_whether_one_is_wanted(query: dict[str, str] | None, *, expected: bool) -> None:
    assert wants_receipt({"queryStringParameters": query}) is expected


@pytest.mark.parametrize("value", ["", "yes", "True", "1"])
def test_any_other_value_is_a_problem_that_names_it(value: str) -> None:
    with pytest.raises(ProblemError) as caught:
        wants_receipt({"queryStringParameters": {"receipt": value}})
    assert [e.field for e in caught.value.problem.errors] == ["receipt"]
