"""The four strategies, each as the integers that the exact allocation minimises.

All unit costs are per unit of size, in 10^-(price places + cost places) of the quote: price times
(1 + fee) buying, minus price times (1 - fee) selling, plus a surcharge where the strategy has one.

- ``cost_optimization``: the all-in cost, nothing else.
- ``best_liquidity``: the price before fees, so that only market impact counts, splitting freely.
- ``best_execution``: the required weights made exact. With price utility 1 - cost_bps/B, the score
  w_p (1 - cost_bps/B) + w_l u_l + w_t u_t + w_r u_r is greatest where
  cost_bps + B [w_l (1-u_l) + w_t (1-u_t) + w_r (1-u_r)] / w_p is least. B is set so that the
  surcharge never passes the configured tolerance X: B = X w_p / (w_l + w_t + w_r). So the choice
  is never more than X bps dearer than the cheapest, and the score stays linear in each leg's size,
  which is what lets the same exact allocation split it.
- ``lowest_latency``: the fastest venue, or failing one the fastest group of venues, that fills as
  much as the cheapest split and costs at most the configured tolerance more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Self

from sor_core.domain.health import latency_utility
from sor_core.domain.market import Policy, VenueMarket
from sor_core.domain.money import BPS
from sor_core.domain.order import Order, Side, Strategy
from sor_core.routing.allocate import Split, allocate
from sor_core.routing.curves import Curve
from sor_core.routing.ladder import Ladder, Scale


@dataclass(frozen=True, slots=True)
class Candidate:
    """A venue that can take part of the order, with everything in integers."""

    market: VenueMarket
    ladder: Ladder
    curve: Curve
    """What the strategy minimises here, with the bounds and the lot of sizes."""
    liquidity_score: float
    depth_within_cap: float
    limit_price: Decimal
    """The price cap on the venue's tick."""
    all_in_factor: int
    """A price times it is the price with fee in unit costs."""
    short_of_funds: bool = False
    """Whether the account's funds here, and nothing else, set `hi`."""

    @property
    def lot(self) -> int:
        """Sizes are multiples of it."""
        return self.curve.lot

    @property
    def lo(self) -> int:
        """Least size but 0."""
        return self.curve.lo

    @property
    def hi(self) -> int:
        """Largest size."""
        return self.curve.hi

    def money(self, size: int) -> int:
        """What `size` (1..`hi`) pays with fees, or brings less fees, in the integers of a cost."""
        return self.all_in_factor * self.ladder.notional(size)


@dataclass(frozen=True, slots=True)
class Pricing:
    """The integers of one decision."""

    strategy: Strategy
    side: Side
    scale: Scale
    cost_places: int
    """Decimal places of a fee rate: unit costs are prices times 10^cost_places."""
    one: int
    """A factor of 1 in unit costs."""
    leg_cost: int
    """The configured fixed cost of a leg in the integers of a cost."""
    mid: Decimal
    policy: Policy

    @classmethod
    def of(cls, order: Order, scale: Scale, cost_places: int, mid: Decimal, policy: Policy) -> Self:
        """Scale an order's policy."""
        places = scale.price_places + scale.size_places + cost_places
        leg_cost = int(policy.leg_fixed_cost.scaleb(places).to_integral_value(ROUND_HALF_EVEN))
        return cls(order.strategy, order.side, scale, cost_places, 10**cost_places, leg_cost, mid, policy)

    def all_in_factor(self, market: VenueMarket) -> int:
        """What a price is multiplied by to count the venue's taker fee, exact."""
        fee = (market.fees.taker_fee_bps / BPS).scaleb(self.cost_places)
        return self.one + self.side.sign * int(fee)

    def terms(self, market: VenueMarket, all_in_factor: int, liquidity_score: float) -> tuple[int, int, int]:
        """Factor, addend and fixed cost of what the strategy minimises on a venue.

        lowest_latency ranks by all-in cost within its groups.
        """
        if self.strategy is Strategy.BEST_LIQUIDITY:
            return self.one, 0, 0
        if self.strategy is not Strategy.BEST_EXECUTION:
            return all_in_factor, 0, self.leg_cost
        surcharge = self.bps(_surcharge_bps(market, liquidity_score, self.policy))
        return all_in_factor, surcharge, self.leg_cost

    def bps(self, value: Decimal) -> int:
        """Basis points of the arrival mid as an addend to a unit cost, rounded half-even."""
        places = self.scale.price_places + self.cost_places
        return int((self.mid * value / BPS).scaleb(places).to_integral_value(ROUND_HALF_EVEN))


