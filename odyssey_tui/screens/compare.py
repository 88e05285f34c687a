"""Screen 2: the marked runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.plots.palette import RUNS, SeriesStyle, color_of
from odyssey_tui.screens.base import OdysseyScreen
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.compare_rows import difference_table, outcome_table
from odyssey_tui.widgets.keyed_table import KeyedTable

if TYPE_CHECKING:
    from odyssey_tui.services.compare import Comparison, Outcome

EMPTY = """\
Nothing to compare yet.

Mark two runs or more on the Runs screen, then come back.

1  Runs        Space  marks the run under the cursor"""


class Request(NamedTuple):
    """The runs to compare, in the order they were marked."""

    run_ids: tuple[str, ...]


class CompareScreen(OdysseyScreen):
    """Differing configuration, losses with intervals, overlaid curves, the learning–forgetting plane."""

    SCOPE = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "compare")]

    def __init__(self) -> None:
        super().__init__()
        self._found: Comparison | None = None
        self._given: tuple[str, ...] = ()

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
        return Request(self._given or tuple(self.odyssey.marked))

    def load(self, request: Request) -> Comparison | None:
        from odyssey_tui.services.compare import compare

        return compare(self.odyssey.workspace, request.run_ids) if len(request.run_ids) > 1 else None

    def show(self, snapshot: Comparison | None) -> None:
        from odyssey_tui.services.compare_figures import draw_curves, draw_plane

        same = self._found is not None and snapshot is not None and self._found.runs == snapshot.runs
        self._found = snapshot
        self.set_class(snapshot is None, "-empty")
        self.refresh_bindings()
        if snapshot is None:
            return
        self.query_one("#runs", Static).update(self._legend(snapshot))
        notes = self.query_one("#notes", Static)
        notes.update("\n".join(snapshot.notes))
        notes.display = bool(snapshot.notes)
        self._draw_tables(snapshot)
        curves_empty = "Curves of different tokenizers are not overlaid." if not snapshot.curves else "No curve yet."
        labels = {run.run_id: str(position) for position, run in enumerate(snapshot.runs, 1)}
        self.query_one("#curves", Chart).show(draw_curves(snapshot, labels), empty=curves_empty, keep_view=same)
        named = {run.run_id: f"{labels[run.run_id]} {run.variant}".rstrip() for run in snapshot.runs}
        self.query_one("#plane", Chart).show(draw_plane(snapshot, named), keep_view=same)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._found is not None if action in ("open", "tokens", "chart") else True

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
