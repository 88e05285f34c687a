"""A figure as SVG: the same series, axes and legend as on the screen, as shapes and text that scale and can be edited.

Everything is in pixels from the top left. Text is measured by an average width of its characters, since what draws it
is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from odyssey_tui.plots.axes import Axis, transform
from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.geometry import bucket_columns, clip_paths
from odyssey_tui.plots.layout import axis_ticks, counted, resolve_axes
from odyssey_tui.plots.marks import left_out
from odyssey_tui.plots.page import cut, single_width
from odyssey_tui.plots.palette import color_of
from odyssey_tui.plots.series import ALL, Band, Color, Line, Reference, Scatter, View
from odyssey_tui.plots.smoothing import smoothed
from odyssey_tui.plots.svg_shapes import (
    FONT,
    GENERATOR,
    MARK,
    SMALL,
    TEXT,
    TITLE,
    Box,
    clean,
    hexadecimal,
    listed,
    marker,
    measure,
    overlap,
    polyline,
    segment,
    words,
)
from odyssey_tui.plots.ticks import Tick

LEGEND_SAMPLE = 26.0
MANY_VALUES = 4_000
"""A rising line of more values is drawn as its envelope and mean by pixel column."""
NAME_LENGTH = 24
FAINT = 0.4
DASHES = {"solid": "", "dashed": "7 4", "dotted": "1.5 3.5"}


@dataclass(frozen=True)
class Frame:
    """The plot's rectangle and axes."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis
    dark: bool

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Pixels [n, 2] of data values; NaN where an axis cannot show them."""
        across = self.left + self.x.place(x, 1) * self.width
        return np.column_stack([across, self.bottom - self.y.place(y, 1) * self.height])

    def holds(self, point: np.ndarray) -> bool:
        """Whether a pixel lies in the frame."""
        return bool(self.left - 1 <= point[0] <= self.right + 1 and self.top - 1 <= point[1] <= self.bottom + 1)

    def ink(self, color: Color) -> str:
        """A colour as SVG writes it."""
        return hexadecimal(color_of(color, dark=self.dark))


def draw_svg(figure: Figure, *, width: int = 760, height: int = 480, dark: bool = False, view: View = ALL) -> str:
    """The figure as one SVG document of ``width`` x ``height`` pixels, all that is on it as shapes and text."""
    figure = smoothed(figure, view.smoothing)
    x, y = resolve_axes(figure, view)
    title, legend = head(figure, x, y), legend_rows(figure, width - 24)
    top = 12 + (26 if any(title) else 0) + 20 * len(legend) + (20 if figure.y_label else 6)
    bottom = 30 + (22 if figure.x_label else 0)
    y_ticks = axis_ticks(y, max(2, int((height - top - bottom) / 48)))
    left = 24 + max((measure(tick.label, SMALL) for tick in y_ticks), default=0)
    frame = Frame(left, top, max(20.0, width - left - 18), max(20.0, height - top - bottom), x, y, dark)
    ground = hexadecimal((18, 18, 18) if dark else (255, 255, 255))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {GENERATOR} width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" font-size="{TEXT:g}">',
        f"<title>{clean(figure.title) or 'figure'}</title>",
        f'<rect width="{width}" height="{height}" fill="{ground}"/>',
        f'<clipPath id="plot"><rect x="{frame.left:.1f}" y="{frame.top:.1f}" '
        f'width="{frame.width:.1f}" height="{frame.height:.1f}"/></clipPath>',
        *draw_words(figure, frame, title, legend),
        *draw_axes(frame, y_ticks),
        '<g clip-path="url(#plot)">',
        *(part for band in figure.bands for part in draw_band(frame, band)),
        *(part for reference in figure.references for part in draw_reference(frame, reference)),
        *(part for line in figure.lines for part in draw_line(frame, line)),
        *(part for scatter in figure.scatters for part in draw_errors(frame, scatter)),
        "</g>",
        *(part for scatter in figure.scatters for part in draw_points(frame, scatter)),
        *draw_names(frame, figure),
        *(part for reference in figure.references for part in label_reference(frame, reference)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def head(figure: Figure, x: Axis, y: Axis) -> tuple[str, str]:
    """The title, and what must be known of the data beside it."""
    notes = [figure.note, counted(left_out(figure, x.log, y.log), "not drawable")]
    return figure.title, " · ".join(note for note in notes if note)


def draw_words(
    figure: Figure, frame: Frame, title: tuple[str, str], legend: Sequence[Sequence[Entry]]
) -> Iterator[str]:
    """Title, legend and the names of the axes."""
    text, muted = frame.ink("text"), frame.ink("muted")
    at = 12.0
    if any(title):
        name, note = map(clean, title)
        yield (
            f'<text x="12" y="{at + 16:.1f}" font-size="{TITLE:g}" fill="{text}">'
            f'<tspan font-weight="bold">{name}</tspan>'
            f'<tspan font-size="{SMALL:g}" fill="{muted}">{"  · " if name and note else ""}{note}</tspan></text>'
        )
        at += 26
    for row in legend:
        left = 12.0
        for entry in row:
            yield from draw_sample(frame, entry, left, at + 9)
            yield words(left + LEGEND_SAMPLE + 6, at + 13, entry.label, text, SMALL)
            left += entry.width
        at += 20
    if figure.y_label:
        yield words(12, frame.top - 8, figure.y_label, muted, SMALL)
    if figure.x_label:
        yield words(frame.left + frame.width / 2, frame.bottom + 42, figure.x_label, muted, SMALL, "middle")


def draw_axes(frame: Frame, y_ticks: Sequence[Tick]) -> Iterator[str]:
    """Frame lines and ticks with their numbers, and faint lines at the ticks of y."""
    muted = frame.ink("muted")
    for tick in y_ticks:
        share = (tick.at - frame.y.low) / (frame.y.high - frame.y.low)
        row = frame.bottom - share * frame.height
        yield segment((frame.left, row), (frame.right, row), muted, 0.5, opacity=0.25)
        yield segment((frame.left - 4, row), (frame.left, row), muted, 1)
        yield words(frame.left - 7, row + 4, tick.label, muted, SMALL, "end")
    free_from = 0.0
    for tick in axis_ticks(frame.x, max(2, int(frame.width / 90))):
        column = frame.left + (tick.at - frame.x.low) / (frame.x.high - frame.x.low) * frame.width
        half = measure(tick.label, SMALL) / 2
        if column - half < free_from or column < frame.left - 1:
            continue
        yield segment((column, frame.bottom), (column, frame.bottom + 4), muted, 1)
        yield words(column, frame.bottom + 18, tick.label, muted, SMALL, "middle")
        free_from = column + half + 6
    yield segment((frame.left, frame.top), (frame.left, frame.bottom), muted, 1)
    yield segment((frame.left, frame.bottom), (frame.right, frame.bottom), muted, 1)


def draw_band(frame: Frame, band: Band) -> Iterator[str]:
    """The area between both edges."""
    low, high = frame.at(band.x, band.low), frame.at(band.x, band.high)
    good = np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)
    if good.sum() < 2:
        return
    order = np.argsort(low[good, 0], kind="stable")
    outline = np.concatenate([low[good][order], high[good][order][::-1]])
    yield f'<polygon points="{listed(outline)}" fill="{frame.ink(band.color)}" fill-opacity="0.16"/>'


def draw_reference(frame: Frame, reference: Reference) -> Iterator[str]:
    """A line across the plot."""
    ends = reference_ends(frame, reference)
    if ends is not None:
        yield segment(*ends, frame.ink(reference.color), 1, dash="4 4")


def label_reference(frame: Frame, reference: Reference) -> Iterator[str]:
    """Its label: at the top of a vertical line, at the right end of a horizontal one."""
    ends = reference_ends(frame, reference)
    if ends is None or not reference.label:
        return
    (left, top), (right, _) = ends
    ink = frame.ink(reference.color)
    if reference.vertical:
        beyond = left + 5 + measure(reference.label, SMALL) > frame.right
        at, anchor = (left - 5, "end") if beyond else (left + 5, "start")
        yield words(at, top + 12, reference.label, ink, SMALL, anchor)
    else:
        yield words(right - 4, top - 5 if top - 16 > frame.top else top + 14, reference.label, ink, SMALL, "end")


def reference_ends(frame: Frame, reference: Reference) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Both ends of a reference line; None outside the plot."""
    axis = frame.x if reference.vertical else frame.y
    at = float(transform(np.array([reference.at]), axis.log)[0])
    share = (at - axis.low) / (axis.high - axis.low)
    if not -1e-9 <= share <= 1 + 1e-9:
        return None
    if reference.vertical:
        column = frame.left + share * frame.width
        return (column, frame.top), (column, frame.bottom)
    row = frame.bottom - share * frame.height
    return (frame.left, row), (frame.right, row)


