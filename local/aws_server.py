"""``python -m local.aws_server FUNCTIONS_LOG``: ministack, made to run functions more as Lambda does.

Runs in the environment ``aws``. ministack is configured by its own environment variables; what it has none
for is set here, against the exact release that local/requirements-aws.txt pins.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from ministack.app import main
from ministack.core import lambda_runtime

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


def keep_function_logs(log: TextIO) -> None:
    """Copy what functions write into `log`: ministack keeps it in memory only."""

    def read_stderr(worker: lambda_runtime.Worker) -> None:
        for line in worker._proc.stderr:  # noqa: SLF001
            log.write(line)
            worker._stderr_queue.put(line.rstrip("\n"))  # noqa: SLF001

    lambda_runtime.Worker._read_stderr = read_stderr  # noqa: SLF001


if __name__ == "__main__":
    shorten_log_wait()
    run_functions_on_bare_interpreter()
    with Path(sys.argv[1]).open("a", buffering=1, encoding="utf-8") as functions_log:
        keep_function_logs(functions_log)
        sys.argv[1:] = []
        main()
