"""Wires ports to adapters for each Lambda; nothing here talks to anyone until it is used."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import boto3
import httpx
from aws_lambda_powertools import Logger
from botocore.config import Config

from sor_core import __version__
from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.adapters.http import make_client
from sor_core.adapters.sqs_probes import SqsProbeQueue
from sor_core.adapters.venues.registry import VENUES, market_data
from sor_core.api.answers import no_route_problem, route_answer, status_answer
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.api.schemas import parse_order
from sor_core.clock import Clock, SystemClock
from sor_core.domain.decision import NoRoute
from sor_core.observability import PowertoolsLog, make_logger
from sor_core.ports import StateError, StateStore, VenueMarketData
from sor_core.services.gather import Gatherer
from sor_core.services.probe import ProbeService
from sor_core.services.route import RouteService
from sor_core.settings import Settings, SettingsError

_AWS = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
_T = TypeVar("_T")


def _new_id() -> str:
    return uuid.uuid4().hex


class _Runtime:
    """What every Lambda keeps between events.

    One event loop and one HTTP client as long as the process lives, so that connections are kept.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.settings = settings = read_settings(env)
        self.logger: Logger = make_logger(settings.log_level)
        self.log = PowertoolsLog(self.logger)
        self.clock: Clock = SystemClock()
        self.store: StateStore = DynamoStateStore(
            boto3.client("dynamodb", config=_AWS), settings.state_table, self.clock
        )
        self._client = make_client()
        self.venues = _venues(settings, self._client, self.clock)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run to the end."""
        return self._runner.run(work)

    def close(self) -> None:
        """Close connections and loop; Lambda never does, a program that embeds this should."""
        self.run(self._client.aclose())
        self._runner.close()


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings that this build can serve; raises `SettingsError`."""
    settings = Settings.from_env(env)
    unknown = [v for v in settings.venues if v not in VENUES]
    if unknown:
        raise SettingsError(f"SOR_VENUES: expected venues among {', '.join(VENUES)}, not {unknown[0]!r}")
    if not settings.state_table:
        raise SettingsError("SOR_STATE_TABLE: expected the name of the DynamoDB table for health and caches")
    return settings


def _venues(settings: Settings, client: httpx.AsyncClient, clock: Clock) -> dict[str, VenueMarketData]:
    return {
        venue: market_data(
            venue,
            client,
            clock,
            gateway_url=settings.exchange_gateway_url,
            override=settings.venue_urls[venue],
        )
        for venue in settings.venues
    }


class RouteRuntime(_Runtime):
    """The route Lambda."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        parts = (self.store, self.clock, _new_id, self.settings, self.log)
        self._service = RouteService(Gatherer(self.venues, *parts), *parts)

    def route(self, document: Any, *, fresh: bool) -> dict[str, Any]:
        """Answer a route request; raises `ProblemError`."""
        settings = self.settings
        order = parse_order(document, venues=settings.venues, max_slippage_bps=settings.max_slippage_bps)
        outcome = self.run(self._service.route(order, fresh=fresh))
        if isinstance(outcome, NoRoute):
            raise ProblemError(no_route_problem(order, outcome))
        return route_answer(outcome, self.clock.now_ms())

    def status(self) -> dict[str, Any]:
        """Answer how the venues are, from the store alone; raises `ProblemError`."""
        settings = self.settings
        try:
            records = self.run(self.store.load_health(settings.venues))
        except StateError as error:
            problem = Problem(Kind.STATE_UNAVAILABLE, "try again in a moment", retry_after_s=5)
            raise ProblemError(problem) from error
        return status_answer(settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s)

    def health(self) -> dict[str, Any]:
        """Answer that this Lambda runs; asks nobody."""
        return {"status": "ok", "version": __version__, "venues": list(self.settings.venues)}


class ProbeRuntime(_Runtime):
    """The health_probe Lambda."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        queue = SqsProbeQueue(boto3.client("sqs", config=_AWS), self.settings.probe_queue_url)
        self._service = ProbeService(
            self.venues, self.store, queue, self.clock, _new_id, self.settings, self.log
        )

    def handle(self, message: Any) -> dict[str, Any]:
        """Do what a message ``{"kind": ...}`` asks; raises `ValueError` for any other message.

        ``tick`` comes from the scheduler, ``scheduled_probe`` from our own queue, ``probe`` by hand.
        """
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind == "tick":
            return {"scheduled_after_s": list(self.run(self._service.tick()))}
        if kind == "scheduled_probe" and not self.run(self._service.due()):
            return {"skipped": "measured less than half an interval ago"}
        if kind in {"probe", "scheduled_probe"}:
            records = self.run(self._service.probe())
            settings = self.settings
            return status_answer(
                settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s
            )
        raise ValueError('expected a message {"kind": "tick"} or {"kind": "probe"}')
