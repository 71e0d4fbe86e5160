"""The items of the order ledger's table, and how they are written and read.

::

    pk                      sk        attributes
    order#<id>              -         body, version, write_id; caller, created, day; open, due_at_ms
    order#<id>              receipt   body
    key#<sha256>            -         order_id, body_hash
    counter#<kind>#<scope>  <asset>   amount_e18, added_e18
    report#<day>            -         body
    switch                  -         mode, reason, set_by, since_ms, write_id

    index       keys                 of
    by_caller   caller, created      every order; created is 13-digit milliseconds, ``#``, the order's id
    by_day      day, created         every order; day is the UTC day of its creation
    open        open, due_at_ms      ``1``: orders that have not ended, by when they are to be looked after;
                                     ``review``: orders that need review, by since when they do;
                                     others have neither attribute

The indexes hold keys only, and the records are then read from the table: caller, day and creation
never change, so saving an order writes to no index but `open`; and a list shows each order as it
stands, not as an index that lags behind had it.

Nothing expires. Keys stay as long as their orders: however late a request is repeated, it is known.

Counters are integers, in units of 10^-18 (`execution.dues` rounds claims to that). DynamoDB keeps 38
digits and may round more: sums stay below 10^20, so that they are always exact.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import msgspec

from sor_core.domain.money import exact
from sor_core.domain.order import Side
from sor_core.domain.order_status import OrderStatus
from sor_core.execution.dues import Ceiling, Counter, Tally, utc_day
from sor_core.execution.protocol import TradingMode
from sor_core.execution.record import OrderRecord
from sor_core.ports_trading import IdempotencyKey, KeyTaken, LedgerError, Standing, Switch

Item = Mapping[str, Mapping[str, Any]]

BY_CALLER = "by_caller"
BY_DAY = "by_day"
OPEN = "open"
OPEN_VALUES: Mapping[Standing, str] = {Standing.OPEN: "1", Standing.NEEDS_REVIEW: "review"}
"""What stands in the attribute ``open``."""

_LARGEST_BODY = 16 << 20
_E18 = Decimal(10) ** 18
_LARGEST_E18 = 10**38 - 1
_CREATED = re.compile(r"[0-9]{13}#[!-~]{1,200}", re.ASCII)

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[OrderRecord] = msgspec.json.Decoder(OrderRecord)


# Keys -----------------------------------------------------------------------------------------------


def table_key(pk: str, sk: str = "-") -> dict[str, dict[str, str]]:
    """Of an item."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


SWITCH_KEY = table_key("switch")


def order_key(order_id: str, sk: str = "-") -> dict[str, dict[str, str]]:
    """Of an order, or of what belongs to it."""
    return table_key(f"order#{order_id}", sk)


def order_id_of(item: Item) -> str:
    """Whose item it is."""
    return str(item["pk"]["S"]).removeprefix("order#")


def idempotency_key(caller: str, key: str) -> dict[str, dict[str, str]]:
    """Of a caller's key: hashed, as either part may be long and hold anything."""
    return table_key("key#" + hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest())


def counter_name(counter: Counter) -> tuple[str, str]:
    """Both keys of a shared counter."""
    return f"counter#{counter.kind}#{counter.scope}", counter.asset


def caller_value(caller: str) -> dict[str, str]:
    """As the index has it: never empty, which DynamoDB would refuse."""
    return text(f"caller#{caller}")


def created_value(created_at_ms: int, order_id: str = "") -> str:
    """What orders are sorted by."""
    return f"{created_at_ms:013d}" + (f"#{order_id}" if order_id else "")


def cursor_of(item: Item) -> str:
    """Where a list goes on after an item: a place in time, which means the same to every caller."""
    return _cursor(item["created"]["S"])


def cursor_of_due(item: Item) -> str:
    """Where a list by ``due_at_ms`` goes on after an item."""
    return _cursor(created_value(int(item["due_at_ms"]["N"]), order_id_of(item)))


