"""The simulated desk: whatever is ordered, the sums are right to the last digit."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.venues.account import OPENING_BALANCES, InsufficientFundsError
from local.venues.books import Level
from local.venues.desk import Desk, DuplicateClientIdError, WouldTakeError
from local.venues.fault_board import Conditions
from local.venues.generated import GeneratedBooks
from local.venues.market import Market
from local.venues.markets import LISTINGS, Venue
from local.venues.money import exact
from local.venues.orders import FeeIn, Fill, Kind, Order, SelfTrade, Side, Status, Ticket, TimeInForce
from local.venues.simulation import DIALECTS

START_MS = 1_723_161_257_000


class Floor:
    """A desk over one market whose book is placed by hand."""

    def __init__(self, venue: Venue = Venue.COINBASE, symbol: str = "SOL/USD") -> None:
        self.listings = LISTINGS[venue]
        listing = self.listings[symbol]
        self.symbol = symbol
        self.base, self.quote = symbol.split("/")
        self.market = Market(listing, GeneratedBooks(1, listing))
        self.desk = Desk(DIALECTS[venue].rules, self.listings, {symbol: self.market}, first_number=1)
        self.now_ms = START_MS
        self.placed: list[tuple[list[Level], list[Level]]] = []

    def book(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        sides = [[Level(Decimal(price), Decimal(size)) for price, size in side] for side in (bids, asks)]
        self.placed.append((sides[0], sides[1]))
        self.now_ms += 1
        self.market.place_book(sides[0], sides[1], self.now_ms)

    def ticket(self, side: Side = Side.BUY, **terms: object) -> Ticket:
        words = {
            "kind": Kind.LIMIT,
            "time_in_force": TimeInForce.IOC,
            "fee_in": FeeIn.QUOTE,
            "price": Decimal(101),
            "base_size": Decimal(1),
        }
        return Ticket(self.symbol, side, **{**words, **terms})  # type: ignore[arg-type]


def totals_explained(floor: Floor) -> None:
    """Balances are what there was, and what the fills moved; what is held is what open orders hold."""
    desk = floor.desk
    with exact():
        expected = {asset: OPENING_BALANCES[asset] for asset in desk.account.balances}
        for fill in desk.all_fills():
            sign = 1 if fill.order.ticket.side is Side.BUY else -1
            expected[floor.base] += sign * fill.size
            expected[floor.quote] -= sign * fill.price * fill.size
            expected[fill.fee_asset] -= fill.fee
        held = dict.fromkeys(expected, Decimal(0))
        for order in desk.all_open_orders():
            held[floor.quote if order.ticket.side is Side.BUY else floor.base] += order.held
        assert {asset: each.total for asset, each in desk.account.balances.items()} == expected
        assert {asset: each.held for asset, each in desk.account.balances.items()} == held
        assert all(each.free >= 0 and each.held >= 0 for each in desk.account.balances.values())


def fee_is_exact(floor: Floor, fill: Fill) -> None:
    rate = floor.desk.rules.maker_rate if fill.maker else floor.desk.rules.taker_rate
    with exact():
        due = (fill.size if fill.fee_asset == floor.base else fill.price * fill.size) * rate
        decimals = floor.desk.rules.fee_decimals(fill.fee_asset)
        slack = Decimal(0) if decimals is None else Decimal(1).scaleb(-decimals)
        assert fill.fee == due if decimals is None else due - slack < fill.fee <= due


prices = st.integers(9_000, 11_000).map(lambda ticks: Decimal(ticks) / 100)
sizes = st.integers(1, 10**10).map(lambda lots: Decimal(lots) / 10**8)
levels = st.lists(st.tuples(prices, sizes), max_size=6, unique_by=lambda level: level[0])


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, object]:
    what = draw(st.sampled_from(["order", "order", "order", "book", "cancel", "wait"]))
    if what == "book":
        split = draw(prices)
        every = sorted(draw(levels))
        return what, (
            [(str(p), str(s)) for p, s in reversed(every) if p < split],
            [(str(p), str(s)) for p, s in every if p >= split],
        )
    if what != "order":
        return what, draw(st.integers(0, 5))
    kind = draw(st.sampled_from(Kind))
    market = kind is Kind.MARKET
    by_budget = market and draw(st.booleans())
    side = Side.BUY if by_budget else draw(st.sampled_from(Side))
    size = draw(sizes)
    force = TimeInForce.IOC if market else draw(st.sampled_from(TimeInForce))
    return what, {
        "side": side,
        "kind": kind,
        "time_in_force": force,
        "fee_in": draw(st.sampled_from(FeeIn)),
        "price": None if market else draw(prices),
        "base_size": None if by_budget else size,
        "quote_size": size * 100 if by_budget else None,
        "quote_includes_fee": draw(st.booleans()),
        "post_only": force.rests and not market and draw(st.booleans()),
        "self_trade": draw(st.sampled_from(SelfTrade)),
        "expires_at_ms": START_MS + draw(st.integers(1, 3000)) if force is TimeInForce.GTD else None,
        "client_order_id": draw(st.sampled_from(["", "a", "b"])),
    }


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(Venue)),
    st.lists(steps(), min_size=1, max_size=25),
    st.sampled_from([Decimal(1), Decimal("0.3"), Decimal(0)]),
)
def test_balances_holds_and_fills_always_add_up(
    venue: Venue, happening: list[tuple[str, object]], fill_share: Decimal
) -> None:
    floor = Floor(venue, "SOL/USDT")
    floor.book([("99", "5")], [("101", "5"), ("102", "50")])
    for what, detail in happening:
        if what == "book":
            floor.book(*detail)  # type: ignore[misc]
            floor.desk.settle(floor.now_ms)
        elif what == "wait":
            floor.now_ms += 500
            floor.desk.settle(floor.now_ms)
        elif what == "cancel":
            for order in floor.desk.all_open_orders()[: int(str(detail))]:
                floor.desk.cancel(order, floor.now_ms)
        else:
            ticket = floor.ticket(**detail)  # type: ignore[arg-type]
            conditions = Conditions(fill_share=fill_share)
            try:
                order = floor.desk.place(ticket, floor.now_ms, conditions)
            except (DuplicateClientIdError, WouldTakeError, InsufficientFundsError):
                pass
            else:
                assert not (order.is_open and not order.ticket.time_in_force.rests)
        totals_explained(floor)
    for order in floor.desk.orders(2**62):
        keeps_its_terms(order)
    for fill in floor.desk.all_fills():
        fee_is_exact(floor, fill)
    no_level_gives_more_than_it_had(floor)


def keeps_its_terms(order: Order) -> None:
    ticket = order.ticket
    for fill in order.fills:
        assert fill.size > 0
        if ticket.price is not None:
            assert fill.price <= ticket.price if ticket.side is Side.BUY else fill.price >= ticket.price
        assert not (fill.maker and not ticket.time_in_force.rests)
        assert not (ticket.post_only and not fill.maker)
    if ticket.base_size is not None:
        assert order.filled <= ticket.base_size
        assert (order.status is Status.FILLED) == (order.filled == ticket.base_size)
    elif ticket.quote_size is not None:
        with exact():
            inclusive = ticket.quote_includes_fee and ticket.fee_in is FeeIn.QUOTE
            spent = order.spent + (order.fee if inclusive else Decimal(0))
        assert spent <= ticket.quote_size


def no_level_gives_more_than_it_had(floor: Floor) -> None:
    """Over the whole run no more was taken at a price than all the books ever showed there."""
    for taker, side in ((Side.BUY, 1), (Side.SELL, 0)):
        shown: dict[Decimal, Decimal] = {}
        for book in floor.placed:
            for level in book[side]:
                shown[level.price] = shown.get(level.price, Decimal(0)) + level.size
        for price, size in shown.items():
            taken = sum(
                fill.size
                for fill in floor.desk.all_fills()
                if not fill.maker and fill.order.ticket.side is taker and fill.price == price
            )
            assert taken <= size


def test_resting_orders_fill_in_the_order_they_came_at_their_own_price() -> None:
    floor = Floor()
    floor.book([("99", "1")], [("101", "1")])
    gtc = floor.ticket(time_in_force=TimeInForce.GTC, price=Decimal(100))
    orders = [floor.desk.place(gtc, floor.now_ms, Conditions()) for _ in range(2)]
    floor.book([("97", "1")], [("98", "1.5")])
    floor.desk.settle(floor.now_ms)
    assert [order.filled for order in orders] == [Decimal(1), Decimal("0.5")]
    assert {fill.price for fill in floor.desk.all_fills()} == {Decimal(100)}
    floor.desk.settle(floor.now_ms + 10_000)
    assert orders[1].filled == Decimal("0.5"), "the same book gives nothing twice"


def test_a_better_price_than_the_limit_frees_what_it_saved() -> None:
    floor = Floor()
    floor.book([], [("90", "1")])
    order = floor.desk.place(
        floor.ticket(time_in_force=TimeInForce.GTC, base_size=Decimal(2)), floor.now_ms, Conditions()
    )
    assert order.held == Decimal(101) * (1 + floor.desk.rules.taker_rate)
    assert order.filled == 1


def test_what_a_partial_fill_left_waits_for_the_next_book_though_it_crosses() -> None:
    floor = Floor()
    floor.book([], [("100", "5")])
    gtc = floor.ticket(time_in_force=TimeInForce.GTC, base_size=Decimal(2))
    order = floor.desk.place(gtc, floor.now_ms, Conditions(fill_share=Decimal("0.5")))
    floor.desk.settle(floor.now_ms + 10_000)
    assert order.filled == 1
    floor.book([], [("100", "5")])
    floor.desk.settle(floor.now_ms)
    assert (order.status, [fill.maker for fill in order.fills]) == (Status.FILLED, [False, True])


def test_hidden_orders_are_hidden_from_questions_not_from_the_engine() -> None:
    floor = Floor(Venue.KRAKEN)
    floor.book([("99", "1")], [("101", "1")])
    gtc = floor.ticket(time_in_force=TimeInForce.GTC, price=Decimal(95), client_order_id="x")
    order = floor.desk.place(gtc, floor.now_ms, Conditions(visible_after_ms=100))
    for find in ({"order_id": order.order_id}, {"client_order_id": "x"}):
        assert floor.desk.find(floor.now_ms + 99, **find) is None
        assert floor.desk.find(floor.now_ms + 100, **find) is order
    assert floor.desk.open_orders(floor.now_ms) == []
    with pytest.raises(DuplicateClientIdError):
        floor.desk.place(gtc, floor.now_ms, Conditions())
    assert floor.desk.find_open(client_order_id="x") is order


def test_ids_of_orders_and_fills_are_the_venues_own_and_never_the_same_twice() -> None:
    for venue, form in {
        Venue.BINANCE: r"[0-9]+",
        Venue.COINBASE: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        Venue.KRAKEN: r"O[0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{6}",
    }.items():
        rules = DIALECTS[venue].rules
        ids = [rules.order_id(1_723_161_257_000_000 + number) for number in range(2000)]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(form, each) for each in ids)


def test_time_moves_numbers_on() -> None:
    floor = Floor()
    floor.book([], [("101", "5")])
    orders = [floor.desk.place(floor.ticket(), floor.now_ms, Conditions()) for _ in range(3)]
    assert all(after.number > before.number for before, after in pairwise(orders))
