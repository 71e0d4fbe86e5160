"""Wires the Lambda that reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sor_core import __version__
from sor_core.api.answers import route_answer
from sor_core.api.no_route import no_route_problem
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.api.schemas import parse_order
from sor_core.api.status import status_answer
from sor_core.bootstrap import Runtime, new_id
from sor_core.domain.decision import NoRoute
from sor_core.ports import StateError
from sor_core.services.gather import Gatherer
from sor_core.services.route import RouteService

if TYPE_CHECKING:
    from sor_core.bootstrap.reads import OrderReads


class RouteRuntime(Runtime):
    """The route Lambda."""

    function = "route"
    counters_every_ms = 1_000  # a write takes longer than a cached decision

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        parts = (self.store, self.clock, new_id, self.settings, self.log)
        self._service = RouteService(Gatherer(self.venues, *parts), *parts, self.metrics)

    def route(self, document: Any, *, fresh: bool, receipt: bool = False) -> dict[str, Any]:
        """Answer a route request; raises `ProblemError`."""
        settings = self.settings
        order = parse_order(document, venues=settings.venues, max_slippage_bps=settings.max_slippage_bps)
        outcome = self.run(self._service.route(order, fresh=fresh, receipt=receipt))
        if isinstance(outcome, NoRoute):
            raise ProblemError(no_route_problem(order, outcome))
        return route_answer(outcome, self.clock.now_ms())

    @cached_property
    def orders(self) -> OrderReads:
        """What is told of orders; no decision needs it, so it is loaded when first asked for."""
        from sor_core.bootstrap.reads import OrderReads  # noqa: PLC0415

        return OrderReads(self)

    def status(self) -> dict[str, Any]:
        """Answer how the venues are, from the store alone; raises `ProblemError`."""
        settings = self.settings
        try:
            records = self.run(self.store.load_health(settings.venues))
        except StateError as error:
            problem = Problem(Kind.STATE_UNAVAILABLE, "try again in a moment", retry_after_s=5)
            raise ProblemError(problem) from error
        return status_answer(settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s)

    def metrics_page(self) -> tuple[str, str]:
        """Answer the metrics as Prometheus reads them, and their media type; raises `ProblemError`."""
        from sor_core.api import prometheus  # noqa: PLC0415 - no decision needs it

        settings = self.settings
        try:
            totals = self.run(self.counters.totals())
            records = self.run(self.store.load_health(settings.venues))
        except StateError as error:
            problem = Problem(Kind.STATE_UNAVAILABLE, "try again in a moment", retry_after_s=5)
            raise ProblemError(problem) from error
        page = prometheus.page(
            totals, settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s
        )
        return page, prometheus.CONTENT_TYPE

    def health(self) -> dict[str, Any]:
        """Answer that this Lambda runs; asks nobody."""
        return {"status": "ok", "version": __version__, "venues": list(self.settings.venues)}
