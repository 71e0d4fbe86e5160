"""How the simulated venues are started: read once from the environment, checked before anything opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from local.venues.clock import Clock, WallClock
from local.venues.recorded import Recording, RecordingError, read_recording

DEFAULT_PORT = 8006
DEFAULT_SEED = 20_240_808
_FEES = "SOR_TAKER_FEES_BPS"
_FEE_BPS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,18})?", re.ASCII)
_LAST_PORT = 65_535
_LONGEST_SEED = 18


class ConfigError(Exception):
    """A setting that cannot be used; its text names the variable and what was expected."""


@dataclass(frozen=True, slots=True)
class VenuesConfig:
    """Everything that the simulated venues depend on.

    Attributes
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    seed
        Decides the generated books and the draws of faults.
    rate_limits
        Whether the venues' request limits hold.
    recording
        Recorded books to play instead of the generated ones of that market.
    clock
        What time it is.
    taker_rates
        What the accounts pay of what they take, by venue; a venue not named has its entry tier.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    seed: int = DEFAULT_SEED
    rate_limits: bool = True
    recording: Recording | None = None
    clock: Clock = field(default_factory=WallClock)
    taker_rates: Mapping[str, Decimal] = field(default_factory=dict)


def config_from_environment(environment: Mapping[str, str]) -> VenuesConfig:
    """Read the ``SOR_VENUES_*`` variables and ``SOR_TAKER_FEES_BPS``; one that is empty counts as not set.

    Raises
    ------
    ConfigError
        Naming the variable and what was expected.
    """
    host = environment.get("SOR_VENUES_HOST") or "127.0.0.1"
    port = _whole(environment, "SOR_VENUES_PORT", DEFAULT_PORT, "a port number from 0 to 65535")
    if not 0 <= port <= _LAST_PORT:
        raise _unexpected(environment, "SOR_VENUES_PORT", "a port number from 0 to 65535")
    seed = _whole(environment, "SOR_VENUES_SEED", DEFAULT_SEED, "a whole number")
    limits = environment.get("SOR_VENUES_RATE_LIMITS") or "on"
    if limits not in {"on", "off"}:
        raise _unexpected(environment, "SOR_VENUES_RATE_LIMITS", "on or off")
    return VenuesConfig(
        host,
        port,
        seed,
        limits == "on",
        _recording(environment),
        taker_rates=taker_rates(environment),
    )


def taker_rates(environment: Mapping[str, str]) -> Mapping[str, Decimal]:
    """Read ``SOR_TAKER_FEES_BPS``: what the router is told of the accounts' fees is true of them here.

    Raises
    ------
    ConfigError
        If it is no list such as ``binance=7.5,kraken=26``.
    """
    rates = {}
    for pair in filter(None, (environment.get(_FEES) or "").split(",")):
        venue, fee_bps = map(str.strip, pair.partition("=")[::2])
        if not _FEE_BPS.fullmatch(fee_bps):
            raise _unexpected(environment, _FEES, "venue=bps pairs such as binance=7.5,kraken=26")
        rates[venue] = Decimal(fee_bps) / 10_000
    return rates


def _recording(environment: Mapping[str, str]) -> Recording | None:
    path = environment.get("SOR_VENUES_BOOKS")
    if not path:
        return None
    symbol = environment.get("SOR_VENUES_BOOKS_SYMBOL") or "BTC/USDT"
    try:
        return read_recording(Path(path), symbol)
    except RecordingError as error:
        variable = "SOR_VENUES_BOOKS_SYMBOL" if error.about_symbol else "SOR_VENUES_BOOKS"
        raise ConfigError(f"{variable}: {error}") from error


def _whole(environment: Mapping[str, str], name: str, default: int, expected: str) -> int:
    text = environment.get(name)
    if not text:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_SEED):
        raise _unexpected(environment, name, expected)
    return int(text)


def _unexpected(environment: Mapping[str, str], name: str, expected: str) -> ConfigError:
    return ConfigError(f"{name}: expected {expected}, not {environment.get(name, '')[:60]!r}")
