"""Learning rates by hand computation."""

from __future__ import annotations

import pytest

from engine.plan.schedule import Annealed, Schedule


def test_warm_up_rises_linearly_to_the_peak() -> None:
    schedule = Schedule(peak=0.1, warmup=20)
    assert [schedule.rate(position) for position in (1, 10, 20, 99)] == pytest.approx([0.005, 0.05, 0.1, 0.1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("cosine", [1.0, 0.8535533905932737, 0.5, 0.0]),
        ("linear", [1.0, 0.75, 0.5, 0.0]),
        ("sqrt", [1.0, 0.5, 0.2928932188134524, 0.0]),
    ],
)
def test_decay_from_the_end_of_warm_up(shape: str, expected: list[float]) -> None:
    schedule = Schedule(2.0, warmup=20, shape=shape, decay=80)
    assert [schedule.rate(position) / 2.0 for position in (20, 40, 60, 100)] == pytest.approx(expected)
    raised = Schedule(2.0, warmup=20, shape=shape, decay=80, floor=0.5)
    rates = [raised.rate(position) for position in (20, 40, 60, 100, 500)]
    assert rates == pytest.approx([0.5 + 1.5 * factor for factor in (*expected, 0.0)])


def test_without_warm_up_or_decay_the_first_rate_is_already_there() -> None:
    assert Schedule(0.3, warmup=0).rate(0) == 0.3
    assert Schedule(0.3, warmup=0, shape="cosine", floor=0.1).rate(0) == 0.1


@pytest.mark.parametrize(
    ("shape", "factors"),
    [("linear", (1.0, 0.75, 0.5, 0.0)), ("cosine", (1.0, 0.85355339, 0.5, 0.0)), ("sqrt", (1.0, 0.5, 0.29289322, 0.0))],
)
def test_a_branch_falls_from_the_trunks_rate_to_its_floor(shape: str, factors: tuple[float, ...]) -> None:
    branch = Annealed(Schedule(0.1, warmup=0), start=50, end=70, shape=shape, floor=0.02)
    rates = [branch.rate(position) for position in (50, 55, 60, 70)]
    assert rates == pytest.approx([0.02 + 0.08 * factor for factor in factors])
