"""Where the rest of a limit order waits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sor_core.domain.decision import NoRoute, NoRouteReason
from sor_core.domain.market import Policy
from sor_core.domain.order import Side
from sor_core.execution.plan import resting_leg
from sor_core.execution.record import PlannedLeg
from sor_core.routing.screen import screen
from sor_core.services.desk import View

_OUT_OF_REACH = frozenset({NoRouteReason.SLIPPAGE, NoRouteReason.INSUFFICIENT_DEPTH})


def waits(no_route: NoRoute) -> bool:
    """Whether a limit order for which there is no route could wait for its price."""
    return no_route.reason in _OUT_OF_REACH


def place_to_rest(
    view: View,
    side: Side,
    size: Decimal,
    price: Decimal,
    *,
    avoid: Sequence[str],
    policy: Policy,
    now_ms: int,
) -> PlannedLeg | None:
    """Choose a venue that could take part in a decision and can hold the rest; None if there is none."""
    able = [m for m in view.markets if screen(m, side, policy, now_ms) is None]
    return resting_leg(able, side, size, price, avoid)
