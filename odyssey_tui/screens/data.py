"""Screen 9: what is trained on and scored, and how the two were found to differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING
from odyssey_tui.screens.filtered import FilteredScreen
from odyssey_tui.services.filter import Filter
from odyssey_tui.widgets.data_rows import columns_for, detail_text, text_row
from odyssey_tui.widgets.filter_line import FilterLine
from odyssey_tui.widgets.keyed_table import KeyedTable

if TYPE_CHECKING:
    from odyssey_tui.services.data import TextRow

EMPTY = """\
[b]No texts yet.[/b]

Corpora and evaluation sets appear when runs have prepared them, each with a
format audit: token classes of training and evaluation text side by side,
line ends, encoding, duplicates, tokenizer.

  [b]3[/b]  launch an experiment; [b]a[/b] there audits its texts before anything runs
  [b]1[/b]  its runs; in an empty workspace [b]d[/b] there starts the demo

odyssey audit --train FILE… --eval FILE…   compares any two texts"""


class Snapshot(NamedTuple):
    """Texts that pass the filter, and how many there are."""

    rows: tuple[TextRow, ...]
    all: int


def parse(text: str) -> Filter:
    """A filter over texts. Raises FilterError."""
    from odyssey_tui.services.data import parse

    return parse(text)


class DataScreen(FilteredScreen):
    """Corpora and evaluation sets; below, more about the one under the cursor. Enter opens its audit."""

    SCOPE = "data"
    TABLE = KeyedTable
    AUTO_FOCUS = "#texts"
    CSS_PATH = "data.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "data")]

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot | None = None

    def compose_body(self) -> ComposeResult:
        example = "kind=corpus and audit=serious · newline<1 · ~text"
        yield FilterLine(example, parse, self._fields, self._values_of)
        yield Static(EMPTY, id="welcome")
        yield Static(READING, id="nothing", classes="hint")
        yield KeyedTable(id="texts")
        yield Static("", id="details", markup=False)

    def _fields(self) -> Mapping[str, type]:
        from odyssey_tui.services.data import FIELDS

        return FIELDS

    def _values_of(self, key: str) -> list[object]:
        return [row.record().get(key) for row in self._snapshot.rows] if self._snapshot is not None else []

    def on_resize(self) -> None:
        self._redraw()

    def request(self) -> str:
        return self._filter

    def load(self, request: str) -> Snapshot:
        from odyssey_tui.services.data import list_texts

        rows = list_texts(self.odyssey.workspace)
        chosen = parse(request)
        return Snapshot(tuple(row for row in rows if chosen.accepts(row.record())), len(rows))

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._redraw()

    def _redraw(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        self.set_class(not snapshot.all, "-empty")
        nothing = self.query_one("#nothing", Static)
        nothing.update("No text passes the filter; Esc clears it.")
        nothing.display = bool(snapshot.all) and not snapshot.rows
        columns = columns_for(self.size.width - 2, snapshot.rows)
        table = self.query_one(KeyedTable)
        table.show([column.heading for column in columns], [text_row(row, columns) for row in snapshot.rows])
        self._draw_details()
        self.refresh_bindings()

    @on(DataTable.RowHighlighted, "#texts")
    def follow_cursor(self) -> None:
        """What is told below belongs to the row under the cursor."""
        self._draw_details()

    def _draw_details(self) -> None:
        row = self._current()
        self.query_one("#details", Static).update(detail_text(row, self.size.width - 2) if row is not None else "")

    def _current(self) -> TextRow | None:
        key = self.query_one(KeyedTable).current
        rows = self._snapshot.rows if self._snapshot is not None else ()
        return next((row for row in rows if row.key == key), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("open", "filter", "export"):
            return self._snapshot is not None and bool(self._snapshot.all)
        if action == "leave":
            return self.filtering
        return True

    @on(DataTable.RowSelected, "#texts")
    def open_clicked(self) -> None:
        """A click on the row under the cursor opens it, as Enter does."""
        self.action_open()

    def action_open(self) -> None:
        """The format audit of the text under the cursor."""
        row = self._current()
        if row is None:
            return
        if row.level is None:
            self.notify("no format audit yet: 3, then a, audits an experiment's texts", severity="warning")
            return
        from odyssey_tui.screens.audit import AuditScreen

        self.app.push_screen(AuditScreen(row.name, row.newlines))

    def action_export(self) -> None:
        """The table as a file."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.data_tables import exportable

        ask_export(self, exportable(self._snapshot.rows if self._snapshot is not None else ()))
