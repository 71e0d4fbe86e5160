"""``sor watch``: the venues and the consolidated book, again and again."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.client import Api
from cli.frame import as_document, render
from cli.keys import Key, keys
from cli.options import POSITIVE, SYMBOL, api_options
from cli.poll import Asked, Frame, Pace, Part, clock_ms, look
from cli.show import console, print_plainly
from sor_core.api.json import dumps
from sor_core.domain.instrument import Symbol

_ROWS, _MOST_ROWS = 8, 20
_OTHER_LINES = 22
"""What stands on a screen beside the rungs of the ladder, with three venues and an amount."""


@click.command(short_help="Watch venues and the consolidated book.")
@click.argument("symbol", type=SYMBOL, required=False)
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, help="Seconds between looks."
)
@click.option(
    "--within-bps",
    type=POSITIVE,
    default=Decimal(10),
    show_default=True,
    help="How far from the mid the books are read.",
)
@click.option("--amount", type=POSITIVE, help="Base: tell too what buying and selling it would cost.")
@click.option(
    "--step", type=POSITIVE, help="Put levels together by this step of the price; else it fits the rows."
)
@click.option("--rows", type=click.IntRange(2, 1000), help="Rows a side; else as the screen has room.")
@click.option("--once", is_flag=True, help="Look once, and end.")
@api_options
def watch(api: Api, symbol: Symbol | None, raw: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Watch the venues and, of SYMBOL (BTC/USDT), the consolidated book with fees.

    Asks for status and routes only, never for an order. A key looks again at once; q or Ctrl-C ends.
    Off a terminal frame follows frame; with --json each is a line.
    """
    asked = Asked(symbol, options["within_bps"], options["amount"])
    if symbol is None and (asked.amount or options["step"]):
        raise click.UsageError("--amount and --step are for the book of a SYMBOL.")
    view = _View(asked, options["rows"], options["step"], raw=raw, once=options["once"])
    if options["once"]:
        frame = look(api, asked, clock_ms)
        if frame.refusal is not None:
            raise frame.refusal
        view.print(frame, 0)
        raise click.exceptions.Exit(frame.code)
    with suppress(KeyboardInterrupt):
        _watch(api, view, Pace(options["every"]))


class _View:
    """Where frames go: a line each, one below the other, or the whole screen."""

    def __init__(
        self, asked: Asked, rows: int | None, step: Decimal | None, *, raw: bool, once: bool
    ) -> None:
        self.asked = asked
        self._rows, self._step, self._raw = rows, step, raw
        self._out = console()
        live = self._out.is_terminal and not raw and not once
        self.screen = Live(console=self._out, screen=True, auto_refresh=False) if live else None
        self._known: dict[str, Part] = {}
        self._last = Group()

    def print(self, frame: Frame, wait_s: float) -> None:
        """Show a frame, with what earlier ones knew where it knows nothing."""
        self._known |= frame.parts
        if self._raw:
            click.echo(dumps(as_document(self.asked, frame)))
            return
        rows = self._rows or _ROWS
        if self.screen is not None and self._rows is None:
            room = self._out.height - _OTHER_LINES - len(frame.problems)
            rows = max(2, min(_MOST_ROWS, room // 2))
        shown = render(self.asked, frame, self._known, rows=rows, step=self._step)
        if self.screen is None:
            for part in shown:
                print_plainly(self._out, part)
            return
        self._last = Group(*shown)
        footer = Text(f"next look in {wait_s:g} s; q ends", style="dim")
        self.screen.start()
        self.screen.update(Group(self._last, footer), refresh=True)

    def close(self) -> None:
        """Leave the screen as it was, with the last frame on it."""
        if self.screen is not None and self.screen.is_started:
            self.screen.stop()
            self._out.print(self._last)


def _watch(api: Api, view: _View, pace: Pace) -> None:
    first = True
    with keys() as pressed:
        try:
            while True:
                frame = look(api, view.asked, clock_ms)
                if first and frame.refusal is not None:
                    raise frame.refusal
                first, wait_s = False, pace.after(frame)
                view.print(frame, wait_s)
                if pressed.wait(wait_s) is Key.QUIT:
                    return
        finally:
            view.close()
