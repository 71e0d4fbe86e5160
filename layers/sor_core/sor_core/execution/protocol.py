"""What may happen to an order, and in which sequence: the one file that keeps it from filling twice.

::

     a process that drives an order                      the ledger, the venue
     ------------------------------                      ---------------------
     record = load ------------------------------------> strongly consistent read
     step = next_step(record, me, now, mode)
     result = perform(step)  --------------------------> at most one kind of I/O
     record' = apply(record, step, result)
     save(record, record') ----------------------------> only if the version is still `record`'s;
        | conflict: load, apply the same result again       else nothing is written
        '--------> next step

    Intend   writes an attempt down: client order id, exact request, window, owner, epoch
    Send     sends what THIS process has just written down, once, before `not_after_ms`
    Ask      looks in the venue's query and history; `Replay` repeats a request where the venue
             promises to answer with the first order
    Choose   picks venues for what is left, on fresh books, within the frozen price cap
    Finish   writes how it ended; `Review` stops for a person

The invariant, at every instant, whatever is lost, late or repeated, and whoever dies:

    sum over attempts (filled + may still fill) <= terms.base        (`OrderRecord.at_stake`)

An attempt is written down before it is sent, so the ledger never knows of less than the venues do.
It stops counting only when it ENDED with all its fills told, or is proven NEVER to have been. It is
one long file on purpose: what keeps an order from filling twice can be read from top to bottom. All
functions are pure; `tests/explorer` runs these very functions through every interleaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.money import BPS, exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    Fence,
    FrozenRequest,
    OrderState,
    Placed,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
    VenueOrder,
    inconsistency,
    mismatch,
)
from sor_core.execution.record import (
    Absence,
    Attempt,
    AttemptState,
    Ending,
    Event,
    OrderRecord,
    Plan,
    TimeInForce,
    cost_bound,
)

ABSENCES_NEEDED = 2
PLAN_LIFE_MS = 3000
"""A plan older than this is made anew: its books are."""
FIRST_ASK_MS = 250
"""How long after the first look at an attempt the next one is due; then twice as long each time."""
RESTING_ASK_MS = 30_000
"""How often the venue is asked about an order that rests."""
MOST_REPLAYS = 2
RESTING_ROUNDS = 3
"""How often the rest of a limit order is put into a book beyond its rounds to fill at once."""
HELD_BACK_MS = 2000
"""How long a venue is left out after an attempt that never left us, where the refusal does not say."""
HELD_BACK_ROUNDS = 8
"""How many rounds of which nothing left us are not counted."""
CANCEL_AGAIN_MS = 2000
"""How long after a cancel the next one is sent, where the order still shows as open."""
REVIEW_DUE_MS = 86_400_000
MOST_EVENTS = 200


class TradingMode(StrEnum):
    """The operator's switch."""

    RUNNING = "running"
    REDUCE_ONLY = "reduce_only"
    """Only orders that sell the base asset."""
    HALTED = "halted"
    """Nothing new is sent, and what rests is cancelled."""

    def admits(self, side: Side) -> bool:
        """Whether a new attempt of that side may be sent."""
        match self:
            case TradingMode.RUNNING:
                return True
            case TradingMode.REDUCE_ONLY:
                return side is Side.SELL
            case TradingMode.HALTED:
                return False


@dataclass(frozen=True, slots=True)
class Me:
    """The process that drives."""

    owner: str
    """Random, of this one invocation."""
    epoch: int
    unsent: frozenset[int] = frozenset()
    """Attempts that this very process has just written down and not yet begun to send."""


# What to do next --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stop:
    """Another process drives it."""


@dataclass(frozen=True, slots=True)
class Done:
    """It has ended."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these attempts, all at once, each once."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the venues what came of these attempts."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the same request again to a venue that answers it with the first order."""

    number: int


@dataclass(frozen=True, slots=True)
class CancelAtVenue:
    """Cancel what rests."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """Choose venues for what is left."""

    base: Decimal
    """Base asset to place at most."""
    budget: Decimal | None
    """Quote asset to spend at most, fees included; None where only `base` binds."""
    avoid: tuple[str, ...]
    rest_only: bool = False
    """Whether only a place to rest is looked for: the time to fill at once is over."""
    held_back: tuple[str, ...] = ()
    """Venues to leave out for the moment: our own budget, or the time, kept the last attempt from them."""


@dataclass(frozen=True, slots=True)
class Intend:
    """Write the plan's legs down."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before then."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Write down how it ended."""

    status: OrderStatus
    why: str


