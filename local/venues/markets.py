"""Which markets each simulated venue lists, and in which steps they trade.

Ticks, lots and minimums are of the size the venues publish (Binance ``GET /api/v3/exchangeInfo``,
Coinbase Advanced Trade ``GET /market/products``, Kraken ``GET /0/public/AssetPairs``); they are
plausible, not copied day by day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Venue(StrEnum):
    """The simulated venues, by the prefix of their address."""

    BINANCE = "binance"
    COINBASE = "coinbase"
    KRAKEN = "kraken"


@dataclass(frozen=True, slots=True)
class BookShape:
    """How a generated book looks, on average.

    Attributes
    ----------
    spread_bps
        Mean distance between best bid and best ask, never less than one tick.
    gap_bps
        Mean distance between neighbouring levels near the touch, never less than one tick.
    level_usd
        Median worth of a level.
    levels
        Levels a side.
    deviation_bps
        How far this venue's mid strays from the shared one.
    daily_usd
        Worth traded in a day.
    size_step
        Sizes shown are multiples of it (Kraken's books show three decimals).
    """

    spread_bps: float
    gap_bps: float
    level_usd: float
    levels: int
    deviation_bps: float
    daily_usd: float
    size_step: Decimal

    def scaled(self, liquidity: float) -> BookShape:
        """Build the same venue's shape for a market with that share of the main one's liquidity."""
        wider = liquidity**-0.5
        return BookShape(
            self.spread_bps * wider,
            self.gap_bps * wider,
            self.level_usd * liquidity**0.5,
            self.levels,
            self.deviation_bps * wider,
            self.daily_usd * liquidity,
            self.size_step,
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """A market as one venue lists it. Sizes in base asset, notionals in quote asset."""

    venue: Venue
    symbol: str
    """``BASE/QUOTE`` in the common names."""
    tick: Decimal
    lot: Decimal
    min_size: Decimal
    max_size: Decimal
    min_notional: Decimal
    max_notional: Decimal
    shape: BookShape
    alias_of: str | None = None
    """The symbol whose book this one shows (Coinbase: BTC/USDC is BTC/USD)."""

    @property
    def base(self) -> str:
        """The asset bought and sold."""
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        """The asset paid with."""
        return self.symbol.partition("/")[2]

    @property
    def book_symbol(self) -> str:
        """The symbol under which its book is kept."""
        return self.alias_of or self.symbol


_SHAPES = {
    # Orders of magnitude as in recorded books: Binance is deepest with its levels closest together.
    Venue.BINANCE: BookShape(0.002, 0.03, 2000.0, 1500, 0.3, 1.8e9, Decimal("0.00001")),
    Venue.COINBASE: BookShape(0.02, 0.10, 1300.0, 1000, 0.6, 9.0e8, Decimal("0.00000001")),
    Venue.KRAKEN: BookShape(0.03, 0.20, 2000.0, 700, 0.8, 2.5e8, Decimal("0.001")),
}

# symbol, tick, lot, min size, max size, min notional, max notional, liquidity
_BINANCE = """
BTC/USDT 0.01    0.00001 0.00001 9000   5      9000000 1
ETH/USDT 0.01    0.0001  0.0001  9000   5      9000000 0.7
SOL/USDT 0.01    0.001   0.001   90000  5      9000000 0.3
BTC/USDC 0.01    0.00001 0.00001 9000   5      9000000 0.4
ETH/USDC 0.01    0.0001  0.0001  9000   5      9000000 0.3
ETH/BTC  0.00001 0.001   0.001   100000 0.0001 9000000 0.1
"""
_COINBASE = """
BTC/USD  0.01    0.00000001 0.00000001 3400     1        150000000 1
ETH/USD  0.01    0.00000001 0.00000001 50000    1        150000000 0.7
SOL/USD  0.01    0.00000001 0.00000001 360000   1        50000000  0.4
BTC/USDT 0.01    0.00000001 0.00000001 1100     1        50000000  0.15
ETH/USDT 0.01    0.00000001 0.00000001 15000    1        50000000  0.1
SOL/USDT 0.01    0.00000001 0.00000001 90000    1        10000000  0.05
ETH/BTC  0.00001 0.00000001 0.00000001 38000    0.000016 2400      0.05
USDT/USD 0.00001 0.01       0.01       50000000 1        50000000  0.5
"""
_KRAKEN = """
BTC/USD  0.1     0.00000001 0.00005 10000    0.5     50000000 1
ETH/USD  0.01    0.00000001 0.001   100000   0.5     50000000 0.7
SOL/USD  0.01    0.00000001 0.02    1000000  0.5     50000000 0.4
BTC/USDT 0.1     0.00000001 0.00005 10000    0.5     50000000 0.25
ETH/USDT 0.01    0.00000001 0.001   100000   0.5     50000000 0.2
SOL/USDT 0.01    0.00000001 0.02    1000000  0.5     50000000 0.1
BTC/USDC 0.1     0.00000001 0.00005 10000    0.5     50000000 0.1
BTC/EUR  0.1     0.00000001 0.00005 10000    0.45    50000000 0.7
ETH/EUR  0.01    0.00000001 0.001   100000   0.45    50000000 0.5
ETH/BTC  0.00001 0.00000001 0.001   100000   0.00002 1000     0.1
USDT/USD 0.00001 0.00000001 5       50000000 0.5     50000000 0.5
"""
# Coinbase: "BTC-USDC" carries alias "BTC-USD" and shows its book (List Public Products).
_COINBASE_ALIASES = {"BTC/USDC": "BTC/USD", "ETH/USDC": "ETH/USD", "SOL/USDC": "SOL/USD"}


def _read(venue: Venue, table: str) -> dict[str, Listing]:
    listings = {}
    for row in table.split("\n"):
        if not row:
            continue
        symbol, *numbers, liquidity = row.split()
        tick, lot, min_size, max_size, min_notional, max_notional = map(Decimal, numbers)
        shape = _SHAPES[venue].scaled(float(liquidity))
        listings[symbol] = Listing(
            venue, symbol, tick, lot, min_size, max_size, min_notional, max_notional, shape
        )
    return listings


def _with_aliases(listings: dict[str, Listing], aliases: Mapping[str, str]) -> dict[str, Listing]:
    for symbol, target in aliases.items():
        of = listings[target]
        listings[symbol] = Listing(
            of.venue,
            symbol,
            of.tick,
            of.lot,
            of.min_size,
            of.max_size,
            of.min_notional,
            of.max_notional,
            of.shape,
            alias_of=target,
        )
    return listings


LISTINGS: Mapping[Venue, Mapping[str, Listing]] = {
    Venue.BINANCE: _read(Venue.BINANCE, _BINANCE),
    Venue.COINBASE: _with_aliases(_read(Venue.COINBASE, _COINBASE), _COINBASE_ALIASES),
    Venue.KRAKEN: _read(Venue.KRAKEN, _KRAKEN),
}
"""What each venue lists, by symbol."""
