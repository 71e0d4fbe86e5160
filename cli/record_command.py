"""``sor record``: the venues' books as they are, into a file for ``sor replay``."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from cli.exits import UnavailableError
from cli.options import NAMES, SYMBOL

ALL_VENUES = "binance,coinbase,kraken"
MOST_LEVELS = 5000
"""Binance gives no more ("Order book")."""


@click.command(short_help="Record books for replay.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--symbol", type=SYMBOL, default="BTC/USDT", show_default=True, help="What to record.")
@click.option("--venues", type=NAMES, default=ALL_VENUES, show_default=True, help="Whose books.")
@click.option("--rows", type=click.IntRange(1), default=60, show_default=True, help="How many.")
@click.option(
    "--every", type=click.FloatRange(0.25), default=1.0, show_default=True, help="Seconds between rows."
)
@click.option(
    "--depth", type=click.IntRange(1, MOST_LEVELS), default=100, show_default=True, help="Levels of a side."
)
@click.option(
    "--gateway",
    envvar="EXCHANGE_GATEWAY_URL",
    default="",
    help="Where the venues are asked, such as the simulated ones; else at their own addresses.",
)
def record(file: Path, venues: tuple[str, ...], **options: Any) -> None:
    """Record the venues' books into FILE, gzip-compressed if its name ends in .gz.

    Asks all venues at once for their public books, a row each second, without keys. A row that a venue has no
    book for is left out and told.
    """
    from cli.record import KNOWN, record_rows  # noqa: PLC0415 - the adapters load for this command only

    unknown = sorted(set(venues) - set(KNOWN))
    if unknown:
        said = f"expected names of {', '.join(KNOWN)}, not {', '.join(unknown)}"
        raise click.BadParameter(said, param_hint="--venues")
    with _new(file) as out:
        rows = asyncio.run(record_rows(out, tuple(dict.fromkeys(venues)), **options))
    click.echo(f"{rows} rows of {', '.join(venues)} in {file}", err=True)


@contextlib.contextmanager
def _new(file: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file that was not there; one without a row is removed again."""
    try:
        with file.open("xb") as plain:
            if file.suffix == ".gz":
                with gzip.GzipFile(fileobj=plain, mode="wb", filename="", mtime=0) as packed:
                    yield packed
            else:
                yield plain
    except FileExistsError as error:
        raise click.FileError(str(file), "it is there already; name another") from error
    except UnavailableError:
        file.unlink()
        raise
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error