def surcharge_bps(candidate: Candidate, policy: Policy) -> Decimal:
    """What best_execution adds to a unit's cost for a venue's shortcomings, of the arrival mid.

    0 for a venue perfect in liquidity, latency and reliability, the tolerance for the worst.
    """
    return _surcharge_bps(candidate.market, candidate.liquidity_score, policy)


def _surcharge_bps(market: VenueMarket, liquidity_score: float, policy: Policy) -> Decimal:
    weights = policy.weights
    others = weights.liquidity + weights.latency + weights.reliability
    if others == 0:
        return Decimal(0)
    shortfall = (
        weights.liquidity * _shortfall(liquidity_score / 10.0)
        + weights.latency * _shortfall(latency_utility(market.latency_ms))
        + weights.reliability * _shortfall(market.reliability)
    )
    return policy.best_execution_tolerance_bps * shortfall / others


def _shortfall(utility: float) -> Decimal:
    # Six places: far finer than any utility is known, and the same on every machine.
    return 1 - Decimal(f"{min(1.0, max(0.0, utility)):.6f}")


def rank(candidates: Sequence[Candidate], pricing: Pricing, target: int) -> list[Candidate]:
    """Order venues by what each would give alone, best first.

    Filling more comes first, then the strategy's own objective, then all that a trader would look
    at next; the name comes last, so that the order never depends on the order of arrival. A venue
    at least as good in every respect therefore never ranks lower.
    """
    sizes = [size_alone(c, target) for c in candidates]
    costs = [_per_unit(c.curve, size) for c, size in zip(candidates, sizes, strict=True)]
    by_latency = pricing.strategy is Strategy.LOWEST_LATENCY and bool(candidates)
    limit = Decimal(0)
    if by_latency:
        cheapest = min(cost for cost, size in zip(costs, sizes, strict=True) if size == max(sizes))
        limit = cheapest + pricing.bps(pricing.policy.lowest_latency_tolerance_bps)

    def key(at: int) -> tuple[object, ...]:
        candidate, cost = candidates[at], costs[at]
        market = candidate.market
        latency_ms = market.latency_ms
        return (
            -sizes[at],
            *((cost > limit, latency_ms) if by_latency else ()),
            cost,
            latency_ms,
            -candidate.liquidity_score,
            -market.reliability,
            market.fees.taker_fee_bps,
            market.venue,
        )

    return [candidates[at] for at in sorted(range(len(candidates)), key=key)]


def size_alone(candidate: Candidate, target: int) -> int:
    """What one venue gives without the others: all it can, up to the target; 0 below its least."""
    size = min(candidate.hi, target // candidate.lot * candidate.lot)
    return size if size >= candidate.lo else 0


def _per_unit(curve: Curve, size: int) -> Decimal:
    return Decimal(curve.cost(size) + curve.fixed) / size if size else Decimal("Infinity")


def solve(ranked: Sequence[Candidate], pricing: Pricing, target: int, max_legs: int | None) -> Split:
    """Split `target` over `ranked` (best first: ties go to the better venue)."""
    curves = [c.curve for c in ranked]
    best = allocate(curves, target, max_legs)
    if pricing.strategy is not Strategy.LOWEST_LATENCY or not best.total:
        return best
    limit = best.cost + pricing.bps(pricing.policy.lowest_latency_tolerance_bps) * best.total
    by_latency = sorted(range(len(ranked)), key=lambda i: (ranked[i].market.latency_ms, i))
    groups = [{i} for i in by_latency] + [set(by_latency[:n]) for n in range(2, len(ranked))]
    for group in groups:
        split = allocate([c if i in group else c.closed() for i, c in enumerate(curves)], target, max_legs)
        if split.total == best.total and split.cost <= limit:
            return split
    return best
