"""Each guard removed in turn: the explorer must find the harm that the guard prevents.

A mutant is a change of a real function of the protocol (`patches`), or of what the modelled processes
do (`habits`). `rule` is the harm that has to be found, so that the story goes on to the real damage
and does not stop where the first rule is bent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from sor_core.domain.trading import (
    Cancelled,
    CancelOutcome,
    Fence,
    PlaceOutcome,
    Rejected,
    RejectReason,
    Unknown,
)
from sor_core.domain.trading import VenueOrder as ToldOrder
from sor_core.execution import evidence, protocol
from sor_core.execution.protocol import Me
from sor_core.execution.record import Attempt, AttemptState, OrderRecord
from tests.explorer.scenarios import BY_NAME, Scenario
from tests.explorer.search import Explorer
from tests.explorer.states import Habits

OVER_FILLED = "over-filled"
Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """A guard removed."""

    name: str
    what: str
    """What is done instead."""
    scenario: str
    rule: str = OVER_FILLED
    habits: Habits = field(default_factory=Habits)
    patches: tuple[Patch, ...] = ()
    faults: int | None = None
    """Faults allowed, where the scenario's do not suffice."""
    naive: bool = False

    @contextmanager
    def applied(self) -> Iterator[Explorer]:
        """An explorer of its scenario, while the guard is removed."""
        scenario: Scenario = BY_NAME[self.scenario]
        if self.naive:
            scenario = replace(scenario, setting=replace(scenario.setting, naive=True))
        with ExitStack() as stack:
            for owner, name, instead in self.patches:
                stack.enter_context(mock.patch.object(owner, name, instead))
            yield scenario.explorer(self.habits, frozenset({self.rule}), self.faults, is_deep=True)


_sent = protocol.sent
_refused = protocol._refused
_cancelled = protocol.cancelled
_proven_never = protocol.proven_never
_may_replay = protocol.may_replay


def _no_fence(attempt: Attempt) -> int:
    return attempt.request.window.opens_at_ms


def _unknown_is_never(record: OrderRecord, number: int, outcome: PlaceOutcome, now_ms: int) -> OrderRecord:
    """Take silence for a failure."""
    if not isinstance(outcome, Unknown):
        return _sent(record, number, outcome, now_ms)
    attempt = replace(record.attempt(number), state=AttemptState.NEVER)
    record = protocol._keep(record, attempt)
    return replace(record, avoid=protocol._with(record.avoid, attempt.venue))


def _one_absence(attempt: Attempt, *, strict: bool) -> bool:
    del strict
    return any(a.venue_time_ms >= protocol.fence_at(attempt) for a in attempt.absences)


def _unwitnessed(attempt: Attempt, *, strict: bool) -> bool:
    del strict
    return _proven_never(attempt, strict=False)


def _silence_proves(attempt: Attempt, *, strict: bool) -> bool:
    fence: Fence = replace(attempt.fence, absence_proves=True)
    return _proven_never(replace(attempt, fence=fence), strict=strict)


def _by_owner_alone(record: OrderRecord, me: Me) -> bool:
    return record.owner == me.owner


def _claimed_by_any(
    record: OrderRecord, owner: str, epoch: int, now_ms: int, *, due_at_ms: int
) -> tuple[OrderRecord, Me] | None:
    if record.owner and now_ms < record.due_at_ms:
        return None
    return replace(record, owner=owner, due_at_ms=due_at_ms), Me(owner, epoch)


def _replay_anything(record: OrderRecord, attempt: Attempt) -> bool:
    idempotent = replace(attempt, idempotent=True)
    return _may_replay(record, idempotent)


def _always(*_: object, **__: object) -> bool:
    return True


def _as_told(known: ToldOrder | None, told: ToldOrder) -> ToldOrder:
    del known
    return told


def _later_word_proves(record: OrderRecord, attempt: Attempt, refusal: Rejected, now_ms: int) -> OrderRecord:
    if refusal.reason is not RejectReason.FILTER_SIZE or attempt.is_settled or attempt.order is not None:
        return _refused(record, attempt, refusal, now_ms)
    return _given_up(record, attempt, refusal)


def _given_up(record: OrderRecord, attempt: Attempt, refusal: Rejected) -> OrderRecord:
    record = replace(record, avoid=protocol._with(record.avoid, attempt.venue))
    return protocol._keep(record, replace(attempt, state=AttemptState.NEVER, refusal=refusal))


def _not_sent_proves(record: OrderRecord, attempt: Attempt, refusal: Rejected, now_ms: int) -> OrderRecord:
    if refusal.reason is not RejectReason.NOT_SENT or attempt.is_settled or attempt.order is not None:
        return _refused(record, attempt, refusal, now_ms)
    return _given_up(record, attempt, refusal)


def _cancel_ends(record: OrderRecord, number: int, outcome: CancelOutcome, now_ms: int) -> OrderRecord:
    record = _cancelled(record, number, outcome, now_ms)
    if not isinstance(outcome, Cancelled):
        return record
    return protocol._keep(record, replace(record.attempt(number), state=AttemptState.ENDED))


def _never_hopeless(*_: object) -> None:
    return None


