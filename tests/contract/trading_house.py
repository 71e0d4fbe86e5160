"""The whole execution service over simulated venues and real HTTP, on a clock that jumps over waits."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import httpx

from local.venues import RunningVenues, Venue, VenuesConfig, start
from local.venues.config import taker_rates
from sor_core.adapters.pool import make_client, make_order_client
from sor_core.adapters.venues.budget import VenueBudget
from sor_core.adapters.venues.registry import market_data
from sor_core.adapters.venues.trading_registry import TradingParts, trading
from sor_core.adapters.venues.venue_clock import VenueClock
from sor_core.domain.credentials import KeyUse
from sor_core.domain.decision import NoRoute
from sor_core.domain.money import exact
from sor_core.domain.order import Order
from sor_core.execution.record import OrderRecord, TimeInForce
from sor_core.execution.request import ExecuteRequest, Refused
from sor_core.ports_trading import OrderLedger
from sor_core.services.context import Context
from sor_core.services.control import ControlService
from sor_core.services.counterparties import Counterparties, Counterparty
from sor_core.services.desk import Desk
from sor_core.services.drive import Driver
from sor_core.services.execute import DryRun, Executed, ExecutionService
from sor_core.services.failover import FailoverService, TaskAnswer
from sor_core.services.follow import Follower
from sor_core.services.gather import Gatherer
from sor_core.services.metering import Recorder
from sor_core.settings import Settings
from tests.contract.interposed import Instead, but
from tests.fakes.memory_orders import MemoryOrderLedger
from tests.fakes.memory_state import MemoryStateStore
from tests.fakes.memory_trading import MemoryNonces, StaticCredentials

VENUES = ("binance", "coinbase", "kraken")
SETTINGS = {
    "SOR_MIN_LIQUIDITY_SCORE": "0",
    "SOR_REQUIRE_IDEMPOTENCY_KEY": "false",
    "SOR_MAX_LATENCY_MS": "5000",
    "SOR_MAX_ORDER_NOTIONAL": "1000000",
    # Books that are set stand still while the clock jumps.
    "SOR_MAX_BOOK_AGE_MS": "600000",
}
_LONGEST_MACHINE = 300


class JumpingClock:
    """Real time, and what was slept: a sleep takes no time and lets as much pass."""

    def __init__(self) -> None:
        self.jumped_ms = 0.0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + round(self.jumped_ms)

    def monotonic_ms(self) -> float:
        return time.monotonic() * 1000 + self.jumped_ms

    async def sleep(self, seconds: float) -> None:
        until_ms = self.monotonic_ms() + seconds * 1000
        await asyncio.sleep(0.001)  # whoever else sleeps meanwhile sleeps at the same time
        self.jumped_ms += max(0.0, until_ms - self.monotonic_ms())


class QuietLog:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


class Machine:
    """Starts nothing by itself: keeps who was started, each name once, as Step Functions does."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.waiting: list[tuple[str, int]] = []

    async def start(self, order_id: str, epoch: int, correlation_id: str) -> None:
        assert correlation_id
        name = f"{order_id}-{epoch}"
        if name not in self.names:
            self.names.add(name)
            self.waiting.append((order_id, epoch))


@dataclass(slots=True)
class Process:
    """The services of one Lambda process."""

    execution: ExecutionService
    failover: FailoverService
    control: ControlService
    follower: Follower
    parties: Mapping[str, Counterparty]
    context: Context


