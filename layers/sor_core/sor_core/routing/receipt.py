"""The receipt of a decision: all that is needed to make it again, in one small canonical document.

Format, meaning and limits stand in docs/receipt.md; `routing.verify` checks a receipt with the standard
library alone and shares no code with this module or with the allocation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import ROUND_FLOOR, Decimal
from hashlib import sha256
from typing import Any

from sor_core.domain.book import RawLevel
from sor_core.domain.decision import Alternative, BookLevel, Certificate, Costs, Decision
from sor_core.domain.instrument import Instrument
from sor_core.domain.market import Exclusion, Policy, VenueMarket
from sor_core.domain.money import BPS, exact, plain
from sor_core.domain.order import Order, Side
from sor_core.routing.allocate import Split
from sor_core.routing.candidates import Field, Reach, build_field, look, size_step
from sor_core.routing.ladder import FinerThanScaleError, MalformedBookError, plain_level, touch
from sor_core.routing.score import BLOCK as SHOWN_TOGETHER
from sor_core.routing.score import held_in_band, notional_of
from sor_core.routing.screen import admits, screen
from sor_core.routing.strategies import Candidate, Pricing, rank, solve

FORMAT = "sor-receipt/1"
BLOCK = SHOWN_TOGETHER
"""Levels hashed together; a prefix is a whole number of blocks, or all of the book."""
_LONGEST = 200

Json = dict[str, Any]


def make_receipt(
    order: Order,
    markets: Sequence[VenueMarket],
    failures: Sequence[Exclusion],
    policy: Policy,
    decision: Decision,
    decision_id: str,
    code_version: str,
) -> Json:
    """Make the receipt of a decision from what `decide` was given for it.

    Parameters
    ----------
    order, markets, failures, policy
        Exactly what `routing.decide.decide` was given; its ``now_ms`` is `decision.decided_at_ms`.
    decision
        What it answered.
    decision_id, code_version
        Names that the receipt carries.

    Returns
    -------
    dict
        Strings, integers, booleans, None, lists and dictionaries only: `canonical` makes bytes of it.
        Its ``digest`` is what pins it.
    """
    with exact():
        venues = sorted(markets, key=lambda m: m.venue)
        now_ms = decision.decided_at_ms
        eligible = [m for m in venues if admits(order, m.venue) and not screen(m, order.side, policy, now_ms)]
        field = build_field(order, eligible, decision.arrival_mid, decision.price_cap, policy)
        inputs: Json = {
            "decision_id": decision_id,
            "code_version": code_version,
            "decided_at_ms": decision.decided_at_ms,
            "order": _order(order),
            "policy": _policy(policy),
            "failures": [{"venue": f.venue, "why": str(f.why)} for f in failures],
            "venues": [_venue(order, m, policy, decision, field if m in eligible else None) for m in venues],
        }
        receipt: Json = {
            "format": FORMAT,
            "inputs": inputs,
            "inputs_sha256": digest_of(inputs),
            "result": _result(decision),
            "certificate": _certificate(decision.certificate),
            "budget": None if order.quote_amount is None else _budget(order, field, decision),
        }
    return {**receipt, "digest": digest_of(receipt)}


def canonical(document: object) -> bytes:
    """UTF-8, keys sorted, no white space, no escapes but JSON's own: the bytes that are hashed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def digest_of(document: object) -> str:
    """SHA-256 of a document's canonical bytes, in hex."""
    return sha256(canonical(document)).hexdigest()


def chain(levels: Sequence[Sequence[str]], rest: str = "") -> str:
    """The hash of a side's levels: SHA-256 of each block with the hash of all that comes after it.

    `rest` is the hash of what follows `levels`, which are then a whole number of blocks.
    """
    for start in reversed(range(0, len(levels), BLOCK)):
        rest = digest_of([levels[start : start + BLOCK], rest])
    return rest


def book_digest(asks: Sequence[RawLevel], bids: Sequence[RawLevel]) -> str:
    """The hash of a whole book as received: what a receipt's ``book.sha256`` can be held against."""
    sides = {"asks": [_texts(level) for level in asks], "bids": [_texts(level) for level in bids]}
    return digest_of({name: [len(levels), chain(levels)] for name, levels in sides.items()})


# What was decided from -------------------------------------------------------------------------


def _text(value: Decimal | float | None) -> str | None:
    """Decimals plain, floats with all their digits."""
    if value is None:
        return None
    return plain(value) if isinstance(value, Decimal) else repr(float(value))


def _texts_of(source: object, *names: str) -> Json:
    return {name: _text(getattr(source, name)) for name in names}


def _names(venues: Iterable[str] | None) -> list[str] | None:
    return None if venues is None else sorted(venues)


def _order(order: Order) -> Json:
    return {
        "symbol": str(order.symbol),
        "side": str(order.side),
        "type": str(order.type),
        "strategy": str(order.strategy),
        **_texts_of(order, "amount", "quote_amount", "price", "max_slippage_bps"),
        "allowed_venues": _names(order.allowed_venues),
        "denied_venues": _names(order.denied_venues),
        "max_legs": order.max_legs,
    }


