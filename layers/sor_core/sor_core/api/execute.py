"""Requests about orders as they come in: execute, cancel, list, review, and the operator's switch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from sor_core.api.orders import order_not_found_problem
from sor_core.api.problems import FieldError, Kind, Problem, ProblemError, invalid
from sor_core.api.schemas import WHOLE, RouteRequest, checked, order_errors, to_order
from sor_core.domain.money import plain
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import TimeInForce
from sor_core.execution.request import ExecuteRequest
from sor_core.ports_trading import Standing

DEFAULT_WAIT_S = 20
MOST_WAIT_S = 24
"""The gateway ends at 29 s; what is left is for writing down where the order stands."""
DEFAULT_LIMIT = 20
MOST_LIMIT = 100
_KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[ -~]{1,128}", re.ASCII)
_KEY_EXPECTED = "1 to 128 printable ASCII characters, once"
_CLIENT_ORDER_ID = re.compile(r"[!-~]{1,64}", re.ASCII)
_CURSOR = re.compile(r"[!-~]{1,2048}", re.ASCII)
_ORDER_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LONGEST_PREFER = 1024
_PREFERENCE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",]|")+')
_WAIT = re.compile(r"wait[ \t]*(?:=(?P<value>.*))?", re.ASCII | re.IGNORECASE | re.DOTALL)
_SECONDS = re.compile(r'[ \t]*(?P<quote>"?)(?P<seconds>[0-9]{1,1000})(?P=quote)[ \t]*', re.ASCII)


def _name(text: str) -> str:
    if not _CLIENT_ORDER_ID.fullmatch(text):
        raise PydanticCustomError("name", "1 to 64 printable ASCII characters without spaces")
    return text


def _line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise PydanticCustomError("line", "one line of text")
    return text.strip()


class ExecuteBody(RouteRequest):
    """The body of ``POST /api/execute``; see docs/api.md."""

    time_in_force: Literal["IOC", "GTC"] = "IOC"
    client_order_id: Annotated[str, AfterValidator(_name)] | None = None
    dry_run: Annotated[bool, Field(strict=True)] = False


class SwitchBody(BaseModel):
    """The body of ``PUT /api/trading``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["running", "reduce_only", "halted"]
    reason: Annotated[str, Field(max_length=200), AfterValidator(_line)] | None = None


class ReviewBody(BaseModel):
    """The body of ``POST /api/orders/{order_id}/review``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempt: Annotated[int, Field(ge=1, le=10_000, strict=True), WHOLE]
    resolution: Literal["never_placed", "keep_as_told"]
    note: Annotated[str, Field(max_length=500), AfterValidator(_line)]


@dataclass(frozen=True, slots=True)
class ExecuteRules:
    """What the configuration says of orders at the edge."""

    venues: tuple[str, ...]
    max_slippage_bps: Decimal
    """The most, and what a market order that names none gets."""
    require_key: bool
    """Whether an order needs a key."""


class Resolution(StrEnum):
    """What an operator found of an attempt of which it could not be told what came of it."""

    NEVER_PLACED = "never_placed"
    """The venue never had it; refused where the venue shows it, or fills of it are known."""
    KEEP_AS_TOLD = "keep_as_told"
    """It ended at the venue, as the venue tells when asked now."""


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """An operator's word on one attempt of an order under review."""

    attempt: int
    resolution: Resolution
    note: str
    """How the operator knows; stays in the order's history."""


def parse_execute(
    document: Any,
    headers: Mapping[str, str],
    *,
    caller: str,
    correlation_id: str,
    received_at_ms: int,
    rules: ExecuteRules,
) -> ExecuteRequest:
    """Check an order to execute and its headers.

    Parameters
    ----------
    document
        Decoded JSON.
    headers
        Of the request; names in any case.
    caller
        Who asks, as the gateway authenticated them.
    correlation_id
        The request's id in the logs.
    received_at_ms
        Our clock.
    rules
        Of the configuration.

    Raises
    ------
    ProblemError
        Naming every field that is wrong and what was expected; for a key that cannot be used; for
        a missing one where it is required.
    """
    body = checked(ExecuteBody, document)
    errors = order_errors(body, venues=rules.venues, max_slippage_bps=rules.max_slippage_bps)
    if errors := [*errors, *_resting_errors(body)]:
        raise invalid(errors)
    # Both make it one order: an HTTP layer that makes a new key for a retry of its own does no harm.
    named = (("key", _key(headers)), ("client_order_id", body.client_order_id))
    keys = tuple(f"{kind}:{value}" for kind, value in named if value is not None)
    if not keys and rules.require_key:
        expected = f"a header {_KEY_HEADER}, or client_order_id in the body"
        raise ProblemError(Problem(Kind.KEY_REQUIRED, f"expected {expected}"))
    return ExecuteRequest(
        order=to_order(body, rules.max_slippage_bps),
        time_in_force=TimeInForce(body.time_in_force),
        caller=caller,
        client_order_id=body.client_order_id or "",
        keys=keys,
        body_hash=_body_hash(body),
        dry_run=body.dry_run,
        wait_s=parse_wait(headers),
        received_at_ms=received_at_ms,
        correlation_id=correlation_id,
    )


