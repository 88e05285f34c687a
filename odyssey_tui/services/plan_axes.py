"""The axes of a plan's map: round replay ratios and budgets, and those that were measured, so that cells can be run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.laws.law import Law
from engine.laws.points import Floats, Points
from odyssey_tui.services.stored_laws import distinct

REPLAY_STEP = 0.005
"""Replay ratios among which the answer is looked for."""
BUDGET_STEPS = 16
"""Of those budgets, in a factor of two: a step is 4 %."""
STEPS = (0.01, 0.025, 0.05, 0.1)
"""Of replay ratios on the map: the finest that takes at most ``MOST`` rows."""
PREFERRED = ((1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8), (1, 1.6, 2.5, 4, 6.3), (1, 3))
"""Budgets on the map within a decade: the finest series that takes at most ``MOST`` columns."""
MOST = 22
APART = 1.09
"""A round budget nearer than this factor to a measured one gives way to it."""


@dataclass(frozen=True)
class Values:
    """Distinct replay ratios and budgets of points, ascending."""

    replay_ratio: tuple[float, ...]
    atpp: tuple[float, ...]


def measured_values(points: Points) -> Values:
    """What was measured, budgets within 5 % as one."""
    known = points.replay_ratio[np.isfinite(points.replay_ratio)]
    ratios = sorted({round(float(value), 4) for value in known})
    return Values(tuple(ratios), tuple(distinct(points.atpp[np.isfinite(points.atpp)])))


def rounded(values: Floats) -> Floats:
    """Budgets to three figures."""
    return np.unique([float(f"{value:.3g}") for value in values.tolist()])


def list_ratios(law: Law, measured: tuple[float, ...]) -> Floats:
    """Replay ratios of the map: 0 to the largest measured one; one alone where the law knows a single share."""
    high = law.ranges["rho"][1]
    return spread_ratios(law, measured, next((step for step in STEPS if high / step < MOST), STEPS[-1]))


def search_ratios(law: Law, measured: tuple[float, ...]) -> Floats:
    """Replay ratios among which the answer is looked for, over the same range."""
    return spread_ratios(law, measured, REPLAY_STEP)


def spread_ratios(law: Law, measured: tuple[float, ...], step: float) -> Floats:
    """Multiples of ``step`` and what was measured."""
    low, high = law.ranges["rho"]
    if "r" in law.dropped:
        return np.array([low])
    ratios = [*np.arange(0.0, high + 1e-9, step).tolist(), *(value for value in measured if value <= high + 1e-9)]
    return np.unique(np.round(ratios, 5))


def list_budgets(low: float, high: float, measured: tuple[float, ...]) -> Floats:
    """Budgets of the map, from half to twice the range that was fitted; round ones and those measured."""
    bottom, top = low / 2, high * 2
    kept = [value for value in measured if bottom / 1.01 <= value <= top * 1.01]
    budgets: list[float] = []
    for series in PREFERRED:
        decades = range(math.floor(math.log10(bottom)) - 1, math.ceil(math.log10(top)) + 1)
        round_ones = [float(f"{one * 10.0**decade:.6g}") for decade in decades for one in series]
        inside = [
            value
            for value in round_ones
            if bottom / 1.01 <= value <= top * 1.01 and all(max(value / k, k / value) > APART for k in kept)
        ]
        budgets = sorted([*inside, *kept])
        if len(budgets) <= MOST:
            break
    return np.array(budgets)
