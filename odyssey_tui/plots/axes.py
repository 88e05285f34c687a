"""Axis space: which part of the data is shown, on a linear or logarithmic scale, and zooming and panning in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from odyssey_tui.plots.series import View, transform

_MARGIN = 0.04
"""Air around the data, as a share of the range."""


@dataclass(frozen=True)
class Axis:
    """One axis: limits in axis space (log10 of the data when ``log``)."""

    low: float
    high: float
    log: bool

    def place(self, values: np.ndarray, cells: int) -> np.ndarray:
        """Canvas coordinates of data values: 0 at the lower limit, ``cells`` at the upper; NaN where not drawable."""
        return self.scale(transform(values, self.log), cells)

    def scale(self, placed: np.ndarray, cells: int) -> np.ndarray:
        """Canvas coordinates of values that are in axis space already."""
        return (placed - self.low) / (self.high - self.low) * cells

    def data_limits(self) -> tuple[float, float]:
        """The limits in data units."""
        return (10.0**self.low, 10.0**self.high) if self.log else (self.low, self.high)


def fit_axis(values: Iterable[np.ndarray], *, log: bool, limits: tuple[float, float] | None = None) -> Axis:
    """The axis that shows ``values`` with some air, or exactly ``limits`` (data units) when they can be shown."""
    if limits is not None:
        low, high = (float(limit) for limit in transform(np.array(limits), log))
        if np.isfinite(low) and np.isfinite(high) and high > low:
            return Axis(low, high, log)
    placed = [transform(block, log) for block in values]
    joined = np.concatenate([np.empty(0), *placed])
    joined = joined[np.isfinite(joined)]
    if not len(joined):
        return Axis(0.0, 1.0, log)
    low, high = float(joined.min()), float(joined.max())
    span = high - low
    if span <= max(abs(low), abs(high)) * 1e-12:
        half = 0.5 if log else max(abs(low) * 0.05, 1e-12 if low else 0.5)
        return Axis(low - half, high + half, log)
    return Axis(low - span * _MARGIN, high + span * _MARGIN, log)


def zoom(view: View, x: Axis, y: Axis, factor: float) -> View:
    """``view`` with both ranges multiplied by ``factor`` about their centres; along x about the cross-hair in sight."""
    shift = 0.0
    if view.cursor is not None:
        at = (float(transform(np.array([view.cursor]), x.log)[0]) - x.low) / (x.high - x.low)
        # What is at the cross-hair stays there: the centre moves towards it by what the range loses.
        shift = (at - 0.5) * (1 - factor) if 0 <= at <= 1 else 0.0
    return replace(view, x=_scaled(x, factor, shift), y=_scaled(y, factor, 0.0))


def pan(view: View, x: Axis, y: Axis, share: float) -> View:
    """``view`` moved right by ``share`` of its width."""
    return replace(view, x=_scaled(x, 1.0, share), y=y.data_limits())


def _scaled(axis: Axis, factor: float, shift: float) -> tuple[float, float]:
    middle = (axis.low + axis.high) / 2 + shift * (axis.high - axis.low)
    half = (axis.high - axis.low) / 2 * factor
    if half <= abs(middle) * 1e-9:
        return axis.data_limits()
    return replace(axis, low=middle - half, high=middle + half).data_limits()
