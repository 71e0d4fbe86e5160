"""Execute an order: decide on fresh books, write it down, send it, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median

from sor_core import __version__
from sor_core.domain.decision import Decision, NoRoute, NoRouteReason
from sor_core.domain.money import exact
from sor_core.domain.order import Order
from sor_core.domain.order_status import OrderStatus
from sor_core.execution import protocol
from sor_core.execution.dues import Ceiling, Counter, utc_day
from sor_core.execution.limits import of_quote
from sor_core.execution.plan import Pace, legs_of, resting_terms, terms
from sor_core.execution.protocol import Intention, Me, Step
from sor_core.execution.record import AttemptState, OrderRecord, PlannedLeg, Terms, TimeInForce
from sor_core.execution.request import CheckedLeg, ExecuteRequest, RefusalReason, Refused
from sor_core.execution.risk import refuse_decision, refuse_order, refuse_unrouted
from sor_core.metrics import ACCEPTED, ORDERS, ROUTING_DECISIONS, ROUTING_NO_ROUTE
from sor_core.ports_trading import (
    CeilingPassed,
    IdempotencyKey,
    KeyTaken,
    LedgerError,
    NotAdmitted,
    OrderLedger,
    Saved,
)
from sor_core.routing.candidates import price_cap
from sor_core.routing.decide import decide
from sor_core.routing.ladder import MalformedBookError, touch
from sor_core.routing.receipt import canonical, make_receipt
from sor_core.routing.screen import admits, not_allowed
from sor_core.services.context import Context
from sor_core.services.desk import SEND_WITHIN_MS, Desk, View
from sor_core.services.drive import Driver, ceilings_for
from sor_core.services.follow import OWNED_FOR_MS, Follower
from sor_core.services.resting import place_to_rest, waits
from sor_core.services.undisturbed import undisturbed

LAST_ROUND_AFTER_MS = 12_000
"""A handler begins no further round after that: one may take ten seconds, and the gateway waits for 29."""
_ACCEPT_TRIES = 3
_OF_THE_VENUES = frozenset({NoRouteReason.NO_VENUE, NoRouteReason.UNKNOWN_SYMBOL})
"""Why there is no route whatever the order's amount and price."""


@dataclass(frozen=True, slots=True)
class Executed:
    """An order that was accepted, as it stands."""

    record: OrderRecord


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would have been sent."""

    decision_id: str
    decision: Decision | None
    """None where the order would rest."""
    legs: tuple[CheckedLeg, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A decided order, not written down yet."""

    terms: Terms
    intentions: tuple[Intention, ...]
    legs: tuple[PlannedLeg, ...]
    refused: tuple[CheckedLeg, ...]
    decision: Decision | None
    view: View
    receipt: bytes | None


