"""Wires ports to adapters for each Lambda; nothing here talks to anyone until it is used."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import boto3
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


class _Loop:
    """One event loop as long as the process lives, so that connections are kept."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings that this build can serve; raises `SettingsError`."""
    settings = Settings.from_env(env)
    unknown = [v for v in settings.venues if v not in VENUES]
    if unknown:
        raise SettingsError(f"SOR_VENUES: expected venues among {', '.join(VENUES)}, not {unknown[0]!r}")
    if not settings.state_table:
        raise SettingsError("SOR_STATE_TABLE: expected the name of the DynamoDB table for health and caches")
    return settings


def _venues(settings: Settings, clock: Clock) -> dict[str, VenueMarketData]:
    client = make_client()
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


class RouteRuntime:
    """What the route Lambda keeps between requests."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._settings = settings = read_settings(env)
        self.logger: Logger = make_logger(settings.log_level)
        self._clock = clock = SystemClock()
        self._loop = _Loop()
        store: StateStore = DynamoStateStore(
            boto3.client("dynamodb", config=_AWS), settings.state_table, clock
        )
        self._store = store
        log = PowertoolsLog(self.logger)
        gatherer = Gatherer(_venues(settings, clock), store, clock, _new_id, settings, log)
        self._service = RouteService(gatherer, store, clock, _new_id, settings, log)

    def route(self, document: Any, *, fresh: bool) -> dict[str, Any]:
        """Answer a route request; raises `ProblemError`."""
        settings = self._settings
        order = parse_order(document, venues=settings.venues, max_slippage_bps=settings.max_slippage_bps)
        outcome = self._loop.run(self._service.route(order, fresh=fresh))
        if isinstance(outcome, NoRoute):
            raise ProblemError(no_route_problem(order, outcome))
        return route_answer(outcome, self._clock.now_ms())

    def status(self) -> dict[str, Any]:
        """Answer how the venues are, from the store alone; raises `ProblemError`."""
        settings = self._settings
        try:
            records = self._loop.run(self._store.load_health(settings.venues))
        except StateError as error:
            problem = Problem(Kind.STATE_UNAVAILABLE, "try again in a moment", retry_after_s=5)
            raise ProblemError(problem) from error
        return status_answer(settings.venues, records, self._clock.now_ms(), settings.health_check_interval_s)

    def health(self) -> dict[str, Any]:
        """Answer that this Lambda runs; asks nobody."""
        return {"status": "ok", "version": __version__, "venues": list(self._settings.venues)}


class ProbeRuntime:
    """What the health_probe Lambda keeps between events."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._settings = settings = read_settings(env)
        self.logger: Logger = make_logger(settings.log_level)
        self._clock = clock = SystemClock()
        self._loop = _Loop()
        store: StateStore = DynamoStateStore(
            boto3.client("dynamodb", config=_AWS), settings.state_table, clock
        )
        queue = SqsProbeQueue(boto3.client("sqs", config=_AWS), settings.probe_queue_url)
        log = PowertoolsLog(self.logger)
        self._service = ProbeService(_venues(settings, clock), store, queue, clock, settings, log)

    def handle(self, message: Any) -> dict[str, Any]:
        """Do what a message ``{"kind": ...}`` asks; raises `ValueError` for any other message."""
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind == "tick":
            return {"scheduled_after_s": list(self._loop.run(self._service.tick()))}
        if kind == "probe":
            records = self._loop.run(self._service.probe())
            settings = self._settings
            return status_answer(
                settings.venues, records, self._clock.now_ms(), settings.health_check_interval_s
            )
        raise ValueError('expected a message {"kind": "tick"} or {"kind": "probe"}')
