"""The compute-optimal size N*(C): a parabola in ln N at every budget, and the exponent of N* over budgets.

Hoffmann et al. (arXiv 2203.15556, approach 2); checked against the exponents of Porian et al. (arXiv 2406.19146).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.errors import LawError
from engine.laws.points import Floats

REACH = 2.0
"""Points within this distance of the lowest one, in ln N, make the parabola: farther out the loss is none."""
LEAST = 4
"""Points of a parabola; where fewer are near, the five nearest are taken."""


@dataclass(frozen=True)
class Optima:
    """Compute-optimal sizes by budget, for the budgets whose lowest loss lies within the measured sizes."""

    flops: Floats
    n_params: Floats
    loss: Floats
    """At the optimum, nats per token."""
    left_out: tuple[float, ...]
    """Budgets without a minimum inside."""
    exponent: float
    """a of N* = G C^a."""
    low: float
    high: float
    """90 % of refits with budgets drawn with replacement."""
    coefficient: float
    """G."""


def find_optima(flops: Floats, n_params: Floats, loss: Floats, *, draws: int = 1000, seed: int = 0) -> Optima:
    """The optimum of every budget and the power law over budgets. Budgets are equal ``flops``.

    Raises LawError where fewer than three budgets have a minimum.
    """
    found, left_out = [], []
    for budget in np.unique(flops):
        mine = flops == budget
        vertex = _vertex(np.log(n_params[mine]), loss[mine])
        if vertex is None:
            left_out.append(float(budget))
        else:
            found.append((float(budget), *vertex))
    if len(found) < 3:
        raise LawError(
            f"{len(found)} budgets have a lowest loss within their sizes; an exponent needs three.",
            "Measure smaller and larger sizes at the same FLOPs.",
        )
    budgets, ln_n, lowest = (np.array(column) for column in zip(*found, strict=True))
    exponent, intercept = np.polyfit(np.log(budgets), ln_n, 1)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(budgets), (draws, len(budgets)))
    x, y = np.log(budgets)[chosen], ln_n[chosen]
    deviation = x - x.mean(axis=1, keepdims=True)
    spread = np.sum(deviation**2, axis=1)
    slopes = np.sum(deviation * y, axis=1)[spread > 0] / spread[spread > 0]
    low, high = np.percentile(slopes, [5, 95])
    return Optima(
        flops=budgets,
        n_params=np.exp(ln_n),
        loss=lowest,
        left_out=tuple(left_out),
        exponent=float(exponent),
        low=float(low),
        high=float(high),
        coefficient=float(np.exp(intercept)),
    )


def _vertex(ln_n: Floats, loss: Floats) -> tuple[float, float] | None:
    """ln N* and the loss there; None where the parabola has no minimum within the measured sizes."""
    distance = np.abs(ln_n - ln_n[np.argmin(loss)])
    near = distance <= REACH
    if near.sum() < LEAST:
        near = np.isin(np.arange(len(ln_n)), np.argsort(distance, kind="stable")[: LEAST + 1])
    if near.sum() < 3:
        return None
    centre = ln_n[near].mean()
    curvature, slope, level = np.polyfit(ln_n[near] - centre, loss[near], 2)
    if curvature <= 0:
        return None
    at = -slope / (2 * curvature)
    if not ln_n.min() <= centre + at <= ln_n.max():
        return None
    return float(centre + at), float(level + slope * at + curvature * at * at)