@dataclass(frozen=True, slots=True)
class Review:
    """Stop: a person must look."""

    why: str


Step = Stop | Done | Send | Ask | Replay | CancelAtVenue | Choose | Intend | Wait | Finish | Review


def next_step(record: OrderRecord, me: Me, now_ms: int, mode: TradingMode) -> Step:
    """Say what the driving process does next. `now_ms` is our clock."""
    if record.ending is not None:
        return Done()
    if not drives(record, me):
        return Stop()
    if (why := contradiction(record)) is not None:
        return Review(why)
    if me.unsent:
        return Send(tuple(sorted(me.unsent)))
    stopping = record.cancel_requested or not mode.admits(record.side)
    open_attempts = [a for a in record.attempts if not a.is_settled]
    if (why := _hopeless(record, open_attempts)) is not None:
        return Review(why)
    if open_attempts:
        return _about(record, open_attempts, now_ms, stopping=stopping)
    if not stopping and (step := _continue(record, now_ms)) is not None:
        return step
    return _finish(record, stopping=stopping)


def drives(record: OrderRecord, me: Me) -> bool:
    """Whether the ledger names this process, at this epoch, as the one that drives."""
    return record.owner == me.owner and record.epoch == me.epoch


def _about(record: OrderRecord, attempts: Sequence[Attempt], now_ms: int, *, stopping: bool) -> Step:
    """What is to be done about attempts that are not settled: nothing new is placed before they are."""
    if stopping and (numbers := _to_cancel(attempts, now_ms)):
        return CancelAtVenue(numbers)
    for attempt in attempts:
        # A repetition may be what makes the order: it is a new one as far as the switch is concerned.
        if not stopping and may_replay(record, attempt) and _ask_at(attempt) <= now_ms:
            return Replay(attempt.number)
    if due := tuple(a.number for a in attempts if _ask_at(a) <= now_ms):
        return Ask(due)
    cancels = [a.cancelled_at_ms + CANCEL_AGAIN_MS for a in attempts if stopping and a.rests]
    return Wait(min([*(_ask_at(a) for a in attempts), *(at for at in cancels if at > now_ms)]))


def _continue(record: OrderRecord, now_ms: int) -> Step | None:
    """Place what is left, where that is worth it; None to end."""
    base, budget = left(record)
    if base <= 0 or (budget is not None and budget <= 0) or record.exhausted:
        return None
    rounds = _rounds(record)
    over = rounds >= record.terms.most_rounds or now_ms >= record.terms.give_up_at_ms
    may_rest = (
        record.terms.time_in_force is TimeInForce.GTC
        and rounds < record.terms.most_rounds + RESTING_ROUNDS
        and now_ms < record.terms.give_up_at_ms + record.terms.review_after_ms
    )
    if over and not may_rest:
        return None
    if record.plan is not None and now_ms - record.plan.made_at_ms <= PLAN_LIFE_MS:
        return Intend(record.plan)
    if now_ms < record.choose_at_ms:
        return Wait(record.choose_at_ms)
    return Choose(base, budget, record.avoid, rest_only=over, held_back=_held_back(record, now_ms))


def _rounds(record: OrderRecord) -> int:
    """The rounds that count: not those, up to a number, of which nothing left us."""
    left_us = {a.round for a in record.attempts if _own_refusal(a) is None}
    return record.rounds - min(record.rounds - len(left_us), HELD_BACK_ROUNDS)


def _held_back(record: OrderRecord, now_ms: int) -> tuple[str, ...]:
    """Venues to which nothing can be sent yet, for a reason of our own."""
    venues: tuple[str, ...] = ()
    for attempt in record.attempts:
        own = _own_refusal(attempt)
        if own is not None:
            pause_ms = HELD_BACK_MS if own.retry_after_s is None else round(own.retry_after_s * 1000)
            if now_ms < attempt.not_after_ms + pause_ms:
                venues = _with(venues, attempt.venue)
    return venues