def _policy(policy: Policy) -> Json:
    return {
        "max_latency_ms": _text(policy.max_latency_ms),
        "min_liquidity_score": _text(policy.min_liquidity_score),
        "max_book_age_ms": policy.max_book_age_ms,
        "weights": _texts_of(policy.weights, "price", "liquidity", "latency", "reliability"),
        "best_execution_tolerance_bps": _text(policy.best_execution_tolerance_bps),
        "lowest_latency_tolerance_bps": _text(policy.lowest_latency_tolerance_bps),
        "full_liquidity_notionals": {k: _text(v) for k, v in policy.full_liquidity_notionals.items()},
        "leg_fixed_cost": _text(policy.leg_fixed_cost),
    }


def _venue(
    order: Order, market: VenueMarket, policy: Policy, decision: Decision, field: Field | None
) -> Json:
    """What was seen of a venue; `field` is None where the screen left it out."""
    metrics, fees, book = market.metrics, market.fees, market.book
    return {
        "venue": market.venue,
        "instrument": _instrument(market.instrument),
        "fees": {
            **_texts_of(fees, "taker_fee_bps", "maker_fee_bps"),
            "source": fees.source,
        },
        "funds": _text(market.funds),
        "metrics": None
        if metrics is None
        else {
            **_texts_of(metrics, "latency_ms", "success_rate", "liquidity_score", "uptime_pct"),
            "consecutive_failures": metrics.consecutive_failures,
            "is_healthy": metrics.is_healthy,
        },
        "book": {
            "received_at_ms": book.received_at_ms,
            "source_time_ms": book.source_time_ms,
            "sequence": book.sequence,
            "latency_ms": _text(book.latency_ms),
            "source": str(market.source),
            **_sides(order, market, decision.price_cap, takes_part=field is not None),
        },
        "depth": _depth(order, market, policy, decision, field),
    }


def _instrument(instrument: Instrument) -> Json:
    sizes = ("tick", "lot", "min_size", "max_size", "min_notional", "max_notional")
    names = {"venue_symbol": instrument.venue_symbol, "status": str(instrument.status)}
    return {**names, **_texts_of(instrument, *sizes)}


def _texts(level: object) -> list[str]:
    """Price and size as sent; what is no such pair becomes one text, which is no level either."""
    if isinstance(level, Sequence) and len(level) > 1 and isinstance(level[0], str):
        price, size = level[0], level[1]
        if isinstance(size, str):
            return [price, size]
    return [json.dumps(level, default=str)[:_LONGEST]]


