"""The campaign's figures, as Markdown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from math import ceil

from local.chaos.campaign import Document, Placed
from local.chaos.checks import Books, differences, notional, overfill, quantity

COLUMNS = (
    *("Fault", "orders", "refused", "failovers", "answered", "refused by venue", "found late", "replayed"),
    *("proven never", "review", "median s", "p99 s", "over-fills", "ledger ≠ venues"),
)
_UNCLEAR = {"unknown", "refusal_unconfirmed", "not_seen"}


def how(order: Document) -> Counter[str]:
    """How each attempt of an order was resolved."""
    found: Counter[str] = Counter()
    for attempt in order["attempts"]:
        events = [event for event in order["history"] if event["attempt"] == attempt["number"]]
        met = {event["what"] for event in events}
        if attempt["state"] == "ended":
            other = len({event["epoch"] for event in events if event["what"] in {"intended", "ended"}}) > 1
            late = met & _UNCLEAR or other
            found["replayed" if "replay" in met else "found late" if late else "answered"] += 1
        elif attempt["state"] == "never":
            found["refused by venue" if "refused" in met else "proven never"] += 1
        else:
            found["unsettled"] += 1
    return found


def by_fault(placed: Sequence[Placed], first: Mapping[str, Document], books: Books) -> str:
    """One row a fault, of the orders that came in while it was set; `first` is before any review."""
    groups: dict[str, list[Placed]] = defaultdict(list)
    for each in placed:
        groups[each.episode.name].append(each)
    rows = [_row(name, groups[name], first, books) for name in sorted(groups)]
    rows.append(_row("**all**", placed, first, books))
    return table(COLUMNS, rows)


def _row(
    name: str, placed: Sequence[Placed], first: Mapping[str, Document], books: Books
) -> Sequence[object]:
    ids = sorted({order_id for each in placed for order_id in each.order_ids} & set(first))
    orders = [first[order_id] for order_id in ids]
    ways: Counter[str] = Counter()
    for order in orders:
        ways += how(order)
    seconds = sorted(
        float(order["ended_at"] - order["created_at"]) / 1000
        for order in orders
        if order["ended_at"] is not None and order["terms"]["time_in_force"] != "GTC"
    )
    settled = [
        books.orders[i] for i in ids if i in books.orders and books.orders[i]["status"] != "needs_review"
    ]
    return (
        *(name, len(placed), sum(not each.order_ids for each in placed)),
        sum(order["failover_used"] for order in orders),
        *(ways[way] for way in ("answered", "refused by venue", "found late", "replayed", "proven never")),
        sum(order["status"] == "needs_review" for order in orders),
        *(quantile(seconds, 0.5), quantile(seconds, 0.99)),
        sum(overfill(books, order) is not None for order in orders),
        sum(bool(differences(order, books.of(order))) for order in settled),
    )


def amounts(books: Books) -> str:
    """Fills against ordered, and the ledger against the venues, by symbol."""
    rows: list[Sequence[object]] = []
    symbols = sorted({order["symbol"] for order in books.orders.values()})
    for symbol in symbols:
        orders = [order for order in books.orders.values() if order["symbol"] == symbol]
        ordered = sum((o["filled_amount"] + o["remaining_amount"] for o in orders), Decimal(0))
        fills = [fill for order in orders for fill in books.of(order)]
        ledger = sum((order["filled_amount"] for order in orders), Decimal(0))
        money = sum((order["result"]["notional"] for order in orders), Decimal(0))
        rows.append((symbol, len(orders), ordered, ledger, quantity(fills), money, notional(fills)))
    names = (
        "Symbol",
        "orders",
        "ordered",
        "filled: ledger",
        "filled: venues",
        "paid: ledger",
        "paid: venues",
    )
    return table(names, rows)


def tally(counts: Mapping[str, int]) -> str:
    """Counts in one line, the largest first."""
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda each: -each[1])) or "none"


def quantile(values: Sequence[float], share: float) -> str:
    """A quantile of sorted values, by nearest rank."""
    return f"{values[max(0, ceil(share * len(values)) - 1)]:.1f}" if values else "-"


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
