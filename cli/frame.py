"""What `sor watch` shows of a look: tables for people, or an object for programs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.consolidated import BookSide, Rung, ladder
from cli.poll import BOOKS, Asked, Frame, Part
from cli.show import clean, moment, new_table, number
from sor_core.domain.money import BPS, plain, round_significant
from sor_core.domain.order import Side

_DIGITS, _PRICE_DIGITS = 6, 9
"""Significant digits of sizes and prices, for the eye; programs get all."""
_STATES = {"open": "bold red", "half_open": "yellow", "closed": ""}


def render(
    asked: Asked, frame: Frame, known: Mapping[str, Part], *, rows: int, step: Decimal | None
) -> list[RenderableType]:
    """The frame as tables; `known` holds the newest answer of every part."""
    shown: list[RenderableType] = [_headline(asked, frame, known)]
    if "status" in known:
        shown.append(_venues(known["status"], _since(frame, known["status"])))
    asks, bids = (known[name].book if name in known else None for name in BOOKS.values())
    if asks is not None and bids is not None:
        at = min((known[name] for name in BOOKS.values()), key=lambda part: part.at_ms)
        shown.append(_touches(f"{asked.symbol}{_since(frame, at)}", asks, bids, at))
        shown.append(_ladder(asked, asks, bids, rows, step))
        shown.append(_depth(asked, asks, bids))
    shown += [_quote(asked, side, known[side].document) for side in Side if side in known]
    shown += [Text(f"{name}: {clean(line)}", style="bold red") for name, line in frame.problems.items()]
    return shown


def as_document(asked: Asked, frame: Frame) -> dict[str, Any]:
    """The frame for programs: only what this look brought; the API's documents as they came."""

    def document(name: str) -> Any:
        return frame.parts[name].document if name in frame.parts else None

    made: dict[str, Any] = {
        "at_ms": frame.at_ms,
        "status": document("status"),
        "trading": document("trading"),
        "problems": dict(frame.problems),
    }
    if asked.symbol is not None:
        made |= {"symbol": str(asked.symbol), "within_bps": asked.within_bps}
        made |= {name: _side(frame.parts.get(name)) for name in BOOKS.values()}
    if asked.amount is not None:
        made |= {str(side): document(side) for side in Side}
    return made


def _side(part: Part | None) -> dict[str, Any] | None:
    side = None if part is None else part.book
    if side is None:
        return None
    return {
        "arrival_mid": side.arrival_mid,
        "complete_to": side.complete_to,
        "levels": [
            {"all_in_price": x.all_in_price, "price": x.price, "size": x.size, "venue": x.venue}
            for x in side.levels
        ],
        "venues": [
            {
                "venue": book.venue,
                "fee_bps": book.fee_bps,
                "age_ms": book.age_ms,
                "best_bid": book.best_bid,
                "best_ask": book.best_ask,
                "levels_shown": book.shown,
                "levels_known": book.of,
            }
            for book in side.venues
        ],
    }


def _headline(asked: Asked, frame: Frame, known: Mapping[str, Part]) -> Text:
    line = Text(moment(frame.at_ms), style="bold")
    if asked.symbol is not None:
        line.append(f"  {asked.symbol}")
    if "trading" in known:
        mode = str(known["trading"].document.get("mode"))
        reason = known["trading"].document.get("reason")
        line.append(f"  trading {clean(mode)}", style="green" if mode == "running" else "bold red")
        line.append(f" ({clean(str(reason))})" if reason and mode != "running" else "")
    return line


def _since(frame: Frame, part: Part) -> str:
    """A remark on what this look did not bring."""
    return "" if part.at_ms >= frame.at_ms or not frame.problems else f", {_seconds(frame, part)} s ago"


def _seconds(frame: Frame, part: Part) -> int:
    return max(0, frame.at_ms - part.at_ms) // 1000


def _venues(part: Part, since: str) -> Table:
    headings = (
        "venue",
        "health",
        "score",
        "ms",
        "success",
        "up %",
        "data",
        "trading",
        "age s",
        "failure",
    )
    numbers = {"score", "ms", "success", "up %", "age s"}
    table = new_table(f"venues{since}", [(heading, heading in numbers) for heading in headings])
    exchanges: Any = part.document.get("exchanges")
    for name, venue in (exchanges if isinstance(exchanges, Mapping) else {}).items():
        healthy, stale = venue.get("is_healthy"), venue.get("stale")
        health = {True: Text("healthy", style="green"), False: Text("out", style="bold red")}.get(
            healthy, Text("-")
        )
        breakers = venue.get("breakers") or {}
        table.add_row(
            Text(clean(str(name))),
            health,
            *(_number(venue.get(n)) for n in ("health_score", "latency_ms", "success_rate", "uptime_pct")),
            *(_breaker(breakers.get(n)) for n in ("market_data", "trading")),
            Text(_number(venue.get("age_s")), style="yellow" if stale else ""),
            Text(clean(str(venue.get("failure") or "-"))),
        )
    return table


