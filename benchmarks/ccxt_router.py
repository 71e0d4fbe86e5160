"""What bytes_to_decision compares with: ccxt's parsing, and the plainest router on top of it.

A process of its own, for ccxt's thousands of modules' objects would slow the garbage collector of
whoever imports it. It reads amounts, one a line, and answers each with milliseconds of processor
time and the parts of the venues::

    PYTHONPATH=layers/sor_core python -m benchmarks.ccxt_router 1000
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ccxt  # type: ignore[import-untyped]

from benchmarks.books import FEES_BPS, make_bodies


@dataclass(frozen=True, slots=True)
class Ccxt:
    """ccxt's parsing over the same bytes, and the plainest router on top of it."""

    bodies: Mapping[str, bytes]
    clients: Mapping[str, Any]

    @classmethod
    def over(cls, bodies: Mapping[str, bytes]) -> Ccxt:
        """Make a client a venue; none is asked anything."""
        return cls(bodies, {venue: getattr(ccxt, venue)() for venue in bodies})

    def books(self) -> dict[str, Any]:
        """Parse, as the clients' `fetch_order_book` does with a response's text."""
        answers = {v: client.parse_json(self.bodies[v].decode()) for v, client in self.clients.items()}
        binance, coinbase, kraken = (self.clients[v] for v in ("binance", "coinbase", "kraken"))
        time = binance.safe_integer(answers["binance"], "T")
        pricebook = coinbase.safe_dict(answers["coinbase"], "pricebook", {})
        at = coinbase.parse8601(coinbase.safe_string(pricebook, "time"))
        pair = kraken.safe_dict(kraken.safe_dict(answers["kraken"], "result", {}), "XBTUSDT")
        return {
            "binance": binance.parse_order_book(answers["binance"], "BTC/USDT", time),
            "coinbase": coinbase.parse_order_book(pricebook, "BTC/USDT", at, "bids", "asks", "price", "size"),
            "kraken": kraken.parse_order_book(pair, "BTC/USDT"),
        }

    def walk(self, amount: float) -> dict[str, float]:
        """Buy level by level in the order of price with fee; gives each venue's part. No rounding to lots."""
        merged = []
        for venue, book in self.books().items():
            with_fee = 1 + float(FEES_BPS[venue]) / 10_000
            merged += [(level[0] * with_fee, level[1], venue) for level in book["asks"]]
        merged.sort()
        parts = dict.fromkeys(self.bodies, 0.0)
        for _, size, venue in merged:
            taken = min(size, amount)
            parts[venue] += taken
            amount -= taken
            if amount <= 0:
                break
        return parts


def serve(levels: int) -> None:
    """Answer until the input ends."""
    router = Ccxt.over(make_bodies(levels))
    for line in sys.stdin:
        started = time.process_time()
        parts = router.walk(float(line))
        taken_ms = (time.process_time() - started) * 1000
        print(json.dumps({"taken_ms": taken_ms, "parts": parts}), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
