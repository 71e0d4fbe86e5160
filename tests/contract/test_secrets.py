"""Keys in Secrets Manager: found, cached, renewed after a rotation, and never shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from sor_core.adapters.secrets import (
    CACHED_FOR_MS,
    RE_READ_AFTER_MS,
    SecretsManagerCredentials,
    parse_credentials,
)
from sor_core.domain.credentials import Credentials, CredentialsError, KeyUse
from tests.fakes.clock import ManualClock

PREFIX = "sor/venues"


class Counting:
    """A client that counts the looks, and may be out of reach."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.looks: list[str] = []
        self.unreachable: Any = None

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803 - boto3's own word
        self.looks.append(SecretId.removeprefix(PREFIX + "/"))
        return (self.unreachable or self._client).get_secret_value(SecretId=SecretId)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


@pytest.fixture
def client(aws: Any) -> Counting:
    return Counting(aws)


@pytest.fixture
def source(client: Counting, clock: ManualClock) -> SecretsManagerCredentials:
    return SecretsManagerCredentials(client, PREFIX + "/", clock)


def store(aws: Any, name: str, document: Any) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        aws.create_secret(Name=f"{PREFIX}/{name}", SecretString=text)
    except aws.exceptions.ResourceExistsException:
        aws.put_secret_value(SecretId=f"{PREFIX}/{name}", SecretString=text)


def unreachable() -> Any:
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    return boto3.client(
        "secretsmanager", region_name="eu-west-1", endpoint_url="http://127.0.0.1:1", config=config
    )


KEY = {"api_key": "K", "api_secret": "S"}


async def test_a_key_is_looked_for_once(
    aws: Any, client: Counting, source: SecretsManagerCredentials
) -> None:
    store(aws, "binance", KEY)
    got = await asyncio.gather(*(source.get("binance", KeyUse.TRADE) for _ in range(10)))
    assert set(got) == {Credentials("binance", KeyUse.TRADE, "K", "S")}
    assert client.looks == ["binance"]


async def test_a_key_is_looked_for_again_after_a_while(
    aws: Any, client: Counting, source: SecretsManagerCredentials, clock: ManualClock
) -> None:
    store(aws, "binance", KEY)
    await source.get("binance", KeyUse.TRADE)
    store(aws, "binance", {**KEY, "api_secret": "new"})
    clock.advance(CACHED_FOR_MS - 1)
    assert (await source.get("binance", KeyUse.TRADE)).api_secret == "S"
    clock.advance(1)
    assert (await source.get("binance", KeyUse.TRADE)).api_secret == "new"
    assert len(client.looks) == 2


async def test_a_rotation_is_found_as_soon_as_the_venue_refuses(
    aws: Any, client: Counting, source: SecretsManagerCredentials, clock: ManualClock
) -> None:
    store(aws, "kraken", KEY)
    old = await source.get("kraken", KeyUse.TRADE)
    store(aws, "kraken", {**KEY, "api_key": "K2"})
    clock.advance(RE_READ_AFTER_MS)
    source.refused(old)
    renewed = await source.get("kraken", KeyUse.TRADE)
    assert renewed.api_key == "K2"
    source.refused(old)  # late word of the old one changes nothing
    assert await source.get("kraken", KeyUse.TRADE) == renewed
    assert len(client.looks) == 2


async def test_a_key_that_is_simply_wrong_costs_few_looks(
    aws: Any, client: Counting, source: SecretsManagerCredentials, clock: ManualClock
) -> None:
    store(aws, "kraken", KEY)
    for _ in range(100):
        source.refused(await source.get("kraken", KeyUse.TRADE))
        clock.advance(100)
    assert len(client.looks) <= 1 + 10_000 // RE_READ_AFTER_MS


async def test_reading_has_a_key_of_its_own_where_there_is_one(
    aws: Any, source: SecretsManagerCredentials
) -> None:
    store(aws, "kraken", KEY)
    store(aws, "kraken/reading", {"api_key": "R", "api_secret": "RS"})
    store(aws, "binance", KEY)
    own = await source.get("kraken", KeyUse.READ)
    assert (own.api_key, own.use) == ("R", KeyUse.READ)
    shared = await source.get("binance", KeyUse.READ)
    assert (shared.api_key, shared.use) == ("K", KeyUse.TRADE)
    assert (await source.get("kraken", KeyUse.TRADE)).api_key == "K"


