"""Behind Similarity: what adaptation to each domain did to the loss on every text, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, following
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.services.matrix_source import FIELDS, parse_where, values_of
from odyssey_tui.services.matrix_values import VALUES
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.heat_map import HeatMap

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.matrix import Entry, Matrix
    from odyssey_tui.services.matrix_cells import Cell
    from odyssey_tui.services.matrix_source import Source


class Look(NamedTuple):
    """How the matrix is looked at; None leaves the choice to the service."""

    rows_by: str = "domain"
    value: str | None = None
    cell: Cell | None = None
    order: str = "name"


class Request(NamedTuple):
    """What to read. ``known``: what was read already, when only the look at it changes."""

    experiment: str | None
    where: str
    look: Look
    known: Source | None


class Snapshot(NamedTuple):
    """What was read, the matrix of it, and the experiments there are."""

    source: Source
    matrix: Matrix
    axes: tuple[str, ...]
    """What rows can be, so that there are at least two of them."""
    experiments: tuple[str, ...]


class MatrixScreen(FilteredScreen):
    """Rows are what models were adapted to, columns what they were scored on; one cell of conditions at a time."""

    SCOPE = "matrix"
    TABLE = HeatMap
    CSS_PATH = "matrix.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "matrix")]

    def __init__(self) -> None:
        super().__init__()
        self._experiment: str | None = None
        self._look = Look()
        self._looking = False
        self._snapshot: Snapshot | None = None
        self._intervals: dict[tuple[str, ...], MeanDifference | None] = {}

    def compose_body(self) -> ComposeResult:
        yield FilterLine("size=s and ptpp=16 and method=full", parse_where, lambda: FIELDS, self._values_of)
        yield Static(READING, id="empty", markup=False)
        yield Static("", id="heading", markup=False)
        yield Static("", id="notes", markup=False)
        yield HeatMap(id="map")
        yield Static("", id="story", markup=False)

    def _values_of(self, key: str) -> list[object]:
        return values_of(self._snapshot.source, key) if self._snapshot is not None else []

    def on_mount(self) -> None:
        self.set_class(True, "-empty")
        self.query_one(HeatMap).focus()
        self.watch(self.app, "theme", self._draw, init=False)

    def arrive(self, context: object) -> None:
        """An experiment to show."""
        self._experiment = str(context)
        self.reload()

    def request(self) -> Request:
        known = self._snapshot.source if self._looking and self._snapshot is not None else None
        self._looking = False
        return Request(self._experiment, self._filter, self._look, known)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.matrix import assemble, list_axes
        from odyssey_tui.services.matrix_source import list_experiments, read_source

        workspace = self.odyssey.workspace
        source = request.known or read_source(workspace, request.experiment, parse_where(request.where))
        matrix = assemble(source, **request.look._asdict())
        return Snapshot(source, matrix, list_axes(source), list_experiments(workspace))

    def show(self, snapshot: Snapshot) -> None:
        if self._snapshot is None or snapshot.source != self._snapshot.source:
            self._intervals = {}
        self._snapshot = snapshot
        matrix = snapshot.matrix
        self.set_class(not matrix.rows, "-empty")
        self.query_one("#empty", Static).update(f"{matrix.reason}\n\n{matrix.hint}\n\n{WHAT_TO_PRESS}")
        self._draw()
        self.refresh_bindings()

    def _draw(self) -> None:
        from odyssey_tui.widgets.matrix_heat import heading, heat_table

        if self._snapshot is None or not self._snapshot.matrix.rows:
            return
        matrix = self._snapshot.matrix
        look = {"dark": self.app.current_theme.dark, "color": not self.app.no_color}
        self.query_one("#heading", Static).update(heading(matrix, self._experiment, **look))
        notes = self.query_one("#notes", Static)
        notes.update(" ".join(matrix.notes))
        notes.display = bool(matrix.notes)
        heat_map = self.query_one(HeatMap)
        fresh = heat_map.current is None
        heat_map.show(heat_table(matrix, **look))
        if fresh:
            heat_map.move(len(matrix.zero_rows), 0)

    @on(HeatMap.Moved)
    def tell(self) -> None:
        """The cell under the cursor, in full."""
        from odyssey_tui.services.matrix_words import tell_cell, tell_interval

        matrix, current = self._matrix(), self.query_one(HeatMap).current
        if matrix is None or current is None:
            return
        words = list(tell_cell(matrix, *current))
        entry = self._entry()
        if entry is not None and (key := key_of(entry)) in self._intervals:
            words.insert(1, tell_interval(entry, self._intervals[key]))
        self.query_one("#story", Static).update(" ".join(words))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        snapshot, matrix = self._snapshot, self._matrix()
        if action in ("open", "interval"):
            entry = self._entry()
            return entry is not None and entry.scores[0].before is not None
        if action in ("value", "export", "repairs"):
            return matrix is not None
        if action in ("cell", "choose"):
            return matrix is not None and len(matrix.choices) > 1
        if action == "order":
            return matrix is not None and len(matrix.orders) > 1
        if action == "rows":
            return snapshot is not None and len(snapshot.axes) > 1
        if action == "experiment":
            return snapshot is not None and len(snapshot.experiments) > 1
        return True

    async def action_leave(self) -> None:
        """Escape: the filter goes; without one, back to Similarity."""
        if self.filtering:
            super().action_leave()
        else:
            await self.odyssey.go("similarity")

    async def action_open(self) -> None:
        """The token ledger of the cell under the cursor: its first seed before and after."""
        entry = self._entry()
        if entry is not None and entry.scores[0].before is not None:
            await self.odyssey.go("tokens", (entry.scores[0].before, entry.scores[0].after))

    @on(HeatMap.Selected)
    async def open_clicked(self) -> None:
        """A click on the cell under the cursor opens it, as Enter does."""
        await self.action_open()

    def action_value(self) -> None:
        """The next value, of those that the tokenizers allow."""
        matrix = self._matrix()
        if matrix is not None:
            per_token = matrix.fair is None or matrix.fair.per_token
            names = [name for name, value in VALUES.items() if per_token or not value.per_token]
            self._change(value=following(names, self._look.value or matrix.value.name))

    def action_cell(self) -> None:
        """The next cell: another size, PTPP, method, replay ratio, variant or budget."""
        matrix = self._matrix()
        if matrix is not None:
            self._change(cell=following([one.cell for one in matrix.choices], self._look.cell or matrix.cell))

    def action_choose(self) -> None:
        """Any cell, from a list."""
        matrix = self._matrix()
        if matrix is None:
            return
        titles = [f"{one.n_pairs:4} scores  {one.cell.text(('lr',))}" for one in matrix.choices]

        def chosen(index: int | None) -> None:
            if index is not None:
                self._change(cell=matrix.choices[index].cell)

        self.app.push_screen(ChooseScreen("Cells, the fullest first", titles), chosen)

    def action_order(self) -> None:
        """The next order of rows and columns."""
        matrix = self._matrix()
        if matrix is not None:
            self._change(order=following(matrix.orders, self._look.order))

    def action_rows(self) -> None:
        """What rows are: domains, or the next axis that varies."""
        if self._snapshot is not None:
            self._change(rows_by=following(self._snapshot.axes, self._look.rows_by), cell=None, value=None)

    def action_experiment(self) -> None:
        """One experiment, or all of them."""
        if self._snapshot is None:
            return
        names = self._snapshot.experiments

        def chosen(index: int | None) -> None:
            if index is not None:
                self._experiment = names[index - 1] if index else None
                self._look = Look()
                self.reload()

        self.app.push_screen(ChooseScreen("Experiment", ["all of them", *names]), chosen)

    async def action_repairs(self) -> None:
        """Ways to adapt to the domain under the cursor, of the same base and budget as far as can be."""
        from odyssey_tui.screens.repairs import Asked

        matrix, current = self._matrix(), self.query_one(HeatMap).current
        if matrix is None or matrix.cell is None or current is None:
            return
        row = next((row for row in matrix.rows if row.label == current[0]), None)
        domain = row.domain if row is not None and row.domain else dict(matrix.cell.values).get("domain")
        await self.odyssey.go("repairs", Asked(self._experiment, domain, matrix.cell))

    def action_interval(self) -> None:
        """Bootstrap ΔL of the cell under the cursor over documents."""
        from odyssey_tui.services.matrix_source import read_intervals

        entry = self._entry()
        if entry is None:
            return

        def told(found: list[MeanDifference | None]) -> None:
            self._intervals[key_of(entry)] = found[0]
            self.tell()

        self.perform(lambda: read_intervals(self.odyssey.workspace, [entry.scores]), told)

    def action_export(self) -> None:
        """The heat map as SVG, the table as CSV or LaTeX, everything as JSON."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.matrix_export import exportable

        matrix = self._matrix()
        if matrix is not None:
            ask_export(self, exportable(matrix, self._experiment))

    def _change(self, **changes: object) -> None:
        self._look = self._look._replace(**changes)
        self._looking = True
        self.reload()

    def _matrix(self) -> Matrix | None:
        matrix = self._snapshot.matrix if self._snapshot is not None else None
        return matrix if matrix is not None and matrix.rows else None

    def _entry(self) -> Entry | None:
        """The cell under the cursor, unless it is a base state's or blank."""
        matrix, current = self._matrix(), self.query_one(HeatMap).current
        if matrix is None or current is None or current[0] in matrix.zero_rows:
            return None
        return matrix.entry(*current)


def key_of(entry: Entry) -> tuple[str, ...]:
    """What identifies the evaluations of a cell."""
    return tuple(score.after for score in entry.scores)
