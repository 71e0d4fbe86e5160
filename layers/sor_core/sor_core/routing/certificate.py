"""The certificate of a decision: its marginal price, and where each venue stands against it.

A split is best where no unit can move to a cheaper place. So with the marginal price lambda, every
level used costs at most lambda and the first level not used at least lambda (buying; the other way
round selling), but for what lots, minimums, limits on legs and fixed costs force. Prices are compared
as the strategy sees them: see `Pricing` and docs/decision.md.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from sor_core.domain.decision import BookLevel, Certificate, VenueMargin
from sor_core.domain.money import BPS, decimal_from_wire
from sor_core.domain.order import Side, Strategy
from sor_core.routing.allocate import Split
from sor_core.routing.strategies import Candidate, Pricing


@dataclass(frozen=True, slots=True)
class _Prices:
    """A candidate's levels at the strategy's prices, as ascending integers."""

    candidate: Candidate
    size: int
    """What the split takes there."""
    factor: int
    addend: int

    def of(self, level: int) -> int:
        return self.candidate.ladder.prices[level] * self.factor + self.addend

    @property
    def last(self) -> int:
        """The last level touched; -1 where none is."""
        return bisect_left(self.candidate.ladder.ends, self.size) - 1 if self.size else -1

    def between(self, low: int, high: int) -> set[int]:
        """The prices from `low` to `high`, both included."""
        levels = range(len(self.candidate.ladder.prices))
        first = bisect_left(levels, low, key=self.of)
        return {self.of(level) for level in levels[first : bisect_right(levels, high, key=self.of)]}

    def size_at(self, price: int) -> int:
        """All levels at a price or better, but within the candidate's bounds."""
        ladder = self.candidate.ladder
        levels = bisect_right(range(len(ladder.prices)), price, key=self.of)
        return min(max(ladder.ends[levels], self.candidate.lo), self.candidate.hi)


def make_certificate(
    strategy: Strategy, ranked: Sequence[Candidate], split: Split, pricing: Pricing
) -> Certificate:
    """Certify a split of more than nothing over `ranked`.

    Runs within `domain.money.exact()`; all its prices and costs are exact.
    """
    sign = pricing.side.sign
    prices = [_at(strategy, c, size, pricing) for c, size in zip(ranked, split.sizes, strict=True)]
    places = pricing.scale.price_places + pricing.cost_places
    whole = places + pricing.scale.size_places
    return Certificate(
        marginal_price=Decimal(_marginal(prices, split.total) * sign).scaleb(-places),
        objective=Decimal(split.cost).scaleb(-whole),
        lower_bound=Decimal(split.lower_bound).scaleb(-whole),
        venues=tuple(_margin(p, pricing) for p in prices),
    )


def _at(strategy: Strategy, candidate: Candidate, size: int, pricing: Pricing) -> _Prices:
    fee = 0 if strategy is Strategy.BEST_LIQUIDITY else pricing.fee(candidate)
    surcharge = pricing.surcharge(candidate) if strategy is Strategy.BEST_EXECUTION else 0
    return _Prices(candidate, size, pricing.side.sign * pricing.one + fee, surcharge)


def _marginal(prices: Sequence[_Prices], total: int) -> int:
    """Least price, from the cheapest to the dearest last level, at which the venues used reach the total."""
    used = [p for p in prices if p.size]
    lasts = [p.of(p.last) for p in used]
    among = sorted(set().union(*(p.between(min(lasts), max(lasts)) for p in used)))
    return among[
        bisect_left(among, total, key=lambda price: sum(p.size_at(price) for p in used), hi=len(among) - 1)
    ]


def _margin(prices: _Prices, pricing: Pricing) -> VenueMargin:
    ladder, market, last = prices.candidate.ladder, prices.candidate.market, prices.last
    fee = market.fees.taker_fee_bps / BPS * pricing.side.sign
    surcharge = Decimal(prices.addend).scaleb(-pricing.scale.price_places - pricing.cost_places)

    def level(price: Decimal, size: Decimal) -> BookLevel:
        ranked_at = price * (prices.factor * pricing.side.sign) / pricing.one
        return BookLevel(price, size, price * (1 + fee), ranked_at + surcharge * pricing.side.sign)

    used = None
    if last >= 0:
        used = level(pricing.scale.to_price(ladder.prices[last]), pricing.scale.to_size(ladder.sizes[last]))
    beyond = _shown(prices.candidate, last + 1, pricing)
    return VenueMargin(market.venue, used, None if beyond is None else level(*beyond))


def _shown(candidate: Candidate, number: int, pricing: Pricing) -> tuple[Decimal, Decimal] | None:
    """Level `number` of the book itself, empty levels not counted; None where it ends or is no level."""
    book, ladder, scale = candidate.market.book, candidate.ladder, pricing.scale
    if number < len(ladder.prices):
        return scale.to_price(ladder.prices[number]), scale.to_size(ladder.sizes[number])
    if ladder.whole and not ladder.capped:
        return None
    levels = book.asks if pricing.side is Side.BUY else book.bids
    try:
        level = next(islice((x for x in levels if float(x[1])), number, None), None)  # type: ignore[arg-type]
        return None if level is None else (decimal_from_wire(level[0]), decimal_from_wire(level[1]))
    except (ValueError, TypeError, IndexError, KeyError):
        return None
