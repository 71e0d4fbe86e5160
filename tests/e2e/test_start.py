"""What a function imports while Lambda starts it, and that this stays within its budget.

The figures themselves are benchmarks/cold_start.py's; here it is processor time and the best of some
starts, which a busy machine disturbs little, against budgets with room above the targets.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.emulator import MACHINES, boto3_path, deploy, deployed_function, runtime_path
from benchmarks.world import CREDENTIALS
from local.template import REPOSITORY, load

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES,
    reason="Lambda's runtime client runs on Linux",
)

FUNCTIONS = {
    "route": ("route", "app.handler"),
    "health_probe": ("health_probe", "app.handler"),
    "execute": ("execute", "app.handler"),
    "execute, tasks": ("execute", "app.task"),
}
BUDGETS = {"route": 1.6, "health_probe": 1.5, "execute": 2.1, "execute, tasks": 2.1}
"""Times the baseline's processor time."""
MOST_ROUNDS = 6
"""Only a busy machine needs more than one."""

NOBODY_NEEDS = {
    "aws_lambda_powertools.event_handler",
    "aws_xray_sdk",
    "boto3",
    "cryptography",
    "matplotlib",
    "multiprocessing",
    "numpy",
    "s3transfer",
    "sor_core.routing.verify",
    "unittest",
}
ORDERS = {
    "sor_core.adapters.dynamo_orders",
    "sor_core.adapters.secrets",
    "sor_core.adapters.step_functions",
    "sor_core.adapters.venues.trading_registry",
    "sor_core.execution.protocol",
    "sor_core.services.execute",
}
HTTP = {"anyio", "httpcore", "httpx"}
UNWANTED = {
    "route": NOBODY_NEEDS | HTTP | ORDERS | {"sor_core.adapters.sqs_probes"},
    "health_probe": NOBODY_NEEDS | HTTP | ORDERS | {"pydantic", "sor_core.adapters.nonces"},
    "execute": NOBODY_NEEDS | {"sor_core.adapters.sqs_probes", "sor_core.services.probe"},
    "execute, tasks": NOBODY_NEEDS | {"sor_core.adapters.sqs_probes", "sor_core.services.probe"},
}
"""Modules that a start must not import; a package's name stands for all of it."""

BASELINE = """\
import boto3

client = boto3.client("dynamodb")
"""
IMPORT = "import json, sys, awslambdaric.bootstrap, app; print(json.dumps(sorted(sys.modules)))"


class Starts:
    """Starts functions on Python and the built layer alone, as Lambda's runtime client does."""

    def __init__(self, folder: Path) -> None:
        self._path = runtime_path(folder / "runtime")
        self._boto3 = [boto3_path(folder / "boto3"), *self._path[1:]]
        self._tasks = {
            name: deployed_function(name, folder / name) for name in {f for f, _ in FUNCTIONS.values()}
        }
        self._tasks["baseline"] = deploy(BASELINE, folder / "baseline")
        self._environment = environment_of_functions()

    def start(self, task: str, handler: str = "app.handler") -> tuple[float, set[str]]:
        """Give a start's processor time in seconds, and the modules imported."""
        told = {
            "_HANDLER": handler,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(
                map(str, [self._tasks[task], *(self._boto3 if task == "baseline" else self._path)])
            ),
        }
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(  # noqa: S603
            [python, "-S", "-c", IMPORT],
            env=self._environment | told,
            cwd=self._tasks[task],
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        ).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return used, set(json.loads(output))


def environment_of_functions() -> dict[str, str]:
    template = load()
    parameters = template["Parameters"]
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    defaults = {
        name: str(parameters[value["Ref"]]["Default"])
        for name, value in variables.items()
        if value.get("Ref") in parameters
    }
    named: dict[str, str] = json.loads((REPOSITORY / "events" / "env.json").read_text())["Parameters"]
    return defaults | named | CREDENTIALS | {"SOR_PROBE_QUEUE_URL": "http://127.0.0.1:1/queue"}


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Starts:
    return Starts(tmp_path_factory.mktemp("start"))


def test_a_start_imports_nothing_unwanted(starts: Starts) -> None:
    for name, function in FUNCTIONS.items():
        _, imported = starts.start(*function)
        unwanted = {
            module for module in imported for each in UNWANTED[name] if f"{module}.".startswith(f"{each}.")
        }
        assert not unwanted, f"{name}: {sorted(unwanted)}"
        assert "sor_core.bootstrap" in imported  # it is the function that was started


def test_a_start_keeps_its_budget(starts: Starts) -> None:
    compared: dict[str, tuple[str, ...]] = {"baseline": ("baseline",), **FUNCTIONS}
    best = dict.fromkeys(compared, math.inf)
    ratios: dict[str, float] = {}
    for _ in range(MOST_ROUNDS):
        for name, each in compared.items():
            best[name] = min(best[name], starts.start(*each)[0])
        ratios = {name: round(best[name] / best["baseline"], 2) for name in FUNCTIONS}
        if all(ratios[name] <= BUDGETS[name] for name in FUNCTIONS):
            return
    pytest.fail(f"times the processor time of boto3 alone: {ratios}, budgets {BUDGETS}")