def _own_refusal(attempt: Attempt) -> Rejected | None:
    """Why an attempt never left us; None for one that did, or may have."""
    refusal = attempt.refusal if attempt.state is AttemptState.NEVER else None
    return refusal if refusal is not None and refusal.reason is RejectReason.HELD_BACK else None


def _finish(record: OrderRecord, *, stopping: bool) -> Finish:
    filled, complete = record.filled, record.filled >= record.terms.base
    if complete or (filled and record.terms.budget is not None and record.exhausted == SPENT):
        return Finish(OrderStatus.FILLED, "filled")
    if stopping:
        told = [e.detail for e in record.history if e.what == _CANCEL_REQUESTED and e.detail]
        by_itself = "cancelled" if record.cancel_requested else "trading halted"
        return Finish(OrderStatus.CANCELLED, told[0] if told else by_itself)
    why = record.exhausted or "no more rounds"
    if filled:
        return Finish(OrderStatus.PARTIALLY_FILLED, why)
    refused = [a for a in record.attempts if a.refusal and a.refusal.reason is not RejectReason.HELD_BACK]
    if refused and refused[-1].refusal is not None:
        return Finish(OrderStatus.REJECTED, f"{refused[-1].venue}: {refused[-1].refusal.reason}")
    return Finish(OrderStatus.EXPIRED, why)


_CANCEL_REQUESTED = "cancel_requested"
SPENT = "nothing that a venue takes is left"
"""`OrderRecord.exhausted` where the rest is under every venue's minimum."""


def left(record: OrderRecord) -> tuple[Decimal, Decimal | None]:
    """Base asset, and quote asset of a budget, that new attempts may still claim."""
    with exact():
        base = record.terms.base - record.at_stake
        if record.terms.budget is None or record.side is Side.SELL:
            return base, None
        return base, record.terms.budget - spent_at_most(record)


def spent_at_most(record: OrderRecord) -> Decimal:
    """Quote asset that a buy has cost, or may still come to cost, fees included."""
    with exact():
        return sum((_spent_at_most(a, record.side) for a in record.attempts), Decimal(0))


def _spent_at_most(attempt: Attempt, side: Side) -> Decimal:
    order, fee = attempt.order, Decimal(0)
    if order is not None:
        # Fees that are not told yet are taken at the rate; those in another asset cost no quote.
        told = None if order.fees is None or not attempt.is_settled else order.fees
        rate = attempt.quote_filled * attempt.fee_bps / BPS
        fee = rate if told is None else told.get(order.symbol.quote, Decimal(0))
    return (
        attempt.quote_filled + fee + cost_bound(side, attempt.may_fill, attempt.limit_price, attempt.fee_bps)
    )


# Pacing: none of it bears on safety ---------------------------------------------------------------


def _ask_at(attempt: Attempt) -> int:
    """When to ask about an attempt next, by our clock."""
    if not attempt.asked_at_ms:
        # Of one that another process wrote down: whoever sends it does so before this.
        return attempt.not_after_ms if attempt.state is AttemptState.INTENDED else 0
    if attempt.is_resting:
        return attempt.asked_at_ms + RESTING_ASK_MS
    again = attempt.asked_at_ms + max(FIRST_ASK_MS, attempt.asked_at_ms - attempt.intended_at_ms)
    fence_at_ms = attempt.intended_at_ms + fence_at(attempt) - attempt.request.window.opens_at_ms
    if attempt.asked_at_ms < fence_at_ms:
        return min(again, fence_at_ms + 100)
    # Ever more rarely: who asks faster than a venue lets us never gets an answer.
    waited_ms = (attempt.asked_at_ms - attempt.intended_at_ms) // 4
    return attempt.asked_at_ms + max(attempt.fence.visible_ms + 100, min(waited_ms, RESTING_ASK_MS))


def _to_cancel(attempts: Sequence[Attempt], now_ms: int) -> tuple[int, ...]:
    return tuple(
        a.number
        for a in attempts
        if a.rests and a.state is AttemptState.LIVE and now_ms - a.cancelled_at_ms >= CANCEL_AGAIN_MS
    )


# Guards -------------------------------------------------------------------------------------------


