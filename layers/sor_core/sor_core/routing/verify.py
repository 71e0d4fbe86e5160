"""Check a receipt of SOR: ``python verify.py receipt.json [--digest HEX]``.

This one file needs nothing but Python 3.11's standard library, and shares no code with the router. It
makes the decision again from the receipt's inputs, and proves the split by a method of its own:
see docs/receipt.md. It prints VERIFIED and exits 0, or names the first thing that does not hold
and exits 1; what cannot be read as a receipt exits 2.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from hashlib import sha256
from itertools import accumulate, pairwise, product
from math import gcd, prod
from pathlib import Path
from typing import Any

FORMAT = "sor-receipt/1"
BLOCK = 8
FINEST = 18
STRATEGIES = ("best_execution", "lowest_latency", "best_liquidity", "cost_optimization")
MOST_COMBINATIONS = 200_000
"""Combinations of lots tried for one set of venues before the proof is given up."""
MOST = 1e100
"""Base: no book holds more."""
SURELY_PROVEN = 9
"""Venues among which the decision's search (2,000 nodes) always comes to its end."""


class RefusedError(Exception):
    """What of the receipt does not hold."""


class UnreadableError(Exception):
    """Why a file is no receipt."""


def must(holds: object, claim: str) -> None:
    """Refuse the receipt unless a claim about it holds."""
    if not holds:
        raise RefusedError(claim)


# The form ------------------------------------------------------------------------------------------

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", re.ASCII)
_LEVEL = re.compile(r"[0-9]+(\.[0-9]*)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}", re.ASCII)


def _is_float(value: object) -> bool:
    try:
        return isinstance(value, str) and repr(float(value)) == value and math.isfinite(float(value))
    except ValueError:
        return False


_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": lambda v: isinstance(v, str),
    "name": lambda v: isinstance(v, str) and bool(_NAME.fullmatch(v)),
    "symbol": lambda v: isinstance(v, str) and bool(_SYMBOL.fullmatch(v)),
    "whole": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "flag": lambda v: isinstance(v, bool),
    "decimal": lambda v: isinstance(v, str) and bool(_DECIMAL.fullmatch(v)) and v != "-0",
    "float": _is_float,
    "hash": lambda v: isinstance(v, str) and bool(re.fullmatch(r"[0-9a-f]{64}", v, re.ASCII)),
    "rest": lambda v: v == "" or _KINDS["hash"](v),
}


def _all(kind: str, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), kind)


_SIDE = {"levels": "whole", "prefix": [["text"]], "rest_sha256": "rest"}
_COSTS = _all("decimal", "amount notional fee expected_price slippage_bps fee_bps")
_LEVEL_SHOWN = _all("decimal", "price size all_in_price strategy_price")
_EXCLUSION = _all("name", "venue why")
_VENUE = {
    "venue": "name",
    "instrument": _all("text", "venue_symbol status")
    | _all("decimal", "tick lot min_size min_notional")
    | _all("decimal?", "max_size max_notional"),
    "fees": _all("decimal", "taker_fee_bps maker_fee_bps") | {"source": "text"},
    "funds": "decimal?",
    "metrics": (
        _all("float", "latency_ms success_rate liquidity_score uptime_pct")
        | {"consecutive_failures": "whole", "is_healthy": "flag"},
    ),
    "book": {"received_at_ms": "whole", "latency_ms": "float", "source": "text", "sha256": "hash"}
    | _all("whole?", "source_time_ms sequence")
    | {"asks": _SIDE, "bids": _SIDE},
    "depth": _all("float?", "own_band in_band within_cap"),
}
_INPUTS = {
    **_all("text", "decision_id code_version"),
    "decided_at_ms": "whole",
    "order": _all("name", "side type strategy")
    | _all("decimal?", "amount quote_amount price max_slippage_bps")
    | {"symbol": "symbol", "allowed_venues": (["name"],), "denied_venues": ["name"], "max_legs": "whole?"},
    "policy": _all("float", "max_latency_ms min_liquidity_score")
    | _all("decimal", "best_execution_tolerance_bps lowest_latency_tolerance_bps leg_fixed_cost")
    | {
        "max_book_age_ms": "whole",
        "weights": _all("decimal", "price liquidity latency reliability"),
        "full_liquidity_notionals": {"*": "decimal", ...: "decimal"},
    },
    "failures": [_EXCLUSION],
    "venues": [_VENUE],
}
_LEG = _all("decimal", "amount limit_price worst_price notional fee liquidity_score") | {"venue": "name"}
_RESULT = {
    **_all("name", "selected reason"),
    "legs": [{**_LEG, "liquidity_score": "text"}],
    "costs": _COSTS,
    **_all("decimal", "arrival_mid price_cap remaining optimality_gap_bps"),
    **_all("decimal?", "remaining_quote savings_bps"),
    "confidence": "text",
    "best_single_venue": "name?",
    "alternatives": [{"venue": "name", "costs": _COSTS, "liquidity_score": "text"}],
    "ranking": ["name"],
    "excluded": [_EXCLUSION],
    "oldest_book_at_ms": "whole",
}
_RECEIPT = {
    "format": "text",
    "inputs": _INPUTS,
    "inputs_sha256": "hash",
    "result": _RESULT,
    "certificate": _all("decimal", "marginal_price objective lower_bound")
    | {"venues": [{"venue": "name", "last_used": (_LEVEL_SHOWN,), "first_unused": (_LEVEL_SHOWN,)}]},
    "budget": (
        {
            "asked": "decimal",
            "next": ({"legs": [_all("name", "venue") | _all("decimal", "amount")], "money": "decimal"},),
        },
    ),
    "digest": "hash",
}


def check_form(value: Any, form: Any, at: str) -> None:
    """Refuse what is not of a form: a kind, [form] a list, (form,) a form or null, a dict by its keys."""
    if isinstance(form, str):
        kind = form.removesuffix("?")
        must((form != kind and value is None) or _KINDS[kind](value), f"{at}: expected a {kind}")
    elif isinstance(form, tuple):
        if value is not None:
            check_form(value, form[0], at)
    elif isinstance(form, list):
        must(isinstance(value, list), f"{at}: expected a list")
        for number, item in enumerate(value):
            check_form(item, form[0], f"{at}[{number}]")
    else:
        must(isinstance(value, dict), f"{at}: expected an object")
        named = {name for name in form if name is not ...}
        must(
            set(value) >= named and (... in form or set(value) == named), f"{at}: other fields than expected"
        )
        for name, item in value.items():
            check_form(item, form[name] if name in named else form[...], f"{at}.{name}")


