"""Where the simulated venues' books come from: generated, recorded, placed."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from local.venues.books import Level
from local.venues.generated import STEP_MS, GeneratedBooks, price_usd
from local.venues.market import Market
from local.venues.markets import LISTINGS, Listing, Venue
from local.venues.orders import Side
from local.venues.recorded import RecordedBooks, RecordingError, read_recording

STEP = 1_723_161_257_000 // STEP_MS
EVERY_MARKET = [
    listing for listings in LISTINGS.values() for listing in listings.values() if listing.alias_of is None
]


@pytest.mark.parametrize("listing", EVERY_MARKET, ids=lambda each: f"{each.venue} {each.symbol}")
def test_a_generated_book_is_sound_at_any_time(listing: Listing) -> None:
    books = GeneratedBooks(7, listing)
    for step in (STEP, STEP + 39, STEP + 40, STEP + 1_000_003, 0):
        book = books.snapshot(step)
        touch = books.touch(step)
        bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
        assert (bids[0], asks[0]) == (touch.bid, touch.ask)
        assert bids[0] < asks[0]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert all(level.size > 0 and level.size % listing.lot == 0 for level in (*book.bids, *book.asks))
        assert len(bids) == len(asks) == listing.shape.levels
        assert books.step_started_ms(books.step_at(book.changed_at_ms)) == book.changed_at_ms


def test_books_repeat_with_their_seed_alone() -> None:
    listing = LISTINGS[Venue.KRAKEN]["BTC/USDT"]
    assert GeneratedBooks(7, listing).snapshot(STEP) == GeneratedBooks(7, listing).snapshot(STEP)
    assert GeneratedBooks(7, listing).snapshot(STEP) != GeneratedBooks(8, listing).snapshot(STEP)


def test_prices_move_like_a_market_and_come_back() -> None:
    prices = [price_usd(7, "BTC", (1_723_161_257 + 60 * minute) * 1000) for minute in range(0, 200_000, 97)]
    assert all(abs(price / 61_800 - 1) < 0.05 for price in prices)
    assert max(prices) / min(prices) > 1.01
    moves = [abs(after / before - 1) * 1e4 for before, after in pairwise(prices)]
    assert sum(moves) / len(moves) > 10
    seconds = [price_usd(7, "BTC", 1_723_161_257_000 + 1000 * second) for second in range(300)]
    jumps = [abs(after / before - 1) * 1e4 for before, after in pairwise(seconds)]
    assert 0.1 < sum(jumps) / len(jumps) < 3
    assert max(jumps) < 10


def test_venues_agree_on_a_price_but_not_wholly_and_crosses_agree_with_legs() -> None:
    mids = {}
    for venue in Venue:
        listing = LISTINGS[venue]["BTC/USDT"]
        touch = GeneratedBooks(7, listing).touch(STEP)
        mids[venue] = float(touch.bid + touch.ask) / 2
    assert len(set(mids.values())) == 3
    assert max(mids.values()) / min(mids.values()) - 1 < 0.003

    def mid(symbol: str) -> float:
        touch = GeneratedBooks(7, LISTINGS[Venue.BINANCE][symbol]).touch(STEP)
        return float(touch.bid + touch.ask) / 2

    assert mid("ETH/USDT") / mid("BTC/USDT") == pytest.approx(mid("ETH/BTC"), rel=2e-3)


def test_binance_is_the_deepest() -> None:
    def worth(venue: Venue, within: str) -> Decimal:
        book = GeneratedBooks(7, LISTINGS[venue]["BTC/USDT"]).snapshot(STEP)
        limit = book.asks[0].price * Decimal(within)
        return sum((each.price * each.size for each in book.asks if each.price <= limit), Decimal(0))

    depth = {venue: worth(venue, "1.001") for venue in Venue}
    assert depth[Venue.BINANCE] > 5 * max(depth[Venue.COINBASE], depth[Venue.KRAKEN])
    assert min(depth.values()) > 20_000


def test_resting_levels_stand_while_the_mid_moves() -> None:
    books = GeneratedBooks(7, LISTINGS[Venue.BINANCE]["BTC/USDT"])
    start = STEP - STEP % 40
    first, later = (
        {level.price: level.size for level in books.snapshot(step).bids} for step in (start, start + 20)
    )
    common = [price for price in first if price in later]
    assert len(common) > 1000
    assert sum(first[price] == later[price] for price in common) > 0.99 * len(common)


# Recorded


def write(path: Path, *lines: object) -> Path:
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    return path


def row(ts: int, *names: str, bid: str = "100") -> dict[str, object]:
    return {"ts": ts, "venues": {name: {"bids": [[bid, "1.5"]], "asks": [["101", "2"]]} for name in names}}


def test_recorded_names_stand_for_the_venues_in_order_unless_they_are_venues(tmp_path: Path) -> None:
    other = read_recording(write(tmp_path / "a", row(1, "x", "y", "z")), "BTC/USDT")
    assert list(other.books) == [Venue.BINANCE, Venue.COINBASE, Venue.KRAKEN]
    own = read_recording(write(tmp_path / "b", row(1, "kraken", "binance")), "BTC/USDT")
    assert set(own.books) == {Venue.KRAKEN, Venue.BINANCE}
    named = write(tmp_path / "c", {"meta": {"symbol": "ETH/USDT"}}, row(1, "x"))
    assert read_recording(named, "BTC/USDT").symbol == "ETH/USDT"


def test_a_recording_plays_in_real_time_and_loops(tmp_path: Path) -> None:
    path = write(tmp_path / "a", row(5000, "x"), row(6000, "x", bid="99"), row(9000, "x", bid="98"))
    books = RecordedBooks(read_recording(path, "BTC/USDT"), Venue.BINANCE, started_ms=100_000)

    def bid(now_ms: int) -> str:
        return str(books.touch(books.step_at(now_ms)).bid)

    played = [bid(100_000 + at_ms) for at_ms in (0, 999, 1000, 3999, 4000, 6999, 7000, 8000)]
    assert played == ["100", "100", "99", "99", "98", "98", "100", "99"]
    first, second = books.snapshot(books.step_at(103_000)), books.snapshot(books.step_at(110_500))
    assert (first.changed_at_ms, second.changed_at_ms) == (101_000, 108_000)
    assert second.sequence > first.sequence
    assert first.bids == [Level(Decimal(99), Decimal("1.5"))]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "at least one row"),
        ([{"meta": {}}], "at least one row"),
        ([{"ts": 1}], "JSON lines"),
        ([row(1, "a", "b", "c", "d")], "at most 3 venues"),
        ([row(1, "a"), row(2, "b")], "every row to have the venues a"),
        ([row(2, "a"), row(1, "a")], "ascending ts"),
        ([{"ts": 1, "venues": {"a": {"bids": [], "asks": []}}}], "bids and asks"),
        ([{"ts": 1, "venues": {"a": {"bids": [["1", "x"]], "asks": [["2", "1"]]}}}], "bids and asks"),
    ],
)
def test_a_recording_that_is_none_is_told_by_what_was_expected(
    tmp_path: Path, lines: list[object], expected: str
) -> None:
    with pytest.raises(RecordingError, match=f"expected .*{expected}"):
        read_recording(write(tmp_path / "bad", *lines), "BTC/USDT")


# Taken and placed


def test_what_is_taken_is_missing_until_the_next_snapshot() -> None:
    listing = LISTINGS[Venue.KRAKEN]["BTC/USDT"]
    market = Market(listing, GeneratedBooks(7, listing))
    now_ms = STEP * STEP_MS
    before = market.book_at(now_ms)
    best, second = before.asks[0], before.asks[1]

    market.take(Side.BUY, best.price, best.size, now_ms)
    market.take(Side.BUY, second.price, listing.lot, now_ms)
    after = market.book_at(now_ms)

    assert after.asks[0] == Level(second.price, second.size - listing.lot)
    assert after.bids == before.bids
    assert after.sequence > before.sequence
    later = market.book_at(now_ms + STEP_MS)
    assert later.sequence > after.sequence
    assert later == GeneratedBooks(7, listing).snapshot(STEP + 1)


def test_sequences_never_fall_when_books_are_placed_at_once() -> None:
    listing = LISTINGS[Venue.KRAKEN]["BTC/USDT"]
    market = Market(listing, GeneratedBooks(7, listing))
    now_ms = STEP * STEP_MS
    sequences = [market.book_at(now_ms).sequence]
    for size in (1, 2, 3):
        market.place_book([], [Level(Decimal(100), Decimal(size))], now_ms)
        sequences.append(market.book_at(now_ms).sequence)
        market.take(Side.BUY, Decimal(100), Decimal("0.5"), now_ms)
        sequences.append(market.book_at(now_ms).sequence)
    assert sequences == sorted(sequences)
    assert len(set(sequences[1:])) == 6
