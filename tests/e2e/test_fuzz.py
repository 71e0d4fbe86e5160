"""Bad input at scale: thousands of requests made from the OpenAPI document, to the running stack."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.openapi.document import COMMITTED
from tests.fuzz.campaign import MARK, Campaign, Stack, attack, misplaced, running, stored_orders

SEED = 20_240_808
EXAMPLES = 40
"""For each operation and phase; that which varies one field at a time makes 1,500 cases whatever this is."""
WORKERS = ("--workers", "3")
WITHIN_S = 400.0
LEAST_CASES = 2_000
ORDER = {"symbol": "BTC/USDT", "side": "buy", "type": "market", "amount": "0.01"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("fuzz")) as started:
        yield started


@pytest.fixture(scope="module")
def campaign(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return attack(
        stack,
        tmp_path_factory.mktemp("cases"),
        seed=SEED,
        examples=EXAMPLES,
        options=WORKERS,
        within_s=WITHIN_S,
    )


def test_no_answer_is_outside_the_document_and_nothing_fails(campaign: Campaign) -> None:
    assert campaign.exit_code == 0, campaign.output
    assert len(campaign.cases) > LEAST_CASES


def test_every_operation_is_reached_and_orders_are_placed_and_dry_run(campaign: Campaign) -> None:
    done = {case["operation"] for case in campaign.cases if case["status"] == 200}
    assert {case["operation"] for case in campaign.cases} - done <= {"POST /api/orders/{order_id}/review"}
    executed = [case for case in campaign.cases if case["operation"] == "POST /api/execute"]
    assert any(case["dry_run"] for case in executed)
    assert len(campaign.placed) > 5
    refused = {case["type"] for case in executed if case["status"] == 422}
    assert len(refused) > 4, "only what the schema refuses was tried"


def marked() -> list[tuple[str, str, dict[str, object]]]:
    """Requests that are refused, with a secret at every place that one may come to by mistake."""
    bodies: list[dict[str, object]] = [
        {"json": {**ORDER, field: MARK}}
        for field in ("symbol", "side", "amount", "venues", "secret", "dry_run")
    ]
    bodies += [{"json": {**ORDER, MARK: 1}}, {"content": f'{{"{MARK}'}, {"content": MARK}]
    bodies += [{"content": f'{{"{MARK}": 1, "{MARK}": 2}}'}, {"content": f'{{"side": "{MARK}", "side": 1}}'}]
    paths = (
        *(f"/api/orders/{MARK}", f"/{MARK}", f"/api/orders?cursor={MARK}", f"/api/orders?limit={MARK}"),
        *(f"/health?{MARK}=1", f"/health?api_key={MARK}", f"/metrics?x={MARK}"),
    )
    return [
        *(("POST", path, body) for path in ("/api/route", "/api/execute") for body in bodies),
        *(("GET", path, {}) for path in paths),
        ("POST", f"/api/route?receipt={MARK}", {"json": ORDER}),
        ("POST", "/api/execute", {"json": ORDER, "headers": {"Idempotency-Key": MARK * 5}}),
        ("PUT", "/api/trading", {"json": {"mode": MARK, "reason": MARK}}),
        ("PUT", "/api/trading", {"json": {"mode": "halted", "reason": f"{MARK}\n"}}),
    ]


def test_what_was_refused_is_repeated_nowhere(stack: Stack) -> None:
    for method, path, sent in marked():
        answer = httpx.request(method, stack.url + path, timeout=30, **sent)  # type: ignore[arg-type]
        assert 400 <= answer.status_code < 500, (path, sent)
        told = answer.text.replace(f'"field":"{MARK}"', "").replace(f"{MARK}: expected ", "")
        assert MARK not in told, (path, sent)  # but for the name of an unknown field


def test_nothing_is_stored_but_the_orders_that_were_answered(campaign: Campaign, stack: Stack) -> None:
    orders, named = stored_orders(stack)
    assert orders == campaign.placed
    assert named <= orders


def test_nothing_is_logged_that_should_not_be(campaign: Campaign, stack: Stack) -> None:
    assert campaign.cases
    assert misplaced(stack) == []


def test_the_document_is_served(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/openapi.json", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.text == COMMITTED.read_text(encoding="utf-8")
