"""A table of coloured numbers with a cursor on one cell; labels stay in sight while columns and rows scroll."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from odyssey_tui.keymap import bindings
from odyssey_tui.plots.palette import Rgb
from odyssey_tui.services.format import cut

LONGEST_LABEL, LEAST_LABEL = 30, 10
LABEL_SHARE = 0.4
"""Of the width, at most for labels."""
HEADER_LINES = 1
BLANK = "·"


@dataclass(frozen=True)
class HeatCell:
    """One cell: its text in the forms it may have, the widest first, its ground, and whether it stands out."""

    texts: tuple[str, ...] = ()
    """Empty where there is nothing."""
    ground: Rgb | None = None
    ink: Rgb | None = None
    marked: bool = False
    dim: bool = False


@dataclass(frozen=True)
class HeatTable:
    """What a heat map shows: rows × columns of cells."""

    corner: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    cells: tuple[tuple[HeatCell, ...], ...] = ()


class HeatMap(Widget, can_focus=True):
    """Cells under the keys of the ``table`` scope, which move the cursor by one cell."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("table")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"heatmap--header", "heatmap--cursor"}
    GAP: ClassVar[int] = 1
    LEAST_CELL: ClassVar[int] = 4
    NAMES_WIDEN: ClassVar[bool] = True
    """Whether columns take what room is left, up to the length of their names."""

    @dataclass
    class Moved(Message):
        """The cursor is on another cell, or the cell is another one."""

    @dataclass
    class Selected(Message):
        """The cell under the cursor was clicked."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._table = HeatTable()
        self.row = self.column = 0
        self._top = self._left = 0
        self.label_width, self.cell_width, self.shown_columns, self.form = 0, self.LEAST_CELL, 1, 0

    @property
    def current(self) -> tuple[str, str] | None:
        """Names of the row and column under the cursor."""
        table = self._table
        return (table.rows[self.row], table.columns[self.column]) if table.rows and table.columns else None

    @property
    def table(self) -> HeatTable:
        """What is shown."""
        return self._table

    def text_rows(self) -> Iterator[tuple[str, ...]]:
        """The names of the columns, then every row under its name, as text."""
        table = self._table
        yield (table.corner, *table.columns)
        for name, cells in zip(table.rows, table.cells, strict=True):
            yield (name, *(cell.texts[0].strip() if cell.texts else "" for cell in cells))

    def text_row(self) -> tuple[str, ...]:
        """The cell under the cursor, as text: its row, its column, what is in it."""
        current = self.current
        if current is None:
            return ()
        texts = self._table.cells[self.row][self.column].texts
        return (*current, texts[0].strip() if texts else "")

    def show(self, table: HeatTable) -> None:
        """Show cells; the cursor stays on the row and column it names, as far as they are there."""
        before = self.current
        self._table = table
        if before is not None:
            self.row = table.rows.index(before[0]) if before[0] in table.rows else self.row
            self.column = table.columns.index(before[1]) if before[1] in table.columns else self.column
        self._arrange()
        self.move(self.row, self.column)

    def move(self, row: int, column: int) -> None:
        """Put the cursor on a cell, the nearest where there is none, and it in sight."""
        self.row = max(0, min(row, len(self._table.rows) - 1))
        self.column = max(0, min(column, len(self._table.columns) - 1))
        self._follow()
        self.refresh()
        self.post_message(self.Moved())

    def _arrange(self) -> None:
        """Widths of labels and cells, and which form of the texts fits; then the cursor in sight."""
        table, room = self._table, self.size.width
        longest = max([len(table.corner), *map(len, table.rows)], default=0)
        self.label_width = min(longest, LONGEST_LABEL, max(8, int(room * LABEL_SHARE)))
        room -= self.label_width
        forms = max((len(cell.texts) for row in table.cells for cell in row), default=1)
        widths = [self._width_of(form) for form in range(max(1, forms))]
        fitting = (form for form, width in enumerate(widths) if len(table.columns) * (width + self.GAP) <= room)
        self.form = next(fitting, len(widths) - 1)
        missing = len(table.columns) * (widths[self.form] + self.GAP) - room
        if 0 < missing <= self.label_width - LEAST_LABEL:
            # Shorter labels are a small price for having all columns in sight.
            self.label_width -= missing
            room += missing
        spare = room // max(1, len(table.columns)) - self.GAP if self.NAMES_WIDEN else 0
        self.cell_width = max(widths[self.form], min(spare, max(map(len, table.columns), default=0)))
        self.shown_columns = max(1, room // (self.cell_width + self.GAP))
        self._follow()

    def _width_of(self, form: int) -> int:
        texts = (cell.texts[min(form, len(cell.texts) - 1)] for row in self._table.cells for cell in row if cell.texts)
        return max(self.LEAST_CELL, max(map(len, texts), default=0))

    def _follow(self) -> None:
        self._top = in_sight(self._top, self.row, max(1, self.size.height - HEADER_LINES), len(self._table.rows))
        self._left = in_sight(self._left, self.column, self.shown_columns, len(self._table.columns))

    def render_line(self, y: int) -> Strip:
        table, index = self._table, self._top + y - HEADER_LINES
        if not table.rows or index >= len(table.rows):
            return Strip.blank(self.size.width, self.rich_style)
        segments = self._header() if y < HEADER_LINES else self._line(index)
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _header(self) -> list[Segment]:
        table, style = self._table, self.rich_style + self.get_component_rich_style("heatmap--header")
        label, width, last = self.label_width, self.cell_width, self._left + self.shown_columns
        more = ("◂" if self._left else " ") + ("▸" if last < len(table.columns) else " ")
        corner = (
            cut(table.corner, max(1, label - 3)).ljust(label - 2) + more if more.strip() else cut(table.corner, label)
        )
        return [Segment(corner.ljust(label), style), *self._names(style, width, last)]

    def _names(self, style: Style, width: int, last: int) -> list[Segment]:
        """Names of the columns up to ``last``, that of the cursor's column marked."""
        segments = []
        for place, name in enumerate(self._table.columns[self._left : last], self._left):
            here = style + Style(underline=True, bold=True) if place == self.column else style
            segments += [Segment(" " * self.GAP, style), Segment(cut(name, width).rjust(width), here)]
        return segments

    def _line(self, index: int) -> list[Segment]:
        table, base = self._table, self.rich_style
        here = base + Style(underline=True, bold=True) if index == self.row else base
        segments = [Segment(cut(table.rows[index], self.label_width).ljust(self.label_width), here)]
        for place in range(self._left, min(len(table.columns), self._left + self.shown_columns)):
            at_cursor = (index, place) == (self.row, self.column)
            segments += [Segment(" " * self.GAP, base), self._cell(table.cells[index][place], at_cursor)]
        return segments

    def _cell(self, cell: HeatCell, at_cursor: bool) -> Segment:
        width, style = self.cell_width, self.rich_style
        text = cell.texts[min(self.form, len(cell.texts) - 1)].rjust(width) if cell.texts else BLANK.rjust(width)
        if cell.ground is not None:
            style += Style(bgcolor="rgb({},{},{})".format(*cell.ground))
        if cell.ink is not None:
            style += Style(color="rgb({},{},{})".format(*cell.ink))
        style += Style(
            bold=cell.marked or None, underline=cell.marked or None, dim=(cell.dim or not cell.texts) or None
        )
        if at_cursor:
            style += self.get_component_rich_style("heatmap--cursor", partial=True)
            style += Style(reverse=True) if self.app.no_color else Style()
        return Segment(text, style)

    def on_resize(self) -> None:
        self._arrange()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Go to the cell that was clicked; a click on the cell under the cursor selects it."""
        row = self._top + event.y - HEADER_LINES
        column = self._left + (event.x - self.label_width) // (self.cell_width + self.GAP)
        inside = event.y >= HEADER_LINES and event.x >= self.label_width
        if not inside or row >= len(self._table.rows) or column >= len(self._table.columns):
            return
        if (row, column) == (self.row, self.column):
            self.post_message(self.Selected())
        self.move(row, column)

    def on_mouse_scroll_down(self) -> None:
        """A row down."""
        self.move(self.row + 1, self.column)

    def on_mouse_scroll_up(self) -> None:
        """A row up."""
        self.move(self.row - 1, self.column)

    def action_cursor_down(self) -> None:
        """j."""
        self.move(self.row + 1, self.column)

    def action_cursor_up(self) -> None:
        """k."""
        self.move(self.row - 1, self.column)

    def action_cursor_left(self) -> None:
        """h."""
        self.move(self.row, self.column - 1)

    def action_cursor_right(self) -> None:
        """l."""
        self.move(self.row, self.column + 1)

    def action_page_down(self) -> None:
        """A screenful down."""
        self.move(self.row + max(1, self.size.height - HEADER_LINES), self.column)

    def action_page_up(self) -> None:
        """A screenful up."""
        self.move(self.row - max(1, self.size.height - HEADER_LINES), self.column)

    def action_scroll_top(self) -> None:
        """g."""
        self.move(0, 0)

    def action_scroll_bottom(self) -> None:
        """G."""
        self.move(len(self._table.rows) - 1, len(self._table.columns) - 1)


def in_sight(first: int, wanted: int, room: int, count: int) -> int:
    """The first of ``room`` lines to show of ``count``, as near ``first`` as lets the wanted one be among them."""
    return max(0, wanted - room + 1, min(first, wanted, max(0, count - room)))


def squeeze(text: str) -> str:
    """A number without the zero before its point: ``+.31``."""
    for sign in ("+0.", "−0.", "0."):
        if text.startswith(sign):
            return text.replace("0.", ".", 1)
    return text


def forms_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts of falling width: each as it is, the last without its leading zero."""
    return tuple(dict.fromkeys([*texts, squeeze(texts[-1])])) if texts else ()
