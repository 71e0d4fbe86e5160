"""Prepare the virtual environments under ``.build/env``, then run a command in one of them.

    python3 -m local.environments run aws -- -m local

makes the environments ``run`` and ``aws`` where they are missing or out of date and replaces itself by
``python -m local`` in the first of them. Standard library only: it runs before anything is installed.

An environment is made from its hashed lock. Its stamp is written last, so one whose creation was interrupted
has none and is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from local.leash import die_with_parent

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENTS = REPOSITORY / ".build" / "env"
LOCKS = {
    "run": REPOSITORY / "local" / "requirements.txt",
    "aws": REPOSITORY / "local" / "requirements-aws.txt",
    "cli": REPOSITORY / "cli" / "requirements.txt",
    "sam": REPOSITORY / "local" / "requirements-sam.txt",
    "checks": REPOSITORY / "local" / "requirements-checks.txt",
    "supply": REPOSITORY / "local" / "requirements-supply.txt",
    "test": REPOSITORY / "tests" / "requirements.txt",
}
STAMP = ".complete"
SHOWN_LOG_LINES = 4
USER_PATHS = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER"}

_installers: set[subprocess.Popen[bytes]] = set()


class EnvironmentSetupError(Exception):
    """An environment could not be made; the text says why and what to do."""


def interpreter(name: str) -> Path:
    """Path of the Python of the environment `name`, whether it exists or not."""
    return ENVIRONMENTS / name / "bin" / "python"


def ensure(name: str) -> None:
    """Make the environment `name` unless it is there and up to date.

    Raises
    ------
    EnvironmentSetupError
        The virtual environment or its packages could not be installed.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with _held(ENVIRONMENTS / f"{name}.lock"):
        if _is_current(name):
            return
        started = time.monotonic()
        _say(f"environment {name}: installing with {sys.executable} (first time, or its lock is new)")
        shutil.rmtree(ENVIRONMENTS / name, ignore_errors=True)
        _create(name)
        _install(name)
        (ENVIRONMENTS / name / STAMP).write_text(_stamp(name), encoding="utf-8")
        _say(f"environment {name}: ready after {time.monotonic() - started:.0f} s")


def _create(name: str) -> None:
    log = ENVIRONMENTS / f"{name}.log"
    if _logged([sys.executable, "-m", "venv", str(ENVIRONMENTS / name)], log, "w") != 0:
        raise EnvironmentSetupError(
            f"{sys.executable} cannot make virtual environments ({_last_lines(log, 1)}). Install its venv "
            "package (python3-venv on Debian), or name another interpreter: make PYTHON=/path/to/python3 ..."
        )


def _install(name: str) -> None:
    log = ENVIRONMENTS / f"{name}.log"
    command = [str(interpreter(name)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    # The lock is complete: resolving again only takes time, and some releases of pip trip over extras in it.
    command += ["--only-binary=:all:", "--require-hashes", "--no-deps", "-r", str(LOCKS[name])]
    if _logged(command, log, "a") != 0:
        raise EnvironmentSetupError(
            f"installing {LOCKS[name].relative_to(REPOSITORY)} failed; "
            f"{log.relative_to(REPOSITORY)} ends with:\n{_last_lines(log, SHOWN_LOG_LINES)}"
        )


def _is_current(name: str) -> bool:
    stamp = ENVIRONMENTS / name / STAMP
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != _stamp(name):
        return False
    # The interpreter that the environment points to may have been removed since.
    check = subprocess.run([interpreter(name), "-c", ""], capture_output=True, check=False)  # noqa: S603 - ours
    return check.returncode == 0


def _stamp(name: str) -> str:
    """Say what the environment was made from, and where: its scripts hold that path."""
    interpreter_used = (sys.version, os.path.realpath(sys.executable))
    parts = (LOCKS[name].read_text(encoding="utf-8"), *interpreter_used, str(ENVIRONMENTS))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _logged(command: list[str], log: Path, mode: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in USER_PATHS}
    with (
        log.open(mode, encoding="utf-8") as output,
        subprocess.Popen(  # noqa: S603 - no argument comes from outside
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        _installers.add(process)
        try:
            return process.wait()
        finally:
            _installers.discard(process)


def _last_lines(log: Path, count: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, so that two commands started at once do not build the same thing."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # in one piece: environments are made side by side
    sys.stdout.flush()


def _stop(number: int, _frame: FrameType | None) -> None:
    for process in list(_installers):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the installers that it started
    # At once, for a thread may be waiting for a lock. An unfinished folder has no stamp, so it does no harm.
    os._exit(128 + number)


def main(arguments: list[str]) -> int:
    """Make the environments named before ``--``; become the first one's Python, with what stands after."""
    die_with_parent(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    names = arguments[: arguments.index("--")] if "--" in arguments else arguments
    command = arguments[len(names) + 1 :]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(ensure, names))
    except EnvironmentSetupError as failure:
        print(failure, file=sys.stderr)
        return 1
    if command:
        python = str(interpreter(names[0]))
        environment = {name: value for name, value in os.environ.items() if name not in USER_PATHS}
        environment["PYTHONPATH"] = str(REPOSITORY / "layers" / "sor_core")
        os.execve(python, [python, *command], environment)  # noqa: S606 - no shell is wanted
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
