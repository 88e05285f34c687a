"""Screen 5: does adaptation hurt where a domain resembles the pretraining text?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen, following
from odyssey_tui.services.format import number, signed
from odyssey_tui.services.scatter_views import significant
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.keyed_table import KeyedTable, TableColumn, TableRow, right

if TYPE_CHECKING:
    from odyssey_tui.services.scatter_views import View
    from odyssey_tui.services.similarity import Agreement, Point, Scatter

NAME_WIDTH = (8, 16)


class Request(NamedTuple):
    """The view asked for; None leaves the choice to the service."""

    view: View | None


class SimilarityScreen(OdysseyScreen):
    """ΔL against similarity, one point per domain: chart, finding, domains, and the other measures."""

    SCOPE = "similarity"
    CSS_PATH = "similarity.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "similarity")]

    def __init__(self) -> None:
        super().__init__()
        self._wanted: View | None = None
        self._scatter: Scatter | None = None

    def compose_body(self) -> ComposeResult:
        yield Chart(empty=READING, id="scatter")
        with Vertical(id="words"):
            yield Static("", id="finding", markup=False)
            yield Static("", id="basis", markup=False)
            yield KeyedTable(id="domains")
            yield Static("", id="agreement")

    def on_mount(self) -> None:
        self.query_one(KeyedTable).focus()

    def request(self) -> Request:
        return Request(self._wanted)

    def load(self, request: Request) -> Scatter:
        from odyssey_tui.services.similarity import scatter

        view = request.view
        return scatter(
            self.odyssey.workspace,
            measure=view.measure if view is not None else None,
            embedder=view.embedder if view is not None else None,
        )

    def show(self, snapshot: Scatter) -> None:
        self._scatter = snapshot
        self.set_class(not snapshot.points, "-empty")
        self.query_one("#finding", Static).update(snapshot.sentence)
        self.query_one("#basis", Static).update(basis(snapshot))
        width, rows = table_rows(snapshot.points)
        self.query_one(KeyedTable).show(table_columns(width), rows)
        self.query_one("#agreement", Static).update(agreement_text(snapshot))
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

    def _draw_chart(self, *, keep_view: bool) -> None:
        from odyssey_tui.services.similarity_figure import draw_scatter

        found = self._scatter
        if found is None:
            return
        empty = f"{found.reason}\n\n{found.hint}\n\n{WHAT_TO_PRESS}"
        figure = draw_scatter(found, self.query_one(KeyedTable).current)
        self.query_one(Chart).show(figure, empty=empty, keep_view=keep_view)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found = self._scatter
        if action == "open":
            return found is not None and bool(found.points)
        if action == "measure":
            return found is not None and len(measures(found.agreement)) > 1
        if action == "embedder":
            return found is not None and len(embedders(found)) > 1
        return True

    def action_measure(self) -> None:
        """The next measure, through the same embedder where it has it."""
        found = self._scatter
        if found is None or found.view is None:
            return
        measure = following(measures(found.agreement), found.view.measure)
        views = [item.view for item in found.agreement if item.view.measure == measure]
        self._look(next((view for view in views if view.embedder == found.view.embedder), views[0]))

    def action_embedder(self) -> None:
        """The same measure through the next embedder."""
        found = self._scatter
        if found is None or found.view is None:
            return
        embedder = following(embedders(found), found.view.embedder)
        self._look(type(found.view)(found.view.measure, embedder))

    def _look(self, view: View) -> None:
        self._wanted = view
        self.reload()

    async def action_open(self) -> None:
        """The token ledger of the domain under the cursor, before against after adaptation."""
        key = self.query_one(KeyedTable).current
        points = self._scatter.points if self._scatter is not None else ()
        point = next((point for point in points if point.domain == key), None)
        if point is not None:
            await self.odyssey.go("tokens", (point.before, point.after))


def measures(agreement: tuple[Agreement, ...]) -> tuple[str, ...]:
    """The measures there are, in stepping order."""
    return tuple(dict.fromkeys(item.view.measure for item in agreement))


def embedders(found: Scatter) -> tuple[str, ...]:
    """The embedders of the measure on screen."""
    if found.view is None:
        return ()
    return tuple(item.view.embedder for item in found.agreement if item.view.measure == found.view.measure)


def basis(found: Scatter) -> str:
    """What the similarity rests on, and the warning that belongs to it."""
    if not found.points:
        return ""
    cell = found.cell.text if found.cell is not None else ""
    sample = f", {found.n_samples} samples a domain" if found.n_samples else ""
    parts = [found.influence, found.note, cell, f"against {found.reference}{sample}", *found.missing]
    return " · ".join(part for part in parts if part)


def table_columns(name_width: int) -> tuple[TableColumn, ...]:
    """Columns of the domains."""
    return (
        TableColumn("domain", "domain", name_width),
        TableColumn("value", "   value", 8),
        TableColumn("delta", "     ΔL", 7),
        TableColumn("zero_shot", "   L₀", 5),
        TableColumn("loss", "    L", 5),
        TableColumn("without", "r without", 9),
    )


def table_rows(points: tuple[Point, ...]) -> tuple[int, list[TableRow]]:
    """Width of the names and one row per domain; a loss that rose is bold."""
    width = min(max([NAME_WIDTH[0], *(len(point.domain) for point in points)]), NAME_WIDTH[1])
    rows = []
    for point in points:
        name = Text(point.domain, no_wrap=True)
        name.truncate(width, overflow="ellipsis")
        cells = (
            name,
            right(significant(point.value), 8),
            right(signed(point.delta), 7, "bold" if point.delta > 0 else ""),
            right(number(point.zero_shot_loss, 2), 5),
            right(number(point.loss, 2), 5),
            right(signed(point.r_without, 2), 9),
        )
        rows.append(TableRow(point.domain, cells))
    return width, rows


def agreement_text(found: Scatter) -> Text:
    """One line per measure, the one on screen marked: whether they tell the same story."""
    if len(found.agreement) < 2:
        return Text("")
    text = Text("By measure")
    text.stylize("bold")
    for item, line in zip(found.agreement, found.by_measure, strict=True):
        text.append(f"\n{line}", style="bold" if item.view == found.view else "")
    return text
