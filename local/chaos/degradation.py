"""One or two venues down: orders still execute. All down: the answer is clear. Then all come back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from local.chaos.campaign import Document, Placed, Runner
from local.chaos.client import Answer
from local.chaos.draws import VENUES, Drawn, Episode, Manner

PER_CASE = 2
BACK_S = 120.0
ENDED_S = 60.0
MOST_TRIES = 12
AGAIN_S = 1.0
_numbers = itertools.count()


async def degrade(runner: Runner, per_case: int = PER_CASE) -> list[str]:
    """Take venues away and give them back; one line for each thing seen."""
    lines = []
    for down in (*((venue,) for venue in VENUES), *itertools.combinations(VENUES, 2)):
        await _all_healthy(runner)
        await _down(runner, down)
        tried = [await _execute(runner, f"then down: {len(down)}") for _ in range(per_case)]
        filled = [each for each in tried if each.filled]
        seconds = max((each.seconds for each in filled), default=0.0)
        lines.append(
            f"{' and '.join(down)} down: {len(filled)} of {per_case} filled, the slowest in {seconds:.1f} s"
            f"; asked {sum(each.tries for each in tried)} times"
        )
        if len(filled) < per_case:
            runner.client.seen.oddities.append(f"degradation: {lines[-1]}")
    await _all_healthy(runner)
    await _down(runner, VENUES)
    began_s = time.monotonic()
    answer = await _place(runner, "then down: 3")
    took_s = time.monotonic() - began_s
    said = f"{answer.status} {answer.problem}"
    lines.append(f"all down: {said}, Retry-After {answer.retry_after}, after {took_s:.1f} s")
    if (answer.status, answer.problem) != (HTTPStatus.SERVICE_UNAVAILABLE, "no-venue-available"):
        runner.client.seen.oddities.append(f"degradation: {lines[-1]}")
    await runner.set_faults(())
    began_s = time.monotonic()
    lines.append(f"any venue: {await _until_back(runner, None, began_s)}")
    lines += [f"{venue}: {await _until_back(runner, venue, began_s)}" for venue in VENUES]
    return lines


@dataclass(frozen=True, slots=True)
class _Tried:
    filled: bool
    seconds: float
    tries: int


async def _execute(runner: Runner, name: str) -> _Tried:
    """Have an order executed; again where a venue was asked too much."""
    for tries in range(1, MOST_TRIES + 1):
        answer = await _place(runner, name)
        if answer.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            order = await _ended(runner, answer.document["order_id"])
            if order["ended_at"] is None:
                return _Tried(filled=False, seconds=0.0, tries=tries)
            seconds = float(order["ended_at"] - order["created_at"]) / 1000
            return _Tried(order["status"] == "filled", seconds, tries)
        whys = {each["why"] for each in answer.document.get("excluded", ())}
        if "rate_limited" not in whys:
            break
        await asyncio.sleep(float(answer.retry_after or 1))
    return _Tried(filled=False, seconds=0.0, tries=tries)


async def _ended(runner: Runner, order_id: str) -> Document:
    deadline = time.monotonic() + ENDED_S
    while True:
        order = await runner.detail(order_id)
        if order["ended_at"] is not None or time.monotonic() > deadline:
            return order
        await asyncio.sleep(AGAIN_S)


async def _all_healthy(runner: Runner) -> None:
    """Give all venues back, and wait until they count as well again, or for a while."""
    await runner.set_faults(())
    deadline = time.monotonic() + BACK_S
    while time.monotonic() < deadline:
        answer = await runner.client.ask("GET", "/api/exchanges/status")
        if answer.status == HTTPStatus.OK and all(
            venue["is_healthy"] for venue in answer.document["exchanges"].values()
        ):
            return
        await asyncio.sleep(AGAIN_S)


async def _down(runner: Runner, venues: Sequence[str]) -> None:
    await runner.set_faults([{"venue": v, "endpoint": "*", "fault": "refuse"} for v in venues])


async def _until_back(runner: Runner, venue: str | None, began_s: float) -> str:
    tries = 0
    while time.monotonic() < began_s + BACK_S:
        tries += 1
        answer = await _place(runner, "then back", venue)
        if answer.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            return (
                f"used again {time.monotonic() - began_s:.1f} s after the faults were cleared, at try {tries}"
            )
        await asyncio.sleep(AGAIN_S)
    runner.client.seen.oddities.append(f"degradation: {venue} is not used again within {BACK_S:.0f} s")
    return f"not used again within {BACK_S:.0f} s"


async def _place(runner: Runner, name: str, venue: str | None = None) -> Answer:
    number = next(_numbers)
    body = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": 0.01, "max_slippage_bps": 50}
    if venue is not None:
        body["venues"] = {"allow": [venue]}
    drawn = Drawn(number, 0, f"degraded-{number}", body, None, Manner.WAITS, 20, 0.0, None)
    placed = Placed(drawn, Episode(name))
    runner.placed.append(placed)
    answer = await runner.client.ask("POST", "/api/execute", body, drawn.headers)
    placed.take(answer)
    return answer
