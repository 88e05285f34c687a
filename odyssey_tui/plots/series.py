"""What a figure holds: series of points in data units, as given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Color = int | str
"""A series index of the palette, a role (``muted``, ``text``, ``good``, ``bad``) or ``#rrggbb``."""


@dataclass(frozen=True)
class Line:
    x: np.ndarray
    y: np.ndarray
    label: str
    color: Color
    style: str


@dataclass(frozen=True)
class Scatter:
    """``low`` and ``high``: ends of vertical error bars, or None; ``names``: a text beside each point, or empty."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    names: tuple[str, ...]
    label: str
    color: Color
    marker: str


@dataclass(frozen=True)
class Band:
    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    label: str
    color: Color
    filled: bool = True
    """A light fill; otherwise dotted edges, where there are no colours to fill with."""


@dataclass(frozen=True)
class Reference:
    """A straight line across the whole chart at ``at``."""

    at: float
    vertical: bool
    label: str
    color: Color


@dataclass(frozen=True)
class View:
    """What of a figure is seen: limits in data units (None: all there is); logarithmic axes or not (None: as drawn)."""

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    log_x: bool | None = None
    log_y: bool | None = None


ALL = View()


def as_floats(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """A float64 vector; None becomes NaN."""
    return np.asarray(values, dtype=np.float64).reshape(-1)