def digest_of(document: object) -> str:
    """SHA-256 of canonical JSON: UTF-8, keys sorted, no white space."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_book(book: dict[str, Any], at: str) -> None:
    """Refuse levels that do not belong to the book whose hash stands in the receipt."""
    heads = {}
    for name in ("asks", "bids"):
        side = book[name]
        count, prefix, rest = side["levels"], side["prefix"], side["rest_sha256"]
        whole = count == len(prefix)
        must(whole or (count > len(prefix) > 0 and len(prefix) % BLOCK == 0), f"{at}.{name}: wrong prefix")
        must(whole == (rest == ""), f"{at}.{name}: rest_sha256 where nothing is left, or none")
        for start in reversed(range(0, count if whole else len(prefix), BLOCK)):
            rest = digest_of([prefix[start : start + BLOCK], rest])
        heads[name] = [count, rest]
    must(digest_of(heads) == book["sha256"], f"{at}: the levels do not give sha256")


# The market ----------------------------------------------------------------------------------------


class MalformedError(Exception):
    """A level that is none."""


class FinerError(Exception):
    """A level with more decimal places than the scale."""


def number(value: str | None) -> Decimal | None:
    """A decimal that may be null."""
    return None if value is None else Decimal(value)


def places(value: Decimal) -> int:
    """Decimal places needed."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """A multiple of a step."""
    return (value / step).to_integral_value(rounding) * step


def integer(value: Decimal, scale: int, rounding: str = ROUND_FLOOR) -> int:
    """A decimal in units of 10^-scale."""
    return int(value.scaleb(scale).to_integral_value(rounding))


def is_level(texts: Sequence[str]) -> bool:
    """Whether it is a price and a size."""
    return len(texts) == 2 and all(len(t) <= 40 and _LEVEL.fullmatch(t) for t in texts)  # noqa: PLR2004


def double(text: str) -> float:
    """A plain decimal, however many digits it has."""
    if not _LEVEL.fullmatch(text) or float(text) == math.inf:
        raise MalformedError
    return float(text)


def price_of(texts: Sequence[str]) -> float:
    """The price of what is a pair."""
    if len(texts) != 2:  # noqa: PLR2004
        raise MalformedError
    return double(texts[0])


def level_of(texts: Sequence[str], price_places: int, size_places: int) -> tuple[int, int]:
    """A level as integers."""
    if len(texts) != 2:  # noqa: PLR2004
        raise MalformedError
    out = []
    for text, scale in zip(texts, (price_places, size_places), strict=True):
        if not is_level([text, text]):
            raise MalformedError
        if places(Decimal(text)) > scale:
            raise FinerError
        out.append(integer(Decimal(text), scale))
    return out[0], out[1]


class Venue:
    """A venue of the inputs, its numbers read."""

    def __init__(self, document: dict[str, Any], side: str) -> None:
        self.name: str = document["venue"]
        rules, metrics, book = document["instrument"], document["metrics"], document["book"]
        self.status = rules["status"]
        self.tick, self.lot = Decimal(rules["tick"]), Decimal(rules["lot"])
        self.min_size, self.max_size = Decimal(rules["min_size"]), number(rules["max_size"])
        self.min_notional, self.max_notional = Decimal(rules["min_notional"]), number(rules["max_notional"])
        self.fee = Decimal(document["fees"]["taker_fee_bps"]) / 10_000
        self.funds = number(document["funds"])
        self.healthy = metrics is None or metrics["is_healthy"]
        self.latency_ms = float((book if metrics is None else metrics)["latency_ms"])
        self.reliability = 1.0
        if metrics is not None:
            self.reliability = float(metrics["success_rate"]) * float(metrics["uptime_pct"]) / 100.0
        self.book, self.taken = book, book["asks" if side == "buy" else "bids"]
        self.depth = {k: None if v is None else float(v) for k, v in document["depth"].items()}
        must(self.tick > 0 < self.lot and 0 <= self.fee < 1, f"{self.name}: steps and fee")

    def touch(self, side: str) -> Decimal:
        """Best price of a side."""
        try:
            price, size = level_of(self.book[side]["prefix"][0], FINEST, FINEST)
        except FinerError as error:
            raise MalformedError from error
        if price <= 0 or size <= 0:
            raise MalformedError
        return Decimal(price).scaleb(-FINEST)

    def looked_at(self, read: int, sign: int, farthest: float) -> list[tuple[float, float]]:
        """Price and size of the levels walked, and of more up to one beyond a price or their block's end."""
        side = self.taken
        count = min(side["levels"], (read // BLOCK + 1) * BLOCK)
        must(len(side["prefix"]) >= count, f"{self.name}: the prefix of its levels is too short")
        levels: list[tuple[float, float]] = []
        for texts in side["prefix"][:count]:
            price = price_of(texts)
            if price <= 0 or (levels and (price - levels[-1][0]) * sign < 0):
                raise MalformedError
            beyond = (price - farthest) * sign > 0
            levels.append((price, 0.0 if beyond else double(texts[1])))
            if beyond:
                break
        return levels

    def check_depth(self, read: int, sign: int, mid: float, cap: float) -> float:
        """The stated notional round the mid, refused if what is looked at contradicts the stated sums.

        Both may be null, for a level that is none, only where that can lie beyond what is looked at.
        """
        edge = mid * (1 + sign * 50 / 10_000)
        levels = self.looked_at(read, sign, max(edge * sign, cap * sign) * sign)
        everything = len(levels) == self.taken["levels"]
        stated, all_settled = [], True
        for name, limit, unit in (("in_band", edge, mid), ("within_cap", cap, 1.0)):
            hair = limit * 1e-12 * sign  # a level may lie on the limit
            least, most = (
                sum(size for price, size in levels if (price - at) * sign <= 0)
                for at in (limit - hair, limit + hair)
            )
            if most >= MOST:
                raise MalformedError
            settled = everything or (levels[-1][0] - limit - hair) * sign > 0
            all_settled = all_settled and settled
            value = self.depth[name]
            if value is not None:
                near = 1e-9 * max(abs(value), most * unit)
                holds = value >= least * unit - near and (not settled or value <= most * unit + near)
                must(holds, f"{self.name}: depth.{name} is not what the levels come to")
                stated.append(value)
        if not stated:
            must(not all_settled, f"{self.name}: depth is null though all its levels are shown")
            raise MalformedError
        must(len(stated) > 1, f"{self.name}: depth: only one of the sums")
        return stated[0]


def screened(venue: Venue, order: dict[str, Any], policy: dict[str, Any], now_ms: int) -> str | None:
    """Why a venue may not take part; None if it may."""
    allowed, book = order["allowed_venues"], venue.book
    if venue.name in order["denied_venues"] or (allowed is not None and venue.name not in allowed):
        return "not_allowed"
    if venue.status not in {"trading", "limit_only"}:
        return "not_trading"
    if not venue.healthy:
        return "unhealthy"
    if venue.latency_ms > float(policy["max_latency_ms"]):
        return "too_slow"
    received, changed = book["received_at_ms"], book["source_time_ms"]
    most = policy["max_book_age_ms"]
    if max(0, now_ms - received) > most or (changed is not None and received - changed > most):
        return "stale_book"
    if not book["asks"]["levels"] or not book["bids"]["levels"]:
        return "empty_book"
    try:
        bid, ask = venue.touch("bids"), venue.touch("asks")
        return "crossed_book" if bid >= ask else thin(venue, order, policy, float(bid + ask) / 2)
    except MalformedError:
        return "malformed_book"


def thin(venue: Venue, order: dict[str, Any], policy: dict[str, Any], mid: float) -> str | None:
    """Whether a venue shows too little within 50 bps of its own mid."""
    sign = 1 if order["side"] == "buy" else -1
    full = float(full_notional(order, policy))
    needed = full / 10_000 * math.expm1(float(policy["min_liquidity_score"]) / 10 * math.log1p(10_000))
    held, settled = _held(venue, sign, mid, needed)
    stated = venue.depth["own_band"]
    if stated is None:
        must(not settled, f"{venue.name}: depth.own_band is null though its levels are shown")
        raise MalformedError
    near = 1e-9 * max(abs(stated), held)
    holds = stated >= held - near and (not settled or stated <= held + near)
    must(holds, f"{venue.name}: depth.own_band is not what the levels come to")
    if settled:
        return "liquidity_below_minimum" if held < needed else None
    return "liquidity_below_minimum" if stated < needed else None


def _held(venue: Venue, sign: int, mid: float, needed: float) -> tuple[float, bool]:
    """The notional within 50 bps of a mid, up to what is needed, and whether the levels shown settle it."""
    edge = mid * (1 + sign * 50 / 10_000)
    held = previous = 0.0
    for texts in venue.taken["prefix"]:
        if held * mid >= needed:
            return held * mid, True
        price = price_of(texts)
        if price <= 0 or (previous and (price - previous) * sign < 0):
            raise MalformedError
        if (price - edge) * sign > 0:
            return held * mid, True
        previous = price
        held += double(texts[1])
        if held >= MOST:
            raise MalformedError
    enough = held * mid >= needed
    return held * mid, enough or len(venue.taken["prefix"]) == venue.taken["levels"]


def full_notional(order: dict[str, Any], policy: dict[str, Any]) -> Decimal:
    """The notional that scores 10."""
    scale = policy["full_liquidity_notionals"]
    return Decimal(scale.get(order["symbol"].partition("/")[2], scale["*"]))


# What each venue offers, in integers ----------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """A venue that can take part of the order: levels and bounds in units of 10^-places."""

    venue: Venue
    prices: list[int]
    ends: list[int]
    """Sizes summed up to and with each level, from 0."""
    lot: int
    lo: int
    hi: int
    score: float

    def worth(self, size: int) -> int:
        """Price x size of what a size takes."""
        parts = zip(self.prices, self.ends, self.ends[1:], strict=False)
        return sum(price * (min(size, end) - start) for price, start, end in parts if start < size)

    def last(self, size: int) -> int:
        """The last level that a size touches, -1 for nothing."""
        return bisect_left(self.ends, size) - 1 if size else -1


class Market:
    """All that competes for the order, made again from the inputs."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        self.order, self.policy = inputs["order"], inputs["policy"]
        self.now_ms: int = inputs["decided_at_ms"]
        self.side: str = self.order["side"]
        self.strategy: str = self.order["strategy"]
        must(self.side in {"buy", "sell"} and self.order["type"] in {"market", "limit"}, "order: side, type")
        most_legs = self.order["max_legs"]
        must(self.strategy in STRATEGIES, "order: strategy")
        must(most_legs is None or most_legs > 0, "order: max_legs")
        must((self.order["amount"] is None) != (self.order["quote_amount"] is None), "order: one size")
        self.sign = 1 if self.side == "buy" else -1
        self.amount, self.budget = number(self.order["amount"]), number(self.order["quote_amount"])
        must((self.amount or self.budget or 0) > 0, "order: the size is positive")
        self.excluded = [(f["venue"], f["why"]) for f in inputs["failures"]]
        self.eligible: list[Venue] = []
        venues = [Venue(v, self.side) for v in inputs["venues"]]
        names = [v.name for v in venues]
        must(names == sorted(set(names)), "inputs.venues: in the order of their names, each once")
        must(not {f for f, _ in self.excluded} & set(names), "a venue that failed has no book")
        for venue in venues:
            why = screened(venue, self.order, self.policy, self.now_ms)
            if why is None:
                self.eligible.append(venue)
            else:
                self.excluded.append((venue.name, why))
        must(self.eligible, "no venue may take part, so there is no decision")
        touches = [(v.touch("bids"), v.touch("asks")) for v in self.eligible]
        self.mid = (max(b for b, _ in touches) + min(a for _, a in touches)) / 2
        self.cap = self._cap()
        self.fee_places = max(places(v.fee) for v in self.eligible)
        self.price_places = max(places(v.tick) for v in self.eligible)
        self.size_places = max(places(v.lot) for v in self.eligible)
        try:
            self._build()
        except FinerError:
            self.price_places = self.size_places = FINEST
            self._build()
        self._bound()

    def _cap(self) -> Decimal:
        price, slippage = number(self.order["price"]), number(self.order["max_slippage_bps"])
        bounds = [] if price is None else [price]
        if slippage is not None:
            bounds.append(self.mid * (1 + self.sign * slippage / 10_000))
        must(bounds, "order: a worst price")
        return min(bounds) if self.sign > 0 else max(bounds)

    def _build(self) -> None:
        self.offers: list[Offer] = []
        self.unfit: list[tuple[str, str]] = []
        for venue in self.eligible:
            try:
                outcome = self._offer(venue)
            except MalformedError:
                outcome = "malformed_book"
            except FinerError:
                if min(self.price_places, self.size_places) < FINEST:
                    raise
                outcome = "malformed_book"
            if isinstance(outcome, Offer):
                self.offers.append(outcome)
            else:
                self.unfit.append((venue.name, outcome))

    def limit_price(self, venue: Venue) -> Decimal:
        """The cap on a venue's tick."""
        return to_step(self.cap, venue.tick, ROUND_FLOOR if self.sign > 0 else ROUND_CEILING)

    def _offer(self, venue: Venue) -> Offer | str:
        cap = self.limit_price(venue)
        prices, ends, read = self._walk(venue, cap)
        in_band = venue.check_depth(read, self.sign, float(self.mid), float(cap))
        unit = float(full_notional(self.order, self.policy)) / 10_000
        score = min(10.0, 10.0 * math.log1p(in_band / unit) / math.log1p(10_000))
        if not prices:
            return "no_depth_within_limit"
        best = Decimal(prices[0]).scaleb(-self.price_places)
        low, high, lot = min(best, cap), max(best, cap), venue.lot
        least = to_step(max(venue.min_size, lot, venue.min_notional / low), lot, ROUND_CEILING)
        mosts = [Decimal(ends[-1]).scaleb(-self.size_places)]
        mosts += [venue.max_size] if venue.max_size is not None else []
        mosts += [venue.max_notional / high] if venue.max_notional is not None else []
        mosts += [self.amount] if self.amount is not None else []
        most = min(to_step(m, lot, ROUND_FLOOR) for m in mosts)
        if most < least:
            return "below_venue_minimum"
        if venue.funds is not None:
            worst = cap * (1 + venue.fee) if self.sign > 0 else Decimal(1)
            most = min(most, to_step(venue.funds / worst, lot, ROUND_FLOOR))
            if most < least:
                return "insufficient_funds"
        lot_, lo, hi = (integer(x, self.size_places) for x in (lot, least, most))
        return Offer(venue, prices, ends, lot_, lo, hi, score)

    def _walk(self, venue: Venue, cap: Decimal) -> tuple[list[int], list[int], int]:
        """The levels up to the cap, as far as the order could go, and how many were walked."""
        enough = enough_worth = None
        if self.amount is not None:
            enough = integer(self.amount, self.size_places)
        if self.budget is not None:
            beyond = venue.lot * max(cap, venue.touch("bids"), venue.touch("asks"))
            gross = self.budget / (1 - venue.fee) + beyond
            enough_worth = integer(gross, self.price_places + self.size_places) + 1
        limit = integer(cap, self.price_places, ROUND_FLOOR if self.sign > 0 else ROUND_CEILING)
        prices: list[int] = []
        ends, worth, previous = [0], 0, None
        for at, texts in enumerate(venue.taken["prefix"]):
            price, size = level_of(texts, self.price_places, self.size_places)
            if price <= 0 or (previous is not None and (price - previous) * self.sign < 0):
                raise MalformedError
            previous = price
            if (price - limit) * self.sign > 0:
                return prices, ends, at
            if not size:
                continue
            prices.append(price)
            ends.append(ends[-1] + size)
            worth += price * size
            if (enough is not None and ends[-1] >= enough) or (
                enough_worth is not None and worth >= enough_worth
            ):
                return prices, ends, at + 1
        complete = len(venue.taken["prefix"]) == venue.taken["levels"]
        must(complete, f"{venue.name}: the prefix of its levels ends before the order does")
        return prices, ends, venue.taken["levels"]

    def step(self, size: int) -> int:
        """The coarsest lot that is at most a basis point of a size, else the finest lot."""
        lots = [o.lot for o in self.offers]
        return max((lot for lot in lots if lot * 10_000 <= size), default=min(lots))

    def _bound(self) -> None:
        must(self.offers, "no venue can serve the order, so there is no decision")
        self.excluded = sorted([*self.excluded, *self.unfit], key=lambda e: e[0])
        most = sum(o.hi for o in self.offers)
        if self.amount is not None:
            most = integer(self.amount, self.size_places)
        step = self.step(most)
        self.target = most // step * step
        self.offers = self._ranked()

    # Costs

    def terms(self, offer: Offer) -> tuple[int, int, int]:
        """(factor, addend, fixed): a unit at price p costs p x factor + addend, a leg costs fixed more."""
        one = 10**self.fee_places
        if self.strategy == "best_liquidity":
            return self.sign * one, 0, 0
        whole = self.price_places + self.size_places + self.fee_places
        fixed = integer(Decimal(self.policy["leg_fixed_cost"]), whole, ROUND_HALF_EVEN)
        addend = self.bps(self._surcharge_bps(offer)) if self.strategy == "best_execution" else 0
        return self.sign * one + integer(offer.venue.fee, self.fee_places), addend, fixed

    def bps(self, value: Decimal) -> int:
        """Basis points of the mid as an addend to a unit cost."""
        return integer(self.mid * value / 10_000, self.price_places + self.fee_places, ROUND_HALF_EVEN)

    def _surcharge_bps(self, offer: Offer) -> Decimal:
        weights = {k: Decimal(v) for k, v in self.policy["weights"].items()}
        others = weights["liquidity"] + weights["latency"] + weights["reliability"]
        utilities = {
            "liquidity": offer.score / 10.0,
            "latency": max(0.0, 1.0 - offer.venue.latency_ms / 1000.0),
            "reliability": offer.venue.reliability,
        }
        lacks = {k: 1 - Decimal(f"{min(1.0, max(0.0, u)):.6f}") for k, u in utilities.items()}
        tolerance = Decimal(self.policy["best_execution_tolerance_bps"])
        return tolerance * sum(weights[k] * lacks[k] for k in lacks) / others if others else Decimal(0)

    def curves(self) -> list[Curve]:
        """The strategy's cost of each offer."""
        return [Curve.of(o, *self.terms(o)) for o in self.offers]

    def _ranked(self) -> list[Offer]:
        """Best first: by what each gives alone, then as a trader would look on."""
        alone = []
        for offer, curve in zip(self.offers, self.curves(), strict=True):
            size = min(curve.hi, self.target // curve.lot * curve.lot)
            per_unit = Fraction(curve.value(size), size) if size >= curve.lo else None
            alone.append((offer, size if per_unit is not None else 0, per_unit))
        most = max(size for _, size, _ in alone)
        cheapest = min(p for _, size, p in alone if size == most and p is not None) if most else None
        allowance = self.bps(Decimal(self.policy["lowest_latency_tolerance_bps"]))

        def key(item: tuple[Offer, int, Fraction | None]) -> tuple[Any, ...]:
            offer, size, per_unit = item
            venue = offer.venue
            cost = (per_unit is None, per_unit or 0)
            first: tuple[Any, ...] = (cost,)
            if self.strategy == "lowest_latency" and cheapest is not None:
                first = (per_unit is None or per_unit > cheapest + allowance, venue.latency_ms, cost)
            rest = (venue.latency_ms, -offer.score, -venue.reliability, venue.fee, venue.name)
            return (-size, *first, *rest)

        return [offer for offer, _, _ in sorted(alone, key=key)]


# The proof of the split ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """Cost of each size at one venue: convex between lo and hi on the lot."""

    units: list[int]
    ends: list[int]
    sums: list[int]
    lot: int
    lo: int
    hi: int
    fixed: int

    @classmethod
    def of(cls, offer: Offer, factor: int, addend: int, fixed: int) -> Curve:
        """Price an offer's levels."""
        units = [price * factor + addend for price in offer.prices]
        sizes = [end - start for start, end in pairwise(offer.ends)]
        sums = list(accumulate((u * s for u, s in zip(units, sizes, strict=True)), initial=0))
        return cls(units, offer.ends, sums, offer.lot, offer.lo, offer.hi, fixed)

    def tagged(self, base: int, addend: int, fixed: int) -> Curve:
        """Costs times a base, with smaller digits below."""
        sums = [s * base + addend * end for s, end in zip(self.sums, self.ends, strict=True)]
        units = [u * base + addend for u in self.units]
        return replace(self, units=units, sums=sums, fixed=self.fixed * base + fixed)

    def value(self, size: int) -> int:
        """Cost of a size with the fixed cost; 0 for nothing."""
        if not size:
            return 0
        i = bisect_right(self.ends, size) - 1
        rest = size - self.ends[i]
        return self.fixed + self.sums[i] + (rest * self.units[i] if rest else 0)

    def gain(self, price: int) -> tuple[int, int]:
        """Least of value(x) - price x over lo..hi, lots left aside, and an x that has it."""
        size = min(max(self.ends[bisect_right(self.units, price)], self.lo), self.hi)
        return self.value(size) - price * size, size

    def lots(self) -> Iterator[tuple[int, int]]:
        """(cost, count) of the lots from lo to hi, ascending."""
        size = self.lo
        while size < self.hi:
            i = bisect_right(self.ends, size) - 1
            count = (min(self.ends[i + 1], self.hi) - size) // self.lot
            cost = self.units[i] * self.lot
            if not count:
                count, cost = 1, self.value(size + self.lot) - self.value(size)
            yield cost, count
            size += count * self.lot


def weak_duality(on: Sequence[Curve], free: Sequence[Curve], room: int, total: int) -> tuple[int, int]:
    """(bound, price): all of `on` and at most `room` of `free` cost no less than bound for a total.

    For ANY price l: sum of costs = l x total + sum of (cost - l x size) >= l x total + the least
    of each such term. The bisection only looks for a price that makes the bound large.
    """
    prices = sorted({u for c in (*on, *free) for u in c.units})
    low, high, best = 0, len(prices), None
    while low < high:
        middle = (low + high) // 2
        price = prices[middle]
        must_be = [c.gain(price) for c in on]
        may_be = sorted(g for c in free if (g := c.gain(price))[0] <= 0)[:room]
        bound = price * total + sum(g for g, _ in (*must_be, *may_be))
        if best is None or bound > best[0]:
            best = bound, price
        if sum(x for _, x in (*must_be, *may_be)) >= total:
            high = middle
        else:
            low = middle + 1
    return best if best is not None else (0, 0)


def first_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first of low..high - 1 for which something holds that holds from there on; else `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


class Class:
    """All curves of one lot together: so many lots at the least cost, which is convex."""

    def __init__(self, lot: int, curves: Sequence[Curve]) -> None:
        self.lot = lot
        runs = sorted(run for c in curves for run in c.lots())
        self.costs = [cost for cost, _ in runs]
        self.ends = list(accumulate((count for _, count in runs), initial=0))
        self.sums = list(accumulate((cost * count for cost, count in runs), initial=0))
        self.most = self.ends[-1]

    def value(self, lots: int) -> int:
        """Least cost of so many lots."""
        i = bisect_right(self.ends, lots) - 1
        rest = lots - self.ends[i]
        return self.sums[i] + (rest * self.costs[i] if rest else 0)

    def reduced(self, lots: int, price: int) -> int:
        """Cost less price x size."""
        return self.value(lots) - price * self.lot * lots

    def window(self, price: int, slack: int) -> range:
        """The numbers of lots whose reduced cost is less than the least one plus a slack > 0."""
        least = self.ends[bisect_left(self.costs, price * self.lot)]
        most = self.reduced(least, price) + slack
        first = first_true(0, least, lambda k: self.reduced(k, price) < most)
        after = first_true(least, self.most + 1, lambda k: self.reduced(k, price) >= most)
        return range(first, after)


def least_of_two(a: Class, b: Class, rest: int) -> int | None:
    """Least cost of filling a rest exactly with lots of two classes; None where they cannot.

    The solutions are one arithmetic progression, along which the cost is convex.
    """
    common = gcd(a.lot, b.lot)
    if rest % common:
        return None
    stride = b.lot // common
    first = rest // common * pow(a.lot // common, -1, stride) % stride
    low = max(0, -(-(rest - b.most * b.lot) // a.lot))
    low += (first - low) % stride
    high = min(a.most, rest // a.lot)
    if low > high:
        return None

    def cost(turn: int) -> int:
        lots = low + turn * stride
        return a.value(lots) + b.value((rest - lots * a.lot) // b.lot)

    return cost(first_true(0, (high - low) // stride, lambda turn: cost(turn + 1) >= cost(turn)))


def least_using_all(curves: Sequence[Curve], total: int, ceiling: int | None) -> int | None:
    """Least cost of a total with all curves used, if it is below the ceiling; lots and all."""
    rest = total - sum(c.lo for c in curves)
    lots = sorted({c.lot for c in curves})
    if rest < 0 or rest % gcd(*lots):
        return None
    base = sum(c.value(c.lo) for c in curves)
    classes = [Class(lot, [c for c in curves if c.lot == lot]) for lot in lots]
    if len(classes) == 1:
        count = rest // lots[0]
        found = base + classes[0].value(count) if count <= classes[0].most else None
        return found if found is not None and (ceiling is None or found < ceiling) else None
    windows = [range(c.most + 1) for c in classes]
    if len(classes) > 2 and ceiling is not None:  # noqa: PLR2004 - two are solved without trying
        price = weak_duality(curves, (), 0, total)[1]
        marginal = [c.reduced(c.ends[bisect_left(c.costs, price * c.lot)], price) for c in classes]
        slack = ceiling - base - price * rest - sum(marginal)
        if slack <= 0:
            return None
        windows = [c.window(price, slack) for c in classes]
    lengths = [window.stop - window.start for window in windows]  # len() ends at 2^63
    *tried, one, other = sorted(range(len(classes)), key=lengths.__getitem__)
    must(prod(lengths[i] for i in tried) <= MOST_COMBINATIONS, "too many combinations of lots to prove")
    best = ceiling
    for counts in product(*(windows[i] for i in tried)):
        left = rest - sum(n * classes[i].lot for n, i in zip(counts, tried, strict=True))
        pair = least_of_two(classes[one], classes[other], left) if left >= 0 else None
        if pair is not None:
            found = base + pair + sum(classes[i].value(n) for n, i in zip(counts, tried, strict=True))
            best = found if best is None or found < best else best
    return None if best == ceiling else best


def simple_lots(curves: Sequence[Curve | Part]) -> bool:
    """Whether the decision claims to mix these lots: they divide each other, or are near each other."""
    return _chain(curves) or max(c.lot for c in curves) // gcd(*(c.lot for c in curves)) <= 64  # noqa: PLR2004


def _chain(curves: Sequence[Curve | Part]) -> bool:
    lots = sorted({c.lot for c in curves})
    return all(coarse % fine == 0 for fine, coarse in pairwise(lots))


def sets(
    curves: Sequence[Curve], room: int, worth: Callable[[Sequence[Curve], Sequence[Curve], int], bool]
) -> Iterator[list[Curve]]:
    """Every set of at most `room` curves, those passed over whose beginnings are not worth looking at."""

    def visit(on: list[Curve], free: Sequence[Curve]) -> Iterator[list[Curve]]:
        left = room - len(on)
        if not worth(on, free if left else (), left):
            return
        if not free or not left:
            yield on
            return
        yield from visit([*on, free[0]], free[1:])
        yield from visit(on, free[1:])

    yield from (found for found in visit([], list(curves)) if found)


def cheapest(
    curves: Sequence[Curve], total: int, legs: int, below: int | None = None, *, mixed: bool = True
) -> int | None:
    """The least cost of a total over at most so many curves, if below a ceiling; None if there is none.

    Without `mixed`, lots that are neither near nor divide each other are not used together.
    """
    usable = [c for c in curves if c.lo <= c.hi and c.lo <= total]
    best = below

    def worth(on: Sequence[Curve], free: Sequence[Curve], room: int) -> bool:
        tops = sorted((c.hi for c in free), reverse=True)[:room]
        if not sum(c.lo for c in on) <= total <= sum(c.hi for c in on) + sum(tops):
            return False
        return best is None or weak_duality(on, free, room, total)[0] < best

    for chosen in sets(usable, legs, worth):
        if mixed or simple_lots(chosen):
            found = least_using_all(chosen, total, best)
            best = best if found is None else found
    return None if best == below else best


@dataclass(frozen=True)
class Part:
    """What so many curves of one lot reach together: every multiple of it from lo to hi."""

    lot: int
    legs: int
    lo: int
    hi: int


def can_fill_more(curves: Sequence[Curve], total: int, target: int, legs: int) -> bool:
    """Whether some total above `total` and not above `target` can be reached."""
    usable = [c for c in curves if c.lo <= c.hi and c.lo <= target]
    unit = gcd(*(c.lot for c in usable)) if usable else 1
    if target // unit * unit <= total:
        return False
    lots = sorted({c.lot for c in usable})
    options = [(None, *parts([c for c in usable if c.lot == lot], target, legs)) for lot in lots]
    tried = prod(len(some) for some in options)
    must(tried <= MOST_COMBINATIONS, "too many combinations of lots to prove that no more can be filled")
    for choice in product(*options):
        chosen = [part for part in choice if part is not None]
        low, high = sum(p.lo for p in chosen), sum(p.hi for p in chosen)
        if low > target or high <= total or sum(p.legs for p in chosen) > legs:
            continue
        if simple_lots(chosen) and low + _reach(chosen, target - low) > total:
            return True
    return False


def parts(curves: Sequence[Curve], target: int, legs: int) -> list[Part]:
    """All that the sets of at most so many curves of one lot reach up to a target."""
    lot, found = curves[0].lot, {Part(curves[0].lot, 0, 0, 0)}
    for c in curves:
        grown = {Part(lot, p.legs + 1, p.lo + c.lo, p.hi + c.hi) for p in found if p.legs < legs}
        rows: dict[int, list[Part]] = {}
        for part in sorted(found | {p for p in grown if p.lo <= target}, key=lambda p: (p.legs, p.lo)):
            row = rows.setdefault(part.legs, [])
            if row and part.lo <= row[-1].hi + lot:
                row[-1] = replace(row[-1], hi=max(row[-1].hi, part.hi))
            else:
                row.append(part)
        found = {part for row in rows.values() for part in row}
        must(len(found) <= MOST_COMBINATIONS, "too many combinations of minimums to prove")
    return [part for part in found if part.legs]


def _reach(chosen: Sequence[Part], rest: int) -> int:
    """The largest sum of whole lots beyond each part's least that is not above a rest."""
    counts = sorted(((p.lot, (p.hi - p.lo) // p.lot) for p in chosen), reverse=True)
    if not _chain(chosen):
        return _reach_any(counts, rest)
    total = 0  # a coarse lot that fits can always replace finer ones of the same or a smaller sum
    for lot, most in counts:
        total += min(most, (rest - total) // lot) * lot
    return total


def _reach_any(counts: Sequence[tuple[int, int]], rest: int) -> int:
    """As `_reach`, for any lots: l lots of m can be exchanged for m lots of l while there is room.

    So of the first lot nearly all are used, or of each other lot fewer than the first's size.
    """
    if not counts:
        return 0
    unit = gcd(*(lot for lot, _ in counts))
    (first, most), others = counts[0], counts[1:]
    best = 0
    for tried in product(*(range(min(n, first // unit - 1) + 1) for _, n in others)):
        used = sum(k * lot for k, (lot, _) in zip(tried, others, strict=True))
        if used <= rest:
            best = max(best, used + min(most, (rest - used) // first) * first)
    for k in range(max(0, most - max((lot // unit for lot, _ in others), default=0)), most + 1):
        if k * first <= rest:
            best = max(best, k * first + _reach_any(others, rest - k * first))
    return best


# What the decision must say ------------------------------------------------------------------------


def plain(value: Decimal) -> str:
    """A decimal without exponent and trailing zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def rounded(value: Decimal) -> str:
    """To 15 significant digits."""
    return plain(Context(prec=15).plus(value))


@dataclass(frozen=True)
class Costs:
    """What sizes come to."""

    amount: Decimal
    notional: Decimal
    fee: Decimal
    slippage_bps: Decimal
    fee_bps: Decimal
    shown: dict[str, str]

    @property
    def total_bps(self) -> Decimal:
        """Slippage and fees."""
        return self.slippage_bps + self.fee_bps


class Claim:
    """The split that the receipt claims, and all that follows from it."""

    def __init__(self, market: Market, legs: Sequence[dict[str, Any]]) -> None:
        self.market = market
        self.sizes = sizes_of(market, legs)
        self.total = sum(self.sizes)
        self.curves = market.curves()
        self.legs = market.order["max_legs"] or len(self.curves)
        self.objective = sum(c.value(x) for c, x in zip(self.curves, self.sizes, strict=True))
        chosen = [(o, x) for o, x in zip(market.offers, self.sizes, strict=True) if x]
        self.chosen = sorted(chosen, key=lambda pair: -pair[1])
        must(len(chosen) <= self.legs, "result.legs: more than max_legs")

    def taken(self, offer: Offer, size: int) -> tuple[Decimal, Decimal, Decimal]:
        """(amount, notional, fee) of a size."""
        market = self.market
        notional = Decimal(offer.worth(size)).scaleb(-market.price_places - market.size_places)
        return Decimal(size).scaleb(-market.size_places), notional, notional * offer.venue.fee

    def costs(self, parts: Sequence[tuple[Offer, int]]) -> Costs:
        """Sums and ratios of parts."""
        sums = [sum(column, Decimal(0)) for column in zip(*(self.taken(*p) for p in parts), strict=True)]
        amount, notional, fee = sums
        reference = self.market.mid * amount
        slippage = rounded((notional - reference) / reference * 10_000 * self.market.sign)
        fee_bps = rounded(fee / reference * 10_000)
        shown = {"amount": plain(amount), "notional": plain(notional), "fee": plain(fee)}
        shown |= {"expected_price": rounded(notional / amount), "slippage_bps": slippage, "fee_bps": fee_bps}
        return Costs(amount, notional, fee, Decimal(slippage), Decimal(fee_bps), shown)

    def result(self, lower_bound: Decimal) -> dict[str, Any]:
        """The result that these sizes and this bound must have."""
        market, costs = self.market, self.costs(self.chosen)
        alone = {o.venue.name: self._alone(o) for o in market.offers}
        lots = {o.venue.name: o.venue.lot for o in market.offers}
        whole = {v: c for v, c in alone.items() if c is not None and costs.amount - c.amount < lots[v]}
        single = min(whole, key=lambda v: (whole[v].total_bps, v), default=None)
        selected = self.chosen[0][0].venue.name
        gap = (self.money(self.objective) - lower_bound) / (market.mid * costs.amount) * 10_000
        return {
            "selected": selected,
            "reason": self._reason(whole),
            "legs": [self._leg(o, size) for o, size in self.chosen],
            "costs": costs.shown,
            "arrival_mid": plain(market.mid),
            "price_cap": plain(market.cap),
            "remaining": plain(Decimal(0) if market.amount is None else market.amount - costs.amount),
            "remaining_quote": None
            if market.budget is None
            else plain(market.budget - costs.notional - costs.fee * market.sign),
            "confidence": f"{self._confidence():.6f}",
            "best_single_venue": single,
            "savings_bps": None if single is None else plain(whole[single].total_bps - costs.total_bps),
            "optimality_gap_bps": rounded(gap),
            "alternatives": [
                {"venue": o.venue.name, "costs": c.shown, "liquidity_score": f"{o.score:.6f}"}
                for o in market.offers
                if o.venue.name != selected and (c := alone[o.venue.name]) is not None
            ],
            "ranking": [o.venue.name for o in market.offers],
            "excluded": [{"venue": v, "why": why} for v, why in market.excluded],
            "oldest_book_at_ms": min(o.venue.book["received_at_ms"] for o in market.offers),
        }

    def money(self, value: int) -> Decimal:
        """A cost in quote."""
        return Decimal(value).scaleb(
            -self.market.price_places - self.market.size_places - self.market.fee_places
        )

    def _alone(self, offer: Offer) -> Costs | None:
        size = min(offer.hi, self.total // offer.lot * offer.lot)
        return self.costs([(offer, size)]) if size >= offer.lo else None

    def _leg(self, offer: Offer, size: int) -> dict[str, str]:
        amount, notional, fee = self.taken(offer, size)
        worst = Decimal(offer.prices[offer.last(size)]).scaleb(-self.market.price_places)
        return {
            "venue": offer.venue.name,
            "amount": plain(amount),
            "limit_price": plain(self.market.limit_price(offer.venue)),
            "worst_price": plain(worst),
            "notional": plain(notional),
            "fee": plain(fee),
            "liquidity_score": f"{offer.score:.6f}",
        }

    def _reason(self, whole: dict[str, Costs]) -> str:
        if len(self.market.offers) == 1:
            return "only_venue"
        if len(self.chosen) > 1:
            return "split_across_venues"
        fixed = {"cost_optimization": "lowest_total_cost"}
        if self.market.strategy != "best_execution":
            return fixed.get(self.market.strategy, self.market.strategy)
        mine = whole[self.chosen[0][0].venue.name]
        if all(mine.slippage_bps <= other.slippage_bps for other in whole.values()):
            return "best_price"
        cheapest_too = all(mine.total_bps <= other.total_bps for other in whole.values())
        return "lowest_total_cost" if cheapest_too else "best_score"

    def _confidence(self) -> float:
        result = 1.0
        for offer, size in self.chosen:
            venue = offer.venue
            depth = venue.depth["within_cap"] or 0.0
            amount = float(Decimal(size).scaleb(-self.market.size_places))
            share = min(1.0, amount / depth) if depth > 0 else 1.0
            age_ms = max(0, self.market.now_ms - venue.book["received_at_ms"])
            fresh = math.exp(-(age_ms + venue.latency_ms) / 20_000.0)
            result *= venue.reliability * (1.0 - share / 2.0) * fresh
        return result

    # The certificate

    def certificate(self, lower_bound: Decimal) -> dict[str, Any]:
        """The certificate that these sizes and this bound must have."""
        market = self.market
        scale = -market.price_places - market.fee_places
        return {
            "marginal_price": plain(Decimal(self._marginal() * market.sign).scaleb(scale)),
            "objective": plain(self.money(self.objective)),
            "lower_bound": plain(lower_bound),
            "venues": [self._margin(o, x) for o, x in zip(market.offers, self.sizes, strict=True)],
        }

    def _marginal(self) -> int:
        used = [
            (c, o.last(x)) for c, o, x in zip(self.curves, self.market.offers, self.sizes, strict=True) if x
        ]
        lasts = [c.units[i] for c, i in used]
        prices = sorted({u for c, _ in used for u in c.units if min(lasts) <= u <= max(lasts)})
        return next(
            (price for price in prices if sum(c.gain(price)[1] for c, _ in used) >= self.total), prices[-1]
        )

    def _margin(self, offer: Offer, size: int) -> dict[str, Any]:
        last = offer.last(size)
        levels = [x for x in offer.venue.taken["prefix"] if not is_level(x) or Decimal(x[1])]
        used, beyond = (levels[i] if 0 <= i < len(levels) else None for i in (last, last + 1))
        must(beyond is not None or self._all_shown(offer), f"{offer.venue.name}: the prefix is too short")
        return {
            "venue": offer.venue.name,
            "last_used": None if used is None else self._level(offer, used),
            "first_unused": None if beyond is None else self._level(offer, beyond),
        }

    def _all_shown(self, offer: Offer) -> bool:
        side = offer.venue.taken
        return bool(side["levels"] == len(side["prefix"]))

    def _level(self, offer: Offer, texts: Sequence[str]) -> dict[str, str] | None:
        market = self.market
        if not is_level(texts):
            return None
        price, size = Decimal(texts[0]), Decimal(texts[1])
        factor, addend, _ = market.terms(offer)
        seen = price * factor / 10**market.fee_places
        seen += Decimal(addend).scaleb(-market.price_places - market.fee_places)
        return {
            "price": plain(price),
            "size": plain(size),
            "all_in_price": plain(price * (1 + offer.venue.fee * market.sign)),
            "strategy_price": plain(seen * market.sign),
        }


def sizes_of(market: Market, legs: Sequence[dict[str, Any]]) -> list[int]:
    """Sizes of stated legs, one for each offer; refused where a venue does not take that size."""
    stated = {leg["venue"]: Decimal(leg["amount"]) for leg in legs}
    must(stated and len(stated) == len(legs), "legs: one for each venue used")
    sizes = []
    for offer in market.offers:
        amount = stated.pop(offer.venue.name, Decimal(0))
        size = integer(amount, market.size_places)
        name = offer.venue.name
        must(Decimal(size).scaleb(-market.size_places) == amount, f"{name}: the leg is off its lot")
        must(size % offer.lot == 0, f"{name}: the leg is off its lot")
        must(size == 0 or offer.lo <= size <= offer.hi, f"{name}: the leg is not within the venue's bounds")
        sizes.append(size)
    must(not stated, f"legs: {', '.join(stated)} cannot take part")
    return sizes


# The proof -----------------------------------------------------------------------------------------


def prove(claim: Claim, budget: dict[str, Any] | None, lower_bound: Decimal) -> None:
    """Refuse a split that is not the largest and, at its size, the best (or as near as it claims)."""
    market = claim.market
    must((budget is None) == (market.budget is None), "budget: for orders by quote amount, and only those")
    if budget is None:
        target = market.target
        short = target - claim.total >= min(o.lot for o in market.offers)
        must(market.order["type"] == "limit" or not short, "a market order is filled whole or refused")
    else:
        target = _check_budget(claim, budget)
    must(claim.total <= target, "result.legs: more than the order")
    more = can_fill_more(claim.curves, claim.total, target, claim.legs)
    must(not more, "result.legs: more of the order could be filled")
    _prove_least(claim, target, lower_bound)


def _check_budget(claim: Claim, budget: dict[str, Any]) -> int:
    """Refuse a budget overspent, or one that would buy a step more; return the size asked for."""
    market = claim.market
    whole = market.price_places + market.size_places
    affordable = integer(market.budget or Decimal(0), whole) // max(o.prices[-1] for o in market.offers)
    most = sum(o.hi for o in market.offers)
    step = market.step(min(most, affordable))
    asked = integer(Decimal(budget["asked"]), market.size_places)
    on_grid = asked % step == 0 and Decimal(asked).scaleb(-market.size_places) == Decimal(budget["asked"])
    must(on_grid and claim.total <= asked <= most, "budget.asked: not a size that is tried")
    spent = claim.costs(claim.chosen)
    # In the integers of a cost, as the decision counts: a budget may have more digits.
    finest = whole + market.fee_places
    most_money = integer(market.budget or Decimal(0), finest)
    left = most_money - integer(spent.notional + spent.fee * market.sign, finest)
    must(left >= 0, "result: the money passes the budget")
    if asked == most // step * step:
        must(budget["next"] is None, "budget.next: there is no more to be had")
        must(market.order["type"] == "limit" or left == 0, "a market order uses its budget or is refused")
        return asked
    must(budget["next"] is not None, "budget.next: the next size is not shown to be too dear")
    after = Claim(market, budget["next"]["legs"])
    costs = after.costs(after.chosen)
    money = costs.notional + costs.fee * market.sign
    must(budget["next"]["money"] == plain(money), "budget.next.money: not what its legs come to")
    must(integer(money, finest) > most_money, "budget: more could be had for it")
    must(claim.total < after.total <= asked + step, "budget.next: not the next size")
    more = can_fill_more(after.curves, after.total, asked + step, after.legs)
    must(not more, "budget.next: more could be filled")
    # Best of the sets of venues that the decision tries; it claims no more of a size it did not take.
    _prove_least(after, asked + step, after.money(after.objective), mixed=False)
    return asked


def _prove_least(claim: Claim, target: int, lower_bound: Decimal, *, mixed: bool = True) -> None:
    """Refuse sizes for whose total the strategy has a better split, or one below the stated bound."""
    market, sizes, legs = claim.market, claim.sizes, claim.legs
    group = _group(market, sizes, legs)
    curves = [c if i in group else replace(c, hi=0) for i, c in enumerate(market.curves())]
    total = sum(sizes)
    objective = sum(c.value(x) for c, x in zip(curves, sizes, strict=True))
    whole = market.price_places + market.size_places + market.fee_places
    bound = integer(lower_bound, whole)
    must(Decimal(bound).scaleb(-whole) == lower_bound and bound <= objective, "certificate.lower_bound")
    usable = [i for i, c in enumerate(curves) if c.lo <= c.hi and c.lo <= target]
    if bound < objective:
        provable = simple_lots([curves[i] for i in usable]) and len(usable) <= SURELY_PROVEN
        must(not provable, "optimality_gap_bps: a gap where there need be none")
        must(cheapest(curves, total, legs, bound) is None, "certificate.lower_bound: there is a better split")
        return
    if mixed:
        must(cheapest(curves, total, legs, objective) is None, "result.legs: there is a better split")
    # Ties are broken by fewest legs, then by the better venues: smaller digits of the same number.
    # The decision claims no more of them than of the sets of venues that it tries.
    leg = len(usable) * total + 1
    base = (len(usable) + 1) * leg
    tagged = [curves[i].tagged(base, rank, leg) for rank, i in enumerate(usable)]
    mine = sum(c.value(sizes[i]) for c, i in zip(tagged, usable, strict=True))
    better = cheapest(tagged, total, legs, mine, mixed=False)
    must(better is None, "result.legs: there is a better split")


def _group(market: Market, sizes: Sequence[int], legs: int) -> set[int]:
    """The offers that the strategy may use: all; for lowest_latency the fastest that are cheap enough."""
    everyone = set(range(len(sizes)))
    if market.strategy != "lowest_latency":
        return everyone
    curves, total = market.curves(), sum(sizes)
    mine = sum(c.value(x) for c, x in zip(curves, sizes, strict=True))
    least = cheapest(curves, total, legs, mine, mixed=False)
    allowance = market.bps(Decimal(market.policy["lowest_latency_tolerance_bps"]))
    limit = (mine if least is None else least) + allowance * total
    fastest = sorted(everyone, key=lambda i: (market.offers[i].venue.latency_ms, i))
    for group in [{i} for i in fastest] + [set(fastest[:n]) for n in range(2, len(fastest))]:
        if cheapest([curves[i] for i in sorted(group)], total, legs, limit + 1, mixed=False) is not None:
            used = {i for i, size in enumerate(sizes) if size}
            must(used <= group, "result.legs: faster venues are cheap enough")
            return group
    return everyone


# The whole -----------------------------------------------------------------------------------------


def compare(stated: Any, found: Any, at: str) -> None:
    """Refuse the first value that is not what it must be."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for name in found:
            compare(stated[name], found[name], f"{at}.{name}")
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for at_, (a, b) in enumerate(zip(stated, found, strict=True)):
            compare(a, b, f"{at}[{at_}]")
    else:
        must(stated == found, f"{at}: stated {stated!r}, must be {found!r}")


def verify(receipt: Any, digest: str | None = None) -> Claim:
    """Check a decoded receipt; raises `RefusedError` with the first thing that does not hold."""
    check_form(receipt, _RECEIPT, "receipt")
    must(receipt["format"] == FORMAT, f"format: this is for {FORMAT}")
    must(digest is None or receipt["digest"] == digest.lower(), "digest: it is another receipt's")
    body = {name: value for name, value in receipt.items() if name != "digest"}
    must(digest_of(body) == receipt["digest"], "digest: something was changed")
    must(digest_of(receipt["inputs"]) == receipt["inputs_sha256"], "inputs_sha256: an input was changed")
    for venue in receipt["inputs"]["venues"]:
        check_book(venue["book"], venue["venue"])
    try:
        with localcontext(Context(prec=200)):
            return _decided(receipt)
    except (ArithmeticError, ValueError, LookupError, TypeError) as error:
        raise RefusedError(f"inputs: no decision can be made of them ({error!r})") from error


def _decided(receipt: dict[str, Any]) -> Claim:
    claim = Claim(Market(receipt["inputs"]), receipt["result"]["legs"])
    lower_bound = Decimal(receipt["certificate"]["lower_bound"])
    compare(receipt["result"], claim.result(lower_bound), "result")
    compare(receipt["certificate"], claim.certificate(lower_bound), "certificate")
    prove(claim, receipt["budget"], lower_bound)
    return claim


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise UnreadableError("a field stands twice in one object")
    return document


def read(path: str) -> Any:
    """The receipt in a file: alone, or as ``receipt`` in an answer. Raises `UnreadableError`."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        document = json.loads(text, object_pairs_hook=_no_repeats)
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(str(error)) from error
    if isinstance(document, dict) and "format" not in document:
        document = document.get("receipt")
    if not isinstance(document, dict) or "format" not in document:
        raise UnreadableError("no receipt in it")
    return document


def printable(text: str) -> str:
    """On one line, in ASCII, without what moves a terminal's cursor: a receipt may hold any text."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def main(argv: Sequence[str] | None = None) -> int:
    """Verify the file named on the command line; 0 verified, 1 refused, 2 unreadable."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Verify a receipt of SOR.")
    parser.add_argument("file", help="the receipt, or an answer with a receipt; - is standard input")
    parser.add_argument("--digest", help="the digest that the receipt must have, as the ledger has it")
    given = parser.parse_args(argv)
    try:
        receipt = read(given.file)
        verify(receipt, given.digest)
    except UnreadableError as error:
        print(f"UNREADABLE {printable(str(error))}", file=sys.stderr)  # noqa: T201 - a command line tool prints
        return 2
    except RefusedError as error:
        print(f"NOT VERIFIED {printable(str(error))}")  # noqa: T201
        return 1
    gap = receipt["result"]["optimality_gap_bps"]
    legs = ", ".join(f"{leg['venue']} {leg['amount']}" for leg in receipt["result"]["legs"])
    order = receipt["inputs"]["order"]
    print(f"VERIFIED {order['strategy']}: {order['side']} {order['symbol']}: {legs}; gap {gap} bps")  # noqa: T201
    print(f"digest {receipt['digest']}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
