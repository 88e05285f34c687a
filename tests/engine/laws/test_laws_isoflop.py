"""Compute-optimal sizes by parabolas: known optima, and budgets without one."""

from __future__ import annotations

import numpy as np
import pytest

from engine.laws.errors import LawError
from engine.laws.isoflop import find_optima


def grid(exponent: float, budgets: np.ndarray, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Nine sizes around N* = 0.4 C^exponent at every budget."""
    rng = np.random.default_rng(0)
    flops = np.repeat(budgets, 9)
    best = 0.4 * flops**exponent
    n = best * np.exp(np.tile(np.linspace(-1.8, 2.2, 9), len(budgets)))
    loss = 2.0 + 3.0 * flops**-0.02 + 0.05 * np.log(n / best) ** 2
    return flops, n, loss + noise * rng.standard_normal(len(n))


def test_the_exponent_is_found_with_its_interval() -> None:
    exact = find_optima(*grid(0.5, np.geomspace(1e16, 1e19, 8)))
    assert exact.size.exponent == pytest.approx(0.5, abs=1e-9)
    assert exact.size.coefficient == pytest.approx(0.4, rel=1e-6)
    np.testing.assert_allclose(exact.n_params, 0.4 * exact.flops**0.5, rtol=1e-9)
    np.testing.assert_allclose([found.loss for found in exact.parabolas], 2.0 + 3.0 * exact.flops**-0.02, rtol=1e-9)
    at, low, high = exact.size.at(1e20)
    assert low <= at * 1.0001
    assert at == pytest.approx(0.4 * 1e20**0.5, rel=1e-6)
    assert at <= high * 1.0001
    noisy = find_optima(*grid(0.5, np.geomspace(1e16, 1e19, 8), noise=3e-3))
    assert noisy.size.low < 0.5 < noisy.size.high
    assert noisy.size.high - noisy.size.low < 0.1


def test_budgets_without_a_lowest_loss_inside_are_left_out() -> None:
    flops, n, loss = grid(0.5, np.geomspace(1e16, 1e19, 4))
    falling = flops == flops[0]
    loss[falling] = 5.0 - 0.1 * np.log(n[falling])
    found = find_optima(flops, n, loss)
    assert found.left_out == ((pytest.approx(flops[0]), "its lowest loss at its largest size"),)
    assert len(found.flops) == 3
    with pytest.raises(LawError, match="2 of 3 budgets have a lowest loss within their sizes"):
        find_optima(flops[:27], n[:27], loss[:27])
