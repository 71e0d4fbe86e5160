"""Wires ports to adapters for each Lambda; nothing here talks to anyone until it is used."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

from sor_core import __version__
from sor_core.adapters.dynamo_counters import DynamoCounters
from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.adapters.emf import EmfWriter
from sor_core.adapters.http import make_client
from sor_core.adapters.sqs_probes import SqsProbeQueue
from sor_core.adapters.venues.registry import VENUES, market_data
from sor_core.api import prometheus
from sor_core.api.answers import no_route_problem, route_answer, status_answer
from sor_core.api.execute import parse_order_id, parse_orders_query
from sor_core.api.json import loads
from sor_core.api.orders import (
    cursor_problem,
    ledger_unavailable_problem,
    order_detail,
    order_not_found_problem,
    orders_page,
    receipt_not_found_problem,
    switch_answer,
)
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.api.schemas import parse_order
from sor_core.clock import Clock, SystemClock
from sor_core.domain.decision import NoRoute
from sor_core.execution.record import OrderRecord
from sor_core.metrics import Outcome
from sor_core.observability import PowertoolsLog, make_logger
from sor_core.ports import LedgerError, OrderLedger, StateError, StateStore, VenueMarketData
from sor_core.services.gather import Gatherer
from sor_core.services.metering import Meter, Recorder
from sor_core.services.probe import ProbeService
from sor_core.services.quality import measure_exchanges
from sor_core.services.route import RouteService
from sor_core.settings import Settings, SettingsError

AWS_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
)
_T = TypeVar("_T")


def new_id() -> str:
    """Give a random text of 32 hex digits."""
    return uuid.uuid4().hex


class Runtime:
    """What every Lambda keeps between events.

    One event loop and one HTTP client as long as the process lives, so that connections are kept.
    """

    function: ClassVar[str]
    """Its name in the metrics."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.settings = settings = read_settings(env)
        self.logger: Logger = make_logger(settings.log_level)
        self.log = PowertoolsLog(self.logger)
        self.clock: Clock = SystemClock()
        self.dynamodb: Any = boto3.client("dynamodb", config=AWS_CONFIG)
        self.store: StateStore = DynamoStateStore(self.dynamodb, settings.state_table, self.clock)
        self.metrics = Recorder()
        self.counters = DynamoCounters(
            self.dynamodb, settings.state_table, self.function, uuid.uuid4().int, self.clock
        )
        emf = EmfWriter(settings.metrics_namespace)
        self._meter = Meter(self.metrics, self.counters, emf.write, self.function, self.clock, self.log)
        self._client = make_client()
        self.venues: dict[str, VenueMarketData] = {
            venue: market_data(
                venue,
                self._client,
                self.clock,
                gateway_url=settings.exchange_gateway_url,
                override=settings.venue_urls[venue],
            )
            for venue in settings.venues
        }
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run to the end."""
        return self._runner.run(work)

    def metered(self, handle: Callable[[Any, Any], _T]) -> Callable[[Any, Any], _T]:
        """Have each invocation of a handler measured, and what it measured written at its end."""

        def invoke(event: Any, context: Any) -> _T:
            started, outcome = self._meter.begin(), Outcome.FAILED
            try:
                answer = handle(event, context)
                outcome = _outcome(answer)
            finally:
                self.measure()
                self.run(self._meter.end(started, outcome))
            return answer

        return invoke

    def measure(self) -> None:
        """Tell the metrics what is known at the end of an invocation."""

    def close(self) -> None:
        """Close connections and loop; Lambda never does, a program that embeds this should."""
        self.run(self._client.aclose())
        self._runner.close()


def _outcome(answer: object) -> Outcome:
    """What an answer says of its invocation: HTTP's status, messages that failed, or that there is one."""
    told = answer if isinstance(answer, dict) else {}
    status = told.get("statusCode", HTTPStatus.OK)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or told.get("batchItemFailures"):
        return Outcome.FAILED
    return Outcome.REFUSED if status >= HTTPStatus.BAD_REQUEST else Outcome.OK


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings that this build can serve; raises `SettingsError`."""
    settings = Settings.from_env(env)
    unknown = [v for v in settings.venues if v not in VENUES]
    if unknown:
        raise SettingsError(f"SOR_VENUES: expected venues among {', '.join(VENUES)}, not {unknown[0]!r}")
    if not settings.state_table:
        raise SettingsError("SOR_STATE_TABLE: expected the name of the DynamoDB table for health and caches")
    return settings


class RouteRuntime(Runtime):
    """The route Lambda."""

    function = "route"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        parts = (self.store, self.clock, new_id, self.settings, self.log)
        self._service = RouteService(Gatherer(self.venues, *parts), *parts, self.metrics)
        self._ledger: OrderLedger = DynamoOrderLedger(
            self.dynamodb, self.settings.orders_table, self.clock, new_id
        )

    def route(self, document: Any, *, fresh: bool, receipt: bool = False) -> dict[str, Any]:
        """Answer a route request; raises `ProblemError`."""
        settings = self.settings
        order = parse_order(document, venues=settings.venues, max_slippage_bps=settings.max_slippage_bps)
        outcome = self.run(self._service.route(order, fresh=fresh, receipt=receipt))
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

    def metrics_page(self) -> str:
        """Answer the metrics as Prometheus reads them; raises `ProblemError`."""
        settings = self.settings
        try:
            totals = self.run(self.counters.totals())
            records = self.run(self.store.load_health(settings.venues))
        except StateError as error:
            problem = Problem(Kind.STATE_UNAVAILABLE, "try again in a moment", retry_after_s=5)
            raise ProblemError(problem) from error
        return prometheus.page(
            totals, settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s
        )

    def orders(self, caller: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer a caller's orders, newest first; raises `ProblemError`."""
        limit, cursor = parse_orders_query(query)
        try:
            page = self._ask_ledger(self._ledger.orders(caller, limit=limit, cursor=cursor))
        except ValueError as error:
            raise ProblemError(cursor_problem()) from error
        return orders_page(page)

    def order(self, order_id: str, caller: str) -> dict[str, Any]:
        """Answer an order with its history; raises `ProblemError`."""
        return order_detail(self._order(order_id, caller))

    def receipt(self, order_id: str, caller: str) -> dict[str, Any]:
        """Answer the receipt of an order's first decision; raises `ProblemError`."""
        record = self._order(order_id, caller)
        body = self._ask_ledger(self._ledger.receipt(record.order_id))
        if body is None:
            raise ProblemError(receipt_not_found_problem())
        document: dict[str, Any] = loads(body)
        return document

    def switch(self) -> dict[str, Any]:
        """Answer how the operator's switch stands; raises `ProblemError`."""
        return switch_answer(self._ask_ledger(self._ledger.switch()))

    def _order(self, order_id: str, caller: str) -> OrderRecord:
        record = self._ask_ledger(self._ledger.load(parse_order_id(order_id)))
        if record is None or record.caller != caller:
            raise ProblemError(order_not_found_problem())
        return record

    def _ask_ledger(self, question: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self.run(question)
        except LedgerError as error:
            self.log.warning("ledger unavailable", error=str(error))
            raise ProblemError(ledger_unavailable_problem()) from error

    def health(self) -> dict[str, Any]:
        """Answer that this Lambda runs; asks nobody."""
        return {"status": "ok", "version": __version__, "venues": list(self.settings.venues)}


class ProbeRuntime(Runtime):
    """The health_probe Lambda."""

    function = "probe"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        queue = SqsProbeQueue(boto3.client("sqs", config=AWS_CONFIG), self.settings.probe_queue_url)
        self._service = ProbeService(
            self.venues, self.store, queue, self.clock, new_id, self.settings, self.log
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
            self.run(measure_exchanges(self.metrics, self.store, settings, self.clock.now_ms(), self.log))
            return status_answer(
                settings.venues, records, self.clock.now_ms(), settings.health_check_interval_s
            )
        raise ValueError('expected a message {"kind": "tick"} or {"kind": "probe"}')
