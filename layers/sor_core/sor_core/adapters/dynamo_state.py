"""Health, caches and leases in one DynamoDB table.

Keys: ``book#BTC/USDT`` | venue, ``instrument#BTC/USDT`` | venue, ``health`` | venue,
``decision#<hash>`` | ``-``, ``lease#<name>`` | ``-``. Every item that may be forgotten carries
`expires_at` in Unix seconds for DynamoDB's own deletion, which can be days late: readers look at
it too.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from sor_core.clock import Clock
from sor_core.domain.book import Book, RawLevel
from sor_core.domain.instrument import Instrument, Symbol
from sor_core.health.measure import HealthRecord
from sor_core.ports import CachedMarket, NotListed, StateError

FORGET_BOOK_AFTER_MS = 600_000
"""Books are kept longer than they are routed on: an unchanged update id shows a stale venue."""

_T = TypeVar("_T")
_Item = Mapping[str, Mapping[str, Any]]
_LARGEST = 8 << 20
"""Bytes that an item may decompress to, so that a damaged one cannot fill the memory."""


class _StoredBook(msgspec.Struct, array_like=True):
    bids: list[list[str]]
    asks: list[list[str]]
    received_at_ms: int
    latency_ms: float
    source_time_ms: int | None
    sequence: int | None


_encode = msgspec.json.encode
_BOOK: msgspec.json.Decoder[_StoredBook] = msgspec.json.Decoder(_StoredBook)
_INSTRUMENT: msgspec.json.Decoder[Instrument] = msgspec.json.Decoder(Instrument)
_HEALTH: msgspec.json.Decoder[HealthRecord] = msgspec.json.Decoder(HealthRecord)


class DynamoStateStore:
    """`ports.StateStore` on DynamoDB.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client with explicit timeouts. It blocks, so calls run in threads.
    table
        Name of the table.
    clock
        For what has expired.
    """

    def __init__(self, client: Any, table: str, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    async def load_market(
        self, symbol: Symbol, venues: Sequence[str], decision_key: str | None
    ) -> CachedMarket:
        keys = [(f"{kind}#{symbol}", v) for kind in ("book", "instrument") for v in venues]
        keys += [("health", v) for v in venues]
        if decision_key is not None:
            keys.append((f"decision#{decision_key}", "-"))
        items = await self._read(keys)
        books = {v: _book(symbol, v, items.get((f"book#{symbol}", v))) for v in venues}
        instruments = {v: _instrument(items.get((f"instrument#{symbol}", v))) for v in venues}
        health = {v: _health(items.get(("health", v))) for v in venues}
        decision = items.get((f"decision#{decision_key}", "-"))
        return CachedMarket(
            books=_present(books),
            instruments=_present(instruments),
            health=_present(health),
            decision=decision["body"]["B"] if decision is not None else None,
        )

    async def load_health(self, venues: Sequence[str]) -> Mapping[str, HealthRecord]:
        items = await self._read([("health", v) for v in venues])
        return _present({v: _health(items.get(("health", v))) for v in venues})

    async def load_book(self, symbol: Symbol, venue: str) -> Book | None:
        key = (f"book#{symbol}", venue)
        return _book(symbol, venue, (await self._read([key])).get(key))

    async def save_health(self, record: HealthRecord) -> bool:
        return await self._put(
            ("health", record.venue),
            {"body": {"B": zlib.compress(_encode(record), 1)}, "version": {"N": str(record.version)}},
            condition="attribute_not_exists(pk) OR version < :v",
            values={":v": {"N": str(record.version)}},
        )

    async def save_book(self, book: Book) -> bool:
        stored = _StoredBook(
            _pairs(book.bids),
            _pairs(book.asks),
            book.received_at_ms,
            book.latency_ms,
            book.source_time_ms,
            book.sequence,
        )
        return await self._put(
            (f"book#{book.symbol}", book.venue),
            {
                "body": {"B": zlib.compress(_encode(stored), 1)},
                "received_at_ms": {"N": str(book.received_at_ms)},
                "expires_at": _seconds(book.received_at_ms + FORGET_BOOK_AFTER_MS),
            },
            condition="attribute_not_exists(pk) OR received_at_ms < :r",
            values={":r": {"N": str(book.received_at_ms)}},
        )

    async def save_instrument(
        self, symbol: Symbol, venue: str, instrument: Instrument | NotListed, expires_at_ms: int
    ) -> None:
        body = _encode(instrument) if isinstance(instrument, Instrument) else b""
        await self._put(
            (f"instrument#{symbol}", venue),
            {"body": {"B": body}, "expires_at": _seconds(expires_at_ms)},
        )

    async def save_decision(self, key: str, body: bytes, expires_at_ms: int) -> None:
        await self._put(
            (f"decision#{key}", "-"),
            {
                "body": {"B": body},
                "expires_at_ms": {"N": str(expires_at_ms)},
                "expires_at": _seconds(expires_at_ms),
            },
        )

    async def take_lease(self, name: str, owner: str, until_ms: int) -> bool:
        return await self._put(
            (f"lease#{name}", "-"),
            {
                "owner": {"S": owner},
                "until_ms": {"N": str(until_ms)},
                "expires_at": _seconds(until_ms),
            },
            condition="attribute_not_exists(pk) OR until_ms < :now",
            values={":now": {"N": str(self._clock.now_ms())}},
        )

    async def drop_lease(self, name: str, owner: str) -> None:
        await self._conditional(
            lambda: self._client.delete_item(
                TableName=self._table,
                Key=_key((f"lease#{name}", "-")),
                ConditionExpression="#o = :o",
                ExpressionAttributeNames={"#o": "owner"},
                ExpressionAttributeValues={":o": {"S": owner}},
            )
        )

    async def _put(
        self,
        key: tuple[str, str],
        attributes: _Item,
        *,
        condition: str = "",
        values: _Item | None = None,
    ) -> bool:
        request: dict[str, Any] = {"TableName": self._table, "Item": {**_key(key), **attributes}}
        if condition:
            request["ConditionExpression"] = condition
            request["ExpressionAttributeValues"] = values
        return await self._conditional(lambda: self._client.put_item(**request))

    async def _conditional(self, write: Callable[[], Any]) -> bool:
        """Run a write; False if its condition did not hold."""
        try:
            await self._run(write)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise StateError(error.response["Error"]["Code"]) from error
        return True

    async def _read(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], _Item]:
        """Read items that have not expired. What DynamoDB leaves unprocessed counts as missing."""
        request = {self._table: {"Keys": [_key(key) for key in keys]}}
        try:
            answer = await self._run(lambda: self._client.batch_get_item(RequestItems=request))
        except ClientError as error:
            raise StateError(error.response["Error"]["Code"]) from error
        now_ms = self._clock.now_ms()
        found = (item for item in answer["Responses"].get(self._table, ()) if not _expired(item, now_ms))
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in found}

    async def _run(self, call: Callable[[], _T]) -> _T:
        try:
            return await asyncio.to_thread(call)
        except BotoCoreError as error:
            raise StateError(type(error).__name__) from error


def _key(key: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _seconds(at_ms: int) -> dict[str, str]:
    return {"N": str(-(-at_ms // 1000))}


def _expired(item: _Item, now_ms: int) -> bool:
    if "expires_at_ms" in item:
        return int(item["expires_at_ms"]["N"]) <= now_ms
    return "expires_at" in item and int(item["expires_at"]["N"]) * 1000 <= now_ms


def _present(found: Mapping[str, _T | None]) -> dict[str, _T]:
    return {key: value for key, value in found.items() if value is not None}


def _pairs(levels: Sequence[RawLevel]) -> list[list[str]]:
    return [[str(level[0]), str(level[1])] for level in levels]


def _book(symbol: Symbol, venue: str, item: _Item | None) -> Book | None:
    if item is None:
        return None
    stored = _decoded(_BOOK, _decompressed(item["body"]["B"]))
    if stored is None:
        return None
    return Book(
        venue,
        symbol,
        stored.bids,
        stored.asks,
        stored.received_at_ms,
        stored.latency_ms,
        stored.source_time_ms,
        stored.sequence,
    )


def _instrument(item: _Item | None) -> Instrument | NotListed | None:
    if item is None:
        return None
    body = item["body"]["B"]
    return _decoded(_INSTRUMENT, body) if body else NotListed()


def _health(item: _Item | None) -> HealthRecord | None:
    if item is None:
        return None
    body = item["body"]["B"]
    # Items were once written plain.
    return _decoded(_HEALTH, body if body.startswith(b"{") else _decompressed(body))


def _decompressed(body: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, _LARGEST)
    except zlib.error:
        return b""  # decodes to nothing


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T | None:
    """Decode, or None: an item of another version of this code is as good as missing."""
    try:
        return decoder.decode(body)
    except msgspec.DecodeError:
        return None
