"""A value of a measure with its bootstrap interval over documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.similarity.measures import Measure, Scale
from engine.stats import LEVEL, bootstrap_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """``low`` and ``high`` are None without a bootstrap."""

    value: float
    low: float | None
    high: float | None


def estimate(
    measure: Measure,
    x: NDArray,
    y: NDArray,
    x_groups: NDArray,
    y_groups: NDArray,
    scale: Scale,
    *,
    resamples: int,
    level: float = LEVEL,
) -> Estimate:
    """The measure between the rows of ``x`` and ``y`` with its interval.

    Whole groups (documents) are resampled on both sides. Resampling adds noise to both samples, which pushes every
    distance up; the draws are therefore moved so that their mean is the value (bias-centred percentile interval), then
    cut at the measure's bounds. Draws of a measure that ``shrinks`` (repeated rows share less) are multiplied instead.
    The interval is for the mean value at this sample size.
    """
    statistic = measure.prepare(x, y, x_groups, y_groups, scale)
    value = float(statistic(np.ones((1, len(x))), np.ones((1, len(y))))[0])
    if not resamples:
        return Estimate(value, None, None)
    rng = np.random.default_rng(scale.seed)
    pairs = [(draw_multiplicities(x_groups, rng), draw_multiplicities(y_groups, rng)) for _ in range(resamples)]
    draws = statistic(np.array([wx for wx, _ in pairs]), np.array([wy for _, wy in pairs]))
    middle = draws.mean()
    centred = draws * (value / middle) if measure.shrinks and middle > 0 else draws - middle + value
    low, high = bootstrap_interval(centred, level)
    if low is None or high is None:
        return Estimate(value, None, None)
    floor, ceiling = measure.bounds
    return Estimate(value, min(max(low, floor), value), max(min(high, ceiling), value))


def draw_multiplicities(groups: NDArray, rng: np.random.Generator) -> Array:
    """How often each row appears when groups (numbered 0…g−1) are drawn with replacement."""
    count = int(groups.max()) + 1
    return np.bincount(rng.integers(0, count, size=count), minlength=count)[groups].astype(np.float64)
