"""A table whose rows have keys: refreshing it changes only the cells that differ and keeps the cursor on its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.widgets import DataTable
from textual.widgets.data_table import RowDoesNotExist

from odyssey_tui.keymap import bindings
from odyssey_tui.widgets.table_cells import TableColumn, TableRow, calm


class KeyedTable(DataTable[Any], inherit_bindings=False):
    """Rows under the keys of the ``table`` scope, one cell of space between columns."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("table")]

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cursor_type="row",
            zebra_stripes=False,
            cell_padding=0,
            cursor_foreground_priority="renderable",
            **options,
        )
        self._columns: tuple[TableColumn, ...] = ()
        self._rows: tuple[TableRow, ...] = ()

    @property
    def current(self) -> str | None:
        """The key of the row under the cursor."""
        return self._rows[self.cursor_row].key if 0 <= self.cursor_row < len(self._rows) else None

    def text_rows(self) -> Iterator[tuple[str, ...]]:
        """The titles, then every row, as text."""
        yield tuple(column.title for column in self._columns)
        for row in self._rows:
            yield tuple(str(cell).strip() for cell in row.cells)

    def text_row(self) -> tuple[str, ...]:
        """The row under the cursor, as text."""
        there = 0 <= self.cursor_row < len(self._rows)
        return tuple(str(cell).strip() for cell in self._rows[self.cursor_row].cells) if there else ()

    def show(self, columns: Sequence[TableColumn], rows: Sequence[TableRow]) -> None:
        """Bring the table to ``rows``: cells are diffed by row key; another order of rows or columns refills it."""
        columns, rows = tuple(columns), tuple(TableRow(row.key, tuple(map(calm, row.cells))) for row in rows)
        same_order = columns == self._columns and [row.key for row in rows] == [row.key for row in self._rows]
        if same_order:
            self._update(rows)
        else:
            self._refill(columns, rows)
        self._rows = rows

    def _update(self, rows: tuple[TableRow, ...]) -> None:
        for old, new in zip(self._rows, rows, strict=True):
            if old.cells == new.cells:
                continue
            for column, before, after in zip(self._columns, old.cells, new.cells, strict=True):
                if before != after:
                    self.update_cell(new.key, column.key, after)

    def _refill(self, columns: tuple[TableColumn, ...], rows: tuple[TableRow, ...]) -> None:
        current, scroll = self.current, self.scroll_y
        before = self.cursor_row
        with self.app.batch_update():
            self.clear(columns=columns != self._columns)
            if columns != self._columns:
                for column in columns:
                    self.add_column(column.title, width=column.width + 1, key=column.key)
                self._columns = columns
            for row in rows:
                self.add_row(*row.cells, key=row.key)
            self._restore(current, before, scroll)

    def _restore(self, current: str | None, before: int, scroll: float) -> None:
        """Put the cursor back on its row; on the row now in its place where that one is gone."""
        try:
            index = self.get_row_index(current) if current is not None else 0
        except RowDoesNotExist:
            index = min(before, self.row_count - 1)
        self.move_cursor(row=max(0, index), animate=False, scroll=False)
        self.scroll_to(y=scroll, animate=False)
