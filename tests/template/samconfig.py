"""samconfig.toml as the SAM command line reads it."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Any

from local.environments import interpreter
from local.template import REPOSITORY

READ = """
import json
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
config, read = SamConfig("."), {}
for name in ("default", "dev", "prod"):
    options = config.get_all(["deploy"], "parameters", name)
    overrides = options.get("parameter_overrides", [])
    parsed = CfnParameterOverridesType().convert(overrides, None, None) if overrides else {}
    read[name] = {**options, "parameter_overrides": parsed}
print(json.dumps(read))
"""


@cache
def environments() -> dict[str, dict[str, Any]]:
    """What `sam deploy --config-env NAME` is told, parsed by SAM itself."""
    done = subprocess.run(  # noqa: S603
        [interpreter("sam"), "-c", READ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    read: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return read


def overrides(environment: str) -> dict[str, str]:
    """The template's parameters as an environment sets them."""
    given: dict[str, str] = environments()[environment]["parameter_overrides"]
    return given
