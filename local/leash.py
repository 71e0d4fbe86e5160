"""Tie a process to its parent's life, so that even a killed parent leaves nothing running.

``python -m local.leash COMMAND ...`` replaces itself by COMMAND, which the kernel kills once the parent is
gone. Linux only (``prctl(2)``, PR_SET_PDEATHSIG, survives exec); elsewhere COMMAND runs unleashed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ORPHANS_PARENT = 1


def die_with_parent(how: signal.Signals) -> None:
    """Have the kernel send `how` to this process when the thread that started it ends. Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() == ORPHANS_PARENT:  # it was gone before we asked
        os.kill(os.getpid(), how)


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted
