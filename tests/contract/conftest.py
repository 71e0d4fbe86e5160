"""Ports' adapters beside their fakes."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from sor_core.adapters.dynamo_state import DynamoStateStore
from sor_core.ports import StateStore
from tests.fakes.clock import ManualClock
from tests.fakes.memory_state import MemoryStateStore
from tests.fakes.state_table import STATE_TABLE, create_state_table


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "dynamodb"])
def store(
    request: pytest.FixtureRequest, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StateStore]:
    if request.param == "memory":
        yield MemoryStateStore(clock)
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        create_state_table(client)
        yield DynamoStateStore(client, STATE_TABLE, clock)
