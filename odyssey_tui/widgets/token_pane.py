"""The lower half of the Tokens screen: a passage as a heat map, or the change of the loss over positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.heat_text import heat_legend, heat_text

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.services.passages import Passage


class TokenPane(Vertical):
    """Shows a line of words, and below it one of: the passage, a sentence in its place, a figure."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._passage: Passage | None = None
        self._masked: frozenset[int] = frozenset()
        self._sought: frozenset[int] = frozenset()

    def compose(self) -> ComposeResult:
        yield Static("", id="place", markup=False)
        with VerticalScroll(id="heat-scroll"):
            yield Static("", id="heat", markup=False)
        yield Chart(empty="", id="positions")

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._draw, init=False)

    def show_passage(self, title: str, where: str, passage: Passage, sought: frozenset[int]) -> None:
        """``title`` and ``where`` stand beside the legend; tokens ``sought`` stand out."""
        line = Text(title, style="bold").append("  ").append_text(self._legend())
        line.append(f"  {where}", style="not bold dim")
        self.query_one("#place", Static).update(line)
        if passage is not self._passage:
            self.query_one("#heat-scroll", VerticalScroll).scroll_home(animate=False)
        self._passage, self._sought = passage, sought
        self._draw()

    def show_words(self, words: str) -> None:
        """Why there is no passage, or that it is being looked for."""
        self._passage = None
        self.query_one("#place", Static).update(words)
        self.query_one("#heat", Static).update("")

    def show_masks(self, masked: frozenset[int]) -> None:
        """These token types are left out."""
        self._masked = masked
        self._draw()

    def show_figure(self, figure: Figure | None, empty: str) -> None:
        """The figure behind ``turn``; ``empty`` says why there is none."""
        self.query_one(Chart).show(figure, empty=empty)

    def turn(self, to_figure: bool) -> None:
        """The figure in place of the text, or the text again."""
        self.set_class(to_figure, "-figure")

    def _legend(self) -> Text:
        return heat_legend(dark=self.app.current_theme.dark, color=not self.app.no_color)

    def _draw(self) -> None:
        if self._passage is not None:
            look = {"dark": self.app.current_theme.dark, "color": not self.app.no_color}
            self.query_one("#heat", Static).update(heat_text(self._passage, self._masked, self._sought, **look))
