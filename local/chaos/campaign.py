"""Sends a campaign's orders while its episodes come and go, and follows every order to its end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from local.chaos.client import Answer, Client
from local.chaos.draws import SYMBOLS, Campaign, Drawn, Episode, Fault, Manner
from local.chaos.running import EXECUTES, TASKS, Running
from local.processes import StackError

AT_ONCE = 4
TASK_KILL_EVERY_S = 25.0
LOOK_EVERY_S = 3.0
SWEEP_EVERY_S = 10.0
"""Six times as often as the schedule: a campaign is not to wait for minutes."""
REVIEW_TRIES, REVIEW_AGAIN_S = 4, 20.0
SIM_TIMEOUT_S = 30.0
PAGE = 100
OPEN = {"open", "partially_filled"}
"""States in which a venue's order may still fill."""
Document = Mapping[str, Any]


@dataclass(slots=True)
class Placed:
    """One drawn order, and what its clients were told."""

    drawn: Drawn
    episode: Episode
    order_ids: set[str] = field(default_factory=set)
    refusals: set[str] = field(default_factory=set)
    excluded: list[tuple[str, str]] = field(default_factory=list)
    """Venues left out, and why, where it was refused."""

    def take(self, answer: Answer) -> str | None:
        """Take over an answer; gives the order's id if it has one."""
        if answer.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            order_id: str = answer.document["order_id"]
            self.order_ids.add(order_id)
            return order_id
        if answer.status:
            self.refusals.add(answer.problem or str(answer.status))
        if isinstance(answer.document, dict):
            self.excluded += [(each["venue"], each["why"]) for each in answer.document.get("excluded", [])]
        return None


