"""template.yaml as data: CloudFormation's short forms (``!Ref``) read as its long ones (``{"Ref": ...}``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "template.yaml"
WITHOUT_PREFIX = {"Ref", "Condition"}


class _Loader(yaml.SafeLoader):
    """Safe YAML plus CloudFormation's tags."""


def _long_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise yaml.constructor.ConstructorError(None, None, f"no form of !{name}", node.start_mark)
    return {name if name in WITHOUT_PREFIX else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _long_form)


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Read the template; raises ``OSError`` and ``yaml.YAMLError``."""
    template: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    return template


def parameter_of_variable(template: Mapping[str, Any]) -> dict[str, str]:
    """Each environment variable that a parameter sets, with that parameter's name."""
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    return {
        variable: value["Ref"]
        for variable, value in variables.items()
        if isinstance(value, Mapping) and value.get("Ref") in template["Parameters"]
    }
