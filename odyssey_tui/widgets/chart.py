"""A figure on the screen: drawn once per change of figure, size, view or theme; zoomed and panned from the keyboard."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from odyssey_tui.keymap import bindings
from odyssey_tui.plots.axes import pan, zoom
from odyssey_tui.plots.figure import Figure
from odyssey_tui.plots.layout import resolve_axes
from odyssey_tui.plots.page import Ink
from odyssey_tui.plots.palette import color_of
from odyssey_tui.plots.readout import Reading, extent, read_out
from odyssey_tui.plots.series import View, transform
from odyssey_tui.plots.smoothing import smoothed, stronger

_ZOOM = 0.7
_PAN = 0.25
_FAR = 0.1
"""Share of the axis that the cross-hair moves by with the keys for going far."""


class Chart(Widget, can_focus=True):
    """Shows one ``Figure``; a calm sentence when there is nothing to show.

    Keys that mean nothing for the figure (smoothing where no line is noisy) are left to the screen.
    """

    BINDINGS = bindings("chart")
    DEFAULT_CSS = """
    Chart { height: 1fr; width: 1fr; min-height: 3; }
    """

    def __init__(
        self,
        figure: Figure | None = None,
        *,
        empty: str = "Nothing to plot yet.",
        id: str | None = None,
        classes: str = "",
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._figure = figure
        self._empty = empty
        self._view = View()
        self._strips: list[Strip] = []
        self._drawn: tuple[object, ...] = ()

    @property
    def figure(self) -> Figure | None:
        """What is shown."""
        return self._figure

    @property
    def view(self) -> View:
        """Which part of it, on which scales."""
        return self._view

    def show(self, figure: Figure | None, *, empty: str | None = None, keep_view: bool = False) -> None:
        """Show ``figure`` (None: the ``empty`` text). ``keep_view``: newer data on the same subject, keep the zoom."""
        before = self._figure, self._empty, self._view
        self._figure = figure
        self._empty = self._empty if empty is None else empty
        if not keep_view:
            self._view = replace(self._view, x=None, y=None, cursor=None)
        if before != (self._figure, self._empty, self._view):
            self._redraw()

    def action_zoom_in(self) -> None:
        self._look(_ZOOM, 0.0)

    def action_zoom_out(self) -> None:
        self._look(1 / _ZOOM, 0.0)

    def action_reset(self) -> None:
        self._view = View()
        self._redraw()

    def action_pan_left(self) -> None:
        self._look(1.0, -_PAN)

    def action_pan_right(self) -> None:
        self._look(1.0, _PAN)

    def action_log_y(self) -> None:
        """Make the y axis logarithmic, or linear again."""
        if self._figure is not None:
            now = self._figure.log_y if self._view.log_y is None else self._view.log_y
            self._view = replace(self._view, log_y=not now, y=None)
            self._redraw()

    def action_log_x(self) -> None:
        """Make the x axis logarithmic, or linear again."""
        if self._figure is not None:
            now = self._figure.log_x if self._view.log_x is None else self._view.log_x
            self._view = replace(self._view, log_x=not now, x=None)
            self._redraw()

    def action_smoother(self) -> None:
        """Average noisy lines more; the values stay in sight beneath."""
        self._smooth(1)

    def action_rougher(self) -> None:
        """Average less, at last not at all."""
        self._smooth(-1)

    def _smooth(self, steps: int) -> None:
        self._view = replace(self._view, smoothing=stronger(self._view.smoothing, steps))
        self._redraw()

    def action_cursor_left(self) -> None:
        """The cross-hair one column to the left; the first time it appears in the middle."""
        self._point(-1 / max(1, self.content_size.width))

    def action_cursor_right(self) -> None:
        """One column to the right."""
        self._point(1 / max(1, self.content_size.width))

    def action_cursor_far_left(self) -> None:
        """A tenth of the axis to the left."""
        self._point(-_FAR)

    def action_cursor_far_right(self) -> None:
        """A tenth of the axis to the right."""
        self._point(_FAR)

    def action_cursor_off(self) -> None:
        """Escape: no cross-hair."""
        self._view = replace(self._view, cursor=None)
        self._redraw()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("smoother", "rougher"):
            return self._figure is not None and any(line.noisy for line in self._figure.lines)
        return self._view.cursor is not None if action == "cursor_off" else True

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What the series read at the cross-hair; nothing without one."""
        if self._figure is None or self._view.cursor is None:
            return ()
        x, _ = resolve_axes(self._figure, self._view)
        return read_out(smoothed(self._figure, self._view.smoothing), self._view.cursor, log_x=x.log)

    def _point(self, share: float) -> None:
        """Move the cross-hair by a share of the axis in sight; it stays in sight and among the data."""
        if self._figure is None or self._figure.is_empty:
            return
        x, _ = resolve_axes(self._figure, self._view)
        ends = extent(self._figure, log_x=x.log)
        if ends is None:
            return
        low, high = (float(end) for end in transform(np.array(ends), x.log))
        low, high = max(low, x.low), min(high, x.high)
        if low > high:
            return
        if self._view.cursor is None:
            at = (low + high) / 2
        else:
            at = float(transform(np.array([self._view.cursor]), x.log)[0]) + share * (x.high - x.low)
        at = min(high, max(low, at))
        self._view = replace(self._view, cursor=10.0**at if x.log else at)
        self._redraw()
        self.refresh_bindings()

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        dark = self.app.current_theme.dark
        wanted = (self._figure, width, height, self._view, dark)
        if wanted != self._drawn:
            self._strips = self._draw(width, height, dark)
            self._drawn = wanted
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(width)
        return strip.apply_style(self.rich_style)

    def _look(self, factor: float, shift: float) -> None:
        if self._figure is None:
            return
        x, y = resolve_axes(self._figure, self._view)
        self._view = zoom(self._view, x, y, factor) if shift == 0 else pan(self._view, x, y, shift)
        self._redraw()

    def _redraw(self) -> None:
        self._drawn = ()
        self.refresh()

    def _draw(self, width: int, height: int, dark: bool) -> list[Strip]:
        if width < 1 or height < 1:
            return []
        if self._figure is None or self._figure.is_empty:
            return self._draw_empty(width, height, dark)
        page = self._figure.page(width, height, dark=dark, view=self._view, mono=self.app.no_color)
        return [Strip([Segment(text, _style(ink)) for text, ink in page.runs(row)], width) for row in range(height)]

    def _draw_empty(self, width: int, height: int, dark: bool) -> list[Strip]:
        style = _style(Ink(color_of("muted", dark=dark)))
        lines = [line for part in self._empty.split("\n") for line in textwrap.wrap(part, max(1, width - 4)) or [""]]
        top = max(0, (height - len(lines)) // 2)
        centred = [""] * top + [line.center(width)[:width] for line in lines]
        return [Strip([Segment(line.ljust(width), style)], width) for line in centred[:height]]


def _style(ink: Ink) -> Style:
    color, ground = (Color.from_rgb(*rgb) if rgb is not None else None for rgb in (ink.color, ink.ground))
    return Style(color=color, bgcolor=ground, bold=ink.bold or None)
