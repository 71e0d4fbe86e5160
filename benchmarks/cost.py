"""Count what the functions ask of AWS, and write into docs/cost.md what that costs.

    make cost                  # count, and write
    make cost ARGS=--check     # count, and say where the document differs: exit code 1 if it does

The real handlers run in this process, over simulated venues and an AWS in memory (benchmarks/costs/house.py).
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.costs.document import counts, differences, generated, put_into
from benchmarks.costs.scenes import count
from local.template import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "cost.md"


def main() -> int:
    """Do it; gives the exit code."""
    arguments = argparse.ArgumentParser(prog="make cost", description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing")
    asked = arguments.parse_args()
    scenes, said = count(), DOCUMENT.read_text(encoding="utf-8")
    if asked.check:
        found = differences(said, counts(scenes))
        print("\n".join(found) or "docs/cost.md says what was counted")
        return 1 if found else 0
    DOCUMENT.write_text(put_into(said, generated(scenes)), encoding="utf-8")
    print(generated(scenes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
