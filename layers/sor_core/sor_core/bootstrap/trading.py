"""Wires the Lambdas that trade: only they need keys, order clients and writes to the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
from sor_core.adapters.nonces import DynamoNonces
from sor_core.adapters.pool import make_order_client
from sor_core.adapters.secrets import SecretsManagerCredentials
from sor_core.adapters.step_functions import StepFunctionsFailover
from sor_core.adapters.venues.budget import VenueBudget
from sor_core.adapters.venues.registry import budget, market_data
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.api.answers import no_route_problem
from sor_core.api.execute import (
    ExecuteRules,
    Resolution,
    parse_execute,
    parse_order_id,
    parse_review,
    parse_switch,
    parse_wait,
)
from sor_core.api.orders import (
    dry_run_answer,
    ledger_unavailable_problem,
    order_answer,
    order_detail,
    order_not_found_problem,
    order_status_code,
    refusal_problem,
    switch_answer,
    venue_answer,
)
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.bootstrap import Runtime, new_id
from sor_core.domain.decision import NoRoute
from sor_core.execution.record import OrderRecord
from sor_core.execution.request import Refused
from sor_core.metrics import RATE_LIMIT_BUDGET_USED_RATIO
from sor_core.ports_trading import LedgerError
from sor_core.services.context import Context
from sor_core.services.control import ControlService, ReviewError
from sor_core.services.counterparties import Counterparties, Counterparty
from sor_core.services.desk import Desk
from sor_core.services.drive import Driver
from sor_core.services.execute import DryRun, ExecutionService
from sor_core.services.failover import FailoverService
from sor_core.services.follow import Follower
from sor_core.services.gather import Gatherer
from sor_core.services.reconciliation import MOST_DAYS, ReconciliationService, document_of
from sor_core.settings import SettingsError

_Answer = tuple[dict[str, Any], int, dict[str, str]]


class _TradingRuntime(Runtime):
    """What both Lambdas that trade are made of."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        settings = self.settings
        for name, value in (
            ("SOR_ORDERS_TABLE", settings.orders_table),
            ("SOR_FAILOVER_MACHINE", settings.failover_machine_arn),
            ("SOR_SECRETS_PREFIX", settings.secrets_prefix),
        ):
            if not value:
                raise SettingsError(f"{name}: expected a value, as the template sets it")
        dynamodb = self.dynamodb
        self.ledger = DynamoOrderLedger(dynamodb, settings.orders_table, self.clock, new_id)
        failover = StepFunctionsFailover(
            partial(self.aws.client, "stepfunctions"), settings.failover_machine_arn
        )
        self._order_client = make_order_client()
        parts = TradingParts(
            self._order_client,
            self.clock,
            SecretsManagerCredentials(self.aws.client("secretsmanager"), settings.secrets_prefix, self.clock),
            DynamoNonces(dynamodb, settings.state_table, self.clock),
            new_id,
        )
        context = Context(self.clock, asyncio.sleep, new_id, settings, self.log, self.metrics)
        self._budgets: dict[str, VenueBudget] = {}
        self.counterparties = {venue: self._counterparty(venue, parts) for venue in settings.venues}
        gatherer = Gatherer(self.venues, self.store, self.clock, new_id, settings, self.log)
        self.desk = Desk(Counterparties(self.counterparties), gatherer, self.ledger, self.store, context)
        driver = Driver(self.desk, self.ledger, context)
        self.follower = Follower(self.desk, driver, self.ledger, failover, context)
        self.execution = ExecutionService(self.desk, driver, self.follower, self.ledger, context)
        self.failover = FailoverService(self.desk, self.follower, driver, self.ledger, failover, context)
        self.context = context

    def _counterparty(self, venue: str, parts: TradingParts) -> Counterparty:
        settings = self.settings
        addresses = {
            "gateway_url": settings.exchange_gateway_url,
            "override": settings.venue_urls[venue],
        }
        try:
            shared = budget(venue, self.clock, settings.key_tiers.get(venue, ""))
        except ValueError as error:
            raise SettingsError(f"SOR_KEY_TIERS: {error}") from error
        self._budgets[venue] = shared
        time = VenueClock(self.clock)
        return Counterparty(
            trading(venue, parts, time, budget=shared, **addresses),
            market_data(venue, self._order_client, self.clock, budget=shared, **addresses),
            time,
        )

    def measure(self) -> None:
        """Tell how much of the venues' limits is used up."""
        for venue, shared in self._budgets.items():
            self.metrics.set(RATE_LIMIT_BUDGET_USED_RATIO, shared.used_ratio(), venue)

    def close(self) -> None:
        """Close connections and loop."""
        self.run(self._order_client.aclose())
        super().close()


