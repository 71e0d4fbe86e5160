"""A running stack, thousands of requests to it made by schemathesis, and what they left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx

from local.deploy import ANY_KEY, REGION, STACK
from local.openapi.document import COMMITTED
from local.template import REPOSITORY

READY_S = 120.0
END_S = 30.0
REQUEST_TIMEOUT_S = 40
MARK = "MARKED-AND-NOT-TO-BE-WRITTEN-DOWN"
"""Stands in every request where credentials do."""
NOT_OURS = (
    "not_a_server_error",  # hooks.nothing_fails says which 503 is an answer
    "unsupported_method",  # 404 here as in docs/api.md: API Gateway itself knows the methods of a path
    "positive_data_acceptance",  # the market decides; hooks.admitted_bodies_are_taken holds what can be held
    "ignored_auth",  # the front door takes unsigned requests
    "missing_required_header",  # none is required
    "use_after_free",  # DELETE cancels, the order stays to be read
)
"""Checks of schemathesis that ask for what this API does not promise."""
LOG_LEVELS = {"INFO", "WARNING"}


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses and files of a running `make run`."""

    url: str
    aws: str
    venues: str
    log: Path


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came of a run."""

    exit_code: int
    output: str
    cases: tuple[dict[str, Any], ...]

    @property
    def placed(self) -> set[str]:
        """Orders that the API answered with an id."""
        return {case["placed"] for case in self.cases if case["placed"]}

    def table(self) -> str:
        """Cases by operation, status and problem."""
        counted = Counter((c["operation"], c["status"], c["type"] or "") for c in self.cases)
        lines = (f"{number:6} {' '.join(map(str, told))}" for told, number in sorted(counted.items()))
        return "\n".join([*lines, f"{len(self.cases):6} cases"])


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Start the local stack on ports of its own, without the venues' request limits; end it afterwards."""
    port, venues = _free_port(), _free_port()
    output = folder / "stack.txt"
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SOR_", "AWS_", "EXCHANGE_"))
    }
    ours |= {"SOR_PORT": str(port), "SOR_VENUES_PORT": str(venues), "SOR_VENUES_RATE_LIMITS": "off"}
    ours |= {"SOR_MAX_LATENCY_MS": "10000", "SOR_BREAKER_FAILURES": "100"}  # a busy machine is no finding
    command = [sys.executable, "-m", "local.environments", "run", "aws", "--", "-m", "local"]
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            cwd=REPOSITORY,
            env=ours,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, output)
        found = re.search(r"local AWS on (\S+)", output.read_text())
        assert found is not None
        log = REPOSITORY / ".build" / "run" / str(port) / "functions.log"
        yield Stack(f"http://127.0.0.1:{port}", found[1], f"http://127.0.0.1:{venues}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(END_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_S
    while "SOR ready on" not in output.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"not ready: {output.read_text()}")
        time.sleep(0.05)


def attack(
    stack: Stack,
    folder: Path,
    *,
    seed: int,
    examples: int,
    options: Sequence[str] = (),
    within_s: float | None = None,
) -> Campaign:
    """Have schemathesis ask everything that the OpenAPI document describes, and break it.

    Parameters
    ----------
    stack
        What is asked.
    folder
        For what is written on the way.
    seed
        Decides the cases.
    examples
        Cases for each operation in each of the phases that draw them.
    options
        More of schemathesis' own.
    within_s
        After which it is ended, as failed (`subprocess.TimeoutExpired`); None waits for its end.
    """
    settings, cases = folder / "schemathesis.toml", folder / "cases.jsonl"
    settings.write_text('hooks = "tests.fuzz.hooks"\n')
    cases.touch()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={settings}", "run", str(COMMITTED)),
        *("--url", stack.url, "--seed", str(seed), "--max-examples", str(examples), "--continue-on-failure"),
        *("--exclude-checks", ",".join(NOT_OURS), "--request-timeout", str(REQUEST_TIMEOUT_S), "--no-shrink"),
        *("--generation-with-security-parameters", "false", "--generation-database", "none", "--no-color"),
        *("--header", f"Authorization: {MARK}", "--header", f"Cookie: session={MARK}", "--warnings", "off"),
        *("--suppress-health-check", "all", *options),
    ]
    env = os.environ | {"FUZZ_CASES": str(cases), "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(  # noqa: S603 - a program of our environment
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=within_s
    )
    lines = cases.read_text(encoding="utf-8").splitlines()
    return Campaign(done.returncode, done.stdout + done.stderr, tuple(json.loads(line) for line in lines))


def stored_orders(stack: Stack) -> tuple[set[str], set[str]]:
    """Ids of the orders in the ledger, and of those that its idempotency keys name."""
    client = boto3.Session(ANY_KEY, ANY_KEY, region_name=REGION).client("dynamodb", endpoint_url=stack.aws)
    pages = client.get_paginator("scan").paginate(TableName=f"{STACK}-orders", ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    orders = {i["pk"]["S"].removeprefix("order#") for i in items if i["pk"]["S"].startswith("order#")}
    named = {i["order_id"]["S"] for i in items if i["pk"]["S"].startswith("key#")}
    return orders, named


def misplaced(stack: Stack) -> list[str]:
    """Lines of the functions' log that have no place there: with secrets, with failures, no line of ours."""
    secrets = {MARK}
    for which in ("trading", "reading"):
        keys = httpx.get(f"{stack.venues}/sim/credentials?key={which}", timeout=30).json()
        secrets |= set(_secrets(keys))
    return [
        line for line in stack.log.read_text(encoding="utf-8").splitlines() if _is_misplaced(line, secrets)
    ]


def _secrets(value: Any) -> Iterator[str]:
    """Every long text in the venues' keys, however they are nested."""
    if isinstance(value, str):
        try:
            yield from _secrets(json.loads(value))
        except ValueError:
            lines = value.splitlines()
            yield lines[1] if "PRIVATE KEY" in lines[0] else value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _secrets(each)


def _is_misplaced(line: str, secrets: set[str]) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return True
    failed = "exception" in line or "Traceback" in line or said.get("level", "INFO") not in LOG_LEVELS
    return failed or any(secret in line for secret in secrets)
