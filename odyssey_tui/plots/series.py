"""What a figure holds: series of points in data units, as given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Color = int | str
"""A series index of the palette, a role (``muted``, ``text``, ``good``, ``bad``) or ``#rrggbb``."""


@dataclass(frozen=True)
class Line:
    """What is asked of all its points is computed once: a chart is drawn anew with every key."""

    x: np.ndarray
    y: np.ndarray
    label: str
    color: Color
    style: str
    noisy: bool = False
    """Measured value by value, so that an average says more."""
    faint: bool = False
    """Drawn in a weaker shade, beneath others."""
    derived: bool = False
    """Computed from another line of the figure: its points are counted there."""

    @cached_property
    def rises(self) -> bool:
        """Whether ``x`` never falls, values aside that are not finite."""
        return rises(self.x)

    def shown(self, log_x: bool, log_y: bool) -> tuple[np.ndarray, np.ndarray]:
        """The points that both axes can show, in axis space (log10 on a logarithmic axis): float64 [n] each."""
        return self._kept(log_x, log_y)[0]

    def ends(self, log_x: bool, log_y: bool) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest x and y of ``shown``, in data units; empty where nothing can be shown."""
        return self._kept(log_x, log_y)[1]

    def _kept(self, log_x: bool, log_y: bool) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        if (log_x, log_y) not in self._by_axes:
            x, y = transform(self.x, log_x), transform(self.y, log_y)
            good = np.isfinite(x) & np.isfinite(y)
            whole = bool(good.all())
            placed = (x, y) if whole else (x[good], y[good])
            given = (self.x, self.y) if whole else (self.x[good], self.y[good])
            ends = tuple(np.array([values.min(), values.max()]) if len(values) else values for values in given)
            self._by_axes[log_x, log_y] = placed, ends
        return self._by_axes[log_x, log_y]

    @cached_property
    def by_strength(self) -> dict[float, tuple[Line, Line]]:
        """For ``smoothing``: itself beneath its average, and that; what has been computed stays."""
        return {}

    @cached_property
    def _by_axes(self) -> dict[tuple[bool, bool], tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]]:
        return {}


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
    smoothing: float = 0.0
    """Strength of the average that noisy lines are drawn as; 0: as they are."""
    cursor: float | None = None
    """x of the cross-hair in data units; None: there is none."""


ALL = View()


def as_floats(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """A float64 vector; None becomes NaN."""
    return np.asarray(values, dtype=np.float64).reshape(-1)


def transform(values: np.ndarray, log: bool) -> np.ndarray:
    """Axis space; what an axis cannot show (not finite, or not positive on a logarithmic axis) becomes NaN."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        placed = np.log10(values) if log else values
    finite = np.isfinite(placed)
    return placed if finite.all() else np.where(finite, placed, np.nan)


def rises(x: np.ndarray) -> bool:
    """Whether values never fall, those aside that are not finite."""
    finite = x[np.isfinite(x)]
    return bool(np.all(finite[1:] >= finite[:-1]))