def _cursor(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> str:
    """Read a cursor; raises `ValueError` for what is none."""
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    place = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    if not _CREATED.fullmatch(place):
        raise ValueError("not a cursor of this list")
    return place


def due_key_of(standing: Standing, cursor: str) -> Item:
    """The key in the index `open` that a cursor tells; raises `ValueError` for what is none."""
    at_ms, _, order_id = place_of(cursor).partition("#")
    return {
        **order_key(order_id),
        "open": text(OPEN_VALUES[standing]),
        "due_at_ms": number(int(at_ms)),
    }


# Orders ---------------------------------------------------------------------------------------------


def order_item(record: OrderRecord) -> dict[str, Mapping[str, Any]]:
    """Write an order. What stands beside the body is for conditions, indexes and a person's eye."""
    item: dict[str, Mapping[str, Any]] = {
        **order_key(record.order_id),
        "body": packed(_ENCODER.encode(record)),
        "version": number(record.version),
        "write_id": text(record.write_id),
        "epoch": number(record.epoch),
        "owner": text(record.owner),
        "status": text(record.status),
        "created_at_ms": number(record.created_at_ms),
        "caller": caller_value(record.caller),
        "created": text(created_value(record.created_at_ms, record.order_id)),
        "day": text(utc_day(record.created_at_ms)),
    }
    ending = record.ending
    if ending is not None and ending.status is OrderStatus.NEEDS_REVIEW:
        item |= {"open": text(OPEN_VALUES[Standing.NEEDS_REVIEW]), "due_at_ms": number(ending.at_ms)}
    elif record.is_open:
        item |= {"open": text(OPEN_VALUES[Standing.OPEN]), "due_at_ms": number(record.due_at_ms)}
    return item


def record_of(item: Item) -> OrderRecord:
    """Read an order, exactly as it was written.

    One that holds more than this code knows was written by a later version of it: it is refused, as
    writing it back would lose that.

    Raises
    ------
    LedgerError
        If it cannot be read.
    """
    body = unpacked(item)
    try:
        record = _DECODER.decode(body)
        again = _ENCODER.encode(record)
        if again != body and not _keeps(msgspec.json.decode(again), msgspec.json.decode(body)):
            raise LedgerError("an order holds what this version of the code does not know")
    except msgspec.DecodeError as error:
        raise LedgerError(f"an order cannot be read: {error}") from error
    return record


def _keeps(again: object, stored: object) -> bool:
    """Whether all that is stored is still there."""
    if isinstance(stored, dict):
        return isinstance(again, dict) and all(k in again and _keeps(again[k], v) for k, v in stored.items())
    if isinstance(stored, list):
        if not isinstance(again, list) or len(again) != len(stored):
            return False
        return all(_keeps(a, s) for a, s in zip(again, stored, strict=True))
    return again == stored


def packed(body: bytes) -> dict[str, bytes]:
    """Compress: every kilobyte is paid for at each write, and one item ends at 400."""
    return {"B": zlib.compress(body, 1)}


def unpacked(item: Item) -> bytes:
    """Read a body, bounded, so that a damaged one cannot fill the memory; raises `LedgerError`."""
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(item["body"]["B"], _LARGEST_BODY)
    except (KeyError, TypeError, zlib.error) as error:
        raise LedgerError("the body of an item cannot be read") from error
    if not unpacking.eof:
        raise LedgerError("the body of an item is cut short, or too large")
    return body


def receipt_item(order_id: str, receipt: bytes) -> Item:
    """Write a receipt."""
    return {**order_key(order_id, "receipt"), "body": packed(receipt)}


def report_key(day: str) -> Item:
    """Where the report of a day's reconciliation is."""
    return table_key(f"report#{day}", "-")


def report_item(day: str, report: bytes) -> Item:
    """Write the report of a day's reconciliation."""
    return {**report_key(day), "body": packed(report)}


def key_item(key: IdempotencyKey, order_id: str) -> Item:
    """Write which order a key has."""
    named = idempotency_key(key.caller, key.key)
    return {**named, "order_id": text(order_id), "body_hash": text(key.body_hash)}


def taken_of(item: Item) -> KeyTaken:
    """Read which order a key has; raises `LedgerError`."""
    try:
        return KeyTaken(item["order_id"]["S"], item["body_hash"]["S"])
    except KeyError as error:
        raise LedgerError("a key cannot be read") from error


# Counters -------------------------------------------------------------------------------------------


def counter_update(table: str, counter: Counter, change: Decimal, ceiling: Ceiling | None) -> dict[str, Any]:
    """Change a counter within a transaction; it fails where the ceiling would be passed.

    Raises
    ------
    LedgerError
        If the change has more digits than are kept.
    """
    change_e18 = _e18(change)
    names, values = {"#amount": "amount_e18"}, {":change": number(change_e18)}
    update = "ADD #amount :change"
    conditions: list[str] = []
    if change_e18 > 0:
        names["#added"] = "added_e18"
        update += ", #added :change"
    if change_e18 > 0 and ceiling is not None:
        # What was given back since it was read is not there yet in a balance read before.
        seen_e18 = 0 if ceiling.given_back is None else _e18(ceiling.given_back)
        held = "#amount" if ceiling.given_back is None else "#added"
        room = max(_e18_below(ceiling.most) + seen_e18 - change_e18, -1)
        values[":room"] = number(room)
        # A counter that is not there stands at zero; none stands below.
        conditions.append(
            f"(attribute_not_exists({held}) OR {held} <= :room)" if room >= 0 else f"{held} <= :room"
        )
    request: dict[str, Any] = {
        "TableName": table,
        "Key": table_key(*counter_name(counter)),
        "UpdateExpression": update,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    if conditions:
        request["ConditionExpression"] = " AND ".join(conditions)
    return {"Update": request}


def tally_of(item: Item) -> Tally:
    """Read a counter; raises `LedgerError`."""
    try:
        with exact():
            amount = Decimal(item["amount_e18"]["N"]) / _E18
            added = Decimal(item["added_e18"]["N"]) / _E18
            return Tally(amount, added - amount)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise LedgerError("a counter cannot be read") from error


def _e18(amount: Decimal) -> int:
    with exact():
        scaled = amount * _E18
        if abs(scaled) > _LARGEST_E18 or scaled != int(scaled):
            raise LedgerError(f"a claim of {amount} has more digits than a counter keeps")
        return int(scaled)


def _e18_below(most: Decimal) -> int:
    """Round a ceiling down to what counters can hold: they are whole units, so nothing is lost."""
    with exact():
        if most * _E18 >= _LARGEST_E18:
            return _LARGEST_E18
        return int((most * _E18).to_integral_value(ROUND_FLOOR))


# The switch -----------------------------------------------------------------------------------------


def admits_check(table: str, side: Side) -> dict[str, Any]:
    """Fail a transaction where the operator's switch does not admit new attempts of a side."""
    modes = {f":mode{n}": text(mode) for n, mode in enumerate(m for m in TradingMode if m.admits(side))}
    return {
        "ConditionCheck": {
            "TableName": table,
            "Key": SWITCH_KEY,
            "ConditionExpression": f"attribute_not_exists(#mode) OR #mode IN ({', '.join(modes)})",
            "ExpressionAttributeNames": {"#mode": "mode"},
            "ExpressionAttributeValues": modes,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def switch_item(switch: Switch, write_id: str) -> dict[str, Mapping[str, Any]]:
    """Write the switch."""
    return {
        **SWITCH_KEY,
        "mode": text(switch.mode),
        "reason": text(switch.reason),
        "set_by": text(switch.by),
        "since_ms": number(switch.since_ms),
        "write_id": text(write_id),
    }


def switch_of(item: Item | None) -> Switch:
    """Read the switch; raises `LedgerError`."""
    if item is None:
        return Switch(TradingMode.RUNNING, "", "", 0)
    try:
        mode = TradingMode(item["mode"]["S"])
        return Switch(mode, item["reason"]["S"], item["set_by"]["S"], int(item["since_ms"]["N"]))
    except (KeyError, ValueError) as error:
        raise LedgerError("the switch cannot be read") from error


def text(value: str) -> dict[str, str]:
    """As DynamoDB has it."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """As DynamoDB has it."""
    return {"N": str(value)}
