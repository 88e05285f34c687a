"""A cross-validated logistic probe in numpy: the classifier of the two-sample test (Lopez-Paz & Oquab 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FOLDS = 5
RIDGE = 0.05
"""Penalty per training row on coefficients of standardised features: keeps separable samples finite."""
NEWTON_STEPS = 12
CONVERGED = 1e-6


def cross_validated_correct(
    x: Array, y: Array, x_groups: NDArray, y_groups: NDArray, *, folds: int = FOLDS, seed: int = 0
) -> tuple[Array, Array]:
    """Whether a probe that never saw its fold takes each row for its own side: two arrays of 0, ½ (undecided) or 1.

    Rows of one group (document) are always in one fold: neighbouring windows would tell the probe the answer.
    """
    rng = np.random.default_rng(seed)
    fold = np.concatenate([assign_folds(x_groups, folds, rng), assign_folds(y_groups, folds, rng)])
    rows = np.concatenate([x, y])
    side = np.concatenate([np.ones(len(x)), np.zeros(len(y))])
    correct = np.full(len(rows), np.nan)
    for k in range(folds):
        train, test = fold != k, fold == k
        score = fit_scores(rows[train], side[train], rows[test])
        correct[test] = np.where(score == 0, 0.5, (score > 0) == (side[test] == 1))
    return correct[: len(x)], correct[len(x) :]


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


def fit_scores(rows: Array, side: Array, unseen: Array) -> Array:
    """Log-odds of ``unseen`` rows under a ridge-penalised logistic regression of ``side`` (0 or 1) on ``rows``.

    Newton's method; with more features than rows it works in the rows' own span, which gives the same solution. Both
    sides weigh the same, whatever their numbers of rows.
    """
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    keep = spread > 1e-12
    if not keep.any():
        return np.zeros(len(unseen))
    rows, unseen = (rows[:, keep] - mean[keep]) / spread[keep], (unseen[:, keep] - mean[keep]) / spread[keep]
    if rows.shape[1] > rows.shape[0]:
        basis = np.linalg.svd(rows, full_matrices=False)[2].T
        rows, unseen = rows @ basis, unseen @ basis
    weight = np.where(side == 1, 0.5 / side.mean(), 0.5 / (1 - side.mean()))
    design = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.full(design.shape[1], RIDGE * len(rows))
    penalty[-1] = 1e-9
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weight * (probability - side)) + penalty * beta
        curvature = weight * np.maximum(probability * (1 - probability), 1e-6)
        step = np.linalg.solve((design * curvature[:, None]).T @ design + np.diag(penalty), gradient)
        beta -= step
        if np.abs(step).max() < CONVERGED:
            break
    return unseen @ beta[:-1] + beta[-1]
