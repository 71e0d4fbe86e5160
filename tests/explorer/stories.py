"""A path through the states, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.explorer.rules import Violation
from tests.explorer.search import Explorer
from tests.explorer.shelf import Shelf
from tests.explorer.states import Move
from tests.explorer.world import Resting

_SENT = {
    "taken": "it is taken and fills {filled}; the answer comes",
    "answer lost": "it is taken and fills {filled}; the answer is lost (or is a 5xx)",
    "repeated on the way": (
        "it is taken and fills {filled}; something on the way repeats it, "
        "and what comes is the answer to the copy: a refusal"
    ),
    "repeated, and filled twice": (
        "it fills {filled}; something on the way repeats it, and the copy fills again"
    ),
    "lost or late": "no answer comes: it is lost, or still on its way",
    "refused": "it is refused for a reason that a repetition would explain",
    "refused for its words": "it is refused as a matter of form (size, price)",
    "not sent": "no byte of it leaves",
    "held back": "our own limits hold it back",
    "duplicate": "it is refused: an order of that id is open",
    "past the window": "it is refused: its window has closed",
}
_WROTE = {
    "claim": "takes the order",
    "follow": "takes the order to follow it",
    "takeover": "takes the order away from whoever had it",
    "asked": "writes down that its end is wanted",
    "release": "leaves the order to whoever comes next",
    "intend": "writes down",
    "accept": "accepts the order and writes down",
}
_PLAIN = {
    "read": "reads the order",
    "superseded": "reads it again: it is not its own any more",
    "read it again": "reads it again, and applies its result to that",
    "goes on": "goes on",
    "is invoked twice": "is invoked a second time",
    "finds it due": "begins, as the order is due",
    "asks to cancel": "asks to cancel",
    "halts trading": "halts trading",
    "chose nothing": "finds nothing to place",
    "no venue answers": "finds no venue that answers",
    "claimed by other orders": "cannot write it down: other orders have claimed the money",
}


def tell(explorer: Explorer, story: Sequence[Move], violation: Violation) -> Iterator[str]:
    """One line a step, numbered, with the tick that it happens in."""
    tick = 0
    for number, move in enumerate(story, start=1):
        if move.who == "time":
            tick += 1
            missed = ", and the sweep does not come" if len(move.what) and "no sweep" in move.what[0] else ""
            yield f"{number:3}. -- tick {tick} begins{missed} --"
            continue
        yield f"{number:3}. {move.who}: {words(explorer.shelf, move.what)}"
    yield f"     {violation.rule.upper()}: {violation.detail}"


def words(shelf: Shelf, what: tuple[Any, ...]) -> str:  # noqa: C901, PLR0912 - one case for each thing that happens
    """What happened."""
    match what:
        case ("saved" | "saved, no answer" as how, name, rid):
            told = _WROTE.get(name, "writes down")
            if name not in {"claim", "follow", "takeover", "asked", "release"}:
                told = f"{told}: {standing(shelf, rid)}"
            return told + ("; no answer to that write comes" if how != "saved" else "")
        case ("met its own write" | "heard of its own write", _):
            return "sends the write again, and knows by its token that the first copy was in time"
        case ("conflict", _):
            return "tries to write, and is refused: another has written since"
        case ("took for its own", _):
            return "tries to write, finds just that written, and takes it for its own"
        case ("not admitted", _):
            return "tries to write an attempt down, and is refused: trading is halted"
        case ("post" | "repeat" as how, venue, number, tag, filled, price):
            verb = "sends" if how == "post" else "repeats"
            return f"{verb} attempt {number} to {_name(venue)} at {price}: {_SENT[tag].format(filled=filled)}"
        case ("too late to send", venue, number):
            return f"does not send attempt {number} to {_name(venue)}: its deadline has passed"
        case ("window closed", venue, number):
            return f"does not repeat attempt {number}: {_name(venue)}'s window has closed"
        case ("not repeated: halted", _, number):
            return f"does not repeat attempt {number}: trading is halted"
        case ("look", venue, number, tag, spec):
            how = f" ({tag.strip(', ')})" if tag else ""
            return f"asks {_name(venue)} about attempt {number}{how}: {_shown(spec)}"
        case ("cancel", venue, number, came):
            return f"has {_name(venue)} cancel attempt {number}: {came}"
        case ("chose", venue, size, price):
            return f"chooses {_name(venue)} for {size} at {price}"
        case ("started the machine", epoch):
            return f"starts the machine of epoch {epoch}"
        case ("could not start the machine", epoch):
            return f"cannot start the machine of epoch {epoch}"
        case ("arrives late", venue, number, filled, price):
            return f"attempt {number} reaches {_name(venue)} only now, and fills {filled} at {price}"
        case ("market fills", venue, number, filled):
            return f"attempt {number} at {_name(venue)} has {filled} filled now"
        case ("stops", _):
            return "stops (killed, or frozen)"
        case ("settles", number, shows):
            return f"settles attempt {number}: {_resting(shows)}"
        case (plain, *_):
            return _PLAIN.get(str(plain), str(plain))
        case _:
            return str(what)


def standing(shelf: Shelf, rid: int) -> str:
    """An order in a line."""
    record = shelf.records[rid]
    attempts = [
        f"attempt {a.number} ({a.size} at {_name(a.venue)}) {a.state}"
        + (f", {a.filled} filled" if a.filled else "")
        for a in record.attempts
    ]
    if record.plan is not None:
        attempts += [f"{leg.size} for {_name(leg.venue)} chosen" for leg in record.plan.legs]
    if record.ending is not None:
        attempts.append(f"ended as {record.ending.status}")
    return "; ".join(attempts)


def _name(venue: str) -> str:
    return venue.capitalize()


def _shown(spec: tuple[Any, ...]) -> str:
    match spec:
        case ("seen", _, shows, _):
            return _resting(shows)
        case ("absent", *_):
            return "not there"
        case _:
            return "no clear word"


def _resting(shows: Resting | None) -> str:
    if shows is None:
        return "never placed"
    return f"{'ended' if shows.final else 'open'}, {shows.filled} filled"
