"""Wires the Lambda that follows orders to their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sor_core.bootstrap.trading import TradingRuntime
from sor_core.domain.instrument import Symbol
from sor_core.services.failover import FailoverService
from sor_core.services.reconciliation import MOST_DAYS, ReconciliationService, document_of


class TaskRuntime(TradingRuntime):
    """The twin of execute that does the state machine's tasks and what is scheduled."""

    function = "task"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        parts = (self.driver, self.ledger, self.machine, self.context)
        self.failover = FailoverService(self.desk, self.follower, *parts)
        venues = {venue: party.trading for venue, party in self.counterparties.items()}
        self._reconciliation = ReconciliationService(venues, self.ledger, self.context)

    def handle(self, message: Any) -> dict[str, Any]:
        """Do what a message ``{"task": ...}`` asks.

        Raises `ValueError` for any other message, and `LedgerError`: the machine then reconciles.
        """
        match message:
            case {"task": "sweep"}:
                return dict(self.run(self.failover.sweep()))
            case {"task": "reconciliation"}:
                return document_of(self.run(self._reconciliation.reconcile(**_extent(message))))
            case {"task": str(task), "order_id": str(order_id), "epoch": int(epoch)}:
                return asdict(self.run(self.failover.task(task, order_id, epoch)))
            case _:
                raise ValueError('expected a message {"task": ..., "order_id": ..., "epoch": ...}')


def _extent(message: dict[str, Any]) -> dict[str, Any]:
    """What a reconciliation is asked to look at; raises `ValueError`."""
    days, symbols = message.get("days", 1), message.get("symbols", [])
    known = message.keys() <= {"task", "days", "symbols"}
    if not (known and isinstance(days, int) and 1 <= days <= MOST_DAYS and isinstance(symbols, list)):
        expected = f'{{"task": "reconciliation", "days": 1 to {MOST_DAYS}, "symbols": ["SOL/USDT"]}}'
        raise ValueError(f"expected a message {expected}")
    return {"days": days, "symbols": [Symbol.parse(str(symbol)) for symbol in symbols]}
