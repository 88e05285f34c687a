"""Starts by variable projection: exponents are drawn, the coefficients that are linear given them are solved for.

With exponents fixed most forms are linear in their coefficients, so weighted (1/L) non-negative least squares gives
each draw its best coefficients, and the draws can be ranked before any descent.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from engine.laws.features import Features
from engine.laws.form import Form
from engine.laws.points import Floats


def draw_starts(form: Form, count: int, rng: np.random.Generator) -> Floats:
    """``count`` parameter vectors ``u``: a Latin hypercube over the parameters' start ranges."""
    size = len(form.parameters)
    strata = np.stack([rng.permutation(count) for _ in range(size)], axis=1)
    place = (strata + rng.random((count, size))) / count
    low, high = (form.to_u([parameter.start[side] for parameter in form.parameters]) for side in (0, 1))
    return low + place * (high - low)


def project(form: Form, u: Floats, x: Features, loss: Floats, weight: Floats, free: Floats) -> Floats:
    """Replace the free linear coefficients of each row of ``u`` by their weighted non-negative least-squares values."""
    linear = np.array([position for position in form.linear if free[position]], dtype=int)
    if not len(linear):
        return u
    rows = [form.linear.index(position) for position in linear]
    scale = np.sqrt(weight) / loss
    with np.errstate(all="ignore"):
        offset, basis = form.basis(u, x)
        design, target = basis[:, rows] * scale, (loss - offset) * scale
        gram, right = design @ design.transpose(0, 2, 1), (design @ target[:, :, None])[:, :, 0]
    # A formula may overflow at some exponents: such a row keeps the coefficients that were drawn.
    sound = np.isfinite(gram).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    if not sound.any():
        return u
    u = u.copy()
    u[sound] = _with_coefficients(form, u[sound], linear, solve_nonnegative(gram[sound], right[sound]))
    return u


def _with_coefficients(form: Form, u: Floats, linear: Floats, coefficients: Floats) -> Floats:
    out = u.copy()
    for column, position in enumerate(linear):
        value = coefficients[:, column]
        parameter = form.parameters[position]
        out[:, position] = np.log(np.maximum(value, parameter.least)) if parameter.log else value
    return out


def solve_nonnegative(gram: Floats, right: Floats) -> Floats:
    """min x'Gx/2 - b'x over x >= 0 for each of S problems of k <= 6 unknowns, exactly: the best feasible face is
    found by trying all.

    ``gram`` (S, k, k), ``right`` (S, k); returns (S, k).
    """
    count, size = right.shape
    scale = np.sqrt(np.maximum(np.einsum("skk->sk", gram), 1e-300))
    gram = gram / scale[:, :, None] / scale[:, None, :] + 1e-10 * np.eye(size)
    right = right / scale
    best, best_value = np.zeros_like(right), np.zeros(count)
    pending = np.arange(count)
    for face in sorted(product((True, False), repeat=size), key=sum, reverse=True):
        inside = np.flatnonzero(face)
        if not len(inside) or not len(pending):
            continue
        solution = np.linalg.solve(gram[pending][:, inside][:, :, inside], right[pending][:, inside, None])[:, :, 0]
        value = -0.5 * np.sum(solution * right[pending][:, inside], axis=1)
        improved = (solution.min(axis=1) >= 0.0) & (value < best_value[pending])
        rows = pending[improved]
        best[rows] = 0.0
        best[np.ix_(rows, inside)] = solution[improved]
        best_value[rows] = value[improved]
        if len(inside) == size:
            pending = pending[~improved]  # the unconstrained optimum is feasible: nothing beats it
    return best / scale
