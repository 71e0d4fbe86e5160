"""Compare the split with an independent mixed-integer solver's.

    PYTHONPATH=layers/sor_core python -m benchmarks.optimality --instances 100000 --seed 1

Draws seeded random instances (2..6 venues; lots that divide each other and lots that do not; thin
and deep books; minimums, balances, a limit on legs, fixed costs; buys and sells; infeasible ones
among them), solves each with `sor_core.routing.allocate` and with HiGHS, and compares the totals
filled and the costs. HiGHS works in floats to a tolerance, so its answer is rounded to whole lots,
checked, and costed again in integers; an answer that does not survive that is counted, not
compared. Needs highspy (a development dependency).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import highspy

from sor_core.routing.allocate import Split, allocate
from sor_core.routing.curves import Curve

DIVIDING = ((1,), (1, 10), (1, 10, 100), (1, 2, 4), (5, 10), (1, 1000))
NOT_DIVIDING = ((2, 3), (3, 5), (4, 6), (1, 2, 3), (6, 10, 15), (25, 40))


@dataclass(frozen=True, slots=True)
class Instance:
    """One problem of `allocate`."""

    curves: tuple[Curve, ...]
    target: int
    max_legs: int


@dataclass(slots=True)
class Tally:
    """What a run came to."""

    instances: int = 0
    empty: int = 0
    not_compared: int = 0
    filled_less: int = 0
    dearer: int = 0
    cheaper: int = 0
    unproven: int = 0
    largest_gap_bps: float = 0.0
    failures: list[Instance] = field(default_factory=list)

    @property
    def mismatches(self) -> int:
        """Instances in which the solver's answer was better."""
        return self.filled_less + self.dearer


def instances(seed: int, count: int) -> Iterator[Instance]:
    """Draw problems; the same seed gives the same ones."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for _ in range(count):
        yield _draw(rng)


def _draw(rng: random.Random) -> Instance:
    lots = rng.choice(rng.choice((DIVIDING, DIVIDING, NOT_DIVIDING)))
    side = rng.choice((1, -1))
    touch = rng.randint(9_000, 11_000)
    deep = rng.random() < 0.5  # noqa: PLR2004
    curves = [_curve(rng, rng.choice(lots), side, touch, deep=deep) for _ in range(rng.randint(2, 6))]
    depth = sum(c.ends[-1] for c in curves)
    target = rng.randint(1, max(1, rng.choice((depth // 50, depth // 5, depth, depth * 2))))
    return Instance(tuple(curves), target, rng.choice((len(curves), len(curves), 1, 2, 3)))


def _curve(rng: random.Random, lot: int, side: int, touch: int, *, deep: bool) -> Curve:
    price = touch + side * rng.randint(-3, 30)
    fee = rng.choice((0, 5, 10, 40, 120))
    costs, sizes = [], []
    for _ in range(rng.randint(8, 40) if deep else rng.randint(1, 6)):
        costs.append(price * (10_000 * side + fee))
        sizes.append(1 + int(rng.paretovariate(1.2) * lot * rng.choice((1, 5, 20))) % 5_000)
        price += side * rng.choice((0, 1, 1, 2, 5, 20))
    held = sum(sizes)
    least = rng.choice((0, 0, lot * rng.randint(1, 5), rng.randint(1, 50)))
    most = rng.choice((held, held, rng.randint(1, held)))  # a balance or a maximum size
    fixed = rng.choice((0, 0, 0, rng.randint(1, 10**8)))
    return Curve(costs, sizes, lot=lot, lo=least, hi=most, fixed=fixed)


class _Model:
    """The instance for HiGHS: a column per level, a count of lots and an on/off switch per venue."""

    def __init__(self, instance: Instance, usable: Sequence[Curve]) -> None:
        self.solver = highspy.Highs()  # type: ignore[no-untyped-call]
        self.solver.setOptionValue("output_flag", False)
        self.solver.setOptionValue("mip_rel_gap", 0.0)
        self.solver.setOptionValue("mip_abs_gap", 0.0)
        self.lots: list[highspy.highs.highs_var] = []
        self.costs: list[highspy.highs.highs_linear_expression] = []
        switches, everything = [], []
        for curve in usable:
            sizes = [b - a for a, b in zip(curve.ends, curve.ends[1:], strict=False)]
            levels = [self.solver.addVariable(0, size) for size in sizes]
            count = self.solver.addIntegral(0, curve.hi // curve.lot)
            on = self.solver.addBinary()
            taken = self.solver.qsum(levels)
            self.solver.addConstr(taken == curve.lot * count)
            self.solver.addConstr(curve.lot * count >= curve.lo * on)
            self.solver.addConstr(curve.lot * count <= curve.hi * on)
            # Costs in millionths: HiGHS's tolerances are absolute.
            self.costs.extend(c / 1e6 * x for c, x in zip(curve.unit_costs, levels, strict=True))
            self.costs.append(curve.fixed / 1e6 * on)
            self.lots.append(count)
            switches.append(on)
            everything.append(taken)
        self.solver.addConstr(self.solver.qsum(switches) <= instance.max_legs)
        self.total = self.solver.qsum(everything)
        self.solver.addConstr(self.total <= instance.target)

    def solve(self) -> list[int] | None:
        """Lots per venue: as much as possible, then as cheaply as possible; None if it gave up."""
        self.solver.maximize(self.total)
        most = self._answer()
        if most is None:
            return None
        self.solver.addConstr(self.total == most[1])
        self.solver.minimize(self.solver.qsum(self.costs))
        found = self._answer()
        return None if found is None else found[0]

    def _answer(self) -> tuple[list[int], int] | None:
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        lots = [round(self.solver.val(count)) for count in self.lots]
        return lots, round(self.solver.val(self.total))


def solver_answer(instance: Instance) -> tuple[int, int] | None:
    """(total, cost) of HiGHS's answer, rounded to lots and costed in integers; None if unusable."""
    usable = [c for c in instance.curves if c.usable and c.lo <= instance.target]
    if not usable:
        return 0, 0
    lots = _Model(instance, usable).solve()
    if lots is None:
        return None
    total = cost = legs = 0
    for curve, count in zip(usable, lots, strict=True):
        size = count * curve.lot
        if size == 0:
            continue
        if not curve.lo <= size <= curve.hi:
            return None
        legs += 1
        total += size
        cost += curve.cost(size) + curve.fixed
    return (total, cost) if total <= instance.target and legs <= instance.max_legs else None


