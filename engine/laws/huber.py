"""The objective of every fit: the SUM over points of weight * Huber(ln Lhat - ln L, delta).

A mean with an optimiser's default tolerances stops early; a sum does not.
"""

from __future__ import annotations

import numpy as np

from engine.laws.points import Floats

SMALLEST_LOSS, LARGEST_LOSS = 1e-9, 1e9
"""Predictions beyond these (a form outside its range) are read as these losses, so that a finite logarithm exists."""


EXACT = 1e-6
"""Relative errors of losses below this mean nothing: no loss is measured so well."""


def huber(residuals: Floats, delta: float) -> Floats:
    """e²/2 within ``delta``, delta * (abs(e) - delta/2) beyond."""
    size = np.abs(residuals)
    return np.where(size <= delta, 0.5 * residuals * residuals, delta * (size - 0.5 * delta))


def log_residuals(predicted: Floats, ln_loss: Floats) -> Floats:
    """ln Lhat - ln L of predictions (S, n) against (n,); a prediction that overflowed is read as ``LARGEST_LOSS``."""
    return np.log(np.clip(np.nan_to_num(predicted, nan=LARGEST_LOSS), SMALLEST_LOSS, LARGEST_LOSS)) - ln_loss


def objective(residuals: Floats, weight: Floats, delta: float) -> Floats:
    """Sum over the last axis of weight * Huber(residuals)."""
    return np.sum(weight * huber(residuals, delta), axis=-1)


def negligible(weight: Floats, delta: float) -> float:
    """The objective of points that are all predicted to a millionth: below it there is nothing to compare."""
    return float(np.sum(weight) * huber(np.array(EXACT), delta))
