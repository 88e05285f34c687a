"""Learning rates by hand computation."""

from __future__ import annotations

import pytest

from engine.plan.schedule import Annealed, Schedule


def test_warm_up_rises_linearly_to_the_peak() -> None:
    schedule = Schedule("constant", peak=0.1, warmup=20, total=100)
    assert [schedule.rate(position) for position in (1, 10, 20, 99)] == pytest.approx([0.005, 0.05, 0.1, 0.1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("cosine", [1.0, 0.8535533905932737, 0.5, 0.0]), ("linear", [1.0, 0.75, 0.5, 0.0])],
)
def test_decay_from_the_end_of_warm_up_to_zero(shape: str, expected: list[float]) -> None:
    schedule = Schedule(shape, peak=2.0, warmup=20, total=100)
    assert [schedule.rate(position) / 2.0 for position in (20, 40, 60, 100)] == pytest.approx(expected)


def test_without_warm_up_the_first_rate_is_the_peak() -> None:
    assert Schedule("constant", peak=0.3, warmup=0, total=10).rate(0) == 0.3


def test_a_branch_falls_from_the_trunks_rate_to_zero() -> None:
    branch = Annealed(Schedule("constant", peak=0.1, warmup=0, total=100), start=50, end=60)
    assert [branch.rate(position) for position in (50, 55, 60)] == pytest.approx([0.1, 0.05, 0.0])
