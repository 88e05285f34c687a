"""Rows of the ledger's tables: token types with their cumulative share, classes with signed bars and intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import BLOCKS, signed
from odyssey_tui.services.ledger_columns import BESIDE_DRIFT, TYPE_COLUMNS, ShownColumn, drift_columns
from odyssey_tui.services.token_text import settled
from odyssey_tui.services.token_words import bracket
from odyssey_tui.widgets.table_cells import TableColumn, TableRow, right

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.ledger import ClassRow, Ledger

BAR, INTERVAL = 8, 18
MASKED = "strike dim"


def shown_types(wide: bool, drift: DriftReport | None) -> list[ShownColumn]:
    """Columns of the token types, or with ``drift`` those of what moved; some only where there is room."""
    ledger = [one for one in TYPE_COLUMNS if drift is None or one.key in BESIDE_DRIFT]
    return [one for one in (*ledger, *drift_columns(drift)) if one.width and (wide or not one.wide)]


def type_columns(wide: bool, drift: DriftReport | None = None) -> tuple[TableColumn, ...]:
    """Columns of the table of token types."""
    return tuple(TableColumn(one.key, one.short_title, one.width) for one in shown_types(wide, drift))


def type_cells(
    ledger: Ledger, masked: frozenset[int], wide: bool, drift: DriftReport | None = None
) -> Callable[[int], Sequence[Text]]:
    """What draws the row of the type at a place of the ledger; masked ones are struck through."""
    shown = shown_types(wide, drift)

    def draw(index: int) -> Sequence[Text]:
        row = ledger.row(index)
        moved = None if drift is None else drift.of_type(row.token_id)
        style = MASKED if row.token_id in masked else ""
        cells = []
        for one in shown:
            text = one.column.text(getattr(row if hasattr(row, one.key) else moved, one.key, None))
            if one.text:
                name = Text(text, style, no_wrap=True)
                name.truncate(one.width, overflow="ellipsis", pad=True)
                cells.append(Text(settled(name.plain), style))
            else:
                cells.append(right(text, one.width, style))
        return cells

    return draw


def class_columns() -> tuple[TableColumn, ...]:
    """Columns of the classes. Those that do not fit are further to the right."""
    return (
        TableColumn("class", "class", 11),
        TableColumn("bar", "− ΔL +", BAR),
        TableColumn("contribution", " contrib.", 9),
        TableColumn("interval", "     95 % interval", INTERVAL),
        TableColumn("count", "    count", 9),
    )


def class_rows(
    ledger: Ledger,
    masked: frozenset[int],
    intervals: Mapping[str, MeanDifference] | None,
    prefix: str,
) -> list[TableRow]:
    """One row per class, its bar on the scale of the largest; struck through when all its types are masked.

    ``intervals`` is None while they are computed.
    """
    classes = ledger.by_class
    largest = max((abs(row.contribution) for row in classes), default=0.0) or 1.0
    lines = []
    for row in classes:
        style = MASKED if ledger.types_of(row.token_class) <= masked else ""
        found = None if intervals is None else intervals.get(row.token_class)
        interval = "…" if intervals is None else bracket(found).strip() if found is not None else "–"
        cells = (
            Text(row.token_class, style),
            signed_bar(row, largest),
            right(signed(row.contribution, 5), 9, style),
            right(interval, INTERVAL, style),
            right(f"{row.count:,}", 9, style),
        )
        lines.append(TableRow(f"{prefix}{row.token_class}", cells))
    return lines


def signed_bar(row: ClassRow, largest: float) -> Text:
    """Right of the middle for a rise, left of it for a fall."""
    half = BAR // 2
    eighths = round(abs(row.contribution) / largest * half * 8)
    full, rest = divmod(eighths, 8)
    if row.contribution >= 0:
        return Text(" " * half + ("█" * full + (BLOCKS[rest] if rest else "")).ljust(half), "#f06e32")
    # Blocks fill from the left; a bar that grows to the left is drawn in whole and half cells.
    drawn = ("▐" if rest >= 4 else "") + "█" * full
    return Text(drawn.rjust(half) + " " * half, "#56b4e9")
