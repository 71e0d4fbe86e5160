"""Small hand-made markets."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sor_core.domain.book import Book
from sor_core.domain.health import ExchangeMetrics
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.domain.market import BookSource, Policy, VenueMarket
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.settings import Settings

BTC_USDT = Symbol("BTC", "USDT")
NOW_MS = 1_700_000_000_000

POLICY: Policy = Settings.from_env({"SOR_MIN_LIQUIDITY_SCORE": "0"}).policy


def levels(*pairs: tuple[float | str, float | str]) -> list[list[str]]:
    return [[str(price), str(size)] for price, size in pairs]


def instrument(venue: str, *, lot: str = "0.001", **changes: object) -> Instrument:
    values: dict[str, object] = {
        "venue": venue,
        "symbol": BTC_USDT,
        "venue_symbol": "BTCUSDT",
        "tick": Decimal("0.01"),
        "lot": Decimal(lot),
        "min_size": Decimal(lot),
        "max_size": None,
        "min_notional": Decimal(0),
        "max_notional": None,
        "status": TradingStatus.TRADING,
    }
    return Instrument(**{**values, **changes})  # type: ignore[arg-type]


def metrics(latency_ms: float = 50.0, **changes: object) -> ExchangeMetrics:
    values: dict[str, object] = {
        "latency_ms": latency_ms,
        "success_rate": 1.0,
        "liquidity_score": 8.0,
        "uptime_pct": 100.0,
        "consecutive_failures": 0,
        "is_healthy": True,
    }
    return ExchangeMetrics(**{**values, **changes})  # type: ignore[arg-type]


def market(
    venue: str,
    *,
    asks: Sequence[Sequence[str]] = (("100.1", "10"),),
    bids: Sequence[Sequence[str]] = (("99.9", "10"),),
    fee_bps: str = "10",
    rules: Instrument | None = None,
    health: ExchangeMetrics | None = None,
    age_ms: int = 0,
    source_age_ms: int | None = None,
) -> VenueMarket:
    received_at_ms = NOW_MS - age_ms
    book = Book(
        venue,
        BTC_USDT,
        bids,
        asks,
        received_at_ms,
        latency_ms=40.0,
        source_time_ms=None if source_age_ms is None else received_at_ms - source_age_ms,
    )
    fees = FeeRates(Decimal(fee_bps), Decimal(fee_bps), "default")
    return VenueMarket(venue, book, BookSource.VENUE, rules or instrument(venue), fees, health or metrics())


def order(
    amount: str | None = "1",
    *,
    side: Side = Side.BUY,
    strategy: Strategy = Strategy.COST_OPTIMIZATION,
    quote_amount: str | None = None,
    price: str | None = None,
    max_slippage_bps: str | None = "100",
    allowed_venues: frozenset[str] | None = None,
    max_legs: int | None = None,
) -> Order:
    def number(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    return Order(
        symbol=BTC_USDT,
        side=side,
        type=OrderType.MARKET if price is None else OrderType.LIMIT,
        strategy=strategy,
        amount=None if quote_amount is not None else number(amount),
        quote_amount=number(quote_amount),
        price=number(price),
        max_slippage_bps=number(max_slippage_bps),
        allowed_venues=allowed_venues,
        max_legs=max_legs,
    )
