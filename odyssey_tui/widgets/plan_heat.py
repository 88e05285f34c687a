"""A plan's map as a heat map of narrow cells: all of it in sight, budgets named where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style

from odyssey_tui.services.heat import ink_on
from odyssey_tui.services.plan_cells import CORNER, VIEWS, mark_of, place_labels, ratio_labels, shade_of
from odyssey_tui.widgets.heat_map import HeatCell, HeatMap, HeatTable

if TYPE_CHECKING:
    from odyssey_tui.services.plan import PlanMap

WIDTHS = (5, 4, 3, 2)
"""Of cells, the widest that lets all of them be in sight."""


class PlanHeat(HeatMap):
    """Replay ratios down, budgets across."""

    GAP: ClassVar[int] = 0
    LEAST_CELL: ClassVar[int] = 2
    NAMES_WIDEN: ClassVar[bool] = False

    def _names(self, style: Style, width: int, last: int) -> list[Segment]:
        names, current = self.table.columns[self._left : last], self.column - self._left
        segments, end = [], 0
        for start, name in place_labels(names, width, width * len(names), current):
            here = style + Style(underline=True, bold=True) if name == names[current] else style
            segments += [Segment(" " * (start - end), style), Segment(name, here)]
            end = start + len(name)
        return segments


def plan_table(found: PlanMap, view: str, *, dark: bool, color: bool) -> HeatTable:
    """The cells; without ``color`` shades stand for the values."""
    shown = VIEWS[view]
    scale, values = shown.scale(found), shown.values(found)

    def cell(row: int, column: int) -> HeatCell:
        value, mark = float(values[row, column]), mark_of(found, (row, column))
        fill = " " if color else shade_of(abs(scale.share(value)))
        texts = tuple(fill + (mark or fill) + fill * (width - 2) for width in WIDTHS)
        if not color:
            return HeatCell(texts)
        ground = scale.color(value, dark=dark)
        return HeatCell(texts, ground, ink_on(ground))

    rows, columns = found.grid.feasible.shape
    return HeatTable(
        CORNER + " ",
        tuple(f"{value:.3g}" for value in found.grid.atpp.tolist()),
        tuple(ratio_labels(found)),
        tuple(tuple(cell(row, column) for column in range(columns)) for row in range(rows)),
    )
