"""The whole local stack, from nothing to a ready API and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from local.build import layer_archive
from local.configuration import LOOPBACK, Configuration, http_url
from local.deploy import REGION, STACK, Deployment, LocalAws
from local.front_door import LOGGER as FRONT_DOOR_LOGGER
from local.front_door import front_door, get, wait_until_answering
from local.processes import Children, StackError, shown
from local.template import REPOSITORY

RUNS = REPOSITORY / ".build" / "run"
AWS_PYTHON = REPOSITORY / ".build" / "env" / "aws" / "bin" / "python"
START_TIMEOUT_S = 30.0
HEALTH_TIMEOUT_S = 30.0
LONGEST_QUOTE = 200
OURS = ("AWS_", "SOR_", "EXCHANGE_GATEWAY_URL", "PYTHON")
ROUTE = """\
  curl -s {url}/api/route -H 'Content-Type: application/json' -d \\
    '{{"symbol":"BTC/USDT","side":"buy","type":"market","amount":0.5,\
"execution_strategy":"best_execution","max_slippage_bps":50}}'"""
EXECUTE = """\
  curl -s {url}/api/execute -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-order' -d \\
    '{{"symbol":"BTC/USDT","side":"buy","type":"market","amount":0.05,\
"execution_strategy":"best_execution","max_slippage_bps":50}}'"""


class Stack:
    """The local stack of one configuration; `run` starts and ends it."""

    def __init__(self, configuration: Configuration, template: Mapping[str, Any]) -> None:
        self._configuration = configuration
        self._template = template
        self._started = time.monotonic()
        self._folder = RUNS / str(configuration.port)
        self._told: StackError | None = None

    async def run(self) -> None:
        """Serve until SIGINT, SIGTERM or a hang-up; nothing is left behind, however it ends.

        Raises
        ------
        StackError
            The stack could not be started, or one of its parts ended by itself. It is told on the standard
            error first, and then what still runs is stopped, which may take some seconds.
        """
        try:
            await self._run()
        except StackError as failure:
            self._tell(failure)
            raise

    async def _run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        configuration = self._configuration
        with _listening("SOR_PORT", configuration.host, configuration.port) as door:
            if not configuration.gateway_url:
                _listening("SOR_VENUES_PORT", LOOPBACK, configuration.venues_port).close()
            with self._run_folder():
                await _first_of(self._wait_for(stop), self._start_and_serve(door))
        self._say("stopped; nothing is left running")

    async def _wait_for(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._say("stopping")

    async def _explained(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except StackError as failure:
            self._tell(failure)
            self._say("stopping")
            raise

    def _tell(self, failure: StackError) -> None:
        if failure is not self._told:
            self._told = failure
            print(failure, file=sys.stderr, flush=True)

    async def _start_and_serve(self, door: socket.socket) -> None:
        async with Children(self._folder) as children:
            aws = await self._start_aws(children)
            if not self._configuration.gateway_url:
                await self._start_venues(children)
            serving = self._explained(self._deploy_and_serve(aws, door))
            await _first_of(self._explained(children.watch()), serving)

    async def _deploy_and_serve(self, aws: str, door: socket.socket) -> None:
        layer = await layer_archive(self._folder / "build.log")
        self._say("layer built")
        if not self._configuration.gateway_url:
            await _answering("the simulated venues", f"{self._configuration.venues_url}/")
            self._say(f"simulated venues on {self._configuration.venues_url}")
        await _answering("the local AWS", f"{aws}/_ministack/health")
        self._say(f"local AWS on {aws}")
        local_aws = LocalAws(aws)
        if not self._configuration.gateway_url:
            await self._keep_keys(local_aws)
        try:
            deployment = await asyncio.to_thread(
                local_aws.deploy, self._template, layer, self._parameters(aws)
            )
        except StackError as error:
            raise StackError(f"{error} (log: {shown(self._folder / 'aws.log')})") from error
        self._say("template.yaml deployed")
        async with front_door(door, f"{aws}/_aws/execute-api/{deployment.api_id}/{deployment.stage}"):
            await asyncio.gather(self._measure_venues(local_aws, deployment), self._check_health())
            self._announce()
            await asyncio.Event().wait()

    async def _start_aws(self, children: Children) -> str:
        venues = "" if self._configuration.gateway_url else ", the simulated venues"
        self._say(f"starting the local AWS{venues} and the layer's build")
        host, port = self._configuration.aws_host, self._configuration.aws_port
        with _listening("SOR_AWS_PORT", host, port) as free:
            port = free.getsockname()[1]
        environment = _environment() | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "BIND_HOST": host,
            "DOCKER_HOST": f"unix://{self._folder}/no-docker",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_REGION": REGION,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "S3_DATA_DIR": str(self._temporary / "s3"),
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self._temporary / "state"),
            "TMPDIR": str(self._temporary),
        }
        command: list[str | Path] = [AWS_PYTHON, "-m", "local.aws_server", self._folder / "functions.log"]
        await children.start("the local AWS", command, environment, "aws.log")
        return http_url(host, port)

    async def _start_venues(self, children: Children) -> None:
        told = ("SOR_VENUES_", "SOR_TAKER_FEES_BPS")
        own = {name: value for name, value in os.environ.items() if name.startswith(told)}
        environment = (
            _environment()
            | own
            | {
                "PYTHONPATH": str(REPOSITORY / "layers" / "sor_core"),
                "SOR_VENUES_PORT": str(self._configuration.venues_port),
            }
        )
        command = [sys.executable, "-m", "local.venues"]
        await children.start("the simulated venues", command, environment, "venues.log")

    def _parameters(self, aws: str) -> dict[str, str]:
        return {
            **self._configuration.parameters,
            "EndpointUrl": aws,
            "ExchangeGatewayUrl": self._configuration.venues_url,
        }

    async def _keep_keys(self, aws: LocalAws) -> None:
        """Put the simulated venues' keys where the functions look for a venue's."""
        secrets: dict[str, dict[str, str]] = {}
        for which, suffix in (("trading", ""), ("reading", "/reading")):
            url = f"{self._configuration.venues_url}/sim/credentials?key={which}"
            status, text = await get(url, timeout_s=START_TIMEOUT_S)
            if status != HTTPStatus.OK:
                raise StackError(f"GET {url} gave {status}: {text[:LONGEST_QUOTE]}")
            secrets |= {f"{STACK}/venues/{venue}{suffix}": key for venue, key in json.loads(text).items()}
        await asyncio.to_thread(aws.keep_secrets, secrets)
        self._say("the simulated venues' keys are in the local Secrets Manager")

    async def _measure_venues(self, aws: LocalAws, deployment: Deployment) -> None:
        failure = await asyncio.to_thread(aws.probe, deployment)
        if failure:
            self._say(f"the venues could not be measured yet: {failure} (log: {self._functions_log})")
        else:
            self._say("venues measured once")

    async def _check_health(self) -> None:
        status, text = await get(f"{self._configuration.url}/health", timeout_s=HEALTH_TIMEOUT_S)
        if status != HTTPStatus.OK:
            said = " ".join(text.split())[:LONGEST_QUOTE]
            raise StackError(f"GET /health gave {status}: {said} (log: {self._functions_log})")
        self._say("the API answers")

    def _announce(self) -> None:
        url = self._configuration.url
        self._say(f"logs in {shown(self._folder)}; Ctrl-C stops everything")
        kept = "Orders are" if self._configuration.gateway_url else "Orders and balances are"
        print(f"\nSOR ready on {url}\n{kept} kept until it stops, and no longer.\n")
        print(f"Route an order:\n\n{ROUTE.format(url=url)}\n")
        print(f"Execute one (the same again is the same order):\n\n{EXECUTE.format(url=url)}\n")
        if self._configuration.gateway_url:
            print("Executing needs your keys of the venues: docs/credentials.md says where.\n")
        sys.stdout.flush()

    @property
    def _temporary(self) -> Path:
        return self._folder / "tmp"

    @property
    def _functions_log(self) -> str:
        return shown(self._folder / "functions.log")

    @contextlib.contextmanager
    def _run_folder(self) -> Iterator[None]:
        """Make the run's folder anew; its logs stay, its temporary files go."""
        if self._temporary.exists():
            self._say("removing what a killed run left behind")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        door_log = logging.FileHandler(self._folder / "front_door.log", delay=True)
        FRONT_DOOR_LOGGER.addHandler(door_log)
        try:
            yield
        finally:
            FRONT_DOOR_LOGGER.removeHandler(door_log)
            door_log.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:5.1f} s  {text}", flush=True)


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends, then end the others; raises what that one raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _answering(what: str, url: str) -> None:
    if not await wait_until_answering(url, timeout_s=START_TIMEOUT_S):
        raise StackError(f"{what} did not answer on {url} within {START_TIMEOUT_S:.0f} s")


def _environment() -> dict[str, str]:
    """The user's environment, without what would reach into the stack from there; loopback needs no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    bypassed = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost")))
    return kept | {"NO_PROXY": bypassed, "no_proxy": bypassed}


def _listening(variable: str, host: str, port: int) -> socket.socket:
    """Take a port, so that nobody else can before it is served."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StackError(
                f"{variable}: port {port} on {host} is taken; free it, or set {variable} to another"
            ) from error
        of_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        name = variable.replace("PORT", "HOST") if of_host else variable
        raise StackError(f"{name}: cannot listen on {host} port {port}: {error.strerror}") from error