class Runner:
    """Carries a campaign out against a running stack."""

    def __init__(self, running: Running, session: ClientSession, campaign: Campaign) -> None:
        self.running = running
        self.client = Client(session, running)
        self.placed: list[Placed] = []
        self.unsettled: list[str] = []
        """What venues said of attempts that a review could not settle."""
        self._session = session
        self._campaign = campaign
        self._draw = random.Random(f"kills {campaign.seed}")
        self._current = -1
        self._switching = asyncio.Lock()
        self._mids: dict[str, float] = {}

    # The venues' side -----------------------------------------------------------------------------

    async def sim(self, method: str, path: str, body: object = None) -> Any:
        """Ask the simulated venues' own pages; raises `StackError` where they refuse."""
        url, timeout = f"{self.running.venues_url}{path}", ClientTimeout(total=SIM_TIMEOUT_S)
        async with self._session.request(method, url, json=body, timeout=timeout) as response:
            if response.status != HTTPStatus.OK:
                raise StackError(f"{method} {url} gave {response.status}: {await response.text()}")
            return await response.json(content_type=None)

    async def set_faults(self, faults: Sequence[Fault]) -> None:
        """Have exactly these faults."""
        await self.sim("DELETE", "/sim/faults")
        if faults:
            await self.sim("POST", "/sim/faults", list(faults))

    async def set_mode(self, mode: str) -> None:
        """Set the operator's switch."""
        answer = await self.client.ask("PUT", "/api/trading", {"mode": mode, "reason": "chaos"})
        if answer.status != HTTPStatus.OK:
            raise StackError(f"PUT /api/trading gave {answer.status}: {answer.document}")

    # Sending --------------------------------------------------------------------------------------

    async def send_all(self, every_s: float) -> None:
        """Send every order, at most one in `every_s`, and a few at once."""
        for symbol in SYMBOLS:
            path = f"/binance/api/v3/ticker/bookTicker?symbol={symbol.replace('/', '')}"
            touch = await self.sim("GET", path)
            self._mids[symbol] = (float(touch["bidPrice"]) + float(touch["askPrice"])) / 2
        orders, began_s = iter(self._campaign.orders), time.monotonic()

        async def work() -> None:
            for drawn in orders:
                await asyncio.sleep(max(0.0, began_s + drawn.number * every_s - time.monotonic()))
                episode = await self._reach(drawn.episode)
                placed = Placed(drawn, episode)
                self.placed.append(placed)
                await self._place(placed)

        killer = asyncio.create_task(self._kill_tasks())
        try:
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        finally:
            killer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await killer

    async def _reach(self, number: int) -> Episode:
        """Begin an episode, unless it has begun."""
        async with self._switching:
            if number > self._current:
                before = "running" if self._current < 0 else self._campaign.episodes[self._current].mode
                self._current = number
                episode = self._campaign.episodes[number]
                await self.set_faults(episode.faults)
                if episode.mode != before:
                    await self.set_mode(episode.mode)
            return self._campaign.episodes[self._current]

    async def _place(self, placed: Placed) -> None:
        drawn, body = placed.drawn, self.body(placed.drawn)
        if drawn.kill_after_s is not None:
            asyncio.get_running_loop().call_later(
                drawn.kill_after_s, self.running.kill, self._draw, (EXECUTES,)
            )
        asked = ("POST", "/api/execute", body, drawn.headers)
        if drawn.manner is Manner.IMPATIENT:
            placed.take(await self.client.call(*asked, patience_s=drawn.after_s))
        copies = 3 if drawn.manner is Manner.TWINS else 1
        answers = await asyncio.gather(*(self.client.ask(*asked) for _ in range(copies)))
        ids = [order_id for answer in answers if (order_id := placed.take(answer)) is not None]
        if drawn.manner is Manner.CANCELS and ids:
            await asyncio.sleep(drawn.after_s)
            await self.client.ask("DELETE", f"/api/orders/{ids[0]}", None, {"Prefer": "wait=5"})

    def body(self, drawn: Drawn) -> dict[str, Any]:
        """The request's body, the same whenever it is asked for."""
        if drawn.price_bps is None:
            return dict(drawn.body)
        sign = 1 if drawn.body["side"] == "buy" else -1
        mid = self._mids[drawn.body["symbol"]]
        return {**drawn.body, "price": round(mid * (1 + sign * drawn.price_bps / 10_000), 2)}

    async def _kill_tasks(self) -> None:
        while True:
            await asyncio.sleep(self._draw.expovariate(1 / TASK_KILL_EVERY_S))
            self.running.kill(self._draw, (TASKS, TASKS, "RouteFunction", "HealthProbeFunction"))

    # Following ------------------------------------------------------------------------------------

    async def orders(self) -> dict[str, Document]:
        """Every order that the ledger lists, by its id."""
        found: dict[str, Document] = {}
        cursor = ""
        while True:
            answer = await self.client.ask("GET", f"/api/orders?limit={PAGE}{cursor}")
            if answer.status != HTTPStatus.OK:
                raise StackError(f"GET /api/orders gave {answer.status}: {answer.document}")
            found |= {order["order_id"]: order for order in answer.document["orders"]}
            if answer.document["cursor"] is None:
                return found
            cursor = f"&cursor={answer.document['cursor']}"

    async def settle(self, within_s: float) -> dict[str, Document]:
        """Clear all faults and follow the orders until each has ended; what rests is cancelled."""
        await self.set_faults(())
        await self.set_mode("running")
        deadline, swept_s = time.monotonic() + within_s, 0.0
        while True:
            found = await self.orders()
            still = [order for order in found.values() if order["ended_at"] is None]
            if not still or time.monotonic() > deadline:
                return {order_id: await self.detail(order_id) for order_id in found}
            for order in still:
                if order["status"] == "resting":
                    await self.client.ask(
                        "DELETE", f"/api/orders/{order['order_id']}", None, {"Prefer": "wait=5"}
                    )
            if time.monotonic() > swept_s + SWEEP_EVERY_S:
                await self.running.sweep()
                swept_s = time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)

    async def detail(self, order_id: str) -> Document:
        """An order with all that happened to it."""
        answer = await self.client.ask("GET", f"/api/orders/{order_id}")
        if answer.status != HTTPStatus.OK:
            raise StackError(f"GET /api/orders/{order_id} gave {answer.status}: {answer.document}")
        document: Document = answer.document
        return document

    async def excluded(self, order_id: str) -> list[tuple[str, str]]:
        """Venues that an order's first decision left out, and why."""
        answer = await self.client.ask("GET", f"/api/orders/{order_id}/receipt")
        if answer.status != HTTPStatus.OK:
            return []
        result = answer.document.get("result", {})
        return [(each["venue"], each["why"]) for each in result.get("excluded", [])]

    async def review(self, order: Document) -> Document:
        """Settle an order under review as an operator would: by what its venues show now."""
        order_id = order["order_id"]
        said: list[str] = []
        for _ in range(REVIEW_TRIES):
            said = []
            answer = await self.client.ask("GET", f"/api/orders/{order_id}/review")
            for shown in answer.document["venues"] if answer.status == HTTPStatus.OK else ():
                if shown["resolution"] is not None:
                    word = {
                        "attempt": int(shown["attempt"]),
                        "resolution": shown["resolution"],
                        "note": "chaos",
                    }
                    await self.client.ask("POST", f"/api/orders/{order_id}/review", word)
                elif shown["state"] in OPEN:
                    await self.client.ask("DELETE", f"/api/orders/{order_id}", None, {"Prefer": "wait=5"})
                elif shown["problem"]:
                    said.append(f"{shown['venue']}: {shown['problem']}")
            order = await self.detail(order_id)
            if order["status"] != "needs_review":
                return order
            await asyncio.sleep(REVIEW_AGAIN_S)  # a venue that was asked too much
        self.unsettled += said
        return order

    async def ask_again(self) -> None:
        """Repeat every key while trading is halted: its order is told again, or none is made."""
        await self.set_mode("halted")
        for placed in self.placed:
            drawn = placed.drawn
            headers = {**drawn.headers, "Prefer": "wait=0"}
            answer = await self.client.ask("POST", "/api/execute", self.body(drawn), headers)
            if answer.problem != "trading-halted":
                placed.take(answer)
        await self.set_mode("running")
