"""Configuration from environment variables, read once and checked whole.

Every variable stands in one table, docs/configuration.md; the template has a parameter for each.
A bad value stops the start with the variable's name and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlsplit

from sor_core.domain.instrument import Symbol
from sor_core.domain.market import Policy, Weights
from sor_core.execution.limits import Limits
from sor_core.health.breaker import BreakerPolicy

_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?", re.ASCII)
_VENUE = re.compile(r"[a-z][a-z0-9_]{1,30}", re.ASCII)
_ASSET = re.compile(r"[A-Z0-9]{2,15}", re.ASCII)
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_WEIGHT_NAMES = ("price", "liquidity", "latency", "reliability")
_SYMBOLS = "symbols such as BTC/USDT"
_LONGEST = 80
_T = TypeVar("_T")


class SettingsError(ValueError):
    """A variable has a value that cannot be used; its text names the variable and what was expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration; see docs/configuration.md for meaning and ranges."""

    cache_ttl_ms: int
    health_check_interval_s: int
    breaker: BreakerPolicy
    max_slippage_bps: Decimal
    policy: Policy
    exchange_gateway_url: str
    venue_urls: Mapping[str, str]
    venues: tuple[str, ...]
    symbols: tuple[Symbol, ...]
    taker_fees_bps: Mapping[str, Decimal]
    key_tiers: Mapping[str, str]
    """By venue; whether it has such a tier, the functions that trade find out."""
    book_depth: int
    log_level: str
    limits: Limits
    require_idempotency_key: bool
    strict_resolution: bool
    review_after_ms: int
    max_rounds: int
    execution_ms: int
    state_table: str
    probe_queue_url: str
    orders_table: str
    failover_machine_arn: str
    secrets_prefix: str
    metrics_namespace: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check every variable; raises `SettingsError` at the first bad one."""
        read = _Reader(env)
        max_latency_ms = read.number("SOR_MAX_LATENCY_MS", "1000", 1, 10_000)
        policy = Policy(
            max_latency_ms=float(max_latency_ms),
            min_liquidity_score=float(read.number("SOR_MIN_LIQUIDITY_SCORE", "2.0", 0, 10)),
            max_book_age_ms=read.whole("SOR_MAX_BOOK_AGE_MS", "10000", 100, 600_000),
            weights=read.weights("SOR_BEST_EXECUTION_WEIGHTS"),
            best_execution_tolerance_bps=read.number("SOR_BEST_EXECUTION_TOLERANCE_BPS", "5", 0, 1000),
            lowest_latency_tolerance_bps=read.number("SOR_LOWEST_LATENCY_TOLERANCE_BPS", "10", 0, 1000),
            full_liquidity_notionals=read.notionals(
                "SOR_FULL_LIQUIDITY_NOTIONAL", "10000000,BTC=150,ETH=4000"
            ),
            leg_fixed_cost=read.number("SOR_LEG_FIXED_COST", "0", 0, 10**9),
        )
        venues = read.each("SOR_VENUES", "binance,coinbase,kraken", _venue, "venue names such as binance")
        return cls(
            cache_ttl_ms=int(read.number("SOR_CACHE_TTL_SECONDS", "5", 0, 3600) * 1000),
            health_check_interval_s=read.whole("SOR_HEALTH_CHECK_INTERVAL", "30", 10, 300),
            breaker=read.breaker(),
            max_slippage_bps=read.number("SOR_MAX_SLIPPAGE_BPS", "100", "0.01", 5000),
            policy=policy,
            exchange_gateway_url=read.url("EXCHANGE_GATEWAY_URL"),
            venue_urls={v: read.url(f"SOR_{v.upper()}_URL") for v in venues},
            venues=venues,
            symbols=read.each("SOR_SYMBOLS", "BTC/USDT,ETH/USDT,BTC/USD,ETH/USD", Symbol.parse, _SYMBOLS),
            taker_fees_bps=read.fees("SOR_TAKER_FEES_BPS", venues),
            key_tiers=read.tiers("SOR_KEY_TIERS", venues),
            book_depth=read.whole("SOR_BOOK_DEPTH", "500", 1, 5000),
            log_level=read.choice("SOR_LOG_LEVEL", "INFO", _LOG_LEVELS),
            limits=read.limits(),
            require_idempotency_key=read.flag("SOR_REQUIRE_IDEMPOTENCY_KEY", "true"),
            strict_resolution=read.flag("SOR_STRICT_RESOLUTION", "false"),
            review_after_ms=read.whole("SOR_REVIEW_AFTER_SECONDS", "900", 60, 86_400) * 1000,
            max_rounds=read.whole("SOR_MAX_ROUNDS", "4", 1, 20),
            execution_ms=read.whole("SOR_EXECUTION_SECONDS", "60", 5, 3600) * 1000,
            state_table=env.get("SOR_STATE_TABLE", ""),
            probe_queue_url=env.get("SOR_PROBE_QUEUE_URL", ""),
            orders_table=env.get("SOR_ORDERS_TABLE", ""),
            failover_machine_arn=env.get("SOR_FAILOVER_MACHINE", ""),
            secrets_prefix=env.get("SOR_SECRETS_PREFIX", ""),
            metrics_namespace=env.get("SOR_METRICS_NAMESPACE", ""),
        )


def _venue(text: str) -> str:
    if not _VENUE.fullmatch(text):
        raise ValueError(text)
    return text


