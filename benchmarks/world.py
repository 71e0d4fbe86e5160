"""What the functions need around them: simulated venues and a local AWS, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from local.environments import interpreter
from local.template import REPOSITORY, load

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
START_S = 30.0
TABLES = {"StateTable": "sor-state", "OrdersTable": "sor-orders"}
_TABLE_KEYS = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
_OURS = ("AWS_", "SOR_", "EXCHANGE_GATEWAY_URL", "PYTHON")


class WorldError(Exception):
    """A part of it could not be started."""


@dataclass(frozen=True, slots=True)
class World:
    """Where it is."""

    venues: str
    """Address of the simulated venues."""
    aws: str
    """Address of the local AWS."""
    environment: Mapping[str, str]
    """What the template gives the functions, with these addresses."""

    def sim(self, path: str, body: object = None, *, method: str | None = None) -> Any:
        """Ask or tell the simulated venues something under ``/sim``."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.venues}/sim/{path}", data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=START_S) as response:  # noqa: S310 - loopback
            return json.loads(response.read() or b"null")

    def client(self, service: str) -> Any:
        """Make a boto3 client of the local AWS."""
        return boto3.Session("test", "test", region_name=REGION).client(service, endpoint_url=self.aws)

    def forget(self) -> None:
        """Empty the state table."""
        client = self.client("dynamodb")
        for item in client.scan(TableName="sor-state", ProjectionExpression="pk, sk")["Items"]:
            client.delete_item(TableName="sor-state", Key=item)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Start it; logs go to `folder`. Raises `WorldError`."""
    with ExitStack() as stack:
        venues, aws = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        stack.enter_context(_venues(venues, folder))
        stack.enter_context(_aws(aws, folder))
        _wait_until_answering(f"{venues}/sim/state", folder / "venues.log")
        _wait_until_answering(f"{aws}/_ministack/health", folder / "aws.log")
        started = World(venues, aws, {})
        queue = _furnish(started)
        yield World(venues, aws, _environment_of_functions(started, queue))


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _venues(url: str, folder: Path) -> Any:
    environment = {"SOR_VENUES_PORT": url.rpartition(":")[2], "SOR_VENUES_RATE_LIMITS": "off"}
    environment |= {"PYTHONPATH": str(REPOSITORY / "layers" / "sor_core")}
    return _child([sys.executable, "-m", "local.venues"], environment, folder / "venues.log")


def _aws(url: str, folder: Path) -> Any:
    python = interpreter("aws")
    if not python.exists():
        raise WorldError("the environment `aws` is missing (make run makes it)")
    environment = CREDENTIALS | {
        "BIND_HOST": "127.0.0.1",
        "DOCKER_HOST": f"unix://{folder}/no-docker",
        "GATEWAY_PORT": url.rpartition(":")[2],
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": REGION,
        "S3_DATA_DIR": str(folder / "s3"),
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(folder),
    }
    command: list[str | Path] = [python, "-m", "local.aws_server", folder / "functions.log"]
    return _child(command, environment, folder / "aws.log")


@contextmanager
def _child(
    command: Sequence[str | Path], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that ends with this one at the latest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - nothing comes from outside
            [sys.executable, "-m", "local.leash", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**kept, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=REPOSITORY,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_answering(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise WorldError(f"no answer from {url} within {START_S} s:\n{log.read_text()}")


def _furnish(started: World) -> str:
    """Make tables, keys and queue; gives the queue's address."""
    template = load()
    for resource, name in TABLES.items():
        table = template["Resources"][resource]["Properties"]
        wanted = {key: table[key] for key in _TABLE_KEYS if key in table}
        started.client("dynamodb").create_table(TableName=name, **wanted)
    for use, suffix in (("trading", ""), ("reading", "/reading")):
        for venue, key in started.sim(f"credentials?key={use}").items():
            started.client("secretsmanager").create_secret(
                Name=f"sor/venues/{venue}{suffix}", SecretString=json.dumps(key)
            )
    queue: str = started.client("sqs").create_queue(QueueName="sor-probe")["QueueUrl"]
    return queue


def _environment_of_functions(started: World, queue: str) -> dict[str, str]:
    template = load()
    parameters = template["Parameters"]
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    defaults = {
        variable: str(parameters[value["Ref"]]["Default"])
        for variable, value in variables.items()
        if value.get("Ref") in parameters
    }
    named: dict[str, str] = json.loads((REPOSITORY / "events" / "env.json").read_text())["Parameters"]
    addresses = {"AWS_ENDPOINT_URL": started.aws, "EXCHANGE_GATEWAY_URL": started.venues}
    return defaults | named | addresses | CREDENTIALS | {"SOR_PROBE_QUEUE_URL": queue}
