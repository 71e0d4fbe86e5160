"""Wires the Lambda that executes orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sor_core.api.execute import (
    ExecuteRules,
    Resolution,
    parse_execute,
    parse_order_id,
    parse_review,
    parse_reviews_query,
    parse_switch,
    parse_wait,
)
from sor_core.api.no_route import no_route_problem
from sor_core.api.orders import (
    cursor_problem,
    dry_run_answer,
    ledger_unavailable_problem,
    order_answer,
    order_detail,
    order_not_found_problem,
    order_status_code,
    refusal_problem,
    reviews_page,
    switch_answer,
    venue_answer,
)
from sor_core.api.problems import Kind, Problem, ProblemError
from sor_core.bootstrap.trading import TradingRuntime
from sor_core.domain.decision import NoRoute
from sor_core.execution.record import OrderRecord
from sor_core.execution.request import Refused
from sor_core.ports_trading import LedgerError
from sor_core.services.control import ControlService, ReviewError
from sor_core.services.execute import DryRun, ExecutionService

_Answer = tuple[dict[str, Any], int, dict[str, str]]


class ExecuteRuntime(TradingRuntime):
    """The execute Lambda."""

    function = "execute"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.execution = ExecutionService(self.desk, self.driver, self.follower, self.ledger, self.context)
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

    def reviews(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer all callers' orders that need review, or that are open; raises `ProblemError`."""
        standing, limit, cursor = parse_reviews_query(query)
        try:
            return reviews_page(self.run(self.ledger.standing(standing, limit=limit, cursor=cursor)))
        except ValueError as error:
            raise ProblemError(cursor_problem()) from error
        except LedgerError as error:
            raise self._unavailable(error) from error

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


def _order(record: OrderRecord) -> _Answer:
    status = order_status_code(record)
    headers = {"Location": f"/api/orders/{record.order_id}"}
    return order_answer(record), status, headers
