"""Options that several commands have, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import click

from sor_core.domain.instrument import Symbol
from sor_core.domain.money import decimal_from_wire
from sor_core.domain.order import Strategy

DEFAULT_URL = "http://127.0.0.1:8007"
STRATEGIES = tuple(str(strategy) for strategy in Strategy)
_F = TypeVar("_F", bound=Callable[..., Any])


class _Positive(click.ParamType[Decimal]):
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = value if isinstance(value, Decimal) else decimal_from_wire(value)
        except ValueError:
            number = Decimal(0)
        if number <= 0:
            self.fail(f"expected a positive plain decimal such as 0.5, not {value!r}", param, ctx)
        return number


class _MarketSymbol(click.ParamType[Symbol]):
    name = "base/quote"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Symbol:
        if isinstance(value, Symbol):
            return value
        try:
            return Symbol.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Names(click.ParamType[tuple[str, ...]]):
    name = "name,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        names = value if isinstance(value, tuple) else tuple(part.strip() for part in value.split(","))
        if not all(names):
            self.fail(f"expected names with commas between them, not {value!r}", param, ctx)
        return names


class _ByVenue(click.ParamType[Mapping[str, Decimal]]):
    """``venue=number,...``; a number alone is for every venue, under the name ``*``."""

    name = "venue=number,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, Decimal]:
        if isinstance(value, Mapping):
            return value
        found: dict[str, Decimal] = {}
        for part in value.split(","):
            name, equals, number = part.strip().rpartition("=")
            try:
                found[name if equals else "*"] = decimal_from_wire(number)
            except ValueError:
                self.fail(f"expected venue=number,... or one number for all, not {value!r}", param, ctx)
        return found


POSITIVE = _Positive()
SYMBOL = _MarketSymbol()
NAMES = _Names()
BY_VENUE = _ByVenue()

side = click.option("--side", type=click.Choice(["buy", "sell"]), required=True)


def api_options(command: _F) -> _F:
    """``--url`` and ``--json``."""
    command = click.option("--json", "raw", is_flag=True, help="Print the answer as it came.")(command)
    return click.option(
        "--url",
        envvar="SOR_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="Where the API is; requests that leave this machine are signed (SigV4). Also SOR_URL.",
    )(command)


def order_options(command: _F) -> _F:
    """What is the same for ``route`` and ``execute``."""
    for decorate in (
        click.option("--max-legs", type=click.IntRange(1, 50), help="The most venues to split across."),
        click.option("--deny", type=NAMES, help="All venues but these."),
        click.option("--allow", type=NAMES, help="Only these venues."),
        click.option("--max-slippage-bps", type=POSITIVE, help="Worst price, from the arrival mid."),
        click.option("--strategy", "execution_strategy", type=click.Choice(STRATEGIES)),
        click.option("--price", type=POSITIVE, help="Worst price; makes it a limit order."),
        click.option("--quote-amount", type=POSITIVE, help="Quote to spend at most, or to receive."),
        click.option("--amount", type=POSITIVE, help="Base to buy or sell."),
        side,
        click.argument("symbol", type=SYMBOL),
    ):
        command = decorate(command)
    return command


def order_body(options: Mapping[str, Any]) -> dict[str, Any]:
    """The body of ``POST /api/route`` that the options of `order_options` ask for.

    Raises
    ------
    click.UsageError
        If they contradict each other.
    """
    if (options["amount"] is None) == (options["quote_amount"] is None):
        raise click.UsageError("Give --amount or --quote-amount, and not both.")
    if options["allow"] and options["deny"]:
        raise click.UsageError("Give --allow or --deny, not both.")
    body: dict[str, Any] = {
        "symbol": str(options["symbol"]),
        "side": options["side"],
        "type": "market" if options["price"] is None else "limit",
    }
    for name in ("amount", "quote_amount", "price", "max_slippage_bps"):
        if options[name] is not None:
            body[name] = f"{options[name]:f}"
    for name in ("execution_strategy", "max_legs"):
        if options[name] is not None:
            body[name] = options[name]
    for name in ("allow", "deny"):
        if options[name]:
            body["venues"] = {name: list(options[name])}
    return body
