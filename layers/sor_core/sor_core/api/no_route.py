"""Why there is no route, as a problem."""

from __future__ import annotations

from typing import Any

from sor_core.api.json import number
from sor_core.api.problems import FieldError, Kind, Problem
from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.market import Exclusion
from sor_core.domain.order import Order

RETRY_AFTER_S = 5


def no_route_problem(order: Order, no_route: NoRoute) -> Problem:
    """Why there is no route, as a problem that names the field to change."""
    size = "amount" if order.quote_amount is None else "quote_amount"
    bound = "max_slippage_bps" if order.price is None else "price"
    excluded = (("excluded", [exclusion_answer(e) for e in no_route.excluded]),)
    fillable = (("fillable_amount", number(no_route.fillable)), *excluded)
    match no_route.reason:
        case NoRouteReason.UNKNOWN_SYMBOL:
            errors = [FieldError("symbol", "a symbol that at least one venue lists")]
            return Problem(Kind.UNKNOWN_SYMBOL, no_route.detail, errors, excluded)
        case NoRouteReason.NO_VENUE:
            return Problem(Kind.NO_VENUE, no_route.detail, (), excluded, RETRY_AFTER_S)
        case NoRouteReason.INSUFFICIENT_DEPTH:
            errors = [FieldError(size, "no more than the books hold")]
            return Problem(Kind.INSUFFICIENT_DEPTH, no_route.detail, errors, fillable)
        case NoRouteReason.SLIPPAGE:
            errors = [FieldError(bound, "a limit within which the order can be filled")]
            return Problem(Kind.SLIPPAGE, no_route.detail, errors, fillable)
        case NoRouteReason.INSUFFICIENT_FUNDS:
            errors = [FieldError(size, "no more than the account's free balances pay for")]
            return Problem(Kind.INSUFFICIENT_FUNDS, no_route.detail, errors, fillable)
        case NoRouteReason.BELOW_MINIMUM:
            errors = [FieldError(size, "at least the smallest that a venue takes")]
            return Problem(Kind.BELOW_MINIMUM, no_route.detail, errors, excluded)


def exclusion_answer(exclusion: Exclusion) -> dict[str, Any]:
    """A venue left out, and why."""
    return {"venue": exclusion.venue, "why": exclusion.why, "detail": exclusion.detail}
