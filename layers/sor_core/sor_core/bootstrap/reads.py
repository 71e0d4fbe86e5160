"""Wires what the route Lambda tells of orders: the ledger, and its answers."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from sor_core.adapters.dynamo_orders import DynamoOrderLedger
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
from sor_core.api.problems import ProblemError
from sor_core.bootstrap import Runtime, new_id
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import LedgerError, OrderLedger

_T = TypeVar("_T")


class OrderReads:
    """What callers are told of orders."""

    def __init__(self, runtime: Runtime) -> None:
        self._run = runtime.run
        self._log = runtime.log
        self._ledger: OrderLedger = DynamoOrderLedger(
            runtime.dynamodb, runtime.settings.orders_table, runtime.clock, new_id
        )

    def page(self, caller: str, query: Mapping[str, str]) -> dict[str, Any]:
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
            return self._run(question)
        except LedgerError as error:
            self._log.warning("ledger unavailable", error=str(error))
            raise ProblemError(ledger_unavailable_problem()) from error
