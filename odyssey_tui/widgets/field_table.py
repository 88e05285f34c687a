"""Every key of an experiment, line by line: name, value, and below it what is wrong with it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from engine.spec.located import KeyPath
from odyssey_tui.services.draft_fields import FieldRow
from odyssey_tui.services.format import cut
from odyssey_tui.widgets.keyed_table import KeyedTable
from odyssey_tui.widgets.table_cells import TableColumn, TableRow

SEPARATOR = "\x1f"
LEAST_VALUE, MOST_LABEL = 12, 34
TROUBLE_LINES = 3


class FieldTable(KeyedTable):
    """Rows under the keys of the ``table`` scope; a line of trouble belongs to the key above it."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._fields: dict[str, FieldRow] = {}

    @property
    def field(self) -> FieldRow | None:
        """The key under the cursor."""
        return self._fields.get(self.current or "")

    def show_fields(self, rows: Sequence[FieldRow], troubles: Mapping[KeyPath, str], width: int) -> None:
        """The rows in ``width`` cells."""
        longest = max((2 * row.depth + len(row.label) + 4 for row in rows), default=10)
        label_width = max(8, min(longest, MOST_LABEL, width - LEAST_VALUE - 2))
        value_width = max(4, width - label_width - 3)
        lines: list[TableRow] = []
        self._fields = {}
        for row in rows:
            key = SEPARATOR.join(str(part) for part in row.path)
            self._fields[key] = row
            trouble = troubles.get(row.path, "")
            lines.append(TableRow(key, (_label(row, label_width, bool(trouble)), _value(row, value_width))))
            for number, line in enumerate(textwrap.wrap(trouble, value_width)[:TROUBLE_LINES]):
                below = f"{key}{SEPARATOR}trouble {number}"
                self._fields[below] = row
                lines.append(TableRow(below, ("", Text(line, "bold red"))))
        columns = [TableColumn("key", "key", label_width), TableColumn("value", "value", value_width)]
        self.show(columns, lines)

    def find(self, path: KeyPath) -> None:
        """Put the cursor on a key, if it is in sight."""
        key = SEPARATOR.join(str(part) for part in path)
        if key in self._fields:
            self.move_cursor(row=self.get_row_index(key))


def nearest_rows(rows: Sequence[FieldRow], problems: Mapping[KeyPath, str]) -> dict[KeyPath, str]:
    """Each problem at the row in sight that it concerns: its own, or what hides it."""
    shown = {row.path for row in rows}
    found: dict[KeyPath, str] = {}
    for path, text in problems.items():
        at = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in shown), None)
        if at is not None:
            found.setdefault(at, text if at == path else f"{'.'.join(map(str, path[len(at) :]))} {text}")
    return found


def _label(row: FieldRow, width: int, refused: bool) -> Text:
    fold = ("▾ " if row.opened else "▸ ") if row.branch else "  "
    mark = "*" if row.changed else ""
    style = "bold red" if refused else "bold" if row.changed else ""
    return Text(cut(f"{'  ' * row.depth}{fold}{row.label}{mark}", width), style)


def _value(row: FieldRow, width: int) -> Text:
    if row.written:
        return Text(cut(row.text, width), "dim" if row.branch else "")
    return Text(cut(row.default or ("required" if row.key is not None and row.key.required else "–"), width), "dim")
