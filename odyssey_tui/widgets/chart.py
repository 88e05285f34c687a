"""A figure on the screen: drawn once per change of figure, size, view or theme; zoomed and panned from the keyboard."""

from __future__ import annotations

import textwrap
from dataclasses import replace

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
from odyssey_tui.plots.series import View

_ZOOM = 0.7
_PAN = 0.25


class Chart(Widget, can_focus=True):
    """Shows one ``Figure``; a calm sentence when there is nothing to show."""

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
        self._figure = figure
        self._empty = self._empty if empty is None else empty
        if not keep_view:
            self._view = replace(self._view, x=None, y=None)
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
