"""``python -m local.aws_server FUNCTIONS_LOG``: ministack, made to run functions more as Lambda does.

Runs in the environment ``aws``. ministack is configured by its own environment variables; what it has none
for is set here, against the exact release that local/requirements-aws.txt pins.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ministack.app import main
from ministack.core import iam_actions, lambda_runtime
from ministack.services import lambda_svc

LOG_WAIT_S = (0.002, 0.002, 0.25)
"""For a first line, for the next, at most. ministack's own 50 ms delays every call that logs nothing."""


def shorten_log_wait() -> None:
    """Let a call return as soon as its function has, not after a wait for log lines."""
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = LOG_WAIT_S  # noqa: SLF001


def run_functions_on_bare_interpreter() -> None:
    """Start functions on the interpreter under this environment, not in it.

    In it they would find ministack's own libraries, and a library missing from the layer would be missed in
    Lambda only.
    """
    bare = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    detected = lambda_runtime._detect_runtime_binary  # noqa: SLF001

    def detect(runtime: str) -> tuple[str, str]:
        binary, script = detected(runtime)
        return str(bare) if binary == sys.executable else binary, script

    lambda_runtime._detect_runtime_binary = detect  # noqa: SLF001


def share_layers() -> None:
    """Unpack a layer once, for all processes of all functions: ministack does it for each process.

    The archive and what it holds are 92 MB, which a burst of a dozen requests would write a dozen times. A
    process looks for layers where this variable says, which ministack sets to its own copies where it
    makes any.
    """
    spawn = lambda_runtime.Worker._spawn  # noqa: SLF001
    unpacked: dict[str, str] = {}
    one_at_a_time = threading.Lock()

    def folder(layer: Any) -> str:
        arn = layer if isinstance(layer, str) else layer["Arn"]
        with one_at_a_time:
            if arn not in unpacked:
                made = tempfile.mkdtemp(prefix="layer-")
                if content := lambda_svc._resolve_layer_zip(layer):  # noqa: SLF001
                    with zipfile.ZipFile(io.BytesIO(content)) as archive:
                        archive.extractall(made)
                unpacked[arn] = made
            return unpacked[arn]

    def spawn_with_shared_layers(worker: lambda_runtime.Worker) -> None:
        if layers := worker.config.get("Layers"):
            environment = worker.config.get("Environment", {})
            variables = {
                **environment.get("Variables", {}),
                "_LAMBDA_LAYERS_DIRS": os.pathsep.join(map(folder, layers)),
            }
            worker.config = {
                **worker.config,
                "Layers": [],
                "Environment": {**environment, "Variables": variables},
            }
        spawn(worker)

    lambda_runtime.Worker._spawn = spawn_with_shared_layers  # noqa: SLF001


def keep_function_logs(log: TextIO) -> None:
    """Copy what functions write into `log`: ministack keeps it in memory only."""

    def read_stderr(worker: lambda_runtime.Worker) -> None:
        for line in worker._proc.stderr:  # noqa: SLF001
            log.write(line)
            worker._stderr_queue.put(line.rstrip("\n"))  # noqa: SLF001

    lambda_runtime.Worker._read_stderr = read_stderr  # noqa: SLF001


def name_batches_by_their_single_action() -> None:
    """Let ``sqs:SendMessage`` cover a batch, as AWS does ("Amazon SQS API permissions").

    ministack wants an action of its own for it.
    """
    named = iam_actions.extract_iam_action

    def name(*request: Any) -> str | None:
        action: str | None = named(*request)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = name


def tell_policies_which_items() -> None:
    """Give policies ``dynamodb:LeadingKeys`` (AWS, "Specifying conditions: using condition keys").

    ministack evaluates policies with ``AUTH=true`` and knows no such key: conditions on it would always hold.
    """
    told = iam_actions.dynamodb_service_context

    def tell(body: bytes) -> dict[str, Any]:
        context: dict[str, Any] = told(body)
        keys = sorted(set(_partitions(json.loads(body or b"{}"))))
        return context | ({"dynamodb:LeadingKeys": keys} if keys else {})

    iam_actions.dynamodb_service_context = tell


