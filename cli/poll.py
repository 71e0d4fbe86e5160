"""One look at the API for `sor watch`: how the venues are, the switch, and both sides of the book."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from cli.client import Answer, Api, NotNowError, RefusedError
from cli.consolidated import BookSide, side_of
from cli.exits import Code, UnavailableError
from cli.show import title_of
from sor_core.domain.instrument import Symbol
from sor_core.domain.order import Side

ALL_OF_IT = "1000000000000"
"""An amount that no book holds: a limit order of it takes every level up to its price cap."""
_NO_LIMIT = {Side.BUY: "100000000000000000", Side.SELL: "0.000000000000000001"}
"""Limit prices that leave the cap to `max_slippage_bps`: the ends of what the API takes."""
BOOKS = {Side.BUY: "asks", Side.SELL: "bids"}
"""The part that shows what a side's taker takes."""
LONGEST_BACK_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is watched."""

    symbol: Symbol | None
    within_bps: Decimal
    """How far from the arrival mid the books are asked for."""
    amount: Decimal | None
    """Base, where the cost of an order is wanted as well."""


@dataclass(frozen=True, slots=True)
class Part:
    """An answer, and when it came."""

    document: Mapping[str, Any]
    at_ms: int
    book: BookSide | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What one look brought."""

    at_ms: int
    parts: Mapping[str, Part] = field(default_factory=dict)
    """What was answered: ``status``, ``trading``, ``asks``, ``bids``, and ``buy``, ``sell`` of the amount."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By the same names, why not; one line each."""
    retry_after_s: float | None = None
    """The API asked for that long a pause."""
    throttled: bool = False
    refusal: RefusedError | None = None
    """The first refusal that asking again does not change."""

    @property
    def code(self) -> Code:
        """How a single look ends."""
        if self.refusal is not None:
            return Code.REFUSED
        return Code.UNAVAILABLE if self.problems.keys() - {"trading"} else Code.DONE


def look(api: Api, asked: Asked, now_ms: Callable[[], int]) -> Frame:
    """Ask the API once for everything; never sends an order.

    An API that is not reached, or throttles, is not asked for the rest.
    """
    parts: dict[str, Part] = {}
    problems: dict[str, str] = {}
    refusal: RefusedError | None = None
    for name, request in _requests(api, asked).items():
        try:
            document = request().document()
            parts[name] = _part(name, document, now_ms())
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
            problems[name] = f"an answer that is not the API's ({type(error).__name__} {error})"
        except UnavailableError as error:
            problems[name] = error.message
            break
        except RefusedError as error:
            status = error.answer.status
            problems[name] = _line(error.answer)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                return Frame(now_ms(), parts, problems, _retry_after_s(error.answer), throttled=True)
            if not isinstance(error, NotNowError) and name != "trading":  # a reader may not see the switch
                refusal = refusal or error
    return Frame(now_ms(), parts, problems, refusal=refusal)


def _part(name: str, document: Any, at_ms: int) -> Part:
    """The answer, if it has what is shown of it; else LookupError, TypeError, ValueError or the like."""
    book = side_of(document["receipt"]) if name in BOOKS.values() else None
    if name == "status":
        for venue in document["exchanges"].values():
            {**venue, **(venue["breakers"] or {})}  # both objects
    if name in set(Side):
        sizes = [Decimal(leg["amount"]) for leg in document["allocations"]]
        sizes += [Decimal(document[field]) for field in ("amount", "remaining_amount", "total_cost_bps")]
    return Part(document, at_ms, book)


def _requests(api: Api, asked: Asked) -> Mapping[str, Callable[[], Answer]]:
    def route(side: Side, amount: str, *, receipt: bool) -> Callable[[], Answer]:
        body = {
            "symbol": str(asked.symbol),
            "side": str(side),
            "type": "limit",
            "price": _NO_LIMIT[side],
            "amount": amount,
            "max_slippage_bps": f"{asked.within_bps:f}",
        }
        return lambda: api.call(
            "POST", "/api/route", body=body, params={"receipt": "true"} if receipt else None
        )

    requests: dict[str, Callable[[], Answer]] = {
        "status": lambda: api.call("GET", "/api/exchanges/status"),
        "trading": lambda: api.call("GET", "/api/trading"),
    }
    if asked.symbol is not None:
        requests |= {BOOKS[side]: route(side, ALL_OF_IT, receipt=True) for side in Side}
    if asked.amount is not None:
        requests |= {str(side): route(side, f"{asked.amount:f}", receipt=False) for side in Side}
    return requests


def _line(answer: Answer) -> str:
    problem = answer.document()
    if not isinstance(problem, Mapping):
        return f"refused ({answer.status})"
    detail = f": {problem['detail']}" if problem.get("detail") else ""
    return f"{title_of(problem)} ({answer.status}){detail}"


def _retry_after_s(answer: Answer) -> float | None:
    """What ``Retry-After`` says, where it says seconds (RFC 9110, section 10.2.3)."""
    told = answer.headers.get("Retry-After", "")
    return min(float(told), LONGEST_BACK_OFF_S) if told.isascii() and told.isdigit() else None


@dataclass(slots=True)
class Pace:
    """How long to wait for the next look: longer and longer while the API throttles."""

    every_s: float
    throttled: int = 0

    def after(self, frame: Frame) -> float:
        """Seconds to wait after a look."""
        if not frame.throttled:
            self.throttled = 0
            return self.every_s
        self.throttled += 1
        doubled = min(self.every_s * 2.0 ** min(self.throttled, 10), LONGEST_BACK_OFF_S)
        return max(self.every_s, doubled if frame.retry_after_s is None else frame.retry_after_s)


def clock_ms() -> int:
    """Now, Unix milliseconds."""
    return time.time_ns() // 1_000_000
