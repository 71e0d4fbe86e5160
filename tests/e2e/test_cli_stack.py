"""The command line against the real local stack: from a route to a receipt, the switch, the watch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.app import sor
from cli.exits import Code
from local.template import REPOSITORY
from tests.e2e.test_make_run import Run, end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
ORDER = ("BTC/USDT", "--side", "buy", "--amount", "0.05")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("run") / "out.txt", {}, ["make", "run"])
    run.wait_until_ready()
    yield run
    end(run)


def run(stack: Run, *arguments: str) -> Result:
    return CliRunner(env={"SOR_URL": stack.url}).invoke(sor, arguments)


def answered(stack: Run, *arguments: str) -> Any:
    result = run(stack, *arguments, "--json")
    assert result.exit_code == Code.DONE, result.output
    return json.loads(result.stdout)


def test_an_order_from_route_to_receipt(stack: Run, tmp_path: Path) -> None:
    route = tmp_path / "route.json"
    assert run(stack, "route", *ORDER, "--receipt", str(route)).exit_code == Code.DONE
    assert run(stack, "verify", str(route)).stdout.startswith("VERIFIED best_execution: buy BTC/USDT")

    first = answered(stack, "execute", *ORDER, "--idempotency-key", "once")
    again = answered(stack, "execute", *ORDER, "--idempotency-key", "once")
    assert first["status"] == "filled"
    assert again == first
    identity = first["order_id"]
    assert [order["order_id"] for order in answered(stack, "orders")["orders"]] == [identity]
    assert answered(stack, "order", identity, "--follow", "5")["status"] == "filled"
    assert run(stack, "cancel", identity).exit_code == Code.DONE
    assert answered(stack, "review", identity)["venues"]

    receipt = tmp_path / "receipt.json"
    assert run(stack, "order", identity, "--receipt", str(receipt)).exit_code == Code.DONE
    digest = json.loads(receipt.read_text(encoding="utf-8"))["digest"]
    assert run(stack, "verify", "--digest", digest, str(receipt)).exit_code == Code.DONE
    changed = receipt.read_text(encoding="utf-8").replace('"taker_fee_bps":"10"', '"taker_fee_bps":"9"')
    receipt.write_text(changed, encoding="utf-8")
    assert run(stack, "verify", str(receipt)).exit_code == Code.NOT_VERIFIED


def test_the_switch_refuses_and_admits_orders(stack: Run) -> None:
    assert answered(stack, "halt", "--reason", "incident 7")["mode"] == "halted"
    assert answered(stack, "trading")["reason"] == "incident 7"
    refused = run(stack, "execute", *ORDER)
    assert refused.exit_code == Code.REFUSED
    assert "(409)" in refused.stderr
    assert answered(stack, "resume")["mode"] == "running"
    deadline = time.monotonic() + 10  # a function may remember the switch for a moment
    while (tried := run(stack, "execute", *ORDER, "--dry-run")).exit_code and time.monotonic() < deadline:
        time.sleep(0.2)
    assert tried.exit_code == Code.DONE, tried.output
    assert run(stack, "order", "0" * 32).exit_code == Code.REFUSED


def test_the_watched_book_is_the_venues_own(stack: Run) -> None:
    frame = answered(stack, "watch", "BTC/USDT", "--once", "--amount", "0.5", "--within-bps", "20")
    assert frame["problems"] == {}
    assert set(frame["status"]["exchanges"]) == {"binance", "coinbase", "kraken"}
    asks, bids = frame["asks"], frame["bids"]
    assert {venue["venue"] for venue in asks["venues"]} == {"binance", "coinbase", "kraken"}
    assert asks["levels"][0]["all_in_price"] > asks["arrival_mid"] > bids["levels"][0]["all_in_price"]
    assert asks["complete_to"] > asks["arrival_mid"] * 1.002
    assert bids["complete_to"] < bids["arrival_mid"] * 0.998
    assert frame["buy"]["amount"] == frame["sell"]["amount"] == 0.5
    assert answered(stack, "orders", "--limit", "100")["orders"][1:] == []  # it placed none


def test_the_program_works_from_any_folder(stack: Run, tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()  # of the same name as ours
    link = tmp_path / "sor"
    link.symlink_to(REPOSITORY / "cli" / "sor")
    for arguments, code in ((("status",), Code.DONE), (("order", "x"), Code.REFUSED), (("fly",), Code.USAGE)):
        done = subprocess.run(  # noqa: S603 - ours
            [str(link), *arguments],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHON": sys.executable, "SOR_URL": stack.url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert ("kraken" in done.stdout) is (code is Code.DONE)
