"""The compute-optimal size N*(C): a parabola in ln N at every budget, and the exponent of N* over budgets.

Hoffmann et al. (arXiv 2203.15556, approach 2); checked against the exponents of Porian et al. (arXiv 2406.19146).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.errors import LawError
from engine.laws.points import Floats, group_values

REACH = 2.0
"""Points within this distance of the lowest one, in ln N, make the parabola: farther out the loss is none."""
LEAST = 4
"""Points of a parabola; where fewer are near, the five nearest are taken."""
FEW_BUDGETS = 3
"""Budgets with a minimum that an exponent needs."""


@dataclass(frozen=True)
class Parabola:
    """The loss over sizes at one budget: loss + curvature · (ln N − ln N*)²."""

    flops: float
    n_params: float
    """N*, where it is lowest."""
    loss: float
    """There, nats per token."""
    curvature: float
    n_points: int
    low: float
    high: float
    """Sizes between which its points lie."""

    def at(self, n_params: Floats) -> Floats:
        """The loss at other sizes."""
        return self.loss + self.curvature * np.log(n_params / self.n_params) ** 2


@dataclass(frozen=True)
class PowerLaw:
    """coefficient · C^exponent, by least squares on logarithms."""

    exponent: float
    low: float
    high: float
    """Of the exponent over the refits, at the level asked for."""
    coefficient: float
    refits: Floats
    """(draws, 2): exponent and ln coefficient, budgets drawn with replacement."""

    def at(self, flops: float, level: float = 0.9) -> tuple[float, float, float]:
        """Its value at a budget, and the interval over the refits."""
        tail = 50.0 * (1.0 - level)
        low, high = np.exp(np.percentile(self.refits @ np.array([np.log(flops), 1.0]), [tail, 100.0 - tail]))
        return float(self.coefficient * flops**self.exponent), float(low), float(high)


@dataclass(frozen=True)
class Optima:
    """Compute-optimal sizes by budget, and the power law N* = G·C^a through them."""

    parabolas: tuple[Parabola, ...]
    left_out: tuple[tuple[float, str], ...]
    """(budget, why it has no minimum inside)."""
    size: PowerLaw

    @property
    def flops(self) -> Floats:
        """The budgets that have an optimum, ascending."""
        return np.array([parabola.flops for parabola in self.parabolas])

    @property
    def n_params(self) -> Floats:
        """N* of each."""
        return np.array([parabola.n_params for parabola in self.parabolas])


def find_optima(
    flops: Floats, n_params: Floats, loss: Floats, *, draws: int = 1000, seed: int = 0, level: float = 0.9
) -> Optima:
    """The optimum of every budget and the power law over budgets. Budgets within 5 % of each other are one.

    Raises LawError where fewer than three budgets have a minimum within their sizes.
    """
    parabolas, left_out = [], []
    budgets = np.array(group_values(flops))
    member = np.argmin(np.abs(np.log(flops)[:, None] - np.log(budgets)), axis=1)
    for index, budget in enumerate(budgets.tolist()):
        mine = member == index
        found = _fit_parabola(budget, np.log(n_params[mine]), loss[mine])
        if isinstance(found, str):
            left_out.append((budget, found))
        else:
            parabolas.append(found)
    if len(parabolas) < FEW_BUDGETS:
        why = f" Of the others the first, {left_out[0][0]:.3g} FLOPs, has {left_out[0][1]}." if left_out else ""
        raise LawError(
            f"{len(parabolas)} of {len(budgets)} budgets have a lowest loss within their sizes; an exponent needs "
            f"{FEW_BUDGETS}.{why}",
            "Measure smaller and larger sizes at the same FLOPs.",
        )
    x, y = (np.log([getattr(parabola, name) for parabola in parabolas]) for name in ("flops", "n_params"))
    return Optima(tuple(parabolas), tuple(left_out), fit_power(x, y, draws=draws, seed=seed, level=level))


def fit_power(ln_x: Floats, ln_y: Floats, *, draws: int = 1000, seed: int = 0, level: float = 0.9) -> PowerLaw:
    """The line through logarithms (n,), and lines through n points drawn with replacement; draws of one point alone
    have none and are left out."""
    exponent, intercept = np.polyfit(ln_x, ln_y, 1)
    chosen = np.random.default_rng(seed).integers(0, len(ln_x), (draws, len(ln_x)))
    x, y = ln_x[chosen], ln_y[chosen]
    deviation = x - x.mean(axis=1, keepdims=True)
    spread = np.sum(deviation**2, axis=1)
    sound = spread > 0
    slope = np.sum(deviation * y, axis=1)[sound] / spread[sound]
    refits = np.stack([slope, y.mean(axis=1)[sound] - slope * x.mean(axis=1)[sound]], axis=1)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(slope, [tail, 100.0 - tail]) if len(slope) else (np.nan, np.nan)
    return PowerLaw(float(exponent), float(low), float(high), float(np.exp(intercept)), refits)


def _fit_parabola(budget: float, ln_n: Floats, loss: Floats) -> Parabola | str:
    """The parabola, or why it has no minimum within the measured sizes."""
    distance = np.abs(ln_n - ln_n[np.argmin(loss)])
    near = distance <= REACH
    if near.sum() < LEAST:
        near = np.isin(np.arange(len(ln_n)), np.argsort(distance, kind="stable")[: LEAST + 1])
    if len(np.unique(ln_n[near])) < 3:
        return "fewer than three sizes"
    centre = ln_n[near].mean()
    curvature, slope, level = np.polyfit(ln_n[near] - centre, loss[near], 2)
    at = -slope / (2 * curvature) if curvature > 0 else np.nan
    if not ln_n.min() <= centre + at <= ln_n.max():
        lowest = ln_n[np.argmin(loss)]
        if lowest in (ln_n.min(), ln_n.max()):
            return f"its lowest loss at its {'smallest' if lowest == ln_n.min() else 'largest'} size"
        return "no minimum: the parabola through its losses has none among its sizes"
    return Parabola(
        flops=budget,
        n_params=float(np.exp(centre + at)),
        loss=float(level + slope * at + curvature * at * at),
        curvature=float(curvature),
        n_points=int(near.sum()),
        low=float(np.exp(ln_n[near].min())),
        high=float(np.exp(ln_n[near].max())),
    )
