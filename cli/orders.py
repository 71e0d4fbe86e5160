"""Commands about orders: decide, execute, look at, cancel, review."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client import Answer, Api, NotNowError
from cli.exits import Code, UnavailableError, of_cancel, of_order
from cli.options import KEY, LINE, api_options, order_body, order_options
from cli.show import View, show_answer

_LONGEST_WAIT_S = 24
"""The API's own limit of ``Prefer: wait``."""
_LONGEST_FOLLOW_S = 86_400
_LOOK_EVERY_S = 1.0
_LISTED = (
    *("order_id", "created_at", "symbol", "side", "status", "exchange"),
    *("filled_amount", "remaining_amount", "at_risk_amount", "average_price"),
)
_ATTEMPTS = (
    *("number", "venue", "state", "amount", "limit_price", "filled_amount", "average_price"),
    *("refusal.reason", "refusal.code", "refusal.detail", "detail", "client_order_id", "venue_order_id"),
)
_SAID_TWICE = frozenset({"result", "result.average_price", "result.filled_amount", "result.fees"})
_ORDER = View(columns={"attempts": _ATTEMPTS}, inline=frozenset({"fees"}), hidden=_SAID_TWICE)
_ROUTE = View(
    columns={
        "allocations": (),
        "alternatives": (),
        "certificate.venues": tuple(
            ["venue"]
            + [
                f"{level}.{name}"
                for level in ("last_used", "first_unused")
                for name in ("price", "strategy_price")
            ]
        ),
    },
    hidden=frozenset(
        {f"certificate.{name}" for name in ("optimality_gap_bps", "best_single_exchange", "savings_bps")}
    ),
)
_DRY_RUN = View(hidden=frozenset({"result"}))
_ORDERS = View(columns={"orders": _LISTED})
_WAITING = (
    *("order_id", "since", "due_at", "symbol", "side", "status", "filled_amount", "at_risk_amount"),
    *("caller", "why", "unsettled"),
)
_REVIEWS = View(columns={"orders": _WAITING})
_REVIEW = View(
    columns={"order.attempts": _ATTEMPTS},
    inline=frozenset({"order.fees"}),
    hidden=frozenset(f"order.{name}" for name in _SAID_TWICE),
)
_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_wait = click.option(
    "--wait", type=click.IntRange(0, _LONGEST_WAIT_S), metavar="SECONDS", help="Wait so long for its end."
)


@click.command(short_help="Ask where an order should go, and why.")
@order_options
@click.option("--no-cache", is_flag=True, help="Decide on books fetched now.")
@click.option(
    "--receipt", type=_FILE, help="Write the answer with its receipt to this file, for `sor verify`."
)
@api_options
def route(api: Api, **options: Any) -> None:
    """Ask where an order in SYMBOL (BTC/USDT) should go, and why; sends nothing to a venue."""
    answer = api.call(
        "POST",
        "/api/route",
        body=order_body(options),
        params={"receipt": "true"} if options["receipt"] else None,
        headers={"Cache-Control": "no-cache"} if options["no_cache"] else None,
    )
    document = answer.document()
    if options["receipt"]:
        _save(options["receipt"], answer.text)
        document.pop("receipt", None)
    show_answer(answer.text, document, raw=options["raw"], view=_ROUTE)


@click.command(short_help="Execute an order.")
@order_options
@click.option(
    "--time-in-force", type=click.Choice(["IOC", "GTC"]), help="What becomes of a limit order's rest."
)
@click.option("--client-order-id", metavar="ID", type=LINE, help="Your own name of the order.")
@click.option(
    "--idempotency-key", metavar="KEY", type=KEY, help="Makes it the same order however often it is sent."
)
@_wait
@click.option("--dry-run", is_flag=True, help="Decide and check, send nothing to a venue.")
@api_options
def execute(api: Api, **options: Any) -> None:
    """Execute an order in SYMBOL (BTC/USDT).

    The Idempotency-Key, given or made, is printed before anything is sent: the same command with it
    asks for the same order again, whatever became of the first try.
    """
    body = order_body(options)
    for name in ("time_in_force", "client_order_id"):
        if options[name]:
            body[name] = options[name]
    if options["dry_run"]:
        body["dry_run"] = True
    key = options["idempotency_key"] or uuid.uuid4().hex
    headers = {"Idempotency-Key": key, **_prefer(options["wait"])}
    click.echo(f"Idempotency-Key: {key}", err=True)
    try:
        answer = api.call("POST", "/api/execute", body=body, headers=headers)
    except UnavailableError as error:
        raise UnavailableError(f"{error.message}\n{_again(key)}") from error
    except (NotNowError, KeyboardInterrupt):
        click.echo(_again(key), err=True)
        raise
    if answer.headers.get("Location"):
        click.echo(f"Location: {answer.headers['Location']}", err=True)
    order = answer.document()
    show_answer(answer.text, order, raw=options["raw"], view=_DRY_RUN if options["dry_run"] else _ORDER)
    _end(of_order(order))


