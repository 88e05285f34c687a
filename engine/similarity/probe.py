"""A cross-validated logistic probe in numpy: the classifier of the two-sample test (Lopez-Paz & Oquab 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FOLDS = 5
RIDGE = 0.05
"""Penalty per training row on coefficients of standardised features: keeps separable samples finite."""
NEWTON_STEPS = 12
CONVERGED = 1e-6
DUAL_FROM = 0.5
"""Features per row from which the dual is cheaper: it factorises one matrix of rows, where the primal builds one of
features out of all rows."""


@dataclass(frozen=True)
class Fitted:
    """Log-odds [t] of unseen rows, and how they move with the training rows' weights to first order.

    ``moved(change)``: changes of the log-odds [draws, t] for changes of the weights [draws, n].
    """

    scores: Array
    moved: Callable[[Array], Array]


@dataclass(frozen=True)
class Fold:
    """One fold: ``train`` and ``test`` number the rows of X followed by those of Y."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    fitted: Fitted


@dataclass(frozen=True)
class CrossValidated:
    """A probe for every fold, fitted without it. ``side`` [n] is 1 for rows of X and 0 for rows of Y."""

    side: Array
    folds: tuple[Fold, ...]

    def correct(self, weights: Array) -> Array:
        """Whether each row is taken for its own side: [draws, n] of 0, ½ (undecided) or 1.

        ``weights`` [draws, n] are multiplicities of the rows. The probes learn from the weighted rows, to first order
        around equal weights (infinitesimal jackknife): an interval must hold what other samples would have taught them.
        """
        balanced = np.empty_like(weights, dtype=np.float64)
        found = np.empty_like(balanced)
        for fold in self.folds:
            for own in (fold.train[self.side[fold.train] == kind] for kind in (0, 1)):
                balanced[:, own] = weights[:, own] / np.maximum(weights[:, own].mean(axis=1, keepdims=True), 1e-12)
            scores = fold.fitted.scores + fold.fitted.moved(balanced[:, fold.train] - 1)
            found[:, fold.test] = np.where(scores == 0, 0.5, (scores > 0) == (self.side[fold.test] == 1))
        return found


def cross_validate(
    x: Array, y: Array, x_groups: NDArray, y_groups: NDArray, *, folds: int = FOLDS, seed: int = 0
) -> CrossValidated:
    """Fit a probe per fold on the rows outside it.

    Rows of one group (document) are always in one fold: neighbouring windows would tell the probe the answer.
    """
    rng = np.random.default_rng(seed)
    fold = np.concatenate([assign_folds(x_groups, folds, rng), assign_folds(y_groups, folds, rng)])
    rows = np.concatenate([x, y])
    side = np.concatenate([np.ones(len(x)), np.zeros(len(y))])
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    return CrossValidated(
        side, tuple(Fold(train, test, fit(rows[train], side[train], rows[test])) for train, test in parts)
    )


def assign_folds(groups: NDArray, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold for every row: whole groups, biggest first into the emptiest fold, equal ones in random order."""
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < folds:
        raise ValueError(f"{len(names)} groups cannot fill {folds} folds")
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load = np.zeros(folds)
    fold_of_group = np.empty(len(names), dtype=np.int64)
    for group in order:
        fold_of_group[group] = np.argmin(load)
        load[fold_of_group[group]] += counts[group]
    return fold_of_group[inverse]


def fit(rows: Array, side: Array, unseen: Array) -> Fitted:
    """Log-odds of ``unseen`` rows under a ridge-penalised logistic regression of ``side`` (0 or 1) on ``rows``.

    It minimises Σ weight · log loss + ½ · ``RIDGE`` · n · |β|² over standardised features, the intercept free, by
    Newton's method: in the coefficients, or with many features in the rows' dual, which has the same minimum. Both
    sides weigh the same, whatever their numbers of rows.
    """
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    keep = spread > 1e-12
    if not keep.any():
        return Fitted(np.zeros(len(unseen)), lambda change: np.zeros((len(change), len(unseen))))
    rows, unseen = (rows[:, keep] - mean[keep]) / spread[keep], (unseen[:, keep] - mean[keep]) / spread[keep]
    weight = np.where(side == 1, 0.5 / side.mean(), 0.5 / (1 - side.mean()))
    solve = solve_dual if rows.shape[1] > DUAL_FROM * len(rows) else solve_primal
    return solve(rows, side, weight, RIDGE * len(rows), unseen)


def solve_primal(rows: Array, side: Array, weight: Array, ridge: float, unseen: Array) -> Fitted:
    """By Newton's method, features + 1 unknowns."""
    design, tested = (np.column_stack([part, np.ones(len(part))]) for part in (rows, unseen))
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 0.0
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        probability = _logistic(design @ beta)
        error, curvature = weight * (probability - side), _curvature(weight, probability)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, design.T @ error + penalty * beta)
        beta -= step
        if np.abs(step).max() < CONVERGED:
            break
    # dβ/dw_i = −H⁻¹ error_i row_i, from the gradient that stays zero.
    onto_tested = np.linalg.solve(hessian, tested.T)
    return Fitted(tested @ beta, lambda change: -((change * error) @ design) @ onto_tested)


def solve_dual(rows: Array, side: Array, weight: Array, ridge: float, unseen: Array) -> Fitted:
    """The same by iteratively reweighted least squares with β = rowsᵀ α, rows + 1 unknowns (Zhu & Hastie 2005).

    A Newton step solves A α + intercept = working response with Σ α = 0, A = K + ridge · C⁻¹; K = rows rowsᵀ, C the
    curvature.
    """
    from scipy.linalg import cho_factor, cho_solve

    n = len(rows)
    kernel = rows @ rows.T
    score = np.zeros(n)
    for _ in range(NEWTON_STEPS):
        probability = _logistic(score)
        error, curvature = weight * (probability - side), _curvature(weight, probability)
        system = kernel.copy()
        system[np.arange(n), np.arange(n)] += ridge / curvature
        factor = cho_factor(system, overwrite_a=True, check_finite=False)
        solved, ones = cho_solve(factor, np.column_stack([score - error / curvature, np.ones(n)])).T
        intercept = solved.sum() / ones.sum()
        alpha = solved - intercept * ones
        moved = kernel @ alpha + intercept
        converged = np.abs(moved - score).max() < CONVERGED
        score = moved
        if converged:
            break
    across = unseen @ rows.T
    # unseen H⁻¹ rowsᵀ by the same system, whose inverse maps C⁻¹ times a gradient to coefficients.
    onto = cho_solve(factor, across.T)
    onto -= np.outer(ones, (onto.sum(axis=0) - 1) / ones.sum())
    onto /= curvature[:, None]
    return Fitted(across @ alpha + intercept, lambda change: -(change * error) @ onto)


def _logistic(score: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(score, -30, 30)))


def _curvature(weight: Array, probability: Array) -> Array:
    return weight * np.maximum(probability * (1 - probability), 1e-6)
