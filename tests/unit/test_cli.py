"""The command line against a small HTTP server: what it sends, what it shows, how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.app import sor
from cli.client import _signed

ORDER = ("BTC/USDT", "--side", "buy", "--amount", "0.50")
PROBLEM = {
    "type": "urn:sor:problem:invalid-order",
    "title": "The order is not valid",
    "status": 422,
    "detail": "one field is wrong",
    "errors": [{"field": "symbol", "expected": "BASE/QUOTE in capitals"}],
    "fillable_amount": 0,
}


@dataclass
class Server:
    """Answers every request alike and remembers them."""

    url: str = ""
    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def answers(self, body: object, status: int = 200, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, str) else json.dumps(body)


@pytest.fixture
def api() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.seen.append(
                (self.command, self.path, dict(self.headers), json.loads(sent) if sent else None)
            )
            self.send_response(server.status)
            for name, value in {**server.headers, "Content-Length": str(len(server.body.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(server.body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


def run(*arguments: str, url: str = "http://127.0.0.1:9") -> Result:
    return CliRunner(env={"SOR_URL": url}).invoke(sor, arguments)


def test_route_sends_the_order_and_shows_the_answer(api: Server) -> None:
    api.answers('{"selected_exchange": "kraken", "notional": 30000.10, "books": [{"venue": "kraken"}]}')

    result = run("route", *ORDER, "--deny", "binance,coinbase", "--max-legs", "2", "--no-cache", url=api.url)

    assert result.exit_code == 0, result.output
    method, path, headers, body = api.seen[0]
    assert (method, path, headers["Cache-Control"]) == ("POST", "/api/route", "no-cache")
    assert body == {
        "symbol": "BTC/USDT",
        "side": "buy",
        "type": "market",
        "amount": "0.50",
        "max_legs": 2,
        "venues": {"deny": ["binance", "coinbase"]},
    }
    assert "Authorization" not in headers
    assert "kraken" in result.stdout
    assert "30000.10" in result.stdout  # every digit, as it came


def test_a_price_makes_a_limit_order_and_its_receipt_is_saved(api: Server, tmp_path: Path) -> None:
    api.answers('{"reason": "best_price", "receipt": {"format": "sor-receipt/1"}}')
    target = tmp_path / "answer.json"

    result = run("route", *ORDER, "--price", "60000", "--receipt", str(target), url=api.url)

    assert api.seen[0][1] == "/api/route?receipt=true"
    assert target.read_text(encoding="utf-8") == api.body
    assert "best_price" in result.stdout
    assert "sor-receipt" not in result.stdout
    assert (api.seen[0][3]["type"], api.seen[0][3]["price"]) == ("limit", "60000")


def test_json_is_the_answer_as_it_came(api: Server) -> None:
    api.answers('{"b":  1.0,"a":[]}')

    assert run("status", "--json", url=api.url).stdout == '{"b":  1.0,"a":[]}\n'


def test_execute_prints_its_key_before_it_sends(api: Server) -> None:
    api.answers({"id": "o1", "status": "PLACING"}, 202, Location="/api/orders/o1")

    result = run(
        "execute", *ORDER, "--time-in-force", "IOC", "--wait", "5", "--dry-run", "--client-order-id", "mine",
        url=api.url,
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    _, path, headers, body = api.seen[0]
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

    assert result.exit_code == 1
    assert "--idempotency-key k-1" in result.stderr
    assert "ledger cannot be reached" in result.stderr


def test_a_given_key_is_the_one_sent(api: Server) -> None:
    run("execute", *ORDER, "--idempotency-key", "k-1", url=api.url)

    assert api.seen[0][2]["Idempotency-Key"] == "k-1"


def test_an_execution_without_success_is_exit_code_1(api: Server) -> None:
    api.answers({"success": False, "status": "failed"})

    result = run("execute", *ORDER, url=api.url)

    assert result.exit_code == 1
    assert "failed" in result.stdout


def test_cancel_may_wait(api: Server) -> None:
    run("cancel", "o1", "--wait", "7", url=api.url)

    assert api.seen[0][2]["Prefer"] == "wait=7"


def test_a_list_of_orders_shows_what_matters_first(api: Server) -> None:
    api.answers({"orders": [{"order_id": "o1", "epoch": 77, "status": "filled", "attempts": [{"n": 1}]}]})

    shown = run("orders", url=api.url).stdout

    assert "o1" in shown
    assert "epoch" not in shown
    assert "epoch" in run("orders", "--json", url=api.url).stdout


def test_verify_says_what_the_verifier_says(tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    receipt.write_text("{}", encoding="utf-8")

    assert run("verify", str(receipt)).exit_code in {1, 2}
    assert run("verify", str(tmp_path / "none")).exit_code == 2


def test_a_refusal_is_shown_plainly(api: Server) -> None:
    api.answers(PROBLEM, 422)

    result = run("route", *ORDER, url=api.url)

    assert result.exit_code == 1
    assert "The order is not valid (422)" in result.stderr
    assert "one field is wrong" in result.stderr
    assert "symbol: expected BASE/QUOTE in capitals" in result.stderr
    assert "fillable_amount: 0" in result.stderr


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, {"message": "Missing Authentication Token"}, 1),
        (503, {"title": "No venue can take the order now", "detail": "x"}, 1),
        (404, "<html>nothing here</html>", 1),
        (502, "<html>bad gateway</html>", 3),
        (502, {"message": "Internal server error"}, 3),
    ],
)
def test_the_exit_code_tells_a_refusal_from_no_answer(
    api: Server, status: int, body: object, code: int
) -> None:
    api.answers(body, status)

    assert run("status", url=api.url).exit_code == code


def test_nobody_there_is_exit_code_3() -> None:
    result = run("status")

    assert result.exit_code == 3
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
        ("review", "o1", "--attempt", "1", "--note", "n"),
        ("review", "o1", "--attempt", "0", "--resolution", "never_placed", "--note", "n"),
        ("status", "--url", "ftp://x"),
        ("status", "--url", "http://sor.example"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2_and_sends_nothing(api: Server, arguments: tuple[str, ...]) -> None:
    assert run(*arguments, url=api.url).exit_code == 2
    assert api.seen == []


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("status",), "GET", "/api/exchanges/status", None),
        (("orders", "--limit", "5", "--cursor", "a+b"), "GET", "/api/orders?limit=5&cursor=a%2Bb", None),
        (("order", "o/1"), "GET", "/api/orders/o%2F1", None),
        (("cancel", "o1"), "DELETE", "/api/orders/o1", None),
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
    result = run(*arguments, url=api.url)

    assert result.exit_code == 0, result.output
    assert [(m, p, b) for m, p, _, b in api.seen] == [(method, path, body)]


def test_lists_are_tables_and_markup_in_an_answer_is_only_text(api: Server) -> None:
    api.answers({"orders": [{"id": "o1", "legs": {"n": 2}}, {"id": "[red]o2"}], "next_cursor": None})

    shown = run("orders", url=api.url).stdout

    assert "[red]o2" in shown
    assert "legs.n" in shown
    assert "next_cursor" in shown


def test_an_object_of_objects_is_a_table_of_them(api: Server) -> None:
    api.answers({"exchanges": {"kraken": {"latency_ms": 9.5}, "binance": {"latency_ms": 8.5}}})

    lines = run("status", url=api.url).stdout.splitlines()

    assert any("name" in line and "latency_ms" in line for line in lines)
    assert any("kraken" in line and "9.5" in line for line in lines)


def test_a_receipt_is_saved_byte_by_byte(api: Server, tmp_path: Path) -> None:
    api.answers('{"v":1, "x":"0.10"}')
    target = tmp_path / "receipt.json"

    assert run("order", "o1", "--receipt", str(target), url=api.url).exit_code == 0
    assert api.seen[0][1] == "/api/orders/o1/receipt"
    assert target.read_text(encoding="utf-8") == '{"v":1, "x":"0.10"}'


def test_what_leaves_this_machine_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    url = "https://abc123.execute-api.eu-west-1.amazonaws.com/v1/api/route"

    headers = _signed("POST", url, {"Accept": "application/json"}, b"{}")

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