def _sides(order: Order, market: VenueMarket, cap: Decimal, *, takes_part: bool) -> Json:
    book = market.book
    sides = {"asks": (Side.BUY, book.asks), "bids": (Side.SELL, book.bids)}
    document: Json = {}
    heads = {}
    for name, (taker, raw) in sides.items():
        levels = [_texts(level) for level in raw]
        needed = _reach(order, market, levels, cap) if takes_part and taker is order.side else 1
        needed = min(-(-needed // BLOCK) * BLOCK, len(levels))
        rest = chain(levels[needed:])
        document[name] = {"levels": len(levels), "prefix": levels[:needed], "rest_sha256": rest}
        heads[name] = [len(levels), chain(levels[:needed], rest)]
    return {**document, "sha256": digest_of(heads)}


def _reach(order: Order, market: VenueMarket, levels: Sequence[Sequence[str]], cap: Decimal) -> int:
    """How many levels show all that the decision read of the side: one past what could fill the order.

    At least one past the price cap, past the order's size, or up to the first that is no level.
    """
    sign, held, worth = order.side.sign, Decimal(0), Decimal(0)
    enough = Decimal("Infinity")
    if order.quote_amount is not None:
        spare = market.instrument.lot * max(cap, _touch(market.book.bids), _touch(market.book.asks))
        enough = order.quote_amount / (1 - market.fees.taker_fee_bps / BPS) + 2 * spare
    beyond = False
    for at, level in enumerate(levels):
        read = plain_level(level)
        if read is None:
            return at + 1
        price, size = read
        if size and (beyond or (price - cap) * sign > market.instrument.tick):
            return at + 1
        held += size
        worth += size * price
        beyond = worth >= enough or (order.amount is not None and held >= order.amount)
    return len(levels)


def _touch(levels: Sequence[RawLevel]) -> Decimal:
    try:
        return touch(levels) if levels else Decimal(0)
    except MalformedBookError:
        return Decimal(0)


def _depth(
    order: Order,
    market: VenueMarket,
    policy: Policy,
    decision: Decision,
    field: Field | None,
) -> Json:
    """The sums over a side that scores are made of; None where what was looked at is no level."""
    book, side = market.book, order.side
    levels = book.asks if side is Side.BUY else book.bids
    bid, ask = _touch(book.bids), _touch(book.asks)
    own = in_band = within = None
    if 0 < bid < ask:
        enough = notional_of(
            policy.min_liquidity_score,
            float(policy.full_liquidity_notional(market.instrument.symbol.quote)),
        )
        with suppress(MalformedBookError):
            own = held_in_band(levels, side, float(bid + ask) / 2, enough)
    if field is not None:
        scale = field.pricing.scale
        reach = Reach.of(order, decision.arrival_mid, decision.price_cap, scale)
        with suppress(MalformedBookError, FinerThanScaleError):
            depth = look(order, market, reach, scale).depth
            in_band, within = depth.notional_in_band, depth.size_within_cap
    return {"own_band": _text(own), "in_band": _text(in_band), "within_cap": _text(within)}


# What was decided ------------------------------------------------------------------------------


def _costs(costs: Costs) -> Json:
    return _texts_of(costs, "amount", "notional", "fee", "expected_price", "slippage_bps", "fee_bps")


def _result(decision: Decision) -> Json:
    return {
        "selected": decision.selected,
        "reason": str(decision.reason),
        "legs": [
            {
                "venue": leg.venue,
                **_texts_of(leg, "amount", "limit_price", "worst_price", "notional", "fee"),
                "liquidity_score": f"{leg.liquidity_score:.6f}",
            }
            for leg in decision.legs
        ],
        "costs": _costs(decision.costs),
        "arrival_mid": _text(decision.arrival_mid),
        "price_cap": _text(decision.price_cap),
        "remaining": _text(decision.remaining),
        "remaining_quote": _text(decision.remaining_quote),
        "confidence": f"{decision.confidence:.6f}",
        "best_single_venue": decision.best_single_venue,
        "savings_bps": _text(decision.savings_bps),
        "optimality_gap_bps": _text(decision.optimality_gap_bps),
        "alternatives": [_alternative(a) for a in decision.alternatives],
        "ranking": [b.venue for b in decision.books],
        "excluded": [{"venue": e.venue, "why": str(e.why)} for e in decision.excluded],
        "oldest_book_at_ms": decision.oldest_book_at_ms,
    }


def _alternative(alternative: Alternative) -> Json:
    return {
        "venue": alternative.venue,
        "costs": _costs(alternative.costs),
        "liquidity_score": f"{alternative.liquidity_score:.6f}",
    }


def _certificate(certificate: Certificate) -> Json:
    return {
        "marginal_price": _text(certificate.marginal_price),
        "objective": _text(certificate.objective),
        "lower_bound": _text(certificate.lower_bound),
        "venues": [
            {
                "venue": v.venue,
                "last_used": _level(v.last_used),
                "first_unused": _level(v.first_unused),
            }
            for v in certificate.venues
        ],
    }


def _level(level: BookLevel | None) -> Json | None:
    return None if level is None else _texts_of(level, "price", "size", "all_in_price", "strategy_price")


# Why a budget buys no more ---------------------------------------------------------------------


def _budget(order: Order, field: Field, decision: Decision) -> Json:
    """The largest size whose split is the decision's, and the split one step above, which is too dear."""
    pricing = field.pricing
    ranked = rank(field.candidates, pricing, field.target)
    total = pricing.scale.size(decision.costs.amount)
    top, step = _grid(order.quote_amount or Decimal(0), ranked, pricing)

    def split_at(size: int) -> Split:
        return solve(ranked, pricing, size, order.max_legs)

    if split_at(top).total == total:
        return {"asked": _text(pricing.scale.to_size(top)), "next": None}
    low, high = -(-total // step), top // step
    while high - low > 1:  # how much is filled never falls as more is asked for
        middle = (low + high) // 2
        low, high = (middle, high) if split_at(middle * step).total == total else (low, middle)
    return {
        "asked": _text(pricing.scale.to_size(low * step)),
        "next": _next(ranked, split_at(high * step), pricing),
    }


def _grid(budget: Decimal, ranked: Sequence[Candidate], pricing: Pricing) -> tuple[int, int]:
    """The sizes that `budget.largest_within_budget` tries: the multiples of a step up to a top."""
    places = pricing.scale.price_places + pricing.scale.size_places
    dearest = max(c.ladder.price(-1) for c in ranked)
    most = sum(c.hi for c in ranked)
    affordable = int(budget.scaleb(places).to_integral_value(ROUND_FLOOR)) // dearest
    step = size_step(ranked, min(most, affordable))
    return most // step * step, step


def _next(ranked: Sequence[Candidate], split: Split, pricing: Pricing) -> Mapping[str, Any]:
    taken = [(c, size) for c, size in zip(ranked, split.sizes, strict=True) if size]
    places = pricing.scale.price_places + pricing.scale.size_places + pricing.cost_places
    money = sum(c.money(size) for c, size in taken)
    return {
        "legs": [
            {"venue": c.market.venue, "amount": _text(pricing.scale.to_size(size))} for c, size in taken
        ],
        "money": _text(Decimal(money).scaleb(-places)),
    }
