"""The rules by which docs/cost.md is counted, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.costs.bill import MEMORY_GB, Bill, bill, mixed, month
from benchmarks.costs.capacity import Capacity, Units, index_units, read, size, written
from benchmarks.costs.document import BEGIN, END, counted_rows, counts, differences, put_into
from benchmarks.costs.house import MACHINE, Counted, _chosen
from local.template import REPOSITORY, load

COST = (REPOSITORY / "docs" / "cost.md").read_text(encoding="utf-8")
ORDER: dict[str, dict[str, Any]] = {"pk": {"S": "order#1"}, "sk": {"S": "-"}, "body": {"B": b"x" * 1100}}
LISTED = {**ORDER, "caller": {"S": "me"}, "created": {"S": "17"}, "day": {"S": "2026-11-22"}}
OPEN = {**LISTED, "open": {"S": "1"}, "due_at_ms": {"N": "1795371901617"}}


def test_an_item_is_its_names_and_values() -> None:
    assert size({"pk": {"S": "é"}, "n": {"N": "-1.5"}, "b": {"B": b"123"}}) == (2 + 2) + (1 + 3) + (1 + 3)
    with pytest.raises(ValueError, match="type L"):
        size({"l": {"L": []}})


@pytest.mark.parametrize(("total", "units"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (9471, 10)])
def test_a_write_is_a_unit_a_kilobyte(total: int, units: int) -> None:
    assert written(total) == units


@pytest.mark.parametrize(
    ("total", "consistent", "units"), [(0, False, 0.5), (4096, True, 1), (4097, False, 1)]
)
def test_a_read_is_half_a_unit_for_four_kilobytes(total: int, consistent: bool, units: float) -> None:  # noqa: FBT001
    assert read(total, consistent=consistent) == units


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, ORDER, 0),
        (None, OPEN, 3),
        (OPEN, {**OPEN, "body": {"B": b""}}, 0),
        (OPEN, {**OPEN, "due_at_ms": {"N": "1"}}, 2),
        (OPEN, LISTED, 1),
    ],
)
def test_an_index_is_written_when_its_keys_change(before: Any, after: Any, units: int) -> None:
    assert index_units(before, after) == units


def test_a_transaction_is_twice_and_a_failed_one_changes_nothing() -> None:
    table = {("t", "order#1", "-"): OPEN}
    capacity = Capacity(table.__getitem__)
    put = {"TransactItems": [{"Put": {"TableName": "t", "Item": OPEN}}]}
    (failed,) = capacity.units("TransactWriteItems", put, {"Error": {"Code": "TransactionCanceledException"}})
    assert (failed.write, failed.index) == (2, 0)
    (done,) = capacity.units("TransactWriteItems", put, {})
    assert (done.what, done.write, done.index) == ("order", 4, 3)
    (again,) = capacity.units("PutItem", {"TableName": "t", "Item": OPEN}, {})
    assert (again.write, again.index) == (2, 0)


def test_what_a_batch_misses_is_paid() -> None:
    keys = [{"pk": {"S": f"order#{n}"}, "sk": {"S": "-"}} for n in (1, 2)]
    asked = {"RequestItems": {"t": {"Keys": keys}}}
    (told,) = Capacity(lambda _: None).units("BatchGetItem", asked, {"Responses": {"t": [OPEN]}})
    assert told.read == 1.0


def test_an_operation_without_a_rule_is_no_free_one() -> None:
    with pytest.raises(ValueError, match="Scan"):
        Capacity(lambda _: None).units("Scan", {}, {})


def test_memory_is_that_of_the_template() -> None:
    resources = load()["Resources"]
    named = {
        "route": "RouteFunction",
        "execute": "ExecuteFunction",
        "execute task": "ExecuteTaskFunction",
        "health_probe": "HealthProbeFunction",
    }
    said = {function: resources[name]["Properties"]["MemorySize"] / 1024 for function, name in named.items()}
    assert said == MEMORY_GB


def test_indexes_are_those_of_the_template() -> None:
    indexes = load()["Resources"]["OrdersTable"]["Properties"]["GlobalSecondaryIndexes"]
    assert all(each["Projection"] == {"ProjectionType": "KEYS_ONLY"} for each in indexes)
    assert index_units(None, OPEN) == len(indexes)


def of_one(**changes: Any) -> Counted:
    counted = Counted(units=[Units("PutItem", "order", write=2, index=1)])
    counted.invocations["execute"] = 1
    for name, value in changes.items():
        setattr(counted, name, value)
    return counted


def test_a_bill_is_prices_times_counts() -> None:
    made = bill("execute", of_one(transitions=4, answer_bytes=1000))
    assert made.parts["API"] == 3.5
    assert made.parts["writes"] == pytest.approx(3 * 0.625)
    assert made.parts["machine"] == pytest.approx(100)
    assert made.parts["Lambda"] == pytest.approx(0.2 + 0.4 * 13.3334)
    assert made.without_api == pytest.approx(made.total - 3.5)


def test_a_symbol_is_refreshed_once_a_lifetime_at_most() -> None:
    old, cached = Bill({"API": 10.0}), Bill({"API": 2.0})
    assert mixed(old, cached, rate=0.01, lifetime_s=5) == 10
    assert mixed(old, cached, rate=10, lifetime_s=5) == pytest.approx(2 + 8 / 50)


def test_a_month_needs_no_request() -> None:
    quiet = {name: of_one() for name in ("tick", "probe", "sweep")}
    lines = {line.what: line.dollars for line in month(quiet)}
    assert lines["secrets"] == pytest.approx(2.4)
    assert lines["DynamoDB writes of these"] == pytest.approx(4 * 43_800 * 3 * 0.625 / 1e6)


def test_counts_that_differ_are_told() -> None:
    said = counts({"execute": of_one(log_bytes=1000), "tick": of_one()})
    assert differences(said, counts({"execute": of_one(log_bytes=1020), "tick": of_one()})) == []
    other = counts({"execute": of_one(transitions=1, log_bytes=9000), "probe": of_one()})
    assert len(differences(said, other)) == 4


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    assert put_into(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb"
    with pytest.raises(ValueError, match="expected"):
        put_into("nothing", "new")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"next": "wait", "wait_s": 3}, "WaitForFence"),
        ({"next": "place", "wait_s": 0}, "Place"),
        ({"next": "done", "status": "filled"}, "Settled"),
        ({"next": "done", "status": "needs_review"}, "UnderReview"),
        ({}, "WaitAfterTrouble"),
    ],
)
def test_the_machine_is_followed_by_its_own_words(answer: dict[str, Any], state: str) -> None:
    assert _chosen(MACHINE["States"]["WhatNext"], answer) == state


def test_the_state_machine_is_for_failures_only() -> None:
    rows = counted_rows(COST)
    failed = {name for name, row in rows.items() if row["transitions"] != "0"}
    assert {"execute", "execute, two venues"} <= rows.keys() - failed
    assert failed == {name for name in rows if "turned away" in name or "answer lost" in name}
