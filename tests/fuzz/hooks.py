"""What schemathesis is told beside the OpenAPI document: a market and ids that exist, checks of our own.

Loaded by schemathesis in a process of its own, see `campaign`.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response
from schemathesis.generation.meta import TestPhase

CASES = Path(os.environ["FUZZ_CASES"])
"""Each case becomes a line of JSON here."""
SYMBOLS = ("BTC/USDT", "BTC/USDT", "BTC/USDT", "ETH/USDT", "BTC/USD", "SOL/USDT")
PRICES = (100, 2_000, 20_000, 61_000, 62_500, 70_000, 200_000)
EXECUTE = "POST /api/execute"
PROBLEM = "urn:sor:problem:"
INEXPLICABLE = {
    "malformed_answer",
    "server_error",
    "connection_failed",
    "answer_too_large",
    "request_refused",
}
"""Why a venue is excluded where it, or we, did wrong: the simulated venues do not."""
UNSAID = (
    "a positive number",  # 18 decimal places are no multiple that floating point knows
    "at most 100 bps",
    "BASE/QUOTE in capitals",  # two different assets
    "at least one venue left",
    "one line of text",
    "no such parameter; ",
)
"""What the document leaves to words: a body that it admits is refused over nothing else."""
UNKNOWN = "verbose"
"""A parameter that no path knows."""
UNKNOWN_SHARE = 0.05
_placed: list[str] = []


@schemathesis.hook
def before_call(_ctx: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Make most well-formed orders such as can be filled, and ask about orders that exist."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    draw = random.Random(json.dumps(case.body, sort_keys=True, default=str))  # noqa: S311 - a test's choice
    # The coverage phase varies one field at a time, hundreds of times: to fill them all would take minutes.
    share = 0.25 if case.meta.phase.name is TestPhase.COVERAGE else 0.9
    if _placed and "order_id" in (case.path_parameters or {}) and draw.random() < 0.7:
        case.path_parameters["order_id"] = draw.choice(_placed[-20:])
    body: Any = case.body
    if isinstance(body, dict) and "symbol" in body and draw.random() < share:
        body |= _fillable(body, draw)
    if (
        case.operation.label == EXECUTE and draw.random() < share
    ):  # a key used before says nothing of the order
        case.headers["Idempotency-Key"] = f"{draw.getrandbits(64):x}"
        body["client_order_id"] = None
    if random.Random(f"{case.query!r}{case.body!r}").random() < UNKNOWN_SHARE:  # noqa: S311 - as above
        case.query = {**(case.query or {}), UNKNOWN: "1"}
    if case.operation.label == "PUT /api/trading":
        body["mode"] = "running"  # what halts trading is tried apart


def _fillable(body: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    changed: dict[str, Any] = {"symbol": draw.choice(SYMBOLS)}
    if body.get("amount") is not None:
        changed["amount"] = draw.choice((0.0001, "0.001", 0.01, "0.05", 0.3, "3", 25))
    if body.get("quote_amount") is not None:
        changed["quote_amount"] = draw.choice(("1", 20, "150.25", 3_000))
    if body.get("price") is not None:
        changed["price"] = draw.choice(PRICES)
    if body.get("max_slippage_bps") is not None:
        changed["max_slippage_bps"] = draw.choice((1, "10", 99.5))
    if body.get("venues") is not None and draw.random() < 0.5:
        changed["venues"] = draw.choice(({"allow": ["kraken"]}, {"deny": ["binance"]}))
    return changed


@schemathesis.hook
def after_call(_ctx: HookContext, case: Case[Any], response: Response) -> None:
    """Write down what was asked and answered."""
    answer = _document(response)
    order_id = answer.get("order_id")
    placed = order_id if case.operation.label == EXECUTE and isinstance(order_id, str) else None
    if placed is not None:
        _placed.append(placed)
    line = {
        "operation": case.operation.label,
        "mode": case.meta.generation.mode.value if case.meta else None,
        "status": response.status_code,
        "type": answer.get("type") if response.status_code >= 400 else None,
        "dry_run": answer.get("dry_run", False),
        "placed": placed,
    }
    with CASES.open("a", encoding="utf-8") as cases:
        cases.write(json.dumps(line) + "\n")


@schemathesis.check
def nothing_fails(_ctx: CheckContext, response: Response, _case: Case[Any]) -> None:
    """No 5xx, but for a market that could not be asked in time or within our budget of requests."""
    if response.status_code < 500:
        return
    answer = _document(response)
    assert answer.get("type") == f"{PROBLEM}no-venue-available", answer
    assert not {each["why"] for each in answer["excluded"]} & INEXPLICABLE, answer


@schemathesis.check
def problem_is_whole(_ctx: CheckContext, response: Response, _case: Case[Any]) -> None:
    """A problem repeats its status, is kept by no cache, and says when to come back where that is of use."""
    if response.status_code < 400:
        return
    answer = _document(response)
    assert answer, "no problem document"
    if not answer["type"].startswith(PROBLEM):
        return  # the gateway's own
    headers = {name.lower(): values for name, values in response.headers.items()}
    assert answer["status"] == response.status_code
    assert headers["cache-control"] == ["no-store"]
    waits = response.status_code == 503 or answer["type"] == f"{PROBLEM}funds-reserved"
    assert waits == ("retry-after" in headers)


@schemathesis.check
def admitted_bodies_are_taken(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What the document admits is refused as malformed over nothing but what it cannot say."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code not in {400, 413, 422}:
        return
    answer = _document(response)
    if answer.get("type") not in {
        f"{PROBLEM}{kind}" for kind in ("invalid-order", "invalid-request", "not-json")
    }:
        return
    for error in answer["errors"]:
        assert error["field"] == "cursor" or error["expected"].startswith(UNSAID), error


@schemathesis.check
def unknown_parameters_are_refused(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A query with a parameter that the document does not name is never passed over."""
    known = {parameter.name for parameter in case.operation.query}
    if not set(case.query or {}) <= known:
        assert 400 <= response.status_code < 500, response.status_code


def _document(response: Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
