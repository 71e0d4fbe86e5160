"""`make run` as a newcomer and as their machine sees it: it starts, answers, says what is wrong, and goes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from local.environments import interpreter
from local.template import REPOSITORY

READY_S = 120.0
SECOND_START_S = 20.0
END_S = 20.0
RESOLVED_S = 90.0
ORDER = {
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "market",
    "amount": 0.5,
    "execution_strategy": "best_execution",
    "max_slippage_bps": 50,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Run:
    """One `make run`, on ports of its own, its processes recognisable by a variable they inherit."""

    def __init__(self, output: Path, variables: dict[str, str], command: list[str]) -> None:
        self.ports = (free_port(), free_port())
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self._mark = f"TEST_MARK={uuid.uuid4()}"
        self._output = output
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SOR_", "AWS_", "EXCHANGE_"))
        }
        ours |= dict([self._mark.split("=")])
        ours |= {"SOR_PORT": str(self.ports[0]), "SOR_VENUES_PORT": str(self.ports[1])}
        self.began = time.monotonic()
        with output.open("wb") as file:
            self.make = subprocess.Popen(  # noqa: S603
                command,
                cwd=REPOSITORY,
                env=ours | variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_until_ready(self) -> float:
        while time.monotonic() < self.began + READY_S:
            if "SOR ready on" in self.output:
                return time.monotonic() - self.began
            if self.make.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail(f"not ready: {self.output}")

    def wait_until_gone(self) -> int:
        code = self.make.wait(END_S)
        deadline = time.monotonic() + END_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.processes() == {}
        return code

    def processes(self) -> dict[int, str]:
        """Every live process that this run started, with its command line."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and self._mark.encode() in (folder / "environ").read_bytes().split(
                    b"\0"
                ):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended meanwhile, or is another user's
                continue
        return found

    def process(self, part: str) -> int:
        return next(pid for pid, command in self.processes().items() if part in command)

    @property
    def temporary(self) -> Path:
        return REPOSITORY / ".build" / "run" / str(self.ports[0]) / "tmp"


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*command: str, **variables: str) -> Run:
        runs.append(Run(tmp_path / f"{len(runs)}.txt", variables, list(command) or ["make", "run"]))
        return runs[-1]

    yield begin
    end(*runs)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("run") / "out.txt", {}, ["make", "run"])
    run.wait_until_ready()
    yield run
    end(run)


def end(*runs: Run) -> None:
    for run in runs:
        for pid in run.processes():
            os.kill(pid, signal.SIGKILL)
        run.make.wait(END_S)


def post(run: Run, content: bytes | str) -> httpx.Response:
    return httpx.post(
        f"{run.url}/api/route", content=content, headers={"Content-Type": "application/json"}, timeout=30
    )


def test_it_routes_an_order(stack: Run) -> None:
    answer = post(stack, json.dumps(ORDER))
    assert answer.status_code == 200
    decision = answer.json()
    assert decision["selected_exchange"] in {"binance", "coinbase", "kraken"}
    assert {book["venue"] for book in decision["books"]} == {"binance", "coinbase", "kraken"}


def pasted(stack: Run, heading: str) -> dict[str, object]:
    command = stack.output.split(f"{heading}:\n\n")[1].split("\n\n")[0]
    done = subprocess.run(command, shell=True, capture_output=True, check=True, timeout=30)  # noqa: S602 - as pasted
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_route_command_that_it_prints_works_as_pasted(stack: Run) -> None:
    assert pasted(stack, "Route an order")["strategy"] == "best_execution"


def test_the_execute_command_that_it_prints_works_as_pasted_and_twice_is_one_order(stack: Run) -> None:
    first, again = (pasted(stack, "Execute one (the same again is the same order)") for _ in range(2))
    assert first["status"] == "filled"
    assert again == first
    assert filled_at_venues(stack) == Decimal("0.05")


def filled_at_venues(stack: Run) -> Decimal:
    fills = httpx.get(f"http://127.0.0.1:{stack.ports[1]}/sim/fills", timeout=30).json()
    return sum((Decimal(fill["quantity"]) for fill in fills), Decimal(0))


