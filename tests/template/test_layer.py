"""The built layer alone is all that the handlers need beside Python itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from local.build import archive, layer_folder
from local.template import REPOSITORY, load

LAMBDA_LIMIT_BYTES = 250 * 1024 * 1024
IMPORT = """
import os, sys
sys.path[:0] = sys.argv[1:]
import app
assert callable(app.handler)
assert callable(getattr(app, "task", None)) == app.__file__.endswith("/execute/app.py")
outside = {
    name: module.__file__ for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", None) or "")
}
assert not outside, outside
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(layer_folder(tmp_path_factory.mktemp("layer") / "build.log"))


def bare_python() -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Path(sys.base_prefix, "bin", version)


@pytest.mark.parametrize(
    ("function", "handler"),
    [("route", "handler"), ("health_probe", "handler"), ("execute", "handler"), ("execute", "task")],
)
def test_a_handler_starts_with_the_layer_and_nothing_else(layer: Path, function: str, handler: str) -> None:
    defaults = {name: str(entry["Default"]) for name, entry in load()["Parameters"].items()}
    variables = load()["Globals"]["Function"]["Environment"]["Variables"]
    environment = {name: defaults.get(value.get("Ref"), "sor-state") for name, value in variables.items()}
    environment |= {
        "AWS_DEFAULT_REGION": "us-east-1",
        "SOR_PROBE_QUEUE_URL": "http://127.0.0.1:1/queue",
        "SOR_ORDERS_TABLE": "sor-orders",
        "SOR_FAILOVER_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:sor-failover",
        "SOR_SECRETS_PREFIX": "sor/venues",
        "_HANDLER": f"app.{handler}",
    }
    command: list[str | Path] = [
        bare_python(),
        "-I",
        "-S",
        "-c",
        IMPORT,
        layer / "python",
        REPOSITORY / "functions" / function,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_the_layer_fits_into_lambda_and_keeps_the_licences(layer: Path) -> None:
    files = [path for path in layer.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LAMBDA_LIMIT_BYTES / 4
    for folder in (layer / "python").glob("*.dist-info"):
        names = " ".join(str(path.relative_to(folder)).lower() for path in folder.rglob("*"))
        assert "licen" in names or "notice" in names, folder.name


def test_its_bytecode_is_of_this_interpreter_and_never_compared_with_the_sources(layer: Path) -> None:
    compiled = layer / "python" / "sor_core" / "__pycache__" / f"settings.{sys.implementation.cache_tag}.pyc"
    flags = compiled.read_bytes()[4:8]
    assert flags == b"\x01\x00\x00\x00"  # PEP 552: hash-based, unchecked


def test_an_archive_of_the_same_content_is_the_same(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "python").mkdir(parents=True)
        (tmp_path / folder / "python" / "a.py").write_text("a = 1\n")
    os.utime(tmp_path / "two" / "python" / "a.py", (1, 1))
    one, two = archive(tmp_path / "one"), archive(tmp_path / "two")
    assert one == two
    assert zipfile.ZipFile(BytesIO(one)).namelist() == ["python/a.py"]


def test_the_local_layer_is_built_for_this_machine(layer: Path) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert (layer / "python" / "pydantic_core" / f"_pydantic_core{suffix}").is_file()
