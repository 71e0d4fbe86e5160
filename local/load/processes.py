"""What the processes of a stack hold of the memory and use of the processors, and whether it grows."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.chaos.running import Running

MB = 1_000_000
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PARENT, _USER, _SYSTEM, _RESIDENT = 1, 11, 12, 21
"""Fields of ``/proc/PID/stat`` after the name (proc(5): 4, 14, 15 and 24, counted from 1 before it)."""
_PARTS = {"local.aws_server": "the local AWS", "local.venues": "the simulated venues"}


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment."""

    part: str
    """The function that it runs, or what else of the stack it is."""
    runs_function: bool
    resident_bytes: int
    processor_s: float
    """Used since it began, user and system."""


Sample = Mapping[int, Process]


def sample(stack: Running) -> Sample:
    """Look at a stack's processes now; those that end meanwhile are left out."""
    functions, found = stack.workers(), {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        pid = int(folder.name)
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            part = functions.get(pid)
            if part is None and int(fields[_PARENT]) == stack.pid:
                part = _part((folder / "cmdline").read_bytes().decode(errors="replace"))
            if part is not None:
                used_s = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_A_SECOND
                resident_bytes = int(fields[_RESIDENT]) * _PAGE_BYTES
                found[pid] = Process(part, pid in functions, resident_bytes, used_s)
    return found


def _part(command: str) -> str | None:
    return next((part for module, part in _PARTS.items() if module in command), None)


@dataclass(frozen=True, slots=True)
class Growth:
    """The processes of one function that ran from the first look to the last."""

    function: str
    processes: int
    others: int
    """Processes that were started or ended in between: nothing is said of them."""
    start_bytes: float
    """Mean of a process at the first look."""
    end_bytes: float

    @property
    def ratio(self) -> float:
        """Growth of the mean: 0.02 is two in a hundred."""
        return self.end_bytes / self.start_bytes - 1 if self.processes else 0.0


def growth(start: Sample, end: Sample) -> Sequence[Growth]:
    """Compare the memory of two looks, by function."""
    both = {**start, **end}
    return [_growth(name, start, end) for name in sorted({p.part for p in both.values() if p.runs_function})]


def _growth(function: str, start: Sample, end: Sample) -> Growth:
    before = {pid: p.resident_bytes for pid, p in start.items() if p.part == function}
    after = {pid: p.resident_bytes for pid, p in end.items() if p.part == function}
    both = before.keys() & after.keys()
    return Growth(
        function,
        len(both),
        len(before.keys() ^ after.keys()),
        sum(before[pid] for pid in both) / len(both) if both else 0.0,
        sum(after[pid] for pid in both) / len(both) if both else 0.0,
    )


def processor_s(start: Sample, end: Sample) -> Mapping[str, float]:
    """Processor time between two looks, by part."""
    used: dict[str, float] = defaultdict(float)
    for pid, process in end.items():
        used[process.part] += process.processor_s - (start[pid].processor_s if pid in start else 0.0)
    return used
