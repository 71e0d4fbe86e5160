"""Wires the Lambda that follows orders to their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sor_core.bootstrap.trading import TradingRuntime
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
            case {"task": "reconciliation", "days": int(days)} if 1 <= days <= MOST_DAYS:
                return document_of(self.run(self._reconciliation.reconcile(days=days)))
            case {"task": "reconciliation"} if len(message) == 1:
                return document_of(self.run(self._reconciliation.reconcile()))
            case {"task": str(task), "order_id": str(order_id), "epoch": int(epoch)}:
                return asdict(self.run(self.failover.task(task, order_id, epoch)))
            case _:
                raise ValueError('expected a message {"task": ..., "order_id": ..., "epoch": ...}')