def compare(tally: Tally, instance: Instance, ours: Split) -> None:
    """Add one instance to the tally."""
    tally.instances += 1
    tally.empty += ours.total == 0
    tally.unproven += ours.lower_bound != ours.cost
    theirs = solver_answer(instance)
    if theirs is None:
        tally.not_compared += 1
        return
    total, cost = theirs
    if ours.total < total:
        tally.filled_less += 1
        tally.failures.append(instance)
    elif ours.total == total and ours.cost > cost:
        tally.dearer += 1
        tally.failures.append(instance)
        tally.largest_gap_bps = max(tally.largest_gap_bps, 1e4 * (ours.cost - cost) / abs(cost))
    elif ours.total > total or ours.cost < cost:
        tally.cheaper += 1


def run(seed: int, count: int, *, progress: bool = False) -> Tally:
    """Compare so many instances."""
    tally = Tally()
    for instance in instances(seed, count):
        compare(tally, instance, allocate(instance.curves, instance.target, instance.max_legs))
        if progress and tally.instances % 1000 == 0:
            print(f"{tally.instances} instances, {tally.mismatches} mismatches", file=sys.stderr)
    return tally


def main() -> int:
    """Run from the command line; exit code 1 on a mismatch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    tally = run(options.seed, options.instances, progress=True)
    print(
        f"instances {tally.instances} (seed {options.seed}, {time.monotonic() - started:.0f} s)\n"
        f"mismatches {tally.mismatches} (filled less {tally.filled_less}, dearer {tally.dearer})\n"
        f"largest gap {tally.largest_gap_bps:g} bps\n"
        f"better than the solver's rounded answer {tally.cheaper}\n"
        f"nothing could be filled {tally.empty}, not proven by us {tally.unproven}, "
        f"solver's answer unusable {tally.not_compared}"
    )
    return 1 if tally.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
