"""What a look through a venue's lists proves of an attempt."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sor_core.domain.order import Side
from sor_core.domain.trading import Fill, OrderState, VenueOrder
from sor_core.execution.evidence import judge
from sor_core.execution.protocol import NotSeen, NoWord, Seen, fence_at
from sor_core.execution.record import Absence, Attempt, AttemptState
from tests.fakes.records import attempt, venue_order

UNKNOWN = attempt(state=AttemptState.UNKNOWN)
LATER_MS = fence_at(UNKNOWN) + 1
CLOSES_MS = UNKNOWN.request.window.closes_at_ms
SETTLED_MS = CLOSES_MS + UNKNOWN.fence.settle_ms


def listed(number: int, **changes: Any) -> VenueOrder:
    """An order of the account, by default another's than the attempt's."""
    values: dict[str, Any] = {
        "venue_order_id": f"v-{number}",
        "client_order_id": f"{number:032x}",
        "created_at_ms": CLOSES_MS - 1,
    }
    return replace(venue_order(), **{**values, **changes})


def fill(order_id: str, price: str = "60000", size: str = "0.5") -> Fill:
    return Fill("t", Decimal(price), Decimal(size), Decimal(0), "USDT", venue_order_id=order_id)


def its_own(**changes: Any) -> VenueOrder:
    return listed(1, **{"client_order_id": UNKNOWN.ref.client_order_id, **changes})


def absent(*, witnessed: bool) -> NotSeen:
    return NotSeen(Absence(LATER_MS, witnessed=witnessed))


def test_lists_that_show_nothing() -> None:
    assert judge(UNKNOWN, LATER_MS, [], []) == absent(witnessed=False)


def test_others_orders_and_their_fills() -> None:
    got = judge(UNKNOWN, LATER_MS, [listed(2), listed(3)], [fill("v-2"), fill("v-3"), fill("v-3")])
    assert got == absent(witnessed=False)


def test_an_order_with_its_client_order_id() -> None:
    assert judge(UNKNOWN, LATER_MS, [listed(2), its_own()], [fill("nobody's")]) == Seen(its_own())


def test_an_order_with_the_venues_id_that_is_known_already() -> None:
    known = replace(UNKNOWN, order=its_own(state=OrderState.PENDING))
    nameless = its_own(client_order_id=None)
    assert judge(known, LATER_MS, [nameless], []) == Seen(nameless)


def test_the_same_order_twice_is_one_and_the_later_row_counts() -> None:
    """As where a page of a list moves while it is read."""
    ended = its_own(state=OrderState.CANCELLED)
    assert judge(UNKNOWN, LATER_MS, [its_own(state=OrderState.OPEN), ended], []) == Seen(ended)


def test_two_orders_with_its_client_order_id() -> None:
    assert isinstance(judge(UNKNOWN, LATER_MS, [its_own(), its_own(venue_order_id="v-9")], []), NoWord)


@pytest.mark.parametrize(
    ("changes", "could_be"),
    [
        ({}, True),
        ({"limit_price": Decimal(60_300)}, True),
        ({"size": None}, True),
        ({"side": Side.SELL}, False),
        ({"size": Decimal(2)}, False),
        ({"limit_price": Decimal(60_301)}, False),
    ],
)
def test_an_order_without_a_client_order_id(changes: dict[str, Any], could_be: bool) -> None:  # noqa: FBT001 - a column
    got = judge(UNKNOWN, LATER_MS, [listed(2, client_order_id=None, **changes)], [])
    assert isinstance(got, NoWord if could_be else NotSeen)


SELLING = attempt(state=AttemptState.UNKNOWN, side=Side.SELL, limit="59900")


@pytest.mark.parametrize(
    ("asked", "price", "size", "could_be"),
    [
        (UNKNOWN, "60300", "1", True),
        (UNKNOWN, "1", "0.00000001", True),
        (UNKNOWN, "60300.01", "1", False),
        (UNKNOWN, "60300", "1.00000001", False),
        (SELLING, "59900", "1", True),
        (SELLING, "59899.99", "1", False),
    ],
)
@pytest.mark.parametrize("order_id", ["unlisted", ""])
def test_a_fill_of_no_listed_order(
    asked: Attempt,
    price: str,
    size: str,
    could_be: bool,  # noqa: FBT001 - a column
    order_id: str,
) -> None:
    got = judge(asked, LATER_MS, [listed(2)], [fill("v-2"), fill(order_id, price, size)])
    assert isinstance(got, NoWord if could_be else NotSeen)


@pytest.mark.parametrize(
    ("created_at_ms", "witnessed"),
    [(None, False), (CLOSES_MS, False), (CLOSES_MS + 1, False), (SETTLED_MS, False), (SETTLED_MS + 1, True)],
)
def test_a_witness_is_younger_than_the_attempt_can_be(
    created_at_ms: int | None,
    witnessed: bool,  # noqa: FBT001 - a column
) -> None:
    """The last moment to make the attempt is the window's end and what an order may be on its way for."""
    got = judge(UNKNOWN, LATER_MS, [listed(2, created_at_ms=created_at_ms), listed(3)], [])
    assert got == absent(witnessed=witnessed)


def test_the_moment_is_the_one_told_before_the_look() -> None:
    early_ms = fence_at(UNKNOWN) - 1
    assert judge(UNKNOWN, early_ms, [], []) == NotSeen(Absence(early_ms, witnessed=False))
