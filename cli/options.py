"""Options that several commands have, and the types of their values."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from cli.client import DEFAULT_URL, Api, RefusedError, is_local
from sor_core.domain.instrument import Symbol
from sor_core.domain.money import decimal_from_wire
from sor_core.domain.order import Strategy

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


class _Key(click.ParamType[str]):
    """What an HTTP header can carry, as the API takes it: 1 to 128 printable ASCII characters."""

    name = "key"
    _form = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._form.fullmatch(value):
            self.fail(f"expected 1 to 128 printable ASCII characters, not {value!r}", param, ctx)
        return str(value)


class _Line(click.ParamType[str]):
    """Text that can be sent: what came to the command line as UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"expected UTF-8, not {value!r}", param, ctx)
        return str(value)


POSITIVE = _Positive()
KEY = _Key()
LINE = _Line()
SYMBOL = _MarketSymbol()
NAMES = _Names()
BY_VENUE = _ByVenue()

side = click.option("--side", type=click.Choice(["buy", "sell"]), required=True, help="Of the base.")


def api_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that name the API, and ``--json``.

    The command is called with ``api``, closed when it ends, and ``raw``. With ``--json`` a problem
    document, too, goes to standard output as it came.
    """

    @functools.wraps(command)
    def with_api(
        url: str | None, stack: str | None, profile: str | None, region: str | None, **options: Any
    ) -> Any:
        with _api(url, stack, profile, region) as api:
            try:
                return command(api=api, **options)
            except RefusedError as error:
                if options["raw"]:
                    click.echo(error.answer.text)
                raise

    decorated: Callable[..., Any] = with_api
    for decorate in (
        click.option("--json", "raw", is_flag=True, help="Print the API's document as it came."),
        click.option("--region", type=LINE, help="AWS region, where the address does not tell it."),
        click.option("--profile", type=LINE, help="AWS profile to sign with; else as the AWS tools choose."),
        click.option(
            "--stack", type=LINE, envvar="SOR_STACK", help="Name of the deployed stack. Also SOR_STACK."
        ),
        click.option(
            "--url",
            type=LINE,
            envvar="SOR_URL",
            help=f"Where the API is; signed (SigV4) unless on this machine. Also SOR_URL. [{DEFAULT_URL}]",
        ),
    ):
        decorated = decorate(decorated)
    return decorated


def _api(url: str | None, stack: str | None, profile: str | None, region: str | None) -> Api:
    if url is not None and stack is not None:
        source = click.get_current_context().get_parameter_source
        typed = [source(name) is ParameterSource.COMMANDLINE for name in ("url", "stack")]
        if typed[0] == typed[1]:
            raise click.UsageError("Give --url or --stack (SOR_URL or SOR_STACK), not both.")
        url, stack = (url, None) if typed[0] else (None, stack)
    if stack is None and is_local(url or DEFAULT_URL):
        return Api(url or DEFAULT_URL)
    from cli.aws import Aws  # noqa: PLC0415 - botocore takes a while to load, and is not for a local API

    aws = Aws(profile, region)
    return Api(url or DEFAULT_URL if stack is None else aws.api_url(stack), aws)


def order_options(command: _F) -> _F:
    """What is the same for ``route`` and ``execute``."""
    for decorate in (
        click.option("--max-legs", type=click.IntRange(1, 50), help="The most venues to split across."),
        click.option("--deny", type=NAMES, help="All venues but these."),
        click.option("--allow", type=NAMES, help="Only these venues."),
        click.option("--max-slippage-bps", type=POSITIVE, help="Worst price, from the arrival mid."),
        click.option(
            "--strategy", "execution_strategy", type=click.Choice(STRATEGIES), help="What is minimised."
        ),
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
