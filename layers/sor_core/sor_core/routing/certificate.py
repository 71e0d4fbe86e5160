"""The certificate of a decision: its marginal price, and where each venue stands against it.

A split is best where no unit can move to a cheaper place. So with the marginal price lambda, every
level used costs at most lambda and the first level not used at least lambda (buying; the other way
round selling), but for what lots, minimums, limits on legs and fixed costs force. Prices are compared
as the strategy sees them: see `Pricing` and docs/decision.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice

from sor_core.domain.decision import BookLevel, Certificate, VenueMargin
from sor_core.domain.money import BPS
from sor_core.domain.order import Side
from sor_core.routing.allocate import Split
from sor_core.routing.curves import marginal_price
from sor_core.routing.ladder import plain_level
from sor_core.routing.strategies import Candidate, Pricing


def make_certificate(ranked: Sequence[Candidate], split: Split, pricing: Pricing) -> Certificate:
    """Certify a split of more than nothing over `ranked`.

    Runs within `domain.money.exact()`; all its prices and costs are exact.
    """
    places = pricing.scale.price_places + pricing.cost_places
    whole = places + pricing.scale.size_places
    return Certificate(
        marginal_price=Decimal(_marginal(ranked, split) * pricing.side.sign).scaleb(-places),
        objective=Decimal(split.cost).scaleb(-whole),
        lower_bound=Decimal(split.lower_bound).scaleb(-whole),
        venues=tuple([_margin(c, size, pricing) for c, size in zip(ranked, split.sizes, strict=True)]),
    )


def _marginal(ranked: Sequence[Candidate], split: Split) -> int:
    """Least price, from the cheapest to the dearest last level, at which the venues used reach the total."""
    used = [(c, size) for c, size in zip(ranked, split.sizes, strict=True) if size]
    lasts = [c.curve.unit_cost(c.ladder.last_level(size)) for c, size in used]
    return marginal_price([c.curve for c, _ in used], split.total, (min(lasts) - 1, max(lasts)))


def _margin(candidate: Candidate, size: int, pricing: Pricing) -> VenueMargin:
    """Where the last level that `size` touches stands, and the one after it."""
    curve, ladder, scale, sign = candidate.curve, candidate.ladder, pricing.scale, pricing.side.sign
    with_fee = 1 + candidate.market.fees.taker_fee_bps / BPS * sign
    surcharge = Decimal(curve.addend * sign).scaleb(-scale.price_places - pricing.cost_places)

    def level(price: Decimal, size: Decimal) -> BookLevel:
        return BookLevel(price, size, price * with_fee, price * curve.factor / pricing.one + surcharge)

    last, used = -1, None
    if size:
        last = ladder.last_level(size)
        used = level(scale.to_price(ladder.price(last)), scale.to_size(ladder.size(last)))
    beyond = _shown(candidate, last + 1, pricing)
    return VenueMargin(candidate.market.venue, used, None if beyond is None else level(*beyond))


def _shown(candidate: Candidate, number: int, pricing: Pricing) -> tuple[Decimal, Decimal] | None:
    """Level `number` of the book itself, empty levels not counted; None where it ends or is no level."""
    book, ladder, scale = candidate.market.book, candidate.ladder, pricing.scale
    if number < len(ladder.values):
        return scale.to_price(ladder.price(number)), scale.to_size(ladder.size(number))
    if ladder.whole and not ladder.capped:
        return None
    levels = book.asks if pricing.side is Side.BUY else book.bids
    for level in map(plain_level, islice(levels, ladder.read, None)):
        if level is None or level[1]:
            return level
    return None
