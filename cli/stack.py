"""Commands about the whole stack: how the venues are, and whether it trades."""

from __future__ import annotations

import click

from cli.client import call
from cli.options import api_options
from cli.show import show_answer


@click.command()
@api_options
def status(url: str, raw: bool) -> None:  # noqa: FBT001 - click's
    """Tell how the venues are, as last measured."""
    answer = call(url, "GET", "/api/exchanges/status")
    show_answer(answer.text, answer.document(), raw=raw)


@click.command()
@click.option("--reduce-only", is_flag=True, help="Go on with orders that sell.")
@click.option("--reason", required=True, help="Kept with the switch, for those who find it.")
@api_options
def halt(url: str, reduce_only: bool, reason: str, raw: bool) -> None:  # noqa: FBT001 - click's
    """Stop placing orders, and cancel those that rest at the venues."""
    _switch(url, "reduce_only" if reduce_only else "halted", reason, raw=raw)


@click.command()
@click.option("--reason", default="resumed from the command line", show_default=True)
@api_options
def resume(url: str, reason: str, raw: bool) -> None:  # noqa: FBT001 - click's
    """Take orders again."""
    _switch(url, "running", reason, raw=raw)


def _switch(url: str, mode: str, reason: str, *, raw: bool) -> None:
    answer = call(url, "PUT", "/api/trading", body={"mode": mode, "reason": reason})
    show_answer(answer.text, answer.document(), raw=raw)
