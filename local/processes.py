"""Child processes that end with the stack, whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from local.template import REPOSITORY

GRACE_S = 4.0
"""How long a child may take to end by itself before it is killed."""


class StackError(Exception):
    """The stack cannot go on; the text is for its user: one line, with what to do or where to look."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: `what` it is in words, and where its output goes."""

    what: str
    process: asyncio.subprocess.Process
    log: Path


class Children:
    """Starts children, each leashed and in a process group of its own; leaving the context ends them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(_end(child.process) for child in reversed(self._children)))

    async def start(
        self, what: str, command: Sequence[str | Path], environment: Mapping[str, str], log: str
    ) -> Child:
        """Start `command`, its output going to the file `log`."""
        path = self._logs / log
        with path.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "local.leash",
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        child = Child(what, process, path)
        self._children.append(child)
        return child

    async def watch(self) -> NoReturn:
        """Wait until a child ends by itself, and raise `StackError`: none should."""
        waits = [asyncio.create_task(child.process.wait()) for child in self._children]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise next(_ended(child) for child in self._children if child.process.returncode is not None)


def _ended(child: Child) -> StackError:
    """Say that a child ended by itself, with the last line it left."""
    lines = child.log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return StackError(
        f"{child.what} ended by itself with exit code {child.process.returncode}: {last} "
        f"(log: {shown(child.log)})"
    )


def shown(path: Path) -> str:
    """Show a path as it is typed from the repository."""
    return str(path.relative_to(REPOSITORY))


async def run_to_end(command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> int:
    """Run a command that ends by itself, its output added to `log`; cancelling ends it."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    try:
        return await process.wait()
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a whole process group: asked first, then killed, with what its leader may have left behind."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
