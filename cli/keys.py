"""A wait that a key ends."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto


class Key(Enum):
    """What ended a wait."""

    NONE = auto()
    """The time was over."""
    QUIT = auto()
    OTHER = auto()


class Keys:
    """Single keys from the terminal; only time where standard input is none."""

    def __init__(self, *, listening: bool) -> None:
        self._listening = listening

    def wait(self, seconds: float) -> Key:
        """Wait for a key, so long at most."""
        if not self._listening:
            time.sleep(seconds)
            return Key.NONE
        if not select.select([sys.stdin], [], [], seconds)[0]:
            return Key.NONE
        pressed = os.read(sys.stdin.fileno(), 64)  # whole: an arrow is three bytes, and no escape
        return Key.QUIT if pressed in {b"q", b"Q", b"\x1b", b""} else Key.OTHER


@contextmanager
def keys() -> Iterator[Keys]:
    """Listen to single keys until the block ends, and leave the terminal as it was."""
    try:
        import termios  # noqa: PLC0415 - not on every system
        import tty  # noqa: PLC0415
    except ImportError:
        yield Keys(listening=False)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield Keys(listening=False)
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield Keys(listening=True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
