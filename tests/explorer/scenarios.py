"""Small scopes, each explored wholly."""

from __future__ import annotations

from dataclasses import dataclass

from tests.explorer.processes import Habits, Processes, Setting
from tests.explorer.search import Explorer
from tests.explorer.shelf import Leg, Shelf, terms_of
from tests.explorer.world import BINANCE, COINBASE, KRAKEN, Nature


@dataclass(frozen=True)
class Scenario:
    """An order, what may happen to it, and how far that is followed."""

    name: str
    what: str
    setting: Setting
    deep_faults: int
    """Faults allowed in the deep run."""
    least_states: int
    """What the bounded run must see, so that an emptied exploration cannot pass."""
    natures: tuple[Nature, ...] = (BINANCE, COINBASE, KRAKEN)
    strict: bool = False
    most_rounds: int = 2
    review_ticks: int = 4

    @property
    def size(self) -> int:
        """Units ordered."""
        return sum(leg.size for leg in self.setting.legs)

    def explorer(
        self, setting: Setting | None = None, habits: Habits | None = None, rules: frozenset[str] | None = None
    ) -> Explorer:
        """What explores it."""
        setting = setting or self.setting
        terms = terms_of(
            self.size,
            rests=setting.rests,
            strict=self.strict,
            most_rounds=self.most_rounds,
            review_ticks=self.review_ticks,
        )
        shelf = Shelf(self.natures, terms)
        return Explorer(Processes(shelf, setting, habits or Habits()), self.size, rules)


SCENARIOS = (
    Scenario(
        "failover",
        "2 units at Binance; what is left goes to Kraken",
        Setting((Leg("binance", 2),), ("binance", "kraken"), faults=1),
        deep_faults=2,
        least_states=100,
    ),
)
