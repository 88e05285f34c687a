"""The matrix as the cells of a heat map, and the line above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.heat import ink_on
from odyssey_tui.services.matrix_export import head_of
from odyssey_tui.services.matrix_order import ORDER_WORDS
from odyssey_tui.services.matrix_svg import scale_of
from odyssey_tui.widgets.heat_map import HeatCell, HeatTable, forms_of

if TYPE_CHECKING:
    from odyssey_tui.services.matrix import Matrix


def heat_table(matrix: Matrix, *, dark: bool, color: bool) -> HeatTable:
    """Every cell; without ``color`` the signs of the numbers tell rises from falls, and rises are bold."""
    scale = scale_of(matrix)

    def cell(row: str, column: str) -> HeatCell:
        summary, entry = matrix.summary(row, column), matrix.entry(row, column)
        if summary is None:
            return HeatCell()
        value = matrix.value_of(row)
        texts = forms_of(
            [value.text(summary.mean, digits) for digits in range(value.digits, max(0, value.digits - 2), -1)]
        )
        own = entry is not None and entry.own
        if row in matrix.zero_rows:
            return HeatCell(texts, dim=True)
        if not color:
            return HeatCell(texts, marked=own)
        ground = scale.color(value.heat(summary.mean), dark=dark)
        return HeatCell(texts, ground, ink_on(ground), own)

    columns = tuple(column.name for column in matrix.columns)
    rows = matrix.row_labels
    return HeatTable(head_of(matrix), columns, rows, tuple(tuple(cell(row, name) for name in columns) for row in rows))


def heading(matrix: Matrix, experiment: str | None, *, dark: bool, color: bool) -> Text:
    """What is shown, of what, and what the colours mean."""
    text = Text(matrix.title, "bold")
    if color and matrix.rows:
        scale = scale_of(matrix)
        ends = (scale.low, scale.high)
        words = (" fell ", " rose ") if matrix.value.change else (" low ", " high ")
        for end, word in zip(ends, words, strict=True):
            ground = scale.color(end, dark=dark)
            ink = ink_on(ground)
            text.append(" ").append(
                word, f"not bold rgb({ink[0]},{ink[1]},{ink[2]}) on rgb({ground[0]},{ground[1]},{ground[2]})"
            )
    seeds = sorted({row.n_seeds for row in matrix.rows} - {0})
    over = "" if not seeds else f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
    place = next((number for number, one in enumerate(matrix.choices, 1) if one.cell == matrix.cell), 1)
    parts = [
        experiment or "",
        matrix.cell_text,
        f"cell {place} of {len(matrix.choices)}" if len(matrix.choices) > 1 else "",
        f"{over} seed{'' if over == '1' else 's'}" if over else "",
        f"{matrix.n_missing} blank" if matrix.n_missing else "",
        ORDER_WORDS.get(matrix.order, ""),
    ]
    return text.append("  " + " · ".join(part for part in parts if part), "not bold dim")
