"""Tables on stdout: text that fits the terminal, JSON, CSV or LaTeX, all from the same rows."""

from __future__ import annotations

import csv as csv_format
import io
import json as json_format
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from odyssey_tui.cli.printing import say_wrapped, terminal_width
from odyssey_tui.services.format import cut

Function = TypeVar("Function", bound=Callable[..., Any])
GAP = 2
READABLE_TEXT, SHORTEST_TEXT = 26, 8
"""Widths down to which texts are cut before columns are left out, and after all of those are."""


@dataclass(frozen=True)
class Column:
    """A column: ``key`` names it in JSON and CSV (and looks it up in mapping rows), ``title`` heads it in text.

    ``format`` turns a value into text (text and LaTeX only; JSON and CSV keep full precision). When a text table is too
    wide, the columns with the highest ``drop`` go first; 0 is never dropped.
    """

    key: str
    title: str = ""
    format: Callable[[Any], str] | str = ""
    drop: int = 0

    def text(self, value: Any) -> str:
        """``value`` as shown to people; a missing one is ``–``."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "–"
        if callable(self.format):
            return self.format(value)
        if self.format:
            return format(value, self.format)
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def table_options(function: Function) -> Function:
    """The options ``--json``, ``--csv`` and ``--latex``, passed as the keywords ``json``, ``csv`` and ``latex``."""
    for name, text in (("latex", "a LaTeX table"), ("csv", "CSV"), ("json", "JSON")):
        function = click.option(f"--{name}", is_flag=True, help=f"Print {text}.")(function)
    return function


def emit_table(
    columns: Sequence[Column | str],
    rows: Sequence[Mapping[str, Any] | Sequence[Any]],
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
    values = [_values(shaped, row) for row in rows]
    if json:
        emit_json([dict(zip((column.key for column in shaped), row, strict=True)) for row in values])
    elif csv:
        _emit_csv(shaped, values)
    elif latex:
        _emit_latex(shaped, values)
    else:
        _emit_text(shaped, values, title, empty)


def emit_json(value: Any) -> None:
    """Print a JSON value; NaN and infinities become null, other objects their text."""
    print(json_format.dumps(_plain(value), indent=2, ensure_ascii=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _values(columns: Sequence[Column], row: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    if isinstance(row, Mapping):
        return [row.get(column.key) for column in columns]
    if len(row) != len(columns):
        raise ValueError(f"a row of {len(row)} values under {len(columns)} columns")
    return list(row)


def _emit_csv(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    buffer = io.StringIO()
    writer = csv_format.writer(buffer, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    sys.stdout.write(buffer.getvalue())


def _emit_latex(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    alignment = "".join("r" if numeric else "l" for numeric in _numeric(columns, rows))
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines.append(" & ".join(_latex(column.title or column.key) for column in columns) + r" \\")
    lines.append(r"\midrule")
    for row in rows:
        cells = (_latex(column.text(value)) for column, value in zip(columns, row, strict=True))
        lines.append(" & ".join(cells) + r" \\")
    print("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))


LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "−": "$-$",
        "ρ": r"$\rho$",
        "Δ": r"$\Delta$",
        "…": r"\ldots{}",
    }
)


def _latex(text: str) -> str:
    return text.translate(LATEX_ESCAPES)


def _numeric(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[bool]:
    def is_numeric(index: int) -> bool:
        present = [row[index] for row in rows if row[index] is not None]
        return bool(present) and all(isinstance(value, (int, float)) for value in present)

    return [is_numeric(index) for index in range(len(columns))]


def _emit_text(columns: Sequence[Column], rows: Sequence[Sequence[Any]], title: str, empty: str) -> None:
    if title:
        print(title)
    if not rows:
        print(empty)
        return
    numeric = _numeric(columns, rows)
    cells = [[column.text(value) for column, value in zip(columns, row, strict=True)] for row in rows]
    titles = [column.title or column.key for column in columns]
    widths = [max(len(titles[i]), *(len(row[i]) for row in cells)) for i in range(len(columns))]
    kept = _fit(columns, titles, widths, numeric)
    for row in (titles, *cells):
        line = (_cell(row[i], widths[i], right=numeric[i]) for i in kept)
        print((" " * GAP).join(line).rstrip())
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


def _cell(text: str, width: int, *, right: bool) -> str:
    shown = cut(text, width)
    return shown.rjust(width) if right else shown.ljust(width)
