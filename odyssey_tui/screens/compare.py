"""Screen 2: the marked runs side by side."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.plots.palette import RUNS, SeriesStyle, color_of
from odyssey_tui.screens.base import OdysseyScreen, following
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.exporting import ask_export
from odyssey_tui.services.curve_names import PER_TOKEN, X_AXES
from odyssey_tui.services.tokenizer_fair import TOKEN_UNIT
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.compare_rows import difference_table, outcome_table
from odyssey_tui.widgets.keyed_table import KeyedTable

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.services.compare import Comparison, Outcome
    from odyssey_tui.services.curves import Curve

NEED_RUNS = frozenset({"open", "tokens", "chart", "metric", "x_axis", "seeds", "export"})
EMPTY = """\
Nothing to compare yet.

Mark two runs or more on the Runs screen, then come back.

1  Runs        Space  marks the run under the cursor"""


class Request(NamedTuple):
    """The runs to compare, in the order they were marked, and which curves of theirs."""

    run_ids: tuple[str, ...]
    metric: str
    axis: str
    joined: bool
    news: object
    """The same as long as there is nothing new in the workspace: then the comparison is as before."""


class Snapshot(NamedTuple):
    """The comparison, and the curves as they were asked for."""

    found: Comparison
    curves: tuple[Curve, ...]
    request: Request


class CompareScreen(OdysseyScreen):
    """Differing configuration, losses with intervals, overlaid curves, the learning–forgetting plane."""

    SCOPE = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "compare")]

    def __init__(self) -> None:
        super().__init__()
        self._found: Comparison | None = None
        self._given: tuple[str, ...] = ()
        self._metric, self._axis = "loss", "tokens"
        self._joined = False
        self._shown_request: Request | None = None
        self._compared: tuple[object, Comparison] | None = None
        """The last comparison and what it was made of: its intervals take longer than its curves."""

    def compose_body(self) -> ComposeResult:
        yield Static(EMPTY, id="empty", markup=False)
        yield Static("", id="runs", markup=False)
        yield Static("", id="notes", markup=False)
        with Horizontal(id="tables"):
            with Vertical(id="outcomes-pane"):
                yield KeyedTable(id="outcomes")
            with Vertical(id="differences-pane"):
                yield Static("", id="same", markup=False)
                yield KeyedTable(id="differences")
        with Horizontal(id="charts"):
            yield Chart(id="curves", empty="No training curve yet.")
            yield Chart(id="plane", empty="No run has been evaluated on target and base text before and after yet.")

    def on_mount(self) -> None:
        self.set_class(True, "-empty")
        self.query_one("#outcomes", KeyedTable).focus()

    def on_resize(self) -> None:
        if self._found is not None:
            self.query_one("#runs", Static).update(self._legend(self._found))
            self._draw_tables(self._found)

    def arrive(self, context: object) -> None:
        """Runs to compare, given by another screen instead of marks."""
        self._given = tuple(context) if isinstance(context, (list, tuple)) else ()
        self.reload()

    def request(self) -> Request:
        runs = self._given or tuple(self.odyssey.marked)
        pulse = self.odyssey.pulse
        return Request(runs, self._metric, self._axis, self._joined, pulse.news if pulse is not None else None)

    def load(self, request: Request) -> Snapshot | None:
        from odyssey_tui.services.compare import compare
        from odyssey_tui.services.compare_figures import read_compared

        if len(request.run_ids) < 2:
            return None
        workspace, subject = self.odyssey.workspace, (request.run_ids, request.news)
        if self._compared is None or self._compared[0] != subject or request.news is None:
            self._compared = subject, compare(workspace, request.run_ids)
        found = self._compared[1]
        labels = {run.run_id: str(position) for position, run in enumerate(found.runs, 1)}
        curves = read_compared(workspace, found, request.metric, request.axis, labels=labels, joined=request.joined)
        return Snapshot(found, curves, request)

    def show(self, snapshot: Snapshot | None) -> None:
        from odyssey_tui.services.compare_figures import draw_curves, draw_plane

        before, self._shown_request = self._shown_request, snapshot.request if snapshot is not None else None
        same_runs = self._found is not None and snapshot is not None and self._found.runs == snapshot.found.runs
        self._found = snapshot.found if snapshot is not None else None
        self.set_class(snapshot is None, "-empty")
        self.refresh_bindings()
        if snapshot is None:
            return
        found, request = snapshot.found, snapshot.request
        self.query_one("#runs", Static).update(self._legend(found))
        notes = self.query_one("#notes", Static)
        notes.update("\n".join(found.notes))
        notes.display = bool(found.notes)
        self._draw_tables(found)
        same_axes = same_runs and before is not None and before[1:4] == request[1:4]
        apart = request.metric in PER_TOKEN and found.unit != TOKEN_UNIT
        empty = "Curves of different tokenizers are not overlaid." if apart else "No curve yet."
        figure = draw_curves(snapshot.curves, request.metric, request.axis)
        self.query_one("#curves", Chart).show(figure, empty=empty, keep_view=same_axes)
        named = {run.run_id: f"{place} {run.variant}".rstrip() for place, run in enumerate(found.runs, 1)}
        self.query_one("#plane", Chart).show(draw_plane(found, named), keep_view=same_runs)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._found is not None if action in NEED_RUNS else True

    def action_open(self) -> None:
        """The run of the row under the cursor."""
        from odyssey_tui.screens.run import RunScreen

        outcome = self._outcome()
        if outcome is not None:
            self.app.push_screen(RunScreen(outcome.run_id))

    async def action_tokens(self) -> None:
        """The token ledger of the row under the cursor."""
        outcome = self._outcome()
        if outcome is None or outcome.zero_shot_evaluation_id is None:
            self.notify("this row has no evaluation before adaptation", severity="warning")
            return
        await self.odyssey.go("tokens", (outcome.zero_shot_evaluation_id, outcome.evaluation_id))

    def action_chart(self) -> None:
        """On a narrow screen: the other chart."""
        self.toggle_class("-plane")

    def action_metric(self) -> None:
        """The next metric that one of the runs wrote."""
        if self._found is not None and self._found.metrics:
            self._metric = following(self._found.metrics, self._metric)
            self.reload()

    def action_x_axis(self) -> None:
        """The next x axis."""
        self._axis = following(tuple(X_AXES), self._axis)
        self.reload()

    def action_seeds(self) -> None:
        """One curve for each run, or one with a band for those that differ in their seed alone."""
        self._joined = not self._joined
        self.notify("mean ± sd over seeds" if self._joined else "one curve for each run", timeout=2)
        self.reload()

    def action_export(self) -> None:
        """The chart that has the focus, else the curves or where those are hidden the plane; the table; everything."""
        from odyssey_tui.services.compare_tables import columns_of, record, table_rows
        from odyssey_tui.services.figure_export import Exportable

        found = self._found
        if found is None:
            return
        curves, plane = self.query_one("#curves", Chart), self.query_one("#plane", Chart)
        chart = plane if plane.has_focus or not curves.display or curves.figure is None else curves
        rows = table_rows(found)
        ask_export(
            self,
            Exportable(
                "plane" if chart is plane else f"compare-{self._metric}",
                self._named(chart.figure, found) if chart is curves else chart.figure,
                columns_of(found, precise=True),
                rows,
                record(found, rows),
                wide=(columns_of(found), rows),
                view=chart.view,
            ),
        )

    def _named(self, figure: Figure | None, found: Comparison) -> Figure | None:
        """The figure with the runs' names in its legend: a file has no list of them beside it."""
        if figure is None:
            return None
        names = {str(place): run.full_label for place, run in enumerate(found.runs, 1)}
        named = copy(figure)
        named.lines = [replace(line, label=names.get(line.label, line.label)) for line in figure.lines]
        return named

    @on(KeyedTable.RowSelected, "#outcomes")
    def open_clicked(self) -> None:
        """A click on the row under the cursor opens its run, as Enter does."""
        self.action_open()

    def copied(self) -> Copied | None:
        """The id of the run of the row under the cursor; of a difference the row."""
        outcome = self._outcome() if self.query_one("#outcomes").has_focus else None
        return copied_runs([outcome.run_id]) if outcome is not None else super().copied()

    def _outcome(self) -> Outcome | None:
        key = self.query_one("#outcomes", KeyedTable).current
        outcomes = self._found.outcomes if self._found is not None else ()
        return next((outcome for outcome in outcomes if outcome.evaluation_id == key), None)

    def _draw_tables(self, found: Comparison) -> None:
        wide = self.has_class("-wide")
        width = self.size.width * 3 // 5 if wide else self.size.width
        self.query_one("#outcomes", KeyedTable).show(*outcome_table(found, width - 3))
        table = self.query_one("#differences", KeyedTable)
        table.show(*difference_table(found, (self.size.width - width if wide else width) - 3))
        table.display = bool(found.differences)
        self.query_one("#same", Static).update("" if found.differences else "The configurations are the same.")
        self.query_one("#same", Static).display = not found.differences

    def _legend(self, found: Comparison) -> Text:
        """The runs with their numbers, colours and marks, as the charts draw them; a run is never split over lines."""
        dark = self.app.current_theme.dark
        indices = RUNS.indices([run.run_id for run in found.runs])
        lines, room = Text(), self.size.width - 2
        for position, run in enumerate(found.runs, 1):
            index = indices[run.run_id]
            red, green, blue = color_of(index, dark=dark)
            entry = Text(f"{SeriesStyle(index).marker} ", style=f"#{red:02x}{green:02x}{blue:02x}")
            entry.append(f"{position} ", style="bold").append(run.full_label, style="default")
            last = lines.plain.rpartition("\n")[2]
            if last and len(last) + 3 + entry.cell_len > room:
                lines.append("\n")
            elif last:
                lines.append("   ")
            lines.append_text(entry)
        return lines
