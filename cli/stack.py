"""Commands about the whole stack: how the venues are, and whether it trades."""

from __future__ import annotations

import click

from cli.client import Api
from cli.options import LINE, api_options
from cli.show import View, show_answer

_STATUS = View(
    columns={
        "exchanges": (
            *("name", "is_healthy", "health_score", "latency_ms", "success_rate", "uptime_pct"),
            *("liquidity_score", "system_status", "breakers.market_data.state", "breakers.trading.state"),
            *("consecutive_failures", "failure", "age_s", "stale"),
        )
    }
)


@click.command()
@api_options
def status(api: Api, raw: bool) -> None:  # noqa: FBT001 - click's
    """Tell how the venues are, as last measured."""
    answer = api.call("GET", "/api/exchanges/status")
    show_answer(answer.text, answer.document(), raw=raw, view=_STATUS)


@click.command(short_help="Tell whether orders are taken.")
@api_options
def trading(api: Api, raw: bool) -> None:  # noqa: FBT001 - click's
    """Tell whether orders are taken: how the switch of `halt` and `resume` stands."""
    answer = api.call("GET", "/api/trading")
    show_answer(answer.text, answer.document(), raw=raw)


@click.command(short_help="Stop placing orders.")
@click.option("--reduce-only", is_flag=True, help="Go on with orders that sell.")
@click.option("--reason", type=LINE, required=True, help="Kept with the switch, for those who find it.")
@api_options
def halt(api: Api, reduce_only: bool, reason: str, raw: bool) -> None:  # noqa: FBT001 - click's
    """Stop placing orders, and cancel those that rest at the venues."""
    _switch(api, "reduce_only" if reduce_only else "halted", reason, raw=raw)


@click.command()
@click.option(
    "--reason",
    type=LINE,
    default="resumed from the command line",
    show_default=True,
    help="Kept with the switch.",
)
@api_options
def resume(api: Api, reason: str, raw: bool) -> None:  # noqa: FBT001 - click's
    """Take orders again."""
    _switch(api, "running", reason, raw=raw)


def _switch(api: Api, mode: str, reason: str, *, raw: bool) -> None:
    answer = api.call("PUT", "/api/trading", body={"mode": mode, "reason": reason})
    show_answer(answer.text, answer.document(), raw=raw)
