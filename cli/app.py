"""The commands of `sor`, put together.

Exit codes: 0 done, 1 refused (or a receipt that does not hold), 2 wrong usage, 3 not reached.
"""

from __future__ import annotations

import click

from cli.orders import cancel, execute, order, orders, review, route
from cli.replay_command import replay
from cli.stack import halt, resume, status


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def sor() -> None:
    """Route orders, execute them, and check both.

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the API was not reached.
    """


@sor.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--digest", metavar="HEX", help="The digest that it must have, as the ledger has it.")
def verify(file: str, digest: str | None) -> None:
    """Recompute the decision in the receipt FILE (- is standard input).

    Says VERIFIED, or the first thing that does not hold.
    """
    from sor_core.routing.verify import main  # noqa: PLC0415 - for this command only

    raise click.exceptions.Exit(main([file, *(("--digest", digest) if digest else ())]))


for command in (replay, route, execute, orders, order, cancel, review, status, halt, resume):
    sor.add_command(command)
