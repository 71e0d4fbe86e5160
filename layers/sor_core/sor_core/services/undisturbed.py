"""Deciding without the garbage collector's pauses."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold the garbage collector for a block of pure computation.

    A decision makes many small objects and no cycles; a full collection in its midst looks through
    every object of the process and can take several times as long as the decision itself.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def settle() -> None:
    """Have the collector pass over all there is now: modules and what lives as long as the process.

    A full collection looks through every object it knows of, some 200,000 once all is imported, in
    the midst of reading a book perhaps (docs/performance.md).
    """
    gc.freeze()