def _in_protocol(name: str, instead: Callable[..., Any]) -> Patch:
    return protocol, name, instead


MUTANTS = (
    Mutant(
        "requirements",
        "the requirements' execute_with_failover: any exception, and the next venue is tried",
        "failover",
        naive=True,
    ),
    Mutant(
        "intent first",
        "an attempt is sent first and written down afterwards",
        "failover",
        habits=Habits(intent_first=False),
    ),
    Mutant(
        "fence",
        "an absence counts at once, however late the request may still arrive",
        "failover",
        patches=(_in_protocol("fence_at", _no_fence), (evidence, "fence_at", _no_fence)),
    ),
    Mutant(
        "venue's clock",
        "absences are dated by our own clock",
        "clocks",
        habits=Habits(venue_clock=False),
    ),
    Mutant(
        "deadline",
        "nobody looks at the clock before the bytes leave",
        "small",
        rule="late bytes",
        habits=Habits(checks_deadline=False),
    ),
    Mutant(
        "frozen window",
        "nobody looks at the clock before the bytes leave, and the request is stamped only then",
        "small",
        habits=Habits(checks_deadline=False, frozen_window=False),
    ),
    Mutant(
        "query before release",
        "silence is a failure: the size is free for the next venue at once",
        "failover",
        patches=(_in_protocol("sent", _unknown_is_never),),
    ),
    Mutant(
        "absent twice",
        "one absence is enough",
        "one lie",
        patches=(_in_protocol("proven_never", _one_absence),),
    ),
    Mutant(
        "history",
        "only the order query is asked, not the lists of orders and fills",
        "blind query",
        habits=Habits(looks_in_history=False),
    ),
    Mutant(
        "witness",
        "strict mode does not ask for a younger order in the same list",
        "strict",
        patches=(_in_protocol("proven_never", _unwitnessed),),
    ),
    Mutant(
        "silence at Coinbase",
        "absence is proof at Coinbase, too, without a word of its own",
        "cancel at coinbase",
        rule="wrong end",
        patches=(_in_protocol("proven_never", _silence_proves),),
    ),
    Mutant(
        "version condition",
        "a write does not look at what it overwrites",
        "twice",
        habits=Habits(checks_version=False),
    ),
    Mutant(
        "owner token",
        "names of processes and of writes are made from what they do: a racer takes the other's for its own",
        "twice",
        habits=Habits(random_tokens=False),
    ),
    Mutant(
        "epoch",
        "an order that was taken over may still be driven by what was started before",
        "small",
        rule="stale epoch",
        faults=2,
        habits=Habits(checks_epoch=False),
        patches=(_in_protocol("drives", _by_owner_alone), _in_protocol("claimed", _claimed_by_any)),
    ),
    Mutant(
        "frozen cap",
        "the failover takes its price from the market of the moment",
        "failover",
        rule="beyond the cap",
        habits=Habits(frozen_cap=False),
        patches=(_in_protocol("within_cap", _always),),
    ),
    Mutant(
        "no re-send",
        "a request without an answer is sent again, to a venue that makes a second order of it",
        "failover",
        patches=(_in_protocol("may_replay", _replay_anything),),
    ),
    Mutant(
        "refusals",
        "every refusal is believed",
        "failover",
        patches=(_in_protocol("is_definite", _always),),
    ),
    Mutant(
        "first word",
        "a refusal of a repetition ends the attempt, though its first copy may be still on its way",
        "coinbase",
        faults=2,
        patches=(_in_protocol("_refused", _later_word_proves),),
    ),
    Mutant(
        "not sent",
        "that a repetition was not sent counts as proof that nothing was",
        "coinbase",
        faults=2,
        patches=(_in_protocol("_refused", _not_sent_proves),),
    ),
    Mutant(
        "cancel proves",
        "what a venue has cancelled is taken to have filled no more than was known",
        "cancel against fill",
        faults=1,
        rule="wrong end",
        patches=(_in_protocol("cancelled", _cancel_ends),),
    ),
    Mutant(
        "switch",
        "whoever writes an attempt down does not look at the operator's switch in the same write",
        "halt",
        rule="halted",
        habits=Habits(checks_switch=False),
    ),
    Mutant(
        "sweep",
        "nobody looks after orders that their processes have left",
        "small",
        rule="trap",
        habits=Habits(sweeps=False),
    ),
    Mutant(
        "review in time",
        "what stays unclear is asked about for ever",
        "coinbase",
        rule="trap",
        patches=(_in_protocol("_hopeless", _never_hopeless),),
    ),
    Mutant(
        "fills",
        "the rest of an ended order is free before its fills add up",
        "torn",
        habits=Habits(fetches_fills=False),
        patches=((ToldOrder, "fills_complete", property(_always)),),
    ),
    Mutant(
        "newer view",
        "the view told last is believed, even where it is behind",
        "cancel against fill",
        faults=1,
        rule="forgotten",
        patches=(_in_protocol("_newer", _as_told),),
    ),
    Mutant(
        "claims",
        "a write that is repeated adds to the shared counters again",
        "small",
        rule="claims",
        habits=Habits(counts_with_record=False),
    ),
)
BY_NAME_OF_MUTANT = {mutant.name: mutant for mutant in MUTANTS}
