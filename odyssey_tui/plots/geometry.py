"""Polylines on the canvas: reduced to the pixel columns, clipped to the frame, cut into dashes.

Canvas coordinates: x from 0 (left) to the width in cells, y from 0 (bottom) to the height. A cell holds 2 x 4 dots.
"""

from __future__ import annotations

import numpy as np

Paths = list[np.ndarray]
"""Disjoint polylines, each of shape [points, 2]."""

_DASH_PATTERN = {"dashed": (5.0, 3.0), "dotted": (1.0, 2.0)}
"""Lengths in dots: drawn, skipped."""
_THINNEST_BAND = 0.75
"""Cells."""


def bucket_columns(x: np.ndarray, y: np.ndarray, columns: int, width: float) -> np.ndarray:
    """Minimum, mean and maximum of ``y`` in each of ``columns`` equal columns of [0, width].

    ``x`` and ``y`` are canvas coordinates of one series. Returns float64 [used columns, 4]: x of the column's centre,
    minimum, mean, maximum. Every point counts; none is sampled away.
    """
    if np.any(x[1:] < x[:-1]):
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    # Where a column begins is looked up, not what column a point is in: there are few columns and many points.
    starts = np.concatenate([[0], np.searchsorted(x, np.arange(1, columns) * width / columns)])
    counts = np.diff(starts, append=len(x))
    used = np.flatnonzero(counts)
    starts, counts = starts[used], counts[used]
    mean = np.add.reduceat(y, starts) / counts
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return np.column_stack([(used + 0.5) * width / columns, low, mean, high])


def clip_paths(points: np.ndarray, width: float, height: float) -> Paths:
    """The parts of a polyline inside the frame (Liang-Barsky), as polylines."""
    if len(points) < 2:
        return []
    start, end = points[:-1], points[1:]
    direction = end - start
    enter, leave = np.zeros(len(start)), np.ones(len(start))
    visible = np.ones(len(start), bool)
    for axis, limit in ((0, width), (1, height)):
        for sign, bound in ((-1.0, 0.0), (1.0, limit)):
            slope = sign * direction[:, axis]
            room = sign * (bound - start[:, axis])
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                cut = room / slope
            visible &= ~((slope == 0) & (room < 0))
            enter = np.where(slope < 0, np.maximum(enter, cut), enter)
            leave = np.where(slope > 0, np.minimum(leave, cut), leave)
    visible &= enter <= leave
    first = start + enter[:, None] * direction
    last = start + leave[:, None] * direction
    seen = np.flatnonzero(visible)
    if not len(seen):
        return []
    broken = (first[seen[1:]] != last[seen[:-1]]).any(axis=1)
    return [np.concatenate([first[part[:1]], last[part]]) for part in np.split(seen, np.flatnonzero(broken) + 1)]


def dash_points(paths: Paths, style: str) -> np.ndarray:
    """Dots of dashed or dotted polylines: [dots, 2] canvas coordinates, evenly spaced along the line."""
    drawn, skipped = _DASH_PATTERN[style]
    scale = np.array([2.0, 4.0])
    pieces = [np.empty((0, 2))]
    for path in paths:
        dots = path * scale
        lengths = np.hypot(*np.diff(dots, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(lengths)])
        at = np.arange(0.0, along[-1], 0.5)
        at = at[at % (drawn + skipped) < drawn]
        pieces.append(np.column_stack([np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])]))
    return unique_dots(np.concatenate(pieces))


def unique_dots(points: np.ndarray) -> np.ndarray:
    """One point per braille dot: what lies on the same dot is drawn once."""
    if not len(points):
        return points
    cells = np.floor(points * np.array([2.0, 4.0])).astype(np.int64)
    return (np.unique(cells, axis=0) + 0.5) / np.array([2.0, 4.0])


def band_halves(x: np.ndarray, low: np.ndarray, high: np.ndarray, width: int, height: int) -> np.ndarray:
    """Which half cells lie between ``low`` and ``high``: bool [2 * height, width], from the bottom.

    ``x`` (rising), ``low`` and ``high`` are canvas coordinates; a half cell counts by its middle. Where the band is
    hardly thicker than a line there is nothing: it would only roughen the line in it.
    """
    centres = np.arange(width) + 0.5
    bottom, top = np.interp(centres, x, low), np.interp(centres, x, high)
    inside = (centres >= x[0]) & (centres <= x[-1]) & (top - bottom >= _THINNEST_BAND)
    middles = (np.arange(height * 2)[:, None] + 0.5) / 2
    return inside & (middles >= bottom) & (middles <= top)


def band_edges(x: np.ndarray, low: np.ndarray, high: np.ndarray, width: int, height: int) -> np.ndarray:
    """Sparse dots along both edges of a band, as ``band_halves`` shows it: [dots, 2] canvas coordinates."""
    centres = (np.arange(0, width * 2, 3) + 0.5) / 2
    centres = centres[(centres >= x[0]) & (centres <= x[-1])]
    bottom, top = np.interp(centres, x, low), np.interp(centres, x, high)
    open_at = top - bottom >= _THINNEST_BAND
    edges = np.concatenate([np.column_stack([centres[open_at], edge[open_at]]) for edge in (bottom, top)])
    return edges[(edges[:, 1] >= 0) & (edges[:, 1] <= height)]
