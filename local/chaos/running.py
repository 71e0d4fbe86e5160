"""A local stack of the campaign's own: started, looked into, its Lambda processes killed, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.configuration import LOOPBACK, http_url
from local.deploy import ANY_KEY, REGION, STACK
from local.processes import Children, StackError
from local.stack import RUNS
from local.template import REPOSITORY

READY_S = 120.0
POLL_S = 0.1
CALL_TIMEOUT_S = 70.0
OURS = ("SOR_", "AWS_", "EXCHANGE_")
EXECUTES = "ExecuteFunction"
TASKS = "ExecuteTaskFunction"
_MARK = "ministack-lambda-"


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that was killed."""

    at_s: float
    """By `time.monotonic`."""
    function: str


@dataclass(slots=True)
class Running:
    """A stack that is ready."""

    url: str
    venues_url: str
    aws_url: str
    pid: int
    """Of ``python -m local``."""
    functions_log: Path
    kills: list[Kill] = field(default_factory=list)

    def workers(self) -> Mapping[int, str]:
        """Each live Lambda process of this stack, a child of its local AWS, and the function that it runs."""
        parents = _parents()
        servers = {
            pid
            for pid, parent in parents.items()
            if parent == self.pid and "local.aws_server" in _command(pid)
        }
        found = {}
        for pid, parent in parents.items():
            if parent in servers and _MARK in (command := _command(pid)):
                found[pid] = command.split(_MARK)[1].removeprefix(f"{STACK}-").split("-")[0]
        return found

    def kill(self, draw: random.Random, functions: tuple[str, ...]) -> None:
        """SIGKILL one process, drawn among those that run one of these functions; nothing where none does."""
        able = sorted(pid for pid, function in self.workers().items() if function in functions)
        if not able:
            return
        pid = draw.choice(able)
        function = self.workers().get(pid)
        if function is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills.append(Kill(time.monotonic(), function))

    def killed_between(self, began_s: float, ended_s: float) -> bool:
        """Whether a process was killed while a request was on its way."""
        return any(began_s - POLL_S <= kill.at_s <= ended_s for kill in self.kills)

    async def sweep(self) -> Mapping[str, int]:
        """Run the sweep, as its schedule does each minute; empty where it failed."""
        return await asyncio.to_thread(self._sweep)

    def _sweep(self) -> Mapping[str, int]:
        try:
            name = f"{self._outputs()['ExecuteTaskFunction']}:live"
            answer = self._client("lambda").invoke(FunctionName=name, Payload=b'{"task":"sweep"}')
        except (BotoCoreError, ClientError):
            return {}
        return {} if "FunctionError" in answer else {"done": 1}

    async def counters(self) -> Mapping[tuple[str, str, str], int]:
        """Every shared counter that is not zero: (kind, scope, asset) and its amount, in units of 1e-18."""
        return await asyncio.to_thread(self._counters)

    def _counters(self) -> Mapping[tuple[str, str, str], int]:
        pages = self._client("dynamodb").get_paginator("scan")
        found = {}
        for page in pages.paginate(TableName=self._outputs()["OrdersTable"], ConsistentRead=True):
            for item in page["Items"]:
                kind, _, rest = item["pk"]["S"].partition("#")
                if kind == "counter" and (amount := int(item["amount_e18"]["N"])):
                    kind, _, scope = rest.partition("#")
                    found[kind, scope, item["sk"]["S"]] = amount
        return found

    def _outputs(self) -> Mapping[str, str]:
        stack = self._client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def _client(self, service: str) -> Any:
        config = Config(read_timeout=CALL_TIMEOUT_S, retries={"total_max_attempts": 1})
        session = boto3.Session(ANY_KEY, ANY_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.aws_url, config=config)


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
                found[int(folder.name)] = int(after_name[1])
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@asynccontextmanager
async def running(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start a stack with these settings on free ports; leaving the context ends it.

    Raises
    ------
    StackError
        It did not become ready.
    """
    port, venues_port, aws_port = _free_ports(3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment |= settings
    environment |= {
        "SOR_PORT": str(port),
        "SOR_VENUES_PORT": str(venues_port),
        "SOR_AWS_PORT": str(aws_port),
        "PYTHONPATH": str(REPOSITORY / "layers" / "sor_core"),
        "PYTHONUNBUFFERED": "1",
    }
    async with Children(folder) as children:
        child = await children.start("the stack", [sys.executable, "-m", "local"], environment, "stack.log")
        await asyncio.wait_for(_ready(child.log, child.process), READY_S)
        yield Running(
            http_url(LOOPBACK, port),
            http_url(LOOPBACK, venues_port),
            http_url(LOOPBACK, aws_port),
            child.process.pid,
            RUNS / str(port) / "functions.log",
        )


async def _ready(log: Path, process: asyncio.subprocess.Process) -> None:
    while "SOR ready on" not in (said := await asyncio.to_thread(log.read_text, encoding="utf-8")):
        if process.returncode is not None:
            raise StackError(f"the stack ended: {said.strip()}")
        await asyncio.sleep(POLL_S)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]
