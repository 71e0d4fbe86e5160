"""Small scopes, each explored wholly."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.explorer.meanings import Leg
from tests.explorer.processes import Processes
from tests.explorer.records import terms_of
from tests.explorer.search import Explorer
from tests.explorer.shelf import Shelf
from tests.explorer.states import Habits, Setting
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
    deep_rounds: int = 2
    review_ticks: int = 4

    @property
    def size(self) -> int:
        """Units ordered."""
        return sum(leg.size for leg in self.setting.legs)

    @property
    def faults(self) -> int:
        """Faults allowed in the bounded run."""
        return self.setting.faults

    def explorer(
        self,
        habits: Habits | None = None,
        rules: frozenset[str] | None = None,
        faults: int | None = None,
        *,
        is_deep: bool = False,
    ) -> Explorer:
        """What explores it."""
        setting = self.setting if faults is None else replace(self.setting, faults=faults)
        terms = terms_of(
            self.size,
            rests=setting.rests,
            strict=self.strict,
            most_rounds=self.deep_rounds if is_deep else self.most_rounds,
            review_ticks=self.review_ticks,
        )
        shelf = Shelf(self.natures, terms)
        return Explorer(Processes(shelf, setting, habits or Habits()), self.size, rules)


BEHIND_US = BINANCE._replace(offset_ticks=-2)
_TWO_AT_BINANCE = (Leg("binance", 2),)
_ONE_AT_BINANCE = (Leg("binance", 1),)

SCENARIOS = (
    Scenario(
        "failover",
        "2 units at Binance, what is left at Kraken",
        Setting(_TWO_AT_BINANCE, ("binance", "kraken"), faults=1),
        deep_faults=2,
        least_states=6000,
    ),
    Scenario(
        "small",
        "1 unit at Binance, else at Kraken",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, may_run_dry=False),
        deep_faults=2,
        least_states=3000,
    ),
    Scenario(
        "coinbase",
        "2 units at Coinbase, what is left at Binance",
        Setting((Leg("coinbase", 2),), ("coinbase", "binance"), faults=1, may_run_dry=False),
        deep_faults=2,
        least_states=6000,
    ),
    Scenario(
        "kraken",
        "2 units at Kraken, what is left at Binance",
        Setting((Leg("kraken", 2),), ("kraken", "binance"), faults=1, may_run_dry=False),
        deep_faults=2,
        least_states=6000,
    ),
    Scenario(
        "two legs",
        "1 unit at Binance and 1 at Coinbase at once, what is left at Kraken",
        Setting(
            (Leg("binance", 1), Leg("coinbase", 1)),
            ("binance", "coinbase", "kraken"),
            faults=1,
            may_run_dry=False,
        ),
        deep_faults=2,
        least_states=8000,
    ),
    Scenario(
        "cancel",
        "1 unit at Binance, else at Kraken, and a cancel at any moment",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, cancels=1, may_run_dry=False),
        deep_faults=1,
        least_states=15000,
        most_rounds=1,
    ),
    Scenario(
        "halt",
        "1 unit at Binance, else at Kraken, and a halt at any moment",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, halts=1, may_run_dry=False),
        deep_faults=1,
        least_states=18000,
        most_rounds=1,
    ),
    Scenario(
        "twice",
        "1 unit at Binance, else at Kraken; one task of the machine is invoked twice",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, twice=1, may_run_dry=False),
        deep_faults=1,
        least_states=38000,
    ),
    Scenario(
        "rests",
        "2 units wait in Binance's book while the market fills them",
        Setting((Leg("binance", 2, rests=True),), ("binance",), faults=1, rests=True, may_run_dry=False),
        deep_faults=2,
        least_states=14000,
    ),
    Scenario(
        "cancel against fill",
        "the same, and a cancel at any moment",
        Setting(
            (Leg("binance", 2, rests=True),),
            ("binance",),
            faults=0,
            rests=True,
            cancels=1,
            may_run_dry=False,
        ),
        deep_faults=1,
        least_states=4000,
        most_rounds=1,
    ),
    Scenario(
        "cancel at coinbase",
        "1 unit at Coinbase, which may be long about it and refuses nothing; a cancel at any moment",
        Setting(
            (Leg("coinbase", 1),),
            ("coinbase",),
            faults=1,
            cancels=1,
            slow_ticks=4,
            refuses=False,
            may_run_dry=False,
        ),
        deep_faults=1,
        least_states=20000,
        most_rounds=1,
    ),
    Scenario(
        "clocks",
        "Binance's clock is two ticks behind ours",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, may_run_dry=False),
        deep_faults=2,
        least_states=3000,
        natures=(BEHIND_US, KRAKEN),
    ),
    Scenario(
        "one lie",
        "one look is answered by a replica that is behind by more than the bound",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, lies=1, may_run_dry=False),
        deep_faults=2,
        least_states=4000,
    ),
    Scenario(
        "strict",
        "strict mode; any two looks are behind by more than the bound",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, lies=2, witnesses=True, may_run_dry=False),
        deep_faults=2,
        least_states=5000,
        strict=True,
    ),
    Scenario(
        "blind query",
        "the order query does not find what the lists show",
        Setting(_ONE_AT_BINANCE, ("binance", "kraken"), faults=1, query_is_blind=True, may_run_dry=False),
        deep_faults=2,
        least_states=3000,
    ),
    Scenario(
        "torn",
        "an order that has ended may be told with less than it filled, while its fills are told whole",
        Setting((Leg("kraken", 3),), ("kraken", "binance"), faults=1, torn=1, may_run_dry=False),
        deep_faults=2,
        least_states=6500,
    ),
    Scenario(
        "review",
        "what needs review is settled by a person, by what the venues show",
        Setting((Leg("coinbase", 2),), ("coinbase", "binance"), faults=1, reviews=True, may_run_dry=False),
        deep_faults=2,
        least_states=6000,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

BROKEN_ASSUMPTIONS = (
    Scenario(
        "a second copy fills",
        "something on the way to Binance repeats an order whose first copy has filled already",
        replace(BY_NAME["failover"].setting, copies_fill=True),
        deep_faults=1,
        least_states=0,
    ),
    Scenario(
        "slower than settle",
        "Binance makes an order of a request later than its bound",
        replace(BY_NAME["failover"].setting, slow_ticks=4),
        deep_faults=1,
        least_states=0,
    ),
    Scenario(
        "later than visible",
        "two looks, without strict mode, are behind by more than the bound",
        replace(BY_NAME["failover"].setting, lies=2),
        deep_faults=1,
        least_states=0,
    ),
    Scenario(
        "an end told too early",
        "an order is told as ended with nothing filled, and had filled",
        replace(BY_NAME["torn"].setting, torn=2),
        deep_faults=1,
        least_states=0,
    ),
)
"""What the claim rests on (docs/resolution.md): with one of them gone, the real protocol over-fills."""
