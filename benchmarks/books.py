"""Three venues' answers about their books, in their own words: made, irregular, the same at every call."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence

NOW_MS = 1_700_000_000_000
FEES_BPS = {"binance": "10", "coinbase": "12", "kraken": "11"}
"""Close together, so that a large order is split."""

_Level = tuple[str, str]


def side(rng: random.Random, sign: int, levels: int) -> list[_Level]:
    """One side of a book, as irregular as real ones: 10 bps deep, sizes with a heavy tail."""
    price, out = 60_000 + rng.uniform(0, 3) * sign, []
    for _ in range(levels):
        price += sign * rng.expovariate(1 / 0.06 * levels / 1000)
        out.append((f"{price:.2f}", f"{min(5.0, rng.paretovariate(1.3) * 0.01):.5f}"))
    return out


def binance_body(bids: Sequence[_Level], asks: Sequence[_Level]) -> bytes:
    """Write *Order book*: eight decimals, whatever the tick."""

    def written(levels: Sequence[_Level]) -> list[list[str]]:
        return [[f"{price}000000", f"{size}000"] for price, size in levels]

    return _json({"lastUpdateId": 50_000_000_000, "bids": written(bids), "asks": written(asks)})


def coinbase_body(bids: Sequence[_Level], asks: Sequence[_Level]) -> bytes:
    """Write *Get Public Product Book*: an object a level."""

    def written(levels: Sequence[_Level]) -> list[dict[str, str]]:
        return [{"price": price, "size": size} for price, size in levels]

    book = {"product_id": "BTC-USDT", "bids": written(bids), "asks": written(asks)}
    return _json({"pricebook": book | {"time": "2023-11-14T22:13:20.123456Z"}})


def kraken_body(bids: Sequence[_Level], asks: Sequence[_Level]) -> bytes:
    """Write *Get Order Book*: with the second in which each level last changed."""

    def written(levels: Sequence[_Level]) -> list[list[str | int]]:
        return [[f"{price}000", size[:-2], NOW_MS // 1000 - n % 60] for n, (price, size) in enumerate(levels)]

    return _json({"error": [], "result": {"XBTUSDT": {"asks": written(asks), "bids": written(bids)}}})


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


WRITERS: Mapping[str, Callable[[Sequence[_Level], Sequence[_Level]], bytes]] = {
    "binance": binance_body,
    "coinbase": coinbase_body,
    "kraken": kraken_body,
}


def make_bodies(levels: int, seed: int = 0) -> dict[str, bytes]:
    """Make the three venues' answers, the same at every call; others with another seed."""
    rng = random.Random(levels + seed)  # noqa: S311 - repeatable on purpose
    return {venue: write(side(rng, -1, levels), side(rng, 1, levels)) for venue, write in WRITERS.items()}
