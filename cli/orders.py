"""Commands about orders: decide, execute, look at, cancel, review."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.client import RefusedError, UnreachableError, call
from cli.options import api_options, order_body, order_options
from cli.show import show_answer

_LONGEST_WAIT_S = 24
"""The API's own limit of ``Prefer: wait``."""
_LISTED = (
    *("order_id", "created_at", "symbol", "side", "status", "exchange"),
    *("filled_amount", "remaining_amount", "at_risk_amount", "average_price"),
)
_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_wait = click.option(
    "--wait", type=click.IntRange(0, _LONGEST_WAIT_S), metavar="SECONDS", help="Wait so long for its end."
)


@click.command()
@order_options
@click.option("--no-cache", is_flag=True, help="Decide on books fetched now.")
@click.option(
    "--receipt", type=_FILE, help="Write the answer with its receipt to this file, for `sor verify`."
)
@api_options
def route(url: str, **options: Any) -> None:
    """Ask where an order in SYMBOL (BTC/USDT) should go, and why; sends nothing to a venue."""
    answer = call(
        url,
        "POST",
        "/api/route",
        body=order_body(options),
        params={"receipt": "true"} if options["receipt"] else None,
        headers={"Cache-Control": "no-cache"} if options["no_cache"] else None,
    )
    document = answer.document()
    if options["receipt"] and isinstance(document, dict):
        _save(options["receipt"], answer.text)
        document.pop("receipt", None)
    show_answer(answer.text, document, raw=options["raw"])


@click.command()
@order_options
@click.option("--time-in-force", type=click.Choice(["IOC", "GTC"]))
@click.option("--client-order-id", metavar="ID", help="Your own name of the order.")
@click.option("--idempotency-key", metavar="KEY", help="Makes it the same order however often it is sent.")
@_wait
@click.option("--dry-run", is_flag=True, help="Decide and check, send nothing to a venue.")
@api_options
def execute(url: str, **options: Any) -> None:
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
        answer = call(url, "POST", "/api/execute", body=body, headers=headers)
    except UnreachableError as error:
        raise UnreachableError(f"{error.message}\n{_again(key)}") from error
    except RefusedError as error:
        if error.answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            click.echo(_again(key), err=True)
        raise
    if answer.headers.get("Location"):
        click.echo(f"Location: {answer.headers['Location']}", err=True)
    document = answer.document()
    show_answer(answer.text, document, raw=options["raw"])
    if isinstance(document, Mapping) and document.get("success") is False:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--limit", type=click.IntRange(1), help="The most to list.")
@click.option("--cursor", help="Where an earlier list ended.")
@api_options
def orders(url: str, limit: int | None, cursor: str | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """List the orders, newest first."""
    asked = {"limit": None if limit is None else str(limit), "cursor": cursor}
    answer = call(url, "GET", "/api/orders", params={k: v for k, v in asked.items() if v is not None})
    show_answer(answer.text, answer.document(), raw=raw, columns=_LISTED)


@click.command()
@click.argument("order_id", metavar="ID")
@click.option("--receipt", type=_FILE, help="Write the receipt of its decision to this file.")
@api_options
def order(url: str, order_id: str, receipt: Path | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """Show an order, or save its receipt."""
    if receipt is None:
        answer = call(url, "GET", _path(order_id))
        show_answer(answer.text, answer.document(), raw=raw)
        return
    answer = call(url, "GET", f"{_path(order_id)}/receipt")
    _save(receipt, answer.text)


@click.command()
@click.argument("order_id", metavar="ID")
@_wait
@api_options
def cancel(url: str, order_id: str, wait: int | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """Cancel what is still open of an order; what has been filled stays filled."""
    answer = call(url, "DELETE", _path(order_id), headers=_prefer(wait))
    show_answer(answer.text, answer.document(), raw=raw)


@click.command()
@click.argument("order_id", metavar="ID")
@click.option("--attempt", type=click.IntRange(1), help="Number of the attempt to settle.")
@click.option("--resolution", type=click.Choice(["never_placed", "keep_as_told"]))
@click.option("--note", help="How you know; stays in the order's history.")
@api_options
def review(url: str, order_id: str, raw: bool, **finding: Any) -> None:  # noqa: FBT001 - click's
    """Show what the ledger and the venues say of an order, or settle an attempt of it.

    Without options both sides are shown; with --attempt, --resolution and --note an attempt is settled.
    """
    if not any(finding.values()):
        answer = call(url, "GET", f"{_path(order_id)}/review")
        show_answer(answer.text, answer.document(), raw=raw)
        return
    missing = ", ".join(f"--{name}" for name, value in finding.items() if value is None)
    if missing:
        raise click.UsageError(f"to settle an attempt, give {missing} as well")
    answer = call(url, "POST", f"{_path(order_id)}/review", body=finding)
    show_answer(answer.text, answer.document(), raw=raw)


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