def draw_line(frame: Frame, line: Line) -> Iterator[str]:
    """A polyline, broken where a value is not finite; of very many values their envelope and mean."""
    color, points = frame.ink(line.color), frame.at(line.x, line.y)
    if len(points) > MANY_VALUES and line.rises:
        good = points[np.isfinite(points).all(axis=1)]
        inside = good[(good[:, 0] >= frame.left) & (good[:, 0] <= frame.right)]
        if not len(inside):
            return
        x, low, mean, high = bucket_columns(inside[:, 0] - frame.left, inside[:, 1], int(frame.width), frame.width).T
        x = x + frame.left
        if not line.derived:
            outline = np.concatenate([np.column_stack([x, low]), np.column_stack([x, high])[::-1]])
            yield f'<polygon points="{listed(outline)}" fill="{color}" fill-opacity="0.3"/>'
        if line.faint:
            return
        points = np.column_stack([x, mean])
    breaks = np.flatnonzero(~np.isfinite(points).all(axis=1))
    for piece in np.split(points, breaks):
        piece = piece[np.isfinite(piece).all(axis=1)]
        if len(piece) == 1 and frame.holds(piece[0]):
            yield f'<circle cx="{piece[0, 0]:.1f}" cy="{piece[0, 1]:.1f}" r="1.2" fill="{color}"/>'
        # Far ends are cut off here: viewers have trouble with coordinates of millions.
        corner = np.array([frame.left - 50, frame.top - 50])
        for path in clip_paths(piece - corner, frame.width + 100, frame.height + 100):
            yield polyline(path + corner, color, DASHES[line.style], opacity=FAINT if line.faint else 1.0)