def _breaker(breaker: Any) -> Text:
    state = str(breaker.get("state")) if isinstance(breaker, Mapping) else "-"
    return Text(clean(state), style=_STATES.get(state, ""))


def _number(value: Any) -> str:
    return "-" if value is None else clean(str(value))


def _touches(title: str, asks: BookSide, bids: BookSide, part: Part) -> Table:
    """Every venue's best bid and ask, alone and with its fee, or why it is left out."""
    headings = ("venue", "fee bps", "bid", "ask", "bid all-in", "ask all-in", "age ms", "left out")
    table = new_table(title, [(h, h not in {"venue", "left out"}) for h in headings])
    books = {book.venue: book for side in (bids, asks) for book in side.venues}
    excluded = {e["venue"]: e["why"] for e in part.document.get("excluded") or ()}
    for venue in sorted(books.keys() | excluded.keys()):
        why, book = Text(clean(excluded.get(venue, "-")), style="yellow"), books.get(venue)
        if book is None:
            table.add_row(Text(clean(venue)), *["-"] * 6, why)
            continue
        fee = book.fee_bps / BPS
        all_in = (_with_fee(book.best_bid, 1 - fee), _with_fee(book.best_ask, 1 + fee))
        prices = ["-" if p is None else _price(p) for p in (book.best_bid, book.best_ask, *all_in)]
        table.add_row(Text(clean(venue)), plain(book.fee_bps), *prices, str(book.age_ms), why)
    return table


def _with_fee(price: Decimal | None, factor: Decimal) -> Decimal | None:
    return None if price is None else price * factor


def _ladder(asked: Asked, asks: BookSide, bids: BookSide, rows: int, step: Decimal | None) -> Table:
    """Both sides by steps of the all-in price, asks above bids, the best of each in the middle."""
    base = asked.symbol.base if asked.symbol is not None else ""
    venues = sorted({book.venue for side in (asks, bids) for book in side.venues})
    columns = ["", "all-in price", *venues, f"sum {base}", "cost bps"]
    table = new_table("consolidated, with taker fees", [(c, c != "") for c in columns])

    def add(name: str, rung: Rung, style: str) -> None:
        sizes = [_size(rung.sizes[v]) if v in rung.sizes else "-" for v in venues]
        cells = (name, _price(rung.price), *sizes, _size(rung.cumulative), f"{rung.cost_bps:.2f}")
        table.add_row(*cells, style=style)

    for rung in reversed(ladder(asks, rows, step)):
        add("ask", rung, "red")
    table.add_row("mid", _price(_mid(asks, bids)), *[""] * (len(venues) + 2), style="bold")
    for rung in ladder(bids, rows, step):
        add("bid", rung, "green")
    return table


def _mid(asks: BookSide, bids: BookSide) -> Decimal:
    """Of the newer of both: they are asked for one after the other."""
    return (bids if bids.arrival_mid != asks.arrival_mid else asks).arrival_mid


def _depth(asked: Asked, asks: BookSide, bids: BookSide) -> Text:
    """How deep the books were seen, and so how far the ladder tells all."""
    reach = (f"{_off(side, side.complete_to):.1f} bps ({_price(side.complete_to)})" for side in (asks, bids))
    shown = ", ".join(
        f"{ask.venue} {ask.shown}/{bid.shown}"
        for ask in asks.venues
        for bid in bids.venues
        if bid.venue == ask.venue
    )
    return Text(
        f"books within {plain(asked.within_bps)} bps of the mid; nothing is missing up to all-in"
        f" {' and '.join(reach)} from it; levels seen, asks/bids: {shown}",
        style="dim",
    )


def _off(side: BookSide, price: Decimal) -> Decimal:
    return (price - side.arrival_mid) / side.arrival_mid * BPS * side.side.sign


def _quote(asked: Asked, side: Side, answer: Mapping[str, Any]) -> Text:
    legs = ", ".join(f"{leg['venue']} {number(Decimal(leg['amount']))}" for leg in answer["allocations"])
    amount = number(Decimal(answer["amount"]))
    line = f"{side} {plain(asked.amount or Decimal(0))}: {legs}; at {answer['expected_price']}"
    line += f", {answer['total_cost_bps']} bps with fees"
    short = Decimal(answer["remaining_amount"])
    return Text(clean(line + (f"; only {amount} within the limit" if short else "")), style="bold")


def _price(price: Decimal) -> str:
    return plain(round_significant(price, _PRICE_DIGITS))


def _size(size: Decimal) -> str:
    places = max(0, _DIGITS - 1 - max(0, size.adjusted()))
    return plain(round(size, places)) if places else f"{size:.0f}"
