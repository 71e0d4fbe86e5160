"""The template, as written and as the SAM transform makes it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local import template as source
from local.environments import interpreter

TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
print(json.dumps(transform(json.load(sys.stdin), {}, ManagedPolicyLoader(None))))
"""

Translate = Callable[[Mapping[str, Any], str], dict[str, Any]]


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return source.load()


@pytest.fixture(scope="session")
def translate() -> Translate:
    """SAM's own transform of a template whose code was packaged, that of one resource after a change."""

    def run(written: Mapping[str, Any], changed: str) -> dict[str, Any]:
        packaged = json.loads(json.dumps(written))
        for name, resource in packaged["Resources"].items():
            for key in {"CodeUri", "ContentUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
                resource["Properties"][key] = f"s3://bucket/{name}" + ("-changed" if name == changed else "")
        done = subprocess.run(  # noqa: S603
            [interpreter("aws"), "-c", TRANSLATE],
            input=json.dumps(packaged),
            capture_output=True,
            text=True,
            check=True,
            env={"AWS_DEFAULT_REGION": "us-east-1"},
            timeout=60,
        )
        translated: dict[str, Any] = json.loads(done.stdout)
        return translated

    return run


@pytest.fixture(scope="session")
def translated(template: dict[str, Any], translate: Translate) -> dict[str, Any]:
    return translate(template, "")
