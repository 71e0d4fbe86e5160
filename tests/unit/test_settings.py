from __future__ import annotations

from decimal import Decimal

import pytest

from sor_core.bootstrap import read_settings
from sor_core.domain.instrument import Symbol
from sor_core.execution.limits import of_quote
from sor_core.settings import Settings, SettingsError


def test_the_required_defaults() -> None:
    settings = Settings.from_env({})

    assert settings.cache_ttl_ms == 5000
    assert settings.policy.max_latency_ms == 1000
    assert settings.policy.min_liquidity_score == 2.0
    assert settings.health_check_interval_s == 30
    assert settings.max_slippage_bps == 100
    weights = settings.policy.weights
    assert (weights.price, weights.liquidity, weights.latency, weights.reliability) == (
        Decimal("0.4"),
        Decimal("0.3"),
        Decimal("0.2"),
        Decimal("0.1"),
    )


def test_an_empty_value_is_a_parameter_left_empty() -> None:
    assert Settings.from_env({"SOR_CACHE_TTL_SECONDS": "", "EXCHANGE_GATEWAY_URL": " "}) == Settings.from_env(
        {}
    )


def test_values_are_read() -> None:
    settings = Settings.from_env(
        {
            "SOR_CACHE_TTL_SECONDS": "0.5",
            "SOR_SYMBOLS": "SOL/USD, BTC/EUR",
            "SOR_VENUES": "kraken,binance",
            "SOR_TAKER_FEES_BPS": "kraken=7.5",
            "SOR_KEY_TIERS": "Kraken=Pro, binance=vip",
            "SOR_KRAKEN_URL": "http://localhost:1/",
            "SOR_LOG_LEVEL": "debug",
        }
    )

    assert settings.cache_ttl_ms == 500
    assert settings.symbols == (Symbol("SOL", "USD"), Symbol("BTC", "EUR"))
    assert settings.venues == ("kraken", "binance")
    assert settings.taker_fees_bps == {"kraken": Decimal("7.5")}
    assert settings.key_tiers == {"kraken": "pro", "binance": "vip"}
    assert settings.venue_urls == {"kraken": "http://localhost:1", "binance": ""}
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SOR_CACHE_TTL_SECONDS", "-1", "a number from 0 to 3600"),
        ("SOR_CACHE_TTL_SECONDS", "1e3", "a number from 0 to 3600"),
        ("SOR_MAX_LATENCY_MS", "0", "a number from 1 to 10000"),
        ("SOR_MIN_LIQUIDITY_SCORE", "11", "a number from 0 to 10"),
        ("SOR_HEALTH_CHECK_INTERVAL", "9", "a whole number from 10 to 300"),
        ("SOR_HEALTH_CHECK_INTERVAL", "30.5", "a whole number from 10 to 300"),
        ("SOR_MAX_SLIPPAGE_BPS", "0", "a number from 0.01 to 5000"),
        ("EXCHANGE_GATEWAY_URL", "localhost:8006", "an address"),
        ("EXCHANGE_GATEWAY_URL", "http://user:pw@host", "an address"),
        ("EXCHANGE_GATEWAY_URL", "http://host:99999", "an address"),
        ("SOR_BEST_EXECUTION_WEIGHTS", "price=1", "add up to 1"),
        ("SOR_BEST_EXECUTION_WEIGHTS", "price=0,liquidity=0.5,latency=0.5,reliability=0", "price above 0"),
        ("SOR_BEST_EXECUTION_WEIGHTS", "price=0.4,liquidity=0.3,latency=0.2,reliability=0.2", "add up to 1"),
        ("SOR_SYMBOLS", "BTCUSDT", "symbols such as BTC/USDT"),
        ("SOR_SYMBOLS", "BTC/USDT,BTC/USDT", "each once"),
        ("SOR_TAKER_FEES_BPS", "mtgox=1", "each a venue of SOR_VENUES"),
        ("SOR_TAKER_FEES_BPS", "kraken=1000", "below 1000"),
        ("SOR_KEY_TIERS", "kraken", "such as kraken=pro"),
        ("SOR_KEY_TIERS", "kraken=", "such as kraken=pro"),
        ("SOR_KEY_TIERS", "mtgox=pro", "one of SOR_VENUES"),
        ("SOR_KEY_TIERS", "kraken=pro,kraken=starter", "each venue once"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "BTC=5", "a notional above 0"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "5,BTC=0", "a notional above 0"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "5,btc=1", "a notional above 0"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "5,", "a notional above 0"),
        ("SOR_BOOK_DEPTH", "0", "a whole number from 1 to 5000"),
        ("SOR_REQUIRE_IDEMPOTENCY_KEY", "yes", "true or false"),
        ("SOR_STRICT_RESOLUTION", "1", "true or false"),
        ("SOR_ALLOWED_SYMBOLS", "*,BTC/USDT", "* or symbols such as BTC/USDT"),
        ("SOR_ALLOWED_SYMBOLS", "BTC/USDT,BTC/USDT", "each once"),
        ("SOR_MAX_ORDER_NOTIONAL", "0", "such as 100000,BTC=2,ETH=50"),
        ("SOR_MAX_ORDER_NOTIONAL", "-1", "such as 100000,BTC=2,ETH=50"),
        ("SOR_MAX_DAILY_NOTIONAL", "BTC=20", "such as 1000000,BTC=20,ETH=500"),
        ("SOR_PRICE_COLLAR_BPS", "0", "a number from 1 to 5000"),
        ("SOR_REVIEW_AFTER_SECONDS", "59", "a whole number from 60 to 86400"),
        ("SOR_MAX_ROUNDS", "0", "a whole number from 1 to 20"),
        ("SOR_EXECUTION_SECONDS", "4", "a whole number from 5 to 3600"),
        ("SOR_LOG_LEVEL", "LOUD", "one of DEBUG"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})

    assert str(caught.value).startswith(f"{name}: expected ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_is_never_repeated_for_it_may_carry_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"SOR_BINANCE_URL": "http://user:hunter2@host"})

    assert "hunter2" not in str(caught.value)


def test_liquidity_is_scaled_by_the_quote() -> None:
    policy = Settings.from_env({"SOR_FULL_LIQUIDITY_NOTIONAL": "5000, EUR=7"}).policy

    assert policy.full_liquidity_notional("EUR") == 7
    assert policy.full_liquidity_notional("USD") == 5000
    assert Settings.from_env({}).policy.full_liquidity_notional("BTC") == 150


def test_orders_are_bounded_unless_configured_otherwise() -> None:
    settings = Settings.from_env({})
    limits = settings.limits

    assert limits.symbols is None
    assert of_quote(limits.order_notionals, "USDT") == 100_000
    assert of_quote(limits.order_notionals, "BTC") == 2
    assert of_quote(limits.daily_notionals, "USD") == 1_000_000
    assert of_quote(limits.daily_notionals, "ETH") == 500
    assert limits.collar_bps == 500
    assert (settings.require_idempotency_key, settings.strict_resolution) == (True, False)
    assert (settings.max_rounds, settings.execution_ms, settings.review_after_ms) == (4, 60_000, 900_000)


def test_limits_are_read() -> None:
    settings = Settings.from_env(
        {
            "SOR_ALLOWED_SYMBOLS": "BTC/USDT, ETH/USD",
            "SOR_MAX_ORDER_NOTIONAL": "500,JPY=75000",
            "SOR_MAX_DAILY_NOTIONAL": "5000",
            "SOR_REQUIRE_IDEMPOTENCY_KEY": "False",
            "SOR_ORDERS_TABLE": "sor-orders",
            "SOR_FAILOVER_MACHINE": "arn:aws:states:eu-west-1:1:stateMachine:sor-failover",
            "SOR_SECRETS_PREFIX": "sor/venues",
        }
    )

    assert settings.limits.symbols == frozenset({Symbol("BTC", "USDT"), Symbol("ETH", "USD")})
    assert settings.limits.order_notionals == {"*": 500, "JPY": 75000}
    assert settings.limits.daily_notionals == {"*": 5000}
    assert settings.require_idempotency_key is False
    assert settings.orders_table == "sor-orders"
    assert settings.failover_machine_arn.endswith(":sor-failover")
    assert settings.secrets_prefix == "sor/venues"


def test_a_venue_without_adapter_and_a_missing_table() -> None:
    with pytest.raises(SettingsError, match="SOR_VENUES: expected venues among binance"):
        read_settings({"SOR_VENUES": "binance,mtgox", "SOR_STATE_TABLE": "t"})
    with pytest.raises(SettingsError, match="SOR_STATE_TABLE"):
        read_settings({})
