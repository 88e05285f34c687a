"""Screen 5: does adaptation hurt where a domain resembles the pretraining text?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen, following
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.keyed_table import KeyedTable

if TYPE_CHECKING:
    from odyssey_tui.services.scatter import Agreement, Look, Scatter
    from odyssey_tui.services.scatter_cells import Cell
    from odyssey_tui.services.scatter_points import Point

WIDE_PANE = 54
"""Columns of words beside the chart."""


class Request(NamedTuple):
    """How to look; None leaves the choice to the service. ``cell``: the model asked for."""

    look: Look | None
    cell: Cell | None


class SimilarityScreen(OdysseyScreen):
    """ΔL against similarity: chart, finding, and below it the points or what else they say."""

    SCOPE = "similarity"
    CSS_PATH = "similarity.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "similarity")]

    def __init__(self) -> None:
        super().__init__()
        self._look: Look | None = None
        self._cell: Cell | None = None
        self._grouped = True
        self._scatter: Scatter | None = None

    def compose_body(self) -> ComposeResult:
        yield Chart(empty=READING, id="scatter")
        with Vertical(id="words"):
            yield Static("", id="finding", markup=False)
            yield Static("", id="basis", markup=False)
            yield KeyedTable(id="domains")
            with VerticalScroll(id="statistics"):
                yield Static("", id="findings")
            yield Static("", id="agreement")

    def on_mount(self) -> None:
        self.query_one(KeyedTable).focus()

    def request(self) -> Request:
        return Request(self._look, self._cell)

    def load(self, request: Request) -> Scatter:
        from odyssey_tui.services.scatter_cells import Wanted
        from odyssey_tui.services.similarity import scatter

        return scatter(self.odyssey.workspace, request.look, Wanted(cell=request.cell))

    def show(self, snapshot: Scatter) -> None:
        self._scatter = snapshot
        self.set_class(not snapshot.points, "-empty")
        self._draw_words()
        self._draw_chart(keep_view=False)
        self.refresh_bindings()

    @on(DataTable.RowHighlighted, "#domains")
    def mark_point(self) -> None:
        """The point of the row under the cursor stands out."""
        self._draw_chart(keep_view=True)

    @on(DataTable.RowSelected, "#domains")
    async def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        await self.action_open()

    def _draw_words(self) -> None:
        from odyssey_tui.widgets.scatter_rows import agreement_text, basis_text, domain_table, statistics_text

        found = self._scatter
        if found is None:
            return
        self.query_one("#finding", Static).update(found.sentence)
        self.query_one("#basis", Static).update(basis_text(found, grouped=self._grouped))
        columns, rows = domain_table(found, grouped=self._grouped, dark=self.app.current_theme.dark)
        self.query_one(KeyedTable).show(columns, rows)
        self.query_one("#findings", Static).update(statistics_text(found, self._words_width))
        self.query_one("#agreement", Static).update(agreement_text(found))

    @property
    def _words_width(self) -> int:
        return WIDE_PANE if self.has_class("-wide") else max(20, self.size.width - 4)

    def on_resize(self) -> None:
        self._draw_words()

    def _draw_chart(self, *, keep_view: bool) -> None:
        from odyssey_tui.services.similarity_figure import draw_scatter

        found = self._scatter
        if found is None:
            return
        empty = f"{found.reason}\n\n{found.hint}\n\n{WHAT_TO_PRESS}"
        figure = draw_scatter(found, self.query_one(KeyedTable).current, grouped=self._is_grouped)
        self.query_one(Chart).show(figure, empty=empty, keep_view=keep_view)

    @property
    def _is_grouped(self) -> bool:
        return self._grouped and self._scatter is not None and bool(self._scatter.groups)

    @property
    def current(self) -> Point | None:
        """The point under the cursor."""
        key = self.query_one(KeyedTable).current
        points = self._scatter.points if self._scatter is not None else ()
        return next((point for point in points if point.key == key), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found = self._scatter
        counts = {
            "open": 2 * len(found.points) if found is not None else 0,
            "measure": len(measures(found.agreement)) if found is not None else 0,
            "embedder": len(embedders(found)) if found is not None else 0,
            "model": len({model.cell for model in (*found.models, *found.shown)})
            if found is not None and not found.pooled
            else 0,
            "choose": len(found.cells) if found is not None else 0,
            "pool": len(found.models) if found is not None else 0,
            "group": len(found.groups) if found is not None else 0,
            "unit": len(found.units) if found is not None else 0,
            "statistics": 2 * len(found.findings) if found is not None else 0,
            "export": 2 * len(found.points) if found is not None else 0,
        }
        return counts[action] > 1 if action in counts else True

    def action_measure(self) -> None:
        """The next measure, through the same embedder where it has it."""
        found = self._scatter
        if found is None or found.view is None:
            return
        measure = following(measures(found.agreement), found.view.measure)
        views = [item.view for item in found.agreement if item.view.measure == measure]
        view = next((view for view in views if view.embedder == found.view.embedder), views[0])
        self._change(measure=view.measure, embedder=view.embedder)

    def action_embedder(self) -> None:
        """The same measure through the next embedder."""
        found = self._scatter
        if found is not None and found.view is not None:
            embedder = following(embedders(found), found.view.embedder)
            self._change(measure=found.view.measure, embedder=embedder)

    def action_unit(self) -> None:
        """The next unit of the change."""
        found = self._scatter
        if found is not None and found.units:
            self._change(unit=following(found.units, found.unit.name))

    def action_pool(self) -> None:
        """All models on one figure, or one again."""
        if self._scatter is not None:
            self._change(pooled=not self._scatter.pooled)

    def action_model(self) -> None:
        """The next model at the budget that most domains share."""
        found = self._scatter
        if found is None or found.cell is None:
            return
        models = [model.cell.model for model in found.models]
        following_model = following(models, found.cell.model)
        self._show_cell(next(model.cell for model in found.models if model.cell.model == following_model))

    def action_choose(self) -> None:
        """Any model and budget, from a list."""
        from odyssey_tui.screens.choose import ChooseScreen

        found = self._scatter
        if found is None:
            return
        cells = found.cells

        def chosen(index: int | None) -> None:
            if index is not None:
                self._show_cell(cells[index].cell)

        shown = {model.cell for model in found.shown}
        marks = ["▸" if model.cell in shown else " " for model in cells]
        words = [
            f"{mark} {model.name} · {model.n_domains} domain{'s' * (model.n_domains != 1)}"
            for mark, model in zip(marks, cells, strict=True)
        ]
        self.app.push_screen(ChooseScreen("Model and budget", words), chosen)

    def action_group(self) -> None:
        """Tell groups apart, or not; what is read stays the same."""
        self._grouped = not self._grouped
        self._draw_words()
        self._draw_chart(keep_view=True)

    def action_statistics(self) -> None:
        """What else the points say, or the points."""
        shown = not self.has_class("-statistics")
        self.set_class(shown, "-statistics")
        self.query_one("#statistics" if shown else "#domains").focus()

    def action_export(self) -> None:
        """Figure, table or everything as a file."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.similarity_record import exportable

        if self._scatter is not None:
            ask_export(self, exportable(self._scatter, grouped=self._is_grouped))

    async def action_open(self) -> None:
        """The token ledger of the point under the cursor, before against after adaptation."""
        point = self.current
        if point is None:
            return
        if point.evaluation_before is None or point.evaluation_after is None:
            self.notify(f"{point.domain} was imported as a table: there are no losses of single tokens.", timeout=5)
            return
        await self.odyssey.go("tokens", (point.evaluation_before, point.evaluation_after))

    def _show_cell(self, cell: Cell) -> None:
        self._cell = cell
        self._change(pooled=False)

    def _change(self, **changes: object) -> None:
        from odyssey_tui.services.scatter import Look

        self._look = replace(self._look or Look(), **changes)
        self.reload()


def measures(agreement: tuple[Agreement, ...]) -> tuple[str, ...]:
    """The measures there are, in stepping order."""
    return tuple(dict.fromkeys(item.view.measure for item in agreement))


def embedders(found: Scatter) -> tuple[str, ...]:
    """The embedders of the measure on screen."""
    if found.view is None:
        return ()
    return tuple(item.view.embedder for item in found.agreement if item.view.measure == found.view.measure)
