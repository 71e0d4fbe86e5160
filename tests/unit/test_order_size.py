"""How many fills an order may have until DynamoDB takes its record no more."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from sor_core.adapters.dynamo_orders_items import order_item
from sor_core.domain.money import exact
from sor_core.domain.trading import Fill
from sor_core.execution.record import AttemptState
from tests.fakes.records import attempt, record, venue_order

LARGEST_ITEM = 400 * 1024
"""Amazon DynamoDB, "Quotas": the most an item may hold, names of attributes included."""
_BESIDE_THE_BODY = 2048
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def fill_id(venue: str, number: int, rng: random.Random) -> str:
    """As the venue gives them: Coinbase's UUIDs pack worst, Binance's running numbers best."""
    if venue == "binance":
        return str(4_123_456_789 + 3 * number + rng.randrange(3))  # others trade in between
    if venue == "kraken":
        return "T" + "-".join("".join(rng.choices(_BASE32, k=length)) for length in (5, 5, 6))
    return "-".join(f"{rng.getrandbits(4 * length):0{length}x}" for length in (8, 4, 4, 4, 12))


def packed_bytes(venue: str, count: int) -> int:
    """Of an order that walked up a book: its fills differ by a cent now and then, and in all their sizes."""
    rng = random.Random(count)  # noqa: S311 - made up fills
    fills, price = [], Decimal("60000.00")
    for number in range(count):
        with exact():
            price += Decimal(rng.choice((0, 0, 1, 1, 2, 5))) / 100
            size = Decimal(rng.randrange(1, 60_000)) / 100_000
            fee = price * size / 1000
        fill = Fill(
            fill_id(venue, number, rng), price, size, fee, "USDT", f"{venue}-order", at_ms=1_795_385_798_123
        )
        fills.append(fill)
    told = venue_order(*fills, venue=venue, size="10000")
    kept = order_item(record(attempt(1, AttemptState.ENDED, told, venue=venue, size="10000")))
    return len(kept["body"]["B"]) + _BESIDE_THE_BODY


@pytest.mark.parametrize("venue", ["binance", "coinbase", "kraken"])
def test_a_record_of_8000_fills_is_taken(venue: str) -> None:
    assert packed_bytes(venue, 8000) < LARGEST_ITEM


@pytest.mark.parametrize(("venue", "bytes_each"), [("binance", 24), ("kraken", 37), ("coinbase", 47)])
def test_a_fill_takes_so_much_of_a_record(venue: str, bytes_each: int) -> None:
    """As docs/operations.md reckons: 400 KB hold some 17,000, 11,000 and 8,600."""
    more = packed_bytes(venue, 4000) - packed_bytes(venue, 2000)
    assert more / 2000 == pytest.approx(bytes_each, rel=0.06)