class _Reader:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def _text(self, name: str, default: str) -> str:
        # An empty value is what a template parameter left empty becomes: the default holds.
        return self._env.get(name, "").strip() or default

    def _fail(self, name: str, expected: str, got: str) -> SettingsError:
        return SettingsError(f"{name}: expected {expected}, not {got[:_LONGEST]!r}")

    def number(self, name: str, default: str, least: int | str, most: int) -> Decimal:
        text = self._text(name, default)
        if not _DECIMAL.fullmatch(text) or not Decimal(least) <= Decimal(text) <= most:
            raise self._fail(name, f"a number from {least} to {most}", text)
        return Decimal(text)

    def whole(self, name: str, default: str, least: int, most: int) -> int:
        text = self._text(name, default)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):  # noqa: PLR2004
            raise self._fail(name, f"a whole number from {least} to {most}", text)
        return int(text)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self._text(name, default).upper()
        if text not in choices:
            raise self._fail(name, "one of " + ", ".join(choices), text)
        return text

    def flag(self, name: str, default: str) -> bool:
        text = self._text(name, default).lower()
        if text not in {"true", "false"}:
            raise self._fail(name, "true or false", text)
        return text == "true"

    def url(self, name: str) -> str:
        text = self._text(name, "").rstrip("/")
        if not text:
            return ""
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
            usable = usable and not (parts.query or parts.fragment or parts.username)
        except ValueError:
            usable = False
        if not usable:
            # The value is not shown: an address may carry a secret.
            raise SettingsError(f"{name}: expected an address such as http://localhost:8006, without a user")
        return text

    def each(self, name: str, default: str, parse: Callable[[str], _T], expected: str) -> tuple[_T, ...]:
        text = self._text(name, default)
        try:
            items = tuple(parse(part.strip()) for part in text.split(","))
        except ValueError as error:
            raise self._fail(name, f"{expected}, separated by commas", text) from error
        if len(set(items)) != len(items):
            raise self._fail(name, f"{expected}, each once", text)
        return items

    def _pairs(self, name: str, listed: str, text: str, expected: str) -> dict[str, Decimal]:
        """Read ``key=number`` pairs out of `listed`, part of the variable's whole `text`."""
        pairs: dict[str, Decimal] = {}
        for part in listed.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or key in pairs or not _DECIMAL.fullmatch(value):
                raise self._fail(name, expected, text)
            pairs[key] = Decimal(value)
        return pairs

    def weights(self, name: str) -> Weights:
        expected = "price=..,liquidity=..,latency=..,reliability=.. that add up to 1, price above 0"
        text = self._text(name, "price=0.4,liquidity=0.3,latency=0.2,reliability=0.1")
        pairs = self._pairs(name, text, text, expected)
        if set(pairs) != set(_WEIGHT_NAMES) or sum(pairs.values()) != 1 or pairs["price"] <= 0:
            raise self._fail(name, expected, text)
        return Weights(**pairs)

    def notionals(self, name: str, default: str) -> Mapping[str, Decimal]:
        expected = f"a notional above 0, then quotes with their own, such as {default}"
        text = self._text(name, default)
        first, comma, rest = text.partition(",")
        pairs = self._pairs(name, rest, text, expected) if comma else {}
        if not _DECIMAL.fullmatch(first.strip()) or not all(map(_ASSET.fullmatch, pairs)):
            raise self._fail(name, expected, text)
        pairs["*"] = Decimal(first.strip())
        if any(value <= 0 for value in pairs.values()):
            raise self._fail(name, expected, text)
        return pairs

    def breaker(self) -> BreakerPolicy:
        return BreakerPolicy(
            failures=self.whole("SOR_BREAKER_FAILURES", "3", 1, 100),
            open_ms=self.whole("SOR_BREAKER_OPEN_SECONDS", "30", 1, 3600) * 1000,
            good_probes=self.whole("SOR_BREAKER_GOOD_PROBES", "2", 1, 100),
        )

    def limits(self) -> Limits:
        symbols = None
        if self._text("SOR_ALLOWED_SYMBOLS", "*") != "*":
            symbols = frozenset(self.each("SOR_ALLOWED_SYMBOLS", "*", Symbol.parse, f"* or {_SYMBOLS}"))
        return Limits(
            symbols=symbols,
            order_notionals=self.notionals("SOR_MAX_ORDER_NOTIONAL", "100000,BTC=2,ETH=50"),
            daily_notionals=self.notionals("SOR_MAX_DAILY_NOTIONAL", "1000000,BTC=20,ETH=500"),
            collar_bps=self.number("SOR_PRICE_COLLAR_BPS", "500", 1, 5000),
        )

    def fees(self, name: str, venues: tuple[str, ...]) -> Mapping[str, Decimal]:
        text = self._text(name, "")
        if not text:
            return {}
        expected = "venue=bps pairs such as binance=7.5,kraken=26, each a venue of SOR_VENUES, below 1000"
        pairs = self._pairs(name, text, text, expected)
        if not set(pairs) <= set(venues) or any(fee >= 1000 for fee in pairs.values()):  # noqa: PLR2004
            raise self._fail(name, expected, text)
        return pairs

    def tiers(self, name: str, venues: tuple[str, ...]) -> Mapping[str, str]:
        text = self._text(name, "").lower()
        if not text:
            return {}
        expected = "venue=tier pairs such as kraken=pro, each venue once and one of SOR_VENUES"
        listed = [tuple(map(str.strip, part.partition("=")[::2])) for part in text.split(",")]
        tiers = {venue: tier for venue, tier in listed if venue in venues and _VENUE.fullmatch(tier)}
        if len(tiers) != len(listed):
            raise self._fail(name, expected, text)
        return tiers
