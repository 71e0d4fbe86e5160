"""The exchange behind every dialect: listings, books, an account and a clock, in no venue's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from local.venues.books import Level, Snapshot, Touch
from local.venues.credentials import Keyring
from local.venues.desk import Desk
from local.venues.fault_board import Conditions
from local.venues.generated import ANCHORS_USD
from local.venues.market import Market
from local.venues.markets import Listing, Venue
from local.venues.noise import mix, name_key, unit
from local.venues.orders import Side


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade of other people, as the tape shows it."""

    number: int
    price: Decimal
    size: Decimal
    taker: Side
    at_ms: int


@dataclass(frozen=True, slots=True)
class DayStats:
    """The last 24 hours of a market."""

    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    average: Decimal
    volume: Decimal
    trades: int


class UnknownSymbolError(LookupError):
    """The venue does not list that market."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One simulated venue."""

    venue: Venue
    listings: Mapping[str, Listing]
    markets: Mapping[str, Market]
    """By book symbol: an alias has no market of its own."""
    desk: Desk
    keyring: Keyring
    seed: int

    def listing(self, symbol: str) -> Listing:
        """Look a market up; raises `UnknownSymbolError`."""
        try:
            return self.listings[symbol]
        except KeyError:
            raise UnknownSymbolError(symbol) from None

    def market(self, symbol: str) -> Market:
        """The market whose book a symbol shows; raises `UnknownSymbolError`."""
        return self.markets[self.listing(symbol).book_symbol]


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """The exchange as one request finds it: at one instant, under the conditions that faults make."""

    exchange: Exchange
    at_ms: int
    """When the request is handled, by the true clock: what moves books."""
    conditions: Conditions

    @property
    def now_ms(self) -> int:
        """The venue's own clock: what its answers say and its checks use."""
        return self.at_ms + self.conditions.skew_ms

    @property
    def _shown_ms(self) -> int:
        """The instant whose market is shown."""
        frozen = self.conditions.frozen_at_ms
        return self.at_ms if frozen is None else frozen

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Every market listed, by symbol."""
        return self.exchange.listings

    @property
    def desk(self) -> Desk:
        """Where orders are taken."""
        return self.exchange.desk

    def book(self, symbol: str) -> Snapshot:
        """The book as the venue shows it; raises `UnknownSymbolError`."""
        conditions = self.conditions
        listing = self.exchange.listing(symbol)
        book = self.exchange.market(symbol).book_at(self._shown_ms)
        bids, asks = book.bids, book.asks
        if conditions.frozen_at_ms is None:
            bids = _merged(bids, self.desk.resting(symbol, Side.BUY), falling=True)
            asks = _merged(asks, self.desk.resting(symbol, Side.SELL), falling=False)
        if conditions.empty_book:
            bids = asks = ()
        elif conditions.crossed_by_bps and bids and asks:
            bids = _raised(bids, asks[0].price, conditions.crossed_by_bps, listing.tick)
        return Snapshot(bids, asks, book.changed_at_ms + conditions.skew_ms, book.sequence)

    def last_price(self, symbol: str) -> Decimal:
        """Price of the newest trade on the tape."""
        return self.trades(symbol, 1)[0].price

    def trades(self, symbol: str, limit: int) -> list[PublicTrade]:
        """The newest trades on the tape, newest first."""
        market = self.exchange.market(symbol)
        listing = market.listing
        key = mix(self.exchange.seed, name_key(listing.venue), name_key(listing.symbol), 23)
        newest = market.source.step_at(self._shown_ms)
        median = listing.min_notional * 40
        found = []
        for step in range(newest, max(newest - limit, -1), -1):
            touch = market.source.touch(step)
            taker = Side.BUY if mix(key, step) & 1 else Side.SELL
            price = touch.ask if taker is Side.BUY else touch.bid
            lots = int(median * Decimal(1 + 9 * unit(key, step, 1) ** 4) / price / listing.lot)
            size = max(lots * listing.lot, listing.min_size)
            at_ms = market.source.step_started_ms(step) + self.conditions.skew_ms
            found.append(PublicTrade(step, price, size, taker, at_ms))
        return found

    def day_stats(self, symbol: str) -> DayStats:
        """The last 24 hours, from half-hourly looks at the market."""
        market = self.exchange.market(symbol)
        half_hour_ms = 1_800_000
        this_ms = self._shown_ms - self._shown_ms % 60_000
        mids = [_mid(market.touch_at(this_ms - back * half_hour_ms)) for back in range(48, -1, -1)]
        last = self.last_price(symbol)
        average = (sum(mids, Decimal(0)) / len(mids)).quantize(market.listing.tick)
        volume = Decimal(round(market.listing.shape.daily_usd / ANCHORS_USD[market.listing.base]))
        return DayStats(
            open=mids[0].quantize(market.listing.tick),
            high=max(*mids, last).quantize(market.listing.tick),
            low=min(*mids, last).quantize(market.listing.tick),
            last=last,
            average=average,
            volume=volume,
            trades=int(volume) % 1_000_000 + 1000,
        )

    def average_price(self, symbol: str, minutes: int) -> Decimal:
        """The mean mid of the last minutes, looked at every five seconds."""
        market = self.exchange.market(symbol)
        newest_ms = self._shown_ms - self._shown_ms % 5000
        looks = range(newest_ms, newest_ms - minutes * 60_000, -5000)
        return sum((_mid(market.touch_at(look_ms)) for look_ms in looks), Decimal(0)) / len(looks)


def _mid(touch: Touch) -> Decimal:
    return (touch.bid + touch.ask) / 2


def _merged(levels: Sequence[Level], own: Sequence[Level], *, falling: bool) -> Sequence[Level]:
    """A side of the book with the account's own resting orders in it."""
    if not own:
        return levels
    sizes = dict(levels)
    for price, size in own:
        sizes[price] = sizes.get(price, Decimal(0)) + size
    return [Level(price, sizes[price]) for price in sorted(sizes, reverse=falling)]


def _raised(bids: Sequence[Level], best_ask: Decimal, by_bps: float, tick: Decimal) -> list[Level]:
    """Move bids up as one, so that the best stands that far above the best ask."""
    wanted = best_ask * (1 + Decimal(str(by_bps)) / 10_000)
    ticks = ((wanted - bids[0].price) / tick).to_integral_value(rounding=ROUND_CEILING)
    return [Level(level.price + ticks * tick, level.size) for level in bids]