def draw_errors(frame: Frame, scatter: Scatter) -> Iterator[str]:
    """Error bars with caps."""
    if scatter.low is None or scatter.high is None:
        return
    color = frame.ink(scatter.color)
    low, high = frame.at(scatter.x, scatter.low), frame.at(scatter.x, scatter.high)
    for bottom, top in zip(low, high, strict=True):
        if np.isfinite(bottom).all() and np.isfinite(top).all():
            yield segment(tuple(bottom), tuple(top), color, 1, opacity=0.6)
            for end in (bottom, top):
                yield segment((end[0] - 3, end[1]), (end[0] + 3, end[1]), color, 1, opacity=0.6)


def draw_points(frame: Frame, scatter: Scatter) -> Iterator[str]:
    """A marker for each point in the plot."""
    color = frame.ink(scatter.color)
    for point in frame.at(scatter.x, scatter.y):
        if np.isfinite(point).all() and frame.holds(point):
            yield marker(scatter.marker, point[0], point[1], color, len(scatter.x))


def draw_names(frame: Frame, figure: Figure) -> Iterator[str]:
    """Names beside points where they cover no marker and no other name; left out where there is no such place."""
    named = [scatter for scatter in figure.scatters if scatter.names]
    taken = [
        (x - MARK, y - MARK, x + MARK, y + MARK)
        for scatter in figure.scatters
        for x, y in frame.at(scatter.x, scatter.y)
        if len(scatter.x) <= 500 and np.isfinite([x, y]).all()
    ]
    for scatter in named:
        for name, (x, y) in zip(scatter.names, frame.at(scatter.x, scatter.y), strict=False):
            text = cut(single_width(name), NAME_LENGTH)
            if not text or not np.isfinite([x, y]).all():
                continue
            box = free_place(frame, taken, x, y, measure(text, SMALL))
            if box is not None:
                taken.append(box)
                yield words(box[0], box[3] - 3, text, frame.ink("text"), SMALL)


def free_place(frame: Frame, taken: Sequence[Box], x: float, y: float, width: float) -> Box | None:
    """Left, top, right and bottom of a free place for a text beside (x, y): right, left, above or below."""
    half, gap = SMALL / 2 + 1, MARK + 3
    places = [
        (x + gap, y - half),
        (x - gap - width, y - half),
        (x - width / 2, y - gap - 2 * half),
        (x - width / 2, y + gap),
        (x + gap, y - gap - half),
        (x + gap, y + gap - half),
    ]
    for left, top in places:
        box = (left, top, left + width, top + 2 * half)
        inside = box[0] >= frame.left and box[2] <= frame.right + 14 and frame.top <= top and box[3] <= frame.bottom
        if inside and not any(overlap(box, other) for other in taken):
            return box
    return None


@dataclass(frozen=True)
class Entry:
    """A legend entry: the marks that share its label and colour."""

    label: str
    color: Color
    dash: str | None
    marker: str | None
    band: bool

    @property
    def width(self) -> float:
        """With the gap behind it."""
        return LEGEND_SAMPLE + 6 + measure(self.label, SMALL) + 20


def legend_rows(figure: Figure, width: float) -> list[list[Entry]]:
    """The legend in rows of at most ``width`` pixels; nothing is left out."""
    entries: dict[tuple[str, Color], Entry] = {}
    for series in (*figure.lines, *figure.scatters, *figure.bands):
        if not series.label:
            continue
        known = entries.get((series.label, series.color), Entry(series.label, series.color, None, None, False))
        dash = DASHES[series.style] if isinstance(series, Line) else known.dash
        glyph = series.marker if isinstance(series, Scatter) else known.marker
        entries[(series.label, series.color)] = Entry(
            known.label, known.color, dash, glyph, known.band or isinstance(series, Band)
        )
    rows: list[list[Entry]] = []
    for entry in entries.values():
        if not rows or sum(other.width for other in rows[-1]) + entry.width > width:
            rows.append([])
        rows[-1].append(entry)
    return rows


def draw_sample(frame: Frame, entry: Entry, left: float, row: float) -> Iterator[str]:
    """What the series of an entry look like."""
    color = frame.ink(entry.color)
    if entry.band:
        yield (
            f'<rect x="{left:.1f}" y="{row - 6:.1f}" width="{LEGEND_SAMPLE:g}" height="12" fill="{color}" '
            f'fill-opacity="0.16"/>'
        )
    if entry.dash is not None:
        yield polyline(np.array([[left, row], [left + LEGEND_SAMPLE, row]]), color, entry.dash)
    if entry.marker is not None:
        yield marker(entry.marker, left + LEGEND_SAMPLE / 2, row, color)
