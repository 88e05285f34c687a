"""Curves of runs that differ in their seed alone as one: their mean, and one standard deviation around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from odyssey_tui.services.curves import Curve

MOST_POINTS = 4_000
"""Of the mean: more than any chart has columns."""


def average_curves(curves: Sequence[Curve], label: str) -> Curve:
    """Mean and mean ± standard deviation (n - 1) over the curves where all of them have values.

    They are read off between their points, over the range that all of them cover; where one is not finite (it
    diverged) neither is the mean. A single curve is itself under the label.
    """
    filled = [curve for curve in curves if np.isfinite(curve.x).any()]
    if len(filled) < 2:
        return replace(filled[0] if filled else curves[0], label=label)
    columns = [_ordered(curve) for curve in filled]
    low, high = max(x[0] for x, _ in columns), min(x[-1] for x, _ in columns)
    finest = max((x for x, _ in columns), key=len)
    grid = finest[(finest >= low) & (finest <= high)]
    if len(grid) > MOST_POINTS:
        grid = np.linspace(low, high, MOST_POINTS)
    with np.errstate(invalid="ignore"):
        values = np.array([np.interp(grid, x, y) for x, y in columns])
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    first = filled[0]
    return Curve(
        first.run_id,
        f"{label} ({len(filled)} seeds)",
        first.metric,
        first.branch,
        grid,
        mean,
        first.axis,
        mean - spread,
        mean + spread,
        sum(len(curve.x) for curve in filled),
    )


def _ordered(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(curve.x)
    x, y = curve.x[known], np.where(np.isfinite(curve.y[known]), curve.y[known], np.nan)
    order = np.argsort(x, kind="stable")
    return x[order], y[order]