def test_an_order_whose_answer_is_lost_is_found_by_the_state_machine_and_filled_once(stack: Run) -> None:
    before = filled_at_venues(stack)
    lost = {"endpoint": "place_order", "fault": "drop", "when": "before", "count": 1}
    httpx.post(f"http://127.0.0.1:{stack.ports[1]}/sim/faults", json=lost, timeout=30).raise_for_status()
    order = {**ORDER, "amount": 0.05, "execution_strategy": "cost_optimization"}
    headers = {"Prefer": "wait=1", "Idempotency-Key": "lost"}
    answer = httpx.post(f"{stack.url}/api/execute", json=order, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (202, "resolving")
    deadline = time.monotonic() + RESOLVED_S
    found = answer.json()
    while found["ended_at"] is None and time.monotonic() < deadline:
        time.sleep(0.5)
        found = httpx.get(stack.url + answer.headers["Location"], timeout=30).json()
    httpx.delete(f"http://127.0.0.1:{stack.ports[1]}/sim/faults", timeout=30).raise_for_status()
    assert found["status"] == "filled"
    assert filled_at_venues(stack) - before == Decimal("0.05")


def test_a_burst_is_answered_and_the_layer_is_unpacked_once(stack: Run) -> None:
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: post(stack, json.dumps(ORDER)), range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert len(list(stack.temporary.glob("layer-*/python/sor_core"))) == 1
    assert list(stack.temporary.glob("ministack-lambda-*/layer_*")) == []


def test_the_venues_are_known_at_the_first_look(stack: Run) -> None:
    exchanges = httpx.get(f"{stack.url}/api/exchanges/status", timeout=30).json()["exchanges"]
    assert set(exchanges) == {"binance", "coinbase", "kraken"}
    assert all(venue["is_healthy"] for venue in exchanges.values())


def test_health_and_unknown_paths(stack: Run) -> None:
    assert httpx.get(f"{stack.url}/health", timeout=30).status_code == 200
    for method, path in (("GET", "/nowhere"), ("PUT", "/api/route"), ("DELETE", "/api/exchanges/status")):
        answer = httpx.request(method, stack.url + path, timeout=30)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("size", [2_000_000, 7_000_000, 11_000_000])
def test_a_large_body_is_a_problem_and_not_a_failure(stack: Run, size: int) -> None:
    answer = post(stack, b" " * size)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == 413


def test_a_second_start_is_fast_and_sigterm_to_make_alone_leaves_nothing(stack: Run, start: Start) -> None:
    assert stack.make.poll() is None  # so the environments and the layer are there
    run = start()
    assert run.wait_until_ready() < SECOND_START_S
    run.make.terminate()
    run.wait_until_gone()
    assert not run.temporary.exists()
    assert "nothing is left running" in run.output


def test_ctrl_c_leaves_nothing_and_is_no_failure(start: Start) -> None:
    run = start(*program())
    run.wait_until_ready()
    os.killpg(run.make.pid, signal.SIGINT)
    assert run.wait_until_gone() == 0
    assert not run.temporary.exists()


def test_a_signal_while_it_starts_leaves_nothing(start: Start) -> None:
    run = start()
    while not run.processes() or "starting" not in run.output:
        time.sleep(0.02)
    run.make.terminate()
    run.wait_until_gone()
    assert not run.temporary.exists()


def test_a_signal_while_environments_are_installed_leaves_nothing(start: Start, tmp_path: Path) -> None:
    script = "import local.environments as e, pathlib; e.ENVIRONMENTS = pathlib.Path(FOLDER); e.main(['aws'])"
    run = start(sys.executable, "-c", script.replace("FOLDER", repr(str(tmp_path / "env"))))
    while "ensurepip" not in " ".join(run.processes().values()):
        assert run.make.poll() is None
        time.sleep(0.02)
    run.make.terminate()
    assert run.wait_until_gone() == 128 + signal.SIGTERM
    assert list(tmp_path.glob("env/*/.complete")) == []


def test_even_a_killed_orchestrator_leaves_nothing(start: Start) -> None:
    run = start()
    run.wait_until_ready()
    os.kill(run.process("-m local "), signal.SIGKILL)
    run.wait_until_gone()


def test_a_part_that_dies_takes_the_rest_with_it_and_is_named(start: Start) -> None:
    run = start()
    run.wait_until_ready()
    os.kill(run.process("-m local.venues"), signal.SIGKILL)
    assert run.wait_until_gone() != 0
    told = [line.strip() for line in run.output.splitlines()]
    (reason,) = [line for line in told if "the simulated venues ended by itself with exit code -9" in line]
    assert "/venues.log" in reason
    assert told[told.index(reason) + 1].endswith(" s  stopping")


@pytest.mark.parametrize("variable", ["SOR_PORT", "SOR_VENUES_PORT"])
def test_a_taken_port_is_told_in_one_line(start: Start, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = start(*program(), **{variable: str(port)})
        assert run.wait_until_gone() == 1
    line = f"{variable}: port {port} on 127.0.0.1 is taken; free it, or set {variable} to another"
    assert run.output.splitlines() == [line]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SOR_CACHE_TTL_SECONDS", "soon"),
        ("SOR_HEALTH_CHECK_INTERVAL", "5"),
        ("SOR_BEST_EXECUTION_WEIGHTS", "price=1"),
        ("SOR_VENUES", "binance,bitmex"),
        ("SOR_PORT", "99999"),
        ("EXCHANGE_GATEWAY_URL", "localhost:8006"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name_and_what_was_expected(
    start: Start, variable: str, value: str
) -> None:
    run = start(*program(), **{variable: value})
    assert run.wait_until_gone() == 2
    (line,) = run.output.splitlines()
    assert line.startswith(f"{variable}: expected ")
    assert value.rsplit(",", maxsplit=1)[-1] in line


def test_a_misspelt_variable_is_pointed_out(start: Start) -> None:
    run = start(*program(), SOR_CACHE_TTL="5", SOR_PORT="x")
    run.wait_until_gone()
    assert run.output.startswith("SOR_PORT: expected a port")
    run = start(*program(), SOR_CACHE_TTL="5")
    run.wait_until_ready()
    assert "SOR_CACHE_TTL is not a variable of SOR" in run.output


def test_with_a_gateway_no_venues_are_started(stack: Run, start: Start) -> None:
    run = start(EXCHANGE_GATEWAY_URL=f"http://127.0.0.1:{stack.ports[1]}", SOR_CACHE_TTL_SECONDS="0")
    run.wait_until_ready()
    assert not [command for command in run.processes().values() if "local.venues" in command]
    answers = [post(run, json.dumps(ORDER)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["cached"] for answer in answers] == [False, False]  # SOR_CACHE_TTL_SECONDS arrived


BROKEN = """
import asyncio, os, sys
from local.configuration import read
from local.processes import StackError
from local.stack import Stack
from local.template import load
template = load()
exec(sys.argv[1])
try:
    asyncio.run(Stack(read(os.environ, template), template).run())
except StackError:
    sys.exit(1)
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("['Parameters']['SorBookDepth']['Default'] = '0'", "must be a number of levels, from 1 to 5000"),
        (
            "['Resources']['RouteFunction']['Properties']['Layers'] = [LAYER]",
            "RouteFunction: .* does not exist",
        ),
    ],
)
def test_a_failed_deployment_is_told_in_one_line_with_its_reason(
    start: Start, change: str, reason: str
) -> None:
    change = f"LAYER = 'arn:aws:lambda:us-east-1:000000000000:layer:none:9'; template{change}"
    run = start(str(interpreter("run")), "-c", BROKEN, change, PYTHONPATH="layers/sor_core")
    assert run.wait_until_gone() == 1
    (line,) = [line for line in run.output.splitlines() if "deploying" in line]
    assert re.match(f"deploying template.yaml failed: .*{reason}.* \\(log: .build/run/.*aws.log\\)$", line)


def test_a_function_that_cannot_start_is_told_in_one_line(start: Start) -> None:
    change = "template['Resources']['RouteFunction']['Properties']['CodeUri'] = 'functions/health_probe/'"
    change += "; template['Globals']['Function']['Handler'] = 'app.nothing'"
    run = start(str(interpreter("run")), "-c", BROKEN, change, PYTHONPATH="layers/sor_core")
    assert run.wait_until_gone() == 1
    told = next(line for line in run.output.splitlines() if line.startswith("GET /health gave 50"))
    assert "functions.log" in told


def program() -> list[str]:
    """What `make run` becomes: make itself adds a line and changes the exit code."""
    return [sys.executable, "-m", "local.environments", "run", "aws", "--", "-m", "local"]
