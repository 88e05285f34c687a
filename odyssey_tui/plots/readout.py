"""What a figure's series read at the cross-hair: of each the point whose x is nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from odyssey_tui.plots.series import transform

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.plots.series import Color


@dataclass(frozen=True)
class Reading:
    """A series at the cross-hair: its point there, and that in words (``3.214``, ``2.9 [2.7, 3.1]``, ``law: 0.42``)."""

    label: str
    color: Color
    x: float
    y: float
    text: str


def read_out(figure: Figure, at: float, *, log_x: bool = False) -> tuple[Reading, ...]:
    """Lines, then points, in the order of the figure; series without a finite point are left out.

    Nearness is as on the axis: by ratio on a logarithmic one. A line does not reach beyond its ends.
    """
    readings = []
    for line in figure.lines:
        if line.faint:
            continue
        index = _nearest(line.x, line.y, at, log_x, bounded=True)
        if index is not None:
            bounds = _band_text(figure, line.label, line.color, at, log_x)
            x, y = float(line.x[index]), float(line.y[index])
            readings.append(Reading(line.label, line.color, x, y, precise(y) + bounds))
    for scatter in figure.scatters:
        index = _nearest(scatter.x, scatter.y, at, log_x, bounded=False)
        if index is not None:
            x, y = float(scatter.x[index]), float(scatter.y[index])
            name = f"{scatter.names[index]}: " if scatter.names else ""
            readings.append(Reading(scatter.label, scatter.color, x, y, f"{name}({precise(x)}, {precise(y)})"))
    return tuple(readings)


def extent(figure: Figure, *, log_x: bool = False) -> tuple[float, float] | None:
    """The least and the greatest x that is drawn; None of an empty figure."""
    columns = [transform(series.x, log_x) for series in (*figure.lines, *figure.scatters)]
    found = [column[np.isfinite(column)] for column in columns]
    joined = np.concatenate([np.empty(0), *found])
    if not len(joined):
        return None
    low, high = float(joined.min()), float(joined.max())
    return (10.0**low, 10.0**high) if log_x else (low, high)


def precise(value: float) -> str:
    """A number in four or more digits, thousands apart: ``3.214``, ``1,350,000``, ``2.5e-05``."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.3e}".replace("e-0", "e-").replace("e+", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.5g}" if size >= 10 else f"{value:.4f}".rstrip("0").rstrip(".")


def _nearest(x: np.ndarray, y: np.ndarray, at: float, log_x: bool, *, bounded: bool) -> int | None:
    placed = transform(x, log_x)
    good = np.flatnonzero(np.isfinite(placed) & np.isfinite(y))
    here = float(transform(np.array([at]), log_x)[0])
    if not len(good) or not np.isfinite(here):
        return None
    among = placed[good]
    if bounded and len(good) > 1:
        low, high = float(among.min()), float(among.max())
        # Half the mean spacing: the last value stands for what lies just behind it.
        slack = (high - low) / (len(good) - 1) / 2
        if not low - slack <= here <= high + slack:
            return None
    return int(good[np.argmin(np.abs(among - here))])


def _band_text(figure: Figure, label: str, color: Color, at: float, log_x: bool) -> str:
    for band in figure.bands:
        if (band.label, band.color) == (label, color):
            index = _nearest(band.x, band.low, at, log_x, bounded=True)
            if index is not None:
                return f" [{precise(float(band.low[index]))}, {precise(float(band.high[index]))}]"
    return ""
