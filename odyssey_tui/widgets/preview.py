"""Training curves below a table, drawn where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.plots.series import View
    from odyssey_tui.services.curves import Curve
    from odyssey_tui.widgets.chart import Chart


class Preview(Vertical):
    """A chart that is made when there is first something to draw: plotting is slow to import."""

    def __init__(self) -> None:
        super().__init__(id="preview")
        self._drawn: tuple[tuple[Curve, ...], str] | None = None
        self._chart: Chart | None = None

    @property
    def seen(self) -> tuple[Figure | None, View | None]:
        """What is drawn, and what of it is in sight."""
        return (self._chart.figure, self._chart.view) if self._chart is not None else (None, None)

    @property
    def drawn(self) -> tuple[tuple[Curve, ...], str]:
        """The curves that are drawn, and what is said of them."""
        return self._drawn or ((), "")

    def show(self, curves: tuple[Curve, ...], note: str, *, lasting: bool) -> None:
        """Draw loss over tokens; ``note`` says what is left out. ``lasting``: of marked runs, whose colours stay."""
        if (curves, note) == self._drawn:
            return
        from odyssey_tui.plots.palette import RUNS, Palette
        from odyssey_tui.services.curves import curve_figure
        from odyssey_tui.widgets.chart import Chart

        self._drawn = curves, note
        if self._chart is None:
            self._chart = Chart(empty="The training curves of what is under the cursor, or of the marked runs.")
            self.mount(self._chart)
        palette = RUNS if lasting else Palette()
        self._chart.show(curve_figure(curves, "loss", "tokens", note=note, palette=palette) if curves else None)
