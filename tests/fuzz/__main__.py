"""``make fuzz ARGS="--seed 7 --examples 1000"``: a deep run; other options are schemathesis' own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import attack, misplaced, running, stored_orders

SEED = 20_240_808


def main() -> int:
    """Run, print what was asked and answered, and say what is wrong; 1 where something is."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--examples", type=int, default=300, help="for each operation and phase")
    options, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as stack:
        done = attack(stack, Path(name), seed=options.seed, examples=options.examples, options=others)
        orders, _ = stored_orders(stack)
        lines = misplaced(stack)
    report = [done.output, done.table(), *(f"not to be logged: {line}" for line in lines)]
    if orders != done.placed:
        report.append(f"stored and not answered, or the other way: {sorted(orders ^ done.placed)}")
    sys.stdout.write("\n".join([*report, ""]))
    return int(bool(done.exit_code or lines or orders != done.placed))


if __name__ == "__main__":
    sys.exit(main())
