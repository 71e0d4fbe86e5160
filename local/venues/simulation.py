"""All the simulated venues together: what they hold, and how one request is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from local.venues.books import BookSource, Level
from local.venues.config import VenuesConfig
from local.venues.credentials import Keyring
from local.venues.desk import Desk
from local.venues.dialects.binance import BinanceDialect
from local.venues.dialects.coinbase import CoinbaseDialect
from local.venues.dialects.dialect import Dialect
from local.venues.dialects.kraken import KrakenDialect
from local.venues.exchange import Exchange, ExchangeView
from local.venues.fault_board import Conditions, FaultBoard
from local.venues.faults import Endpoint, TransportFault
from local.venues.generated import GeneratedBooks
from local.venues.limits import UNLIMITED, Allowance, Limiter
from local.venues.market import Market
from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.money import plain
from local.venues.recorded import RecordedBooks
from local.venues.web import ApiReply, ApiRequest, Route

DIALECTS: Mapping[Venue, Dialect] = {
    dialect.venue: dialect for dialect in (BinanceDialect(), CoinbaseDialect(), KrakenDialect())
}
"""How each venue speaks."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request with everything that decides its answer.

    Attributes
    ----------
    route
        The path it asks for; None where the venue has no such path.
    conditions
        What state faults make of the exchange for it.
    transport
        What transport faults do to its answer.
    """

    venue: Venue
    request: ApiRequest
    route: Route | None
    conditions: Conditions = field(default_factory=Conditions)
    transport: Sequence[TransportFault] = ()


class Simulation:
    """The state of every venue; answers requests without knowing of sockets."""

    def __init__(self, config: VenuesConfig) -> None:
        self.config = config
        self.started_ms = config.clock.now_ms()
        self.faults = FaultBoard(config.seed)
        self.requests: dict[Venue, Counter[str]] = {venue: Counter() for venue in Venue}
        self.connections: Counter[str] = Counter(dict.fromkeys(Venue, 0))
        self._limiters: Mapping[Venue, Mapping[str, Limiter]] = {
            venue: dialect.limiters() if config.rate_limits else {} for venue, dialect in DIALECTS.items()
        }
        self.exchanges: dict[Venue, Exchange] = {venue: self._exchange(venue) for venue in Venue}

    def _exchange(self, venue: Venue) -> Exchange:
        listings = LISTINGS[venue]
        markets = {
            symbol: Market(listing, self._source(listing))
            for symbol, listing in listings.items()
            if listing.alias_of is None
        }
        rules = DIALECTS[venue].rules
        rules = replace(rules, taker_rate=self.config.taker_rates.get(venue, rules.taker_rate))
        desk = Desk(rules, listings, markets, first_number=self.started_ms * 1000)
        keyring = Keyring(venue, self.config.seed)
        return Exchange(venue, listings, markets, desk, keyring, self.config.seed)

    def _source(self, listing: Listing) -> BookSource:
        recording = self.config.recording
        if recording is not None and listing.venue in recording.books:
            recorded = LISTINGS[listing.venue][recording.symbol].book_symbol
            if recorded == listing.symbol:
                return RecordedBooks(recording, listing.venue, self.started_ms)
        return GeneratedBooks(self.config.seed, listing)

    def receive(self, venue: Venue, request: ApiRequest) -> Incoming:
        """Find out what a request asks for, count it, and what faults it meets."""
        for route in DIALECTS[venue].routes:
            parameters = route.match(request.path)
            if parameters is not None and request.method in route.methods:
                self.requests[venue][route.endpoint] += 1
                conditions, transport = self.faults.meet(venue, route.endpoint)
                named = replace(request, path_params=parameters)
                return Incoming(venue, named, route, conditions, transport)
        self.requests[venue]["other"] += 1
        return Incoming(venue, request, None)

    def answer(self, incoming: Incoming) -> ApiReply:
        """Answer a request as its venue does, rate limit included."""
        dialect = DIALECTS[incoming.venue]
        at_ms = self.config.clock.now_ms()
        view = ExchangeView(self.exchanges[incoming.venue], at_ms, incoming.conditions)
        request = incoming.request
        if incoming.route is None:
            return dialect.no_such_path(request)
        self.exchanges[incoming.venue].desk.settle(at_ms)
        allowances: dict[str, Allowance] = {}
        for charge in dialect.charges(incoming.route, request, view):
            limiter = self._limiters[incoming.venue].get(charge.limiter, UNLIMITED)
            allowance = limiter.take(charge.client, charge.weight, at_ms)
            if not allowance.allowed:
                return dialect.rate_limited(charge.limiter, allowance, view.now_ms)
            allowances[charge.limiter] = allowance
        return dialect.handle(incoming.route, request, view).with_headers(
            dialect.limit_headers(allowances, view.now_ms)
        )

    def rate_limited(self, incoming: Incoming, status: int, retry_after_s: int) -> ApiReply:
        """Answer as if too much had been asked, as a fault wants it; 418 is a ban."""
        now_ms = self.config.clock.now_ms() + incoming.conditions.skew_ms
        banned_until_ms = now_ms + retry_after_s * 1000 if status == 418 else None  # noqa: PLR2004 - Binance's
        allowance = Allowance(False, 6000, 6000, retry_after_s, banned_until_ms)
        return DIALECTS[incoming.venue].rate_limited("", allowance, now_ms)

    def place_book(self, venue: Venue, symbol: str, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Set a book exactly; raises `UnknownSymbolError`."""
        self.exchanges[venue].market(symbol).place_book(bids, asks, self.config.clock.now_ms())

    def release_books(self) -> None:
        """Give every market back its generated or recorded books."""
        for exchange in self.exchanges.values():
            for market in exchange.markets.values():
                market.release_book()

    def rotate_keys(self, venue: Venue) -> None:
        """Replace every key of a venue by a new one; the old ones are good no more."""
        old = self.exchanges[venue]
        keyring = Keyring(venue, self.config.seed, old.keyring.generation + 1)
        self.exchanges[venue] = replace(old, keyring=keyring)

    def fills(self) -> list[dict[str, Any]]:
        """Every fill of every venue, hidden or not, oldest first."""
        every = [
            (venue, fill) for venue, exchange in self.exchanges.items() for fill in exchange.desk.all_fills()
        ]
        return [
            {
                "venue": venue,
                "client_order_id": fill.order.ticket.client_order_id,
                "symbol": fill.order.ticket.symbol,
                "side": fill.order.ticket.side,
                "price": plain(fill.price),
                "quantity": plain(fill.size),
                "fee": plain(fill.fee),
                "fee_asset": fill.fee_asset,
                "ts": fill.at_ms,
                "order_id": fill.order.order_id,
                "fill_id": fill.fill_id,
                "maker": fill.maker,
            }
            for venue, fill in sorted(every, key=lambda each: (each[1].at_ms, each[1].number))
        ]

    def describe(self) -> dict[str, Any]:
        """What there is and what has been asked so far."""
        recording = self.config.recording
        return {
            "seed": self.config.seed,
            "started_ms": self.started_ms,
            "now_ms": self.config.clock.now_ms(),
            "rate_limits": self.config.rate_limits,
            "recorded": None
            if recording is None
            else {
                "symbol": recording.symbol,
                "venues": list(recording.books),
                "rows": len(recording.offsets_ms),
            },
            "markets": {venue: list(listings) for venue, listings in LISTINGS.items()},
            "endpoints": {
                venue: sorted({route.endpoint for route in dialect.routes}, key=list(Endpoint).index)
                for venue, dialect in DIALECTS.items()
            },
            "requests": {venue: dict(counts) for venue, counts in self.requests.items()},
            "connections": dict(self.connections),
        }
