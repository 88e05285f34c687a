"""Tables on stdout: text that fits the terminal, JSON, CSV or LaTeX, all from the same rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from odyssey_tui.cli.printing import say_wrapped, terminal_width
from odyssey_tui.services.format import pad, width_of
from odyssey_tui.services.tables import Column, Row, csv_text, find_numeric, json_text, latex_text, values_of
from odyssey_tui.services.token_text import neutral

Function = TypeVar("Function", bound=Callable[..., Any])
GAP = 2
READABLE_TEXT, SHORTEST_TEXT = 26, 8
"""Widths down to which texts are cut before columns are left out, and after all of those are."""


def table_options(function: Function) -> Function:
    """The options ``--json``, ``--csv`` and ``--latex``, passed as the keywords ``json``, ``csv`` and ``latex``."""
    for name, text in (("latex", "a LaTeX table"), ("csv", "CSV"), ("json", "JSON")):
        function = click.option(f"--{name}", is_flag=True, help=f"Print {text}.")(function)
    return function


def emit_table(
    columns: Sequence[Column | str],
    rows: Sequence[Row],
    *,
    json: bool = False,
    csv: bool = False,
    latex: bool = False,
    title: str = "",
    empty: str = "nothing to show",
) -> None:
    """Print rows (mappings by column key, or sequences in column order) to stdout in the form asked for.

    Text is at most as wide as the terminal (80 columns where there is none): long texts are cut with ``…``, then whole
    columns are left out, and stderr says which. ``title`` and ``empty`` appear in text only.
    """
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    shaped = [column if isinstance(column, Column) else Column(column) for column in columns]
    values = [values_of(shaped, row) for row in rows]
    if json:
        emit_json([dict(zip((column.key for column in shaped), row, strict=True)) for row in values])
    elif csv:
        sys.stdout.write(csv_text(shaped, values))
    elif latex:
        sys.stdout.write(latex_text(shaped, values))
    else:
        _emit_text(shaped, values, title, empty)


def emit_json(value: Any) -> None:
    """Print a JSON value; NaN and infinities become null, other objects their text."""
    sys.stdout.write(json_text(value))


def _emit_text(columns: Sequence[Column], rows: Sequence[Sequence[Any]], title: str, empty: str) -> None:
    if title:
        print(title)
    if not rows:
        print(empty)
        return
    numeric = find_numeric(columns, rows)
    cells = [[neutral(column.text(value)) for column, value in zip(columns, row, strict=True)] for row in rows]
    titles = [column.title or column.key for column in columns]
    widths = [max(len(titles[i]), *(width_of(row[i]) for row in cells)) for i in range(len(columns))]
    kept = _fit(columns, titles, widths, numeric)
    for row in (titles, *cells):
        line = [pad(row[i], widths[i], right=numeric[i]) for i in kept]
        sys.stdout.write((" " * GAP).join(line).rstrip() + "\n")
    if len(kept) < len(columns):
        hidden = ", ".join(titles[i] for i in range(len(columns)) if i not in kept)
        say_wrapped(f"not shown for lack of width: {hidden} (--json and --csv have every column)")


def _fit(columns: Sequence[Column], titles: Sequence[str], widths: list[int], numeric: Sequence[bool]) -> list[int]:
    """Indices of the columns to show; ``widths`` of text columns shrink in place until the rest fits."""
    room = terminal_width()
    kept = list(range(len(columns)))

    def excess() -> int:
        return sum(widths[i] for i in kept) + GAP * (len(kept) - 1) - room

    while excess() > 0:
        droppable = [i for i in kept if columns[i].drop > 0]
        shortest = READABLE_TEXT if droppable else SHORTEST_TEXT
        text = [i for i in kept if not numeric[i] and widths[i] > max(shortest, len(titles[i]))]
        if text:
            widest = max(text, key=lambda i: widths[i])
            widths[widest] -= 1
        elif droppable:
            kept.remove(max(droppable, key=lambda i: columns[i].drop))
        else:
            break
    return kept
