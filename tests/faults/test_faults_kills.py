"""A few kills of every kind over a real sweep: every loss, metric and weight is that of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faulting.strikes import AIMED, RANDOM, Strike, plan_strikes
from bench.faulting.sweep import QUICK
from bench.faults import measure, table

pytestmark = pytest.mark.slow

SEED = 3
KILLS = 7


def test_nothing_is_lost_or_doubled_whoever_is_killed(tmp_path: Path) -> None:
    result = measure(tmp_path, KILLS, SEED, QUICK, deadline_s=120.0)
    assert result["clean"], "\n".join(table(result))
    assert result["killed"] == KILLS
    assert result["attempts"] > result["runs"]
    assert result["token_losses"] >= 100_000
    assert result["weights"] > 0


def test_the_same_seed_plans_the_same_kills_and_all_aims_have_their_turn() -> None:
    strikes = plan_strikes(100, 0)
    assert strikes == plan_strikes(100, 0) != plan_strikes(100, 1)
    assert set(AIMED) <= set(strikes)
    assert {strike.victim for strike in strikes if strike.aim == RANDOM} == {"worker", "scheduler", "TUI", "ingest"}
    assert str(Strike("worker", RANDOM)) == "worker, any moment"
