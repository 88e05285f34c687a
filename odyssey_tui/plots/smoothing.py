"""Smoothed lines over the raw ones: an exponential moving average of the finite values, its weights summing to one."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.plots.series import Line

STRENGTHS = (0.0, 0.6, 0.8, 0.9, 0.95, 0.98, 0.995)
"""What the keys step through: the weight of the average so far against the next value. 0 draws values as they are."""
_NEGLIGIBLE = 1e-9
"""Weights below it change no drawn dot."""


def average(values: np.ndarray, strength: float) -> np.ndarray:
    """Σ s^i v[t-i] / Σ s^i over the finite values up to t, [n]; NaN where ``values`` is not finite.

    Dividing by the sum of the weights takes away the pull towards the start (the bias correction of Adam, 1412.6980).
    """
    finite = np.isfinite(values)
    if not strength or not len(values):
        return np.where(finite, values, np.nan)
    total, weight = np.where(finite, values, 0.0), finite.astype(np.float64)
    # Sums of 2^k terms from two of 2^(k-1): log2 passes over the array instead of a loop over its values.
    shift, factor = 1, strength
    while shift < len(values) and factor > _NEGLIGIBLE:
        for sums in (total, weight):
            sums[shift:] += factor * sums[:-shift].copy()
        shift, factor = shift * 2, factor * factor
    return np.where(finite, total / np.where(finite, weight, 1.0), np.nan)


def smoothed(figure: Figure, strength: float) -> Figure:
    """The figure with every noisy line averaged, and the line as it is faint beneath it."""
    noisy = [line for line in figure.lines if line.noisy]
    if not strength or not noisy:
        return figure
    shown = copy(figure)
    pairs = {id(line): _split(line, strength) for line in noisy}
    beneath = [raw for raw, _ in pairs.values()]
    shown.lines = beneath + [pairs[id(line)][1] if line.noisy else line for line in figure.lines]
    shown.note = " · ".join(part for part in (figure.note, f"smoothed {strength:g}") if part)
    return shown


def _split(line: Line, strength: float) -> tuple[Line, Line]:
    """The line beneath its average, and that; computed once for each strength."""
    if strength not in line.by_strength:
        raw = replace(line, label="", faint=True)
        line.by_strength[strength] = raw, replace(line, y=average(line.y, strength), derived=True)
    return line.by_strength[strength]


def stronger(strength: float, steps: int) -> float:
    """The strength that many steps further, within what there is."""
    place = min(range(len(STRENGTHS)), key=lambda index: abs(STRENGTHS[index] - strength))
    return STRENGTHS[max(0, min(len(STRENGTHS) - 1, place + steps))]
