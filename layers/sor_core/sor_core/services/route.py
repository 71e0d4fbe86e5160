"""Answer "where should this order go?": caches, market, decision, in that order."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from sor_core import __version__
from sor_core.clock import Clock
from sor_core.domain.decision import Decision, NoRoute
from sor_core.domain.order import Order
from sor_core.metrics import (
    HIT,
    MISS,
    ROUTING_CACHE_HIT_RATE,
    ROUTING_CACHE_LOOKUPS,
    ROUTING_DECISION_SECONDS,
    ROUTING_DECISIONS,
    ROUTING_NO_ROUTE,
    Metrics,
    NoMetrics,
)
from sor_core.observability import Log
from sor_core.ports import CachedMarket, StateError, StateStore
from sor_core.routing.decide import decide
from sor_core.routing.receipt import make_receipt
from sor_core.routing.screen import admits, not_allowed
from sor_core.services.gather import Gatherer
from sor_core.services.undisturbed import undisturbed
from sor_core.settings import Settings

STATE_TIMEOUT_S = 1.0
"""How long the shared caches may take before a route goes on without them."""
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision with its name."""

    decision_id: str
    decision: Decision
    cached: bool
    receipt: dict[str, Any] | None = None
    """Where one was asked for; never cached."""


_CACHED: msgspec.json.Decoder[Routed] = msgspec.json.Decoder(Routed)


class RouteService:
    """Decides orders; holds the caches that live as long as the process."""

    def __init__(
        self,
        gatherer: Gatherer,
        store: StateStore,
        clock: Clock,
        new_id: Callable[[], str],
        settings: Settings,
        log: Log,
        metrics: Metrics | None = None,
    ) -> None:
        self._gatherer = gatherer
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._settings = settings
        self._log = log
        self._metrics = metrics or NoMetrics()
        self._decisions: dict[str, Routed] = {}

    async def route(self, order: Order, *, fresh: bool, receipt: bool = False) -> Routed | NoRoute:
        """Decide `order`; with `fresh` neither a cached decision nor a cached book is used.

        With `receipt` no cached decision is used either, for its books are not kept with it.
        """
        started_ms = self._clock.monotonic_ms()
        answer = await self._route(order, fresh=fresh, receipt=receipt)
        self._metrics.observe(ROUTING_DECISION_SECONDS, (self._clock.monotonic_ms() - started_ms) / 1000)
        if isinstance(answer, NoRoute):
            self._metrics.count(ROUTING_NO_ROUTE, answer.reason)
        else:
            self._metrics.count(ROUTING_DECISIONS, answer.decision.selected, answer.decision.reason)
        if not (fresh or receipt):
            hit = isinstance(answer, Routed) and answer.cached
            self._metrics.count(ROUTING_CACHE_LOOKUPS, HIT if hit else MISS)
            self._metrics.set(ROUTING_CACHE_HIT_RATE, float(hit))
        return answer

    async def _route(self, order: Order, *, fresh: bool, receipt: bool) -> Routed | NoRoute:
        key = self._key(order)
        decided_before = not (fresh or receipt)
        if decided_before and (remembered := self._live(self._decisions.get(key))) is not None:
            return self._told(remembered)
        venues = [v for v in self._settings.venues if admits(order, v)]
        recalled = self._gatherer.remembered(order.symbol, venues, fresh=fresh)
        loading = self._loading(recalled, order, venues, key if decided_before else None)
        # Fresh books need not wait for it: what they need of it the gatherer waits for itself.
        cached = None if fresh else await loading
        body = cached.decision if cached is not None else None
        if body is not None and (stored := self._live(_decoded(body))) is not None:
            self._remember(key, stored)
            return self._told(stored)
        gathered = await self._gatherer.gather(order.symbol, venues, loading, fresh=fresh)
        failures = [*gathered.failures, *(not_allowed(v) for v in self._settings.venues if v not in venues)]
        policy = self._settings.policy
        with undisturbed():
            decision = decide(order, gathered.markets, failures, policy, self._clock.now_ms())
        if isinstance(decision, NoRoute):
            await self._gatherer.flush()
            self._log.info("no route", symbol=str(order.symbol), reason=decision.reason)
            return decision
        routed = Routed(self._new_id(), decision, cached=False)
        self._remember(key, routed)
        if recalled is not None:
            # Whoever else has these books decides faster than DynamoDB would tell him.
            await self._gatherer.flush()
        elif await loading is not None:
            await asyncio.gather(self._save(key, routed), self._gatherer.flush())
        if receipt:
            parts = (order, gathered.markets, failures, policy, decision)
            routed = replace(routed, receipt=make_receipt(*parts, routed.decision_id, __version__))
        return self._told(routed)

    def _told(self, routed: Routed) -> Routed:
        decision = routed.decision
        self._log.info(
            "route decided",
            decision_id=routed.decision_id,
            strategy=decision.strategy,
            selected_exchange=decision.selected,
            reason=decision.reason,
            legs=len(decision.legs),
            cached=routed.cached,
            excluded={e.venue: e.why for e in decision.excluded},
            receipt_digest=None if routed.receipt is None else routed.receipt["digest"],
        )
        return routed

    def _key(self, order: Order) -> str:
        """Hash of all that the decision depends on beside the market: order and configuration."""
        parts = msgspec.json.encode([order, self._settings], order="deterministic")
        return hashlib.sha256(parts).hexdigest()

    def _live(self, routed: Routed | None) -> Routed | None:
        if routed is None or self._expires_at_ms(routed.decision) <= self._clock.now_ms():
            return None
        return Routed(routed.decision_id, routed.decision, cached=True)

    def _expires_at_ms(self, decision: Decision) -> int:
        # Books are received before the decision is made: it never outlives them.
        return decision.oldest_book_at_ms + self._settings.cache_ttl_ms

    def _remember(self, key: str, routed: Routed) -> None:
        self._decisions.pop(key, None)
        self._decisions[key] = routed
        while len(self._decisions) > _REMEMBERED:
            self._decisions.pop(next(iter(self._decisions)))

    def _loading(
        self, recalled: CachedMarket | None, order: Order, venues: Sequence[str], key: str | None
    ) -> asyncio.Future[CachedMarket | None]:
        """Read the shared caches, unless this process knows enough by itself."""
        if recalled is None:
            return asyncio.create_task(self._load(order, venues, key))
        known: asyncio.Future[CachedMarket | None] = asyncio.get_running_loop().create_future()
        known.set_result(recalled)
        return known

    async def _load(self, order: Order, venues: Sequence[str], key: str | None) -> CachedMarket | None:
        """What the shared caches hold; None where they do not answer in time."""
        try:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                return await self._store.load_market(order.symbol, venues, key)
        except (StateError, TimeoutError) as error:
            self._log.warning("state store unavailable", operation="load", error=str(error))
            return None

    async def _save(self, key: str, routed: Routed) -> None:
        expires_at_ms = self._expires_at_ms(routed.decision)
        if expires_at_ms <= self._clock.now_ms():
            return
        try:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                await self._store.save_decision(key, msgspec.json.encode(routed), expires_at_ms)
        except (StateError, TimeoutError) as error:
            self._log.warning("state store unavailable", operation="save", error=str(error))


def _decoded(body: bytes) -> Routed | None:
    try:
        return _CACHED.decode(body)
    except msgspec.DecodeError:
        return None  # written by another version of this code