async def test_that_there_is_no_key_of_its_own_is_remembered(
    aws: Any, client: Counting, source: SecretsManagerCredentials
) -> None:
    store(aws, "binance", KEY)
    for _ in range(5):
        await source.get("binance", KeyUse.READ)
    assert client.looks == ["binance/reading", "binance"]


async def test_no_secret(source: SecretsManagerCredentials) -> None:
    for use in KeyUse:
        with pytest.raises(CredentialsError, match="there is no secret sor/venues/kraken"):
            await source.get("kraken", use)


async def test_a_known_key_is_used_on_while_secrets_are_out_of_reach(
    aws: Any, client: Counting, source: SecretsManagerCredentials, clock: ManualClock
) -> None:
    store(aws, "kraken", KEY)
    known = await source.get("kraken", KeyUse.TRADE)
    client.unreachable = unreachable()
    clock.advance(CACHED_FOR_MS)
    assert await source.get("kraken", KeyUse.TRADE) == known
    source.refused(known)
    clock.advance(RE_READ_AFTER_MS)
    with pytest.raises(CredentialsError, match="EndpointConnectionError"):
        await source.get("kraken", KeyUse.TRADE)
    with pytest.raises(CredentialsError):
        await source.get("binance", KeyUse.TRADE)


async def test_binary_content_is_no_key(aws: Any, source: SecretsManagerCredentials) -> None:
    aws.create_secret(Name=f"{PREFIX}/kraken", SecretBinary=b"HIDDEN")
    with pytest.raises(CredentialsError, match="expected text"):
        await source.get("kraken", KeyUse.TRADE)


@pytest.mark.parametrize(
    "document",
    [
        {"api_key": "K", "api_secret": "S"},
        {"api_key": " K\n", "api_secret": "S\n", "note": "mine", "key_type": "hmac"},
        {"name": "K", "privateKey": "S"},
        {"id": "K", "privateKey": "S"},
        {"name": "K", "principal": "x", "privateKey": "S", "nickname": "y"},
    ],
)
def test_forms(document: dict[str, str]) -> None:
    got = parse_credentials(json.dumps(document), "coinbase", KeyUse.TRADE)
    assert (got.api_key, got.api_secret) == ("K", "S")


def test_the_documented_forms() -> None:
    page = Path(__file__).parents[2] / "docs" / "credentials.md"
    examples = re.findall(r"```json\n(.*?)\n```", page.read_text(encoding="utf-8"))
    assert len(examples) == 2
    for example in examples:
        # The dots stand for what a page does not print; keys are ASCII.
        got = parse_credentials(example.replace("…", "x"), "coinbase", KeyUse.TRADE)
        assert got.api_key
        assert got.api_secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HIDDEN",
        "{}",
        "[]",
        "null",
        '"HIDDEN"',
        '{"api_key":"HIDDEN"}',
        '{"api_secret":"HIDDEN"}',
        '{"api_key":"HIDDEN","api_secret":""}',
        '{"api_key":"HIDDEN","api_secret":"  "}',
        '{"api_key":5,"api_secret":"HIDDEN"}',
        '{"api_key":null,"api_secret":"HIDDEN"}',
        '{"api_key":"HIDDEN","api_secret":"HIDDEN",}',
        '{"api_key":"HIDDEN\\u0000","api_secret":"HIDDEN"}',
        '{"api_key":"HIDDEN\\r\\nx-evil: 1","api_secret":"HIDDEN"}',
        '{"api_key":"HIDDEN","api_secret":"HIDDEN\\u00e9"}',
        '{"api_secert":"HIDDEN","api_key":"HIDDEN"}',
        "\ud800HIDDEN",
    ],
)
def test_what_is_no_key_is_not_shown(text: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        parse_credentials(text, "coinbase", KeyUse.TRADE)
    error: BaseException | None = caught.value
    while error is not None:
        assert "HIDDEN" not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__