def fence_at(attempt: Attempt) -> int:
    """The moment, by the VENUE's clock, from which not seeing the attempt means something."""
    return attempt.request.window.closes_at_ms + attempt.fence.settle_ms + attempt.fence.visible_ms


def proven_never(attempt: Attempt, *, strict: bool) -> bool:
    """Whether absence is proof: looked for in two places, twice, a visibility bound apart, past the fence.

    Where a venue's fence alone does not prove it, its own refusal must have been heard, too. In
    strict mode one of the looks must have shown a younger order of ours.
    """
    seen = [a for a in attempt.absences if a.venue_time_ms >= fence_at(attempt)]
    if (
        len(seen) < ABSENCES_NEEDED
        or seen[-1].venue_time_ms - seen[0].venue_time_ms < attempt.fence.visible_ms
    ):
        return False
    if strict and not any(a.witnessed for a in seen):
        return False
    return attempt.fence.absence_proves or attempt.refusal is not None


def is_definite(refusal: Rejected) -> bool:
    """Whether a refusal alone proves that there is no order: no repetition on the way explains it."""
    return not refusal.replay_explainable


def may_replay(record: OrderRecord, attempt: Attempt) -> bool:
    """Whether repeating the request is safe and of use: the venue answers with the first order."""
    return (
        attempt.idempotent
        and attempt.state is AttemptState.UNKNOWN
        and attempt.refusal is None
        and attempt.replays < MOST_REPLAYS
        and not record.cancel_requested
    )


def contradiction(record: OrderRecord) -> str | None:
    """What cannot be and yet was told; None where all agrees."""
    if record.at_stake > record.terms.base:
        return "more is at stake than was ordered"
    return record.contradiction or None


def _hopeless(record: OrderRecord, attempts: Sequence[Attempt]) -> str | None:
    for attempt in attempts:
        if attempt.is_resting:
            continue
        # Counted up to the last look: nobody is asked to review what nobody has looked at.
        looked_for_ms = attempt.asked_at_ms - max(attempt.intended_at_ms, attempt.clear_at_ms)
        if looked_for_ms > record.terms.review_after_ms:
            return f"{attempt.venue} gave no clear word on attempt {attempt.number} in time"
        enough = replace(attempt, fence=replace(attempt.fence, absence_proves=True))
        if proven_never(enough, strict=False) and not proven_never(attempt, strict=record.terms.strict):
            missing = (
                "no younger order to compare" if attempt.fence.absence_proves else "no proof without its word"
            )
            return f"{attempt.venue} does not show attempt {attempt.number}: {missing}"
    return None


def concluded(record: OrderRecord, me: Me, now_ms: int, mode: TradingMode) -> OrderRecord:
    """Conclude what needs no further I/O, so that it goes into the same write as what led to it."""
    step = next_step(record, me, now_ms, mode)
    return finished(record, step, now_ms) if isinstance(step, Finish | Review) else record


class ProtocolError(Exception):
    """A step that would break the invariant; nothing was changed."""


# What follows from what happened ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Intention:
    """What an attempt is made of."""

    request: FrozenRequest
    fee_bps: Decimal
    fence: Fence
    idempotent: bool


def intend(
    record: OrderRecord, me: Me, intentions: Sequence[Intention], *, not_after_ms: int, now_ms: int
) -> tuple[OrderRecord, Me]:
    """Write attempts down, to be sent by `me` once this is saved.

    Raises
    ------
    ProtocolError
        If the process does not drive, or more would be at stake than ordered, or than the budget,
        or a price is beyond the frozen cap.
    """
    if not drives(record, me) or record.ending is not None or record.cancel_requested:
        raise ProtocolError("not ours to place")
    number = len(record.attempts)
    attempts = tuple(
        Attempt(
            number + i,
            record.rounds + 1,
            each.request,
            each.fee_bps,
            each.fence,
            each.idempotent,
            me.owner,
            me.epoch,
            now_ms,
            not_after_ms,
        )
        for i, each in enumerate(intentions, start=1)
    )
    for attempt in attempts:
        if not within_cap(record, attempt.limit_price):
            raise ProtocolError("a price beyond the cap")
    after = replace(
        record,
        attempts=record.attempts + attempts,
        plan=None,
        rounds=record.rounds + 1,
        failover_used=record.failover_used or any(is_failover(record, a.venue) for a in attempts),
    )
    for each in attempts:
        told = f"{each.venue} {each.size} at {each.limit_price}"
        after = _noted(after, Event(now_ms, me.epoch, "intended", each.number, told))
    base, budget = left(after)
    if base < 0 or (budget is not None and budget < 0):
        raise ProtocolError("more would be at stake than was ordered")
    return after, replace(me, unsent=frozenset(a.number for a in attempts))


