"""One account's balances at one venue, exact to the last digit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from local.venues.money import ZERO, exact

OPENING_BALANCES = {
    "BTC": Decimal(100),
    "ETH": Decimal(2_000),
    "SOL": Decimal(20_000),
    "EUR": Decimal(5_000_000),
    "USD": Decimal(5_000_000),
    "USDC": Decimal(5_000_000),
    "USDT": Decimal(5_000_000),
}
"""What an account holds of every asset that its venue lists, at the start."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has of one asset."""

    free: Decimal
    held: Decimal = ZERO
    """Set aside for open orders."""

    @property
    def total(self) -> Decimal:
        """All of it."""
        with exact():
            return self.free + self.held


class InsufficientFundsError(Exception):
    """The account has not so much free."""

    def __init__(self, asset: str, needed: Decimal, free: Decimal) -> None:
        super().__init__(f"{needed} {asset} needed, {free} free")
        self.asset = asset
        self.needed = needed
        self.free = free


class Account:
    """Balances by asset. Every change is a method here, so that sums can be proven."""

    def __init__(self, assets: Iterable[str]) -> None:
        self._balances = {asset: Balance(OPENING_BALANCES[asset]) for asset in assets}

    @property
    def balances(self) -> dict[str, Balance]:
        """Every balance by asset, as it is now."""
        return dict(self._balances)

    def set_free(self, asset: str, free: Decimal) -> None:
        """Give the account exactly so much free; raises `KeyError` for an asset it cannot have."""
        self._balances[asset] = Balance(free, self._balances[asset].held)

    def open(self, asset: str, free: Decimal) -> None:
        """Give the account an asset that no market of the venue trades."""
        self._balances[asset] = Balance(free)

    def charge(self, asset: str, amount: Decimal) -> None:
        """Take a fee from what is free; raises `InsufficientFundsError`."""
        balance = self._balances[asset]
        if amount > balance.free:
            raise InsufficientFundsError(asset, amount, balance.free)
        self._change(asset, free=-amount, held=ZERO)

    def hold(self, asset: str, amount: Decimal) -> None:
        """Set aside; raises `InsufficientFundsError`."""
        balance = self._balances[asset]
        if amount > balance.free:
            raise InsufficientFundsError(asset, amount, balance.free)
        self._change(asset, free=-amount, held=amount)

    def release(self, asset: str, amount: Decimal) -> None:
        """Set free what was set aside."""
        self._change(asset, free=amount, held=-amount)

    def pay(self, asset: str, amount: Decimal) -> None:
        """Spend what was set aside."""
        self._change(asset, free=ZERO, held=-amount)

    def receive(self, asset: str, amount: Decimal) -> None:
        """Get."""
        self._change(asset, free=amount, held=ZERO)

    def _change(self, asset: str, *, free: Decimal, held: Decimal) -> None:
        with exact():
            old = self._balances[asset]
            self._balances[asset] = Balance(old.free + free, old.held + held)
