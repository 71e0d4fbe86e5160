"""Wires the Lambda that measures the venues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sor_core.adapters.sqs_probes import SqsProbeQueue
from sor_core.api.status import status_answer
from sor_core.bootstrap import Runtime, new_id
from sor_core.services.probe import ProbeService, measure_exchanges


class ProbeRuntime(Runtime):
    """The health_probe Lambda."""

    function = "probe"

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        queue = SqsProbeQueue(self.aws.client("sqs"), self.settings.probe_queue_url)
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