def within_cap(record: OrderRecord, price: Decimal) -> bool:
    """Whether a price is no worse than the cap frozen when the order was accepted."""
    cap = record.terms.price_cap
    return price <= cap if record.side is Side.BUY else price >= cap


def is_failover(record: OrderRecord, venue: str) -> bool:
    """Whether a venue takes over from one that failed the order."""
    return bool(record.avoid) and venue not in record.avoid


def sent(record: OrderRecord, number: int, outcome: PlaceOutcome, now_ms: int) -> OrderRecord:
    """Take over what came of sending (or replaying) an attempt."""
    attempt = record.attempt(number)
    match outcome:
        case Placed(order):
            return _found(record, attempt, order, now_ms)
        case Rejected():
            return _refused(record, attempt, outcome, now_ms)
        case Unknown():
            detail = f"{outcome.why}: {outcome.detail}"
            return _update(record, _unknown(attempt, detail), now_ms, "unknown", detail)


def _refused(record: OrderRecord, attempt: Attempt, refusal: Rejected, now_ms: int) -> OrderRecord:
    detail = f"{refusal.reason} {refusal.code} {refusal.detail}".strip()
    if attempt.is_settled or attempt.order is not None:
        return record  # it exists, whatever was said of a copy
    first_word = attempt.state is AttemptState.INTENDED
    avoiding = replace(record, avoid=_with(record.avoid, attempt.venue))
    if refusal.reason is RejectReason.HELD_BACK:
        avoiding = record  # no fault of the venue's
    # It is said of this one copy: an earlier one may have been taken, or be still on its way.
    if is_definite(refusal) and first_word:
        done = replace(attempt, state=AttemptState.NEVER, refusal=refusal, detail=detail)
        return _update(avoiding, done, now_ms, "refused", detail)
    # What is said of a later copy is no word on the first, which may still be on its way.
    says_no = first_word and refusal.reason is not RejectReason.DUPLICATE_ID
    told = refusal if says_no else None
    unclear = replace(_unknown(attempt, detail), refusal=told or attempt.refusal)
    return _update(avoiding, unclear, now_ms, "refusal_unconfirmed", detail)


@dataclass(frozen=True, slots=True)
class Seen:
    """The venue shows the order."""

    order: VenueOrder


@dataclass(frozen=True, slots=True)
class NotSeen:
    """Neither the query nor the history shows it."""

    absence: Absence


@dataclass(frozen=True, slots=True)
class NoWord:
    """Nothing was learnt."""

    detail: str


Observation = Seen | NotSeen | NoWord


def observed(record: OrderRecord, number: int, observation: Observation, now_ms: int) -> OrderRecord:
    """Take over what a venue showed of an attempt."""
    attempt = replace(record.attempt(number), asked_at_ms=now_ms)
    match observation:
        case Seen(order):
            return _found(record, attempt, order, now_ms)
        case NotSeen(absence):
            return _not_seen(record, attempt, absence, now_ms)
        case NoWord(detail):
            if attempt.state is AttemptState.INTENDED:
                attempt = _unknown(attempt, detail)
            return _keep(record, replace(attempt, detail=detail))


def _not_seen(record: OrderRecord, attempt: Attempt, absence: Absence, now_ms: int) -> OrderRecord:
    if attempt.is_settled or attempt.state is AttemptState.LIVE:
        return _keep(record, attempt)  # it was seen before: this view is behind
    attempt = _unknown(attempt, attempt.detail or "its sender said nothing")
    if absence.venue_time_ms < fence_at(attempt):
        return _keep(record, attempt)  # too early to mean anything
    seen = attempt.absences
    attempt = replace(attempt, absences=(*seen[:1], absence) if len(seen) > 1 else (*seen, absence))
    if not proven_never(attempt, strict=record.terms.strict):
        return _update(record, attempt, now_ms, "not_seen", f"at {absence.venue_time_ms} of its clock")
    done = replace(attempt, state=AttemptState.NEVER)
    avoiding = replace(record, avoid=_with(record.avoid, attempt.venue))
    return _update(avoiding, done, now_ms, "never", "absent twice, past the fence")


