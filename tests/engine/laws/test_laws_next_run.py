"""Which run to make next: a linear law by hand, noise from residuals, and following it against choosing at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.forms import REGISTRY
from engine.laws.law import Law
from engine.laws.next_run import Forecasts, Noise, rank_runs
from engine.laws.points import Floats, Points

NOISE = Noise(run=0.0, state=0.1)


def linear(rows: Floats, goal: Floats, noise: Noise = NOISE, draws: int = 20_000) -> Forecasts:
    """T = goal·θ and Y = rows·θ of θ ~ N(0, I)."""
    theta = np.random.default_rng(0).standard_normal((draws, len(goal)))
    return Forecasts(theta @ goal, theta @ rows.T, noise)


def test_a_linear_law_gives_the_c_optimal_variance() -> None:
    rows, goal = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]), np.array([1.0, 0.5])
    (first, second) = rank_runs({"target": linear(rows, goal)}, [[0], [1], [2]], [1.0, 1.0, 1.0], 2)
    information = np.eye(2)
    for choice in (first, second):
        row = rows[choice.run]
        information += np.outer(row, row) / 0.1**2
        assert choice.after["target"] ** 2 == pytest.approx(goal @ np.linalg.solve(information, goal), rel=0.03)
    by_hand = [goal @ np.linalg.solve(np.eye(2) + np.outer(row, row) / 0.01, goal) for row in rows]
    assert first.run == int(np.argmin(by_hand))
    assert first.fall == pytest.approx(1 - min(by_hand) / (goal @ goal), rel=0.02)
    assert first.before["target"] == pytest.approx(np.sqrt(goal @ goal), rel=0.02)
    assert second.before == first.after


def test_cost_counts() -> None:
    forecasts = linear(np.array([[1.0, 0.0], [0.9, 0.1]]), np.array([1.0, 0.0]))
    assert rank_runs({"target": forecasts}, [[0], [1]], [1.0, 1.0], 1)[0].run == 0
    assert rank_runs({"target": forecasts}, [[0], [1]], [10.0, 1.0], 1)[0].run == 1
    with pytest.raises(LawError, match="positive cost"):
        rank_runs({"target": forecasts}, [[0], [1]], [0.0, 1.0], 1)


def test_states_of_one_run_share_its_noise() -> None:
    rows = np.array([[1.0], [1.0], [1.0]])
    apart = rank_runs({"target": linear(rows, np.array([1.0]))}, [[0, 1, 2]], [1.0], 1)[0]
    shared = linear(rows, np.array([1.0]), Noise(run=0.1, state=1e-4))
    together = rank_runs({"target": shared}, [[0, 1, 2]], [1.0], 1)[0]
    assert apart.after["target"] ** 2 == pytest.approx(1 / (1 + 3 / 0.01), rel=0.1)
    assert together.after["target"] ** 2 == pytest.approx(1 / (1 + 1 / 0.01), rel=0.1)


def test_what_is_explained_by_chance_is_taken_off() -> None:
    rng = np.random.default_rng(1)
    idle = Forecasts(rng.standard_normal(60), rng.standard_normal((60, 200)), Noise(0.0, 1e-3))
    falls = [rank_runs({"target": idle}, [list(range(k, k + 4))], [1.0], 1) for k in range(0, 200, 4)]
    assert np.mean([found[0].fall if found else 0.0 for found in falls]) < 0.05


def test_two_laws_weigh_the_same() -> None:
    goal = np.array([1.0, 0.0])
    first, second = linear(np.eye(2), goal), linear(np.eye(2)[::-1].copy(), 100 * goal)
    choices = rank_runs({"target": first, "base": second}, [[0], [1]], [1.0, 1.0], 2)
    assert choices[0].fall == pytest.approx(choices[1].fall, rel=0.03)


def test_too_few_draws_are_refused() -> None:
    forecasts = linear(np.eye(2), np.array([1.0, 0.0]), draws=10)
    with pytest.raises(LawError, match="takes 20 bootstrap draws, and there are 10"):
        rank_runs({"target": forecasts}, [[0]], [1.0], 1)


def test_noise_comes_from_residuals(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    law = Law(REGISTRY["dcpt"], "target", truth(), np.empty((0, 9)), 1.0, {})
    rng = np.random.default_rng(0)
    _, member = np.unique(points.run, return_inverse=True)
    by_run = 0.02 * rng.standard_normal(member.max() + 1)
    exact = law.predict(points)
    noisy = points.select(np.ones(len(points), dtype=bool))
    object.__setattr__(noisy, "loss", exact * np.exp(by_run[member] + 0.005 * rng.standard_normal(len(points))))
    found = Noise.of(law, noisy)
    assert found.run == pytest.approx(0.02, rel=0.35)
    assert found.state == pytest.approx(0.005, rel=0.25)


def truth() -> dict[str, float]:
    return {"E": 1.6, "A": 60.0, "alpha": 0.4, "B": 12.0, "beta": 0.25, "eta": 0.4, "C": 0.05, "eps": 0.1, "gamma": 0.6}
