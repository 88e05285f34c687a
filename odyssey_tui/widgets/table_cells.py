"""What the two tables share: columns, rows, and cells that keep to themselves."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from odyssey_tui.services.token_text import LEFT_TO_RIGHT, neutral, settled


@dataclass(frozen=True)
class TableColumn:
    """A column of ``width`` cells; numbers are right-aligned by whoever makes the cells."""

    key: str
    title: str
    width: int


@dataclass(frozen=True)
class TableRow:
    """A row: its key and one rendered cell per column."""

    key: str
    cells: tuple[Text | str, ...]


def calm(cell: Text | str) -> Text:
    """A cell of its own in which nothing moves a cursor or turns the direction of what is beside it."""
    text = cell.copy() if isinstance(cell, Text) else Text(cell)
    plain = settled(neutral(text.plain.removesuffix(LEFT_TO_RIGHT)))
    return text if plain == text.plain else Text(plain, text.style)


def right(text: str, width: int, style: str = "") -> Text:
    """A right-aligned cell."""
    return Text(text.rjust(width), style)
