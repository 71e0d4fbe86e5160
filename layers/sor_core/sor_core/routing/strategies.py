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
from functools import lru_cache

from sor_core.domain.health import latency_utility
from sor_core.domain.market import Policy, VenueMarket
from sor_core.domain.money import BPS
from sor_core.domain.order import Side, Strategy
from sor_core.routing.allocate import Split, allocate
from sor_core.routing.curves import Curve
from sor_core.routing.ladder import Ladder, Scale


@dataclass(frozen=True, slots=True)
class Candidate:
    """A venue that can take part of the order, with everything in integers."""

    market: VenueMarket
    ladder: Ladder
    lot: int
    lo: int
    hi: int
    liquidity_score: float
    depth_within_cap: float
    short_of_funds: bool = False
    """Whether the account's funds here, and nothing else, set `hi`."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """The integers of one decision."""

    side: Side
    scale: Scale
    cost_places: int
    """Decimal places of a fee rate: unit costs are prices times 10^cost_places."""
    mid: Decimal
    policy: Policy

    @property
    def one(self) -> int:
        """A factor of 1 in unit costs."""
        return int(10**self.cost_places)

    def fee(self, candidate: Candidate) -> int:
        """The taker fee rate as an integer of 10^-cost_places, exact."""
        rate = candidate.market.fees.taker_fee_bps / BPS
        return int(rate.scaleb(self.cost_places))

    def curve(self, candidate: Candidate, *, fee: int, surcharge: int = 0, fixed: int = 0) -> Curve:
        """A candidate's cost curve at a fee, with a surcharge per unit of size."""
        return Curve.of(
            candidate.ladder,
            factor=self.one + self.side.sign * fee,
            addend=surcharge,
            lot=candidate.lot,
            lo=candidate.lo,
            hi=candidate.hi,
            fixed=fixed,
        )

    def all_in(self, candidate: Candidate, *, surcharge: int = 0) -> Curve:
        """Price with fee, and the configured fixed cost of a leg."""
        return self.curve(candidate, fee=self.fee(candidate), surcharge=surcharge, fixed=self.leg_cost)

    @property
    def leg_cost(self) -> int:
        """The fixed cost of a leg in the integers of a cost."""
        places = self.scale.price_places + self.scale.size_places + self.cost_places
        return int(self.policy.leg_fixed_cost.scaleb(places).to_integral_value(ROUND_HALF_EVEN))

    def bps(self, value: Decimal) -> int:
        """Basis points of the arrival mid as an addend to a unit cost, rounded half-even."""
        places = self.scale.price_places + self.cost_places
        return int((self.mid * value / BPS).scaleb(places).to_integral_value(ROUND_HALF_EVEN))

    def surcharge(self, candidate: Candidate) -> int:
        """What best_execution adds to a unit's cost for a venue's shortcomings."""
        return self.bps(surcharge_bps(candidate, self.policy))


def surcharge_bps(candidate: Candidate, policy: Policy) -> Decimal:
    """0 for a venue perfect in liquidity, latency and reliability, the tolerance for the worst."""
    weights = policy.weights
    others = weights.liquidity + weights.latency + weights.reliability
    if others == 0:
        return Decimal(0)
    shortfall = (
        weights.liquidity * _shortfall(candidate.liquidity_score / 10.0)
        + weights.latency * _shortfall(latency_utility(candidate.market.latency_ms))
        + weights.reliability * _shortfall(candidate.market.reliability)
    )
    return policy.best_execution_tolerance_bps * shortfall / others


@lru_cache(maxsize=1024)  # a decision asks for each of its venues several times
def _shortfall(utility: float) -> Decimal:
    # Six places: far finer than any utility is known, and the same on every machine.
    return 1 - Decimal(f"{min(1.0, max(0.0, utility)):.6f}")


def curves_for(strategy: Strategy, candidates: Sequence[Candidate], pricing: Pricing) -> list[Curve]:
    """The curves a strategy minimises; lowest_latency ranks by all-in cost within its groups."""
    match strategy:
        case Strategy.COST_OPTIMIZATION | Strategy.LOWEST_LATENCY:
            return [pricing.all_in(c) for c in candidates]
        case Strategy.BEST_LIQUIDITY:
            return [pricing.curve(c, fee=0) for c in candidates]
        case Strategy.BEST_EXECUTION:
            return [pricing.all_in(c, surcharge=pricing.surcharge(c)) for c in candidates]


def rank(
    strategy: Strategy, candidates: Sequence[Candidate], pricing: Pricing, target: int
) -> list[Candidate]:
    """Order venues by what each would give alone, best first.

    Filling more comes first, then the strategy's own objective, then all that a trader would look
    at next; the name comes last, so that the order never depends on the order of arrival. A venue
    at least as good in every respect therefore never ranks lower.
    """
    curves = curves_for(strategy, candidates, pricing)
    splits = [alone(curve, target) for curve in curves]
    cheapest = min(
        (_per_unit(split) for split in splits if split.total == max(s.total for s in splits)), default=None
    )
    allowance = pricing.bps(pricing.policy.lowest_latency_tolerance_bps)

    def key(at: int) -> tuple[object, ...]:
        candidate, split = candidates[at], splits[at]
        market = candidate.market
        cost = _per_unit(split)
        first: tuple[object, ...] = (cost,)
        if strategy is Strategy.LOWEST_LATENCY and cheapest is not None:
            first = (cost > cheapest + allowance, market.latency_ms, cost)
        return (
            -split.total,
            *first,
            market.latency_ms,
            -candidate.liquidity_score,
            -market.reliability,
            market.fees.taker_fee_bps,
            market.venue,
        )

    return [candidates[at] for at in sorted(range(len(candidates)), key=key)]


def alone(curve: Curve, target: int) -> Split:
    """What one curve gives without the others: all it can, up to the target."""
    size = min(curve.hi, target // curve.lot * curve.lot)
    if size < curve.lo:
        return Split((0,), 0, 0, 0)
    cost = curve.cost(size) + curve.fixed
    return Split((size,), size, cost, cost)


def _per_unit(split: Split) -> Decimal:
    return Decimal(split.cost) / split.total if split.total else Decimal("Infinity")


def solve(
    strategy: Strategy,
    ranked: Sequence[Candidate],
    pricing: Pricing,
    target: int,
    max_legs: int | None,
) -> Split:
    """Split `target` over `ranked` (best first: ties go to the better venue)."""
    curves = curves_for(strategy, ranked, pricing)
    best = allocate(curves, target, max_legs)
    if strategy is not Strategy.LOWEST_LATENCY or not best.total:
        return best
    limit = best.cost + pricing.bps(pricing.policy.lowest_latency_tolerance_bps) * best.total
    by_latency = sorted(range(len(ranked)), key=lambda i: (ranked[i].market.latency_ms, i))
    groups = [{i} for i in by_latency] + [set(by_latency[:n]) for n in range(2, len(ranked))]
    for group in groups:
        split = allocate([c if i in group else c.closed() for i, c in enumerate(curves)], target, max_legs)
        if split.total == best.total and split.cost <= limit:
            return split
    return best
