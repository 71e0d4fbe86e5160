"""What an account has at a venue, and what it pays there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sor_core.domain.instrument import FeeRates, Symbol
from sor_core.domain.order import Side


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account has of one asset."""

    free: Decimal
    held: Decimal
    """Set aside for open orders."""


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """What a fill costs, and in which asset it is taken."""

    taker_fee_bps: Decimal
    maker_fee_bps: Decimal
    asset: str


@dataclass(frozen=True, slots=True)
class AccountFees:
    """The account's own fees for a symbol, discounts included."""

    venue: str
    symbol: Symbol
    buy: FeeSchedule
    sell: FeeSchedule

    def of(self, side: Side) -> FeeSchedule:
        """The fees of a side."""
        return self.buy if side is Side.BUY else self.sell

    def rates(self, side: Side) -> FeeRates:
        """The fees of a side as a decision takes them; ``source`` is ``account``."""
        fees = self.of(side)
        return FeeRates(fees.taker_fee_bps, fees.maker_fee_bps, source="account")
