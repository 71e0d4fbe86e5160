"""``python -m local``: the local stack, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import sys

from local.configuration import read
from local.processes import StackError
from local.stack import Stack
from local.template import load
from sor_core.settings import SettingsError

BAD_CONFIGURATION = 2
FAILED = 1


def main() -> int:
    """Check the configuration, then run the stack; gives the exit code."""
    template = load()
    try:
        configuration = read(os.environ, template)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return BAD_CONFIGURATION
    for name in configuration.unknown:
        print(f"{name} is not a variable of SOR and is left out", file=sys.stderr)
    try:
        asyncio.run(Stack(configuration, template).run())
    except StackError:  # told by the stack itself
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
