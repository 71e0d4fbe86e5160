"""The commands of `sor`, put together."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import click

from cli.exits import Code
from cli.orders import cancel, execute, order, orders, review, reviews, route
from cli.record_command import record
from cli.replay_command import replay
from cli.stack import halt, resume, status, trading
from cli.watch import watch


class _Sor(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - in the order that they were added
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(Code.INTERRUPTED) from None


@click.group(cls=_Sor, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def sor() -> None:
    """Route orders, execute them, and check both.

    Exit codes: 0 done, 1 failed here, 2 wrong usage, 3 no answer or not now, 4 refused, 5 the order is still
    open, 6 it ended not filled whole, 7 it needs review, 8 the receipt does not hold, 130 interrupted.
    """


@click.command(short_help="Check a receipt.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--digest", metavar="HEX", help="The digest that it must have, as the ledger has it.")
@click.option("--json", "raw", is_flag=True, help="Print the outcome as a JSON object.")
def verify(file: str, digest: str | None, raw: bool) -> None:  # noqa: FBT001 - click's
    """Recompute the decision in the receipt FILE (- is standard input).

    Says VERIFIED, or the first thing that does not hold.
    """
    from sor_core.routing.verify import main  # noqa: PLC0415 - for this command only

    said, unreadable = StringIO(), StringIO()
    with redirect_stdout(said), redirect_stderr(unreadable):
        outcome = main([*([] if digest is None else [f"--digest={digest}"]), "--", file])
    code = {0: Code.DONE, 1: Code.NOT_VERIFIED}.get(outcome, Code.USAGE)
    lines = said.getvalue().splitlines()
    if code is Code.USAGE:
        click.echo(unreadable.getvalue().rstrip(), err=True)
    elif raw:
        click.echo(json.dumps({"verified": code is Code.DONE, "says": lines[0]}))
    else:
        click.echo("\n".join(lines))
    raise click.exceptions.Exit(code)


for command in (
    *(route, execute, order, orders, cancel, reviews, review, verify),
    *(status, watch, trading, halt, resume, record, replay),
):
    sor.add_command(command)
