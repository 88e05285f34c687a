"""Which points are fitted and which are held out, by the PTPP of their base states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.laws.points import Points

SAME_PTPP = 0.1
"""A measured PTPP belongs to the nearest requested one within 10 %: budgets are whole batches."""


def is_measured(wanted: float, measured: Sequence[float]) -> bool:
    """Whether a PTPP is one of ``measured``."""
    return wanted > 0 and any(abs(math.log(value / wanted)) <= math.log1p(SAME_PTPP) for value in measured)


def split_by_ptpp(points: Points, fit_ptpp: tuple[float, ...], score_ptpp: tuple[float, ...]) -> Points:
    """Set the splits of ``points`` by their PTPP; without ``fit_ptpp`` everything that is not scored is fitted."""
    split, reason = points.split.astype(object), points.reason.astype(object)
    wanted = np.array([*fit_ptpp, *score_ptpp], dtype=np.float64)
    for index in np.flatnonzero(points.split == "fit"):
        distance = np.abs(np.log(points.ptpp[index] / wanted)) if len(wanted) else np.array([])
        near = int(np.argmin(distance)) if len(distance) and np.isfinite(distance).all() else -1
        if near >= 0 and distance[near] <= np.log1p(SAME_PTPP):
            split[index] = "fit" if near < len(fit_ptpp) else "score"
        elif fit_ptpp:
            split[index], reason[index] = "excluded", "its PTPP is neither fitted nor scored"
    return replace(points, split=split.astype(str), reason=reason.astype(str))
