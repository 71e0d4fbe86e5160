"""The router run over recorded books, beside what a simpler way of trading would have cost.

Two yardsticks, on the same books, fees and price cap: ``best single venue`` sends the whole amount
to the venue that is cheapest for it with fees, and ``equal split`` sends each venue the same share.
Both are filled level by level here, without the router's own code. Costs are in basis points of the
arrival mid, as in the router's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from cli.recording import Row, Sides
from sor_core.domain.book import Book
from sor_core.domain.decision import Decision
from sor_core.domain.instrument import FeeRates, Instrument, Symbol, TradingStatus
from sor_core.domain.market import BookSource, Policy, VenueMarket
from sor_core.domain.money import BPS, exact, floor_to_step
from sor_core.domain.order import Order, OrderType, Side, Strategy
from sor_core.routing.decide import decide
from sor_core.routing.screen import arrival_mid, screen

BEST_SINGLE = "best single venue"
EQUAL_SPLIT = "equal split"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of every row."""

    symbol: Symbol
    side: Side
    amount: Decimal
    """Base."""
    strategies: tuple[Strategy, ...]
    max_slippage_bps: Decimal
    instruments: Mapping[str, Instrument]
    fees_bps: Mapping[str, Decimal]
    latencies_ms: Mapping[str, float]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way of trading gave in one row."""

    ts_ms: int
    way: str
    """A strategy or a yardstick."""
    filled: Decimal
    """Base; 0 where nothing was."""
    slippage_bps: float
    fee_bps: float
    venues: Mapping[str, Decimal]
    arrival_mid: Decimal | None
    refusal: str = ""

    @property
    def total_cost_bps(self) -> float:
        """Slippage and fees together."""
        return self.slippage_bps + self.fee_bps


def ways_of(plan: Plan) -> list[str]:
    """The ways of trading that `replay_row` tells of, in its order."""
    return [*map(str, plan.strategies), BEST_SINGLE, EQUAL_SPLIT]


def instrument_from(
    venue: str, symbol: Symbol, book: Sides, tick: Decimal | None, lot: Decimal | None, least: Decimal
) -> Instrument:
    """Trading rules of a recorded venue: its steps given, else the finest that its book shows.

    Raises
    ------
    ValueError
        If the book shows no level to read the steps from.
    """
    levels = [*book.bids, *book.asks]
    tick = tick or _finest(level[0] for level in levels)
    lot = lot or _finest(level[1] for level in levels)
    name = f"{symbol.base}{symbol.quote}"
    return Instrument(venue, symbol, name, tick, lot, lot, None, least, None, TradingStatus.TRADING)


def _finest(texts: Iterator[str]) -> Decimal:
    places = max(len(text.partition(".")[2].rstrip("0")) for text in texts)
    return Decimal(1).scaleb(-places)


def replay_row(row: Row, plan: Plan) -> list[Outcome]:
    """Decide one row by every strategy, and trade it by both yardsticks."""
    markets = [_market(name, sides, row.ts_ms, plan) for name, sides in row.venues.items()]
    outcomes = [_decided(row, strategy, markets, plan) for strategy in plan.strategies]
    with exact():
        sound = [m for m in markets if screen(m, plan.side, plan.policy, row.ts_ms) is None]
        if not sound:
            nothing = ((name, "no venue may take part") for name in (BEST_SINGLE, EQUAL_SPLIT))
            return outcomes + [_none(row, name, None, why) for name, why in nothing]
        mid = arrival_mid(sound)
        return [*outcomes, _best_single(row, sound, mid, plan), _equal_split(row, sound, mid, plan)]


def _market(venue: str, sides: Sides, ts_ms: int, plan: Plan) -> VenueMarket:
    latency_ms, fee_bps = plan.latencies_ms[venue], plan.fees_bps[venue]
    book = Book(venue, plan.symbol, sides.bids, sides.asks, ts_ms, latency_ms)
    fees = FeeRates(fee_bps, fee_bps, "configured")
    return VenueMarket(venue, book, BookSource.VENUE, plan.instruments[venue], fees, None)


def _decided(row: Row, strategy: Strategy, markets: Sequence[VenueMarket], plan: Plan) -> Outcome:
    order = Order(
        plan.symbol, plan.side, OrderType.MARKET, strategy, plan.amount, None, None, plan.max_slippage_bps
    )
    decision = decide(order, markets, [], plan.policy, row.ts_ms)
    if not isinstance(decision, Decision):
        return _none(row, strategy, None, f"{decision.reason}: {decision.detail}")
    costs = decision.costs
    return Outcome(
        row.ts_ms,
        strategy,
        costs.amount,
        float(costs.slippage_bps),
        float(costs.fee_bps),
        {leg.venue: leg.amount for leg in decision.legs},
        decision.arrival_mid,
    )


def _none(row: Row, way: str, mid: Decimal | None, why: str) -> Outcome:
    return Outcome(row.ts_ms, way, Decimal(0), 0.0, 0.0, {}, mid, why)


@dataclass(frozen=True, slots=True)
class _Fill:
    venue: str
    size: Decimal
    notional: Decimal
    fee: Decimal

    def paid(self, side: Side) -> Decimal:
        """Quote that it costs, fee included; what it brings, as a negative cost, selling."""
        return self.notional * side.sign + self.fee


def _fill(market: VenueMarket, size: Decimal, mid: Decimal, plan: Plan) -> _Fill:
    """Take `size`, or what there is of it within the price cap, off a venue's own book."""
    sign = plan.side.sign
    cap = mid * (1 + sign * plan.max_slippage_bps / BPS)
    held = taken = notional = Decimal(0)
    levels = [
        (Decimal(str(level[0])), Decimal(str(level[1])))
        for level in (market.book.asks if plan.side is Side.BUY else market.book.bids)
    ]
    within = [(price, shown) for price, shown in levels if (price - cap) * sign <= 0]
    held = sum((shown for _, shown in within), Decimal(0))
    target = floor_to_step(min(size, held), market.instrument.lot)
    for price, shown in within:
        part = min(shown, target - taken)
        taken += part
        notional += part * price
    return _Fill(market.venue, taken, notional, notional * market.fees.taker_fee_bps / BPS)