def _found(record: OrderRecord, attempt: Attempt, order: VenueOrder, now_ms: int) -> OrderRecord:
    wrong = mismatch(attempt.request.placement, order) or inconsistency(order)
    if wrong is None and attempt.state is AttemptState.NEVER:
        wrong = "seen after it was proven absent"
    if wrong is not None:
        told = f"attempt {attempt.number} at {attempt.venue}: {wrong}"
        return _update(replace(record, contradiction=told), attempt, now_ms, "contradiction", wrong)
    order = _newer(attempt.order, order)
    ended = order.state.is_final and (order.fills_complete or not order.filled_size)
    state = AttemptState.ENDED if ended else AttemptState.LIVE
    found = replace(
        attempt, state=state, order=order, refusal=None, detail="", told_at_ms=attempt.told_at_ms or now_ms
    )
    if found.is_resting:
        found = replace(found, clear_at_ms=now_ms)
    if (found.state, found.order) == (attempt.state, attempt.order):
        return _keep(record, found)
    if ended and order.state is OrderState.REJECTED and not order.filled_size:
        record = replace(record, avoid=_with(record.avoid, attempt.venue))
    told = f"{order.state} {order.filled_size} filled" + (f" {order.detail}" if order.detail else "")
    return _update(record, found, now_ms, "ended" if ended else "seen", told)


def _newer(known: VenueOrder | None, told: VenueOrder) -> VenueOrder:
    """Of two views of an order the one that is further on: a replica may be behind."""
    if known is None:
        return told
    if (known.filled_size, known.state.is_final) > (told.filled_size, told.state.is_final):
        return known
    if told.fills is None or (known.fills is not None and len(known.fills) > len(told.fills)):
        told = replace(told, fills=known.fills, fees=told.fees if told.fees is not None else known.fees)
    return told


def cancelled(record: OrderRecord, number: int, outcome: CancelOutcome, now_ms: int) -> OrderRecord:
    """Take over what came of cancelling: that something was cancelled says nothing of what had filled."""
    attempt = replace(record.attempt(number), cancelled_at_ms=now_ms, asked_at_ms=0)
    what = "cancel_taken" if isinstance(outcome, Cancelled) else "cancel_unclear"
    return _update(record, attempt, now_ms, what, "")


def replaying(record: OrderRecord, number: int, now_ms: int) -> OrderRecord:
    """Count a repetition, before it is made."""
    attempt = record.attempt(number)
    counted = replace(attempt, replays=attempt.replays + 1, asked_at_ms=now_ms)
    return _update(record, counted, now_ms, "replay", "")


def chosen(record: OrderRecord, plan: Plan) -> OrderRecord:
    """Take over a plan for what is left."""
    return replace(record, plan=plan)


def nothing_chosen(record: OrderRecord, why: str, *, again_at_ms: int | None) -> OrderRecord:
    """Take over that nothing can be placed: for good, or only until `again_at_ms`."""
    if again_at_ms is not None:
        return replace(record, plan=None, choose_at_ms=again_at_ms)
    return replace(record, plan=None, exhausted=why)


def finished(record: OrderRecord, step: Finish | Review, now_ms: int) -> OrderRecord:
    """Write down how it ended."""
    status = step.status if isinstance(step, Finish) else OrderStatus.NEEDS_REVIEW
    if isinstance(step, Finish) and record.may_fill:
        raise ProtocolError("something may still fill")
    ending = Ending(status, step.why, now_ms)
    event = Event(now_ms, record.epoch, str(status), None, step.why)
    record = replace(record, due_at_ms=now_ms + REVIEW_DUE_MS)
    return _noted(replace(record, ending=ending, plan=None), event)


