"""One chart: series in data units and what the axes mean. It renders to text of any size; see ``render``."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from odyssey_tui.plots.page import Page
from odyssey_tui.plots.palette import DASHES, HOLLOW, MARKERS, SeriesStyle
from odyssey_tui.plots.series import ALL, Band, Color, Line, Reference, Scatter, View, as_floats

Values = Sequence[float] | np.ndarray
DOT = "·"
"""Scatter marker for many points: one braille dot each."""


class Figure:
    """A chart of lines, points, bands and reference lines.

    Colours are palette indices (stable, colour-blind safe; past eight the dash and the marker change with the index),
    roles (``muted``, ``text``, ``good``, ``bad``) or ``#rrggbb``; without one a series takes the next index.
    Values that are not finite, or not positive on a logarithmic axis, are left out and counted in the title line.
    """

    def __init__(
        self,
        title: str = "",
        x_label: str = "",
        y_label: str = "",
        *,
        log_x: bool = False,
        log_y: bool = False,
        note: str = "",
    ) -> None:
        self.title, self.x_label, self.y_label, self.note = title, x_label, y_label, note
        self.log_x, self.log_y = log_x, log_y
        self.lines: list[Line] = []
        self.scatters: list[Scatter] = []
        self.bands: list[Band] = []
        self.references: list[Reference] = []
        self._next = 0

    @property
    def is_empty(self) -> bool:
        """Whether no series holds a point."""
        return not any(len(series.x) for series in (*self.lines, *self.scatters, *self.bands))

    def line(
        self,
        x: Values,
        y: Values,
        label: str = "",
        color: Color | None = None,
        style: str | None = None,
        *,
        noisy: bool = False,
    ) -> Figure:
        """Join points in the order given. ``style``: solid, dashed or dotted; by default what the colour's index says.

        ``noisy``: values measured one by one, which a view may smooth.

        A series longer than the chart is wide is reduced to minimum, mean and maximum per pixel column when ``x``
        never falls; the title line then says how many points it stands for. A value that is not finite breaks the line.
        """
        chosen = self._color(color)
        dash = style or (SeriesStyle(chosen).dash if isinstance(chosen, int) else "solid")
        self.lines.append(Line(*_pair(x, y), label, chosen, dash, noisy))
        return self

    def scatter(
        self,
        x: Values,
        y: Values,
        label: str = "",
        color: Color | None = None,
        *,
        marker: str | None = None,
        hollow: bool = False,
        low: Values | None = None,
        high: Values | None = None,
        names: Sequence[str] = (),
    ) -> Figure:
        """Points; ``hollow`` for held-out ones, ``low`` and ``high`` for error bars, ``names`` for texts beside them.

        ``marker``: one character of width one; ``DOT`` draws single braille dots, as more than 2,000 points always do.
        """
        chosen = self._color(color)
        default = SeriesStyle(chosen).marker if isinstance(chosen, int) else "●"
        glyph = marker or default
        xs, ys = _pair(x, y)
        if names and len(names) != len(xs):
            raise ValueError(f"{len(names)} names for {len(xs)} points")
        ends = [None if end is None else as_floats(end) for end in (low, high)]
        shown = HOLLOW.get(glyph, glyph) if hollow else glyph
        self.scatters.append(Scatter(xs, ys, ends[0], ends[1], tuple(names), label, chosen, shown))
        return self

    def band(self, x: Values, low: Values, high: Values, label: str = "", color: Color | None = None) -> Figure:
        """A light fill between ``low`` and ``high`` beneath everything else; without colours, dotted edges."""
        xs, lows = _pair(x, low)
        self.bands.append(Band(xs, lows, as_floats(high), label, self._color(color)))
        return self

    def vline(self, x: float, label: str = "", color: Color = "muted") -> Figure:
        """A vertical reference line; its label stands at the top of the chart."""
        self.references.append(Reference(float(x), True, label, color))
        return self

    def hline(self, y: float, label: str = "", color: Color = "muted") -> Figure:
        """A horizontal reference line; its label stands at its right end."""
        self.references.append(Reference(float(y), False, label, color))
        return self

    def render(
        self,
        width: int,
        height: int,
        *,
        color: bool = True,
        dark: bool = True,
        colors: int = 2**24,
        view: View = ALL,
    ) -> str:
        """The chart as ``height`` lines of ``width`` characters with ANSI colours (none when ``color`` is false).

        ``colors``: 2**24, or 256 for terminals without 24-bit colour. ``dark``: the background it will stand on.
        Parts give way as the size falls: x title, legend, y title, title, tick labels; it never raises for its size.
        """
        return self.page(width, height, dark=dark, view=view, mono=not color).text(colors if color else 0)

    def page(self, width: int, height: int, *, dark: bool = True, view: View = ALL, mono: bool = False) -> Page:
        """The chart as a page of coloured cells, for widgets. ``mono``: series are told apart without colours."""
        from odyssey_tui.plots.layout import draw

        figure = self.without_color() if mono else self
        return draw(figure, max(1, width), max(1, height), dark=dark, view=view)

    def without_color(self) -> Figure:
        """The same figure with a dash and a marker of its own for each colour, as far as there are any."""
        plain = copy(self)
        colors = [series.color for series in (*self.lines, *self.scatters) if isinstance(series.color, int)]
        place = {color: index for index, color in enumerate(dict.fromkeys(colors))}
        plain.lines = [
            replace(line, style=DASHES[place[line.color] % len(DASHES)])
            if isinstance(line.color, int) and line.style == "solid"
            else line
            for line in self.lines
        ]
        plain.scatters = [
            replace(scatter, marker=_marker_of(place[scatter.color], scatter.marker))
            if isinstance(scatter.color, int)
            else scatter
            for scatter in self.scatters
        ]
        plain.bands = [replace(band, filled=False) for band in self.bands]
        return plain

    def _color(self, color: Color | None) -> Color:
        if color is not None:
            return color
        self._next += 1
        return self._next - 1


def _marker_of(index: int, marker: str) -> str:
    glyph = MARKERS[index % len(MARKERS)]
    return {"●": glyph, "○": HOLLOW[glyph]}.get(marker, marker)


def _pair(x: Values, y: Values) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = as_floats(x), as_floats(y)
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} x values for {len(ys)} y values")
    return xs, ys
