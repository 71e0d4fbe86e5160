"""What became of the orders of a run: the ledger against the venues."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from local.chaos.checks import Balances, Books, accounted, differences, moved, overfill
from local.processes import StackError

TIMEOUT_S = 45.0
AT_ONCE = 8
SETTLED_WITHIN_S = 120.0
LOOK_EVERY_S = 1.0
PAGE = 100
Document = Mapping[str, Any]


async def fetch(session: ClientSession, url: str) -> Any:
    """Get a JSON document, its numbers exact; raises `StackError` where that is refused."""
    async with session.get(url, timeout=ClientTimeout(total=TIMEOUT_S)) as response:
        text = await response.text()
    if response.status != HTTPStatus.OK:
        raise StackError(f"GET {url} gave {response.status}: {text[:200]}")
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


async def settled(session: ClientSession, url: str) -> dict[str, Document]:
    """Every order by its id, with its history, once all have ended or have been waited for."""
    deadline_s = time.monotonic() + SETTLED_WITHIN_S
    while True:
        listed = await _listed(session, url)
        if all(order["ended_at"] is not None for order in listed) or time.monotonic() > deadline_s:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    places = asyncio.Semaphore(AT_ONCE)

    async def detail(order_id: str) -> Document:
        async with places:
            document: Document = await fetch(session, f"{url}/api/orders/{order_id}")
            return document

    details = await asyncio.gather(*(detail(order["order_id"]) for order in listed))
    return {order["order_id"]: order for order in details}


async def _listed(session: ClientSession, url: str) -> list[Document]:
    found: list[Document] = []
    cursor = ""
    while True:
        page = await fetch(session, f"{url}/api/orders?limit={PAGE}{cursor}")
        found += page["orders"]
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


async def balances(session: ClientSession, venues_url: str) -> Balances:
    """What the accounts hold at the venues."""
    found: Balances = await fetch(session, f"{venues_url}/sim/balances")
    return found


def wrong(books: Books, order_ids: Sequence[str]) -> list[str]:
    """Everything in the books that is not as it must be; `order_ids` are those that clients were told."""
    found = []
    for order_id, order in books.orders.items():
        if (over := overfill(books, order)) is not None:
            found.append(f"order {order_id}: {over}")
        if order["ended_at"] is None:
            found.append(f"order {order_id}: it is {order['status']} and does not end")
        elif order["status"] == "needs_review":
            found.append(f"order {order_id}: needs review")
        else:
            found += [f"order {order_id}: {each}" for each in differences(order, books.of(order))]
    found += [f"order {order_id} is lost" for order_id in order_ids if order_id not in books.orders]
    if len(set(order_ids)) != len(order_ids):
        found.append("an order was told to several keys")
    if (theirs := moved(books)) != (ours := accounted(books)):
        found.append(f"balances: the venues moved {theirs}, the ledger {ours}")
    return found
