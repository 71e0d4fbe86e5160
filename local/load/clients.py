"""Clients that ask one request after the other over connections they keep, and what they were answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

PATIENCE_S = 45.0
"""A little over the front door's own 35 s: its answer comes first."""
KINDS: Mapping[str, str] = {
    "route": "/api/route",
    "fresh": "/api/route",
    "execute": "/api/execute",
}
"""What is asked, by its name in a mix: `fresh` is a route with ``Cache-Control: no-cache``."""
SYMBOLS: Mapping[str, float] = {"BTC/USDT": 1.0, "ETH/USDT": 25.0}
"""What is traded, and how many of its units make about one of the first."""
STRATEGIES = ("best_execution", "best_liquidity", "cost_optimization", "lowest_latency")
ROUTED_AMOUNTS = (0.1, 0.5, 2.0)
EXECUTED_AMOUNTS = (0.001, 0.002, 0.005)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    kind: str
    """One of `KINDS`."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def asks(mix: Mapping[str, int], seed: str) -> Iterator[Ask]:
    """Draw requests without end: kinds by the weights of the mix, orders small enough to fill at once."""
    draw = random.Random(seed)
    for number in itertools.count():
        (kind,) = draw.choices(list(mix), weights=list(mix.values()))
        symbol = draw.choice(list(SYMBOLS))
        amounts = EXECUTED_AMOUNTS if kind == "execute" else ROUTED_AMOUNTS
        body = {
            "symbol": symbol,
            "side": draw.choice(("buy", "sell")),
            "type": "market",
            "amount": round(draw.choice(amounts) * SYMBOLS[symbol], 6),
            "execution_strategy": draw.choice(STRATEGIES),
        }
        headers = {"Content-Type": "application/json"}
        if kind == "fresh":
            headers["Cache-Control"] = "no-cache"
        if kind == "execute":
            headers["Idempotency-Key"] = f"{seed} {number}"
        yield Ask(kind, body, headers)


@dataclass(slots=True)
class Seen:
    """What all clients together were answered."""

    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of usable answers, by kind, unsorted."""
    statuses: Counter[str] = field(default_factory=Counter)
    """``POST /api/route 200``, and how often."""
    errors: Counter[str] = field(default_factory=Counter)
    """Everything that is not an answer to what was asked, by kind and reason."""
    cached: int = 0
    """Decisions that came from a cache."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Venues that decisions left out, with the reason."""
    order_ids: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """How many requests got what they asked for."""
        return sum(len(each) for each in self.latencies_ms.values())


class Clients:
    """As many clients as asked for, each with a connection that it keeps."""

    def __init__(self, url: str, count: int, mix: Mapping[str, int], seed: int) -> None:
        self._url = url
        self._mix = mix
        self._seed = seed
        self._count = count

    async def drive(self, seconds: float, part: str) -> Seen:
        """Have every client ask, each time as soon as it has its answer; the last ones are waited for."""
        seen, until_s = Seen(), time.monotonic() + seconds
        connector = TCPConnector(limit=self._count, keepalive_timeout=PATIENCE_S)
        timeout = ClientTimeout(total=PATIENCE_S)
        async with ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(
                *(
                    self._client(session, asks(self._mix, f"{self._seed} {part} {n}"), until_s, seen)
                    for n in range(self._count)
                )
            )
        return seen

    async def _client(self, session: ClientSession, drawn: Iterator[Ask], until_s: float, seen: Seen) -> None:
        for ask in drawn:
            if time.monotonic() >= until_s:
                return
            await self._ask(session, ask, seen)

    async def _ask(self, session: ClientSession, ask: Ask, seen: Seen) -> None:
        path, began_s = KINDS[ask.kind], time.monotonic()
        try:
            async with session.post(
                self._url + path, data=json.dumps(ask.body), headers=ask.headers
            ) as response:
                status, text = response.status, await response.text()
        except (ClientError, TimeoutError) as error:
            seen.errors[f"{ask.kind}: {type(error).__name__}"] += 1
            return
        took_ms = (time.monotonic() - began_s) * 1000
        seen.statuses[f"POST {path} {status}"] += 1
        wrong = _take(ask, status, text, seen)
        if wrong:
            seen.errors[f"{ask.kind}: {wrong}"] += 1
        else:
            seen.latencies_ms[ask.kind].append(took_ms)


def _take(ask: Ask, status: int, text: str, seen: Seen) -> str:
    """Take over what was answered; gives in words what is wrong with it, if anything."""
    try:
        document = json.loads(text)
    except ValueError:
        return f"{status}, no JSON"
    if not isinstance(document, dict):
        return f"{status}, no document"
    if status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        left_out = (f"{each['venue']} {each['why']}" for each in document.get("excluded", ()))
        return f"{status} {document.get('type', '')} ({', '.join(left_out)})"
    if ask.kind == "execute":
        if "order_id" not in document:
            return f"{status} without an order"
        seen.order_ids.append(document["order_id"])
        return ""
    if not document.get("selected_exchange"):
        return f"{status} without a decision"
    seen.cached += bool(document["cached"])
    seen.left_out.update(f"{each['venue']} {each['why']}" for each in document["excluded"])
    return ""


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile of sorted values by nearest rank; 0 where there is none."""
    return values[max(0, -(-round(share * 1000) * len(values) // 1000) - 1)] if values else 0.0