def _partitions(request: dict[str, Any]) -> Iterator[str]:
    """The partition keys that a request of our tables names, in whichever of its forms."""
    items = [request.get("Key"), request.get("Item")]
    for table in request.get("RequestItems", {}).values():
        items += table.get("Keys", ()) if isinstance(table, dict) else ()
    for action in request.get("TransactItems", ()):
        items += [part.get("Key") or part.get("Item") for part in action.values()]
    for item in items:
        if item and "pk" in item:
            yield item["pk"]["S"]


def start_few_at_once(at_once: int) -> None:
    """Start at most so many processes of a function at once; a request waits for one that is ready.

    Lambda would start one for each request that finds none. Here they share a few processors: of a dozen that
    start together none gets its venues' answers in time.
    """
    acquire, release = lambda_svc.acquire_worker, lambda_svc.release_worker
    spawn = lambda_runtime.Worker._spawn  # noqa: SLF001
    starting: set[lambda_runtime.Worker] = set()
    changed = threading.Condition()

    def is_free(name: str, config: dict[str, Any], qualifier: str) -> bool:
        key = lambda_runtime._worker_key(name, config, qualifier)  # noqa: SLF001
        return any(not worker.in_use for worker in list(lambda_runtime._workers.get(key, ())))  # noqa: SLF001

    def starters(name: str) -> int:
        return sum(worker.func_name == name for worker in starting)

    def acquire_when_due(
        name: str, config: dict[str, Any], code: bytes, qualifier: str = "$LATEST", **options: Any
    ) -> Any:
        with changed:
            changed.wait_for(lambda: is_free(name, config, qualifier) or starters(name) < at_once)
            worker, how = acquire(name, config, code, qualifier=qualifier, **options)
            if how == "spawn":
                starting.add(worker)
        return worker, how

    def done(worker: lambda_runtime.Worker | None) -> None:
        with changed:
            starting.discard(worker)
            changed.notify_all()

    def release_and_tell(worker: lambda_runtime.Worker | None) -> None:
        release(worker)
        done(worker)

    def spawn_and_tell(worker: lambda_runtime.Worker) -> None:
        try:
            spawn(worker)
        finally:
            done(worker)

    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire_when_due, release_and_tell
    lambda_runtime.Worker._spawn = spawn_and_tell  # noqa: SLF001


def take_turns(at_once: int) -> None:
    """Run at most so many invocations of a function at once; others wait until it is their turn.

    Lambda would run them all. Here they share a few processors with the tables and venues that they ask, and
    too many of them starve these.
    """
    acquire, release = lambda_svc.acquire_worker, lambda_svc.release_worker
    places: dict[str, threading.Semaphore] = {}
    mine = threading.local()  # a worker is taken and given back by one thread

    def acquire_in_turn(name: str, *args: Any, **options: Any) -> Any:
        mine.place = places.setdefault(name, threading.Semaphore(at_once))
        mine.place.acquire()
        return acquire(name, *args, **options)

    def release_in_turn(worker: lambda_runtime.Worker | None) -> None:
        release(worker)
        mine.place.release()

    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire_in_turn, release_in_turn


if __name__ == "__main__":
    shorten_log_wait()
    share_layers()
    start_few_at_once(max(1, (os.cpu_count() or 1) // 2))
    if places := int(os.environ.get("LOCAL_FUNCTIONS_AT_ONCE", "0")):
        take_turns(places)
    tell_policies_which_items()
    name_batches_by_their_single_action()
    run_functions_on_bare_interpreter()
    with Path(sys.argv[1]).open("a", buffering=1, encoding="utf-8") as functions_log:
        keep_function_logs(functions_log)
        sys.argv[1:] = []
        main()
