"""The answer to "where should this order go, and why?"."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from sor_core.domain.market import BookSource, Exclusion
from sor_core.domain.order import Strategy


class Reason(StrEnum):
    """Why the selected venue was selected; a closed list, fit for a metric's label."""

    ONLY_VENUE = "only_venue"
    BEST_PRICE = "best_price"
    LOWEST_TOTAL_COST = "lowest_total_cost"
    BEST_SCORE = "best_score"
    LOWEST_LATENCY = "lowest_latency"
    BEST_LIQUIDITY = "best_liquidity"
    SPLIT = "split_across_venues"


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of an order for one venue."""

    venue: str
    amount: Decimal
    """Base, a multiple of the venue's lot."""
    limit_price: Decimal
    """The price cap on the venue's tick, rounded to the safe side."""
    worst_price: Decimal
    """The last level expected to be touched."""
    notional: Decimal
    """Quote before fees: sum of price x size over the levels taken, exact."""
    fee: Decimal
    """Taker fee in quote, exact at the venue's rate (the venue rounds it its own way)."""
    fee_bps: Decimal
    """The venue's taker fee."""
    latency_ms: float
    liquidity_score: float
    reliability: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Sums over legs, and what they mean against the arrival mid."""

    amount: Decimal
    notional: Decimal
    fee: Decimal
    expected_price: Decimal
    """notional / amount, 15 significant digits."""
    slippage_bps: Decimal
    """side x (expected price - arrival mid) / arrival mid, before fees; negative is better than mid."""
    fee_bps: Decimal
    """fee / (arrival mid x amount)."""

    @property
    def total_cost_bps(self) -> Decimal:
        """Slippage and fees together."""
        return self.slippage_bps + self.fee_bps


@dataclass(frozen=True, slots=True)
class Alternative:
    """What a venue not selected would have given alone."""

    venue: str
    costs: Costs
    """Of as much of the order as it could fill alone (`costs.amount`)."""
    liquidity_score: float
    latency_ms: float
    reliability: float


@dataclass(frozen=True, slots=True)
class BookUsed:
    """A book that took part."""

    venue: str
    age_ms: int
    source: BookSource


@dataclass(frozen=True, slots=True)
class BookLevel:
    """A level of a book, and what a unit of it costs (selling: brings)."""

    price: Decimal
    size: Decimal
    all_in_price: Decimal
    """With the venue's taker fee: price x (1 + fee) buying, price x (1 - fee) selling."""
    strategy_price: Decimal
    """As the strategy compares it, in the terms of `Certificate.marginal_price`."""


@dataclass(frozen=True, slots=True)
class VenueMargin:
    """Where a venue's book stands against the marginal price."""

    venue: str
    last_used: BookLevel | None
    """The last level touched, perhaps in part; None where the venue has no leg."""
    first_unused: BookLevel | None
    """The level after it (beyond the price cap or not); None where the book ends or is malformed."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What shows that the split is the best; see `routing.certificate`."""

    marginal_price: Decimal
    """Lambda, quote per base: what the last unit costs (selling: brings), as the strategy sees it:
    with fee (cost_optimization, lowest_latency), with fee and surcharge (best_execution), before fees
    (best_liquidity). Exact."""
    objective: Decimal
    """What the strategy minimised, in quote: strategy price x size, and the fixed cost of every leg.
    Negative selling, for there it is money that comes in."""
    lower_bound: Decimal
    """No admissible split of the same amount has a lower objective. Equal to it when proven optimal."""
    venues: tuple[VenueMargin, ...]
    """Every venue that competed, best first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A route: the legs, what they are expected to cost, and what else there was."""

    selected: str
    """The venue of the largest leg."""
    reason: Reason
    strategy: Strategy
    legs: tuple[Leg, ...]
    """Largest first."""
    costs: Costs
    arrival_mid: Decimal
    """Half-way between the best bid and the best ask over all venues taking part, exact."""
    price_cap: Decimal
    """Levels beyond it do not exist for this order."""
    remaining: Decimal
    """Base not routed: dust below every lot, or a limit order's rest; 0 for a quote-sized order."""
    remaining_quote: Decimal | None
    """Of a quote-sized order the budget not used, fees counted; None for a base-sized one."""
    confidence: float
    best_single_venue: str | None
    """The cheapest venue that could fill as much alone; None where none could."""
    savings_bps: Decimal | None
    """Its total cost less this decision's; None where none could fill as much alone."""
    optimality_gap_bps: Decimal
    """How far the objective may be from the best possible, 0 when proven optimal."""
    certificate: Certificate
    alternatives: tuple[Alternative, ...]
    """Best first."""
    books: tuple[BookUsed, ...]
    excluded: tuple[Exclusion, ...]
    decided_at_ms: int
    oldest_book_at_ms: int
    """When the oldest of its books was received: a cached decision never outlives its books."""


class NoRouteReason(StrEnum):
    """Why there is no route (each has its own problem type at the edge)."""

    NO_VENUE = "no_venue_available"
    """Every venue is excluded for a reason of its own."""
    UNKNOWN_SYMBOL = "unknown_symbol"
    """No venue asked lists the symbol."""
    INSUFFICIENT_DEPTH = "insufficient_depth"
    """The books hold too little at any price shown."""
    SLIPPAGE = "slippage_limit"
    """The books hold enough, but only beyond the price cap."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The account has too little where the order could be filled."""
    BELOW_MINIMUM = "below_minimum"
    """Smaller than any venue takes."""


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No decision, and the reason."""

    reason: NoRouteReason
    detail: str
    fillable: Decimal
    """Base that could be filled within the limits."""
    excluded: tuple[Exclusion, ...]