@click.command()
@click.option("--limit", type=click.IntRange(1), help="The most to list.")
@click.option("--cursor", type=LINE, help="Where an earlier list ended.")
@api_options
def orders(api: Api, limit: int | None, cursor: str | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """List the orders, newest first."""
    asked = {"limit": None if limit is None else str(limit), "cursor": cursor}
    answer = api.call("GET", "/api/orders", params={k: v for k, v in asked.items() if v is not None})
    show_answer(answer.text, answer.document(), raw=raw, view=_ORDERS)


@click.command()
@click.argument("order_id", metavar="ID", type=LINE)
@click.option("--receipt", type=_FILE, help="Write the receipt of its decision to this file.")
@click.option(
    "--follow",
    type=click.IntRange(1, _LONGEST_FOLLOW_S),
    metavar="SECONDS",
    help="Look again and again until it has ended, so long at most; the exit code is that of `execute`.",
)
@api_options
def order(api: Api, order_id: str, receipt: Path | None, follow: int | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """Show an order, or save its receipt."""
    if receipt is not None:
        answer = api.call("GET", f"{_path(order_id)}/receipt")
        _save(receipt, answer.text)
        return
    answer = api.call("GET", _path(order_id)) if follow is None else _followed(api, order_id, follow)
    show_answer(answer.text, answer.document(), raw=raw, view=_ORDER)
    if follow is not None:
        _end(of_order(answer.document()))


@click.command(short_help="Cancel what is still open of an order.")
@click.argument("order_id", metavar="ID", type=LINE)
@_wait
@api_options
def cancel(api: Api, order_id: str, wait: int | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """Cancel what is still open of an order; what has been filled stays filled."""
    answer = api.call("DELETE", _path(order_id), headers=_prefer(wait))
    show_answer(answer.text, answer.document(), raw=raw, view=_ORDER)
    _end(of_cancel(answer.document()))


@click.command()
@click.option("--status", type=click.Choice(["needs_review", "open"]), help="Which; needs_review without it.")
@click.option("--limit", type=click.IntRange(1), help="The most to list.")
@click.option("--cursor", type=LINE, help="Where an earlier list ended.")
@api_options
def reviews(api: Api, raw: bool, **asked: Any) -> None:  # noqa: FBT001 - click's
    """List everybody's orders that wait for a person, or that are open; for the operator."""
    params = {name: str(value) for name, value in asked.items() if value is not None}
    answer = api.call("GET", "/api/reviews", params=params)
    document = dict(answer.document())
    if isinstance(document.get("orders"), list):
        document["orders"] = [_with_unsettled(order) for order in document["orders"]]
    show_answer(answer.text, document, raw=raw, view=_REVIEWS)


@click.command(short_help="Show both sides of an unclear order, or settle it.")
@click.argument("order_id", metavar="ID", type=LINE)
@click.option("--attempt", type=click.IntRange(1), help="Number of the attempt to settle.")
@click.option(
    "--resolution",
    type=click.Choice(["never_placed", "keep_as_told"]),
    help="It was never there, or what the venue tells now is taken over.",
)
@click.option("--note", type=LINE, help="How you know; stays in the order's history.")
@api_options
def review(api: Api, order_id: str, raw: bool, **finding: Any) -> None:  # noqa: FBT001 - click's
    """Show what the ledger and the venues say of an order, or settle an attempt of it.

    Without options both sides are shown; with --attempt, --resolution and --note an attempt is settled.
    """
    if not any(finding.values()):
        answer = api.call("GET", f"{_path(order_id)}/review")
        show_answer(answer.text, answer.document(), raw=raw, view=_REVIEW)
        return
    missing = ", ".join(f"--{name}" for name, value in finding.items() if value is None)
    if missing:
        raise click.UsageError(f"to settle an attempt, give {missing} as well")
    answer = api.call("POST", f"{_path(order_id)}/review", body=finding)
    show_answer(answer.text, answer.document(), raw=raw, view=_ORDER)


def _with_unsettled(order: Any) -> Any:
    """The order with its attempts as one text: which, where, how far, and why it is not settled."""
    if not isinstance(order, Mapping) or not isinstance(order.get("attempts"), list):
        return order
    attempts = [attempt for attempt in order["attempts"] if isinstance(attempt, Mapping)]
    words = ("number", "venue", "state", "detail")
    told = "; ".join(" ".join(str(a[word]) for word in words if a.get(word)) for a in attempts)
    return {**order, "unsettled": told}


def _followed(api: Api, order_id: str, seconds: int) -> Answer:
    """The order as it ended, or as it stands when the time is up; what is unavailable is asked again."""
    until = time.monotonic() + seconds
    while True:
        try:
            answer = api.call("GET", _path(order_id))
            if of_order(answer.document()) is not Code.OPEN or time.monotonic() >= until:
                return answer
        except (UnavailableError, NotNowError):
            if time.monotonic() >= until:
                raise
        time.sleep(_LOOK_EVERY_S)


def _end(code: Code) -> None:
    if code is not Code.DONE:
        raise click.exceptions.Exit(code)


def _save(file: Path, text: str) -> None:
    try:
        file.write_bytes(text.encode())
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error
    click.echo(f"receipt in {file}", err=True)


def _again(key: str) -> str:
    return f"The order may have been taken. Find out with the same command and --idempotency-key {key}"


def _path(order_id: str) -> str:
    return f"/api/orders/{quote(order_id, safe='')}"


def _prefer(wait_s: int | None) -> dict[str, str]:
    return {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