def _resting_errors(body: ExecuteBody) -> list[FieldError]:
    if body.time_in_force == TimeInForce.IOC:
        return []
    errors = []
    if body.type != "limit":
        errors.append(FieldError("time_in_force", "IOC, for the type is market"))
    if body.quote_amount is not None:
        errors.append(FieldError("quote_amount", "amount (base) instead, for the rest would wait in a book"))
    return errors


def _body_hash(body: ExecuteBody) -> str:
    # What was asked, before configured defaults: a retry stays the same request when those change. Where one
    # was written out, the order itself tells that it is the same (`ExecuteRequest.differs_from`).
    asked = body.model_dump(exclude_none=True, exclude={"venues"})
    canonical = {name: plain(v) if isinstance(v, Decimal) else v for name, v in asked.items()}
    if body.venues is not None:
        chosen = body.venues.model_dump(exclude_none=True)
        canonical["venues"] = {name: sorted(set(venues)) for name, venues in chosen.items()}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _key(headers: Mapping[str, str]) -> str | None:
    given = {value.strip(" \t") for value in _values(headers, _KEY_HEADER)}
    if not given:
        return None
    key = given.pop()
    if given or not _KEY.fullmatch(key):
        raise invalid([FieldError(_KEY_HEADER, _KEY_EXPECTED)], Kind.INVALID_REQUEST)
    return key


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    return [value for given, value in headers.items() if given.lower() == name.lower()]


def parse_wait(headers: Mapping[str, str]) -> float:
    """How long the caller waits: ``Prefer: wait=N`` (RFC 7240, section 4.3), in seconds from receipt.

    Of several the first counts, and one that cannot be read counts for nothing (section 2).
    """
    text = ",".join(_values(headers, "Prefer"))
    if len(text) > _LONGEST_PREFER:
        return DEFAULT_WAIT_S
    for preference in _PREFERENCE.findall(text):
        wait = _WAIT.fullmatch(preference.partition(";")[0].strip(" \t"))
        if wait is None:
            continue
        seconds = _SECONDS.fullmatch(wait["value"] or "")
        return DEFAULT_WAIT_S if seconds is None else min(int(seconds["seconds"]), MOST_WAIT_S)
    return DEFAULT_WAIT_S


def parse_switch(document: Any) -> tuple[TradingMode, str]:
    """Check a setting of the operator's switch; raises `ProblemError`. Running needs no reason."""
    body = checked(SwitchBody, document, Kind.INVALID_REQUEST)
    mode = TradingMode(body.mode)
    if body.reason is None and mode is not TradingMode.RUNNING:
        raise invalid([FieldError("reason", f"why, for the mode is {mode}")], Kind.INVALID_REQUEST)
    return mode, body.reason or ""


def parse_review(document: Any) -> ReviewRequest:
    """Check an operator's word on an attempt; raises `ProblemError`."""
    body = checked(ReviewBody, document, Kind.INVALID_REQUEST)
    return ReviewRequest(body.attempt, Resolution(body.resolution), body.note)


def parse_orders_query(query: Mapping[str, str]) -> tuple[int, str | None]:
    """Read ``limit`` and ``cursor``; raises `ProblemError`."""
    return _part_of_list(query, [])


def parse_reviews_query(query: Mapping[str, str]) -> tuple[Standing, int, str | None]:
    """Read ``status``, and ``limit`` and ``cursor`` as of any list; raises `ProblemError`."""
    status = query.get("status", Standing.NEEDS_REVIEW.value)
    known = status in {standing.value for standing in Standing}
    errors = [] if known else [FieldError("status", " or ".join(Standing))]
    limit, cursor = _part_of_list(query, errors)
    return Standing(status), limit, cursor


def _part_of_list(query: Mapping[str, str], errors: list[FieldError]) -> tuple[int, str | None]:
    """Read which part of a list is asked for; raises `ProblemError`, also for what was found before."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    # Two digits more than the most: int() of any length is slow.
    limit = int(text) if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) else 0
    if not 1 <= limit <= MOST_LIMIT:
        errors.append(FieldError("limit", f"a whole number from 1 to {MOST_LIMIT}"))
    cursor = query.get("cursor")
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        errors.append(FieldError("cursor", "the cursor of an earlier answer, or none"))
    if errors:
        raise invalid(errors, Kind.INVALID_REQUEST)
    return limit, cursor


def parse_order_id(text: str) -> str:
    """Check an order id; raises `ProblemError` (404): what has another form names no order."""
    if not _ORDER_ID.fullmatch(text):
        raise ProblemError(order_not_found_problem())
    return text
