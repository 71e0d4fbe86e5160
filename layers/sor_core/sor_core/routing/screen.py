"""Which venues may take part in a decision, and why the others may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sor_core.domain.market import Exclusion, Policy, VenueMarket, Why
from sor_core.domain.order import Order, Side
from sor_core.routing.ladder import MalformedBookError, touch
from sor_core.routing.score import held_in_band, liquidity_score, notional_of


def admits(order: Order, venue: str) -> bool:
    """Whether the caller allows the venue."""
    return venue not in order.denied_venues and (
        order.allowed_venues is None or venue in order.allowed_venues
    )


def not_allowed(venue: str) -> Exclusion:
    """The exclusion of a venue that the caller left out."""
    return Exclusion(venue, Why.NOT_ALLOWED, "left out by the request")


@dataclass(frozen=True, slots=True)
class Touch:
    """The best bid and the best ask of a book."""

    bid: Decimal
    ask: Decimal


def screen(market: VenueMarket, side: Side, policy: Policy, now_ms: int) -> Exclusion | None:
    """The first reason for which a venue that answered may not take part; None if it may."""
    seen = touch_or_exclusion(market, side, policy, now_ms)
    return seen if isinstance(seen, Exclusion) else None


def touch_or_exclusion(market: VenueMarket, side: Side, policy: Policy, now_ms: int) -> Touch | Exclusion:
    """What `screen` says, or the touch of a venue that may take part: read once, for the mid too."""
    venue, book, metrics = market.venue, market.book, market.metrics
    if not market.instrument.status.takes_limit_ioc:
        return Exclusion(venue, Why.NOT_TRADING, f"instrument is {market.instrument.status}")
    if metrics is not None and not metrics.is_healthy:
        return Exclusion(
            venue,
            Why.UNHEALTHY,
            f"health score {metrics.health_score:.2f}, {metrics.consecutive_failures} failures in a row",
        )
    if market.latency_ms > policy.max_latency_ms:
        return Exclusion(
            venue, Why.TOO_SLOW, f"{market.latency_ms:.0f} ms, at most {policy.max_latency_ms:.0f}"
        )
    if book.age_ms(now_ms) > policy.max_book_age_ms:
        return Exclusion(venue, Why.STALE_BOOK, f"received {book.age_ms(now_ms)} ms ago")
    if book.source_time_ms is not None and book.received_at_ms - book.source_time_ms > policy.max_book_age_ms:
        age_ms = book.received_at_ms - book.source_time_ms
        return Exclusion(venue, Why.STALE_BOOK, f"unchanged at the venue for {age_ms} ms")
    if not book.bids or not book.asks:
        return Exclusion(venue, Why.EMPTY_BOOK, "no bids" if not book.bids else "no asks")
    try:
        bid, ask = touch(book.bids), touch(book.asks)
    except MalformedBookError as error:
        return Exclusion(venue, Why.MALFORMED_BOOK, str(error))
    if bid >= ask:
        return Exclusion(venue, Why.CROSSED_BOOK, f"bid {bid} not below ask {ask}")
    return _thin(market, side, float(bid + ask) / 2, policy) or Touch(bid, ask)


def _thin(market: VenueMarket, side: Side, own_mid: float, policy: Policy) -> Exclusion | None:
    """Judge the side's depth round the venue's own mid: a thin quote may not move the arrival mid."""
    full = float(policy.full_liquidity_notional(market.instrument.symbol.quote))
    enough = notional_of(policy.min_liquidity_score, full)
    levels = market.book.asks if side is Side.BUY else market.book.bids
    try:
        held = held_in_band(levels, side, own_mid, enough)
    except MalformedBookError as error:
        return Exclusion(market.venue, Why.MALFORMED_BOOK, str(error))
    if held >= enough:
        return None
    detail = f"score {liquidity_score(held, full):.2f}, at least {policy.min_liquidity_score:g}"
    return Exclusion(market.venue, Why.THIN_BOOK, detail)


def arrival_mid(markets: Sequence[VenueMarket]) -> Decimal:
    """Half-way between the best bid and the best ask over all venues given, exact.

    Every market must have passed `screen`; raises `ValueError` if none is given.
    """
    return mid_of([Touch(touch(m.book.bids), touch(m.book.asks)) for m in markets])


def mid_of(touches: Sequence[Touch]) -> Decimal:
    """`arrival_mid` of venues whose touches are known."""
    return (max([t.bid for t in touches]) + min([t.ask for t in touches])) / 2
