"""Template parameters and settings are the same list, with the same ranges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import boto3
import pytest

from local.template import REPOSITORY, load, parameter_of_variable
from sor_core.bootstrap import read_settings
from sor_core.settings import Settings, SettingsError

SET_BY_DEPLOYMENT = {
    "SOR_STATE_TABLE",
    "SOR_PROBE_QUEUE_URL",
    "SOR_ORDERS_TABLE",
    "SOR_FAILOVER_MACHINE",
    "SOR_SECRETS_PREFIX",
    "SOR_METRICS_NAMESPACE",
}
READ_ELSEWHERE = {"AWS_ENDPOINT_URL"}  # by boto3 itself
TEMPLATE = load()
NUMBERS = sorted(
    variable
    for variable, name in parameter_of_variable(TEMPLATE).items()
    if TEMPLATE["Parameters"][name]["Type"] == "Number"
)


def declared_variables() -> set[str]:
    """Of all functions together."""
    sections = [TEMPLATE["Globals"]["Function"]]
    sections += [r["Properties"] for r in TEMPLATE["Resources"].values() if r["Type"].endswith("::Function")]
    return {name for part in sections for name in part.get("Environment", {}).get("Variables", {})}


class Recorder(Mapping[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def parameter(variable: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = TEMPLATE["Parameters"][parameter_of_variable(TEMPLATE)[variable]]
    return found


def settings_accept(variable: str, value: str) -> bool:
    try:
        read_settings({"SOR_STATE_TABLE": "table", variable: value})
    except SettingsError:
        return False
    return True


def test_an_endpoint_left_empty_is_none_to_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parameter("AWS_ENDPOINT_URL")["Default"] == ""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    client = boto3.Session("key", "secret", region_name="eu-central-1").client("sqs")
    assert client.meta.endpoint_url == "https://sqs.eu-central-1.amazonaws.com"


def test_every_setting_is_a_declared_variable_and_no_other_is_declared() -> None:
    environment = Recorder()
    Settings.from_env(environment)
    declared = declared_variables()
    assert declared == environment.asked | READ_ELSEWHERE
    assert declared == set(parameter_of_variable(TEMPLATE)) | SET_BY_DEPLOYMENT


@pytest.mark.parametrize("variable", sorted(parameter_of_variable(TEMPLATE)))
def test_a_parameter_is_named_like_its_variable(variable: str) -> None:
    words = "".join(word.capitalize() for word in variable.removeprefix("AWS_").split("_"))
    assert parameter_of_variable(TEMPLATE)[variable] == words


def test_the_templates_defaults_are_the_settings_defaults() -> None:
    from_template = {v: str(parameter(v)["Default"]) for v in parameter_of_variable(TEMPLATE)}
    table = {"SOR_STATE_TABLE": "table"}
    assert Settings.from_env(from_template | table) == Settings.from_env(table)


@pytest.mark.parametrize("variable", NUMBERS)
def test_a_number_has_the_same_range_in_both(variable: str) -> None:
    least, most = (Decimal(str(parameter(variable)[key])) for key in ("MinValue", "MaxValue"))
    step = Decimal(1) if least == least.to_integral() else least
    assert settings_accept(variable, str(least))
    assert settings_accept(variable, str(most))
    assert not settings_accept(variable, str(least - step))
    assert not settings_accept(variable, str(most + 1))


@pytest.mark.parametrize(
    ("variable", "good", "bad"),
    [
        ("EXCHANGE_GATEWAY_URL", "http://localhost:8006", "localhost:8006"),
        ("SOR_ALLOWED_SYMBOLS", "*", "any"),
        ("SOR_ALLOWED_SYMBOLS", "BTC/USDT,ETH/USD", "BTC/USDT,*"),
        ("SOR_BEST_EXECUTION_WEIGHTS", "price=1,liquidity=0,latency=0,reliability=0", "price=1"),
        ("SOR_BINANCE_URL", "https://binance.example", "ftp://binance.example"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "5000000,BTC=100", "5000000;BTC=100"),
        ("SOR_FULL_LIQUIDITY_NOTIONAL", "0.5,JPY=1500000000", "BTC=100"),
        ("SOR_MAX_DAILY_NOTIONAL", "2000000,BTC=40", "BTC=40"),
        ("SOR_MAX_ORDER_NOTIONAL", "1000,ETH=1", "none"),
        ("SOR_SYMBOLS", "BTC/USDT", "btc-usdt"),
        ("SOR_TAKER_FEES_BPS", "binance=7.5,kraken=26", "binance:7.5"),
        ("SOR_VENUES", "kraken,binance", "kraken,bitmex"),
    ],
)
def test_what_one_refuses_the_other_refuses(variable: str, good: str, bad: str) -> None:
    pattern = parameter(variable)["AllowedPattern"]
    assert re.search(pattern, good)
    assert settings_accept(variable, good)
    assert not re.search(pattern, bad)
    assert not settings_accept(variable, bad)


@pytest.mark.parametrize("variable", ["SOR_REQUIRE_IDEMPOTENCY_KEY", "SOR_STRICT_RESOLUTION"])
def test_a_switch_is_true_or_false(variable: str) -> None:
    assert parameter(variable)["AllowedValues"] == ["true", "false"]
    assert settings_accept(variable, "true")
    assert settings_accept(variable, "false")
    assert not settings_accept(variable, "yes")


def test_the_log_levels_are_the_same() -> None:
    assert all(
        settings_accept("SOR_LOG_LEVEL", level) for level in parameter("SOR_LOG_LEVEL")["AllowedValues"]
    )
    assert not settings_accept("SOR_LOG_LEVEL", "TRACE")


def test_each_constrained_parameter_says_what_was_expected() -> None:
    constrained = ("AllowedPattern", "MinValue", "MaxValue")
    silent = [
        name
        for name, entry in TEMPLATE["Parameters"].items()
        if "ConstraintDescription" not in entry and any(key in entry for key in constrained)
    ]
    assert silent == []


def test_each_parameter_is_described_and_grouped_once() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(TEMPLATE["Parameters"])
    assert [name for name, entry in TEMPLATE["Parameters"].items() if not entry.get("Description")] == []


def test_sam_local_can_set_what_events_env_json_names() -> None:
    named = json.loads((REPOSITORY / "events" / "env.json").read_text())["Parameters"]
    assert set(named) <= declared_variables()
