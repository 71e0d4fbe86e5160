"""One venue's order desk: takes orders, matches them with the books, keeps what became of them.

place -> settle -> duplicate? -> match -> hold -> fills -> rest or end
|
refuse: nothing has changed

In one file, for an order, the balances it holds and its fills change together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from local.venues.account import Account
from local.venues.books import Level
from local.venues.fault_board import Conditions
from local.venues.market import Market
from local.venues.markets import Listing
from local.venues.matching import capped, crosses, takes_by_budget, takes_by_size, total_cost, total_size
from local.venues.money import ZERO, cut, exact, floor_to
from local.venues.orders import (
    EndReason,
    FeeIn,
    Fill,
    Kind,
    Order,
    SelfTrade,
    Side,
    Status,
    Ticket,
    TimeInForce,
)


class DuplicateRule(StrEnum):
    """What a venue does with a client order id that it knows."""

    REFUSE_WHILE_OPEN = "refuse_while_open"
    """Ids are unique among open orders only: that of an ended order makes a second order."""
    RETURN_FIRST = "return_first"
    """The first order is answered again and nothing happens."""


@dataclass(frozen=True, slots=True)
class TradingRules:
    """How one venue trades, where venues differ.

    Attributes
    ----------
    maker_rate, taker_rate
        Fees as shares of a fill (0.001 is 10 bps).
    fee_decimals
        Decimals of a fee, by asset and cut off beyond; an asset not named keeps every digit.
    duplicates
        What a known client order id does.
    order_id, fill_id
        How the venue names its order or fill of that number.
    """

    maker_rate: Decimal
    taker_rate: Decimal
    fee_decimals: Callable[[str], int | None]
    duplicates: DuplicateRule
    order_id: Callable[[int], str]
    fill_id: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class FeeAsset:
    """Fees taken in an asset of neither side, at a discount (Binance: "Using BNB to pay fees")."""

    asset: str
    price: Decimal
    """Quote asset for one of it."""
    factor: Decimal
    """What share of the fee is left to pay."""


class DuplicateClientIdError(Exception):
    """An open order has that client order id."""


class WouldTakeError(Exception):
    """A post-only order would trade at once."""


class Desk:
    """The orders, fills and balances of the one account at a venue."""

    def __init__(
        self,
        rules: TradingRules,
        listings: Mapping[str, Listing],
        markets: Mapping[str, Market],
        first_number: int,
    ) -> None:
        self.rules = rules
        self.fee_asset: FeeAsset | None = None
        self.account = Account({asset for each in listings.values() for asset in (each.base, each.quote)})
        self.cancel_all_at_ms: int | None = None
        """When the dead man's switch goes off, by the true clock."""
        self._listings = listings
        self._markets = markets
        self._next_number = first_number
        self._orders: dict[str, Order] = {}
        self._by_client_id: dict[str, list[Order]] = {}
        self._open: dict[int, Order] = {}
        self._fills: list[Fill] = []

    # Questions

    @property
    def next_number(self) -> int:
        """The number that the next order will have."""
        return self._next_number

    def orders(self, at_ms: int) -> list[Order]:
        """Every order that questions find, oldest first."""
        return [order for order in self._orders.values() if order.visible_from_ms <= at_ms]

    def open_orders(self, at_ms: int) -> list[Order]:
        """Every open order that questions find, oldest first."""
        return [order for order in self._open.values() if order.visible_from_ms <= at_ms]

    def all_open_orders(self) -> list[Order]:
        """Every open order, oldest first: the engine knows its own book."""
        return list(self._open.values())

    def fills(self, at_ms: int) -> list[Fill]:
        """Every fill that questions find, oldest first."""
        return [fill for fill in self._fills if fill.order.visible_from_ms <= at_ms]

    def all_fills(self) -> Sequence[Fill]:
        """Every fill there is: the truth, which only the simulation's own pages tell."""
        return tuple(self._fills)

    def find(
        self, at_ms: int, *, order_id: str | None = None, client_order_id: str | None = None
    ) -> Order | None:
        """The order with that id, or the newest with that client order id, if questions find it."""
        if order_id is not None:
            order = self._orders.get(order_id)
            same = order is not None and client_order_id in {None, order.ticket.client_order_id}
            found = [order] if order is not None and same else []
        else:
            found = self._by_client_id.get(client_order_id or "", [])
        return next((order for order in reversed(found) if order.visible_from_ms <= at_ms), None)

    def find_open(self, *, order_id: str | None = None, client_order_id: str | None = None) -> Order | None:
        """The open order with that id, visible or not."""
        for order in self._open.values():
            if order_id in {None, order.order_id} and client_order_id in {None, order.ticket.client_order_id}:
                return order
        return None

    def resting(self, symbol: str, side: Side) -> list[Level]:
        """What the account's own orders add to a side of a book, best first."""
        sizes: dict[Decimal, Decimal] = {}
        for order in self._open_in(symbol, side):
            if order.ticket.price is not None:
                sizes[order.ticket.price] = sizes.get(order.ticket.price, ZERO) + order.left
        return [Level(price, sizes[price]) for price in sorted(sizes, reverse=side is Side.BUY)]

    # Changes

    def known(self, client_order_id: str) -> Order | None:
        """The order that an id makes a venue answer again.

        Raises
        ------
        DuplicateClientIdError
            Where the venue refuses the id instead.
        """
        known = self._by_client_id.get(client_order_id, []) if client_order_id else []
        if not known:
            return None
        if self.rules.duplicates is DuplicateRule.RETURN_FIRST:
            return known[0]
        if any(order.is_open for order in known):
            raise DuplicateClientIdError
        return None

    def place(self, ticket: Ticket, at_ms: int, conditions: Conditions) -> Order:
        """Take an order, trade what trades at once, and rest or end the remainder.

        Raises
        ------
        DuplicateClientIdError, WouldTakeError, InsufficientFundsError
            In which cases nothing has changed.
        """
        self.settle(at_ms)
        first = self.known(ticket.client_order_id)
        if first is not None:
            return first
        with exact():
            own = self._crossing_own(ticket)
            takes = self._plan(ticket, own, at_ms, conditions)
            asset, amount = self._needs(ticket, takes)
            self.account.hold(asset, amount)
            order = self._enter(ticket, amount, at_ms, conditions)
            market = self._market(ticket.symbol)
            for price, size in takes:
                market.take(ticket.side, price, size, at_ms)
                self._fill(order, price, size, maker=False, now_ms=order.placed_at_ms)
            reached = [each for each in own if _reaches(order, takes, each)]
            if ticket.self_trade in {SelfTrade.MAKER, SelfTrade.BOTH}:
                for each in reached:
                    self._end(each, Status.EXPIRED, EndReason.SELF_TRADE, order.placed_at_ms)
            if order.is_open:
                stopped = bool(reached) and ticket.self_trade in {SelfTrade.TAKER, SelfTrade.BOTH}
                self._rest_or_end(order, market.sequence_at(at_ms), stopped=stopped)
        return order

    def cancel(self, order: Order, now_ms: int, reason: EndReason = EndReason.ASKED) -> None:
        """End an open order at the account's wish; `now_ms` is the venue's clock."""
        self._end(order, Status.CANCELED, reason, now_ms)

    def settle(self, at_ms: int) -> None:
        """Let time pass: timers, expiries, and what new books do to resting orders."""
        if self.cancel_all_at_ms is not None and at_ms >= self.cancel_all_at_ms:
            for order in list(self._open.values()):
                self.cancel(order, self.cancel_all_at_ms, EndReason.TIMER)
            self.cancel_all_at_ms = None
        for order in list(self._open.values()):
            if order.ticket.expires_at_ms is not None and at_ms >= order.ticket.expires_at_ms:
                self._end(order, Status.EXPIRED, EndReason.GTD_PASSED, order.ticket.expires_at_ms)
                continue
            with exact():
                self._match_resting(order, at_ms)

    # Inside

    def _market(self, symbol: str) -> Market:
        return self._markets[self._listings[symbol].book_symbol]

    def _open_in(self, symbol: str, side: Side) -> list[Order]:
        book_symbol = self._listings[symbol].book_symbol
        return [
            order
            for order in self._open.values()
            if order.ticket.side is side and self._listings[order.ticket.symbol].book_symbol == book_symbol
        ]

    def _crossing_own(self, ticket: Ticket) -> list[Order]:
        """The account's own resting orders that the order could meet."""
        return [
            order
            for order in self._open_in(ticket.symbol, ticket.side.other)
            if order.ticket.price is not None and crosses(ticket.side, ticket.price, order.ticket.price)
        ]

    def _plan(self, ticket: Ticket, own: Sequence[Order], at_ms: int, conditions: Conditions) -> list[Level]:
        """What the order takes at once."""
        book = self._market(ticket.symbol).book_at(at_ms)
        levels = book.asks if ticket.side is Side.BUY else book.bids
        if ticket.post_only:
            if own or (levels and crosses(ticket.side, ticket.price, levels[0].price)):
                raise WouldTakeError
            return []
        if own and ticket.self_trade in {SelfTrade.TAKER, SelfTrade.BOTH}:
            levels = [level for level in levels if all(_is_better(ticket.side, level, each) for each in own)]
        lot = self._listings[ticket.symbol].lot
        if ticket.base_size is not None:
            takes = takes_by_size(levels, ticket.side, ticket.price, ticket.base_size)
        else:
            takes = takes_by_budget(levels, self._budget(ticket), lot)
        if ticket.time_in_force is TimeInForce.FOK and total_size(takes) != ticket.base_size:
            return []
        if conditions.fill_share < 1:
            takes = capped(takes, floor_to(total_size(takes) * conditions.fill_share, lot))
        return takes

    def _budget(self, ticket: Ticket) -> Decimal:
        budget = ticket.quote_size or ZERO
        if not ticket.quote_includes_fee:
            return budget
        with exact():
            return cut(budget / (1 + self.rules.taker_rate), 10)

    def _needs(self, ticket: Ticket, takes: Sequence[Level]) -> tuple[str, Decimal]:
        """The asset and the most of it that the order can cost: what is set aside for it."""
        listing = self._listings[ticket.symbol]
        if ticket.side is Side.SELL:
            size = total_size(takes) if ticket.base_size is None else ticket.base_size
            return listing.base, size * (1 + self._rate_in(ticket, FeeIn.BASE))
        if ticket.price is not None and ticket.base_size is not None:
            cost = ticket.price * ticket.base_size
        else:
            cost = total_cost(takes)
        return listing.quote, cost * (1 + self._rate_in(ticket, FeeIn.QUOTE))

    def _rate_in(self, ticket: Ticket, asset: FeeIn) -> Decimal:
        dearest = max(self.rules.taker_rate, self.rules.maker_rate)
        return dearest if ticket.fee_in is asset else ZERO

    def _enter(self, ticket: Ticket, held: Decimal, at_ms: int, conditions: Conditions) -> Order:
        now_ms = at_ms + conditions.skew_ms
        order = Order(
            number=self._next_number,
            order_id=self.rules.order_id(self._next_number),
            ticket=ticket,
            placed_at_ms=now_ms,
            visible_from_ms=at_ms + conditions.visible_after_ms,
            updated_at_ms=now_ms,
            held=held,
        )
        self._next_number += 1
        self._orders[order.order_id] = order
        self._open[order.number] = order
        if ticket.client_order_id:
            self._by_client_id.setdefault(ticket.client_order_id, []).append(order)
        return order

    def _rest_or_end(self, order: Order, sequence: int, *, stopped: bool) -> None:
        ticket = order.ticket
        now_ms = order.placed_at_ms
        if stopped:
            self._end(order, Status.EXPIRED, EndReason.SELF_TRADE, now_ms)
        elif ticket.time_in_force.rests:
            order.rested_on = sequence
        elif ticket.base_size is None and order.fills:
            self._end(order, Status.FILLED, None, now_ms)
        elif ticket.kind is Kind.MARKET:
            self._end(order, Status.EXPIRED, EndReason.NO_LIQUIDITY, now_ms)
        elif ticket.time_in_force is TimeInForce.FOK:
            self._end(order, Status.EXPIRED, EndReason.FOK_UNFILLED, now_ms)
        else:
            self._end(order, Status.EXPIRED, EndReason.IOC_REMAINDER, now_ms)

    def _match_resting(self, order: Order, at_ms: int) -> None:
        """Trade a resting order, at its own price, with a newer book that has come to it."""
        market = self._market(order.ticket.symbol)
        sequence = market.sequence_at(at_ms)
        if sequence == order.rested_on or order.ticket.price is None:
            return
        order.rested_on = sequence
        book = market.book_at(at_ms)
        side = order.ticket.side
        levels = book.asks if side is Side.BUY else book.bids
        for price, size in takes_by_size(levels, side, order.ticket.price, order.left):
            market.take(side, price, size, at_ms)
            self._fill(order, order.ticket.price, size, maker=True, now_ms=at_ms)

    def _fill(self, order: Order, price: Decimal, size: Decimal, *, maker: bool, now_ms: int) -> None:
        listing, ticket = self._listings[order.ticket.symbol], order.ticket
        rate = self.rules.maker_rate if maker else self.rules.taker_rate
        in_base = ticket.fee_in is FeeIn.BASE
        fee_asset = listing.base if in_base else listing.quote
        cost = price * size
        fee = cut((size if in_base else cost) * rate, self.rules.fee_decimals(fee_asset))
        fee_base, fee_quote = (fee, ZERO) if in_base else (ZERO, fee)
        if self.fee_asset is not None:
            fee_asset = self.fee_asset.asset
            fee = cut(cost * rate * self.fee_asset.factor / self.fee_asset.price, 8)
            fee_base = fee_quote = ZERO
            self.account.charge(fee_asset, fee)
        if ticket.side is Side.BUY:
            paid, got = cost + fee_quote, size - fee_base
            pay_asset, get_asset = listing.quote, listing.base
        else:
            paid, got = size + fee_base, cost - fee_quote
            pay_asset, get_asset = listing.base, listing.quote
        self.account.pay(pay_asset, paid)
        self.account.receive(get_asset, got)
        order.held -= paid
        number = self._next_number
        self._next_number += 1
        fill = Fill(number, self.rules.fill_id(number), order, price, size, fee, fee_asset, maker, now_ms)
        order.fills.append(fill)
        self._fills.append(fill)
        order.updated_at_ms = now_ms
        self._trim_hold(order)
        if ticket.base_size is not None and order.left == 0:
            self._end(order, Status.FILLED, None, now_ms)

    def _trim_hold(self, order: Order) -> None:
        """Free what a better price than the limit has saved."""
        ticket = order.ticket
        if ticket.side is Side.BUY and ticket.price is not None:
            needed = ticket.price * order.left * (1 + self._rate_in(ticket, FeeIn.QUOTE))
            self.account.release(self._listings[ticket.symbol].quote, order.held - needed)
            order.held = needed

    def _end(self, order: Order, status: Status, reason: EndReason | None, now_ms: int) -> None:
        listing = self._listings[order.ticket.symbol]
        asset = listing.quote if order.ticket.side is Side.BUY else listing.base
        self.account.release(asset, order.held)
        order.held = ZERO
        order.status, order.reason, order.updated_at_ms = status, reason, now_ms
        del self._open[order.number]


def _is_better(taker: Side, level: Level, own: Order) -> bool:
    """Whether a level is strictly better for a taker than the price of an order."""
    price = own.ticket.price or ZERO
    return level.price < price if taker is Side.BUY else level.price > price


def _reaches(order: Order, takes: Sequence[Level], own: Order) -> bool:
    """Whether an order that took these levels would have come to that other order on its way."""
    return order.is_open or (bool(takes) and not _is_better(order.ticket.side, takes[-1], own))
