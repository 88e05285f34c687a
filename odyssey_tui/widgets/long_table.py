"""A table of thousands of rows whose order keeps changing: only the lines in sight are drawn.

``KeyedTable`` lays out every row it is given, 0.35 s for 2,000; here a change costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from odyssey_tui.keymap import bindings
from odyssey_tui.widgets.table_cells import TableColumn, calm

Cells = Sequence[Text | str]
HEADER_LINES = 1


class LongTable(ScrollView, can_focus=True):
    """Rows under the keys of the ``table`` scope, with a cursor that stays on its row when others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("table")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"longtable--header", "longtable--cursor"}

    @dataclass
    class Moved(Message):
        """The cursor is on another row: it was moved, or its row has gone."""

        key: str | None

    @dataclass
    class Selected(Message):
        """The row under the cursor was clicked."""

        key: str

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._columns: tuple[TableColumn, ...] = ()
        self._keys: tuple[str, ...] = ()
        self._draw_row: Callable[[int], Cells] = lambda index: ()
        self.cursor_row = 0
        self._anchor: str | None = None
        """The row that was gone to last: the cursor is on it again when it comes back, as after a filter."""

    @property
    def anchored(self) -> bool:
        """Whether the row that was gone to last is here."""
        return self._anchor is not None and self._anchor == self.current

    @property
    def current(self) -> str | None:
        """The key of the row under the cursor."""
        return self._keys[self.cursor_row] if self._keys else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all rows, from the top."""
        return self._keys

    def show(self, columns: Sequence[TableColumn], keys: Sequence[str], draw: Callable[[int], Cells]) -> None:
        """Show rows named by ``keys``; ``draw`` makes the cells of one when its line comes in sight."""
        followed = self._in_sight(self.cursor_row)
        before, keys = self.current, tuple(keys)
        self._columns, self._draw_row = tuple(columns), draw
        if keys != self._keys:
            self._keys = keys
            found = next((key for key in (self._anchor, before) if key in keys), None)
            place = keys.index(found) if found is not None else self.cursor_row
            self.cursor_row = max(0, min(place, len(keys) - 1))
        self.virtual_size = Size(sum(column.width + 1 for column in self._columns), len(keys) + HEADER_LINES)
        self.refresh()
        if followed:
            self._follow_cursor()
        if self.current != before:
            self.post_message(self.Moved(self.current))

    def retitle(self, title: str) -> None:
        """Another title of the only column."""
        (column,) = self._columns
        if column.title != title:
            self._columns = (replace(column, title=title),)
            self.refresh_line(0)

    def move_cursor(self, row: int, *, lasting: bool = True) -> None:
        """Put the cursor on a row, the first or last where there is none, and that row in sight.

        ``lasting``: it comes back to this row when the row has gone meanwhile.
        """
        before, self.cursor_row = self.cursor_row, max(0, min(row, len(self._keys) - 1))
        self._follow_cursor()
        self._anchor = self.current if lasting else self._anchor
        if before == self.cursor_row:
            return
        self.post_message(self.Moved(self.current))
        for changed in {before, self.cursor_row}:
            self.refresh_line(changed + HEADER_LINES)

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """What is shown, from the left."""
        return self._columns

    def cells(self, key: str) -> tuple[str, ...]:
        """What stands in a row, column by column."""
        return tuple(str(cell) for cell in self._draw_row(self._keys.index(key)))

    def text_rows(self) -> Iterator[tuple[str, ...]]:
        """The titles, then every row, as text."""
        yield tuple(column.title for column in self._columns)
        for index in range(len(self._keys)):
            yield tuple(str(cell).strip() for cell in self._draw_row(index))

    def text_row(self) -> tuple[str, ...]:
        """The row under the cursor, as text."""
        return tuple(str(cell).strip() for cell in self._draw_row(self.cursor_row)) if self._keys else ()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y < HEADER_LINES:
            line = self._line([Text(column.title) for column in self._columns])
            style = self.get_component_rich_style("longtable--header")
        else:
            index = self.scroll_offset.y + y - HEADER_LINES
            if index >= len(self._keys):
                return Strip.blank(width, self.rich_style)
            line = self._line(self._draw_row(index))
            style = self.rich_style
            if index == self.cursor_row:
                style += self.get_component_rich_style("longtable--cursor")
        strip = Strip(line.render(self.app.console, end="")).extend_cell_length(self.virtual_size.width)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, None).apply_style(style)

    def _line(self, cells: Cells) -> Text:
        line = Text(no_wrap=True)
        for column, cell in zip(self._columns, cells, strict=True):
            text = calm(cell)
            text.truncate(column.width, overflow="ellipsis", pad=True)
            line.append_text(text).append(" ")
        return line

    @property
    def _rows_in_sight(self) -> int:
        return max(1, self.size.height - HEADER_LINES)

    def _in_sight(self, row: int) -> bool:
        return 0 <= row - self.scroll_offset.y < self._rows_in_sight

    def _follow_cursor(self) -> None:
        top = self.scroll_offset.y
        if self.cursor_row < top:
            top = self.cursor_row
        elif self.cursor_row >= top + self._rows_in_sight:
            top = self.cursor_row - self._rows_in_sight + 1
        self.scroll_to(y=top, animate=False, immediate=True)

    def on_resize(self) -> None:
        self._follow_cursor()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Go to the row that was clicked; a click on the row under the cursor selects it."""
        row = self.scroll_offset.y + event.y - HEADER_LINES
        if event.y < HEADER_LINES or row >= len(self._keys):
            return
        if row == self.cursor_row:
            self.post_message(self.Selected(self._keys[row]))
        self.move_cursor(row)

    def action_cursor_down(self) -> None:
        """j."""
        self.move_cursor(self.cursor_row + 1)

    def action_cursor_up(self) -> None:
        """k."""
        self.move_cursor(self.cursor_row - 1)

    def action_cursor_left(self) -> None:
        """h: columns that do not fit."""
        self.scroll_left(animate=False)

    def action_cursor_right(self) -> None:
        """l."""
        self.scroll_right(animate=False)

    def action_page_down(self) -> None:
        """A screenful down."""
        self.move_cursor(self.cursor_row + self._rows_in_sight)

    def action_page_up(self) -> None:
        """A screenful up."""
        self.move_cursor(self.cursor_row - self._rows_in_sight)

    def action_scroll_top(self) -> None:
        """g."""
        self.move_cursor(0)

    def action_scroll_bottom(self) -> None:
        """G."""
        self.move_cursor(len(self._keys) - 1)
