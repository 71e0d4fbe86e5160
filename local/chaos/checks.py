"""What must hold once a campaign is over; every function gives its violations in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from local.chaos.campaign import Document, Placed
from sor_core.domain.money import exact

SETTLED = {"ended", "never"}
E18 = Decimal(10) ** 18
Balances = Mapping[str, Mapping[str, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Books:
    """Both sides' books at the end."""

    orders: Mapping[str, Document]
    """The ledger's orders, by id."""
    fills: Sequence[Mapping[str, Any]]
    """Every fill, as the venues know them."""
    before: Balances
    after: Balances
    counters: Mapping[tuple[str, str, str], int]

    def of(self, order: Document) -> list[Mapping[str, Any]]:
        """The venues' fills of an order."""
        ids = {attempt["client_order_id"] for attempt in order["attempts"]}
        return [fill for fill in self.fills if fill["client_order_id"] in ids]


def quantity(fills: Iterable[Mapping[str, Any]]) -> Decimal:
    """Base asset of fills."""
    with exact():
        return sum((Decimal(fill["quantity"]) for fill in fills), Decimal(0))


def notional(fills: Iterable[Mapping[str, Any]]) -> Decimal:
    """Quote asset of fills, fees apart."""
    with exact():
        return sum((Decimal(fill["quantity"]) * Decimal(fill["price"]) for fill in fills), Decimal(0))


def fees(fills: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Fees of fills by asset, none of zero."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for fill in fills:
            found[fill["fee_asset"]] += Decimal(fill["fee"])
    return {asset: fee for asset, fee in found.items() if fee}


def violations(books: Books, placed: Sequence[Placed]) -> list[str]:
    """Everything that is not as it must be."""
    found = [each for order in books.orders.values() for each in _of_order(books, order)]
    found += _of_keys(books, placed)
    found += _strange_fills(books)
    found += _of_balances(books)
    found += _of_counters(books)
    return found


def overfill(books: Books, order: Document) -> str | None:
    """Say if the venues filled more than was ordered, or spent more than the budget."""
    ordered, fills = order["terms"]["ordered"], books.of(order)
    filled = quantity(fills)
    with exact():
        most = (
            ordered["amount"]
            if ordered["amount"] is not None
            else order["filled_amount"] + order["remaining_amount"]
        )
        if filled > most:
            return f"over-fill: {filled} of {most}"
        if ordered["quote_amount"] is not None and order["side"] == "buy":
            quote = order["symbol"].partition("/")[2]
            spent = notional(fills) + fees(fills).get(quote, Decimal(0))
            if spent > ordered["quote_amount"]:
                return f"over-spent: {spent} of {ordered['quote_amount']}"
    return None


def _of_order(books: Books, order: Document) -> Iterator[str]:
    name = f"order {order['order_id']}"
    if (over := overfill(books, order)) is not None:
        yield f"{name}: {over}"
    if order["ended_at"] is None:
        yield f"{name}: lost: it is {order['status']} and does not end"
        return
    fills, cap = books.of(order), order["terms"]["price_cap"]
    for fill in fills:
        price = Decimal(fill["price"])
        if price > cap if order["side"] == "buy" else price < cap:
            yield f"{name}: filled at {price}, beyond its cap {cap}"
    if order["status"] != "needs_review":
        yield from (f"{name}: {each}" for each in differences(order, fills))


def differences(order: Document, fills: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a settled order's record says something else than its venues."""
    pairs: list[tuple[str, object, object]] = [
        ("filled", order["filled_amount"], quantity(fills)),
        ("notional", order["result"]["notional"], notional(fills)),
        ("fees", {each["asset"]: each["amount"] for each in order["fees"]}, fees(fills)),
        ("at risk", order["at_risk_amount"], Decimal(0)),
    ]
    for attempt in order["attempts"]:
        own = [fill for fill in fills if fill["client_order_id"] == attempt["client_order_id"]]
        pairs.append((f"attempt {attempt['number']} filled", attempt["filled_amount"], quantity(own)))
    return [
        f"{what}: {ours} in the ledger, {theirs} at the venues"
        for what, ours, theirs in pairs
        if ours != theirs
    ]


def _of_keys(books: Books, placed: Sequence[Placed]) -> Iterator[str]:
    """One key is one order, and no order is lost."""
    owners: dict[str, str] = {}
    for each in placed:
        key = each.drawn.key
        if len(each.order_ids) > 1:
            yield f"key {key}: several orders: {sorted(each.order_ids)}"
        if not each.order_ids and not each.refusals:
            yield f"key {key}: neither an order nor a clear refusal"
        for order_id in each.order_ids:
            if order_id not in books.orders:
                yield f"key {key}: order {order_id} is lost: the ledger does not list it"
            if owners.setdefault(order_id, key) != key:
                yield f"order {order_id} belongs to {owners[order_id]} and {key}"
    for order_id in books.orders:
        if order_id not in owners:
            yield f"order {order_id}: no key leads to it"


def _strange_fills(books: Books) -> Iterator[str]:
    known = {attempt["client_order_id"] for order in books.orders.values() for attempt in order["attempts"]}
    for fill in books.fills:
        if fill["client_order_id"] not in known:
            yield f"a fill at {fill['venue']} that no order knows: {fill}"


def moved(books: Books) -> dict[str, Decimal]:
    """By how much each asset changed over all venues, none by zero."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for sign, balances in ((1, books.after), (-1, books.before)):
            for assets in balances.values():
                for asset, each in assets.items():
                    found[asset] += sign * (Decimal(each["free"]) + Decimal(each["held"]))
    return {asset: change for asset, change in found.items() if change}


def accounted(books: Books) -> dict[str, Decimal]:
    """The same by the ledger; for orders still under review, by the venues' fills."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for order in books.orders.values():
            if order["status"] != "needs_review" and order["ended_at"] is not None:
                for asset, change in order["result"]["net_amounts"].items():
                    found[asset] += change
                continue
            fills, sign = books.of(order), 1 if order["side"] == "buy" else -1
            base, _, quote = order["symbol"].partition("/")
            found[base] += sign * quantity(fills)
            found[quote] -= sign * notional(fills)
            for asset, fee in fees(fills).items():
                found[asset] -= fee
    return {asset: change for asset, change in found.items() if change}


def _of_balances(books: Books) -> Iterator[str]:
    if (theirs := moved(books)) != (ours := accounted(books)):
        yield f"balances: the venues moved {theirs}, the ledger {ours}"
    for venue, assets in books.after.items():
        for asset, each in assets.items():
            if Decimal(each["held"]):
                yield f"{venue} still holds {each['held']} {asset} for orders"


def _of_counters(books: Books) -> Iterator[str]:
    """Nothing stays claimed but for orders under review; the day's notional is what was filled."""
    open_orders = [o for o in books.orders.values() if o["ended_at"] is None or o["status"] == "needs_review"]
    claiming = {a["venue"] for o in open_orders for a in o["attempts"] if a["state"] not in SETTLED}
    traded: dict[str, Decimal] = defaultdict(Decimal)
    counted: dict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for order in books.orders.values():
            traded[order["symbol"].partition("/")[2]] += order["result"]["notional"]
        for (kind, scope, asset), amount in books.counters.items():
            if kind == "day":
                counted[asset] += amount / E18
            elif scope not in claiming:
                yield f"left over: {kind} of {amount / E18} {asset} at {scope}"
    if not open_orders and {a: n for a, n in traded.items() if n} != dict(counted):
        yield f"the day's notional is counted as {dict(counted)}, and was {dict(traded)}"
