"""What one complete look through a venue's lists proves of an attempt that its order query did not find."""

from __future__ import annotations

from collections.abc import Sequence

from sor_core.domain.order import Side
from sor_core.domain.trading import Fill, VenueOrder, mismatch
from sor_core.execution.protocol import NotSeen, NoWord, Observation, Seen, fence_at
from sor_core.execution.record import Absence, Attempt


def judge(
    attempt: Attempt, venue_time_ms: int, orders: Sequence[VenueOrder], fills: Sequence[Fill]
) -> Observation:
    """Say whether a venue's lists show an attempt.

    Parameters
    ----------
    attempt
        Which the order query has just not found.
    venue_time_ms
        By the venue's clock, told before the query and the lists were asked for.
    orders
        All orders of the account in the market, open and ended, since before the attempt was sent.
        Older ones, and others of the account, may be among them: the more, the fewer fills are unexplained.
    fills
        All its fills in the market since then, read after `orders`.

    Returns
    -------
    Seen, NotSeen or NoWord
        `NotSeen` only where nothing in either list can be the attempt. Whether its moment means
        anything is `protocol.proven_never`'s to say.
    """
    listed = {order.venue_order_id: order for order in orders}
    ours = [order for order in listed.values() if _is(attempt, order)]
    if len(ours) > 1:
        return NoWord(f"{len(ours)} orders with its client order id")
    if ours:
        return Seen(ours[0])
    if any(_may_be(attempt, order) for order in orders):
        return NoWord("an order just like it, without a client order id")
    if unlisted(attempt, orders, fills):
        return NoWord("a fill of an order that is not listed")
    return NotSeen(Absence(venue_time_ms, witnessed=any(_is_younger(attempt, order) for order in orders)))


def unlisted(attempt: Attempt, orders: Sequence[VenueOrder], fills: Sequence[Fill]) -> set[str]:
    """The venue's ids of orders that are not listed and have fills which could be the attempt's."""
    listed = {order.venue_order_id for order in orders}
    return {f.venue_order_id for f in fills if f.venue_order_id not in listed and _may_fill(attempt, f)}


def _is(attempt: Attempt, order: VenueOrder) -> bool:
    ref = attempt.ref
    return order.client_order_id == ref.client_order_id or order.venue_order_id == ref.venue_order_id


def _may_be(attempt: Attempt, order: VenueOrder) -> bool:
    return order.client_order_id is None and mismatch(attempt.request.placement, order) is None


def _may_fill(attempt: Attempt, fill: Fill) -> bool:
    """Whether a fill is within the attempt's size and price, which every venue keeps to."""
    if attempt.request.placement.side is Side.BUY:
        within = fill.price <= attempt.limit_price
    else:
        within = fill.price >= attempt.limit_price
    return within and fill.size <= attempt.size


def _is_younger(attempt: Attempt, order: VenueOrder) -> bool:
    """Whether an order was made when the attempt could no longer be: a list that shows it is not behind."""
    latest_ms = fence_at(attempt) - attempt.fence.visible_ms
    return order.created_at_ms is not None and order.created_at_ms > latest_ms
