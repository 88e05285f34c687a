"""Rows of the ledger's tables: token types with their cumulative share, classes with signed bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.format import BLOCKS, number, signed
from odyssey_tui.services.ledger import visible
from odyssey_tui.widgets.keyed_table import TableColumn, TableRow, right

if TYPE_CHECKING:
    from odyssey_tui.services.ledger import ClassRow, Ledger, TypeRow

BAR_NARROW, BAR_WIDE = 8, 14
MASKED = "strike dim"


def type_columns(wide: bool) -> tuple[TableColumn, ...]:
    """Columns of the token types; losses and class only where there is room."""
    detail = (TableColumn("class", "class", 11), TableColumn("before", "before", 6), TableColumn("after", " after", 6))
    return (
        TableColumn("token", "token", 14 if wide else 11),
        *(detail[:1] if wide else ()),
        TableColumn("count", "  count", 7),
        *(detail[1:] if wide else ()),
        TableColumn("contribution", " contrib.", 9),
        TableColumn("share", " share", 6),
    )


def type_rows(rows: Sequence[TypeRow], masked: frozenset[int], wide: bool, prefix: str) -> list[TableRow]:
    """One row per token type; masked ones are struck through."""
    lines = []
    for row in rows:
        style = MASKED if row.token_id in masked else ""
        name = Text(visible(row.text), style=style, no_wrap=True)
        name.truncate(14 if wide else 11, overflow="ellipsis")
        share = f"{row.share:.0%}" if row.share is not None else "–"
        detail = (
            Text(row.token_class, style),
            right(number(row.loss_before), 6, style),
            right(number(row.loss_after), 6, style),
        )
        cells = (
            name,
            *(detail[:1] if wide else ()),
            right(f"{row.count:,}", 7, style),
            *(detail[1:] if wide else ()),
            right(signed(row.contribution, 5), 9, style),
            right(share, 6, style),
        )
        lines.append(TableRow(f"{prefix}{row.token_id}", cells))
    return lines


def class_columns(wide: bool) -> tuple[TableColumn, ...]:
    """Columns of the classes."""
    return (
        TableColumn("class", "class", 11),
        TableColumn("bar", "− ΔL +", BAR_WIDE if wide else BAR_NARROW),
        TableColumn("contribution", " contrib.", 9),
        *((TableColumn("count", "  count", 7),) if wide else ()),
    )


def class_rows(ledger: Ledger, masked: frozenset[int], wide: bool, prefix: str) -> list[TableRow]:
    """One row per class, its bar on the scale of the largest; struck through when all its types are masked."""
    classes = ledger.class_rows()
    largest = max((abs(row.contribution) for row in classes), default=0.0) or 1.0
    width = BAR_WIDE if wide else BAR_NARROW
    lines = []
    for row in classes:
        style = MASKED if ledger.types_of(row.token_class) <= masked else ""
        cells = (
            Text(row.token_class, style),
            signed_bar(row, largest, width),
            right(signed(row.contribution, 5), 9, style),
            *((right(f"{row.count:,}", 7, style),) if wide else ()),
        )
        lines.append(TableRow(f"{prefix}{row.token_class}", cells))
    return lines


def signed_bar(row: ClassRow, largest: float, width: int) -> Text:
    """Right of the middle for a rise, left of it for a fall."""
    half = width // 2
    eighths = round(abs(row.contribution) / largest * half * 8)
    full, rest = divmod(eighths, 8)
    if row.contribution >= 0:
        return Text(" " * half + ("█" * full + (BLOCKS[rest] if rest else "")).ljust(half), "#f06e32")
    # Blocks fill from the left; a bar that grows to the left is drawn in whole and half cells.
    drawn = ("▐" if rest >= 4 else "") + "█" * full
    return Text(drawn.rjust(half) + " " * half, "#56b4e9")
