"""The marks of a chart on its canvas: bands, reference lines, lines, error bars, points, names; later ones on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from odyssey_tui.plots.axes import Axis
from odyssey_tui.plots.figure import DOT, Figure
from odyssey_tui.plots.geometry import band_edges, band_halves, bucket_columns, clip_paths, dash_points, unique_dots
from odyssey_tui.plots.page import HALF_BLOCKS, Ink, Page, cut, single_width
from odyssey_tui.plots.palette import Rgb, blend, color_of
from odyssey_tui.plots.raster import Cells, Stroke, rasterise, rasterise_spans
from odyssey_tui.plots.readout import Reading
from odyssey_tui.plots.series import Band, Line, Reference, Scatter, transform

_READ = "◎"
_MANY_POINTS = 2000
_NAME_WIDTH = 14
_FILL, _FAINT = 0.16, 0.5
"""How much of its colour a band's ground has, and what is drawn beneath a line."""
_UNDER_NAMES = frozenset(map(chr, range(0x2800, 0x2900))) | {"┈", "┊", *HALF_BLOCKS}
"""What a name may cover when no blank place is left: lines, bands and reference lines, never a point or a name."""


@dataclass(frozen=True)
class Plot:
    """The canvas of a chart on its page: its place in cells, its axes, its background."""

    page: Page
    left: int
    top: int
    columns: int
    rows: int
    x: Axis
    y: Axis
    dark: bool

    def place(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Canvas coordinates [n, 2] of data values; NaN where an axis cannot show them."""
        return np.column_stack([self.x.place(x, self.columns), self.y.place(y, self.rows)])

    def column_of(self, at: float) -> int | None:
        """Page column of a position in axis space, None outside."""
        share = (at - self.x.low) / (self.x.high - self.x.low)
        inside = -1e-9 <= share <= 1 + 1e-9
        return self.left + min(self.columns - 1, max(0, int(share * self.columns))) if inside else None

    def row_of(self, at: float) -> int | None:
        """Page row of a position in axis space, None outside."""
        share = (at - self.y.low) / (self.y.high - self.y.low)
        inside = -1e-9 <= share <= 1 + 1e-9
        return self.top + self.rows - 1 - min(self.rows - 1, max(0, int(share * self.rows))) if inside else None


def end_values(figure: Figure, log_x: bool, log_y: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Values that the axes must hold; a point that one axis cannot show does not stretch the other."""
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    pairs = [line.ends(log_x, log_y) for line in figure.lines]
    for scatter in figure.scatters:
        ends = [end for end in (scatter.low, scatter.high) if end is not None]
        pairs += [(scatter.x, column) for column in (scatter.y, *ends)]
    for band in figure.bands:
        pairs += [(band.x, band.low), (band.x, band.high)]
    for x, y in pairs:
        good = _drawable(x, y, log_x, log_y)
        xs.append(x[good])
        ys.append(y[good])
    xs += [np.array([reference.at]) for reference in figure.references if reference.vertical]
    ys += [np.array([reference.at]) for reference in figure.references if not reference.vertical]
    return xs, ys


def left_out(figure: Figure, log_x: bool, log_y: bool) -> int:
    """How many points of lines and scatters the axes cannot show."""
    lines = [line for line in figure.lines if not line.derived]
    lost = sum(len(line.x) - len(line.shown(log_x, log_y)[0]) for line in lines)
    return lost + sum(int((~_drawable(item.x, item.y, log_x, log_y)).sum()) for item in figure.scatters)


def points_reduced(figure: Figure, columns: int) -> int:
    """How many points stand behind the lines that ``columns`` cells draw by pixel column; 0 if none is reduced."""
    return sum(len(line.x) for line in figure.lines if _is_reduced(line, columns) and not line.derived)


def _is_reduced(line: Line, columns: int) -> bool:
    return len(line.x) > 2 * columns and line.rises


def draw_marks(plot: Plot, figure: Figure) -> None:
    """Draw every mark of ``figure`` on the page of ``plot``."""
    for band in figure.bands:
        _draw_band(plot, band)
    for reference in figure.references:
        _draw_reference(plot, reference)
    reduced = [line for line in figure.lines if _is_reduced(line, plot.columns) and not line.derived]
    if reduced:
        _stamp_cells(plot, rasterise_spans(plot.columns, plot.rows, [_envelope(plot, line) for line in reduced]))
    _erase(plot, [stroke for line in reduced if line.style != "solid" for stroke in _mean_strokes(plot, line)])
    beneath = [line for line in figure.lines if line.faint and not _is_reduced(line, plot.columns)]
    _stamp(plot, [stroke for line in beneath for stroke in _line_strokes(plot, line)])
    _erase(plot, [stroke for line in figure.lines if line.derived for stroke in _line_strokes(plot, line)])
    _stamp(plot, [stroke for line in figure.lines if not line.faint for stroke in _line_strokes(plot, line)])
    _stamp(plot, [stroke for scatter in figure.scatters for stroke in _scatter_strokes(plot, scatter)])
    glyphs = [scatter for scatter in figure.scatters if not _as_dots(scatter)]
    for scatter in glyphs:
        _draw_glyphs(plot, scatter)
    for scatter in glyphs:
        _draw_names(plot, scatter)
    for reference in figure.references:
        if reference.label:
            _draw_reference_label(plot, reference)


def _drawable(x: np.ndarray, y: np.ndarray, log_x: bool, log_y: bool) -> np.ndarray:
    return np.isfinite(transform(x, log_x)) & np.isfinite(transform(y, log_y))


def _stamp(plot: Plot, strokes: list[Stroke]) -> None:
    if strokes:
        _stamp_cells(plot, rasterise(plot.columns, plot.rows, strokes))


def _stamp_cells(plot: Plot, cells: Cells) -> None:
    for row, (characters, colors) in enumerate(zip(cells.characters, cells.colors, strict=True)):
        for column, (char, color) in enumerate(zip(characters, colors, strict=True)):
            if char != " ":
                plot.page.put(plot.left + column, plot.top + row, char, Ink(color))


def _erase(plot: Plot, strokes: list[Stroke]) -> None:
    """Blank the cells under ``strokes``, so that a dashed mean is not filled up by its own envelope."""
    if not strokes:
        return
    for row, characters in enumerate(rasterise(plot.columns, plot.rows, strokes).characters):
        for column, char in enumerate(characters):
            if char != " ":
                plot.page.put(plot.left + column, plot.top + row, " ")


def _draw_band(plot: Plot, band: Band) -> None:
    x = plot.x.place(band.x, plot.columns)
    low, high = plot.y.place(band.low, plot.rows), plot.y.place(band.high, plot.rows)
    good = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    order = np.argsort(x[good], kind="stable")
    if len(order) < 2:
        return
    outline = (x[good][order], low[good][order], high[good][order], plot.columns, plot.rows)
    color = color_of(band.color, dark=plot.dark)
    if band.filled:
        _fill(plot, band_halves(*outline), blend(color, _FILL, dark=plot.dark))
    elif len(dots := band_edges(*outline)):
        _stamp(plot, [Stroke(dots, blend(color, 0.55, dark=plot.dark), joined=False)])


def _fill(plot: Plot, halves: np.ndarray, shade: Rgb) -> None:
    """Whole cells get a ground, so that what is drawn on them stays; half cells at the edges a half block."""
    lower, upper = halves[0::2], halves[1::2]
    for row, column in zip(*np.nonzero(lower | upper), strict=True):
        at = plot.left + int(column), plot.top + plot.rows - 1 - int(row)
        if lower[row, column] and upper[row, column]:
            plot.page.shade(*at, shade)
        elif plot.page.is_free(*at, 1):
            plot.page.put(*at, "▄" if lower[row, column] else "▀", Ink(shade))


def _visible(plot: Plot, points: np.ndarray) -> np.ndarray:
    inside = (points >= 0).all(axis=1) & (points[:, 0] <= plot.columns) & (points[:, 1] <= plot.rows)
    return points[inside]


def _columns_of(plot: Plot, line: Line) -> np.ndarray:
    """Minimum, mean and maximum of a rising line by column of dots, as ``bucket_columns``, in canvas coordinates."""
    x, y = line.shown(plot.x.log, plot.y.log)
    inside = slice(np.searchsorted(x, plot.x.low), np.searchsorted(x, plot.x.high, side="right"))
    buckets = bucket_columns(x[inside] - plot.x.low, y[inside], plot.columns * 2, plot.x.high - plot.x.low)
    buckets[:, 0] *= plot.columns / (plot.x.high - plot.x.low)
    buckets[:, 1:] = plot.y.scale(buckets[:, 1:], plot.rows)
    return buckets


def _ink(plot: Plot, line: Line) -> Rgb:
    color = color_of(line.color, dark=plot.dark)
    return blend(color, _FAINT, dark=plot.dark) if line.faint else color


def _envelope(plot: Plot, line: Line) -> tuple[np.ndarray, Rgb]:
    faint = blend(color_of(line.color, dark=plot.dark), _FAINT, dark=plot.dark)
    return _columns_of(plot, line)[:, [0, 1, 3]], faint


def _mean_strokes(plot: Plot, line: Line) -> list[Stroke]:
    color = color_of(line.color, dark=plot.dark)
    paths = clip_paths(_columns_of(plot, line)[:, [0, 2]], plot.columns, plot.rows)
    return [Stroke(path, color, joined=True) for path in paths]


def _line_strokes(plot: Plot, line: Line) -> list[Stroke]:
    if _is_reduced(line, plot.columns):
        pieces = [_columns_of(plot, line)[:, [0, 2]]]
    else:
        points = plot.place(line.x, line.y)
        breaks = np.flatnonzero(~np.isfinite(points).all(axis=1))
        pieces = [piece[np.isfinite(piece).all(axis=1)] for piece in np.split(points, breaks)]
    color = _ink(plot, line)
    lonely = [_visible(plot, piece) for piece in pieces if len(piece) == 1]
    paths = [path for piece in pieces for path in clip_paths(piece, plot.columns, plot.rows)]
    strokes = [Stroke(points, color, joined=False) for points in lonely if len(points)]
    if line.style == "solid":
        return strokes + [Stroke(path, color, joined=True) for path in paths]
    dots = dash_points(paths, line.style)
    return strokes + ([Stroke(dots, color, joined=False)] if len(dots) else [])


def _as_dots(scatter: Scatter) -> bool:
    return scatter.marker == DOT or len(scatter.x) > _MANY_POINTS


def _scatter_strokes(plot: Plot, scatter: Scatter) -> list[Stroke]:
    color = color_of(scatter.color, dark=plot.dark)
    points = plot.place(scatter.x, scatter.y)
    strokes = []
    if scatter.low is not None and scatter.high is not None:
        low, high = plot.y.place(scatter.low, plot.rows), plot.y.place(scatter.high, plot.rows)
        faint = blend(color, 0.7, dark=plot.dark)
        for at, bottom, top in zip(points[:, 0], low, high, strict=True):
            if np.isfinite([at, bottom, top]).all():
                paths = clip_paths(np.array([[at, bottom], [at, top]]), plot.columns, plot.rows)
                strokes += [Stroke(path, faint, joined=True) for path in paths]
    if _as_dots(scatter):
        dots = unique_dots(_visible(plot, points[np.isfinite(points).all(axis=1)]))
        strokes += [Stroke(dots, color, joined=False)] if len(dots) else []
    return strokes


def _cell(plot: Plot, point: np.ndarray) -> tuple[int, int] | None:
    if not np.isfinite(point).all() or not (0 <= point[0] <= plot.columns and 0 <= point[1] <= plot.rows):
        return None
    column = plot.left + min(plot.columns - 1, int(point[0]))
    return column, plot.top + plot.rows - 1 - min(plot.rows - 1, int(point[1]))


def _draw_glyphs(plot: Plot, scatter: Scatter) -> None:
    ink = Ink(color_of(scatter.color, dark=plot.dark))
    for point in plot.place(scatter.x, scatter.y):
        cell = _cell(plot, point)
        if cell is not None:
            plot.page.put(*cell, scatter.marker, ink)


def _draw_names(plot: Plot, scatter: Scatter) -> None:
    """Beside each point: right, left, above, below, on a blank place or else over lines; left out where neither is."""
    ink = Ink(color_of("text", dark=plot.dark))
    points = plot.place(scatter.x, scatter.y)
    for name, point in zip(scatter.names, points, strict=False):
        cell = _cell(plot, point)
        text = cut(single_width(name), _NAME_WIDTH)
        if cell is None or not text:
            continue
        column, row = cell
        right, left = (column + 2, row), (column - 1 - len(text), row)
        above, below = (column - len(text) // 2, row - 1), (column - len(text) // 2, row + 1)
        places = [(place, over) for over in (frozenset[str](), _UNDER_NAMES) for place in (right, left, above, below)]
        for (start, line), over in places:
            inside = start >= plot.left and plot.top <= line < plot.top + plot.rows
            span = max(len(text) + 1, min(len(text) + 2, plot.page.width - start + 1))
            if inside and plot.page.is_free(start - 1, line, span, over):
                plot.page.put(start, line, text, ink)
                break


def draw_cursor(plot: Plot, at: float, readings: Sequence[Reading]) -> None:
    """The cross-hair's line where nothing else is drawn, and a sign on what it reads."""
    place = float(transform(np.array([at]), plot.x.log)[0])
    column = plot.column_of(place) if np.isfinite(place) else None
    if column is None:
        return
    ink = Ink(color_of("text", dark=plot.dark))
    for row in range(plot.top, plot.top + plot.rows):
        if plot.page.is_free(column, row, 1, frozenset("┈┊")):
            plot.page.put(column, row, "│", ink)
    for reading in readings:
        cell = _cell(plot, plot.place(np.array([reading.x]), np.array([reading.y]))[0])
        if cell is not None:
            plot.page.put(*cell, _READ, Ink(color_of(reading.color, dark=plot.dark), bold=True))


def _reference_cell(plot: Plot, reference: Reference) -> int | None:
    """Page column (vertical) or row of a reference line, None outside the chart."""
    axis = plot.x if reference.vertical else plot.y
    at = float(transform(np.array([reference.at]), axis.log)[0])
    return plot.column_of(at) if reference.vertical else plot.row_of(at)


def _draw_reference(plot: Plot, reference: Reference) -> None:
    cell = _reference_cell(plot, reference)
    if cell is None:
        return
    ink = Ink(color_of(reference.color, dark=plot.dark))
    if reference.vertical:
        for row in range(plot.rows):
            plot.page.put(cell, plot.top + row, "┊", ink)
    else:
        plot.page.put(plot.left, cell, "┈" * plot.columns, ink)


def _draw_reference_label(plot: Plot, reference: Reference) -> None:
    cell = _reference_cell(plot, reference)
    if cell is None:
        return
    text = cut(single_width(reference.label), plot.columns // 2)
    right = plot.left + plot.columns - len(text)
    if reference.vertical:
        beside = (cell + 1, cell - len(text))
        places = [(start, row) for row in (plot.top, plot.top + plot.rows - 1) for start in beside]
    else:
        rows = [row for row in (cell - 1, cell + 1) if plot.top <= row < plot.top + plot.rows] or [cell]
        places = [(start, row) for row in rows for start in (right, plot.left + 1)]
    inside = [place for place in places if plot.left <= place[0] <= right]
    free = [place for place in inside if plot.page.is_free(*place, len(text))]
    for place in (free or inside)[:1]:
        plot.page.put(*place, text, Ink(color_of(reference.color, dark=plot.dark)))