def _outcome(row: Row, way: str, fills: Sequence[_Fill], mid: Decimal, side: Side) -> Outcome:
    filled = sum((f.size for f in fills), Decimal(0))
    if not filled:
        return _none(row, way, mid, "nothing could be filled")
    reference = mid * filled
    notional = sum((f.notional for f in fills), Decimal(0))
    fee = sum((f.fee for f in fills), Decimal(0))
    return Outcome(
        row.ts_ms,
        way,
        filled,
        float((notional - reference) / reference * BPS * side.sign),
        float(fee / reference * BPS),
        {f.venue: f.size for f in fills if f.size},
        mid,
    )


def _best_single(row: Row, markets: Sequence[VenueMarket], mid: Decimal, plan: Plan) -> Outcome:
    fills = [(m, _fill(m, plan.amount, mid, plan)) for m in markets]
    whole = [f for m, f in fills if f.size and plan.amount - f.size < m.instrument.lot]
    if not whole:
        return _none(row, BEST_SINGLE, mid, "no venue can fill it alone")
    best = min(whole, key=lambda f: (f.paid(plan.side) / f.size, f.venue))
    return _outcome(row, BEST_SINGLE, [best], mid, plan.side)


def _equal_split(row: Row, markets: Sequence[VenueMarket], mid: Decimal, plan: Plan) -> Outcome:
    share = plan.amount / len(markets)
    return _outcome(row, EQUAL_SPLIT, [_fill(m, share, mid, plan) for m in markets], mid, plan.side)
