"""A function as Lambda runs it: its runtime client on Python and the built layer, behind its emulator.

The emulator starts the function's process when the first event comes, and writes how long the
process took until it asked for that event (``INIT REPORT``) and how long it took for each event
(``INVOKE RTDONE``). It lies in the wheel of aws-sam-cli; no Docker is needed.
"""

from __future__ import annotations

import asyncio
import compileall
import json
import os
import platform
import py_compile
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.world import free_port
from local.build import layer_folder
from local.environments import interpreter
from local.template import REPOSITORY

MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}
RUNTIME_CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
START_S = 15.0
INVOKE_S = 60.0
BOTO3 = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_INVOKE = re.compile(r"INVOKE RTDONE\(status: success, .*duration: ([0-9.]+)ms\)")
_HANDLER_FILE = "app.py"


class FunctionError(Exception):
    """The function did not start, or answered with an error; the text holds its log."""


def runtime_path(folder: Path) -> list[Path]:
    """Build the layer and give what stands on Python's path in Lambda: the layer, then the runtime client.

    Parameters
    ----------
    folder
        Made here, for a copy of the layer and links to the runtime client, so that nothing else of
        this environment is seen.
    """
    folder.mkdir(parents=True)
    layer = asyncio.run(layer_folder(folder / "build.log"))
    for origin in map(_installed, RUNTIME_CLIENT):
        (folder / origin.name).symlink_to(origin)
    # Ours alone: another run from this repository may build the layer anew while we measure.
    shutil.copytree(layer / "python", folder / "layer", copy_function=shutil.copy2)
    return [folder / "layer", folder]


def boto3_path(folder: Path) -> Path:
    """Give a folder with boto3 as it is installed, bytecode and all, as Lambda's own runtime has it.

    Our layer has botocore without boto3, and of its descriptions of AWS only what we call; a function
    that imports boto3 without more has it whole.
    """
    folder.mkdir(parents=True)
    for origin in map(_installed, BOTO3):
        if origin.is_dir():
            shutil.copytree(origin, folder / origin.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, folder)
    compiled = compileall.compile_dir(
        folder, quiet=1, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    if not compiled:
        raise FunctionError("boto3 could not be compiled")
    return folder


def _installed(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FunctionError(f"{module} is not installed (tests/requirements.txt)")
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


def deploy(source: str, folder: Path) -> Path:
    """Put a handler's source into a folder of its own, as in Lambda: no bytecode, none ever written."""
    folder.mkdir(parents=True)
    (folder / _HANDLER_FILE).write_text(source, encoding="utf-8")
    return folder


def deployed_function(name: str, folder: Path) -> Path:
    """Put one of our functions into a folder of its own."""
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "functions" / name / _HANDLER_FILE, folder / _HANDLER_FILE)
    return folder


class Emulator:
    """One function's emulator, on two free ports; its process starts with the first event."""

    def __init__(
        self,
        task: Path,
        search_path: Sequence[Path],
        environment: Mapping[str, str],
        log: Path,
        handler: str = "app.handler",
    ) -> None:
        self._log = log
        self._address = f"127.0.0.1:{free_port()}"
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        command: list[str | Path] = [emulator_binary(), "--log-level", "info"]
        command += ["--runtime-interface-emulator-address", self._address]
        command += ["--runtime-api-address", f"127.0.0.1:{free_port()}"]
        command += [python, "-S", "-m", "awslambdaric", handler]
        told = {
            "AWS_LAMBDA_FUNCTION_NAME": task.name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": f"{INVOKE_S:.0f}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "LAMBDA_TASK_ROOT": str(task),
            "_HANDLER": handler,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, [task, *search_path])),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - nothing comes from outside
                command,
                env={**environment, **told},
                stdout=output,
                stderr=output,
                cwd=task,  # Python looks there first, as in /var/task
                start_new_session=True,
            )
        try:
            wait_for(self._address)
        except TimeoutError as error:
            self.close()
            raise FunctionError(f"{error}\n{log.read_text()}") from error

    def invoke(self, event: object) -> Any:
        """Send an event and give the answer; raises `FunctionError`."""
        url = f"http://{self._address}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode())
        try:
            with urllib.request.urlopen(request, timeout=INVOKE_S) as response:  # noqa: S310 - loopback
                answer = json.loads(response.read() or b"null")
        except urllib.error.URLError as error:
            raise FunctionError(f"{error}\n{self._log.read_text()}") from error
        if isinstance(answer, dict) and ("errorType" in answer or answer.get("statusCode", 200) >= 400):  # noqa: PLR2004
            raise FunctionError(f"{answer}\n{self._log.read_text()}")
        return answer

    def init_ms(self) -> float:
        """How long the process took to be ready for its first event, by the emulator's log."""
        found = _INIT.search(self._log.read_text())
        if found is None:
            raise FunctionError(self._log.read_text())
        return float(found[1])

    def invocations_ms(self) -> list[float]:
        """How long it took for each event so far, by the emulator's log."""
        return [float(each) for each in _INVOKE.findall(self._log.read_text())]

    def close(self) -> None:
        """Kill the emulator and the function."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(
    task: Path,
    search_path: Sequence[Path],
    environment: Mapping[str, str],
    log: Path,
    handler: str = "app.handler",
) -> Iterator[Emulator]:
    """Run an emulator for a while."""
    emulator = Emulator(task, search_path, environment, log, handler)
    try:
        yield emulator
    finally:
        emulator.close()


def event(name: str) -> Any:
    """Read one of events/."""
    return json.loads((REPOSITORY / "events" / f"{name}.json").read_text())


def emulator_binary() -> Path:
    """Find the emulator for this machine; raises `FunctionError` where there is none."""
    found = interpreter("sam").parent.parent.glob(
        "lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-*"
    )
    wanted = MACHINES.get(platform.machine(), "?")
    binary = next((path for path in found if path.name.endswith(wanted)), None)
    if binary is None:
        raise FunctionError("no emulator for this machine, or no environment `sam` (make validate makes it)")
    return binary


def wait_for(address: str) -> None:
    """Wait until something listens there; raises `TimeoutError`."""
    host, port = address.split(":")
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on {address} after {START_S} s")