def reviewed(
    record: OrderRecord, number: int, found: VenueOrder | None, who: str, note: str, now_ms: int
) -> OrderRecord:
    """Take over a person's finding about an attempt of an order under review.

    `found` is the order as the venue shows it, or None for "it was never placed". Once every attempt
    is settled the order ends by what they add up to.

    Raises
    ------
    ProtocolError
        If the order is not under review, the attempt is settled, or `found` is not that attempt's
        order or may still fill.
    """
    attempt = record.attempt(number)
    if record.status is not OrderStatus.NEEDS_REVIEW:
        raise ProtocolError("the order is not under review")
    if attempt.is_settled and not record.contradiction:
        raise ProtocolError("the attempt is settled")
    if found is None:
        if attempt.filled:
            raise ProtocolError("fills of the attempt are known")
        settled = replace(attempt, state=AttemptState.NEVER, order=None, detail=f"{who}: {note}"[:200])
    else:
        wrong = mismatch(attempt.request.placement, found) or inconsistency(found)
        if wrong is not None or not found.state.is_final:
            raise ProtocolError(wrong or "the order may still fill")
        settled = replace(
            attempt, state=AttemptState.ENDED, order=found, refusal=None, detail=f"{who}: {note}"[:200]
        )
    after = _update(record, settled, now_ms, "reviewed", f"{who}: {note}")
    if any(not a.is_settled for a in after.attempts):
        return after
    after = replace(after, contradiction="", ending=None)
    return finished(after, replace(_finish(after, stopping=False), why="settled by review"), now_ms)


def taken_over(record: OrderRecord, owner: str, now_ms: int, *, due_at_ms: int) -> tuple[OrderRecord, Me]:
    """Become the process that drives: whoever did before can write, and so send, nothing more."""
    epoch = record.epoch + 1
    event = Event(now_ms, epoch, "taken_over")
    after = replace(record, owner=owner, epoch=epoch, due_at_ms=due_at_ms)
    return _noted(after, event), Me(owner, epoch)


def claimed(
    record: OrderRecord, owner: str, epoch: int, now_ms: int, *, due_at_ms: int
) -> tuple[OrderRecord, Me] | None:
    """Become the process that drives within an epoch; None where another may still be alive, or drives."""
    if record.epoch != epoch or (record.owner and now_ms < record.due_at_ms):
        return None
    return replace(record, owner=owner, due_at_ms=due_at_ms), Me(owner, epoch)


def released(record: OrderRecord, *, due_at_ms: int) -> OrderRecord:
    """Let the next process of this epoch drive on from here."""
    return replace(record, owner="", due_at_ms=due_at_ms)


def cancel_asked(record: OrderRecord, now_ms: int, why: str = "") -> OrderRecord:
    """Note that its end is wanted, and why; whoever drives heeds it before its next step.

    `why` is empty where its caller wants it.
    """
    if record.ending is not None or record.cancel_requested:
        return record
    event = Event(now_ms, record.epoch, _CANCEL_REQUESTED, detail=why[:200])
    return _noted(replace(record, cancel_requested=True), event)


def _unknown(attempt: Attempt, detail: str) -> Attempt:
    if attempt.state in {AttemptState.INTENDED, AttemptState.UNKNOWN}:
        return replace(attempt, state=AttemptState.UNKNOWN, detail=detail)
    return attempt


def _update(record: OrderRecord, attempt: Attempt, now_ms: int, what: str, detail: str) -> OrderRecord:
    event = Event(now_ms, record.epoch, what, attempt.number, detail[:200])
    return _noted(_keep(record, attempt), event)


def _noted(record: OrderRecord, event: Event) -> OrderRecord:
    """Add a line to the history; of a very long one the middle is let go."""
    history = (*record.history, event)
    if len(history) > MOST_EVENTS:
        history = history[: MOST_EVENTS // 2] + history[1 - MOST_EVENTS // 2 :]
    return replace(record, history=history)


def _keep(record: OrderRecord, attempt: Attempt) -> OrderRecord:
    attempts = tuple(attempt if a.number == attempt.number else a for a in record.attempts)
    return replace(record, attempts=attempts)


def _with(venues: tuple[str, ...], venue: str) -> tuple[str, ...]:
    return venues if venue in venues else (*venues, venue)
