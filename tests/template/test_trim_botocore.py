"""What the layer keeps of botocore's descriptions of AWS means what the whole did."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.regions import EndpointResolver

from local.build import layer_folder

APIS = {
    "dynamodb": "dynamodb",
    "secretsmanager": "secretsmanager",
    "sqs": "sqs",
    "stepfunctions": "states",
    "sts": "sts",
}
"""Each with its name among the addresses."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    log = tmp_path_factory.mktemp("layer") / "build.log"
    site = asyncio.run(layer_folder(log)) / "python"
    return Loader([str(site / "botocore" / "data")], include_default_search_paths=False)


@pytest.fixture(scope="module")
def whole() -> Loader:
    return Loader([str(Path(botocore.__file__).parent / "data")], include_default_search_paths=False)


def texts_apart(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: texts_apart(inner)
            for key, inner in value.items()
            if key != "documentation" or not isinstance(inner, str)
        }
    return [texts_apart(inner) for inner in value] if isinstance(value, list) else value


def test_only_what_is_called_is_kept(kept: Loader) -> None:
    assert sorted(kept.list_available_services("service-2")) == sorted(APIS)


@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
@pytest.mark.parametrize("api", APIS)
def test_all_that_is_no_text_is_as_before(kept: Loader, whole: Loader, api: str, kind: str) -> None:
    before = whole.load_service_model(api, kind)
    assert kept.load_service_model(api, kind) == texts_apart(before)


@pytest.mark.parametrize("api", APIS)
def test_requests_are_made_of_it(kept: Loader, api: str) -> None:
    model = ServiceModel(kept.load_service_model(api, "service-2"), api)
    for name in model.operation_names:
        operation = model.operation_model(name)
        assert operation.http["method"] == "POST"
        assert operation.input_shape is None or operation.input_shape.members is not None


@pytest.mark.parametrize("listed", APIS.values())
def test_addresses_are_as_before(kept: Loader, whole: Loader, listed: str) -> None:
    trimmed, full = (EndpointResolver(each.load_data("endpoints")) for each in (kept, whole))
    for partition in full.get_available_partitions():
        regions = full.get_available_endpoints(listed, partition, allow_non_regional=True)
        assert trimmed.get_available_endpoints(listed, partition, allow_non_regional=True) == regions
        for region in regions:
            assert trimmed.construct_endpoint(listed, region) == full.construct_endpoint(listed, region)