class ExecutionService:
    """Accepts and executes orders, one request at a time or many."""

    def __init__(
        self,
        desk: Desk,
        driver: Driver,
        follower: Follower,
        ledger: OrderLedger,
        context: Context,
    ) -> None:
        self._desk = desk
        self._driver = driver
        self._follower = follower
        self._ledger = ledger
        self._clock = context.clock
        self._new_id = context.new_id
        self._settings = context.settings
        self._log = context.log
        self._metrics = context.metrics

    async def execute(self, request: ExecuteRequest) -> Executed | DryRun | NoRoute | Refused:
        """Execute an order, or say why not.

        `Refused` and `NoRoute` mean that nothing was sent and nothing stored. Raises `LedgerError`
        where that cannot be said: repeated under the same key it finds the order, if there is one.
        """
        if (known := await self._known(request)) is not None:
            return known
        mode = await self._driver.mode()
        refused = refuse_order(request.order, self._settings.limits, mode)
        if refused is not None:
            return await self._with_reason(refused, mode)
        done: Executed | DryRun | NoRoute | Refused | None = None
        for _ in range(_ACCEPT_TRIES):
            done = await self._try(request)
            if done is not None:
                break
        if isinstance(done, Executed | DryRun):
            return done
        # The same request may have been accepted meanwhile, and that be why there was nothing left.
        return (
            await self._known(request)
            or done
            or Refused(RefusalReason.FUNDS_RESERVED, "other orders keep claiming the same balances")
        )

    async def _with_reason(self, refused: Refused, mode: protocol.TradingMode) -> Refused:
        """The refusal with what the operator said when the switch was set, if it was the switch."""
        if refused.reason not in {RefusalReason.HALTED, RefusalReason.REDUCE_ONLY}:
            return refused
        try:
            switch = await self._ledger.switch()
        except LedgerError:
            return refused
        if switch.mode is not mode or not switch.reason:
            return refused
        return replace(refused, detail=f"{refused.detail}: {switch.reason}")

    async def _known(self, request: ExecuteRequest) -> Executed | Refused | None:
        """The order of the request's key, if it has one."""
        if request.dry_run:
            return None
        for key in request.keys:
            taken = await self._ledger.find(request.caller, key)
            if taken is not None:
                return await self._existing(taken, request)
        return None

    async def _try(self, request: ExecuteRequest) -> Executed | DryRun | NoRoute | Refused | None:
        """Decide, accept and carry out; None where other orders claimed the same money meanwhile."""
        order_id = self._new_id()
        prepared = await self._prepare(request, order_id)
        if isinstance(prepared, NoRoute | Refused):
            return prepared
        if request.dry_run:
            return await self._dry_run(prepared)
        accepted = await self._accept(request, order_id, prepared)
        if isinstance(accepted, KeyTaken):
            return await self._existing(accepted, request)
        if accepted is None or isinstance(accepted, Refused):
            return accepted
        return await self._carry_out(*accepted, request)

    # Deciding -------------------------------------------------------------------------------------

    async def _prepare(self, request: ExecuteRequest, order_id: str) -> _Prepared | NoRoute | Refused:
        order, settings = request.order, self._settings
        venues = [v for v in settings.venues if admits(order, v)]
        view = await self._desk.view(order, venues)
        failures = [*view.failures, *(not_allowed(v) for v in settings.venues if v not in venues)]
        now_ms = self._clock.now_ms()
        with undisturbed():
            decision = decide(order, view.markets, failures, settings.policy, now_ms)
        decision_id, receipt, digest = self._new_id(), None, ""
        pace = Pace(
            settings.max_rounds, settings.execution_ms, settings.review_after_ms, settings.strict_resolution
        )
        if isinstance(decision, NoRoute):
            if (beyond := self._beyond_limits(order, decision, view)) is not None:
                return beyond
            leg = self._resting(request, decision, view)
            if leg is None:
                self._metrics.count(ROUTING_NO_ROUTE, decision.reason)
                return decision
            mid = arrival_mid_of(view)
            agreed = resting_terms(order, leg, mid, price_cap(order, mid), decision_id, pace, now_ms)
            legs: tuple[PlannedLeg, ...] = (leg,)
        else:
            document = make_receipt(
                order, view.markets, failures, settings.policy, decision, decision_id, __version__
            )
            receipt, digest = canonical(document), document["digest"]
            self._metrics.count(ROUTING_DECISIONS, decision.selected, decision.reason)
            agreed = terms(order, request.time_in_force, decision, decision_id, pace, now_ms, digest)
            legs = legs_of(
                decision.legs, order.side, decision.price_cap, order.quote_amount, view.instruments
            )
        refused = refuse_decision(
            order, agreed.base, agreed.arrival_mid, agreed.price_cap, _mids(view), settings.limits
        )
        if refused is not None:
            return refused
        intentions, unfit = self._desk.intentions(order_id, order, legs, view, 1)
        checked = tuple(CheckedLeg(leg.venue, leg.size, leg.limit_price, why) for leg, why in unfit)
        if not intentions and not request.dry_run:
            detail = "; ".join(f"{leg.venue}: {why.detail}" for leg, why in unfit)
            return Refused(RefusalReason.VENUE_RULES, detail or "no leg is large enough for its venue")
        chosen = None if isinstance(decision, NoRoute) else decision
        return _Prepared(agreed, tuple(intentions), legs, checked, chosen, view, receipt)

    def _beyond_limits(self, order: Order, no_route: NoRoute, view: View) -> Refused | None:
        """Why an order without a route would have been refused with one."""
        mids = _mids(view)
        if no_route.reason in _OF_THE_VENUES or not mids:
            return None
        with exact():
            cap = price_cap(order, Decimal(median(mids)))
        return refuse_unrouted(order, cap, mids, self._settings.limits)

    def _resting(self, request: ExecuteRequest, no_route: NoRoute, view: View) -> PlannedLeg | None:
        """Where a limit order waits of which nothing can be filled at once."""
        order, policy = request.order, self._settings.policy
        if request.time_in_force is not TimeInForce.GTC or order.amount is None or not waits(no_route):
            return None
        cap = price_cap(order, arrival_mid_of(view))
        return place_to_rest(
            view, order.side, order.amount, cap, avoid=(), policy=policy, now_ms=self._clock.now_ms()
        )

    async def _dry_run(self, prepared: _Prepared) -> DryRun:
        outcomes = await asyncio.gather(*(self._desk.check(i.request) for i in prepared.intentions))
        checked = []
        for intention, outcome in zip(prepared.intentions, outcomes, strict=True):
            placement = intention.request.placement
            size, price = placement.size or Decimal(0), placement.limit_price or Decimal(0)
            checked.append(CheckedLeg(placement.venue, size, price, outcome))
        return DryRun(prepared.terms.decision_id, prepared.decision, (*checked, *prepared.refused))

    # Accepting ------------------------------------------------------------------------------------

    async def _accept(
        self, request: ExecuteRequest, order_id: str, prepared: _Prepared
    ) -> tuple[OrderRecord, Me] | KeyTaken | Refused | None:
        """Write the order down with its attempts, its key and its claims: all of it, or nothing."""
        now_ms = self._clock.now_ms()
        me = Me(self._new_id(), 1)
        blank = OrderRecord(
            order_id=order_id,
            caller=request.caller,
            client_order_id=request.client_order_id,
            correlation_id=request.correlation_id,
            created_at_ms=request.received_at_ms,
            terms=prepared.terms,
            owner=me.owner,
            epoch=me.epoch,
            due_at_ms=now_ms + OWNED_FOR_MS,
        )
        record, me = protocol.intend(
            blank, me, prepared.intentions, not_after_ms=now_ms + SEND_WITHIN_MS, now_ms=now_ms
        )
        keys = [IdempotencyKey(request.caller, key, request.body_hash) for key in request.keys]
        ceilings = ceilings_for(None, record, {**prepared.view.ceilings, **self._daily(record)})
        outcome = await self._ledger.accept(record, keys, ceilings, prepared.receipt)
        match outcome:
            case Saved(written):
                self._metrics.count(ORDERS, ACCEPTED)
                self._log.info(
                    "order accepted",
                    order_id=order_id,
                    correlation_id=written.correlation_id,
                    decision_id=written.terms.decision_id,
                    symbol=written.symbol,
                    side=written.side,
                    legs=[f"{a.venue} {a.size} at {a.limit_price}" for a in written.attempts],
                )
                return written, me
            case KeyTaken():
                return outcome
            case NotAdmitted(mode):
                refused = refuse_order(request.order, self._settings.limits, mode)
                refused = refused or Refused(RefusalReason.HALTED, "trading was halted a moment ago")
                return await self._with_reason(refused, mode)
            case CeilingPassed(counter, ceiling):
                if counter.kind == "hold":
                    return None
                detail = f"the day's orders in {counter.asset} may come to {ceiling.most} at most"
                return Refused(RefusalReason.DAILY_NOTIONAL, detail)

    def _daily(self, record: OrderRecord) -> Mapping[Counter, Ceiling]:
        quote = record.terms.order.symbol.quote
        most = of_quote(self._settings.limits.daily_notionals, quote)
        return {Counter("day", utc_day(record.created_at_ms), quote): Ceiling(most)}

    async def _existing(self, taken: KeyTaken, request: ExecuteRequest) -> Executed | Refused:
        """The order of a key, once it has ended or the wait is over."""
        record = await self._ledger.load(taken.order_id)
        if record is None:
            raise LedgerError("a key without its order")
        # The hash is of what was said, the order of what that means: a default may be written out or not.
        if taken.body_hash != request.body_hash and (others := request.differs_from(record)):
            detail = f"it belongs to order {taken.order_id}, which has another {', '.join(others)}"
            named = all(key.startswith("client_order_id:") for key in request.keys)
            return Refused(
                RefusalReason.KEY_REUSED, detail, "client_order_id" if named else "Idempotency-Key"
            )
        return Executed(await self._follower.await_end(record, _deadline_ms(request)))

    # Carrying out ---------------------------------------------------------------------------------

    async def _carry_out(self, record: OrderRecord, me: Me, request: ExecuteRequest) -> Executed:
        until_ms = _deadline_ms(request)
        last_round_ms = request.received_at_ms + LAST_ROUND_AFTER_MS

        def may(step: Step, record: OrderRecord) -> bool:
            in_time = not isinstance(step, protocol.Choose) or self._clock.now_ms() < last_round_ms
            return in_time and _in_handler(step, record)

        try:
            record, step = await self._driver.drive(record, me, until_ms=until_ms, may=may)
            return Executed(await self._follower.leave(record, me, step, until_ms))
        except LedgerError as error:
            # It stands in the ledger, with all that may have been sent: the sweep carries it on.
            self._log.warning("ledger unavailable", order_id=record.order_id, error=str(error))
            return Executed(record)


def _in_handler(step: Step, record: OrderRecord) -> bool:
    """What a handler does itself: everything as long as nothing went wrong. The rest is the machine's."""
    match step:
        case protocol.Ask(numbers):
            return all(record.attempt(n).state is AttemptState.LIVE for n in numbers)
        case protocol.Choose():
            return not record.avoid
        case protocol.Wait():
            return all(a.is_settled or a.state is AttemptState.LIVE for a in record.attempts) and (
                record.status is not OrderStatus.RESTING
            )
        case protocol.Replay():
            return False
        case _:
            return True


def _deadline_ms(request: ExecuteRequest) -> int:
    return request.received_at_ms + round(request.wait_s * 1000)


def _mids(view: View) -> Sequence[Decimal]:
    """Each venue's own mid, where its book has two sides that can be read."""
    found = []
    with exact():
        for market in view.markets:
            try:
                if market.book.bids and market.book.asks:
                    found.append((touch(market.book.bids) + touch(market.book.asks)) / 2)
            except MalformedBookError:
                continue
    return found


def arrival_mid_of(view: View) -> Decimal:
    """The consolidated mid where no decision tells one; raises `ValueError` without any book."""
    return Decimal(sum(_mids(view), Decimal(0)) / len(_mids(view)))
