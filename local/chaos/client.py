"""A client of the API as a careful one is: same key for the same order, until the answer is clear."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from local.chaos.running import Running

PATIENCE_S = 45.0
"""A little over the front door's own 35 s."""
TRIES = 10
AGAIN_S = 0.5
PROBLEM = "application/problem+json"
OURS = "urn:sor:problem:"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    document: Any
    retry_after: str | None = None
    location: str | None = None

    @property
    def problem(self) -> str:
        """The problem's own name, such as ``no-venue-available``; empty where it is none of ours."""
        kind = self.document.get("type", "") if isinstance(self.document, dict) else ""
        return kind.removeprefix(OURS) if kind.startswith(OURS) else ""


@dataclass(slots=True)
class Seen:
    """What all clients together met."""

    statuses: Counter[str] = field(default_factory=Counter)
    lost_to_kills: int = 0
    """Gateway errors while a process was killed: the local AWS tells of it so."""
    hung_up: int = 0
    repeated: int = 0
    oddities: list[str] = field(default_factory=list)
    """Answers that should not be."""


class Client:
    """Calls the API, and counts what it answers."""

    def __init__(self, session: ClientSession, running: Running) -> None:
        self._session = session
        self._running = running
        self.seen = Seen()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """Ask once; nothing is raised."""
        began_s = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._running.url + path,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json", **(headers or {})},
                timeout=ClientTimeout(total=patience_s),
            ) as response:
                text = await response.text()
                kind = response.headers.get("Content-Type", "")
                answer = Answer(
                    response.status,
                    _document(text),
                    response.headers.get("Retry-After"),
                    response.headers.get("Location"),
                )
        except (ClientError, TimeoutError) as error:
            if patience_s == PATIENCE_S:
                self.seen.oddities.append(f"{method} {path}: no answer: {type(error).__name__}")
            self.seen.hung_up += 1
            return Answer(0, None)
        self._judge(f"{method} {path}", answer, kind, began_s)
        return answer

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask until the answer is clear: less than 500, or a problem that no repetition changes."""
        answer = Answer(0, None)
        for attempt in range(TRIES):
            if attempt:
                self.seen.repeated += 1
                await asyncio.sleep(AGAIN_S * attempt)
            answer = await self.call(method, path, body, headers)
            if 0 < answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return answer
            if answer.problem == "no-venue-available":
                return answer
        self.seen.oddities.append(f"{method} {path}: no clear answer after {TRIES} tries: {answer}")
        return answer

    def _judge(self, what: str, answer: Answer, kind: str, began_s: float) -> None:
        """Count an answer, and note one that is not as the API promises."""
        self.seen.statuses[f"{answer.status} {answer.problem}".strip()] += 1
        if answer.status < HTTPStatus.BAD_REQUEST:
            return
        gateways = answer.status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
        if gateways and self._running.killed_between(began_s, time.monotonic()):
            self.seen.lost_to_kills += 1
            return
        clear = answer.problem and kind.startswith(PROBLEM)
        unavailable = answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        if not clear or (unavailable and answer.retry_after is None):
            self.seen.oddities.append(f"{what}: {answer.status} {kind} {str(answer.document)[:300]}")
        elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not unavailable:
            self.seen.oddities.append(f"{what}: {answer.status} {answer.problem}")


def _document(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return text
