"""Quote-sized orders: the largest base amount that a budget covers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR

from sor_core.domain.order import Order
from sor_core.routing.allocate import Split
from sor_core.routing.candidates import size_step
from sor_core.routing.strategies import Candidate, Pricing, solve

_MAX_STEPS = 200


def largest_within_budget(order: Order, ranked: Sequence[Candidate], pricing: Pricing) -> tuple[Split, bool]:
    """The largest split whose money stays within `order.quote_amount`.

    Money is what is paid, fees included, buying; what is received, fees deducted, selling. Sizes are
    multiples of `size_step`, so that every venue that matters can serve each of them. Money is all
    but linear in the size: the search interpolates, and bisects every third step so that it ends.
    The answer is the largest where money grows with size; where a minimum or a still coarser lot
    makes it fall, a larger size may exist beyond.

    Returns the split, and whether the budget could not be used up for want of depth.
    """
    if order.quote_amount is None:
        raise ValueError("not a quote-sized order")
    places = pricing.scale.price_places + pricing.scale.size_places + pricing.cost_places
    budget = int(order.quote_amount.scaleb(places).to_integral_value(ROUND_FLOOR))
    most = sum(c.hi for c in ranked)
    dearest = max(c.ladder.price(-1) for c in ranked) * pricing.one
    step = size_step(ranked, min(most, budget // dearest))

    def split_at(size: int) -> tuple[Split, int]:
        split = solve(ranked, pricing, size, order.max_legs)
        money = sum([c.money(part) for c, part in zip(ranked, split.sizes, strict=True) if part])
        return split, money

    high = most // step * step
    best, money = split_at(high)
    if money <= budget:
        return best, money < budget
    low, low_money, high_money = 0, 0, money
    best = Split((0,) * len(ranked), 0, 0, 0)
    for turn in range(_MAX_STEPS):
        if high - low <= step:
            break
        if turn % 3 == 2 or high_money <= low_money:  # noqa: PLR2004 - every third
            guess = (low + high) // 2
        else:
            guess = low + (high - low) * (budget - low_money) // (high_money - low_money)
        guess = min(max(guess // step * step, low + step), high - step)
        for size in (guess, guess + step):
            if not low < size < high:
                break
            split, money = split_at(size)
            if money > budget:
                high, high_money = size, money
                break
            low, low_money, best = size, money, split
    return best, False
