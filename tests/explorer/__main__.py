"""``python -m tests.explorer [--deep] [--story NAME]``: explore, print what was seen, fail on a violation."""

# ruff: noqa: T201 - a command line tool prints
from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from tests.explorer.mutants import MUTANTS, Mutant
from tests.explorer.scenarios import BROKEN_ASSUMPTIONS, SCENARIOS, Scenario
from tests.explorer.search import Result
from tests.explorer.stories import tell

MOST_STATES = 6_000_000


def main() -> int:
    """Give 1 where the real protocol breaks a rule, or a mutant none."""
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="more faults at once: minutes, and some GB")
    parser.add_argument("--story", metavar="NAME", help="tell the shortest story of one mutant")
    parser.add_argument("--scenario", metavar="NAME", help="explore only this one")
    args = parser.parse_args()
    if args.story is not None:
        return _story(args.story)
    failed = 0
    print("scenario              faults    states  transitions  depth  seconds  ends")
    for scenario in SCENARIOS:
        if args.scenario in {None, scenario.name}:
            failed += _explore(scenario, is_deep=args.deep)
    if args.scenario is None:
        print("\nmutant                broken rule      steps    states  instead of the guard")
        failed += sum(_kill(mutant) for mutant in MUTANTS)
        print("\nassumption gone       broken rule      steps    states  the world then")
        failed += sum(_break(scenario) for scenario in BROKEN_ASSUMPTIONS)
    return 1 if failed else 0


def _explore(scenario: Scenario, *, is_deep: bool) -> bool:
    faults = scenario.deep_faults if is_deep else scenario.faults
    explorer = scenario.explorer(faults=faults, is_deep=is_deep)
    result = explorer.explore(MOST_STATES)
    ends = " ".join(f"{status}:{count}" for status, count in sorted(result.endings.items()))
    if not result.is_complete:
        ends = f"NOT ALL SEEN; {ends}"
    print(
        f"{scenario.name:20}  {faults:6}  {result.states:8}  {result.transitions:11}  {result.depth:5}"
        f"  {result.seconds:7.1f}  {ends}",
        flush=True,
    )
    if result.violation is not None:
        print(*tell(explorer, result.story, result.violation), sep="\n")
    return result.violation is not None


def _kill(mutant: Mutant) -> bool:
    with mutant.applied() as explorer:
        result = explorer.explore(MOST_STATES)
    return _row(mutant.name, result, mutant.what)


def _break(scenario: Scenario) -> bool:
    explorer = scenario.explorer(rules=frozenset({"over-filled"}), is_deep=True)
    return _row(scenario.name, explorer.explore(MOST_STATES), scenario.what)


def _row(name: str, result: Result, what: str) -> bool:
    rule = "NONE FOUND" if result.violation is None else result.violation.rule
    print(f"{name:21} {rule:14}   {len(result.story):5}  {result.states:8}  {what}", flush=True)
    return result.violation is None


def _story(name: str) -> int:
    for line in story_of(name):
        print(line)
    return 0


def story_of(name: str) -> Iterator[str]:
    """The shortest story of a mutant, or of an assumption that is gone; raises `SystemExit` for neither."""
    for mutant in MUTANTS:
        if mutant.name == name:
            with mutant.applied() as explorer:
                result = explorer.explore(MOST_STATES)
                yield f"{mutant.name}: {mutant.what}"
                if result.violation is not None:
                    yield from tell(explorer, result.story, result.violation)
            return
    for scenario in BROKEN_ASSUMPTIONS:
        if scenario.name == name:
            explorer = scenario.explorer(rules=frozenset({"over-filled"}), is_deep=True)
            result = explorer.explore(MOST_STATES)
            yield f"{scenario.name}: {scenario.what}"
            if result.violation is not None:
                yield from tell(explorer, result.story, result.violation)
            return
    names = [mutant.name for mutant in MUTANTS] + [scenario.name for scenario in BROKEN_ASSUMPTIONS]
    raise SystemExit(f"no such story; there are: {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
