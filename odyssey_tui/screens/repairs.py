"""Behind the matrix: ways to adapt to one domain side by side, and how each differs from plain fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, following
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.services.matrix_source import FIELDS, parse_where, values_of
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.keyed_table import KeyedTable

if TYPE_CHECKING:
    from odyssey_tui.services.matrix_cells import Cell
    from odyssey_tui.services.matrix_source import Source
    from odyssey_tui.services.repairs import Repair, Repairs


class Asked(NamedTuple):
    """What to compare; None leaves the choice to the service. ``like``: a cell of the matrix to take a cell from."""

    experiment: str | None = None
    domain: str | None = None
    like: Cell | None = None


class Look(NamedTuple):
    """How to look at it."""

    domain: str | None = None
    cell: Cell | None = None
    token_class: str = "newline"


class Request(NamedTuple):
    """What to read. ``known``: what was read already, when only the look at it changes."""

    experiment: str | None
    where: str
    look: Look
    like: Cell | None
    known: Source | None


class Snapshot(NamedTuple):
    """What was read, and the comparison of it."""

    source: Source
    found: Repairs
    experiments: tuple[str, ...]


class RepairsScreen(FilteredScreen):
    """One row for each way to adapt one base to one domain with one budget."""

    SCOPE = "repairs"
    TABLE = KeyedTable
    CSS_PATH = "repairs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "repairs")]

    def __init__(self) -> None:
        super().__init__()
        self._asked = Asked()
        self._look = Look()
        self._looking = False
        self._snapshot: Snapshot | None = None

    def compose_body(self) -> ComposeResult:
        yield FilterLine("size=s and ptpp=16 and lr<0.01", parse_where, lambda: FIELDS, self._values_of)
        yield Static(READING, id="empty", markup=False)
        yield Static("", id="heading", markup=False)
        yield KeyedTable(id="ways")
        with VerticalScroll(id="verdict"):
            yield Static("", id="sentences", markup=False)

    def _values_of(self, key: str) -> list[object]:
        return values_of(self._snapshot.source, key) if self._snapshot is not None else []

    def on_mount(self) -> None:
        self.set_class(True, "-empty")
        self.query_one(KeyedTable).focus()

    def on_resize(self) -> None:
        self._draw()

    def arrive(self, context: object) -> None:
        """What the matrix had under its cursor."""
        if isinstance(context, Asked):
            self._asked, self._look = context, Look(context.domain)
            self.reload()

    def request(self) -> Request:
        known = self._snapshot.source if self._looking and self._snapshot is not None else None
        self._looking = False
        return Request(self._asked.experiment, self._filter, self._look, self._asked.like, known)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.matrix_source import list_experiments, read_source
        from odyssey_tui.services.repairs import compare_repairs

        workspace, look = self.odyssey.workspace, request.look
        source = request.known or read_source(workspace, request.experiment, parse_where(request.where))
        # A filter may leave nothing of the domain that was looked at.
        domain = look.domain if look.domain in {state.domain for state in source.states} else None
        found = compare_repairs(
            workspace, source, domain=domain, cell=look.cell, like=request.like, classes=(look.token_class,)
        )
        return Snapshot(source, found, list_experiments(workspace))

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        found = snapshot.found
        self.set_class(not found.rows, "-empty")
        self.query_one("#empty", Static).update(f"{found.reason}\n\n{found.hint}\n\n{WHAT_TO_PRESS}")
        self._draw()
        self.refresh_bindings()

    def _draw(self) -> None:
        from odyssey_tui.services.repairs_words import head_of
        from odyssey_tui.widgets.repair_rows import repair_table

        found = self._found()
        if found is None:
            return
        place = next((number for number, one in enumerate(found.choices, 1) if one.cell == found.cell), 1)
        many = f" · cell {place} of {len(found.choices)}" if len(found.choices) > 1 else ""
        plain = f" · {found.called}: {found.plain.words}" if found.plain is not None else ""
        heading = Text(head_of(found), "bold")
        heading.append(f"  {found.cell_text}{many}{plain} · nats/token, means over seeds, * lowest", "not bold dim")
        self.query_one("#heading", Static).update(heading)
        self.query_one(KeyedTable).show(*repair_table(found, self.size.width - 3))
        self._tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found, snapshot = self._found(), self._snapshot
        if action == "open":
            row = self._row()
            return row is not None and row.before is not None
        if action in ("class", "export"):
            return found is not None
        if action in ("cell", "choose"):
            return found is not None and len(found.choices) > 1
        if action == "domain":
            return len(self._domains()) > 1
        if action == "experiment":
            return snapshot is not None and len(snapshot.experiments) > 1
        return True

    @on(DataTable.RowHighlighted)
    def moved(self) -> None:
        """Another row: what it says, and what can be done with it."""
        self._tell()
        self.refresh_bindings()

    def _tell(self) -> None:
        from odyssey_tui.services.repairs_words import tell_repairs, tell_row

        found, row = self._found(), self._row()
        if found is not None:
            own = [tell_row(found, row)] if row is not None else []
            words = "\n".join([*own, " ".join([*tell_repairs(found), *found.notes])])
            self.query_one("#sentences", Static).update(words)

    @on(DataTable.RowSelected)
    async def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        await self.action_open()

    async def action_open(self) -> None:
        """The token ledger of the row under the cursor: its first seed before and after."""
        row = self._row()
        if row is not None and row.before is not None:
            await self.odyssey.go("tokens", (row.before, row.after))

    async def action_leave(self) -> None:
        """Escape: the filter goes; without one, back to the matrix."""
        if self.filtering:
            super().action_leave()
        else:
            await self.action_matrix()

    def action_class(self) -> None:
        """The next class of tokens set apart."""
        from odyssey_tui.services.ledger import CLASSES

        self._change(token_class=following(CLASSES, self._look.token_class))

    def action_cell(self) -> None:
        """The next size, PTPP or budget."""
        found = self._found()
        if found is not None:
            self._change(cell=following([one.cell for one in found.choices], self._look.cell or found.cell))

    def action_choose(self) -> None:
        """Any of them, from a list."""
        found = self._found()
        if found is None:
            return
        titles = [f"{one.n_rows:3} ways  {one.cell.text()}" for one in found.choices]

        def chosen(index: int | None) -> None:
            if index is not None:
                self._change(cell=found.choices[index].cell)

        self.app.push_screen(ChooseScreen("Cells, the fullest first", titles), chosen)

    def action_domain(self) -> None:
        """Another domain, from a list."""
        domains = self._domains()

        def chosen(index: int | None) -> None:
            if index is not None:
                self._change(domain=domains[index], cell=None)

        self.app.push_screen(ChooseScreen("Adapted to", domains), chosen)

    def action_experiment(self) -> None:
        """One experiment, or all of them."""
        names = self._snapshot.experiments if self._snapshot is not None else ()

        def chosen(index: int | None) -> None:
            if index is not None:
                self._asked, self._look = Asked(names[index - 1] if index else None), Look()
                self.reload()

        self.app.push_screen(ChooseScreen("Experiment", ["all of them", *names]), chosen)

    def action_export(self) -> None:
        """The table as CSV or LaTeX, everything as JSON."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.repairs_words import exportable

        found = self._found()
        if found is not None:
            ask_export(self, exportable(found))

    def _change(self, **changes: object) -> None:
        self._look = self._look._replace(**changes)
        self._looking = True
        self.reload()

    def _found(self) -> Repairs | None:
        found = self._snapshot.found if self._snapshot is not None else None
        return found if found is not None and found.rows else None

    def _row(self) -> Repair | None:
        """The way under the cursor."""
        found, key = self._found(), self.query_one(KeyedTable).current
        rows = found.rows if found is not None else ()
        return next((row for row in rows if (row.after or row.label) == key), None)

    def _domains(self) -> list[str]:
        states = self._snapshot.source.states if self._snapshot is not None else ()
        return sorted({state.domain for state in states if state.domain})