@dataclass(slots=True)
class House:
    """Three venues, one ledger, one state store, and as many processes as a test makes."""

    venues: RunningVenues
    control: httpx.AsyncClient
    clock: JumpingClock
    ledger: OrderLedger
    machine: Machine
    log: QuietLog
    settings: Settings
    parts: TradingParts
    market_client: httpx.AsyncClient
    store: MemoryStateStore
    metrics: Recorder = field(default_factory=Recorder)
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> str:
        return hashlib.sha256(str(next(self.ids)).encode()).hexdigest()[:32]

    def process(
        self,
        ledger: OrderLedger | None = None,
        clients: tuple[httpx.AsyncClient, httpx.AsyncClient] | None = None,
        trades: Mapping[str, Mapping[str, Instead]] | None = None,
        budgets: Mapping[str, VenueBudget] | None = None,
    ) -> Process:
        """A process with its own services; also with its own order and market data clients, where given.

        `trades` takes methods of venues' trading adapters, by venue and name (`interposed.but`);
        `budgets` keeps those sides within limits, by venue.
        """
        settings, ledger = self.settings, ledger or self.ledger
        order_client, market_client = clients or (self.parts.client, self.market_client)
        parts = replace(self.parts, client=order_client)
        context = Context(self.clock, self.clock.sleep, self.new_id, settings, self.log, self.metrics)
        parties, public = {}, {}
        for venue in settings.venues:
            at = VenueClock(self.clock)
            url = self.venues.url
            parties[venue] = Counterparty(
                but(
                    trading(venue, parts, at, gateway_url=url, budget=(budgets or {}).get(venue)),
                    **(trades or {}).get(venue, {}),
                ),
                market_data(venue, order_client, self.clock, gateway_url=url),
                at,
            )
            public[venue] = market_data(venue, market_client, self.clock, gateway_url=url)
        gatherer = Gatherer(public, self.store, self.clock, self.new_id, settings, self.log)
        desk = Desk(Counterparties(parties), gatherer, ledger, self.store, context)
        driver = Driver(desk, ledger, context)
        follower = Follower(desk, driver, ledger, self.machine, context)
        return Process(
            ExecutionService(desk, driver, follower, ledger, context),
            FailoverService(desk, follower, driver, ledger, self.machine, context),
            ControlService(follower, desk, ledger, context),
            follower,
            parties,
            context,
        )

    def request(self, order: Order, **changes: Any) -> ExecuteRequest:
        made = ExecuteRequest(
            order=order,
            time_in_force=TimeInForce.IOC,
            caller="alice",
            client_order_id="",
            keys=(),
            body_hash="b0d1",
            dry_run=False,
            wait_s=0,
            received_at_ms=self.clock.now_ms(),
            correlation_id="c0",
        )
        return replace(made, **changes)

    async def execute(self, order: Order, **changes: Any) -> OrderRecord:
        outcome = await self.process().execution.execute(self.request(order, **changes))
        assert isinstance(outcome, Executed), outcome
        return outcome.record

    async def refused(self, order: Order, **changes: Any) -> Refused | NoRoute | DryRun:
        outcome = await self.process().execution.execute(self.request(order, **changes))
        assert not isinstance(outcome, Executed), outcome
        return outcome

    async def run_machine(self, process: Process | None = None) -> None:
        """What the state machine does with the executions started so far, in this order."""
        while self.machine.waiting:
            order_id, epoch = self.machine.waiting.pop(0)
            await self.run_execution(order_id, epoch, process)

    async def run_execution(self, order_id: str, epoch: int, process: Process | None = None) -> list[str]:
        task, path = "reconcile", []
        for _ in range(_LONGEST_MACHINE):
            answer: TaskAnswer = await (process or self.process()).failover.task(task, order_id, epoch)
            path.append(task)
            if answer.next == "done":
                return path
            if answer.wait_s:
                await self.clock.sleep(answer.wait_s)
            task = "reconcile" if answer.next == "wait" else answer.next
        raise AssertionError(f"the machine does not end: {path[-10:]}")

    async def sweep(self, times: int = 1, every_s: float = 61) -> None:
        for _ in range(times):
            await self.clock.sleep(every_s)
            await self.process().failover.sweep()
            await self.run_machine()

    async def record(self, order_id: str) -> OrderRecord:
        found = await self.ledger.load(order_id)
        assert found is not None
        return found

    # The venues' own side -------------------------------------------------------------------------

    async def fault(self, venue: str, fault: str, endpoint: str = "place_order", **params: Any) -> None:
        document = {"venue": venue, "endpoint": endpoint, "fault": fault, **params}
        (await self.control.post("/sim/faults", json=document)).raise_for_status()

    async def clear_faults(self) -> None:
        (await self.control.delete("/sim/faults")).raise_for_status()

    async def book(
        self, venue: str, bids: list[list[str]], asks: list[list[str]], symbol: str = "BTC/USDT"
    ) -> None:
        document = {"venue": venue, "symbol": symbol, "bids": bids, "asks": asks}
        (await self.control.post("/sim/books", json=document)).raise_for_status()

    async def balance(self, venue: str, asset: str, free: str) -> None:
        document = {"venue": venue, "asset": asset, "free": free}
        (await self.control.post("/sim/balances", json=document)).raise_for_status()

    def true_fills(self, record: OrderRecord | None = None) -> list[dict[str, Any]]:
        """All fills as the venues know them, hidden or not; those of one order where it is given."""
        fills = self.venues.simulation.fills()
        if record is None:
            return fills
        ids = {a.request.placement.client_order_id for a in record.attempts}
        return [fill for fill in fills if fill["client_order_id"] in ids]

    def truly_filled(self, record: OrderRecord) -> Decimal:
        with exact():
            return sum((Decimal(f["quantity"]) for f in self.true_fills(record)), Decimal(0))

    def posts(self, venue: str) -> int:
        return self.venues.simulation.requests[Venue(venue)]["place_order"]


@asynccontextmanager
async def house(**settings: str) -> AsyncIterator[House]:
    """Open the venues with flat books of known size and plenty of money.

    `settings` may also name what the venues read, such as ``SOR_VENUES_RATE_LIMITS``, here off.
    """
    clock = JumpingClock()
    limited = settings.get("SOR_VENUES_RATE_LIMITS") == "on"
    venues = await start(
        VenuesConfig(port=0, rate_limits=limited, clock=clock, taker_rates=taker_rates(settings))
    )
    try:
        async with (
            make_order_client() as client,
            make_client() as market_client,
            httpx.AsyncClient(base_url=venues.url, trust_env=False) as control,
        ):
            keys: dict[tuple[str, KeyUse], tuple[str, str]] = {}
            for use, key in ((KeyUse.TRADE, "trading"), (KeyUse.READ, "reading")):
                told = (await control.get("/sim/credentials", params={"key": key})).json()
                for venue in VENUES:
                    keys[venue, use] = (told[venue]["api_key"], told[venue]["api_secret"])
            nonces = MemoryNonces(clock)
            parts = TradingParts(client, clock, StaticCredentials(keys), nonces, lambda: uuid.uuid4().hex)
            made = House(
                venues,
                control,
                clock,
                MemoryOrderLedger(),
                Machine(),
                QuietLog(),
                Settings.from_env({**SETTINGS, **settings}),
                parts,
                market_client,
                MemoryStateStore(clock),
            )
            for venue in VENUES:
                await made.book(
                    venue,
                    [["59990", "0.5"], ["59980", "1"], ["59900", "5"]],
                    [["60000", "0.5"], ["60010", "1"], ["60100", "5"]],
                )
            yield made
    finally:
        await venues.aclose()
