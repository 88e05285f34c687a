"""Where a law rises though by its definition it falls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.laws.forms import REGISTRY
from engine.laws.law import Law, fitted_ranges
from engine.laws.points import Points
from engine.laws.signs import check_signs

MIX = {"E": 1.6, "A": 20.0, "alpha": 0.34, "B": 20.0, "beta": 0.28, "C": 0.02, "eps": 0.1, "gamma": 0.5}


def law(points: Points, **changes: float) -> Law:
    params = {**MIX, "eta": 0.4, **changes}
    return Law(REGISTRY["dcpt"], "target", params, np.empty((0, len(params))), 1.0, fitted_ranges(points))


def test_a_small_share_with_eta_below_1_raises_the_loss(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    n, d, r = check_signs(law(points), points)
    assert (n.variable, d.variable, r.variable) == ("N", "D", "r")
    assert n.rising == d.rising == 0.0
    assert n.sentence == ""
    # B r^0.4/D^0.28 rises faster with r than C/(r + 0.1)^0.5 falls, everywhere.
    assert r.rising > 0.9
    assert "rises with r" in r.sentence
    assert "η < 1" in r.sentence
    (_, _, falling) = check_signs(law(points, B=0.0, C=0.4), points)
    assert falling.rising == 0.0


def test_the_threshold_agrees_with_the_derivative(make_sample: Callable[..., Points]) -> None:
    points = make_sample("dcpt")
    smallest = points.select(points.adapt_tokens == points.adapt_tokens.max())
    changed = law(smallest, C=1.0, eta=1.5, B=40.0)
    (_, _, sign) = check_signs(changed, smallest)
    d, p = smallest.adapt_tokens[0], changed.params
    share = np.linspace(smallest.share.min(), 1.0, 20001)
    slope = p["eta"] * p["B"] * share ** (p["eta"] - 1) / d ** p["beta"] - p["gamma"] * p["C"] / (share + 0.1) ** 1.5
    assert sign.low == pytest.approx(share[slope > 0][0], abs=0.02)
    assert sign.why == ""


def test_forms_that_say_nothing_are_not_judged(make_sample: Callable[..., Points]) -> None:
    points = make_sample("forgetting")
    params = {"A": 0.3, "beta": 0.4, "alpha": 0.3, "B": 50.0, "E": 0.01}
    rising = Law(REGISTRY["forgetting"], "base", params, np.empty((0, 5)), 1.0, fitted_ranges(points))
    assert check_signs(rising, points) == ()
