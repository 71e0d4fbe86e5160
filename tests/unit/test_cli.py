"""The command line against a small HTTP server: what it sends, what it shows, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from cli.app import sor
from cli.aws import Aws
from cli.exits import Code
from tests.unit.cli_server import Server, run, serving

ROOT = Path(__file__).parents[2]
ORDER = ("BTC/USDT", "--side", "buy", "--amount", "0.50")
PROBLEM = {
    "type": "urn:sor:problem:invalid-order",
    "title": "The order is not valid",
    "status": 422,
    "detail": "one field is wrong",
    "errors": [{"field": "symbol", "expected": "BASE/QUOTE in capitals"}],
    "fillable_amount": 0,
}


@pytest.fixture
def api() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_route_sends_the_order_and_shows_the_answer(api: Server) -> None:
    api.answers('{"selected_exchange": "kraken", "notional": 30000.10, "books": [{"venue": "kraken"}]}')

    result = run("route", *ORDER, "--deny", "binance,coinbase", "--max-legs", "2", "--no-cache", url=api.url)

    assert result.exit_code == 0, result.output
    sent = api.seen[0]
    assert (sent.method, sent.path, sent.headers["Cache-Control"]) == ("POST", "/api/route", "no-cache")
    assert sent.body == {
        "symbol": "BTC/USDT",
        "side": "buy",
        "type": "market",
        "amount": "0.50",
        "max_legs": 2,
        "venues": {"deny": ["binance", "coinbase"]},
    }
    assert "Authorization" not in sent.headers
    assert "kraken" in result.stdout
    assert "30000.10" in result.stdout  # every digit, as it came


def test_a_price_makes_a_limit_order_and_its_receipt_is_saved(api: Server, tmp_path: Path) -> None:
    api.answers('{"reason": "best_price", "receipt": {"format": "sor-receipt/1"}}')
    target = tmp_path / "answer.json"

    result = run("route", *ORDER, "--price", "60000", "--receipt", str(target), url=api.url)

    assert api.seen[0].path == "/api/route?receipt=true"
    assert target.read_text(encoding="utf-8") == api.body
    assert "best_price" in result.stdout
    assert "sor-receipt" not in result.stdout
    assert (api.seen[0].body["type"], api.seen[0].body["price"]) == ("limit", "60000")


def test_json_is_the_answer_as_it_came(api: Server) -> None:
    api.answers('{"b":  1.0,"a":[]}')

    assert run("status", "--json", url=api.url).stdout == '{"b":  1.0,"a":[]}\n'


def test_execute_prints_its_key_before_it_sends(api: Server) -> None:
    api.answers({"success": True, "dry_run": True, "legs": []}, Location="/api/orders/o1")

    result = run(
        "execute", *ORDER, "--time-in-force", "IOC", "--wait", "5", "--dry-run", "--client-order-id", "mine",
        url=api.url,
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    path, headers, body = api.seen[0].path, api.seen[0].headers, api.seen[0].body
    assert path == "/api/execute"
    assert (body["time_in_force"], body["dry_run"], body["client_order_id"]) == ("IOC", True, "mine")
    assert headers["Prefer"] == "wait=5"
    assert len(headers["Idempotency-Key"]) == 32
    assert result.stderr.startswith(f"Idempotency-Key: {headers['Idempotency-Key']}\n")
    assert "Location: /api/orders/o1" in result.stderr


def test_a_broken_connection_while_executing_tells_how_to_ask_again() -> None:
    result = run("execute", *ORDER, "--idempotency-key", "k-1")

    assert result.exit_code == 3
    assert result.stderr.startswith("Idempotency-Key: k-1\n")
    assert "may have been taken" in result.stderr
    assert "--idempotency-key k-1" in result.stderr


def test_a_server_that_failed_while_executing_tells_it_too(api: Server) -> None:
    api.answers({"title": "The order ledger cannot be reached"}, 503)

    result = run("execute", *ORDER, "--idempotency-key", "k-1", url=api.url)

    assert result.exit_code == Code.UNAVAILABLE
    assert "--idempotency-key k-1" in result.stderr
    assert "ledger cannot be reached" in result.stderr


def test_a_given_key_is_the_one_sent(api: Server) -> None:
    run("execute", *ORDER, "--idempotency-key", "k-1", url=api.url)

    assert api.seen[0].headers["Idempotency-Key"] == "k-1"


@pytest.mark.parametrize(
    ("order", "executed", "cancelled"),
    [
        ({"status": "filled", "success": True}, Code.DONE, Code.DONE),
        ({"status": "resting", "success": True}, Code.DONE, Code.OPEN),
        ({"status": "partially_filled", "success": True}, Code.NOT_FILLED, Code.DONE),
        ({"status": "expired", "success": False}, Code.NOT_FILLED, Code.DONE),
        ({"status": "rejected", "success": False}, Code.NOT_FILLED, Code.DONE),
        ({"status": "cancelled", "success": False}, Code.NOT_FILLED, Code.DONE),
        ({"status": "working", "success": None}, Code.OPEN, Code.OPEN),
        ({"status": "resolving", "success": None}, Code.OPEN, Code.OPEN),
        ({"status": "cancelling", "success": None}, Code.OPEN, Code.OPEN),
        ({"status": "needs_review", "success": None}, Code.NEEDS_REVIEW, Code.NEEDS_REVIEW),
        ({"dry_run": True, "success": None}, Code.NOT_FILLED, Code.OPEN),
    ],
)
def test_the_exit_code_tells_how_an_order_stands(
    api: Server, order: dict[str, object], executed: Code, cancelled: Code
) -> None:
    api.answers(order, 200)

    assert run("execute", *ORDER, url=api.url).exit_code == executed
    assert run("order", "o1", "--follow", "1", url=api.url).exit_code == executed
    assert run("cancel", "o1", url=api.url).exit_code == cancelled
    assert run("order", "o1", url=api.url).exit_code == Code.DONE


def test_an_order_is_followed_to_its_end_over_what_is_unavailable(
    api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.orders._LOOK_EVERY_S", 0.0)
    coming = iter([({"status": "working"}, 200), ({"title": "x"}, 503), ({"status": "filled"}, 200)])
    api.reply = lambda _: api.answers(*next(coming))

    result = run("order", "o1", "--follow", "60", "--json", url=api.url)

    assert (result.exit_code, result.stdout) == (Code.DONE, '{"status": "filled"}\n')


def test_cancel_may_wait(api: Server) -> None:
    run("cancel", "o1", "--wait", "7", url=api.url)

    assert api.seen[0].headers["Prefer"] == "wait=7"


def test_a_list_of_orders_shows_what_matters_first(api: Server) -> None:
    api.answers({"orders": [{"order_id": "o1", "epoch": 77, "status": "filled", "attempts": [{"n": 1}]}]})

    shown = run("orders", url=api.url).stdout

    assert "o1" in shown
    assert "epoch" not in shown
    assert "epoch" in run("orders", "--json", url=api.url).stdout


def test_verify_says_what_the_verifier_says(tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text("{}", encoding="utf-8")

    assert run("verify", str(receipt)).exit_code == Code.USAGE
    assert run("verify", str(tmp_path / "none")).exit_code == Code.USAGE
    receipt.write_text('{"format": "sor-receipt/1"}', encoding="utf-8")
    refused = run("verify", "--digest", "-x", str(receipt))
    assert refused.exit_code == Code.NOT_VERIFIED
    assert refused.stdout.startswith("NOT VERIFIED")
    told = json.loads(run("verify", "--json", str(receipt)).stdout)
    assert told == {"verified": False, "says": refused.stdout.strip()}


def test_a_refusal_is_shown_plainly(api: Server) -> None:
    api.answers(PROBLEM, 422)

    result = run("route", *ORDER, url=api.url)

    assert result.exit_code == Code.REFUSED
    assert result.stdout == ""
    assert "The order is not valid (422)" in result.stderr
    assert "one field is wrong" in result.stderr
    assert "symbol: expected BASE/QUOTE in capitals" in result.stderr
    assert "fillable_amount: 0" in result.stderr


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, {"message": "Missing Authentication Token"}, Code.REFUSED),
        (404, "<html>nothing here</html>", Code.REFUSED),
        (429, {"message": "Too Many Requests"}, Code.UNAVAILABLE),
        (503, {"title": "No venue can take the order now", "detail": "x"}, Code.UNAVAILABLE),
        (502, "<html>bad gateway</html>", Code.UNAVAILABLE),
        (502, {"message": "Internal server error"}, Code.UNAVAILABLE),
        (200, "<html>log in here</html>", Code.UNAVAILABLE),
        (200, "[]", Code.UNAVAILABLE),
    ],
)
def test_the_exit_code_tells_a_refusal_from_no_answer(
    api: Server, status: int, body: object, code: int
) -> None:
    api.answers(body, status)

    assert run("status", url=api.url).exit_code == code
    assert run("execute", *ORDER, url=api.url).exit_code == code


def test_with_json_a_problem_is_the_document_too(api: Server) -> None:
    api.answers(PROBLEM, 422)

    result = run("route", *ORDER, "--json", url=api.url)

    assert result.exit_code == Code.REFUSED
    assert result.stdout == f"{json.dumps(PROBLEM)}\n"
    assert "The order is not valid (422)" in result.stderr


def test_nobody_there_is_an_exit_code_of_its_own() -> None:
    result = run("status")

    assert result.exit_code == Code.UNAVAILABLE
    assert result.stdout == ""
    assert "gave no answer" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("route", "BTC/USDT", "--side", "buy"),
        ("route", *ORDER, "--quote-amount", "5"),
        ("route", *ORDER, "--allow", "a", "--deny", "b"),
        ("route", "BTCUSDT", "--side", "buy", "--amount", "1"),
        ("route", "BTC/USDT", "--side", "hold", "--amount", "1"),
        ("route", "BTC/USDT", "--side", "buy", "--amount", "-1"),
        ("route", "BTC/USDT", "--side", "buy", "--amount", "1e3"),
        ("execute", *ORDER, "--wait", "25"),
        ("halt",),
        ("reviews", "--status", "filled"),
        ("review", "o1", "--attempt", "1", "--note", "n"),
        ("review", "o1", "--attempt", "0", "--resolution", "never_placed", "--note", "n"),
        ("status", "--url", "ftp://x"),
        ("status", "--url", "http://sor.example"),
        ("status", "--stack", "sor", "--url", "http://127.0.0.1"),
        ("execute", *ORDER, "--idempotency-key", "two\nlines"),
        ("execute", *ORDER, "--idempotency-key", "kéy"),
        ("halt", "--reason", "\udcff"),
        ("order", "\udcff"),
        ("watch", "--amount", "1"),
        ("watch", "BTCUSDT"),
        ("watch", "--every", "0"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_an_exit_code_of_its_own_and_sends_nothing(
    api: Server, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments, url=api.url).exit_code == 2
    assert api.seen == []


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("status",), "GET", "/api/exchanges/status", None),
        (("orders", "--limit", "5", "--cursor", "a+b"), "GET", "/api/orders?limit=5&cursor=a%2Bb", None),
        (("reviews",), "GET", "/api/reviews", None),
        (
            ("reviews", "--status", "open", "--limit", "5", "--cursor", "a"),
            "GET",
            "/api/reviews?status=open&limit=5&cursor=a",
            None,
        ),
        (("order", "o/1"), "GET", "/api/orders/o%2F1", None),
        (("cancel", "o1"), "DELETE", "/api/orders/o1", None),
        (("trading",), "GET", "/api/trading", None),
        (("halt", "--reason", "r"), "PUT", "/api/trading", {"mode": "halted", "reason": "r"}),
        (
            ("halt", "--reduce-only", "--reason", "r"),
            "PUT",
            "/api/trading",
            {"mode": "reduce_only", "reason": "r"},
        ),
        (
            ("resume", "--reason", "all well"),
            "PUT",
            "/api/trading",
            {"mode": "running", "reason": "all well"},
        ),
        (
            ("review", "o1", "--attempt", "2", "--resolution", "never_placed", "--note", "asked"),
            "POST",
            "/api/orders/o1/review",
            {"attempt": 2, "resolution": "never_placed", "note": "asked"},
        ),
    ],
)
def test_each_command_asks_its_own_question(
    api: Server, arguments: tuple[str, ...], method: str, path: str, body: object
) -> None:
    api.answers({"status": "cancelled"})

    result = run(*arguments, url=api.url)

    assert result.exit_code == 0, result.output
    assert [(sent.method, sent.path, sent.body) for sent in api.seen] == [(method, path, body)]


def test_lists_are_tables_and_markup_in_an_answer_is_only_text(api: Server) -> None:
    api.answers({"orders": [{"id": "o1", "legs": {"n": 2}}, {"id": "[red]o2"}], "next_cursor": None})

    shown = run("orders", url=api.url).stdout

    assert "[red]o2" in shown
    assert "legs.n" in shown
    assert "next_cursor" in shown


def test_an_order_that_waits_for_a_person_is_a_line_with_what_is_unclear(api: Server) -> None:
    unclear = {"number": 2, "venue": "coinbase", "state": "unknown", "detail": "timeout: no answer"}
    order = {"order_id": "o1", "caller": "arn:aws:iam::1:user/a", "since": 0, "attempts": [unclear]}
    document = {"orders": [order, {**order, "order_id": "o2", "attempts": []}], "cursor": None}
    api.answers(document)

    lines = run("reviews", url=api.url).stdout.splitlines()

    [told] = [line for line in lines if line.startswith("o1 ")]
    assert "1970-01-01 00:00:00.000 UTC" in told
    assert told.endswith("arn:aws:iam::1:user/a  2 coinbase unknown timeout: no answer")
    assert json.loads(run("reviews", "--json", url=api.url).stdout) == document


def test_an_object_of_objects_is_a_table_of_them(api: Server) -> None:
    api.answers({"exchanges": {"kraken": {"latency_ms": 9.5}, "binance": {"latency_ms": 8.5}}})

    lines = run("status", url=api.url).stdout.splitlines()

    assert any("name" in line and "latency_ms" in line for line in lines)
    assert any("kraken" in line and "9.5" in line for line in lines)


def test_a_receipt_is_saved_byte_by_byte(api: Server, tmp_path: Path) -> None:
    api.answers('{"v":1, "x":"0.10"}')
    target = tmp_path / "receipt.json"

    assert run("order", "o1", "--receipt", str(target), url=api.url).exit_code == 0
    assert api.seen[0].path == "/api/orders/o1/receipt"
    assert target.read_text(encoding="utf-8") == '{"v":1, "x":"0.10"}'


def test_what_leaves_this_machine_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    url = "https://abc123.execute-api.eu-west-1.amazonaws.com/v1/api/route"

    headers = Aws().sign("POST", url, {"Accept": "application/json"}, b"{}")

    assert "/eu-west-1/execute-api/aws4_request" in headers["Authorization"]
    assert headers["Accept"] == "application/json"


def test_without_credentials_nothing_is_sent_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    result = run("status", "--url", "https://abc123.execute-api.eu-west-1.amazonaws.com/v1")

    assert result.exit_code == 2
    assert "no AWS credentials" in result.stderr


def test_a_profile_that_is_not_there_and_a_session_that_is_over_are_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile over]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = eu-west-1\n"
        "[sso-session s]\nsso_start_url = https://sso.invalid/start\nsso_region = eu-west-1\n",
        encoding="utf-8",
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))

    for profile, told in (("none", "none"), ("over", "SSO")):
        result = run("status", "--url", "https://sor.example/v1", "--profile", profile)

        assert result.exit_code == Code.USAGE, result.output
        assert told in result.stderr
        assert "Traceback" not in result.output


@pytest.fixture
def deployed(api: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    template = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"ApiUrl": {"Value": api.url}, "Other": {"Value": "x"}},
    }
    with mock_aws():
        formation = boto3.client("cloudformation", "eu-west-1")
        formation.create_stack(StackName="sor", TemplateBody=json.dumps(template))
        bare = {"Resources": template["Resources"]}
        formation.create_stack(StackName="bare", TemplateBody=json.dumps(bare))
        yield


@pytest.mark.usefixtures("deployed")
def test_a_deployed_stack_is_found_by_its_name(api: Server) -> None:
    here = ("--region", "eu-west-1")

    assert run("status", "--stack", "sor", *here).exit_code == Code.DONE
    assert run("status", *here, SOR_STACK="sor", SOR_URL="").exit_code == Code.DONE
    assert len(api.seen) == 2
    for arguments, told in (
        (("--stack", "other", *here), "other"),
        (("--stack", "bare", *here), "no output ApiUrl"),
        (("--stack", "sor", "--region", "us-east-1"), "sor"),
    ):
        result = run("status", *arguments)

        assert result.exit_code == Code.USAGE
        assert told in result.stderr
    assert len(api.seen) == 2


HOSTILE = (
    "{}",
    '{"orders": [1, {"order_id": []}], "cursor": {"a": {}}}',
    '{"exchanges": {"a": 5}, "status": ["filled"], "breakers": null}',
    '{"exchanges": {"a": {"breakers": "x"}}, "mode": 5}',
    '{"a": ' * 5000 + "1" + "}" * 5000,
    '{"n": 1e999999999, "m": ' + "9" * 5000 + ', "since": 99999999999999999999}',
    '{"detail": "\\u001b]0;owned\\u0007", "attempts": [{"detail": "\\u001b[2J"}]}',
    '{"allocations": null, "receipt": {"inputs": {"order": {"side": "buy"}, "venues": [{}]}, "result": {}}}',
    '{"status": "\\ud800"}',
)
COMMANDS = (
    ("status",),
    ("orders",),
    ("order", "o1"),
    ("route", *ORDER),
    ("execute", *ORDER),
    ("cancel", "o1"),
    ("review", "o1"),
    ("reviews",),
    ("halt", "--reason", "r"),
    ("watch", "BTC/USDT", "--once", "--amount", "1"),
)


@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_no_answer_makes_a_traceback_or_drives_the_terminal(api: Server, body: str, status: int) -> None:
    api.answers(body, status)

    for command in COMMANDS:
        result = run(*command, url=api.url)

        assert result.exception is None or isinstance(result.exception, SystemExit), command
        assert result.exit_code in set(Code), command
        assert "\x1b" not in result.output
        assert "Traceback" not in result.output


def test_off_a_terminal_a_line_is_whole_and_plain(api: Server) -> None:
    detail = " ".join(["venue says no"] * 200)
    api.answers({"orders": [{"order_id": "o1", "status": detail, "symbol": "B" * 500}], "cursor": "c" * 900})

    for variables in ({}, {"NO_COLOR": "1"}, {"COLUMNS": "20"}):
        lines = run("orders", url=api.url, **variables).stdout.splitlines()

        assert any(line.endswith("c" * 900) for line in lines)
        assert any("o1" in line and detail in line and "B" * 500 in line for line in lines)


def test_times_are_told_as_such_and_empty_fields_as_a_dash(api: Server) -> None:
    api.answers({"order_id": "o1", "created_at": 1_700_000_000_123, "why": "", "ended_at": None})

    shown = run("order", "o1", url=api.url).stdout

    assert "2023-11-14 22:13:20.123 UTC" in shown
    assert shown.count(" -\n") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="signals")
def test_ctrl_c_ends_in_a_line_and_says_that_the_order_may_have_been_taken(api: Server) -> None:
    api.reply = lambda _: time.sleep(2)
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "cli", "execute", *ORDER, "--idempotency-key", "k-1", "--url", api.url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "layers/sor_core"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not api.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (Code.INTERRUPTED, "")
    assert "may have been taken" in err
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err


def test_every_command_tells_what_it_is_for() -> None:
    for name in sor.commands:
        result = CliRunner().invoke(sor, [name, "--help"])
        assert result.exit_code == 0
