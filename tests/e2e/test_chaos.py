"""A small chaos campaign, whole: what `make chaos` runs, with fewer orders."""

from __future__ import annotations

import subprocess
import sys

import pytest

from local.chaos.draws import Manner, draw_campaign
from local.template import REPOSITORY
from local.venues.faults import KINDS, parse_fault_orders

ORDERS, SEED = 25, 4
END_S = 240.0
PROGRAM = [sys.executable, "-m", "local.environments", "run", "aws", "--", "-m", "local.chaos"]


def test_a_campaign_is_the_same_for_the_same_seed_only() -> None:
    assert draw_campaign(3, 90) == draw_campaign(3, 90)
    assert draw_campaign(3, 90) != draw_campaign(4, 90)


@pytest.mark.parametrize("seed", range(5))
def test_a_full_campaign_draws_every_kind_of_fault_and_client(seed: int) -> None:
    campaign = draw_campaign(seed, 500)
    drawn = [fault for episode in campaign.episodes for fault in episode.faults]
    assert len(parse_fault_orders(drawn)) == len(drawn)  # the venues take every one of them
    assert {fault["fault"] for fault in drawn} == set(KINDS)
    assert {order.manner for order in campaign.orders} == set(Manner)
    assert {order.episode for order in campaign.orders} == set(range(len(campaign.episodes)))
    assert any(order.kill_after_s is not None for order in campaign.orders)
    assert {episode.mode for episode in campaign.episodes} == {"running", "halted", "reduce_only"}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes to kill in /proc")
def test_a_small_campaign_loses_nothing_and_fills_nothing_twice() -> None:
    arguments = ["--orders", str(ORDERS), "--seed", str(SEED), "--minutes", "0.1"]
    arguments += ["--review-after", "60", "--no-degradation"]
    done = subprocess.run(  # noqa: S603
        [*PROGRAM, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=END_S, check=False
    )
    assert "**0 violations**" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