class ExecuteRuntime(_TradingRuntime):
    """The execute Lambda."""

    function = "execute"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self._control = ControlService(self.follower, self.desk, self.ledger, self.context)
        self._rules = ExecuteRules(
            self.settings.venues, self.settings.max_slippage_bps, self.settings.require_idempotency_key
        )

    def execute(self, document: Any, headers: Mapping[str, str], caller: str, correlation_id: str) -> _Answer:
        """Answer an order to execute; raises `ProblemError`."""
        request = parse_execute(
            document,
            headers,
            caller=caller,
            correlation_id=correlation_id,
            received_at_ms=self.clock.now_ms(),
            rules=self._rules,
        )
        try:
            outcome = self.run(self.execution.execute(request))
        except LedgerError as error:
            raise self._unavailable(error) from error
        if isinstance(outcome, NoRoute):
            raise ProblemError(no_route_problem(request.order, outcome))
        if isinstance(outcome, Refused):
            raise ProblemError(refusal_problem(outcome))
        if isinstance(outcome, DryRun):
            return dry_run_answer(outcome.decision_id, outcome.decision, outcome.legs), 200, {}
        return _order(outcome.record)

    def cancel(self, order_id: str, caller: str, headers: Mapping[str, str]) -> _Answer:
        """Cancel what is still open of an order; raises `ProblemError`."""
        until_ms = self.clock.now_ms() + round(parse_wait(headers) * 1000)
        try:
            record = self.run(self.follower.cancel(parse_order_id(order_id), caller, until_ms))
        except LedgerError as error:
            raise self._unavailable(error) from error
        if record is None:
            raise ProblemError(order_not_found_problem())
        return _order(record)

    def set_switch(self, document: Any, caller: str) -> dict[str, Any]:
        """Set the operator's switch; raises `ProblemError`."""
        mode, reason = parse_switch(document)
        try:
            switch, still_open = self.run(self._control.set_switch(mode, reason, caller))
        except LedgerError as error:
            raise self._unavailable(error) from error
        return {**switch_answer(switch), "still_open": None if still_open < 0 else still_open}

    def evidence(self, order_id: str) -> dict[str, Any]:
        """Answer what ledger and venues say of an order; raises `ProblemError`."""
        try:
            found = self.run(self._control.evidence(parse_order_id(order_id)))
        except LedgerError as error:
            raise self._unavailable(error) from error
        if found is None:
            raise ProblemError(order_not_found_problem())
        record, evidence = found
        shown = [venue_answer(e.attempt, e.shown, e.problem) for e in evidence]
        return {"order": order_detail(record), "venues": shown}

    def review(self, order_id: str, document: Any, caller: str) -> dict[str, Any]:
        """Take an operator's word on an attempt; raises `ProblemError`."""
        asked = parse_review(document)
        never_placed = asked.resolution is Resolution.NEVER_PLACED
        try:
            record = self.run(
                self._control.settle(
                    parse_order_id(order_id),
                    asked.attempt,
                    never_placed=never_placed,
                    note=asked.note,
                    by=caller,
                )
            )
        except LedgerError as error:
            raise self._unavailable(error) from error
        except ReviewError as error:
            raise ProblemError(Problem(Kind.REVIEW_REFUSED, str(error))) from error
        if record is None:
            raise ProblemError(order_not_found_problem())
        return order_detail(record)

    def _unavailable(self, error: LedgerError) -> ProblemError:
        self.log.warning("ledger unavailable", error=str(error))
        return ProblemError(ledger_unavailable_problem())


class TaskRuntime(_TradingRuntime):
    """The twin of execute that does the state machine's tasks and what is scheduled."""

    function = "task"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        venues = {venue: party.trading for venue, party in self.counterparties.items()}
        self._reconciliation = ReconciliationService(venues, self.ledger, self.context)

    def handle(self, message: Any) -> dict[str, Any]:
        """Do what a message ``{"task": ...}`` asks.

        Raises `ValueError` for any other message, and `LedgerError`: the machine then reconciles.
        """
        match message:
            case {"task": "sweep"}:
                return dict(self.run(self.failover.sweep()))
            case {"task": "reconciliation", "days": int(days)} if 1 <= days <= MOST_DAYS:
                return document_of(self.run(self._reconciliation.reconcile(days=days)))
            case {"task": "reconciliation"} if len(message) == 1:
                return document_of(self.run(self._reconciliation.reconcile()))
            case {"task": str(task), "order_id": str(order_id), "epoch": int(epoch)}:
                return asdict(self.run(self.failover.task(task, order_id, epoch)))
            case _:
                raise ValueError('expected a message {"task": ..., "order_id": ..., "epoch": ...}')


def _order(record: OrderRecord) -> _Answer:
    status = order_status_code(record)
    headers = {"Location": f"/api/orders/{record.order_id}"}
    return order_answer(record), status, headers
