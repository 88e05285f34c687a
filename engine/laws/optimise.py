"""Batched Levenberg–Marquardt: many starts, bootstrap replicates or profiles of one form at once.

Iteratively reweighted least squares turns the Huber sum into least squares (weight min(1, delta/|e|)); each problem
has its own damping, bounds and weights, and leaves the batch when it has converged. A parameter at a bound whose
gradient points outwards is held there. Steps follow the curved valleys of sums of powers by geodesic acceleration
(Transtrum & Sethna, arXiv 1201.5885): one more evaluation along the step gives its second-order correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.laws.features import Features
from engine.laws.form import Form
from engine.laws.huber import LARGEST_LOSS, SMALLEST_LOSS, log_residuals, objective
from engine.laws.points import Floats

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-10, 1e10
ACCEPTED, REJECTED = 0.2, 5.0
"""Factors on the damping after a step that lowered the objective, and after one that did not."""
TOGETHER = 250
"""Rows that descend at once: their Jacobians stay in the processor's cache."""
PROBE, MOST_BENDING = 0.1, 0.375
"""Part of the step at which its curvature is measured, and the correction, relative to the step, that is still
trusted."""


@dataclass(frozen=True)
class Problem:
    """What is fitted: a form to the logarithms of measured losses."""

    form: Form
    x: Features
    ln_loss: Floats
    delta: float


def minimise(
    problem: Problem,
    u: Floats,
    lower: Floats,
    upper: Floats,
    weight: Floats,
    iterations: int,
    tolerance: float,
) -> tuple[Floats, Floats]:
    """Descend from each row of ``u`` (S, p) within bounds under point weights; returns (u, objective (S,)).

    Bounds are (p,) for all rows or (S, p), weights (n,) or (S, n).

    A row stops when three steps in a row lower its objective by less than ``tolerance`` relatively, or no step does
    at any damping.
    """
    weight = np.broadcast_to(weight, (len(u), weight.shape[-1]))
    lower, upper = np.broadcast_to(lower, u.shape), np.broadcast_to(upper, u.shape)
    if len(u) > TOGETHER:
        parts = [slice(first, first + TOGETHER) for first in range(0, len(u), TOGETHER)]
        ends = [
            minimise(problem, u[part], lower[part], upper[part], weight[part], iterations, tolerance) for part in parts
        ]
        return np.vstack([end for end, _ in ends]), np.concatenate([cost for _, cost in ends])
    u, best = u.copy(), np.empty(len(u))
    alive = np.arange(len(u))
    state = _State.start(problem, u, weight)
    low, high, w = lower, upper, weight
    for _ in range(iterations):
        step = _step(problem, state, low, high, w)
        state, finished = state.advance(problem, np.clip(state.u + step, low, high), w, tolerance)
        if finished.any():
            u[alive[finished]], best[alive[finished]] = state.u[finished], state.cost[finished]
            keep = ~finished
            alive, state, low, high, w = alive[keep], state.select(keep), low[keep], high[keep], w[keep]
            if not len(alive):
                return u, best
    u[alive], best[alive] = state.u, state.cost
    return u, best


@dataclass
class _State:
    u: Floats
    residuals: Floats
    jacobian: Floats
    cost: Floats
    damping: Floats
    still: Floats
    """How many steps in a row changed little."""

    @classmethod
    def start(cls, problem: Problem, u: Floats, weight: Floats) -> _State:
        residuals, jacobian = _linearise(problem, u)
        cost = objective(residuals, weight, problem.delta)
        return cls(u, residuals, jacobian, cost, np.full(len(u), FIRST_DAMPING), np.zeros(len(u)))

    def select(self, keep: Floats) -> _State:
        return _State(
            self.u[keep],
            self.residuals[keep],
            self.jacobian[keep],
            self.cost[keep],
            self.damping[keep],
            self.still[keep],
        )

    def advance(self, problem: Problem, u: Floats, weight: Floats, tolerance: float) -> tuple[_State, Floats]:
        """Take the step where it lowers the objective; also says which rows are finished."""
        residuals, jacobian = _linearise(problem, u)
        cost = objective(residuals, weight, problem.delta)
        better = cost < self.cost
        gain = (self.cost - cost) / np.maximum(self.cost, 1e-300)
        still = np.where(better & (gain >= tolerance), 0.0, self.still + better)
        damping = np.clip(self.damping * np.where(better, ACCEPTED, REJECTED), LEAST_DAMPING, MOST_DAMPING)
        state = _State(
            np.where(better[:, None], u, self.u),
            np.where(better[:, None], residuals, self.residuals),
            np.where(better[:, None, None], jacobian, self.jacobian),
            np.where(better, cost, self.cost),
            damping,
            still,
        )
        return state, (still >= 3) | (damping >= MOST_DAMPING) | (state.cost <= 1e-300)


def _linearise(problem: Problem, u: Floats) -> tuple[Floats, Floats]:
    """Residuals (S, n) and their Jacobian (S, p, n), which is 0 where the prediction left the logarithm's range."""
    with np.errstate(over="ignore", invalid="ignore"):
        predicted, jacobian = problem.form.value_and_jacobian(u, problem.x)
        usable = (predicted > SMALLEST_LOSS) & (predicted < LARGEST_LOSS)
        jacobian *= np.where(usable, 1.0 / np.where(usable, predicted, 1.0), 0.0)[:, None, :]
    if not usable.all():
        jacobian = np.where(usable[:, None, :], jacobian, 0.0)
    return log_residuals(predicted, problem.ln_loss), jacobian


def _step(problem: Problem, state: _State, lower: Floats, upper: Floats, weight: Floats) -> Floats:
    reweight = weight * np.minimum(1.0, problem.delta / np.maximum(np.abs(state.residuals), 1e-300))
    weighted = state.jacobian * reweight[:, None, :]
    gradient = (weighted @ state.residuals[:, :, None])[:, :, 0]
    curvature = weighted @ state.jacobian.transpose(0, 2, 1)
    held = ((state.u <= lower) & (gradient >= 0.0)) | ((state.u >= upper) & (gradient <= 0.0))
    free = ~held
    curvature *= free[:, :, None] & free[:, None, :]
    diagonal = np.einsum("spp->sp", curvature).copy()
    # Marquardt's scaling makes the step independent of units; the small constant keeps flat directions solvable.
    ridge = state.damping[:, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
    np.einsum("spp->sp", curvature)[...] += np.where(held, 1.0, ridge)
    inverse = np.linalg.inv(curvature)
    step = -(inverse @ np.where(held, 0.0, gradient)[:, :, None])[:, :, 0]
    bend = _second_derivative(problem, state, step)
    correction = -0.5 * (inverse @ np.where(held, 0.0, (weighted @ bend[:, :, None])[:, :, 0])[:, :, None])[:, :, 0]
    length, bending = (np.sum(part * part * diagonal, axis=1) for part in (step, correction))
    trusted = bending <= MOST_BENDING**2 * length
    return step + np.where(trusted[:, None], correction, 0.0)


def _second_derivative(problem: Problem, state: _State, step: Floats) -> Floats:
    """Second derivative (S, n) of the log residuals along ``step``; 0 where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        ahead = log_residuals(problem.form.value(state.u + PROBE * step, problem.x), problem.ln_loss)
        along = (step[:, None, :] @ state.jacobian)[:, 0, :]
        bend = 2.0 / PROBE * ((ahead - state.residuals) / PROBE - along)
    return np.where(np.isfinite(bend), bend, 0.0)
