"""What is counted: one request, invocation or order of each kind, each in functions that are warm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.costs.house import SYMBOL, Counted, House, house

NO_CACHE = {"Cache-Control": "no-cache"}
SWITCH_MS = 2000
"""Longer than a process believes what it knows of the operator's switch."""
LEAVE = {"Prefer": "wait=0"}
LIFETIME_MS = 5000
"""SOR_CACHE_TTL_SECONDS, as it is by default."""
HEALTH_MS = 10_000
"""How often a busy process adds what it met with to the venues' health (services.call_health)."""
FILLED, OPEN = frozenset({"filled"}), frozenset({"working", "resolving"})
EQUAL_FEES = "binance=10,coinbase=10,kraken=10"


class SceneError(Exception):
    """A scene did not go as it must; the text is the answer."""


def count() -> dict[str, Counted]:
    """Play every scene; raises `SceneError` where one does not go as it must."""
    found: dict[str, Counted] = {}
    with house() as at:
        _idle(at, found)
        _routes(at, found)
        _executions(at, found)
        _failovers(at, found)
    with house(SOR_TAKER_FEES_BPS=EQUAL_FEES) as at:
        _warm(at)
        _settle_health(at)
        with at.count() as found["execute, two venues"]:
            _executed(at, "split", legs=2, amount=12, execution_strategy="cost_optimization")
    return found


def _route(at: House, amount: float, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
    body = {"symbol": SYMBOL, "side": "buy", "type": "market", "amount": amount}
    answer = at.api(
        "route", "/api/route", {**body, "execution_strategy": "cost_optimization", **more}, headers
    )
    if "selected_exchange" not in answer:
        raise SceneError(json.dumps(answer))
    return answer


def _executed(
    at: House,
    key: str,
    *,
    legs: int | None = 1,
    amount: float = 0.05,
    headers: Mapping[str, str] | None = None,
    statuses: frozenset[str] = FILLED,
    **more: Any,
) -> Any:
    body = {"symbol": SYMBOL, "side": "buy", "type": "market", "amount": amount, **more}
    asked = {"Idempotency-Key": f"cost-{key}", **(headers or {})}
    answer = at.api("execute", "/api/execute", body, asked)
    if answer.get("status") not in statuses or len(answer["attempts"]) != (legs or len(answer["attempts"])):
        raise SceneError(json.dumps(answer))
    return answer


def _warm(at: House) -> None:
    """Have health, instruments and connections, and the functions started."""
    at.invoke("health_probe", {"kind": "probe"})
    _route(at, 0.1)
    _executed(at, "warm 1", legs=None)
    _executed(at, "warm 2", legs=None)
    at.invoke("execute", {"task": "sweep"}, "task")


def _idle(at: House, found: dict[str, Counted]) -> None:
    _warm(at)
    at.clock.advance_ms(60_000)
    at.invoke("health_probe", {"kind": "probe"})
    with at.count() as found["tick"]:
        at.invoke("health_probe", _message({"kind": "tick"}))
    at.clock.advance_ms(60_000)
    with at.count() as found["probe"]:
        at.invoke("health_probe", _message({"kind": "scheduled_probe"}))
    with at.count() as found["sweep"]:
        at.invoke("execute", {"task": "sweep"}, "task")


def _message(body: Mapping[str, str]) -> Mapping[str, Any]:
    """An event of the queue."""
    record = {"messageId": "1", "body": json.dumps(body), "eventSource": "aws:sqs"}
    arn = "arn:aws:sqs:us-east-1:123456789012:sor-probe"
    return {
        "Records": [
            {
                **record,
                "receiptHandle": "x",
                "attributes": {},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSourceARN": arn,
                "awsRegion": "us-east-1",
            }
        ]
    }


def _routes(at: House, found: dict[str, Counted]) -> None:
    at.clock.advance_ms(60_000)
    _route(at, 0.2)
    with at.count() as found["route, decided before by this process"]:
        _route(at, 0.2)
    _forget(at)
    with at.count() as found["route, decided before by another"]:
        _route(at, 0.2)
    with at.count() as found["route, new order on cached books"]:
        _route(at, 0.3)
    at.clock.advance_ms(2 * LIFETIME_MS)
    with at.count() as found["route, books too old"]:
        _route(at, 0.4)
    at.clock.advance_ms(HEALTH_MS)
    _route(at, 0.5, NO_CACHE)
    with at.count() as found["route, no-cache"]:
        _route(at, 0.5, NO_CACHE)


def _forget(at: House) -> None:
    """Make the route function forget all that it remembers, as another process knows nothing of it."""
    service = at.module("route").runtime._service  # noqa: SLF001
    gatherer = service._gatherer  # noqa: SLF001
    for remembered in (service._decisions, gatherer._books, gatherer._instruments, gatherer._health):  # noqa: SLF001
        remembered.clear()


def _executions(at: House, found: dict[str, Counted]) -> None:
    _settle_health(at)
    with at.count() as found["execute"]:
        _executed(at, "happy")
    with at.count() as found["execute, asked again with its key"]:
        _executed(at, "happy")
    at.clock.advance_ms(HEALTH_MS)
    with at.count() as found["execute, with the sum of health"]:
        _executed(at, "health")


def _settle_health(at: House) -> None:
    """Have the sums of health written, so that they are not due within the next scene."""
    at.clock.advance_ms(HEALTH_MS)
    _executed(at, f"settle {at.clock.now_ms()}", legs=None)
    at.clock.advance_ms(SWITCH_MS)


def _failovers(at: House, found: dict[str, Counted]) -> None:
    for name, fault in (
        ("execute, turned away by its venue", {"fault": "cancel_only"}),
        ("execute, answer lost, never placed", {"fault": "drop", "when": "before"}),
        ("execute, answer lost, placed", {"fault": "drop", "when": "after"}),
    ):
        _settle_health(at)
        at.venues.post("/sim/faults", {"venue": "binance", "endpoint": "place_order", "count": 1, **fault})
        with at.count() as found[name]:
            answer = _executed(at, name, headers=LEAVE, statuses=OPEN)
            at.follow(answer["order_id"], answer["epoch"])
        at.venues.post("/sim/faults", [])
        detail = _executed(at, name, legs=1 if name.endswith(", placed") else 2)
        if not detail["failover_used"] and not name.endswith(", placed"):
            raise SceneError(json.dumps(detail))
