"""Run all benchmarks of docs/performance.md and write their table there.

    make bench                      # a few minutes
    make bench ARGS="--only warm gather"    # prints, writes nothing

Whoever else uses the machine meanwhile is in the figures.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import bytes_to_decision, cold_start, gather, refresh, warm
from benchmarks.measuring import HEADINGS, Row, table
from benchmarks.world import World, world
from local.template import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Measured = Sequence[tuple[str, Row]]

ALL: Mapping[str, Callable[[World, Path], list[Row]]] = {
    "bytes_to_decision": lambda _around, _folder: bytes_to_decision.measure(),
    "cold_start": cold_start.measure,
    "warm": warm.measure,
    "gather": gather.measure,
    "refresh": lambda around, _folder: refresh.measure(around),
}


def measure(names: Sequence[str]) -> Measured:
    """Run the benchmarks named, each in a world of its own."""
    rows: list[tuple[str, Row]] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as around:
            done = ALL[name](around, Path(folder) / name)
        print(table(done), file=sys.stderr, flush=True)
        rows += [(name, row) for row in done]
    return rows


def machine() -> str:
    """Say what it was measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")),
        platform.machine(),
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"`make bench`, {python}, {os.cpu_count()} cores, {model}, {platform.system()}."


def section(measured: Measured) -> str:
    """Write what stands between the markers."""
    headings = ("script", *HEADINGS)
    lines = [headings, ("---",) * len(headings), *((name, *row.cells()) for name, row in measured)]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{BEGIN}\n{machine()}\n\n{rows}\n{END}"


def written_into(document: str, figures: str) -> str:
    """Put the figures in the place of the earlier ones.

    Raises
    ------
    ValueError
        The document has not both markers.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} to write between")
    return before + figures + after


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main() -> None:
    """Measure; write unless only some were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*ALL], help="print these, write nothing")
    only = parser.parse_args().only
    figures = section(measure(only or [*ALL]))
    print(figures)
    if not only:
        DOCUMENT.write_text(written_into(DOCUMENT.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
