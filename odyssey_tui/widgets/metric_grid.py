"""Several metrics of a run at a glance, a small chart each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Grid

from odyssey_tui.widgets.chart import Chart

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve

PANELS = 4


class MetricGrid(Grid):
    """Four charts; those without a metric are blank. Each has the focus, the zoom and the cross-hair of its own."""

    def compose(self) -> ComposeResult:
        for _ in range(PANELS):
            yield Chart(empty="")

    def show(self, panels: Sequence[tuple[str, Sequence[Curve]]], axis: str, *, keep_view: bool) -> None:
        """Draw ``panels``: a metric and its curves each, over ``axis``."""
        from odyssey_tui.services.curve_names import TITLES
        from odyssey_tui.services.curves import curve_figure

        filled = [*panels[:PANELS], *[("", ())] * (PANELS - len(panels))]
        for chart, (metric, curves) in zip(self.query(Chart), filled, strict=True):
            figure = curve_figure(curves, metric, axis) if metric else None
            if figure is not None:
                figure.title = TITLES.get(metric, metric)
                if len(curves) == 1:
                    figure.lines = [replace(line, label="") for line in figure.lines]
            chart.show(figure, empty=f"No {metric} yet." if metric else "", keep_view=keep_view)

    @property
    def chosen(self) -> Chart:
        """The chart that has the focus, else the first."""
        charts = list(self.query(Chart))
        return next((chart for chart in charts if chart.has_focus), charts[0])
