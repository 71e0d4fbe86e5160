"""What all benchmarks share: timing side by side, and a row of the table."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

HEADINGS = ("what", "ours", "against", "ratio", "target", "met")
_HUNDREDTHS = 100


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of one piece of work."""

    taken_ms: Sequence[float]

    @property
    def median_ms(self) -> float:
        """Half took longer."""
        return statistics.median(self.taken_ms)

    @property
    def p99_ms(self) -> float:
        """One in a hundred took longer; of fewer than a hundred, the longest."""
        if len(self.taken_ms) < _HUNDREDTHS:
            return max(self.taken_ms)
        return statistics.quantiles(self.taken_ms, n=_HUNDREDTHS)[-1]

    def __str__(self) -> str:
        """Median and 99th percentile, in milliseconds."""
        return f"{self.median_ms:.2f} ms (p99 {self.p99_ms:.2f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a benchmark's table."""

    what: str
    ours: str
    against: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    """None where there is no target."""

    def cells(self) -> tuple[str, ...]:
        """In the order of `HEADINGS`."""
        met = "" if self.met is None else "yes" if self.met else "**no**"
        return (self.what, self.ours, self.against, self.ratio, self.target, met)


def at_most(what: str, ours: Timing, against: Timing, most: float | None, name: str) -> Row:
    """Compare medians with a target `ours <= most x against`; without one no verdict is given."""
    ratio = ours.median_ms / against.median_ms
    target, met = ("", None) if most is None else (f"≤ {most:g} x", ratio <= most)
    return Row(what, str(ours), f"{name} {against}", f"{ratio:.2f} x", target, met)


def at_least(what: str, ours: Timing, against: Timing, least: float, name: str) -> Row:
    """Compare medians with a target `against >= least x ours`."""
    ratio = against.median_ms / ours.median_ms
    return Row(
        what, str(ours), f"{name} {against}", f"{ratio:.1f} x faster", f"≥ {least:g} x", ratio >= least
    )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a piece of work returns that was done, and timed, by another process."""

    taken_ms: float


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Take the processor time of several pieces of pure computation in turn, each round led by another.

    What disturbs the machine for a while so disturbs all alike, and what others do on it counts
    little. Each is run once before, and what it returns is freed within its own time.
    """
    names = list(works)
    for work in works.values():
        work()
    gc.collect()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            work = works[name]
            started = time.process_time()
            told = work()
            if isinstance(told, Elsewhere):
                taken[name].append(told.taken_ms)
                continue
            del told
            taken[name].append((time.process_time() - started) * 1000)
    return {name: Timing(times) for name, times in taken.items()}


def table(rows: Iterable[Row]) -> str:
    """Give the rows as a Markdown table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
