"""Rows of the table of texts, and what is told of one below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.data_tables import audit_mark
from odyssey_tui.services.format import count, cut, number
from odyssey_tui.widgets.table_cells import TableColumn, TableRow

if TYPE_CHECKING:
    from odyssey_tui.services.data import TextRow

NAME_WIDTH = (12, 28)
LEVEL_STYLES = {"serious": "bold #f06e32", "caution": "#e69f00"}


@dataclass(frozen=True)
class TextColumn:
    """A column of ``width`` cells; ``right``: numbers."""

    key: str
    title: str
    width: int
    draw: Callable[[TextRow], str]
    right: bool = False

    @property
    def heading(self) -> TableColumn:
        """As the table wants it."""
        return TableColumn(self.key, self.title.rjust(self.width) if self.right else self.title, self.width)


def splits_text(row: TextRow) -> str:
    """Shares of the bytes, ``88/2/10``; of a set its split."""
    if row.kind == "set":
        return next(iter(row.splits), "")
    total = sum(row.splits.values())
    return "/".join(f"{100 * n / total:.0f}" for n in row.splits.values()) if total else ""


OPTIONAL: tuple[TextColumn, ...] = (
    TextColumn("newline", "line ends", 9, lambda row: number(row.newlines_per_1000, 2), right=True),
    TextColumn("bytes", "bytes", 6, lambda row: _count(row.n_bytes), right=True),
    TextColumn("similarity", "similar", 7, lambda row: number(row.similarity, 3), right=True),
    TextColumn("documents", "docs", 6, lambda row: _count(row.documents), right=True),
    TextColumn("splits", "splits %", 9, splits_text),
    TextColumn("share", "newline %", 9, lambda row: _share(row, "newline"), right=True),
    TextColumn("punctuation", "marks %", 7, lambda row: _share(row, "punctuation"), right=True),
    TextColumn("experiment", "experiments", 18, lambda row: ", ".join(row.experiments)),
    TextColumn("source", "source", 40, lambda row: row.source),
)
"""In the order in which a narrow screen keeps them."""


def columns_for(width: int, rows: Sequence[TextRow]) -> list[TextColumn]:
    """The columns that fit ``width`` cells."""
    longest = max((len(row.title) for row in rows), default=NAME_WIDTH[0])
    name = max(NAME_WIDTH[0], min(longest, NAME_WIDTH[1]))
    columns = [
        TextColumn("kind", "", 6, lambda row: row.kind),
        TextColumn("name", "name", name, lambda row: row.title),
        TextColumn("audit", "audit", 9, lambda row: audit_mark(row.audit)),
        TextColumn("tokens", "tokens", 6, lambda row: _count(row.tokens), right=True),
    ]
    left = width - sum(column.width + 1 for column in columns)
    for column in OPTIONAL:
        if column.width + 1 <= left:
            columns.append(column)
            left -= column.width + 1
    return columns


def text_row(row: TextRow, columns: Sequence[TextColumn]) -> TableRow:
    """A text as a row; the audit's mark stands out where it warns."""
    cells = []
    for column in columns:
        text = cut(column.draw(row), column.width)
        style = LEVEL_STYLES.get(row.audit, "") if column.key == "audit" else ""
        cells.append(Text(text.rjust(column.width) if column.right else text, style))
    return TableRow(row.key, tuple(cells))


def detail_text(row: TextRow, width: int) -> Text:
    """A few lines: source, splits, classes, what was left out, who uses it."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(row.title, "bold").append(f"  {cut(row.source, max(10, width - len(row.title) - 2))}\n")
    if row.kind == "corpus":
        splits = ", ".join(f"{name} {count(n)}B" for name, n in row.splits.items())
        left_out = f"; repeated documents left out: {row.duplicates:,}" if row.duplicates else ""
        text.append(f"{splits}; newlines {row.newlines or '–'}{left_out}\n")
    else:
        text.append(f"tokenizer {row.tokenizer or '–'}\n")
    if row.classes:
        shares = sorted(row.classes.items(), key=lambda item: -item[1])
        text.append("classes  " + "  ".join(f"{name} {100 * share:.2f} %" for name, share in shares) + "\n")
    text.append(f"used by {', '.join(row.experiments) or 'no experiment'}")
    if row.similarity is not None:
        text.append(f"; similarity to the base text {row.similarity:.3f} ({row.measure})")
    text.append("\n")
    return text.append(_verdict(row), LEVEL_STYLES.get(row.audit, ""))


def _verdict(row: TextRow) -> str:
    if row.level is None:
        return "no format audit yet"
    warnings = f"{row.n_warnings} warning{'' if row.n_warnings == 1 else 's'}" if row.n_warnings else "no warnings"
    return f"format audit: {warnings}; Enter shows it"


def _count(value: int | None) -> str:
    return "–" if value is None else count(value)


def _share(row: TextRow, token_class: str) -> str:
    share = row.classes.get(token_class)
    return "–" if share is None and not row.classes else f"{100 * (share or 0.0):.2f}"
