"""Rows of the comparison of repairs, fitted to a width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from odyssey_tui.services.format import cut, number
from odyssey_tui.services.repairs_words import BEST, effect_rows
from odyssey_tui.widgets.table_cells import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.repairs import Repair, Repairs

Table = tuple[tuple[TableColumn, ...], list[TableRow]]
SHORTEST_LABEL, LONGEST_LABEL = 10, 40


def repair_table(found: Repairs, width: int) -> Table:
    """One row for each way; columns give way from the right. The lowest mean of a column is starred and bold."""
    classes = "+".join(found.classes)
    wanted = [
        TableColumn("target", "ΔL".rjust(12), 13),
        TableColumn("of_class", cut(classes, 11).rjust(11), 11),
        TableColumn("rest", "rest".rjust(8), 8),
        TableColumn("base", "ΔL base".rjust(12), 13),
        TableColumn("against_target", f"ΔL against {found.called}".rjust(25), 25),
        TableColumn("against_base", f"base against {found.called}".rjust(25), 25),
        TableColumn("over", "over".rjust(10), 10),
        TableColumn("ratio", "PPL ×".rjust(6), 6),
        TableColumn("seeds", "seeds", 5),
    ]
    longest = max([SHORTEST_LABEL, *(len(row.label) for row in found.rows)])
    room = width - min(longest, LONGEST_LABEL) - 1
    kept: list[TableColumn] = []
    for column in wanted:
        if sum(known.width + 1 for known in kept) + column.width + 1 > room and len(kept) >= 3:
            break
        kept.append(column)
    label = TableColumn("repair", "repair", min(longest, LONGEST_LABEL, max(SHORTEST_LABEL, width - 1 - _width(kept))))
    columns = (label, *kept)
    rows = []
    for row, shown in zip(found.rows, effect_rows(found), strict=True):
        texts = cells_of(row, shown)
        cells = [Text(cut(row.label, label.width), "bold" if row.is_plain else "")]
        cells += [Text(texts[column.key].rjust(column.width), _style(texts[column.key])) for column in kept]
        rows.append(TableRow(row.after or row.label, tuple(cells)))
    return columns, rows


def _width(columns: list[TableColumn]) -> int:
    return sum(column.width + 1 for column in columns)


def _style(text: str) -> str:
    return "bold" if text.endswith(BEST) else ""


def cells_of(row: Repair, shown: dict[str, Any]) -> dict[str, str]:
    """What the columns say of one way."""
    return {
        **{name: str(shown[name]) for name in ("target", "of_class", "rest", "base", "against_target", "against_base")},
        "over": shown["over"],
        "ratio": number(row.ppl_ratio),
        "seeds": str(row.n_seeds),
    }
