"""What stands in the logs of an order: its way from the request to the venue, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from sor_core.adapters.dynamo_orders_items import order_item
from sor_core.api.orders import order_answer, order_detail
from sor_core.domain.credentials import KeyUse
from sor_core.execution.record import OrderRecord
from sor_core.observability import PowertoolsLog, make_logger
from sor_core.services.execute import Executed
from tests.contract.test_execute_faults import LOST, ONCE
from tests.contract.trading_house import VENUES, House, house
from tests.fakes.markets import order
from tests.fakes.memory_trading import StaticCredentials

SIGNING_HEADERS = ("x-mbx-apikey", "api-key", "api-sign", "authorization")
SHORTEST_MARK = 12
"""Of a secret of several lines each line counts that is no shorter."""


class Logs:
    """Everything written: our own lines, and what any library says to the root logger."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """The process's logger at DEBUG, as ``SOR_LOG_LEVEL=DEBUG`` makes it, beside Lambda's root handler."""
    written = Logs()
    logger, root = make_logger("DEBUG"), logging.getLogger()
    handler = cast("logging.StreamHandler[Any]", logger.registered_handler)
    before = handler.setStream(written.stream), logger.log_level, root.level
    of_lambda = logging.StreamHandler(written.stream)
    logger.setLevel("DEBUG")
    root.addHandler(of_lambda)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(of_lambda)
    root.setLevel(before[2])
    logger.setLevel(before[1])
    handler.setStream(before[0] or io.StringIO())
    make_logger("INFO")
    logging.getLogger("httpx").handlers = []


async def marks_of(made: House) -> set[str]:
    """Secrets of the venues, to which every request adds what signs it."""
    marks: set[str] = set()

    async def take(request: httpx.Request) -> None:
        marks.update(parts(request.url.params.get("signature", "")))
        for name in SIGNING_HEADERS:
            marks.update(parts(request.headers.get(name, "").removeprefix("Bearer ")))

    for key in ("trading", "reading"):
        told = (await made.control.get("/sim/credentials", params={"key": key})).json()
        for venue in VENUES:
            marks.update(parts(told[venue]["api_key"]), parts(told[venue]["api_secret"]))
    made.parts.client.event_hooks["request"].append(take)
    return marks


def parts(secret: str) -> set[str]:
    lines = [*secret.splitlines(), *secret.split(".")]
    return {line for line in lines if len(line) >= SHORTEST_MARK and not line.startswith("-----")}


def kept(record: OrderRecord) -> str:
    return f"{order_item(record)} {order_answer(record)} {order_detail(record)} {record!r}"


async def told(made: House, **changes: Any) -> str:
    """Execute an order to its end; everything that is answered and stored about it."""
    outcome = await made.process().execution.execute(made.request(order("0.5"), **changes))
    if not isinstance(outcome, Executed):
        return repr(outcome)
    await made.run_machine()
    await made.sweep(2)
    record = await made.record(outcome.record.order_id)
    return kept(record) + str(await made.ledger.receipt(record.order_id))


@pytest.mark.parametrize("venue", VENUES)
async def test_no_secret_and_no_signature_is_ever_written(venue: str, logs: Logs) -> None:
    fees = ",".join(f"{v}={10 if v == venue else 20}" for v in VENUES)
    async with house(SOR_TAKER_FEES_BPS=fees) as made:
        made.log = cast("Any", PowertoolsLog(make_logger("DEBUG")))
        marks = await marks_of(made)
        stored = await told(made) + await told(made, dry_run=True)
        for fault, params in LOST:
            await made.fault(venue, fault, **params, **ONCE)
            stored += await told(made)
            await made.clear_faults()
        await made.fault(venue, "error_5xx", "*")
        stored += await told(made)

        assert len(marks) > 30  # keys, secrets, and signatures of many requests
        assert [mark for mark in marks if mark in logs.text] == []
        assert [mark for mark in marks if mark in stored] == []
        assert "/order" in logs.text  # the venues' requests are told, without their queries
        assert "signature" not in logs.text
        assert "Traceback" not in logs.text


async def test_a_key_that_a_venue_refuses_is_not_written_either(logs: Logs) -> None:
    async with house(SOR_VENUES="binance") as made:
        made.log = cast("Any", PowertoolsLog(make_logger("DEBUG")))
        marks = await marks_of(made)
        wrong = {("binance", use): ("MARKED-KEY-0123456789", "MARKED-SECRET-0123456789") for use in KeyUse}
        made.parts = replace(made.parts, credentials=StaticCredentials(wrong))
        stored = await told(made)

        assert "auth" in stored or "refused" in stored
        assert {"MARKED-KEY-0123456789"} <= marks
        assert [mark for mark in (*marks, "MARKED-SECRET") if mark in logs.text + stored] == []


async def test_an_orders_lines_share_its_correlation_id_from_the_request_to_the_venue(logs: Logs) -> None:
    async with house(SOR_TAKER_FEES_BPS="binance=10,coinbase=20,kraken=20") as made:
        made.log = cast("Any", PowertoolsLog(make_logger("DEBUG")))
        await made.fault("binance", "drop", when="before", **ONCE)
        await told(made, correlation_id="c0ffee")

    lines = [line for line in logs.lines if line.get("order_id")]
    assert len({line["order_id"] for line in lines}) == 1
    followed = [line for line in lines if line["message"] in {"attempt sent", "attempt is", "order is"}]
    assert {line["correlation_id"] for line in followed} == {"c0ffee"}
    sent = [(line["venue"], line["outcome"]) for line in lines if line["message"] == "attempt sent"]
    assert sent[0] == ("binance", "unknown")
    assert len(sent) == 2
    states = [line["status"] for line in lines if line["message"] == "order is"]
    assert states[-1] == "filled"
    assert [line["message"] for line in lines].count("order accepted") == 1


def as_in_a_new_process() -> None:
    """Forget what was said of httpx's lines: nobody has made a logger or a client."""
    requests = logging.getLogger("httpx")
    requests.setLevel(logging.NOTSET)
    requests.filters, requests.handlers, requests.propagate = [], [], True


@pytest.mark.parametrize("first", ["logger", "client"])
async def test_debug_shows_each_request_without_its_query_and_info_none(first: str, logs: Logs) -> None:
    as_in_a_new_process()
    if first == "logger":  # as a function does
        make_logger("DEBUG")
    async with house(SOR_VENUES="binance") as made:
        if first == "client":
            make_logger("DEBUG")
        marks = await marks_of(made)
        await told(made)
        requests = [line["message"] for line in logs.lines if str(line["message"]).startswith("HTTP Request")]
        assert any(r.startswith("HTTP Request: POST") and "/binance/api/v3/order " in r for r in requests)
        assert not any("?" in r for r in requests)
        assert [mark for mark in marks if mark in logs.text] == []
        make_logger("INFO")
        before = len(logs.text)
        await told(made)
        assert "HTTP Request" not in logs.text[before:]


async def test_without_our_logger_requests_are_silent_and_never_told_with_their_query(logs: Logs) -> None:
    as_in_a_new_process()
    async with house(SOR_VENUES="binance") as made:
        marks = await marks_of(made)
        await told(made)
        assert "HTTP Request" not in logs.text
        logging.getLogger("httpx").setLevel(logging.DEBUG)
        await told(made)
        assert "HTTP Request" in logs.text
        assert [mark for mark in marks if mark in logs.text] == []
