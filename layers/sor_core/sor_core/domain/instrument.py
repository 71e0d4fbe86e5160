"""What can be traded on a venue, and in which steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

_SYMBOL = re.compile(r"([A-Z0-9]{2,15})/([A-Z0-9]{2,15})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A market by base and quote asset, in the common names: ``BTC/USDT`` (never Kraken's XBT).

    USDT, USDC and USD are different quotes: an order stays in the one its symbol names.
    """

    base: str
    quote: str

    @classmethod
    def parse(cls, text: str) -> Symbol:
        """Read ``BASE/QUOTE``; raises `ValueError` for any other form."""
        match = _SYMBOL.fullmatch(text)
        if match is None or match[1] == match[2]:
            msg = f"expected BASE/QUOTE in capitals, such as BTC/USDT, not {text[:40]!r}"
            raise ValueError(msg)
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


class TradingStatus(StrEnum):
    """Whether a venue takes orders in an instrument now."""

    TRADING = "trading"
    LIMIT_ONLY = "limit_only"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"

    @property
    def takes_limit_ioc(self) -> bool:
        """Whether a limit immediate-or-cancel order can fill (the only kind the router sends)."""
        return self in {TradingStatus.TRADING, TradingStatus.LIMIT_ONLY}


@dataclass(frozen=True, slots=True)
class Instrument:
    """A venue's trading rules for a symbol. Sizes in base asset, notionals in quote asset."""

    venue: str
    symbol: Symbol
    venue_symbol: str
    """The venue's own name of it, as its requests want it: ``BTCUSDT``, ``BTC-USDT``, ``XBTUSDT``."""
    tick: Decimal
    """Prices are multiples of it (> 0)."""
    lot: Decimal
    """Sizes are multiples of it (> 0)."""
    min_size: Decimal
    max_size: Decimal | None
    min_notional: Decimal
    max_notional: Decimal | None
    status: TradingStatus


@dataclass(frozen=True, slots=True)
class FeeRates:
    """What a venue takes of a fill's notional, in basis points, and who says so."""

    taker_fee_bps: Decimal
    maker_fee_bps: Decimal
    source: str
    """``default`` (the published entry tier), ``configured``, or ``account`` (as the venue says)."""
