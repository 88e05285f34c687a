"""Which runs to make next: those from which the forecast at one point is expected to gain most for their cost.

Bayesian c-optimal design (Chaloner & Verdinelli 1995, Bayesian Experimental Design: A Review, Statistical Science
10(3)): minimise c' M^-1 c, the variance of one combination of the parameters, here with the bootstrap draws in place
of the inverse information. With T the forecast's logarithm at the point that matters and Y the logarithms of a run's
losses, both over the same draws, measuring Y + e, e ~ N(0, R), leaves

    Var(T | Y) = Var T - C_TY (C_YY + R)^-1 C_YT.

Where a law is linear in its parameters near the fit, C = J S J' with S the draws' covariance, and this is the c-optimal
design with S for M^-1; the draws also know of bounds and of directions that the data leave open, which a Jacobian at
the optimum does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.laws.errors import LawError
from engine.laws.law import Law
from engine.laws.points import Floats, Points

LEAST_DRAWS = 20
WILD = 5.0
"""Draws farther than this many (robust) standard deviations from the median count as that far: a few refits diverge."""
LEAST_NOISE = 1e-4
"""Relative; of a law that goes through its points exactly."""


@dataclass(frozen=True)
class Noise:
    """Scatter of measured losses about a law, as standard deviations of ln L."""

    run: float
    """Shared by all states of a run."""
    state: float
    """Of each state by itself."""

    @classmethod
    def of(cls, law: Law, points: Points) -> Noise:
        """From the residuals of the points that were fitted, those beyond ``WILD`` deviations drawn in.

        One-way random effects by the method of moments; where no run has two states, half of the variance is the run's.
        """
        residuals = _tame(np.log(points.loss) - np.log(law.predict(points)))
        _, member, counts = np.unique(points.run, return_inverse=True, return_counts=True)
        total = max(float(np.mean((residuals - np.median(residuals)) ** 2)), LEAST_NOISE**2)
        free = len(residuals) - len(counts)
        if free < 1:
            return cls(float(np.sqrt(total / 2)), float(np.sqrt(total / 2)))
        means = np.bincount(member, residuals) / counts
        within = max(float(np.sum((residuals - means[member]) ** 2) / free), 0.1 * total)
        return cls(float(np.sqrt(max(total - within, 0.0))), float(np.sqrt(within)))

    def covariance(self, states: int) -> Floats:
        """Of the states of one run (k, k)."""
        return np.full((states, states), self.run**2) + np.eye(states) * self.state**2


@dataclass(frozen=True)
class Forecasts:
    """What the draws of one law say. ``goal`` (B,): ln L at the point that matters; ``states`` (B, m): at states that
    runs would measure."""

    goal: Floats
    states: Floats
    noise: Noise


@dataclass(frozen=True)
class Choice:
    """One run of a sequence, each chosen given those before."""

    run: int
    """Index of the candidate."""
    before: dict[str, float]
    after: dict[str, float]
    """By law, the standard deviation of ln L at the goal before and after the run's losses are known."""
    fall: float
    """Expected fall of the variance as a share of the present one, averaged over the laws."""
    worth: float
    """``fall`` per unit of cost."""


def rank_runs(
    laws: Mapping[str, Forecasts], runs: Sequence[Sequence[int]], costs: Sequence[float] | Floats, count: int
) -> list[Choice]:
    """The ``count`` runs worth most, greedily: each is chosen for its fall of the variance per cost, given that those
    before it were made.

    ``runs``: of every candidate the columns of ``states`` that it measures; ``costs`` in any one unit, positive. Runs
    that are expected to tell nothing are left out. Raises LawError for too few draws.
    """
    price = np.asarray(costs, dtype=float)
    if len(price) != len(runs) or not (price > 0).all():
        raise LawError("Every candidate run needs a positive cost.")
    joints = {name: _Joint.of(forecasts) for name, forecasts in laws.items()}
    present = {name: joint.variance for name, joint in joints.items()}
    left, chosen = set(range(len(runs))), []
    while left and len(chosen) < count:
        falls = {
            index: float(np.mean([joint.fall(runs[index]) / present[name] for name, joint in joints.items()]))
            for index in left
        }
        best = max(sorted(left), key=lambda index: falls[index] / price[index])
        if falls[best] <= 1e-9:
            break
        before = {name: float(np.sqrt(joint.variance)) for name, joint in joints.items()}
        for joint in joints.values():
            joint.measure(runs[best])
        after = {name: float(np.sqrt(joint.variance)) for name, joint in joints.items()}
        chosen.append(Choice(best, before, after, falls[best], falls[best] / float(price[best])))
        left.remove(best)
    return chosen


class _Joint:
    """Covariance of goal (first) and states, updated as runs are taken to have been made."""

    def __init__(self, covariance: Floats, noise: Noise, draws: int) -> None:
        self._covariance, self._noise, self._draws = covariance, noise, draws

    @classmethod
    def of(cls, forecasts: Forecasts) -> _Joint:
        """Draws with any value that is no number are left out."""
        values = np.column_stack([forecasts.goal, forecasts.states])
        values = values[np.isfinite(values).all(axis=1)]
        if len(values) < LEAST_DRAWS:
            raise LawError(
                f"To say what a run would tell takes {LEAST_DRAWS} bootstrap draws, and there are {len(values)}.",
                "Fit again with more: --bootstrap 200.",
            )
        tamed = np.column_stack([_tame(column) for column in values.T])
        covariance = np.atleast_2d(np.cov(tamed, rowvar=False))
        covariance[0, 0] = max(covariance[0, 0], 1e-300)
        return cls(covariance, forecasts.noise, len(values))

    @property
    def variance(self) -> float:
        """Of the goal."""
        return float(self._covariance[0, 0])

    def fall(self, states: Sequence[int]) -> float:
        """Expected fall of the goal's variance when these states are measured in one run.

        Of B draws, k states explain a share of about k/B by chance; that is taken off (adjusted R²).
        """
        at = np.asarray(states, dtype=int) + 1
        measured = self._covariance[np.ix_(at, at)]
        cross = self._covariance[0, at]
        solved = np.linalg.solve(measured + self._noise.covariance(len(at)), np.column_stack([cross, measured]))
        share = min(1.0, float(cross @ solved[:, 0]) / self.variance)
        degrees = float(np.trace(solved[:, 1:]))
        left = (1.0 - share) * (self._draws - 1) / max(self._draws - 1 - degrees, 1.0)
        return self.variance * max(0.0, 1.0 - left)

    def measure(self, states: Sequence[int]) -> None:
        """Condition on the losses of these states; the goal's variance falls by what ``fall`` said."""
        expected = self.variance - self.fall(states)
        at = np.asarray(states, dtype=int) + 1
        cross = self._covariance[:, at]
        gain = np.linalg.solve(cross[at] + self._noise.covariance(len(at)), cross.T)
        self._covariance = self._covariance - cross @ gain
        # What was taken off for chance stays open.
        scale = np.sqrt(expected / max(self.variance, 1e-300))
        self._covariance[0] *= scale
        self._covariance[:, 0] *= scale


def _tame(values: Floats) -> Floats:
    """``values`` with those far out drawn in."""
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    return np.clip(values, middle - WILD * spread, middle + WILD * spread) if spread > 0 else values
